"""Restarts of opsbot after unclean exits, counted in one notification an hour.

The state is stored in the notification itself: it exists before anything else is written and survives every kill.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsbot.core.message import Message, encode, message
from opsbot.core.model import NotificationKind
from opsbot.core.notices import NoticeCode
from opsbot.core.subjects import OPSBOT
from opsbot.store import outbox
from opsbot.store.rows import dump, load, moment, seconds

WITHIN = timedelta(hours=1)
MANY = 3
"""This many restarts within `WITHIN` open an incident: one is an accident, two may be a reboot after it."""
_KEY = "cut-short:"


@dataclass(frozen=True, slots=True)
class UncleanExits:
    """The counts of one notification: total, first, and the last `MANY` restarts."""

    count: int
    first: datetime
    last: tuple[datetime, ...]

    @property
    def many(self) -> bool:
        """Whether the last `MANY` restarts happened within `WITHIN`."""
        return len(self.last) >= MANY and self.last[-1] - self.last[-MANY] <= WITHIN


def back(db: sqlite3.Connection, before: str, now: datetime, journal: str) -> UncleanExits:
    """Record a restart after an unclean exit.

    before: the previous process. journal: a command that shows more.

    The first within an hour creates a notification; later ones, and all while the incident is open, update it.
    """
    row = _latest(db)
    shown = row is not None and not row["gone"] and row["dropped"] is None  # otherwise there is no message to update
    if row is not None and shown and (_open(db) or timedelta(0) <= now - _read(row).first < WITHIN):
        known = _read(row)
        found = UncleanExits(known.count + 1, known.first, (*known.last, now)[-MANY:])
        said = message(NoticeCode.OPSBOT_BACK_AGAIN, count=found.count, first=found.first, last=now)
        body = _body(found, said, "warning", [journal])
        db.execute("UPDATE notices SET body = ? WHERE id = ?", (dump(body), row["id"]))
        return found
    carried = _read(row).last if row is not None else ()
    found = UncleanExits(1, now, (*carried, now)[-MANY:])
    body = _body(found, message(NoticeCode.OPSBOT_BACK, before=before), "info", [])
    outbox.put(db, f"{_KEY}{seconds(now):.6f}", NotificationKind.WORD, "", now, body=body)
    return found


def latest(db: sqlite3.Connection) -> UncleanExits | None:
    row = _latest(db)
    return None if row is None else _read(row)


def _latest(db: sqlite3.Connection) -> sqlite3.Row | None:
    found: sqlite3.Row | None = db.execute(
        "SELECT * FROM notices WHERE key LIKE ? ORDER BY id DESC LIMIT 1", (f"{_KEY}%",)
    ).fetchone()
    return found if found is not None and "count" in load(found["body"]) else None


def _open(db: sqlite3.Connection) -> bool:
    query = "SELECT 1 FROM incidents WHERE service = ? AND closed_at IS NULL"
    return db.execute(query, (OPSBOT,)).fetchone() is not None


def _read(row: sqlite3.Row) -> UncleanExits:
    body = load(row["body"])
    return UncleanExits(int(body["count"]), moment(body["first"]), tuple(moment(at) for at in body["last"]))


def _body(found: UncleanExits, said: Message, level: str, lines: list[str]) -> dict[str, object]:
    return {
        "text": encode(said),
        "level": level,
        "lines": lines,
        "count": found.count,
        "revision": found.count,
        "first": seconds(found.first),
        "last": [seconds(at) for at in found.last],
    }
