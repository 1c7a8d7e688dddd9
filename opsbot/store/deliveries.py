"""What each notifier beside Discord is to be told, in order, each once.

A delivery is marked as tried before it is handed over and as told after. These notifiers know no nonce: one found tried
and not told is sent again, and says so, unless it is known that the other side did not take it.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsbot.core.message import Message, decode
from opsbot.core.model import Notification, NotificationKind
from opsbot.formatting import discord_time
from opsbot.store import outbox
from opsbot.store.rows import load, maybe_moment, moment, seconds

ESCALATED = "escalated"
REPORT_AFTER = timedelta(minutes=15)
"""A notifier that takes nothing for so long is told of in the ops channel."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice that one notifier is to be told. why: "" or what else than the configuration brought it about.

    since: what its lateness counts from.
    """

    id: int
    notice: Notification
    why: str
    tries: int
    doubt: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class Unheard:
    """Alarms of open incidents that nobody was told, neither in Discord nor by a notifier. since: of the first."""

    count: int
    service: str
    cause: Message
    since: datetime


def unheard(db: sqlite3.Connection, now: datetime, begun: datetime) -> Unheard | None:
    """What should have been told and was not; None where all was. begun: since when this opsbot could have told it.

    What is silenced or muted waits on purpose, and counts from the end of that. What a storm has told is told.
    """
    rows = db.execute(
        """SELECT n.service, i.cause, max(n.at, ?2, coalesce((SELECT max(q.until) FROM quiet q WHERE q.until <= ?1
               AND (q.service = n.service OR (q.service = 'host:*' AND n.service LIKE 'host:%'))), 0)) AS due
           FROM notices n JOIN incidents i ON i.id = n.subject AND i.closed_at IS NULL
           WHERE n.kind IN ('incident', 'call') AND n.told_at IS NULL AND n.dropped IS NULL AND n.digest IS NULL
             AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.notice_id = n.id AND d.told_at IS NOT NULL)
             AND NOT EXISTS (SELECT 1 FROM notices c JOIN notices s ON s.id = c.storm AND s.told_at IS NOT NULL
               WHERE c.kind = 'incident' AND c.subject = n.subject)
             AND NOT EXISTS (SELECT 1 FROM quiet q WHERE q.at <= ?1 AND q.until > ?1
               AND (q.service = n.service OR (q.service = 'host:*' AND n.service LIKE 'host:%')))
           ORDER BY due, n.id""",
        (seconds(now), seconds(begun)),
    ).fetchall()
    if not rows:
        return None
    return Unheard(len(rows), rows[0]["service"], decode(load(rows[0]["cause"])), moment(rows[0]["due"]))


def enroll(db: sqlite3.Connection, name: str, told: Sequence[str], services: Sequence[str], now: datetime) -> int:
    """Add what happened since the last time and is for this notifier. What was before it was first known is not."""
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM notices").fetchone()
    row = db.execute("SELECT since FROM notifiers WHERE name = ?", (name,)).fetchone()
    if row is None:
        db.execute("INSERT INTO notifiers (name, since) VALUES (?, ?)", (name, last))
        return 0
    if row["since"] >= last:
        return 0
    notices = db.execute(
        "SELECT id, kind, service FROM notices WHERE id > ? AND dropped IS NULL ORDER BY id", (row["since"],)
    ).fetchall()
    wanted = [n["id"] for n in notices if n["kind"] in told and (not services or n["service"] in services)]
    db.executemany(
        "INSERT OR IGNORE INTO deliveries (notice_id, notifier, at) VALUES (?, ?, ?)",
        [(number, name, seconds(now)) for number in wanted],
    )
    db.execute("UPDATE notifiers SET since = ? WHERE name = ?", (last, name))
    return len(wanted)


def due(db: sqlite3.Connection, name: str, now: datetime, limit: int = 1000) -> list[Delivery]:
    """What is still to be handed over, in order; what is silenced or muted waits as it does for Discord."""
    rows = db.execute(
        """SELECT notices.*, d.id AS d_id, d.why AS d_why, d.tries AS d_tries, d.doubt AS d_doubt,
             CASE d.why WHEN '' THEN notices.at ELSE d.at END AS d_since
           FROM deliveries d JOIN notices ON notices.id = d.notice_id
           WHERE d.notifier = ?2 AND d.told_at IS NULL AND d.dropped IS NULL
             AND NOT EXISTS (SELECT 1 FROM quiet q WHERE q.at <= ?1 AND q.until > ?1
               AND (q.service = notices.service OR (q.service = 'host:*' AND notices.service LIKE 'host:%')))
           ORDER BY d.id LIMIT ?3""",
        (seconds(now), name, limit),
    ).fetchall()
    return [
        Delivery(
            row["d_id"],
            outbox.notice(row),
            row["d_why"],
            row["d_tries"],
            bool(row["d_doubt"]),
            moment(row["d_since"]),
        )
        for row in rows
    ]


def lately(db: sqlite3.Connection, name: str, since: datetime) -> set[str]:
    """The services that this notifier was told of since then."""
    rows = db.execute(
        """SELECT DISTINCT n.service FROM deliveries d JOIN notices n ON n.id = d.notice_id
           WHERE d.notifier = ? AND d.told_at > ?""",
        (name, seconds(since)),
    )
    return {str(row["service"]) for row in rows}


def forget_silenced(db: sqlite3.Connection, name: str) -> None:
    """What came and went in silence is not told here either; nor what was forgotten meanwhile."""
    db.execute(
        """UPDATE deliveries SET dropped = 'it came and went in silence'
           WHERE notifier = ? AND told_at IS NULL AND dropped IS NULL AND NOT EXISTS
             (SELECT 1 FROM notices n WHERE n.id = notice_id AND (n.dropped IS NULL OR n.dropped NOT LIKE '%silenced%'))
        """,
        (name,),
    )


def trying(db: sqlite3.Connection, numbers: Sequence[int], now: datetime) -> None:
    """About to hand these over: until something else is known, they may have arrived."""
    db.executemany(
        "UPDATE deliveries SET tried_at = ?, tries = tries + 1, doubt = 1 WHERE id = ?",
        [(seconds(now), number) for number in numbers],
    )


def told(db: sqlite3.Connection, name: str, numbers: Sequence[int], now: datetime) -> None:
    """They were taken. Where it was said that the notifier takes nothing, it is said that it does again."""
    db.executemany(
        "UPDATE deliveries SET told_at = ?, failure = '', doubt = 0 WHERE id = ?",
        [(seconds(now), number) for number in numbers],
    )
    row = db.execute("SELECT * FROM notifiers WHERE name = ?", (name,)).fetchone()
    if row is not None and row["failing_since"] is not None:
        if row["reported"]:
            _word(
                db, f"notifier:{name}:{row['failing_since']:.0f}:over", f"The notifier {name} works again.", "info", now
            )
        db.execute("UPDATE notifiers SET failing_since = NULL, failure = '', reported = 0 WHERE name = ?", (name,))


def failed(
    db: sqlite3.Connection, name: str, numbers: Sequence[int], failure: str, now: datetime, *, doubt: dict[int, bool]
) -> None:
    """They were not taken. doubt: of each, whether it may have arrived now or before."""
    db.executemany(
        "UPDATE deliveries SET failure = ?, doubt = ? WHERE id = ?",
        [(failure, doubt[number], number) for number in numbers],
    )
    db.execute(
        "UPDATE notifiers SET failing_since = coalesce(failing_since, ?), failure = ? WHERE name = ?",
        (seconds(now), failure, name),
    )
    row = db.execute("SELECT * FROM notifiers WHERE name = ?", (name,)).fetchone()
    since = moment(row["failing_since"])
    if not row["reported"] and now - since >= REPORT_AFTER:
        text = f"The notifier {name} has taken nothing since {discord_time(since)}: {failure}."
        text += " What it misses is kept."
        _word(db, f"notifier:{name}:{row['failing_since']:.0f}", text, "warning", now)
        db.execute("UPDATE notifiers SET reported = 1 WHERE name = ?", (name,))


def _word(db: sqlite3.Connection, key: str, text: str, level: str, now: datetime) -> None:
    outbox.put(db, key, NotificationKind.WORD, "", now, body={"text": text, "level": level})


def drop(db: sqlite3.Connection, number: int, why: str) -> None:
    """It needs no telling any more."""
    db.execute("UPDATE deliveries SET dropped = ? WHERE id = ? AND told_at IS NULL", (why, number))


def escalation(names: Sequence[str]) -> Callable[[sqlite3.Connection, int, datetime], None]:
    """What tells these notifiers of an incident that nobody has acknowledged, in the caller's own transaction."""

    def put(db: sqlite3.Connection, incident: int, now: datetime) -> None:
        row = db.execute("SELECT id FROM notices WHERE kind = 'incident' AND subject = ?", (incident,)).fetchone()
        if row is None:
            return
        db.executemany(
            "INSERT OR IGNORE INTO deliveries (notice_id, notifier, why, at) VALUES (?, ?, ?, ?)",
            [(row["id"], name, f"{ESCALATED} {now:%Y-%m-%dT%H:%M}", seconds(now)) for name in names],
        )

    return put


def waiting(db: sqlite3.Connection) -> dict[str, tuple[int, datetime | None]]:
    """By notifier: how many deliveries wait, and since when it takes none (None: it does)."""
    rows = db.execute(
        """SELECT n.name, n.failing_since, count(d.id) AS waiting FROM notifiers n
           LEFT JOIN deliveries d ON d.notifier = n.name AND d.told_at IS NULL AND d.dropped IS NULL GROUP BY n.name"""
    )
    return {row["name"]: (int(row["waiting"]), maybe_moment(row["failing_since"])) for row in rows}


def keep_only(db: sqlite3.Connection, names: Sequence[str]) -> None:
    """Forget notifiers that are not configured any more, and what they were to be told."""
    known = [row["name"] for row in db.execute("SELECT name FROM notifiers")]
    for name in set(known) - set(names):
        db.execute("DELETE FROM deliveries WHERE notifier = ?", (name,))
        db.execute("DELETE FROM notifiers WHERE name = ?", (name,))


def prune(db: sqlite3.Connection, before: datetime) -> None:
    """Forget what was told before that."""
    db.execute("DELETE FROM deliveries WHERE coalesce(told_at, at) < ?", (seconds(before),))
