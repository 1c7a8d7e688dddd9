"""Storms: the alarms of many services told by one message, which goes on to say which of them are well again.

Each incident stays what it is. Its alarm is a member of the storm and is withheld, with all else that is said of it:
until the storm has passed (then those that are still open get their cards), or until the incident is over (then it is
never told by itself: the storm's message says that it is over).
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from opsbot.core.model import Acknowledgement, Incident, NotificationKind
from opsbot.core.storm import WITHIN, StormAlert, StormVerdict, judge, released
from opsbot.store import acks, incident_repository, outbox
from opsbot.store.rows import moment, seconds


def _waiting(db: sqlite3.Connection, now: datetime) -> list[StormAlert]:
    rows = db.execute(
        """SELECT n.id, n.subject, n.service, n.at FROM notices n JOIN incidents i ON i.id = n.subject
           WHERE n.kind = 'incident' AND n.told_at IS NULL AND n.dropped IS NULL AND n.digest IS NULL
             AND n.storm IS NULL AND n.tries = 0 AND i.closed_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM quiet q WHERE q.at <= ?1 AND q.until > ?1
               AND (q.service = n.service OR (q.service = 'host:*' AND n.service LIKE 'host:%')))
           ORDER BY n.id""",
        (seconds(now),),
    )
    return [StormAlert(row["id"], row["subject"], row["service"], moment(row["at"])) for row in rows]


def _lately(db: sqlite3.Connection, now: datetime) -> set[str]:
    """The services whose alarms were told within a minute, by themselves or by a storm."""
    rows = db.execute(
        """SELECT service FROM notices WHERE kind = 'incident' AND told_at > ?1
           UNION SELECT m.service FROM notices s JOIN notices m ON m.storm = s.id
             WHERE s.kind = 'storm' AND (s.told_at > ?1 OR s.told_at IS NULL AND s.dropped IS NULL)""",
        (seconds(now - WITHIN),),
    )
    return {str(row["service"]) for row in rows}


def look(db: sqlite3.Connection, now: datetime) -> tuple[StormVerdict, tuple[StormAlert, ...]]:
    """What is to be done with the alarms that wait, and which these are."""
    waiting = _waiting(db, now)
    lately = _lately(db, now) if waiting else set()
    return judge(waiting, lately, now), tuple(waiting)


def gather(db: sqlite3.Connection, now: datetime) -> int | None:
    """Put the alarms that wait into a storm; its notice's id, None where it does not storm."""
    verdict, alarms = look(db, now)
    if verdict is not StormVerdict.GATHER:
        return None
    number = _untold(db) or _begun(db, alarms[0])
    db.executemany(
        "UPDATE notices SET storm = ?, withheld = 1 WHERE id = ?", [(number, alarm.notice) for alarm in alarms]
    )
    return number


def _untold(db: sqlite3.Connection) -> int | None:
    """A storm that was not even tried to be told: while Discord is away all that comes is to be one message."""
    row = db.execute(
        "SELECT id FROM notices WHERE kind = 'storm' AND told_at IS NULL AND dropped IS NULL AND tries = 0"
    ).fetchone()
    return None if row is None else int(row["id"])


def _begun(db: sqlite3.Connection, first: StormAlert) -> int:
    key = f"storm:{first.notice}"
    outbox.put(db, key, NotificationKind.STORM, "", first.at)
    return int(db.execute("SELECT id FROM notices WHERE key = ?", (key,)).fetchone()["id"])


def release(db: sqlite3.Connection, now: datetime) -> int:
    """Withhold no longer the cards of storms that have passed; of how many storms."""
    rows = db.execute(
        """SELECT DISTINCT s.id, s.told_at FROM notices m JOIN notices s ON s.id = m.storm
           WHERE m.storm IS NOT NULL AND m.withheld = 1 AND m.told_at IS NULL AND m.dropped IS NULL
             AND s.told_at IS NOT NULL"""
    ).fetchall()
    due = [row["id"] for row in rows if released(moment(row["told_at"]), unwell(db, row["id"]), now)]
    db.executemany("UPDATE notices SET withheld = 0 WHERE storm = ?", [(number,) for number in due])
    return len(due)


def passing(db: sqlite3.Connection, now: datetime) -> bool:
    """Whether `gather` or `release` has something to do."""
    (withheld,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM notices WHERE storm IS NOT NULL AND withheld = 1 AND told_at IS NULL "
        "AND dropped IS NULL)"
    ).fetchone()
    return bool(withheld) or look(db, now)[0] is StormVerdict.GATHER


def unwell(db: sqlite3.Connection, number: int) -> int:
    """How many of a storm's incidents are open."""
    (count,) = db.execute(
        "SELECT count(*) FROM notices m JOIN incidents i ON i.id = m.subject WHERE m.storm = ? AND i.closed_at IS NULL",
        (number,),
    ).fetchone()
    return int(count)


def settle(db: sqlite3.Connection, number: int) -> None:
    """A storm of which all is over, and whose message says so, is a card no longer: it is not looked at again."""
    if unwell(db, number) == 0:
        now_at = revision(db, number)
        db.execute("UPDATE notices SET gone = 1 WHERE id = ? AND shown >= ?", (number, now_at))


def members(db: sqlite3.Connection, number: int) -> list[Incident]:
    """The incidents of a storm, in the order in which they were opened."""
    rows = db.execute(
        "SELECT i.* FROM notices m JOIN incidents i ON i.id = m.subject WHERE m.storm = ? ORDER BY m.id", (number,)
    )
    return [incident_repository.incident_of(row) for row in rows]


def revision(db: sqlite3.Connection, number: int) -> int:
    """How often a storm has changed; grows with each incident that ends, is taken, or for which a human is called."""
    row = db.execute(
        f"SELECT ({outbox.STORM_REVISION}) FROM notices n WHERE n.id = ?",  # noqa: S608 - a constant
        (number,),
    ).fetchone()
    return 0 if row is None else int(row[0])


@dataclass(frozen=True, slots=True)
class Seen:
    """A storm at one moment. taken: who has acknowledged which of its open incidents, by the incident's id."""

    incidents: tuple[Incident, ...]
    taken: Mapping[int, Acknowledgement]
    revision: int

    @property
    def untaken(self) -> tuple[Incident, ...]:
        """Its open incidents that nobody has acknowledged."""
        return tuple(one for one in self.incidents if one.closed_at is None and one.id not in self.taken)


def seen(db: sqlite3.Connection, number: int) -> Seen:
    """How a storm stands."""
    incidents = tuple(members(db, number))
    found = (acks.acknowledgement(db, one.id) for one in incidents if one.closed_at is None)
    taken = {one.incident: one for one in found if one is not None and one.void_at is None}
    return Seen(incidents, taken, revision(db, number))


def acknowledge(db: sqlite3.Connection, number: int, actor: str, reason: str, now: datetime) -> tuple[Incident, ...]:
    """Take every open incident of a storm that nobody has taken; which these are."""
    untaken = seen(db, number).untaken
    for incident in untaken:
        acks.acknowledge(db, Acknowledgement(incident.id, actor, reason, now))
    return untaken
