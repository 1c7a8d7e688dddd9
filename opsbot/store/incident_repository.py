"""Health, incidents, restarts by recovery, silences, and state of remotes."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from opsbot.core.flapping import Flaps
from opsbot.core.health import CheckHealth, ProbeResult, Verdict
from opsbot.core.message import decode, encode
from opsbot.core.model import Deed, Dependent, Evidence, Incident, NotificationKind, Silence, SourceState
from opsbot.store import acks, mutes, outbox
from opsbot.store.rows import dump, load, maybe_moment, maybe_seconds, moment, seconds

LISTED_MOST = 5
"""Number of affected services with separate timeline entries."""


def save_health(db: sqlite3.Connection, service: str, name: str, health: CheckHealth) -> None:
    """Store a check's verdict. Called when it changes, not at every check."""
    db.execute(
        """INSERT OR REPLACE INTO health (service, name, verdict, since, seen, at, recent, failing_since)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            service,
            name,
            health.verdict,
            maybe_seconds(health.since),
            dump(encode(health.last.seen)) if health.last else "",
            maybe_seconds(health.last.at if health.last else None),
            health.recent,
            maybe_seconds(health.failing_since),
        ),
    )


def healths(db: sqlite3.Connection, service: str | None = None) -> dict[tuple[str, str], CheckHealth]:
    """Return the stored verdicts by service and check."""
    rows = db.execute("SELECT * FROM health WHERE ?1 IS NULL OR service = ?1", (service,))
    found = {}
    for row in rows:
        verdict = Verdict(row["verdict"])
        at = maybe_moment(row["at"])
        last = None if at is None else ProbeResult(verdict is not Verdict.DOWN, decode(load(row["seen"])), at)
        found[row["service"], row["name"]] = CheckHealth(
            verdict,
            maybe_moment(row["since"]),
            last=last,
            recent=row["recent"],
            failing_since=maybe_moment(row["failing_since"]),
        )
    return found


def forget_health(db: sqlite3.Connection, service: str, names: list[str]) -> None:
    """Delete the verdicts of checks that are no longer configured."""
    db.executemany("DELETE FROM health WHERE service = ? AND name = ?", [(service, name) for name in names])


def _evidence_row(evidence: Evidence) -> str:
    return dump(
        {
            "checks": evidence.checks,
            "exit": evidence.exit,
            "log": evidence.log,
            "consequences": evidence.consequences,
        }
    )


def _evidence(text: str) -> Evidence:
    found = load(text)
    return Evidence(
        tuple((name, seen) for name, seen in found.get("checks", [])),
        found.get("exit", ""),
        tuple(found.get("log", [])),
        tuple((name, seen) for name, seen in found.get("consequences", [])),
    )


def _dependents_row(dependents: Iterable[Dependent]) -> str:
    return dump([[one.service, one.cause, seconds(one.failed_at), maybe_seconds(one.well_at)] for one in dependents])


def incident_of(row: sqlite3.Row) -> Incident:
    """Convert a row."""
    return Incident(
        id=row["id"],
        service=row["service"],
        cause=row["cause"],
        opened_at=moment(row["opened_at"]),
        evidence=_evidence(row["evidence"]),
        deeds=tuple(Deed(moment(at), text) for at, text in load(row["actions"])),
        deployment=row["deployment"],
        called_at=maybe_moment(row["called_at"]),
        closed_at=maybe_moment(row["closed_at"]),
        ended_by=row["ended_by"],
        revision=row["revision"],
        part_of=row["part_of"],
        dependents=tuple(
            Dependent(service, cause, moment(failed), maybe_moment(well))
            for service, cause, failed, well in load(row["dependents"])
        ),
        flaps=Flaps((), maybe_moment(row["flaps_since"]), row["flaps"], maybe_moment(row["flapped_at"])),
    )


def open_incident(
    db: sqlite3.Connection,
    draft: Incident,
    now: datetime | None = None,
    fold: Sequence[str] = (),
    noticed: datetime | None = None,
) -> Incident:
    """Open an incident with its card in the outbox.

    Returns the open one if the subject has one.

    fold: subjects whose open incidents are part of this one; they are closed and listed in it.
    noticed: the time its delay is measured from; default is now, or else its beginning.
    """
    row = db.execute("SELECT * FROM incidents WHERE service = ? AND closed_at IS NULL", (draft.service,)).fetchone()
    if row is not None:
        return incident_of(row)
    cursor = db.execute(
        """INSERT INTO incidents (service, cause, opened_at, evidence, actions, deployment, dependents, flaps_since,
                                  flaps, flapped_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            draft.service,
            draft.cause,
            seconds(draft.opened_at),
            _evidence_row(draft.evidence),
            dump([[seconds(deed.at), deed.text] for deed in draft.deeds]),
            draft.deployment,
            _dependents_row(draft.dependents),
            maybe_seconds(draft.flaps.since),
            draft.flaps.count,
            maybe_seconds(draft.flaps.last),
        ),
    )
    number = int(cursor.lastrowid or 0)
    at = noticed or now or draft.opened_at
    outbox.put(db, f"incident:{number}", NotificationKind.INCIDENT, draft.service, at, subject=number)
    outbox.line(db, number, draft.service, at, draft.cause, "🔴")
    begun = replace(draft, id=number)
    for count, one in enumerate(draft.dependents):
        _dependent_line(db, begun, one, known=False, count=count)
    for subject in fold:
        _fold(db, subject, number, now or draft.opened_at)
    opened = incident(db, number)
    return opened if opened is not None else replace(draft, id=number)


def _fold(db: sqlite3.Connection, subject: str, into: int, now: datetime) -> None:
    """Close an incident as part of another, without a resolution message.

    An unsent card is dropped.
    """
    row = db.execute(
        """UPDATE incidents SET closed_at = ?, ended_by = ?, part_of = ?, flaps_since = NULL, revision = revision + 1
           WHERE service = ? AND closed_at IS NULL RETURNING id, cause, opened_at""",
        (seconds(now), f"part of incident {into}", into, subject),
    ).fetchone()
    if row is None:
        return
    why = f"it is part of incident {into}"
    for each in db.execute(
        f"SELECT id FROM notices WHERE kind IN {outbox.OF_INCIDENTS} AND subject = ? AND tried_at IS NULL",  # noqa: S608
        (row["id"],),
    ).fetchall():
        outbox.drop(db, each["id"], why)
    put_dependents(db, into, [Dependent(subject, row["cause"], moment(row["opened_at"]))])


def _dependent_line(db: sqlite3.Connection, root: Incident, one: Dependent, *, known: bool, count: int) -> None:
    """Add a timeline entry that another service is affected or recovered.

    Many are listed in the card only.
    """
    if known and one.well_at is None:
        return
    if one.well_at is not None:
        if count <= LISTED_MOST:
            outbox.line(db, root.id, root.service, one.well_at, f"{one.service} is well again", "🟢")
        return
    if count < LISTED_MOST:
        text = f"{one.service} is not well because of it: {one.cause}"
        outbox.line(db, root.id, root.service, one.failed_at, text, "🔴")
    elif count == LISTED_MOST:
        outbox.line(db, root.id, root.service, one.failed_at, "more services are not well: the card has them all", "🔴")
    acks.void(db, root.id, f"{one.service} is not well because of it", one.failed_at)


def put_dependents(db: sqlite3.Connection, number: int, news: Iterable[Dependent]) -> Incident | None:
    """Add or update services that are affected by an incident; returns the incident.

    A service that fails again keeps the time of its first failure.
    """
    found = incident(db, number)
    if found is None:
        return None
    listed = {each.service: each for each in found.dependents}
    for one in news:
        before = listed.get(one.service, one)
        _dependent_line(db, found, one, known=one.service in listed, count=len(listed))
        listed[one.service] = replace(one, failed_at=min(one.failed_at, before.failed_at))
    db.execute(
        "UPDATE incidents SET dependents = ?, revision = revision + 1 WHERE id = ?",
        (_dependents_row(listed.values()), number),
    )
    return replace(found, dependents=tuple(listed.values()), revision=found.revision + 1)


def change_incident(
    db: sqlite3.Connection,
    number: int,
    now: datetime,
    *,
    deed: str | None = None,
    evidence: Evidence | None = None,
    cause: str | None = None,
    sign: str = "",
    worse: bool = False,
) -> Incident | None:
    """Add a deed to an incident's story and its timeline, newer evidence, or the cause it turned out to have.

    The incident afterwards; None where it is unknown. sign: an emoji for the timeline. worse: the trouble has grown: an
    acknowledgement of it is void.
    """
    row = db.execute("SELECT * FROM incidents WHERE id = ?", (number,)).fetchone()
    if row is None:
        return None
    actions = load(row["actions"])
    if deed is not None:
        actions.append([seconds(now), deed])
    db.execute(
        "UPDATE incidents SET actions = ?, evidence = ?, cause = ?, revision = revision + 1 WHERE id = ?",
        (
            dump(actions),
            row["evidence"] if evidence is None else _evidence_row(evidence),
            row["cause"] if cause is None else cause,
            number,
        ),
    )
    if deed is not None:
        outbox.line(db, number, row["service"], now, deed, sign or ("🔴" if worse else ""))
        if worse:
            acks.void(db, number, deed, now)
    return incident(db, number)


def observe(
    db: sqlite3.Connection, number: int, text: str, now: datetime, sign: str = "", *, worse: bool = False
) -> None:
    """Add to an incident's timeline what is no deed and not for its card: a check that is well again, a silence.

    worse: the trouble has grown: an acknowledgement of it is void.
    """
    row = db.execute("SELECT service FROM incidents WHERE id = ? AND closed_at IS NULL", (number,)).fetchone()
    if row is not None:
        outbox.line(db, number, row["service"], now, text, sign)
        if worse:
            acks.void(db, number, text, now)


def call_human(db: sqlite3.Connection, number: int, why: str, now: datetime) -> bool:
    """Escalate once because recovery gave up; False if it was done before."""
    cursor = db.execute(
        """UPDATE incidents SET called_at = ?, revision = revision + 1
           WHERE id = ? AND called_at IS NULL AND closed_at IS NULL""",
        (seconds(now), number),
    )
    if cursor.rowcount != 1:
        return False
    change_incident(db, number, now, deed=f"called for a human: {why}", sign="🚨")
    acks.void(db, number, f"opsbot called for a human: {why}", now, remind=False)
    service = db.execute("SELECT service FROM incidents WHERE id = ?", (number,)).fetchone()["service"]
    outbox.put(
        db,
        f"call:{number}:{now.timestamp():.0f}",
        NotificationKind.CALL,
        service,
        now,
        subject=number,
        body={"why": why},
    )
    return True


def uncall(db: sqlite3.Connection, number: int) -> None:
    """Allow another escalation after a person intervened and recovery restarted."""
    db.execute("UPDATE incidents SET called_at = NULL, revision = revision + 1 WHERE id = ?", (number,))


def close_incident(db: sqlite3.Connection, service: str, ended_by: str, now: datetime) -> Incident | None:
    """Resolve the open incident of a service and queue the message.

    None if there is none.

    An incident that was never announced (it came and went in a silence) gets no resolution message, nor does one that
    was announced in a storm, whose message reports the resolution.
    """
    row = db.execute(
        """UPDATE incidents SET closed_at = ?, ended_by = ?, flaps_since = NULL, revision = revision + 1
           WHERE service = ? AND closed_at IS NULL RETURNING id""",
        (seconds(now), ended_by, service),
    ).fetchone()
    if row is None:
        return None
    number = int(row["id"])
    silenced = silence(db, service, now) is not None
    card = outbox.card(db, NotificationKind.INCIDENT, number)
    stormed = card is not None and card.storm is not None and card.tries == 0
    if (silenced or stormed) and card is not None and card.told_at is None:
        why = "it was told with others and is over" if stormed else "it came and went while the service was silenced"
        outbox.drop(db, card.id, why)
        db.execute(
            """UPDATE notices SET dropped = ? WHERE kind IN ('call', 'timeline', 'reminder', 'escalation')
                 AND subject = ? AND told_at IS NULL""",
            (why, number),
        )
    else:
        outbox.put(db, f"recovered:{number}", NotificationKind.RECOVERED, service, now, subject=number)
    return incident(db, number)


def incident(db: sqlite3.Connection, number: int) -> Incident | None:
    """Return one incident."""
    row = db.execute("SELECT * FROM incidents WHERE id = ?", (number,)).fetchone()
    return None if row is None else incident_of(row)


def open_incidents(db: sqlite3.Connection) -> dict[str, Incident]:
    """Return the open incidents by service."""
    rows = db.execute("SELECT * FROM incidents WHERE closed_at IS NULL")
    return {row["service"]: incident_of(row) for row in rows}


def incidents(
    db: sqlite3.Connection, service: str | None = None, limit: int = 20, *, still_open: bool = False
) -> list[Incident]:
    """Return the latest incidents, newest first. still_open: only open ones."""
    rows = db.execute(
        """SELECT * FROM incidents WHERE (?1 IS NULL OR service = ?1) AND (closed_at IS NULL OR NOT ?3)
           ORDER BY id DESC LIMIT ?2""",
        (service, limit, still_open),
    )
    return [incident_of(row) for row in rows]


def add_recovery(db: sqlite3.Connection, service: str, now: datetime) -> None:
    """Record that recovery is about to restart the service."""
    db.execute("INSERT INTO recoveries (service, at) VALUES (?, ?)", (service, seconds(now)))


def recoveries(db: sqlite3.Connection, service: str, after: datetime) -> tuple[datetime, ...]:
    """Return when recovery restarted the service since then, oldest first."""
    rows = db.execute("SELECT at FROM recoveries WHERE service = ? AND at > ? ORDER BY at", (service, seconds(after)))
    return tuple(moment(row["at"]) for row in rows)


def put_silence(db: sqlite3.Connection, value: Silence) -> None:
    """Silence a service until then; replaces an earlier silence."""
    mutes.sum_up_silences(db, value.at)
    # A replacing silence continues the earlier one: its summary covers both.
    db.execute(
        """INSERT INTO silences (service, actor, reason, at, until, since) VALUES (?1, ?2, ?3, ?4, ?5, ?4)
           ON CONFLICT (service) DO UPDATE SET actor = ?2, reason = ?3, at = ?4, until = ?5,
             since = coalesce(since, ?4)""",
        (value.service, value.actor, value.reason, seconds(value.at), seconds(value.until)),
    )
    text = f"silenced by {value.actor}{f': {value.reason}' if value.reason else ''}, until"
    _noted_open(db, value.service, value.at, text, value.until)


def _noted_open(db: sqlite3.Connection, service: str, now: datetime, text: str, until: datetime | None = None) -> None:
    """Add an entry to the timeline of a service's open incident and update its card."""
    row = db.execute("SELECT id FROM incidents WHERE service = ? AND closed_at IS NULL", (service,)).fetchone()
    if row is not None:
        outbox.line(db, row["id"], service, now, text, "🔕", until)
        db.execute("UPDATE incidents SET revision = revision + 1 WHERE id = ?", (row["id"],))


def lift_silence(db: sqlite3.Connection, service: str, now: datetime) -> bool:
    """End a silence, or the mute of a window, early; returns whether there was one.

    Its actual end is kept.
    """
    ended = db.execute("UPDATE silences SET until = ?1 WHERE service = ?2 AND until > ?1", (seconds(now), service))
    return mutes.lift(db, service, now) or ended.rowcount > 0


def silence(db: sqlite3.Connection, service: str, now: datetime) -> Silence | None:
    """Return the silence or muting window of a service, whichever ends later."""
    row = db.execute("SELECT * FROM silences WHERE service = ? AND until > ?", (service, seconds(now))).fetchone()
    muting = mutes.muting(db, service, now)
    if row is None or (muting is not None and seconds(muting.until) > row["until"]):
        return muting
    return Silence(row["service"], row["actor"], row["reason"], moment(row["at"]), moment(row["until"]))


def source(db: sqlite3.Connection, service: str) -> SourceState:
    """Return the stored state of a service's remote."""
    row = db.execute("SELECT * FROM sources WHERE service = ?", (service,)).fetchone()
    if row is None:
        return SourceState(service)
    return SourceState(
        service,
        row["head"],
        maybe_moment(row["asked_at"]),
        maybe_moment(row["answered_at"]),
        maybe_moment(row["failing_since"]),
        row["failure"],
        bool(row["told"]),
        row["noted"],
    )


def save_source(db: sqlite3.Connection, value: SourceState) -> None:
    """Store the state of a service's remote."""
    db.execute(
        """INSERT OR REPLACE INTO sources (service, head, asked_at, answered_at, failing_since, failure, told, noted)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            value.service,
            value.head,
            maybe_seconds(value.asked_at),
            maybe_seconds(value.answered_at),
            maybe_seconds(value.failing_since),
            value.failure,
            value.told,
            value.noted,
        ),
    )


def prune(db: sqlite3.Connection, before: datetime) -> None:
    """Delete closed incidents, restarts and silences older than that."""
    db.execute("DELETE FROM incidents WHERE closed_at < ?", (seconds(before),))
    db.execute("DELETE FROM recoveries WHERE at < ?", (seconds(before),))
    db.execute("DELETE FROM silences WHERE until < ?", (seconds(before),))
    mutes.prune(db, before)
