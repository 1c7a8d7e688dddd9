"""Deliveries to notifiers other than Discord, in order, each once.

A delivery is marked as tried before it is sent and as sent afterwards. These notifiers support no nonce: a delivery
that was tried but not marked as sent is repeated and says so, unless the notifier is known not to have accepted it.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsbot.core.message import Message, decode, message
from opsbot.core.model import Notification
from opsbot.core.notices import NoticeCode
from opsbot.store import incident_repository, outbox
from opsbot.store.rows import load, maybe_moment, moment, seconds

ESCALATED = "escalated"
REPORT_AFTER = timedelta(minutes=15)
"""After failing this long, a notifier is reported in the ops channel."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notification for one notifier.

    why: "" or the cause other than the configuration.

    since: the time its delay is measured from.
    """

    id: int
    notice: Notification
    why: str
    tries: int
    doubt: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class UndeliveredAlerts:
    """Alerts of open incidents that reached nobody. since: of the first."""

    count: int
    service: str
    cause: Message
    since: datetime


def undelivered(db: sqlite3.Connection, now: datetime, begun: datetime) -> UndeliveredAlerts | None:
    """Return alerts that should have reached people but did not.

    None if there are none.

    begun: when this opsbot could first have sent them. Silenced or muted alerts count from the end of the silence.
    Alerts
    that a storm message covers count as sent.
    """
    rows = db.execute(
        f"""SELECT n.service, i.cause, max(n.at, ?2, coalesce((SELECT max(q.until) FROM quiet q WHERE q.until <= ?1
               AND (q.service = n.service OR (q.service = 'host:*' AND n.service LIKE 'host:%'))), 0)) AS due
           FROM notices n JOIN incidents i ON i.id = n.subject AND i.closed_at IS NULL
           WHERE n.kind IN ('incident', 'call') AND n.told_at IS NULL AND n.dropped IS NULL AND n.digest IS NULL
             AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.notice_id = n.id AND d.told_at IS NOT NULL)
             AND NOT EXISTS (SELECT 1 FROM notices c JOIN notices s ON s.id = c.storm AND s.told_at IS NOT NULL
               WHERE c.kind = 'incident' AND c.subject = n.subject)
             AND NOT {outbox.QUIET}
           ORDER BY due, n.id""",  # noqa: S608 - a constant
        (seconds(now), seconds(begun)),
    ).fetchall()
    if not rows:
        return None
    return UndeliveredAlerts(len(rows), rows[0]["service"], decode(load(rows[0]["cause"])), moment(rows[0]["due"]))


def enroll(db: sqlite3.Connection, name: str, told: Sequence[str], services: Sequence[str], now: datetime) -> int:
    """Add deliveries of notifications that are newer than the notifier."""
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
    """Return pending deliveries in order; silenced and muted ones wait."""
    rows = db.execute(
        f"""SELECT n.*, d.id AS d_id, d.why AS d_why, d.tries AS d_tries, d.doubt AS d_doubt,
             CASE d.why WHEN '' THEN n.at ELSE d.at END AS d_since
           FROM deliveries d JOIN notices n ON n.id = d.notice_id
           WHERE d.notifier = ?2 AND d.told_at IS NULL AND d.dropped IS NULL AND NOT {outbox.QUIET}
           ORDER BY d.id LIMIT ?3""",  # noqa: S608 - a constant
        (seconds(now), name, limit),
    ).fetchall()
    return [
        Delivery(
            row["d_id"], outbox.notice(row), row["d_why"], row["d_tries"], bool(row["d_doubt"]), moment(row["d_since"])
        )
        for row in rows
    ]


def recently_notified(db: sqlite3.Connection, name: str, since: datetime) -> set[str]:
    rows = db.execute(
        """SELECT DISTINCT n.service FROM deliveries d JOIN notices n ON n.id = d.notice_id
           WHERE d.notifier = ? AND d.told_at > ?""",
        (name, seconds(since)),
    )
    return {str(row["service"]) for row in rows}


def forget_silenced(db: sqlite3.Connection, name: str) -> None:
    """Drop deliveries of incidents that came and went in a silence or were deleted."""
    db.execute(
        """UPDATE deliveries SET dropped = 'it came and went in silence'
           WHERE notifier = ? AND told_at IS NULL AND dropped IS NULL AND NOT EXISTS
             (SELECT 1 FROM notices n WHERE n.id = notice_id AND (n.dropped IS NULL OR n.dropped NOT IN (?, ?)))
        """,
        (name, *incident_repository.SILENCED),
    )


def trying(db: sqlite3.Connection, numbers: Sequence[int], now: datetime) -> None:
    """Mark these as being sent; until a result is stored they may have arrived."""
    db.executemany(
        "UPDATE deliveries SET tried_at = ?, tries = tries + 1, doubt = 1 WHERE id = ?",
        [(seconds(now), number) for number in numbers],
    )


def mark_sent(db: sqlite3.Connection, name: str, numbers: Sequence[int], now: datetime) -> None:
    """Mark these as sent, and report the recovery of a notifier reported as failing."""
    db.executemany(
        "UPDATE deliveries SET told_at = ?, failure = '', doubt = 0 WHERE id = ?",
        [(seconds(now), number) for number in numbers],
    )
    row = db.execute("SELECT * FROM notifiers WHERE name = ?", (name,)).fetchone()
    if row is not None and row["failing_since"] is not None:
        if row["reported"]:
            key = f"notifier:{name}:{row['failing_since']:.0f}:over"
            outbox.put_notice(db, key, "", message(NoticeCode.NOTIFIER_WORKS, notifier=name), now, "info")
        db.execute("UPDATE notifiers SET failing_since = NULL, failure = '', reported = 0 WHERE name = ?", (name,))


def failed(
    db: sqlite3.Connection, name: str, numbers: Sequence[int], failure: str, now: datetime, *, doubt: dict[int, bool]
) -> None:
    """Record a failure. doubt: for each delivery whether it may have arrived."""
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
        said = message(NoticeCode.NOTIFIER_FAILING, notifier=name, since=since, failure=failure)
        outbox.put_notice(db, f"notifier:{name}:{row['failing_since']:.0f}", "", said, now)
        db.execute("UPDATE notifiers SET reported = 1 WHERE name = ?", (name,))


def drop(db: sqlite3.Connection, number: int, why: str) -> None:
    db.execute("UPDATE deliveries SET dropped = ? WHERE id = ? AND told_at IS NULL", (why, number))


def escalation(names: Sequence[str]) -> Callable[[sqlite3.Connection, int, datetime], None]:

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
    """Count waiting deliveries by notifier, with the start of its failure, if any."""
    rows = db.execute(
        """SELECT n.name, n.failing_since, count(d.id) AS waiting FROM notifiers n
           LEFT JOIN deliveries d ON d.notifier = n.name AND d.told_at IS NULL AND d.dropped IS NULL GROUP BY n.name"""
    )
    return {row["name"]: (int(row["waiting"]), maybe_moment(row["failing_since"])) for row in rows}


def keep_only(db: sqlite3.Connection, names: Sequence[str]) -> None:
    known = [row["name"] for row in db.execute("SELECT name FROM notifiers")]
    for name in set(known) - set(names):
        db.execute("DELETE FROM deliveries WHERE notifier = ?", (name,))
        db.execute("DELETE FROM notifiers WHERE name = ?", (name,))


def prune(db: sqlite3.Connection, before: datetime) -> None:
    db.execute("DELETE FROM deliveries WHERE coalesce(told_at, at) < ?", (seconds(before),))
