"""The buttons beside the channel that make things happen in the demo."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from opsbot.standin.errors import Json


@dataclass(frozen=True, slots=True)
class PanelButton:
    """One button: `action` does it and returns one sentence about it; `args` of the page are passed by keyword."""

    id: str
    group: str
    label: str
    hint: str
    danger: bool
    action: Callable[..., Awaitable[str]]
    disabled: bool = False

    def json(self, *, busy: bool) -> Json:
        """The button as the page gets it; a button whose action runs is disabled."""
        return {
            "id": self.id,
            "group": self.group,
            "label": self.label,
            "hint": self.hint,
            "danger": self.danger,
            "disabled": self.disabled or busy,
        }
