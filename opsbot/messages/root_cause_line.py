"""The line that answers `/why`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opsbot.messages.render import PlainStyle, TextStyle, render

if TYPE_CHECKING:  # seldom asked, and it takes room
    from opsbot.core.root_cause import RootCause


class _PlainTimes(PlainStyle):
    """Times in UTC, with the date where it is another than that of the time before."""

    _day = ""

    def moment(self, at: datetime, style: str) -> str:
        del style
        day, self._day = self._day, f"{at.astimezone(UTC):%Y-%m-%d} "
        return f"{'' if self._day == day else self._day}{at.astimezone(UTC):%H:%M:%S}"


def root_cause_line(found: "RootCause", style: TextStyle | None = None) -> str:
    """The clauses as one sentence. style: plain text if None."""
    style = _PlainTimes() if style is None else style
    return "".join(render(each, style) for each in found.clauses).rstrip(".") + "."


def kind_name(kind: str) -> str:
    """Return the word for a kind of timeline entry, whose values in the control API are older than the vocabulary."""
    return {"trouble": "incident", "deed": "action", "well": "recovered"}.get(kind, kind)
