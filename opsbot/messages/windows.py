"""What a maintenance window does, in words."""

from collections.abc import Callable

from opsbot.core.windows import Window, WindowDeploys

_DEPLOYS = {
    WindowDeploys.ALLOW: "",
    WindowDeploys.HOLD: "automatic deploys wait",
    WindowDeploys.ONLY: "automatic deploys are for it only",
}


def window_effects(window: Window, shown: Callable[[str], str]) -> str:
    """What it is about, and what waits meanwhile. shown: makes the name of a service harmless."""
    about = ", ".join(map(shown, window.services)) or "everything"
    words = (
        "alerts wait" if window.mute else "",
        _DEPLOYS[window.deploys],
        "" if window.recovery else "recovery waits",
    )
    return f"{about}; {', '.join(filter(None, words)) or 'nothing is kept back'}"
