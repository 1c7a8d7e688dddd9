"""How messages look in Discord: text from outside is escaped, times are timestamps in each reader's own zone."""

from dataclasses import dataclass
from datetime import datetime

from cogs.cards.text import code, moment, told
from opsbot.core.message import Message
from opsbot.messages import render


@dataclass(frozen=True, slots=True)
class DiscordStyle:
    """Implements `opsbot.messages.TextStyle`. most: characters of a text from outside that are shown."""

    most: int = 300

    def text(self, value: str) -> str:
        """Escaped; timestamps in text of earlier versions stay."""
        return told(value, self.most)

    def code(self, value: str) -> str:
        """As inline code."""
        return code(value)

    def moment(self, at: datetime, style: str) -> str:
        """A timestamp."""
        return moment(at, style)


def shown(value: Message, most: int = 300) -> str:
    """The text of a message in Discord. most: characters of each text from outside in it."""
    return render(value, DiscordStyle(most))
