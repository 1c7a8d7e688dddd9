"""The outbox of the ops channel: notifications in order, each sent once.

A notification is written in the transaction of its cause. The single sender takes unsent ones in order and marks each
as tried before sending it and as sent afterwards. One that was tried but not marked as sent is in doubt: it is searched
for in the channel's history before it is sent again.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from opsbot.core.incident import IncidentEvent, encode_event
from opsbot.core.message import Message, encode
from opsbot.core.model import INCIDENT_KINDS, WAKING_KINDS, Notification, NotificationKind
from opsbot.store.rows import dump, load, maybe_moment, maybe_seconds, moment, seconds


def notice(row: sqlite3.Row) -> Notification:
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
    """Add a notification; False if its key exists, so that each is sent once."""
    cursor = db.execute(
        "INSERT OR IGNORE INTO notices (key, kind, service, subject, body, at) VALUES (?, ?, ?, ?, ?, ?)",
        (key, kind, service, subject, dump(body or {}), seconds(now)),
    )
    return cursor.rowcount == 1


def put_notice(
    db: sqlite3.Connection,
    key: str,
    service: str,
    said: Message,
    now: datetime,
    level: str = "warning",
    chart: dict[str, object] | None = None,
) -> bool:
    """Add a message of no incident and no deployment. level: info, warning or error."""
    body: dict[str, object] = {"text": encode(said), "level": level}
    if chart is not None:
        body["chart"] = chart
    return put(db, key, NotificationKind.WORD, service, now, body=body)


def unknown(db: sqlite3.Connection, keys: Sequence[str]) -> set[str]:
    """Return the keys that no notification has or had."""
    rows = db.execute("SELECT key FROM notices WHERE key IN (SELECT value FROM json_each(?))", (dump(list(keys)),))
    return set(keys) - {str(row["key"]) for row in rows}


def put_for(
    db: sqlite3.Connection, key: str, service: str, stands_for: Sequence[str], now: datetime, *, body: dict[str, object]
) -> bool:
    """Add a message that replaces several others, whose keys count as sent with it."""
    if not put(db, key, NotificationKind.WORD, service, now, body=body):
        return False
    for other in stands_for:
        if put(db, other, NotificationKind.WORD, "", now):
            db.execute("UPDATE notices SET dropped = ? WHERE key = ?", (f"replaced by {key}", other))
    return True


WAKING, OF_INCIDENTS = (str(tuple(map(str, kinds))) for kinds in (WAKING_KINDS, INCIDENT_KINDS))
"""SQL: lists of kinds."""

_WITHHELD = f"""(n.kind IN {OF_INCIDENTS} AND EXISTS (
                  SELECT 1 FROM notices w WHERE w.kind = 'incident' AND w.subject = n.subject AND w.withheld = 1
                    AND w.told_at IS NULL AND w.dropped IS NULL))"""  # noqa: S608 - constants
"""Messages about an incident whose alert is covered by an ongoing storm."""


QUIET = """EXISTS (SELECT 1 FROM quiet q WHERE q.at <= ?1 AND q.until > ?1
                     AND (q.service = n.service OR (q.service = 'host:*' AND n.service LIKE 'host:%')))"""
"""SQL: whether the subject of the notification `n` is silenced or muted at the time ?1."""


def pending(db: sqlite3.Connection, now: datetime, limit: int = 50) -> list[Notification]:
    """Return unsent notifications in order.

    Incidents of silenced services wait; deployments do not.

    Those that may be in the channel already come first, then digests and storms, then all others chronologically.
    Timeline entries come last, and only after their incident's card is sent or dropped. Alerts withheld by a storm are
    excluded.
    """
    rows = db.execute(
        f"""SELECT n.* FROM notices n WHERE told_at IS NULL AND dropped IS NULL AND digest IS NULL
              AND NOT (kind IN {WAKING} AND {QUIET})
              AND NOT {_WITHHELD}
              AND (kind <> 'timeline' OR NOT EXISTS (
                  SELECT 1 FROM notices c WHERE c.kind = 'incident' AND c.subject = n.subject
                    AND c.told_at IS NULL AND c.dropped IS NULL))
            ORDER BY kind = 'timeline', tries = 0, kind NOT IN ('digest', 'storm'), id LIMIT ?2""",  # noqa: S608 - a constant
        (seconds(now), limit),
    )
    return [notice(row) for row in rows]


def lines(db: sqlite3.Connection, incident: int) -> list[Notification]:
    """Return the unsent timeline entries of an incident, in order."""
    rows = db.execute(
        """SELECT * FROM notices WHERE kind = 'timeline' AND subject = ?
             AND told_at IS NULL AND dropped IS NULL AND digest IS NULL ORDER BY id""",
        (incident,),
    )
    return [notice(row) for row in rows]


def line(
    db: sqlite3.Connection, incident: int, service: str, happened: IncidentEvent, noticed: datetime | None = None
) -> None:
    """Add an entry about an event to an incident's timeline. `body`: the event, encoded.

    noticed: the time its delay is measured from, if not when it happened.
    """
    query = "SELECT count(*) FROM notices WHERE kind = 'timeline' AND subject = ?"
    (count,) = db.execute(query, (incident,)).fetchone()
    key = f"line:{incident}:{seconds(happened.at):.6f}:{count}"
    body: dict[str, object] = {"event": encode_event(happened)}
    put(db, key, NotificationKind.TIMELINE, service, noticed or happened.at, subject=incident, body=body)


def messages(db: sqlite3.Connection, channel: int) -> set[int]:
    """Return the messages of a channel or thread that belong to notifications."""
    rows = db.execute("SELECT message_id FROM notices WHERE channel_id = ? AND message_id IS NOT NULL", (channel,))
    return {int(row["message_id"]) for row in rows}


def trying(db: sqlite3.Connection, number: int, now: datetime) -> bool:
    """Mark it as being sent; False if it was sent or dropped meanwhile."""
    cursor = db.execute(
        "UPDATE notices SET tried_at = ?, tries = tries + 1 WHERE id = ? AND told_at IS NULL AND dropped IS NULL",
        (seconds(now), number),
    )
    return cursor.rowcount == 1


def mark_sent(
    db: sqlite3.Connection, number: int, now: datetime, *, channel: int, message: int, shown: int = -1
) -> bool:
    """Mark it as sent, with its message and the revision that the message shows."""
    cursor = db.execute(
        """UPDATE notices SET told_at = ?, channel_id = ?, message_id = ?, shown = ?, failure = ''
           WHERE id = ? AND told_at IS NULL""",
        (seconds(now), channel, message, shown, number),
    )
    # The members of a digest are sent with it; they are no cards and never edited.
    db.execute(
        """UPDATE notices SET told_at = ?, channel_id = ?, message_id = ?, gone = 1
           WHERE digest = ? AND told_at IS NULL""",
        (seconds(now), channel, message, number),
    )
    return cursor.rowcount == 1


def resend(db: sqlite3.Connection, number: int) -> None:
    """Send it again as a new message, because its message was deleted."""
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
    db.execute("UPDATE notices SET failure = ? WHERE id = ?", (failure, number))


def drop(db: sqlite3.Connection, number: int, why: str) -> None:
    """Drop a notification that is obsolete or that Discord will never accept."""
    db.execute("UPDATE notices SET dropped = ? WHERE id = ? AND told_at IS NULL", (why, number))
    # If a digest cannot be sent, its members are sent individually and not combined again.
    db.execute("UPDATE notices SET digest = NULL, tries = 1 WHERE digest = ? AND told_at IS NULL", (number,))
    db.execute(
        "UPDATE notices SET storm = NULL, withheld = 0, tries = 1 WHERE storm = ? AND told_at IS NULL", (number,)
    )


def over(db: sqlite3.Connection, key: str) -> None:
    """Mark its cause as over, so that a notification with this key can be sent again."""
    db.execute(
        "UPDATE notices SET key = key || ':over:' || id WHERE key = ? AND (told_at IS NOT NULL OR dropped IS NOT NULL)",
        (key,),
    )


STORM_REVISION = """SELECT count(m.closed_at) + count(m.called_at) + coalesce(sum(a.changes), 0)
  FROM notices o JOIN incidents m ON m.id = o.subject LEFT JOIN acknowledgements a ON a.incident = m.id
  WHERE o.storm = n.id"""
"""SQL: the revision of the storm of the notification `n`; incremented by each resolution, acknowledgement and
escalation
of its incidents."""


BESIDE_REVISION = """2 * (SELECT coalesce(sum(a.changes), 0) FROM acknowledgements a WHERE a.incident = b.id)
  + (b.closed_at IS NOT NULL) + 0 * b.id"""
"""SQL: the revision of a message beside the card of the incident `b`: it changes with who has it, and at its end."""


def beside_revision(db: sqlite3.Connection, incident: int) -> int:
    """What a message beside an incident's card (a call, a reminder, an escalation) shows when it is sent now."""
    row = db.execute(f"SELECT {BESIDE_REVISION} FROM incidents b WHERE b.id = ?", (incident,)).fetchone()  # noqa: S608 - a constant
    return -1 if row is None else int(row[0])


def stale_cards(db: sqlite3.Connection, limit: int = 50) -> list[Notification]:
    """Return cards and messages that changed since their last edit, oldest first."""
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


def mark_shown(db: sqlite3.Connection, number: int, revision: int) -> None:
    db.execute("UPDATE notices SET shown = ? WHERE id = ? AND shown < ?", (revision, number, revision))


def gone(db: sqlite3.Connection, number: int) -> None:
    db.execute("UPDATE notices SET gone = 1 WHERE id = ?", (number,))


def card(db: sqlite3.Connection, kind: NotificationKind, subject: int) -> Notification | None:
    row = db.execute("SELECT * FROM notices WHERE kind = ? AND subject = ?", (kind, subject)).fetchone()
    return None if row is None else notice(row)


def waiting(db: sqlite3.Connection, now: datetime | None = None) -> tuple[int, datetime | None]:
    """Count unsent notifications and return the time of the oldest.

    Those covered by a storm do not count.

    now: exclude those that a silence or window delays at that time.
    """
    row = db.execute(
        f"""SELECT count(*) AS n, min(at) AS at FROM notices n
            WHERE told_at IS NULL AND dropped IS NULL AND NOT {_WITHHELD}
              AND NOT (kind IN {OF_INCIDENTS} AND {QUIET})""",  # noqa: S608 - constants
        (maybe_seconds(now),),
    ).fetchone()
    return int(row["n"]), maybe_moment(row["at"])


def recent(db: sqlite3.Connection, limit: int = 20) -> list[Notification]:
    """Return the latest notifications except deployments, newest first."""
    rows = db.execute("SELECT * FROM notices WHERE kind <> 'deployment' ORDER BY id DESC LIMIT ?", (limit,))
    return [notice(row) for row in rows]


def prune(db: sqlite3.Connection, before: datetime) -> int:
    """Delete notifications sent before that, except deployments."""
    return db.execute(
        "DELETE FROM notices WHERE (told_at < ?1 OR (dropped IS NOT NULL AND at < ?1)) AND kind <> 'deployment'",
        (seconds(before),),
    ).rowcount
