"""Digests: notices that are told together, by one message, each once like any other."""

import sqlite3
from datetime import datetime

from opsbot.core.model import Notification, NotificationKind
from opsbot.store import outbox
from opsbot.store.rows import seconds

_OVER = f"""
    told_at IS NULL AND dropped IS NULL AND digest IS NULL AND storm IS NULL AND tries = 0 AND at < ?1
    AND NOT (kind IN {outbox.WAKING}
             AND EXISTS (SELECT 1 FROM quiet q WHERE q.at <= ?2 AND q.until > ?2
               AND (q.service = notices.service OR (q.service = 'host:*' AND notices.service LIKE 'host:%'))))
    AND (kind IN ('word', 'source')
         OR (kind IN ('deployment', 'outcome')
             AND subject IN (SELECT id FROM deployments WHERE finished_at IS NOT NULL))
         OR (kind = 'incident' AND subject IN (SELECT id FROM incidents WHERE closed_at IS NOT NULL)))
"""  # noqa: S608 - constants


def spooled(db: sqlite3.Connection, before: datetime, now: datetime) -> int:
    """How many notices that are over wait since before then, and could be told together."""
    (count,) = db.execute(
        f"SELECT count(*) FROM notices WHERE {_OVER}",  # noqa: S608 - a constant
        (seconds(before), seconds(now)),
    ).fetchone()
    return int(count)


def gather(db: sqlite3.Connection, before: datetime, now: datetime) -> int | None:
    """Make a digest of all that is over and waits since before then; its id, None where there is nothing.

    With an incident goes everything else that is said of it. What may be in the channel already is left out, and what
    goes on: open incidents and unfinished deployments get cards of their own.
    """
    rows = db.execute(
        f"SELECT id, kind, subject FROM notices WHERE {_OVER} ORDER BY id",  # noqa: S608 - a constant
        (seconds(before), seconds(now)),
    ).fetchall()
    if not rows:
        return None
    members = [int(row["id"]) for row in rows]
    outbox.put(db, f"digest:{members[0]}", NotificationKind.DIGEST, "", now)
    row = db.execute("SELECT id FROM notices WHERE key = ?", (f"digest:{members[0]}",)).fetchone()
    number = int(row["id"])
    db.executemany("UPDATE notices SET digest = ? WHERE id = ?", [(number, member) for member in members])
    incidents = [(number, int(row["subject"])) for row in rows if row["kind"] == NotificationKind.INCIDENT]
    db.executemany(
        f"""UPDATE notices SET digest = ? WHERE subject = ? AND kind IN {outbox.OF_INCIDENTS}
              AND told_at IS NULL AND dropped IS NULL""",  # noqa: S608 - a constant
        incidents,
    )
    return number


def members(db: sqlite3.Connection, number: int) -> list[Notification]:
    """What a digest tells, in order; of an incident its card alone."""
    rows = db.execute(
        f"""SELECT * FROM notices WHERE digest = ? AND (kind = 'incident' OR kind NOT IN {outbox.OF_INCIDENTS})
            ORDER BY id""",  # noqa: S608 - a constant
        (number,),
    )
    return [outbox.notice(row) for row in rows]
