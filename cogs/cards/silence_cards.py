"""What a silence or a window kept back says until when it did."""

from datetime import datetime

from cogs.cards.text import moment
from opsbot.core.model import Notification, NotificationKind
from opsbot.engine import Engine
from opsbot.store import mutes

WAIT = frozenset(
    {
        NotificationKind.INCIDENT,
        NotificationKind.CALL,
        NotificationKind.RECOVERED,
        NotificationKind.REMINDER,
        NotificationKind.ESCALATION,
    }
)
"""Kinds that wait while their service is silenced."""


async def silenced_line(engine: Engine, notice: Notification, told_at: datetime) -> str:
    """A line that says until when a silence or a window kept the notice back; "" where none did."""
    if notice.kind not in WAIT:
        return ""
    until = await engine.store.read(mutes.silenced_until, notice.service, notice.at, told_at)
    return "" if until is None else f"\n-# was silenced until {moment(until, 'f')}"
