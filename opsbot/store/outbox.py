"""The outbox: what the channel is to be told, in order, each once.

A notice is written in the transaction of the thing it tells of. The one sender takes the untold ones in order, marks
each tried before it sends and told after; a notice found tried but not told is in doubt, and is looked for in the
channel's history before it is sent again.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from opsbot.core.incident import IncidentEvent, encode_event
from opsbot.core.model import Notification, NotificationKind
from opsbot.store.rows import dump, load, maybe_moment, maybe_seconds, moment, seconds


def notice(row: sqlite3.Row) -> Notification:
    """A row as a value."""
    return Notification(
        id=row["id"],
        key=row["key"],
        kind=NotificationKind(row["kind"]),
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
        dropped=row["dropped"] is not None,
        digest=row["digest"],
        storm=row["storm"],
    )


def put(
    db: sqlite3.Connection,
    key: str,
    kind: NotificationKind,
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
    if not put(db, key, NotificationKind.WORD, service, now, body=body):
        return False
    for other in stands_for:
        if put(db, other, NotificationKind.WORD, "", now):
            db.execute("UPDATE notices SET dropped = ? WHERE key = ?", (f"told with {key}", other))
    return True


WAKING = "('incident', 'recovered', 'call', 'reminder', 'escalation')"
"""Kinds that wait while their service is silenced."""
OF_INCIDENTS = "('incident', 'recovered', 'call', 'reminder', 'escalation', 'timeline')"

_WITHHELD = f"""(n.kind IN {OF_INCIDENTS} AND EXISTS (
                  SELECT 1 FROM notices w WHERE w.kind = 'incident' AND w.subject = n.subject AND w.withheld = 1
                    AND w.told_at IS NULL AND w.dropped IS NULL))"""  # noqa: S608 - constants
"""What is said of an incident whose alarm a storm has told, as long as the storm lasts."""


_QUIET = """EXISTS (SELECT 1 FROM quiet q WHERE q.at <= ?1 AND q.until > ?1
                      AND (q.service = n.service OR (q.service = 'host:*' AND n.service LIKE 'host:%')))"""
"""Whether its subject is silenced, or in a window, at the moment ?1."""


def pending(db: sqlite3.Connection, now: datetime, limit: int = 50) -> list[Notification]:
    """What is still to be sent, in order. While a service is silenced, its incidents wait (deployments do not).

    What may be in the channel already comes first, then a digest or a storm, then all the rest in the order in which it
    happened. Lines of timelines come last, and only once their incident's card is told (or never will be). What a storm
    withholds is left out.
    """
    rows = db.execute(
        f"""SELECT n.* FROM notices n WHERE told_at IS NULL AND dropped IS NULL AND digest IS NULL
              AND NOT (kind IN {WAKING}
                       AND {_QUIET})
              AND NOT {_WITHHELD}
              AND (kind <> 'timeline' OR NOT EXISTS (
                  SELECT 1 FROM notices c WHERE c.kind = 'incident' AND c.subject = n.subject
                    AND c.told_at IS NULL AND c.dropped IS NULL))
            ORDER BY kind = 'timeline', tries = 0, kind NOT IN ('digest', 'storm'), id LIMIT ?2""",  # noqa: S608 - a constant
        (seconds(now), limit),
    )
    return [notice(row) for row in rows]


def lines(db: sqlite3.Connection, incident: int) -> list[Notification]:
    """The untold lines of an incident's timeline, in order."""
    rows = db.execute(
        """SELECT * FROM notices WHERE kind = 'timeline' AND subject = ?
             AND told_at IS NULL AND dropped IS NULL AND digest IS NULL ORDER BY id""",
        (incident,),
    )
    return [notice(row) for row in rows]


def line(
    db: sqlite3.Connection, incident: int, service: str, happened: IncidentEvent, noticed: datetime | None = None
) -> None:
    """Add a line about an event to an incident's timeline. `body`: event, encoded.

    noticed: from when on telling it is late, where that is not when it happened.
    """
    query = "SELECT count(*) FROM notices WHERE kind = 'timeline' AND subject = ?"
    (count,) = db.execute(query, (incident,)).fetchone()
    key = f"line:{incident}:{seconds(happened.at):.6f}:{count}"
    body: dict[str, object] = {"event": encode_event(happened)}
    put(db, key, NotificationKind.TIMELINE, service, noticed or happened.at, subject=incident, body=body)


def messages(db: sqlite3.Connection, channel: int) -> set[int]:
    """The messages of a channel or thread that are known to tell something."""
    rows = db.execute("SELECT message_id FROM notices WHERE channel_id = ? AND message_id IS NOT NULL", (channel,))
    return {int(row["message_id"]) for row in rows}


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
    # A digest tells its members with it; they are no cards, and never edited.
    db.execute(
        """UPDATE notices SET told_at = ?, channel_id = ?, message_id = ?, gone = 1
           WHERE digest = ? AND told_at IS NULL""",
        (seconds(now), channel, message, number),
    )
    return cursor.rowcount == 1


def anew(db: sqlite3.Connection, number: int) -> None:
    """Its message was deleted: it is to be told once more, as a new message."""
    row = db.execute("SELECT body FROM notices WHERE id = ?", (number,)).fetchone()
    if row is None:
        return
    body = load(row["body"])
    body["anew"] = int(body.get("anew", 0)) + 1
    db.execute(
        """UPDATE notices SET told_at = NULL, tried_at = NULL, tries = 0, channel_id = NULL, message_id = NULL,
             shown = -1, gone = 0, body = ? WHERE id = ? AND told_at IS NOT NULL""",
        (dump(body), number),
    )


def failed(db: sqlite3.Connection, number: int, failure: str) -> None:
    """It could not be sent this time."""
    db.execute("UPDATE notices SET failure = ? WHERE id = ?", (failure, number))


def drop(db: sqlite3.Connection, number: int, why: str) -> None:
    """It needs no telling any more (its subject came and went in silence), or Discord will never take it."""
    db.execute("UPDATE notices SET dropped = ? WHERE id = ? AND told_at IS NULL", (why, number))
    # A digest that cannot be told: each of its members is told by itself, and not gathered again.
    db.execute("UPDATE notices SET digest = NULL, tries = 1 WHERE digest = ? AND told_at IS NULL", (number,))
    db.execute(
        "UPDATE notices SET storm = NULL, withheld = 0, tries = 1 WHERE storm = ? AND told_at IS NULL", (number,)
    )


def over(db: sqlite3.Connection, key: str) -> None:
    """What a told notice says is over: should it come again, a notice of that key is told again."""
    db.execute(
        "UPDATE notices SET key = key || ':over:' || id WHERE key = ? AND (told_at IS NOT NULL OR dropped IS NOT NULL)",
        (key,),
    )


STORM_REVISION = """SELECT count(m.closed_at) + count(m.called_at) + coalesce(sum(a.changes), 0)
  FROM notices o JOIN incidents m ON m.id = o.subject LEFT JOIN acknowledgements a ON a.incident = m.id
  WHERE o.storm = n.id"""
"""SQL: how often the storm of the notice `n` has changed. Each of its incidents that ends, is taken, or for which a
human is called counts."""


BESIDE_REVISION = """2 * (SELECT coalesce(sum(a.changes), 0) FROM acknowledgements a WHERE a.incident = b.id)
  + (b.closed_at IS NOT NULL) + 0 * b.id"""
"""SQL: the revision of a message beside the card of the incident `b`: it changes with who has it, and at its end."""


def beside_revision(db: sqlite3.Connection, incident: int) -> int:
    """What a message beside an incident's card (a call, a reminder, an escalation) shows when it is sent now."""
    row = db.execute(f"SELECT {BESIDE_REVISION} FROM incidents b WHERE b.id = ?", (incident,)).fetchone()  # noqa: S608 - a constant
    return -1 if row is None else int(row[0])


def stale_cards(db: sqlite3.Connection, limit: int = 50) -> list[Notification]:
    """Cards whose subject has moved on since they were last edited, oldest first; and sentences that count."""
    rows = db.execute(
        f"""SELECT n.* FROM notices n
              LEFT JOIN deployments d ON n.kind = 'deployment' AND d.id = n.subject
              LEFT JOIN incidents i ON n.kind = 'incident' AND i.id = n.subject
              LEFT JOIN incidents b ON n.kind IN ('call', 'reminder', 'escalation') AND b.id = n.subject
            WHERE n.told_at IS NOT NULL AND n.gone = 0 AND n.shown < coalesce(
              d.revision, i.revision, {BESIDE_REVISION}, CASE n.kind WHEN 'storm' THEN ({STORM_REVISION})
                                                 WHEN 'word' THEN json_extract(n.body, '$.revision') END)
            ORDER BY n.id LIMIT ?""",  # noqa: S608 - a constant
        (limit,),
    )
    return [notice(row) for row in rows]


def shown(db: sqlite3.Connection, number: int, revision: int) -> None:
    """The card now shows that revision."""
    db.execute("UPDATE notices SET shown = ? WHERE id = ? AND shown < ?", (revision, number, revision))


def gone(db: sqlite3.Connection, number: int) -> None:
    """The message was deleted: it is not edited any more."""
    db.execute("UPDATE notices SET gone = 1 WHERE id = ?", (number,))


def card(db: sqlite3.Connection, kind: NotificationKind, subject: int) -> Notification | None:
    """The card of a deployment or an incident."""
    row = db.execute("SELECT * FROM notices WHERE kind = ? AND subject = ?", (kind, subject)).fetchone()
    return None if row is None else notice(row)


def waiting(db: sqlite3.Connection, now: datetime | None = None) -> tuple[int, datetime | None]:
    """How many notices are untold, and since when the oldest waits. What a storm has told does not count.

    now: neither does what a silence or a window holds back at that moment.
    """
    row = db.execute(
        f"""SELECT count(*) AS n, min(at) AS at FROM notices n
            WHERE told_at IS NULL AND dropped IS NULL AND NOT {_WITHHELD}
              AND NOT (kind IN {OF_INCIDENTS} AND {_QUIET})""",  # noqa: S608 - constants
        (maybe_seconds(now),),
    ).fetchone()
    return int(row["n"]), maybe_moment(row["at"])


def recent(db: sqlite3.Connection, limit: int = 20) -> list[Notification]:
    """The latest notices about trouble, newest first."""
    rows = db.execute("SELECT * FROM notices WHERE kind <> 'deployment' ORDER BY id DESC LIMIT ?", (limit,))
    return [notice(row) for row in rows]


def prune(db: sqlite3.Connection, before: datetime) -> int:
    """Forget plain notices told before that."""
    return db.execute(
        "DELETE FROM notices WHERE (told_at < ?1 OR (dropped IS NOT NULL AND at < ?1)) AND kind <> 'deployment'",
        (seconds(before),),
    ).rowcount
