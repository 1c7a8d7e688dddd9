"""The audit log: append-only record of every request and its result."""

import sqlite3
from datetime import datetime

from opsbot.core.access import Actor
from opsbot.core.model import AuditEntry, Effect
from opsbot.store.rows import moment, seconds


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
    """Record one action."""
    db.execute(
        """INSERT INTO audit (at, origin, actor_id, actor_name, action, service, detail, allowed, result,
                              effect)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (seconds(now), actor.origin, actor.id, actor.name, action, service, detail, allowed, result, effect),
    )


def entries(
    db: sqlite3.Connection, service: str | None = None, actor_id: str | None = None, limit: int = 50
) -> list[AuditEntry]:
    """Return the latest entries, newest first."""
    rows = db.execute(
        """SELECT * FROM audit WHERE (?1 IS NULL OR service = ?1) AND (?2 IS NULL OR actor_id = ?2)
           ORDER BY id DESC LIMIT ?3""",
        (service, actor_id, limit),
    )
    return [_entry(row) for row in rows]


def _entry(row: sqlite3.Row) -> AuditEntry:
    return AuditEntry(
        row["id"],
        moment(row["at"]),
        row["origin"],
        row["actor_id"],
        row["actor_name"],
        row["action"],
        row["service"],
        row["detail"],
        bool(row["allowed"]),
        row["result"],
        Effect(row["effect"]),
    )


def human_actions(db: sqlite3.Connection, service: str, after: datetime, limit: int = 20) -> list[AuditEntry]:
    """Return people's actions that may have affected a service, newest first."""
    rows = db.execute(
        """SELECT * FROM audit
           WHERE service = ? AND at > ? AND effect = 'done' AND action IN ('restart', 'deploy', 'rollback')
           ORDER BY id DESC LIMIT ?""",
        (service, seconds(after), limit),
    )
    return [_entry(row) for row in rows]


def prune(db: sqlite3.Connection, before: datetime) -> int:
    """Delete entries older than that."""
    return db.execute("DELETE FROM audit WHERE at < ?", (seconds(before),)).rowcount
