"""Queries of incidents: flapping, affected services, opsbot's last sign of life."""

import sqlite3
from datetime import datetime, timedelta

from opsbot.core.flapping import Flaps
from opsbot.core.incident import Resolution
from opsbot.core.message import encode, message
from opsbot.core.model import Incident
from opsbot.store import incident_repository
from opsbot.store.rows import dump, maybe_seconds, moment, seconds


def flap(
    db: sqlite3.Connection, number: int, flaps: Flaps, down_since: datetime | None, down_for: timedelta
) -> Incident | None:
    """Store state changes (kept after flapping) and downtime; return the incident."""
    db.execute(
        """UPDATE incidents SET flaps_since = ?, flaps = ?, flapped_at = ?, down_since = ?, down_for = ?,
             revision = revision + 1 WHERE id = ?""",
        (
            maybe_seconds(flaps.since),
            flaps.count,
            maybe_seconds(flaps.last),
            maybe_seconds(down_since),
            down_for.total_seconds(),
            number,
        ),
    )
    return incident_repository.incident(db, number)


def begin_flapping(
    db: sqlite3.Connection, draft: Incident, now: datetime, up_since: datetime | None = None
) -> Incident:
    """Open one incident with its own card for a flapping subject.

    An open incident is closed without a message, because the new card reports its end. up_since: since when its
    subject is up, if that is before now.
    """
    db.execute(
        """UPDATE incidents SET closed_at = ?1, resolution = ?2, revision = revision + 1,
             down_for = down_for + max(0, ?4 - coalesce(down_since, ?4)), down_since = NULL
           WHERE service = ?3 AND closed_at IS NULL""",
        (seconds(now), dump(encode(message(Resolution.FLAPS))), draft.service, seconds(min(up_since or now, now))),
    )
    return incident_repository.open_incident(db, draft, now)


def changes(db: sqlite3.Connection, after: datetime) -> dict[str, tuple[datetime, ...]]:
    """Return by subject when its incidents were opened and closed, oldest first.

    Incidents that are part of others do not count, nor do those that led to flapping that is over, or that came before
    a person stopped it.
    """
    rows = db.execute(
        """WITH cut AS (
             SELECT service, max(CASE WHEN json_extract(nullif(resolution, ''), '$.code') IN (?2, ?3) THEN closed_at
                                      ELSE flapped_at END) AS at
             FROM incidents WHERE closed_at > ?1 OR closed_at IS NULL GROUP BY service
           ), change AS (
             SELECT service, opened_at AS at FROM incidents WHERE opened_at > ?1 AND part_of IS NULL
             UNION ALL
             SELECT service, closed_at FROM incidents WHERE closed_at > ?1 AND part_of IS NULL
           )
           SELECT c.service, c.at FROM change c JOIN cut ON cut.service = c.service
           WHERE c.at > coalesce(cut.at, 0) ORDER BY c.at""",
        (seconds(after), Resolution.CALM, Resolution.STOPPED),
    )
    found: dict[str, tuple[datetime, ...]] = {}
    for row in rows:
        found[row["service"]] = (*found.get(row["service"], ()), moment(row["at"]))
    return found


def concerning(db: sqlite3.Connection, service: str, limit: int = 5) -> list[Incident]:
    """Return the latest incidents that affected a service, newest first."""
    rows = db.execute(
        """SELECT * FROM incidents
           WHERE service = ?1
              OR EXISTS (SELECT 1 FROM json_each(dependents) AS one WHERE json_extract(one.value, '$[0]') = ?1)
           ORDER BY id DESC LIMIT ?2""",
        (service, limit),
    )
    return [incident_repository.incident_of(row) for row in rows]


def alive(db: sqlite3.Connection, now: datetime) -> None:
    db.execute("INSERT OR REPLACE INTO alive (one, at) VALUES (1, ?)", (seconds(now),))


def last_alive(db: sqlite3.Connection) -> datetime | None:
    """Return when opsbot was last known to run; None before its first start."""
    row = db.execute("SELECT at FROM alive").fetchone()
    return None if row is None else moment(row["at"])
