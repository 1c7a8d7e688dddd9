"""Occurrences of muting windows, stored in advance, and current silences."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from opsbot.core.message import message
from opsbot.core.model import Silence
from opsbot.core.notices import NoticeCode
from opsbot.store import outbox
from opsbot.store.rows import maybe_moment, moment, seconds

NAMED = 10
"""Services that a summary names; more are counted."""
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
        said = message(NoticeCode.SILENCE_OVER, service=row["service"], count=count)
        key = f"silence:{row['service']}:{row['since']:.0f}"
        told += outbox.put_notice(db, key, row["service"], said, now, "info")
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
    named = tuple(message(NoticeCode.TIMES, service=row["service"], count=row["n"]) for row in passed[:NAMED])
    left = len(passed) - len(named)
    said = message(NoticeCode.WINDOW_OVER, window=over["window"], services=named, more=left)
    return outbox.put_notice(db, f"window:{over['window']}:{over['at']:.0f}", "", said, now, "info")


def prune(db: sqlite3.Connection, before: datetime) -> None:
    db.execute("DELETE FROM mutes WHERE until < ? AND summed = 1", (seconds(before),))
