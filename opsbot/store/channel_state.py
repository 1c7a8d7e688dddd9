"""State of the ops channel: threads, the last delivery test, unavailability."""

import sqlite3
from datetime import datetime

from opsbot.core.model import DeliveryTest
from opsbot.store.rows import from_row, moment, put_row, seconds


def thread(db: sqlite3.Connection, incident: int) -> int | None:
    row = db.execute("SELECT thread FROM threads WHERE incident = ?", (incident,)).fetchone()
    return None if row is None else int(row["thread"])


def keep_thread(db: sqlite3.Connection, incident: int, number: int, card: int) -> None:
    """Store the thread of an incident, which its card links to unless it began there."""
    db.execute("INSERT OR REPLACE INTO threads (incident, thread) VALUES (?, ?)", (incident, number))
    if number != card:
        db.execute("UPDATE incidents SET revision = revision + 1 WHERE id = ?", (incident,))


def forget_thread(db: sqlite3.Connection, incident: int) -> None:
    db.execute("DELETE FROM threads WHERE incident = ?", (incident,))


def delivery_test(db: sqlite3.Connection, channel: int) -> DeliveryTest | None:
    row = db.execute("SELECT * FROM proofs WHERE channel = ?", (channel,)).fetchone()
    return None if row is None else from_row(DeliveryTest, row)


def save_delivery_test(db: sqlite3.Connection, value: DeliveryTest) -> None:
    put_row(db, "proofs", value)


def closed(db: sqlite3.Connection, channel: int, now: datetime) -> tuple[datetime, bool]:
    """Record that the channel is unavailable; since when, and whether it was reported."""
    db.execute("INSERT OR IGNORE INTO closures (channel, since) VALUES (?, ?)", (channel, seconds(now)))
    row = db.execute("SELECT since, told FROM closures WHERE channel = ?", (channel,)).fetchone()
    return moment(row["since"]), bool(row["told"])


def mark_reported(db: sqlite3.Connection, channel: int) -> None:
    db.execute("UPDATE closures SET told = 1 WHERE channel = ?", (channel,))


def opened(db: sqlite3.Connection, channel: int) -> bool:
    """Record that the channel is available; whether it was unavailable before."""
    return db.execute("DELETE FROM closures WHERE channel = ?", (channel,)).rowcount > 0
