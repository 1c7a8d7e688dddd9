"""Deployments, releases, what is live, quarantine and holds.

Each function is run by `Store.read` or `Store.write`; see `opsbot.store.database`.
"""

import sqlite3
from dataclasses import replace
from datetime import datetime

from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import (
    READY,
    TROUBLE,
    UNREADY_ENDS,
    Commit,
    Deployment,
    DeploymentRequest,
    DeploymentStep,
    Hold,
    Phase,
    Quarantine,
    Release,
    advance,
    previous_good,
)
from opsbot.core.message import Message
from opsbot.core.model import Live, NotificationKind
from opsbot.store import outbox
from opsbot.store.rows import columns, dump, from_row, insert, load, message_out, packed, put_row, seconds, unpacked

"""Final phases that are announced in a separate message, in the same transaction."""


_SELECT = """SELECT d.*, d.id IS (
                SELECT max(x.id) FROM deployments x JOIN live l ON l.service = x.service AND l.release = x.release_to
                WHERE x.service = d.service AND x.phase = 'live') AS is_live
              FROM deployments d"""


_SAVED = (
    *("phase", "commit_from", "commit_to", "release_from", "release_to", "commits_total", "failed_in", "note"),
    *("updated_at", "finished_at", "live_at"),
)
"""Columns that `save` changes, besides the JSON ones."""


class StaleError(RuntimeError):
    """The deployment was changed by another writer: stop processing it."""


def _deployment(row: sqlite3.Row) -> Deployment:
    return from_row(
        Deployment,
        row,
        actor=Actor(Origin(row["origin"]), row["actor_id"], row["actor_name"]),
        commits=tuple(unpacked(Commit, each) for each in load(row["commits"])),
        steps=tuple(unpacked(DeploymentStep, each) for each in load(row["steps"])),
    )


def claim(
    db: sqlite3.Connection,
    request: DeploymentRequest,
    now: datetime,
    *,
    live: Release | None = None,
    release: str | None = None,
    instead_of: int | None = None,
    by: Message | None = None,
) -> Deployment | int:
    """Create a deployment with its card, or return the id of the unfinished one.

    The partial unique index is the lock: of concurrent requests, in one process or several, one succeeds. instead_of: a
    waiting deployment that is ASIDE from now on; by: what supersedes it, for its card.

    Raises:
        StaleError: that deployment was changed by another writer.
    """
    if instead_of is not None and not _set_aside(db, instead_of, now):
        return instead_of
    try:
        cursor = insert(
            db,
            "deployments",
            {
                "service": request.service,
                "kind": request.kind,
                "phase": Phase.PENDING,
                "origin": request.actor.origin,
                "actor_id": request.actor.id,
                "actor_name": request.actor.name,
                "ref": request.ref,
                "reason": message_out(request.reason),
                "commit_from": live.commit if live else None,
                "release_from": live.name if live else None,
                "release_to": release,
                "created_at": seconds(now),
                "updated_at": seconds(now),
                "instead_of": instead_of,
            },
        )
    except sqlite3.IntegrityError:
        return unfinished(db, request.service)[0].id
    number = int(cursor.lastrowid or 0)
    if instead_of is not None and by is not None:
        note = message_out(Message(by.code, {**by.params, "deployment": number}))
        db.execute("UPDATE deployments SET note = ? WHERE id = ?", (note, instead_of))
    outbox.put(db, f"deployment:{number}", NotificationKind.DEPLOYMENT, request.service, now, subject=number)
    found = deployment(db, number)
    if found is None:
        raise StaleError(f"deployment {number} vanished while it was claimed")
    return found


def _set_aside(db: sqlite3.Connection, number: int, now: datetime) -> bool:
    """Have a waiting deployment make way for another; False if it does not wait."""
    found = deployment(db, number)
    if found is None or found.phase is not Phase.WAITING:
        return False
    steps = tuple(step if step.ended_at else replace(step, ended_at=now, ok=True, note=None) for step in found.steps)
    save(db, advance(replace(found, steps=steps), Phase.ASIDE, now))
    return True


def save(db: sqlite3.Connection, value: Deployment) -> Deployment:
    """Store it if its revision is unchanged; returns the value with its new revision.

    A failure queues its message once. A deployment that is ASIDE for this one is superseded when this one is ready, and
    continues to wait if this one ends before.

    Raises:
        StaleError: the stored revision differs.
    """
    waited = aside(db, value) if value.phase in READY | UNREADY_ENDS else None
    known = columns(value)
    saved = {name: known[name] for name in _SAVED} | {
        "commits": dump([packed(each) for each in value.commits]),
        "steps": dump([packed(each) for each in value.steps]),
    }
    cursor = db.execute(
        f"""UPDATE deployments SET {" = ?, ".join(saved)} = ?, revision = revision + 1
           WHERE id = ? AND revision = ?""",  # noqa: S608 - names of columns
        (*saved.values(), value.id, value.revision),
    )
    if cursor.rowcount != 1:
        raise StaleError(f"deployment {value.id} of {value.service} was moved on by another")
    if value.phase in TROUBLE:
        outbox.put(
            db, f"outcome:{value.id}", NotificationKind.OUTCOME, value.service, value.updated_at, subject=value.id
        )
    if waited is not None and value.phase in READY:
        save(db, advance(waited, Phase.REPLACED, value.updated_at))
    elif waited is not None:
        save(db, replace(advance(waited, Phase.WAITING, value.updated_at), note=None))
    return replace(value, revision=value.revision + 1)


def conclude(
    db: sqlite3.Connection,
    value: Deployment,
    *,
    live: str | None = None,
    quarantined: str | None = None,
    hold: Hold | None = None,
    lift: bool = False,
    left: str | None = None,
) -> Deployment:
    """Store a finished deployment with all its consequences in one transaction.

    live: the release that is live and good from now on (its commit leaves the quarantine). quarantined: a commit that
    polling must not deploy again. hold: the hold to set. lift: whether to end the wait after a rollback. left: the
    release that was rolled back from, which rollbacks skip unless it is named.
    """
    now = value.updated_at
    saved = save(db, value)
    if left is not None:
        db.execute("UPDATE releases SET abandoned = 1 WHERE service = ? AND name = ?", (value.service, left))
    if live is not None:
        db.execute("UPDATE releases SET good = 1, abandoned = 0 WHERE service = ? AND name = ?", (value.service, live))
        set_live(db, Live(value.service, live, now, value.id))
        if value.commit_to is not None:
            db.execute("DELETE FROM quarantine WHERE service = ? AND commit_id = ?", (value.service, value.commit_to))
    if quarantined is not None:
        blocked = columns(Quarantine(value.note, now))
        insert(db, "quarantine", {"service": value.service, "commit_id": quarantined, **blocked}, "INSERT OR REPLACE")
    if lift:
        db.execute("DELETE FROM holds WHERE service = ? AND waits IS NOT NULL", (value.service,))
    if hold is not None:
        put_hold(db, hold)
    return saved


def set_live(db: sqlite3.Connection, live: Live) -> None:
    put_row(db, "live", live)


def live(db: sqlite3.Connection, service: str) -> Live | None:
    """Return the release a service is meant to run; None before its first deploy."""
    row = db.execute("SELECT * FROM live WHERE service = ?", (service,)).fetchone()
    return None if row is None else from_row(Live, row)


def live_release(db: sqlite3.Connection, service: str) -> Release | None:
    """Return the release on disk that a service is meant to run, if it is known."""
    known = live(db, service)
    return next((each for each in releases(db, service) if known is not None and each.name == known.release), None)


def take_over(db: sqlite3.Connection, service: str, release: Release, now: datetime) -> None:
    """Record that a release which opsbot did not activate is live."""
    add_release(db, service, release)
    set_live(db, Live(service, release.name, now, None))


def deployment(db: sqlite3.Connection, number: int) -> Deployment | None:
    row = db.execute(f"{_SELECT} WHERE id = ?", (number,)).fetchone()
    return None if row is None else _deployment(row)


def deployments(db: sqlite3.Connection, service: str | None = None, limit: int = 20) -> list[Deployment]:
    """Return the latest deployments, newest first."""
    rows = db.execute(f"{_SELECT} WHERE ?1 IS NULL OR service = ?1 ORDER BY id DESC LIMIT ?2", (service, limit))
    return [_deployment(row) for row in rows]


def unfinished(db: sqlite3.Connection, service: str | None = None) -> list[Deployment]:
    """Return the unfinished deployments that are not ASIDE, oldest first."""
    rows = db.execute(
        f"""{_SELECT} WHERE finished_at IS NULL AND phase <> 'aside' AND (?1 IS NULL OR service = ?1)
           ORDER BY id""",
        (service,),
    )
    return [_deployment(row) for row in rows]


def aside(db: sqlite3.Connection, newer: Deployment) -> Deployment | None:
    """Return the deployment that is ASIDE while this one is prepared to supersede it."""
    found = None if newer.instead_of is None else deployment(db, newer.instead_of)
    return found if found is not None and found.phase is Phase.ASIDE else None


def latest(db: sqlite3.Connection, service: str) -> Deployment | None:
    """Return the running deployment of a service, else its last one."""
    found = unfinished(db, service) or deployments(db, service, 1)
    return found[0] if found else None


def prepared(db: sqlite3.Connection, service: str) -> list[str]:
    """Return the releases of unfinished deployments, which must be kept."""
    going = unfinished(db, service)
    found = [*going, *(aside(db, each) for each in going)]
    return [each.release_to for each in found if each is not None and each.release_to is not None]


def add_release(db: sqlite3.Connection, service: str, release: Release) -> None:
    values = columns(release)
    insert(db, "releases", {"service": service, "commit_id": values.pop("commit"), **values}, "INSERT OR REPLACE")


def forget_release(db: sqlite3.Connection, service: str, name: str) -> None:
    db.execute("DELETE FROM releases WHERE service = ? AND name = ?", (service, name))


def releases(db: sqlite3.Connection, service: str) -> tuple[Release, ...]:
    """Return the releases on disk, newest first."""
    rows = db.execute("SELECT * FROM releases WHERE service = ? ORDER BY at DESC, name DESC", (service,))
    return tuple(from_row(Release, row, commit=row["commit_id"]) for row in rows)


def quarantined(db: sqlite3.Connection, service: str) -> dict[str, Quarantine]:
    rows = db.execute("SELECT commit_id, reason, at FROM quarantine WHERE service = ?", (service,))
    return {row["commit_id"]: from_row(Quarantine, row) for row in rows}


def lift_quarantine(db: sqlite3.Connection, service: str) -> tuple[str, ...]:
    """Allow automatic deploys of a service's quarantined commits; return them."""
    rows = db.execute("DELETE FROM quarantine WHERE service = ? RETURNING commit_id", (service,)).fetchall()
    return tuple(row["commit_id"] for row in rows)


def live_and_earlier(db: sqlite3.Connection, service: str) -> tuple[Live | None, Release | None]:
    """Return what is live and the release that a rollback would return to."""
    now = live(db, service)
    blocked = frozenset(quarantined(db, service))
    return now, previous_good(releases(db, service), now.release if now is not None else None, blocked)


def hold(db: sqlite3.Connection, service: str) -> Hold | None:
    row = db.execute("SELECT * FROM holds WHERE service = ?", (service,)).fetchone()
    return None if row is None else from_row(Hold, row)


def put_hold(db: sqlite3.Connection, value: Hold) -> None:
    """Pause automatic deploys; a hold by a person outranks the one after a rollback."""
    db.execute(
        """INSERT INTO holds (service, actor, reason, at, waits) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (service) DO UPDATE SET actor = excluded.actor, reason = excluded.reason, at = excluded.at,
                                               waits = excluded.waits
           WHERE excluded.waits IS NULL OR holds.waits IS NOT NULL""",
        tuple(columns(value).values()),
    )


def lift_hold(db: sqlite3.Connection, service: str) -> bool:
    """Remove every hold of a service; returns whether there was one."""
    return db.execute("DELETE FROM holds WHERE service = ?", (service,)).rowcount > 0


def prune(db: sqlite3.Connection, before: datetime) -> list[int]:
    """Delete finished deployments that are not live; returns ids of deletable output."""
    rows = db.execute(
        """DELETE FROM deployments WHERE finished_at < ? AND id NOT IN (SELECT deployment FROM live WHERE deployment
           IS NOT NULL) RETURNING id""",
        (seconds(before),),
    ).fetchall()
    numbers = [int(row["id"]) for row in rows]
    db.executemany("DELETE FROM notices WHERE kind = 'deployment' AND subject = ?", [(number,) for number in numbers])
    return numbers
