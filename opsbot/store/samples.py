"""Time series: written in batches, thinned with age, deleted after two weeks."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from opsbot.core.trend import Point
from opsbot.store.rows import moment, seconds

RAW_FOR = timedelta(days=1)
KEPT_FOR = timedelta(days=14)
COARSE = timedelta(minutes=10)
SERIES_AT_MOST = 2000
"""Bounds the table: about 7,000 samples of some 16 bytes per series."""


class Figure(StrEnum):
    """Measured quantities."""

    MEMORY = "memory"
    """Bytes. Services: retained memory of the control group, else resident memory. Host: memory in use."""
    CPU = "cpu"
    """Thousandths of one core; for the host, of all cores together."""
    TASKS = "tasks"
    """Processes and threads."""
    FDS = "fds"
    """Open file descriptors."""
    USED = "used"
    """Used bytes of a file system."""
    INODES = "inodes"
    """Used inodes of a file system."""
    SWAP = "swap"
    """Bytes."""
    LOAD = "load"
    """Thousandths: load average over five minutes."""


_LOWEST = frozenset({Figure.MEMORY})


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one subject (a service's name, or `host:NAME`)."""

    subject: str
    figure: Figure
    value: float


def put(db: sqlite3.Connection, at: datetime, samples: Iterable[Sample]) -> None:
    """Store the measurements of one time, replacing others of the same second."""
    known = {(row["subject"], row["figure"]): row["id"] for row in db.execute("SELECT * FROM series")}
    second = int(seconds(at))
    for sample in samples:
        key = (sample.subject, str(sample.figure))
        if key not in known:
            if len(known) >= SERIES_AT_MOST:
                continue
            keep = "min" if sample.figure in _LOWEST else "avg"
            row = db.execute("INSERT INTO series (subject, figure, keep) VALUES (?, ?, ?)", (*key, keep))
            known[key] = row.lastrowid
        db.execute("INSERT OR REPLACE INTO samples VALUES (?, ?, ?)", (known[key], second, round(sample.value)))


def points(db: sqlite3.Connection, subject: str, figure: Figure, after: datetime) -> list[Point]:
    """Return the samples since then, oldest first: seconds since the epoch and value."""
    rows = db.execute(
        """SELECT at, value FROM samples JOIN series ON series.id = samples.series
           WHERE subject = ? AND figure = ? AND at >= ? ORDER BY at""",
        (subject, figure, int(seconds(after))),
    )
    return [(float(row["at"]), float(row["value"])) for row in rows]


def thin(db: sqlite3.Connection, now: datetime) -> int:
    """Thin samples older than a day, delete old ones; return how many remain."""
    step = int(COARSE.total_seconds())
    # Whole intervals only: a split interval would be thinned twice.
    before = int(seconds(now - RAW_FOR)) // step * step
    db.execute("DELETE FROM samples WHERE at < ?", (int(seconds(now - KEPT_FOR)),))
    db.execute("DELETE FROM samples WHERE at > ?", (int(seconds(now + RAW_FOR)),))  # recorded while the clock was wrong
    for row in db.execute("SELECT id, keep FROM series").fetchall():
        value = "min(value)" if row["keep"] == "min" else "CAST(round(avg(value)) AS INTEGER)"
        many = db.execute(
            f"""SELECT min(at) AS first, max(at) AS last, at / {step} * {step} AS at, {value} AS value FROM samples
                WHERE series = ? AND at < ? GROUP BY at / {step} HAVING count(*) > 1""",  # noqa: S608 - our own words
            (row["id"], before),
        ).fetchall()
        for each in many:
            db.execute(
                "DELETE FROM samples WHERE series = ? AND at BETWEEN ? AND ?", (row["id"], each["first"], each["last"])
            )
            db.execute("INSERT INTO samples VALUES (?, ?, ?)", (row["id"], each["at"], each["value"]))
    db.execute("DELETE FROM series WHERE id NOT IN (SELECT DISTINCT series FROM samples)")
    db.execute("DELETE FROM runs WHERE since < ?", (seconds(now - KEPT_FOR * 6),))
    return int(db.execute("SELECT count(*) AS n FROM samples").fetchone()["n"])


def record_run(db: sqlite3.Connection, subject: str, run: str, since: datetime) -> datetime:
    """Record a service's current run; returns its start as first reported."""
    row = db.execute("SELECT * FROM runs WHERE subject = ? ORDER BY since DESC LIMIT 1", (subject,)).fetchone()
    if row is not None and row["run"] == run:
        return moment(row["since"])
    db.execute("INSERT OR REPLACE INTO runs (subject, run, since) VALUES (?, ?, ?)", (subject, run, seconds(since)))
    return since


def run_starts(db: sqlite3.Connection, subject: str, after: datetime) -> list[datetime]:
    rows = db.execute(
        "SELECT since FROM runs WHERE subject = ? AND since >= ? ORDER BY since", (subject, seconds(after))
    )
    return [moment(row["since"]) for row in rows]


def claim_leak(db: sqlite3.Connection, subject: str, run: str, now: datetime) -> bool:
    """Claim reporting the leak of this run; False if it was reported before."""
    row = db.execute("SELECT run FROM leaks WHERE subject = ?", (subject,)).fetchone()
    if row is not None and row["run"] == run:
        return False
    db.execute("INSERT OR REPLACE INTO leaks VALUES (?, ?, ?)", (subject, run, seconds(now)))
    return True
