"""The audit log: append-only record of every request and its result."""

import sqlite3
from datetime import datetime

from opsbot.core.access import Actor
from opsbot.core.model import AuditEntry, Effect
from opsbot.store.rows import columns, from_row, insert, seconds


def record(
    db: sqlite3.Connection,
    actor: Actor,
    action: str,
    service: str,
    now: datetime,
    *,
    allowed: bool,
    detail: str = "",
    result: str = "",
    effect: Effect = Effect.DONE,
) -> None:
    entry = AuditEntry(0, now, actor.origin, actor.id, actor.name, action, service, detail, allowed, result, effect)
    insert(db, "audit", columns(entry) | {"id": None})


def entries(
    db: sqlite3.Connection, service: str | None = None, actor_id: str | None = None, limit: int = 50
) -> list[AuditEntry]:
    """Return the latest entries, newest first."""
    rows = db.execute(
        """SELECT * FROM audit WHERE (?1 IS NULL OR service = ?1) AND (?2 IS NULL OR actor_id = ?2)
           ORDER BY id DESC LIMIT ?3""",
        (service, actor_id, limit),
    )
    return [from_row(AuditEntry, row) for row in rows]


def human_actions(db: sqlite3.Connection, service: str, after: datetime, limit: int = 20) -> list[AuditEntry]:
    """Return people's actions that may have affected a service, newest first."""
    rows = db.execute(
        """SELECT * FROM audit
           WHERE service = ? AND at > ? AND effect = 'done' AND action IN ('restart', 'deploy', 'rollback')
           ORDER BY id DESC LIMIT ?""",
        (service, seconds(after), limit),
    )
    return [from_row(AuditEntry, row) for row in rows]


def prune(db: sqlite3.Connection, before: datetime) -> int:
    return db.execute("DELETE FROM audit WHERE at < ?", (seconds(before),)).rowcount
