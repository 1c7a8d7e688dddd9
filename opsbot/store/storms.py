"""Storms: alerts of many services combined into one updated message.

Each incident remains separate. Its alert becomes a member of the storm and is withheld together with its other messages
until the storm has passed (open incidents then get their cards) or the incident is resolved (it is then never sent
separately; the storm's message reports the resolution).
"""

import sqlite3
from datetime import datetime

from opsbot.core.model import Acknowledgement, Incident, NotificationKind, Storm
from opsbot.core.storm import WITHIN, StormAlert, StormVerdict, judge, released
from opsbot.store import acks, incident_repository, outbox
from opsbot.store.rows import moment, seconds


def _waiting(db: sqlite3.Connection, now: datetime) -> list[StormAlert]:
    rows = db.execute(
        f"""SELECT n.id, n.subject, n.service, n.at FROM notices n JOIN incidents i ON i.id = n.subject
           WHERE n.kind = 'incident' AND n.told_at IS NULL AND n.dropped IS NULL AND n.digest IS NULL
             AND n.storm IS NULL AND n.tries = 0 AND i.closed_at IS NULL AND NOT {outbox.QUIET}
           ORDER BY n.id""",  # noqa: S608 - a constant
        (seconds(now),),
    )
    return [StormAlert(row["id"], row["subject"], row["service"], moment(row["at"])) for row in rows]


def _recently_alerted(db: sqlite3.Connection, now: datetime) -> set[str]:
    """Return the services alerted within the last minute, separately or by a storm."""
    rows = db.execute(
        """SELECT service FROM notices WHERE kind = 'incident' AND told_at > ?1
           UNION SELECT m.service FROM notices s JOIN notices m ON m.storm = s.id
             WHERE s.kind = 'storm' AND (s.told_at > ?1 OR s.told_at IS NULL AND s.dropped IS NULL)""",
        (seconds(now - WITHIN),),
    )
    return {str(row["service"]) for row in rows}


def assess(db: sqlite3.Connection, now: datetime) -> tuple[StormVerdict, tuple[StormAlert, ...]]:
    """Decide what to do with the waiting alerts; returns the verdict and the alerts."""
    waiting = _waiting(db, now)
    lately = _recently_alerted(db, now) if waiting else set()
    return judge(waiting, lately, now), tuple(waiting)


def gather(db: sqlite3.Connection, now: datetime) -> int | None:
    """Combine the waiting alerts into a storm.

    Returns its notification's id, None if there is no storm.
    """
    verdict, alarms = assess(db, now)
    if verdict is not StormVerdict.GATHER:
        return None
    number = _unsent(db) or _begun(db, alarms[0])
    db.executemany(
        "UPDATE notices SET storm = ?, withheld = 1 WHERE id = ?", [(number, alarm.notice) for alarm in alarms]
    )
    return number


def _unsent(db: sqlite3.Connection) -> int | None:
    """Return a storm that was never tried.

    While Discord is unavailable all alerts join one message.
    """
    row = db.execute(
        "SELECT id FROM notices WHERE kind = 'storm' AND told_at IS NULL AND dropped IS NULL AND tries = 0"
    ).fetchone()
    return None if row is None else int(row["id"])


def _begun(db: sqlite3.Connection, first: StormAlert) -> int:
    key = f"storm:{first.notice}"
    outbox.put(db, key, NotificationKind.STORM, "", first.at)
    return int(db.execute("SELECT id FROM notices WHERE key = ?", (key,)).fetchone()["id"])


def release(db: sqlite3.Connection, now: datetime) -> int:
    """Release the cards of storms that have passed; returns the number of storms."""
    rows = db.execute(
        """SELECT DISTINCT s.id, s.told_at FROM notices m JOIN notices s ON s.id = m.storm
           WHERE m.storm IS NOT NULL AND m.withheld = 1 AND m.told_at IS NULL AND m.dropped IS NULL
             AND s.told_at IS NOT NULL"""
    ).fetchall()
    due = [row["id"] for row in rows if released(moment(row["told_at"]), count_open(db, row["id"]), now)]
    db.executemany("UPDATE notices SET withheld = 0 WHERE storm = ?", [(number,) for number in due])
    return len(due)


def passing(db: sqlite3.Connection, now: datetime) -> bool:
    """Whether `gather` or `release` has something to do."""
    (withheld,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM notices WHERE storm IS NOT NULL AND withheld = 1 AND told_at IS NULL "
        "AND dropped IS NULL)"
    ).fetchone()
    return bool(withheld) or assess(db, now)[0] is StormVerdict.GATHER


def count_open(db: sqlite3.Connection, number: int) -> int:
    (count,) = db.execute(
        "SELECT count(*) FROM notices m JOIN incidents i ON i.id = m.subject WHERE m.storm = ? AND i.closed_at IS NULL",
        (number,),
    ).fetchone()
    return int(count)


def settle(db: sqlite3.Connection, number: int) -> None:
    """Stop updating the message of a storm whose incidents are all resolved."""
    if count_open(db, number) == 0:
        now_at = revision(db, number)
        db.execute("UPDATE notices SET gone = 1 WHERE id = ? AND shown >= ?", (number, now_at))


def members(db: sqlite3.Connection, number: int) -> list[Incident]:
    rows = db.execute(
        "SELECT i.* FROM notices m JOIN incidents i ON i.id = m.subject WHERE m.storm = ? ORDER BY m.id", (number,)
    )
    return [incident_repository.incident_of(row) for row in rows]


def revision(db: sqlite3.Connection, number: int) -> int:
    """Return a storm's revision.

    Incremented by each resolution, acknowledgement and escalation.
    """
    row = db.execute(
        f"SELECT ({outbox.STORM_REVISION}) FROM notices n WHERE n.id = ?",  # noqa: S608 - a constant
        (number,),
    ).fetchone()
    return 0 if row is None else int(row[0])


def seen(db: sqlite3.Connection, number: int) -> Storm:
    incidents = tuple(members(db, number))
    found = (acks.acknowledgement(db, one.id) for one in incidents if one.closed_at is None)
    taken = {one.incident: one for one in found if one is not None and one.void_at is None}
    return Storm(incidents, taken, revision(db, number))


def acknowledge(db: sqlite3.Connection, number: int, actor: str, reason: str, now: datetime) -> tuple[Incident, ...]:
    """Acknowledge every unacknowledged open incident of a storm.

    Returns these incidents.
    """
    unacknowledged = seen(db, number).unacknowledged
    for incident in unacknowledged:
        acks.acknowledge(db, Acknowledgement(incident.id, actor, reason, now))
    return unacknowledged
