"""Acknowledgements of incidents, reminders and escalation."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.message import Message, encode
from opsbot.core.model import Acknowledgement, NotificationKind
from opsbot.core.reminders import ReminderSchedule, escalated, reminded
from opsbot.store import outbox
from opsbot.store.rows import from_row, maybe_moment, message_out, moment, put_row, seconds

Also = Callable[[sqlite3.Connection, int, datetime], None]
"""A write to add to the transaction of an escalation, called with the incident's id and the time."""


def acknowledgement(db: sqlite3.Connection, incident: int) -> Acknowledgement | None:
    """Return the last acknowledgement of an incident; it may be void."""
    row = db.execute("SELECT * FROM acknowledgements WHERE incident = ?", (incident,)).fetchone()
    return None if row is None else from_row(Acknowledgement, row)


def _open_service(db: sqlite3.Connection, incident: int) -> str | None:
    row = db.execute("SELECT service FROM incidents WHERE id = ? AND closed_at IS NULL", (incident,)).fetchone()
    return None if row is None else str(row["service"])


def _moved_on(db: sqlite3.Connection, incident: int) -> None:
    db.execute("UPDATE incidents SET revision = revision + 1 WHERE id = ?", (incident,))


def acknowledge(db: sqlite3.Connection, value: Acknowledgement) -> bool:
    """Store an acknowledgement with its timeline entry; False if it is resolved."""
    service = _open_service(db, value.incident)
    if service is None:
        return False
    db.execute(
        """INSERT INTO acknowledgements (incident, actor, reason, at) VALUES (?, ?, ?, ?)
           ON CONFLICT (incident) DO UPDATE SET actor = excluded.actor, reason = excluded.reason, at = excluded.at,
             void_at = NULL, void_why = '', changes = changes + 1""",
        (value.incident, value.actor, value.reason, seconds(value.at)),
    )
    _moved_on(db, value.incident)
    taken = event(IncidentEventKind.ACKNOWLEDGED, value.at, actor=value.actor, reason=value.reason)
    outbox.line(db, value.incident, service, taken)
    return True


def void(db: sqlite3.Connection, incident: int, why: Message, now: datetime, *, remind: bool = True) -> bool:
    """Void an acknowledgement because the incident got worse.

    False if there was none.

    why: the event that made it worse. remind: queue a reminder at once; unnecessary if another message notifies people
    anyway.
    """
    cursor = db.execute(
        """UPDATE acknowledgements SET void_at = ?, void_why = ?, changes = changes + 1
           WHERE incident = ? AND void_at IS NULL""",
        (seconds(now), message_out(why), incident),
    )
    service = _open_service(db, incident)
    if cursor.rowcount != 1 or service is None:
        return False
    _moved_on(db, incident)
    put_row(db, "pagings", ReminderSchedule(incident, now))
    outbox.line(db, incident, service, event(IncidentEventKind.ACKNOWLEDGEMENT_VOID, now, why=why))
    if remind:
        body: dict[str, object] = {"why": encode(why)}
        key = f"reminder:{incident}:void:{seconds(now):.3f}"
        outbox.put(db, key, NotificationKind.REMINDER, service, now, subject=incident, body=body)
    return True


def paging(db: sqlite3.Connection, incident: int, opened_at: datetime) -> ReminderSchedule:
    row = db.execute("SELECT * FROM pagings WHERE incident = ?", (incident,)).fetchone()
    return ReminderSchedule(incident, opened_at) if row is None else from_row(ReminderSchedule, row)


@dataclass(frozen=True, slots=True)
class Rules:
    """Reminder and escalation settings of `[alerts]`. role: whom to ping, if anyone."""

    remind: tuple[timedelta, ...]
    escalate_after: timedelta
    role: int | None


def page(db: sqlite3.Connection, rules: Rules, now: datetime, also: Sequence[Also] = ()) -> int:
    """Queue due reminders and escalations of open incidents; returns their number."""
    done = 0
    for row in db.execute("SELECT id, service, opened_at FROM incidents WHERE closed_at IS NULL").fetchall():
        number, service = int(row["id"]), str(row["service"])
        found = acknowledgement(db, number)
        if found is not None and found.void_at is None:
            continue
        quiet = _quiet_until(db, service, now)
        if quiet is not None and quiet > now:
            continue
        known = paging(db, number, moment(row["opened_at"]))
        done += _remind(db, known, service, rules, quiet, now)
        done += _escalate(db, paging(db, number, moment(row["opened_at"])), service, rules, quiet, now, also)
    return done


def _quiet_until(db: sqlite3.Connection, service: str, now: datetime) -> datetime | None:
    """Return the end of a subject's last silence or mute, if it had one."""
    row = db.execute(
        """SELECT max(until) AS until FROM quiet WHERE at <= ?2
             AND (service = ?1 OR (service = 'host:*' AND ?1 LIKE 'host:%'))""",
        (service, seconds(now)),
    ).fetchone()
    return maybe_moment(row["until"])


def _remind(
    db: sqlite3.Connection, known: ReminderSchedule, service: str, rules: Rules, quiet: datetime | None, now: datetime
) -> bool:
    after = reminded(known, rules.remind, _told_at(db, known.incident), quiet, now)
    if after is None or _pending(db, known.incident):
        return False
    put_row(db, "pagings", after)
    key = f"reminder:{known.incident}:{known.since.timestamp():.3f}:{after.reminders}"
    body: dict[str, object] = {"count": after.reminders}
    return outbox.put(db, key, NotificationKind.REMINDER, service, now, subject=known.incident, body=body)


def _escalate(
    db: sqlite3.Connection,
    known: ReminderSchedule,
    service: str,
    rules: Rules,
    quiet: datetime | None,
    now: datetime,
    also: Sequence[Also],
) -> bool:
    after = escalated(known, rules.escalate_after, quiet, now)
    if after is None or (rules.role is None and not also):
        return False
    put_row(db, "pagings", after)
    if rules.role is not None:
        key = f"escalation:{known.incident}:{known.since.timestamp():.3f}"
        body: dict[str, object] = {"role": str(rules.role)}
        outbox.put(db, key, NotificationKind.ESCALATION, service, now, subject=known.incident, body=body)
    outbox.line(db, known.incident, service, event(IncidentEventKind.UNACKNOWLEDGED, now))
    for write in also:
        write(db, known.incident, now)
    return True


def _pending(db: sqlite3.Connection, incident: int) -> bool:
    """Whether an alert, escalation or reminder is unsent: no further one is added."""
    row = db.execute(
        """SELECT 1 FROM notices WHERE subject = ? AND kind IN ('incident', 'call', 'reminder')
             AND told_at IS NULL AND dropped IS NULL""",
        (incident,),
    ).fetchone()
    return row is not None


def _told_at(db: sqlite3.Connection, incident: int) -> datetime | None:
    row = db.execute(
        "SELECT max(told_at) AS at FROM notices WHERE subject = ? AND kind IN ('incident', 'call')", (incident,)
    ).fetchone()
    return maybe_moment(row["at"])
