"""Digests: notifications that are combined into one message."""

import sqlite3
from datetime import datetime

from opsbot.core.model import Notification, NotificationKind
from opsbot.store import outbox
from opsbot.store.rows import seconds

_OVER = f"""
    told_at IS NULL AND dropped IS NULL AND digest IS NULL AND storm IS NULL AND tries = 0 AND at < ?2
    AND NOT (kind IN {outbox.WAKING} AND {outbox.QUIET})
    AND (kind IN ('word', 'source')
         OR (kind IN ('deployment', 'outcome')
             AND subject IN (SELECT id FROM deployments WHERE finished_at IS NOT NULL))
         OR (kind = 'incident' AND subject IN (SELECT id FROM incidents WHERE closed_at IS NOT NULL)))
"""  # noqa: S608 - constants


def spooled(db: sqlite3.Connection, before: datetime, now: datetime) -> int:
    (count,) = db.execute(
        f"SELECT count(*) FROM notices n WHERE {_OVER}",  # noqa: S608 - a constant
        (seconds(now), seconds(before)),
    ).fetchone()
    return int(count)


def gather(db: sqlite3.Connection, before: datetime, now: datetime) -> int | None:
    """Combine all concluded notifications that have waited since before then.

    Returns the digest's id, None if none.

    An incident includes everything else about it. Notifications that may already be in the channel are excluded, as are
    open incidents and unfinished deployments, which get their own cards.
    """
    rows = db.execute(
        f"SELECT id, kind, subject FROM notices n WHERE {_OVER} ORDER BY id",  # noqa: S608 - a constant
        (seconds(now), seconds(before)),
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
    """Return a digest's notifications in order; of an incident only its card."""
    rows = db.execute(
        f"""SELECT * FROM notices WHERE digest = ? AND (kind = 'incident' OR kind NOT IN {outbox.OF_INCIDENTS})
            ORDER BY id""",  # noqa: S608 - a constant
        (number,),
    )
    return [outbox.notice(row) for row in rows]
