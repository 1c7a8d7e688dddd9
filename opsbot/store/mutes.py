"""Occurrences of muting windows, stored in advance, and current silences."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from opsbot.core.model import NotificationKind, Silence
from opsbot.store import outbox
from opsbot.store.rows import maybe_moment, moment, seconds

HOST = "host:*"
"""Subject of a mute for all incidents of the host, whose subjects begin with `host:`."""


@dataclass(frozen=True, slots=True)
class Mute:
    """One service in one occurrence of a window."""

    window: str
    service: str
    at: datetime
    until: datetime


def plan(db: sqlite3.Connection, wanted: Iterable[Mute], now: datetime) -> None:
    """Store exactly these future occurrences; past ones are kept."""
    mutes = list(wanted)
    keep = {(mute.window, seconds(mute.at), mute.service) for mute in mutes}
    rows = db.execute("SELECT window, at, service FROM mutes WHERE until > ?", (seconds(now),)).fetchall()
    for row in rows:
        key = (row["window"], row["at"], row["service"])
        if key in keep:
            continue
        if row["at"] > seconds(now):
            db.execute("DELETE FROM mutes WHERE window = ? AND at = ? AND service = ?", key)
        else:  # removed from the configuration while active
            db.execute("UPDATE mutes SET until = ? WHERE window = ? AND at = ? AND service = ?", (seconds(now), *key))
    db.executemany(
        """INSERT INTO mutes (window, service, at, until) VALUES (?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET until = excluded.until WHERE until > ?""",
        [(m.window, m.service, seconds(m.at), seconds(m.until), seconds(now)) for m in mutes],
    )


def lift(db: sqlite3.Connection, service: str, now: datetime) -> bool:
    """End the current mute of a service early; returns whether there was one."""
    ended = db.execute(
        "UPDATE mutes SET until = ?1 WHERE service = ?2 AND at <= ?1 AND until > ?1", (seconds(now), service)
    )
    return ended.rowcount > 0


def muting(db: sqlite3.Connection, service: str, now: datetime) -> Silence | None:
    """Return the window that mutes a service longest, as a silence."""
    row = db.execute(
        """SELECT * FROM mutes WHERE (service = ?1 OR (service = ?2 AND ?1 LIKE 'host:%')) AND at <= ?3 AND until > ?3
           ORDER BY until DESC LIMIT 1""",
        (service, HOST, seconds(now)),
    ).fetchone()
    if row is None:
        return None
    actor = f"the window {row['window']}"
    return Silence(service, actor, "", moment(row["at"]), moment(row["until"]))


def silenced_until(db: sqlite3.Connection, service: str, at: datetime, now: datetime) -> datetime | None:
    """Return the end of the last mute that delayed a notification, else None."""
    row = db.execute(
        """SELECT max(until) AS until FROM quiet
           WHERE (service = ?1 OR (service = ?2 AND ?1 LIKE 'host:%')) AND until > ?3 AND until <= ?4 AND at <= ?4""",
        (service, HOST, seconds(at), seconds(now)),
    ).fetchone()
    return maybe_moment(row["until"])


def silence_ends(db: sqlite3.Connection) -> datetime | None:
    """Return the end of the first silence without a summary; None if there is none."""
    row = db.execute("SELECT min(until) AS until FROM silences WHERE since IS NOT NULL").fetchone()
    return maybe_moment(row["until"])


def sum_up(db: sqlite3.Connection, now: datetime) -> int:
    """Queue summaries of ended windows and silences, update open cards; count them."""
    db.execute("UPDATE incidents SET revision = revision + 1 WHERE closed_at IS NULL")
    return _sum_up_windows(db, now) + sum_up_silences(db, now)


def sum_up_silences(db: sqlite3.Connection, now: datetime) -> int:
    """Queue summaries of silences; a window's incidents are left to its summary."""
    over = db.execute(
        "SELECT service, since, until FROM silences WHERE since IS NOT NULL AND until <= ?", (seconds(now),)
    ).fetchall()
    told = 0
    for row in over:
        db.execute("UPDATE silences SET since = NULL WHERE service = ?", (row["service"],))
        (count,) = db.execute(
            """SELECT count(*) FROM incidents i
                 JOIN notices n ON n.kind = 'incident' AND n.subject = i.id AND n.dropped IS NOT NULL
               WHERE i.service = ?1 AND i.closed_at >= ?2 AND i.closed_at <= ?3 AND NOT EXISTS (
                 SELECT 1 FROM mutes m WHERE m.service = ?1 AND m.at <= i.closed_at AND i.closed_at <= m.until)""",
            (row["service"], row["since"], row["until"]),
        ).fetchone()
        if not count:
            continue
        times = f" {count} times" if count > 1 else ""
        text = f"The silence of {row['service']} is over. While it lasted, it was down and came back{times}."
        key = f"silence:{row['service']}:{row['since']:.0f}"
        told += outbox.put(db, key, NotificationKind.WORD, row["service"], now, body={"text": text, "level": "info"})
    return told


def _sum_up_windows(db: sqlite3.Connection, now: datetime) -> int:
    over = db.execute(
        "SELECT window, at, max(until) AS until FROM mutes WHERE summed = 0 GROUP BY window, at HAVING max(until) <= ?",
        (seconds(now),),
    ).fetchall()
    told = 0
    for row in over:
        db.execute("UPDATE mutes SET summed = 1 WHERE window = ? AND at = ?", (row["window"], row["at"]))
        told += _told(db, row, now)
    return told


def _told(db: sqlite3.Connection, over: sqlite3.Row, now: datetime) -> bool:
    passed = db.execute(
        """SELECT i.service, count(*) AS n FROM incidents i
             JOIN notices n ON n.kind = 'incident' AND n.subject = i.id AND n.dropped IS NOT NULL
             JOIN mutes m ON m.window = ?1 AND m.at = ?2
               AND (m.service = i.service OR (m.service = ?3 AND i.service LIKE 'host:%'))
           WHERE i.closed_at >= m.at AND i.closed_at <= m.until
           GROUP BY i.service ORDER BY count(*) DESC, i.service""",
        (over["window"], over["at"], HOST),
    ).fetchall()
    if not passed:
        return False
    names = ", ".join(row["service"] + (f" ({row['n']} times)" if row["n"] > 1 else "") for row in passed[:10])
    more = f" and {len(passed) - 10} more" if len(passed) > 10 else ""  # noqa: PLR2004 - as many as are named
    text = f"The window {over['window']} is over. While it lasted, this was down and came back: {names}{more}."
    key = f"window:{over['window']}:{over['at']:.0f}"
    return outbox.put(db, key, NotificationKind.WORD, "", now, body={"text": text, "level": "info"})


def prune(db: sqlite3.Connection, before: datetime) -> None:
    db.execute("DELETE FROM mutes WHERE until < ? AND summed = 1", (seconds(before),))
