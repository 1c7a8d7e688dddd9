"""Starts of services that are Discord bots, and observed outages of Discord."""

import sqlite3
from datetime import datetime

from opsbot.core.login_budget import DAY, LoginStarts, LoginThreshold, starts_since
from opsbot.core.outage import Outage
from opsbot.store.rows import from_row, maybe_moment, put_row, seconds


def record_runs(db: sqlite3.Connection, service: str, runs: dict[str, LoginThreshold], now: datetime) -> int:
    """Record and count starts since the last check. runs: by unit, "" for one."""
    rows = db.execute("SELECT part, run, restarts FROM discord_runs WHERE service = ?", (service,))
    known = {row["part"]: LoginThreshold(row["run"], row["restarts"]) for row in rows}
    found = [starts_since(known.get(part), mark) for part, mark in runs.items()]
    total, own = sum(count for count, _ in found), sum(own for _, own in found)
    if total:
        db.execute(
            "INSERT INTO discord_starts (service, at, starts, by_manager) VALUES (?, ?, ?, ?)",
            (service, seconds(now), total, own),
        )
        db.executemany(
            "INSERT OR REPLACE INTO discord_runs (service, part, run, restarts) VALUES (?, ?, ?, ?)",
            [(service, part, mark.run, mark.restarts) for part, mark in runs.items()],
        )
    return total


def starts(db: sqlite3.Connection, service: str, now: datetime) -> LoginStarts:
    """Return the starts of the last 24 hours."""
    return _starts(db, service, now - DAY)


def starts_after(db: sqlite3.Connection, service: str, since: datetime) -> int:
    return _starts(db, service, since).count


def _starts(db: sqlite3.Connection, service: str, since: datetime) -> LoginStarts:
    row = db.execute(
        """SELECT coalesce(sum(starts), 0) AS count, coalesce(sum(by_manager), 0) AS own, max(at) AS last
           FROM discord_starts WHERE service = ? AND at > ?""",
        (service, seconds(since)),
    ).fetchone()
    return LoginStarts(row["count"], row["own"], maybe_moment(row["last"]))


def save_outage(db: sqlite3.Connection, value: Outage) -> None:
    put_row(db, "discord_outages", value)


def last_outage(db: sqlite3.Connection) -> Outage | None:
    """Return the latest outage, ongoing or ended; None if there was none."""
    row = db.execute("SELECT * FROM discord_outages ORDER BY began DESC LIMIT 1").fetchone()
    return None if row is None else from_row(Outage, row)


def outages(db: sqlite3.Connection, since: datetime) -> list[Outage]:
    """Return the outages that ended after that time or are ongoing, oldest first."""
    rows = db.execute(
        "SELECT * FROM discord_outages WHERE ended IS NULL OR ended > ? ORDER BY began", (seconds(since),)
    )
    return [from_row(Outage, row) for row in rows]


def prune(db: sqlite3.Connection, now: datetime, before: datetime) -> None:
    """Delete starts that no longer count, and outages that ended before `before`."""
    db.execute("DELETE FROM discord_starts WHERE at < ?", (seconds(now - 2 * DAY),))
    db.execute("DELETE FROM discord_outages WHERE ended < ?", (seconds(before),))
