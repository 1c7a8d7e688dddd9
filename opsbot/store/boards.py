"""Status boards: their messages, and the stored status of all services."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from opsbot.core.deployment import Deployment, Hold, Release
from opsbot.core.model import Acknowledgement, Board, Incident, Live, Silence, SourceState
from opsbot.store import acks, incident_repository, ledger
from opsbot.store.rows import from_row, put_row


def boards(db: sqlite3.Connection) -> list[Board]:
    """Return every board that may exist, of the configured and of earlier channels."""
    return [from_row(Board, row) for row in db.execute("SELECT * FROM boards ORDER BY channel")]


def keep(db: sqlite3.Connection, value: Board) -> None:
    put_row(db, "boards", value)


def forget(db: sqlite3.Connection, channel: int) -> None:
    db.execute("DELETE FROM boards WHERE channel = ?", (channel,))


@dataclass(frozen=True, slots=True)
class StoredStatus:
    """The stored status of one service at one moment."""

    live: Live | None
    release: Release | None
    latest: Deployment | None
    hold: Hold | None
    silence: Silence | None
    source: SourceState


@dataclass(frozen=True, slots=True)
class BoardRows:
    """The stored status of all services.

    incidents: open ones by subject. taken: acknowledgements by incident id.
    """

    services: dict[str, StoredStatus]
    incidents: dict[str, Incident]
    taken: dict[int, Acknowledgement]
    cards: dict[int, int]
    """Message of each open incident's card in the channel, by incident id."""


def kept(db: sqlite3.Connection, service: str, now: datetime) -> StoredStatus:
    return StoredStatus(
        ledger.live(db, service),
        ledger.live_release(db, service),
        ledger.latest(db, service),
        ledger.hold(db, service),
        incident_repository.silence(db, service, now),
        incident_repository.source(db, service),
    )


def kept_of(
    db: sqlite3.Connection, services: Iterable[str], now: datetime
) -> tuple[dict[str, StoredStatus], dict[str, Incident]]:
    return {name: kept(db, name, now) for name in services}, incident_repository.open_incidents(db)


def read_board(db: sqlite3.Connection, services: Iterable[str], channel: int, now: datetime) -> BoardRows:
    """Read everything that the board shows; cards are looked up in this channel."""
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
