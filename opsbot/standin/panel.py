"""Buttons next to the channel that trigger actions in the demo."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from opsbot.standin.errors import Json


@dataclass(frozen=True, slots=True)
class PanelButton:
    """One button.

    `action` runs and returns one sentence; `args` of the page are passed by keyword.
    """

    id: str
    group: str
    label: str
    hint: str
    danger: bool
    action: Callable[..., Awaitable[str]]
    disabled: bool = False

    def json(self, *, busy: bool) -> Json:
        """Return the button's JSON; it is disabled while its action runs."""
        names = ("id", "group", "label", "hint", "danger")
        return {name: getattr(self, name) for name in names} | {"disabled": self.disabled or busy}
