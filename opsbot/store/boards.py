"""Where the board is, and what it shows; and how every service stands, in one reading."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from opsbot.core.deployment import Deployment, Hold, Release
from opsbot.core.model import Acknowledgement, Board, Incident, Live, Silence, SourceState
from opsbot.store import acks, incident_repository, ledger
from opsbot.store.rows import moment, seconds


def boards(db: sqlite3.Connection) -> list[Board]:
    """Every board there is, or may be: of the configured channel and of those before it."""
    return [_board(row) for row in db.execute("SELECT * FROM boards ORDER BY channel")]


def _board(row: sqlite3.Row) -> Board:
    return Board(
        row["channel"],
        moment(row["tried_at"]),
        moment(row["changed_at"]),
        moment(row["edited_at"]),
        row["message"],
        bool(row["pinned"]),
        row["shown"],
    )


def keep(db: sqlite3.Connection, value: Board) -> None:
    """Keep what is known of a board."""
    db.execute(
        """INSERT OR REPLACE INTO boards (channel, tried_at, changed_at, edited_at, message, pinned, shown)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        (
            value.channel,
            seconds(value.tried_at),
            seconds(value.changed_at),
            seconds(value.edited_at),
            value.message,
            value.pinned,
            value.shown,
        ),
    )


def forget(db: sqlite3.Connection, channel: int) -> None:
    """There is no board in this channel any more."""
    db.execute("DELETE FROM boards WHERE channel = ?", (channel,))


@dataclass(frozen=True, slots=True)
class StoredStatus:
    """What the store knows of one service at one moment."""

    live: Live | None
    release: Release | None
    latest: Deployment | None
    hold: Hold | None
    silence: Silence | None
    source: SourceState


@dataclass(frozen=True, slots=True)
class BoardRows:
    """What the store knows of all of them. incidents: the open ones, by subject. taken: who has which, by its id."""

    services: dict[str, StoredStatus]
    incidents: dict[str, Incident]
    taken: dict[int, Acknowledgement]
    cards: dict[int, int]
    """The message of each open incident's card, by the incident's id, where it is in the channel."""


def kept(db: sqlite3.Connection, service: str, now: datetime) -> StoredStatus:
    """What is known of one service."""
    live = ledger.live(db, service)
    return StoredStatus(
        live,
        next((one for one in ledger.releases(db, service) if live is not None and one.name == live.release), None),
        ledger.latest(db, service),
        ledger.hold(db, service),
        incident_repository.silence(db, service, now),
        incident_repository.source(db, service),
    )


def kept_of(
    db: sqlite3.Connection, services: Iterable[str], now: datetime
) -> tuple[dict[str, StoredStatus], dict[str, Incident]]:
    """What is known of these services, and the open incidents by subject: all of one moment."""
    return {name: kept(db, name, now) for name in services}, incident_repository.open_incidents(db)


def standing(db: sqlite3.Connection, services: Iterable[str], channel: int, now: datetime) -> BoardRows:
    """How all of them stand; the cards are looked for in this channel."""
    incidents = incident_repository.open_incidents(db)
    taken = {one.id: acks.acknowledgement(db, one.id) for one in incidents.values()}
    rows = db.execute(
        """SELECT subject, message_id FROM notices
           WHERE kind = 'incident' AND channel_id = ? AND message_id IS NOT NULL AND dropped IS NULL
             AND subject IN (SELECT id FROM incidents WHERE closed_at IS NULL)""",
        (channel,),
    )
    return BoardRows(
        {name: kept(db, name, now) for name in services},
        incidents,
        {number: one for number, one in taken.items() if one is not None and one.void_at is None},
        {row["subject"]: row["message_id"] for row in rows},
    )
