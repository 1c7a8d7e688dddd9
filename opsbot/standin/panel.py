"""Buttons next to the channel that trigger actions in the demo."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from opsbot.standin.errors import Json


@dataclass(frozen=True, slots=True)
class PanelButton:
    """A button. `action` gets the page's `args` and returns one sentence."""

    id: str
    group: str
    label: str
    hint: str
    danger: bool
    action: Callable[..., Awaitable[str]]
    disabled: bool = False

    def json(self, *, busy: bool) -> Json:
        names = ("id", "group", "label", "hint", "danger")
        return {name: getattr(self, name) for name in names} | {"disabled": self.disabled or busy}
