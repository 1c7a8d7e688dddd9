"""What is known of the ops channel itself: the threads in it, when it was last proven, since when it is closed."""

import sqlite3
from datetime import datetime

from opsbot.core.model import DeliveryTest
from opsbot.store.rows import maybe_moment, maybe_seconds, moment, seconds


def thread(db: sqlite3.Connection, incident: int) -> int | None:
    """The thread of an incident, where it has one."""
    row = db.execute("SELECT thread FROM threads WHERE incident = ?", (incident,)).fetchone()
    return None if row is None else int(row["thread"])


def keep_thread(db: sqlite3.Connection, incident: int, number: int, card: int) -> None:
    """The incident's timeline is in this thread; its card says where, if it is not that message's own."""
    db.execute("INSERT OR REPLACE INTO threads (incident, thread) VALUES (?, ?)", (incident, number))
    if number != card:
        db.execute("UPDATE incidents SET revision = revision + 1 WHERE id = ?", (incident,))


def forget_thread(db: sqlite3.Connection, incident: int) -> None:
    """The thread was deleted."""
    db.execute("DELETE FROM threads WHERE incident = ?", (incident,))


def proof(db: sqlite3.Connection, channel: int) -> DeliveryTest | None:
    """The last try whether the channel can be written to."""
    row = db.execute("SELECT * FROM proofs WHERE channel = ?", (channel,)).fetchone()
    if row is None:
        return None
    return DeliveryTest(channel, moment(row["tried_at"]), maybe_moment(row["proven_at"]), row["failure"], row["probe"])


def keep_proof(db: sqlite3.Connection, value: DeliveryTest) -> None:
    """Keep what a try has shown."""
    db.execute(
        "INSERT OR REPLACE INTO proofs (channel, tried_at, proven_at, failure, probe) VALUES (?, ?, ?, ?, ?)",
        (value.channel, seconds(value.tried_at), maybe_seconds(value.proven_at), value.failure, value.probe),
    )


def closed(db: sqlite3.Connection, channel: int, now: datetime) -> tuple[datetime, bool]:
    """The channel cannot be written to: since when, and whether that was said elsewhere."""
    db.execute("INSERT OR IGNORE INTO closures (channel, since) VALUES (?, ?)", (channel, seconds(now)))
    row = db.execute("SELECT since, told FROM closures WHERE channel = ?", (channel,)).fetchone()
    return moment(row["since"]), bool(row["told"])


def told_elsewhere(db: sqlite3.Connection, channel: int) -> None:
    """It was said elsewhere that the channel cannot be written to."""
    db.execute("UPDATE closures SET told = 1 WHERE channel = ?", (channel,))


def opened(db: sqlite3.Connection, channel: int) -> bool:
    """The channel can be written to; whether it could not before."""
    return db.execute("DELETE FROM closures WHERE channel = ?", (channel,)).rowcount > 0
