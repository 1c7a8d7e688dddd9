"""The outbox: what the channel is to be told, in order, each once.

A notice is written in the transaction of the thing it tells of. The one sender takes the untold ones in order, marks
each tried before it sends and told after; a notice found tried but not told is in doubt, and is looked for in the
channel's history before it is sent again.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from opsbot.core.model import Notice, NoticeKind
from opsbot.store.rows import dump, load, maybe_moment, moment, seconds


def notice(row: sqlite3.Row) -> Notice:
    """A row as a value."""
    return Notice(
        id=row["id"],
        key=row["key"],
        kind=NoticeKind(row["kind"]),
        service=row["service"],
        at=moment(row["at"]),
        subject=row["subject"],
        body=load(row["body"]),
        tried_at=maybe_moment(row["tried_at"]),
        tries=row["tries"],
        told_at=maybe_moment(row["told_at"]),
        channel_id=row["channel_id"],
        message_id=row["message_id"],
        shown=row["shown"],
    )


def put(
    db: sqlite3.Connection,
    key: str,
    kind: NoticeKind,
    service: str,
    now: datetime,
    *,
    subject: int | None = None,
    body: dict[str, object] | None = None,
) -> bool:
    """Add a notice; False where its key is there already (the same thing is told once)."""
    cursor = db.execute(
        "INSERT OR IGNORE INTO notices (key, kind, service, subject, body, at) VALUES (?, ?, ?, ?, ?, ?)",
        (key, kind, service, subject, dump(body or {}), seconds(now)),
    )
    return cursor.rowcount == 1


def unknown(db: sqlite3.Connection, keys: Sequence[str]) -> set[str]:
    """Those of these keys that no notice has or had."""
    rows = db.execute("SELECT key FROM notices WHERE key IN (SELECT value FROM json_each(?))", (dump(list(keys)),))
    return set(keys) - {str(row["key"]) for row in rows}


def put_for(
    db: sqlite3.Connection, key: str, service: str, stands_for: Sequence[str], now: datetime, *, body: dict[str, object]
) -> bool:
    """Add a plain notice that tells what these others would: their keys count as told with it."""
    if not put(db, key, NoticeKind.WORD, service, now, body=body):
        return False
    for other in stands_for:
        if put(db, other, NoticeKind.WORD, "", now):
            db.execute("UPDATE notices SET dropped = ? WHERE key = ?", (f"told with {key}", other))
    return True


def untold(db: sqlite3.Connection, now: datetime, limit: int = 50) -> list[Notice]:
    """What is still to be sent, in order. While a service is silenced, its incidents wait (deployments do not)."""
    rows = db.execute(
        """SELECT * FROM notices WHERE told_at IS NULL AND dropped IS NULL
             AND NOT (kind IN ('incident', 'recovered', 'call')
                      AND EXISTS (SELECT 1 FROM quiet q WHERE q.at <= ?1 AND q.until > ?1
                        AND (q.service = notices.service
                             OR (q.service = 'host:*' AND notices.service LIKE 'host:%'))))
           ORDER BY id LIMIT ?2""",
        (seconds(now), limit),
    )
    return [notice(row) for row in rows]


def trying(db: sqlite3.Connection, number: int, now: datetime) -> bool:
    """About to send it; False where it was told or dropped meanwhile."""
    cursor = db.execute(
        "UPDATE notices SET tried_at = ?, tries = tries + 1 WHERE id = ? AND told_at IS NULL AND dropped IS NULL",
        (seconds(now), number),
    )
    return cursor.rowcount == 1


def told(db: sqlite3.Connection, number: int, now: datetime, *, channel: int, message: int, shown: int = -1) -> bool:
    """It is in the channel, as this message, showing that revision of its subject."""
    cursor = db.execute(
        """UPDATE notices SET told_at = ?, channel_id = ?, message_id = ?, shown = ?, failure = ''
           WHERE id = ? AND told_at IS NULL""",
        (seconds(now), channel, message, shown, number),
    )
    return cursor.rowcount == 1


def failed(db: sqlite3.Connection, number: int, failure: str) -> None:
    """It could not be sent this time."""
    db.execute("UPDATE notices SET failure = ? WHERE id = ?", (failure, number))


def drop(db: sqlite3.Connection, number: int, why: str) -> None:
    """It needs no telling any more (its subject came and went in silence), or Discord will never take it."""
    db.execute("UPDATE notices SET dropped = ? WHERE id = ? AND told_at IS NULL", (why, number))


def over(db: sqlite3.Connection, key: str) -> None:
    """What a told notice says is over: should it come again, a notice of that key is told again."""
    db.execute(
        "UPDATE notices SET key = key || ':over:' || id WHERE key = ? AND (told_at IS NOT NULL OR dropped IS NOT NULL)",
        (key,),
    )


def stale_cards(db: sqlite3.Connection, limit: int = 50) -> list[Notice]:
    """Cards whose subject has moved on since they were last edited, oldest first."""
    rows = db.execute(
        """SELECT n.* FROM notices n
             LEFT JOIN deployments d ON n.kind = 'deployment' AND d.id = n.subject
             LEFT JOIN incidents i ON n.kind = 'incident' AND i.id = n.subject
           WHERE n.told_at IS NOT NULL AND n.gone = 0 AND n.shown < coalesce(d.revision, i.revision)
           ORDER BY n.id LIMIT ?""",
        (limit,),
    )
    return [notice(row) for row in rows]


def shown(db: sqlite3.Connection, number: int, revision: int) -> None:
    """The card now shows that revision."""
    db.execute("UPDATE notices SET shown = ? WHERE id = ? AND shown < ?", (revision, number, revision))


def gone(db: sqlite3.Connection, number: int) -> None:
    """The message was deleted: it is not edited any more."""
    db.execute("UPDATE notices SET gone = 1 WHERE id = ?", (number,))


def card(db: sqlite3.Connection, kind: NoticeKind, subject: int) -> Notice | None:
    """The card of a deployment or an incident."""
    row = db.execute("SELECT * FROM notices WHERE kind = ? AND subject = ?", (kind, subject)).fetchone()
    return None if row is None else notice(row)


def waiting(db: sqlite3.Connection) -> tuple[int, datetime | None]:
    """How many notices are untold, and since when the oldest waits."""
    row = db.execute(
        "SELECT count(*) AS n, min(at) AS at FROM notices WHERE told_at IS NULL AND dropped IS NULL"
    ).fetchone()
    return int(row["n"]), maybe_moment(row["at"])


def recent(db: sqlite3.Connection, limit: int = 20) -> list[Notice]:
    """The latest notices about trouble, newest first."""
    rows = db.execute("SELECT * FROM notices WHERE kind <> 'deployment' ORDER BY id DESC LIMIT ?", (limit,))
    return [notice(row) for row in rows]


def prune(db: sqlite3.Connection, before: datetime) -> int:
    """Forget plain notices told before that."""
    return db.execute(
        "DELETE FROM notices WHERE (told_at < ?1 OR (dropped IS NOT NULL AND at < ?1)) AND kind <> 'deployment'",
        (seconds(before),),
    ).rowcount
