"""Many unrelated services become unwell at once: one message in the place of their alarms.

Whoever is woken by ten phones' worth of alarms reads none of them. The first few are told as they come; once there are
more within a minute than somebody reads, the rest is told together.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

MANY = 10
"""So many alarms within `WITHIN` are told one by one: what fits a screen, and what Discord takes in ten seconds."""
WITHIN = timedelta(minutes=1)
SETTLE = timedelta(seconds=5)
"""How long an alarm of a storm waits for others, so that they are one message."""
FEW = 3
"""Fewer than this are no storm of their own: they are told one by one."""
CARDS_AFTER = timedelta(minutes=5)
"""From the message to cards for those that are still unwell, where these are `MANY` at most."""
CARDS_AT_LAST = timedelta(minutes=15)
"""By then each that is still unwell gets its card, however many these are."""


@dataclass(frozen=True, slots=True)
class StormAlert:
    """One that waits to be told. `incident` is its incident's id."""

    notice: int
    incident: int
    service: str
    at: datetime


class StormVerdict(Enum):
    """What is to be done with the alarms that wait."""

    TELL = "tell"
    """Each by itself."""
    HOLD = "hold"
    """None yet: more may come."""
    GATHER = "gather"
    """All by one message."""


def judge(waiting: Sequence[StormAlert], lately: Collection[str], now: datetime) -> StormVerdict:
    """What is to be done. lately: the services whose alarms were told within `WITHIN`. A service counts once."""
    services = {alarm.service for alarm in waiting}
    if not waiting or len(services | set(lately)) <= MANY:
        return StormVerdict.TELL
    if now - min(alarm.at for alarm in waiting) < SETTLE:
        return StormVerdict.HOLD
    return StormVerdict.GATHER if len(services) >= FEW else StormVerdict.TELL


def released(told_at: datetime, unwell: int, now: datetime) -> bool:
    """Whether those still unwell of a storm get their cards now."""
    return now - told_at >= (CARDS_AFTER if unwell <= MANY else CARDS_AT_LAST)
