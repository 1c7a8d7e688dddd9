"""The line that answers `/why`, from its pieces."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opsbot.core.message import Message
from opsbot.messages.render import PLAIN, TextStyle, render

if TYPE_CHECKING:  # seldom asked, and it takes room
    from opsbot.core.root_cause import RootCause


def account_line(account: "RootCause") -> str:
    """The line as plain text, times in UTC, without the date where it is that of the time before."""
    day = ""

    def moment(at: datetime) -> str:
        nonlocal day
        date = f"{at.astimezone(UTC):%Y-%m-%d} "
        shown = f"{'' if date == day else date}{at.astimezone(UTC):%H:%M:%S}"
        day = date
        return shown

    return joined(account, moment, PLAIN, str)


def joined(
    account: "RootCause", moment: Callable[[datetime], str], style: TextStyle, text: Callable[[str], str]
) -> str:
    """The pieces of the line as one text. text: shows the words in between."""
    line = ""
    for part in account.parts:
        if isinstance(part, datetime):
            line += moment(part)
        elif isinstance(part, Message):
            line += render(part, style)
        else:
            line = (line.rstrip(".") if part == "." else line) + text(part)
    return line
