"""Reminders at growing intervals, and one escalation, until acknowledged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class ReminderSchedule:
    """How often people were reminded of one incident.

    since: from when it is counted: its beginning, or when its acknowledgement became void.
    """

    incident: int
    since: datetime
    reminders: int = 0
    reminded_at: datetime | None = None
    escalated_at: datetime | None = None


def reminded(
    paging: ReminderSchedule,
    distances: Sequence[timedelta],
    told_at: datetime | None,
    quiet_until: datetime | None,
    now: datetime,
) -> ReminderSchedule | None:
    """The schedule after the reminder that is due now; None where none is due.

    distances: before the first reminder, the second and so on; the last one is repeated, none at all turns them off.
    told_at: the last notification; before it there is nothing to remind of. quiet_until: the end of the last silence,
    which restarts the interval.
    """
    if not distances or told_at is None:
        return None
    distance = distances[min(paging.reminders, len(distances) - 1)]
    last = max(filter(None, (paging.since, told_at, paging.reminded_at, quiet_until)))
    if now - last < distance:
        return None
    return replace(paging, reminders=paging.reminders + 1, reminded_at=now)


def escalated(
    paging: ReminderSchedule, after: timedelta | None, quiet_until: datetime | None, now: datetime
) -> ReminderSchedule | None:
    """The schedule after the escalation that is due now; None where none is.

    after: how long an incident may be unacknowledged; None turns it off. It counts from the beginning and not from
    the message in Discord: other notifiers may be the only way left.
    """
    if after is None or paging.escalated_at is not None:
        return None
    if now - max(filter(None, (paging.since, quiet_until))) < after:
        return None
    return replace(paging, escalated_at=now)
