"""Messages as Discord shows them: text from outside escaped, times as timestamps that each reader's client shows."""

from dataclasses import dataclass
from datetime import datetime

from cogs.cards.text import code, escape_keeping_times, moment
from opsbot.core.message import Message
from opsbot.messages import render


@dataclass(frozen=True, slots=True)
class DiscordStyle:
    """most: characters of each text from outside."""

    most: int = 300

    def text(self, value: str) -> str:
        return escape_keeping_times(value, self.most)

    def code(self, value: str) -> str:
        return code(value)

    def moment(self, at: datetime, style: str) -> str:
        return moment(at, style)


def to_markdown(value: Message | None, most: int = 300) -> str:
    """A message as markdown; each text from outside in it has at most so many characters. Nothing for None."""
    return "" if value is None else render(value, DiscordStyle(most))
