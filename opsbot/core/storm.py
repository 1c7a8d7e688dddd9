"""Alert storms: one message when many unrelated services go down at once.

The first alerts are sent as they come; once there are more within a minute than a person reads, the rest is combined.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

MANY = 10
"""So many alerts within `WITHIN` are sent one by one: what fits a screen, and what Discord takes in ten seconds."""
WITHIN = timedelta(minutes=1)
SETTLE = timedelta(seconds=5)
"""How long an alert waits for others of its storm."""
FEW = 3
"""Fewer alerts than this are sent one by one."""
CARDS_AFTER = timedelta(minutes=5)
"""From the message to cards for those still down, if there are `MANY` at most."""
CARDS_AT_LAST = timedelta(minutes=15)
"""From the message to cards for all that are still down."""


@dataclass(frozen=True, slots=True)
class StormAlert:
    """An alert that waits. `incident` is its incident's id."""

    notice: int
    incident: int
    service: str
    at: datetime


class StormVerdict(Enum):
    """What to do with the alerts that wait."""

    TELL = "tell"  # each by itself
    HOLD = "hold"  # none yet: more may come
    GATHER = "gather"  # all by one message


def judge(waiting: Sequence[StormAlert], lately: Collection[str], now: datetime) -> StormVerdict:
    """What to do. lately: services with alerts sent within `WITHIN`; each counts once."""
    services = {alarm.service for alarm in waiting}
    if not waiting or len(services | set(lately)) <= MANY:
        return StormVerdict.TELL
    if now - min(alarm.at for alarm in waiting) < SETTLE:
        return StormVerdict.HOLD
    return StormVerdict.GATHER if len(services) >= FEW else StormVerdict.TELL


def released(sent_at: datetime, down: int, now: datetime) -> bool:
    """Whether the services of a storm that are still down get their cards now."""
    return now - sent_at >= (CARDS_AFTER if down <= MANY else CARDS_AT_LAST)
