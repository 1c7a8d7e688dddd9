"""Texts of answers to `/why`."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opsbot.core.incident import AccountCode
from opsbot.core.message import Message
from opsbot.messages.render import PLAIN, TextStyle, render
from opsbot.messages.text import Text

if TYPE_CHECKING:  # seldom asked, and it takes room
    from opsbot.core.root_cause import RootCause

TEXTS: Mapping[str, Text] = {
    AccountCode.INCIDENT_OPENED: "incident {incident} of {service}: {about}",
    AccountCode.INCIDENT_ENDED: "incident {incident} of {service} ended: {about}",
}


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
    """The pieces of the line. text: shows the words in between. One full stop follows a message that ends with its own."""
    line = ""
    for part in account.parts:
        if isinstance(part, datetime):
            line += moment(part)
        elif isinstance(part, Message):
            line += render(part, style)
        else:
            line = (line.rstrip(".") if part == "." else line) + text(part)
    return line
