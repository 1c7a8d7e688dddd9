"""Health, incidents, restarts by recovery, silences, and state of remotes."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from opsbot.core.flapping import Flaps
from opsbot.core.health import CheckHealth, ProbeResult, Verdict
from opsbot.core.incident import UNTOLD, IncidentEvent, IncidentEventKind, Resolution, decode_event, encode_event, event
from opsbot.core.message import Message, decode, decode_kept, encode, message, plain
from opsbot.core.model import Dependent, Evidence, Incident, NotificationKind, Silence, SourceState
from opsbot.core.recovery import RESETS, AttemptBy, RecoveryState, apply, decode_state, encode_state
from opsbot.store import acks, mutes, outbox
from opsbot.store.rows import (
    columns,
    dump,
    from_row,
    insert,
    load,
    maybe_moment,
    maybe_seconds,
    message_out,
    moment,
    packed,
    put_row,
    seconds,
    unpacked,
)

SILENCED = ("silenced", "it came and went while the service was silenced")
"""Why a notification was dropped: its incident came and went in a silence. The second is of earlier versions."""
LISTED_MOST = 5
"""Number of affected services with separate timeline entries."""
EVENTS_FIRST, EVENTS_LAST = 20, 180
"""Numbers of first and last events kept of an incident with more. Its timeline has all."""


def save_health(db: sqlite3.Connection, service: str, name: str, health: CheckHealth) -> None:
    """Store what is known of a check. Called when it changes, not at every check."""
    values = columns(health)
    del values["last"]
    last = health.last
    values |= {"service": service, "name": name, "seen": message_out(last.seen if last else None)}
    values |= {"at": maybe_seconds(last.at if last else None), "ok": last.ok if last else None}
    insert(db, "health", values, conflict="service, name")


def save_healths(db: sqlite3.Connection, found: Iterable[tuple[str, str, CheckHealth]]) -> None:
    """Store what is known of many checks: the service, the check, and what is known."""
    for service, name, health in found:
        save_health(db, service, name, health)


def save_answered(db: sqlite3.Connection, service: str, name: str, run: str | None) -> None:
    """Store in which run a check passed once: its failures count from then on."""
    db.execute(
        """INSERT INTO health (service, name, verdict, run) VALUES (?1, ?2, 'unknown', ?3)
           ON CONFLICT (service, name) DO UPDATE SET run = ?3""",
        (service, name, run),
    )


def answered(db: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """The runs in which checks have passed once, by service and check."""
    rows = db.execute("SELECT service, name, run FROM health WHERE run IS NOT NULL")
    return {(row["service"], row["name"]): row["run"] for row in rows}


def healths(db: sqlite3.Connection, service: str | None = None) -> dict[tuple[str, str], CheckHealth]:
    rows = db.execute("SELECT * FROM health WHERE ?1 IS NULL OR service = ?1", (service,))
    found = {}
    for row in rows:
        verdict = Verdict(row["verdict"])
        ok = verdict is not Verdict.DOWN if row["ok"] is None else bool(row["ok"])
        last = None if row["at"] is None else ProbeResult(ok, decode(load(row["seen"])), moment(row["at"]))
        found[row["service"], row["name"]] = from_row(CheckHealth, row, verdict=verdict, last=last)
    return found


def forget_health(db: sqlite3.Connection, service: str, names: list[str]) -> None:
    db.executemany("DELETE FROM health WHERE service = ? AND name = ?", [(service, name) for name in names])


def _seen(found: Sequence[tuple[str, Message]]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, encode(seen)) for name, seen in found]


def _read_seen(found: Iterable[tuple[str, Any]]) -> tuple[tuple[str, Message], ...]:
    return tuple((name, decode_kept(seen) or plain("")) for name, seen in found)


def _evidence_row(evidence: Evidence) -> str:
    return dump(
        {
            "checks": _seen(evidence.checks),
            "exit": None if evidence.exit is None else encode(evidence.exit),
            "log": evidence.log,
            "consequences": _seen(evidence.consequences),
        }
    )


def _evidence(text: str) -> Evidence:
    found = load(text)
    return Evidence(
        _read_seen(found.get("checks", [])),
        decode_kept(found.get("exit")),
        tuple(found.get("log", [])),
        _read_seen(found.get("consequences", [])),
    )


def _dependents_row(dependents: Iterable[Dependent]) -> str:
    return dump([packed(one) for one in dependents])


def _events_row(events: Sequence[IncidentEvent]) -> str:
    if len(events) > EVENTS_FIRST + EVENTS_LAST:
        events = (*events[:EVENTS_FIRST], *events[-EVENTS_LAST:])
    return dump([encode_event(each) for each in events])


def incident_of(row: sqlite3.Row) -> Incident:
    return from_row(
        Incident,
        row,
        evidence=_evidence(row["evidence"]),
        events=tuple(decode_event(each, moment(each["at"])) for each in load(row["events"])),
        dependents=tuple(unpacked(Dependent, each) for each in load(row["dependents"])),
        flaps=Flaps((), maybe_moment(row["flaps_since"]), row["flaps"], maybe_moment(row["flapped_at"])),
        recovery=decode_state(load(row["recovery"])),
    )


def open_incident(
    db: sqlite3.Connection,
    draft: Incident,
    now: datetime | None = None,
    fold: Sequence[str] = (),
    noticed: datetime | None = None,
) -> Incident:
    """Open an incident with its card in the outbox.

    Returns the open one if the subject has one. Its events are those of the draft, or the opening with its cause. The
    state of recovery follows from them.

    fold: subjects whose open incidents are part of this one; they are closed and listed in it.
    noticed: the time its delay is measured from; default is now, or else its beginning.
    """
    row = db.execute("SELECT * FROM incidents WHERE service = ? AND closed_at IS NULL", (draft.service,)).fetchone()
    if row is not None:
        return incident_of(row)
    at = noticed or now or draft.opened_at
    if draft.flaps.flapping:
        # It covers all its ups and downs: those with separate incidents count, too.
        (down,) = db.execute(
            "SELECT coalesce(sum(down_for), 0) FROM incidents WHERE service = ? AND opened_at >= ?",
            (draft.service, seconds(draft.opened_at)),
        ).fetchone()
        draft = replace(draft, down_for=draft.down_for + timedelta(seconds=down))
    events = draft.events or (event(IncidentEventKind.OPENED, draft.opened_at, cause=draft.cause),)
    recovery = RecoveryState()
    for each in events:
        recovery = apply(recovery, each)
    values = columns(draft)
    down_since = draft.down_since or (None if draft.flaps.flapping else draft.opened_at)
    cursor = insert(
        db,
        "incidents",
        {name: values[name] for name in ("service", "cause", "opened_at", "deployment", "down_for")}
        | {
            "evidence": _evidence_row(draft.evidence),
            "events": _events_row(events),
            "dependents": _dependents_row(draft.dependents),
            "flaps_since": maybe_seconds(draft.flaps.since),
            "flaps": draft.flaps.count,
            "flapped_at": maybe_seconds(draft.flaps.last),
            "recovery": dump(encode_state(recovery)),
            "down_since": maybe_seconds(down_since),
        },
    )
    number = int(cursor.lastrowid or 0)
    outbox.put(db, f"incident:{number}", NotificationKind.INCIDENT, draft.service, at, subject=number)
    for each in events:
        outbox.line(db, number, draft.service, each, max(at, each.at))
    begun = replace(draft, id=number)
    for count, one in enumerate(draft.dependents):
        _dependent_line(db, begun, one, known=False, count=count)
    for subject in fold:
        _fold(db, subject, number, now or draft.opened_at)
    opened = incident(db, number)
    return opened if opened is not None else replace(draft, id=number)


def _fold(db: sqlite3.Connection, subject: str, into: int, now: datetime) -> None:
    """Close an incident as part of another, without a message; drop an unsent card."""
    row = db.execute(
        """UPDATE incidents SET closed_at = ?1, resolution = ?2, part_of = ?3, flaps_since = NULL,
             down_for = down_for + max(0, ?1 - coalesce(down_since, ?1)), down_since = NULL, revision = revision + 1
           WHERE service = ?4 AND closed_at IS NULL RETURNING id, cause, opened_at""",
        (seconds(now), message_out(message(Resolution.PART_OF, incident=into)), into, subject),
    ).fetchone()
    if row is None:
        return
    why = f"it is part of incident {into}"
    for each in db.execute(
        f"SELECT id FROM notices WHERE kind IN {outbox.OF_INCIDENTS} AND subject = ? AND tried_at IS NULL",  # noqa: S608
        (row["id"],),
    ).fetchall():
        outbox.drop(db, each["id"], why)
    put_dependents(db, into, [Dependent(subject, decode(load(row["cause"])), moment(row["opened_at"]))])


def _dependent_line(db: sqlite3.Connection, root: Incident, one: Dependent, *, known: bool, count: int) -> None:
    """Add a timeline entry for an affected service; many are listed in the card only."""
    if known and one.well_at is None:
        return
    if one.well_at is not None:
        if count <= LISTED_MOST:
            up = event(IncidentEventKind.DEPENDENT_UP, one.well_at, service=one.service)
            outbox.line(db, root.id, root.service, up)
        return
    down = event(IncidentEventKind.DEPENDENT_DOWN, one.failed_at, service=one.service, cause=one.cause)
    if count < LISTED_MOST:
        outbox.line(db, root.id, root.service, down)
    elif count == LISTED_MOST:
        outbox.line(db, root.id, root.service, event(IncidentEventKind.MORE_DEPENDENTS, one.failed_at))
    acks.void(db, root.id, down.message, one.failed_at)


def put_dependents(db: sqlite3.Connection, number: int, news: Iterable[Dependent]) -> Incident | None:
    """Add or update affected services, each with its first failure."""
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
    db: sqlite3.Connection, number: int, *, evidence: Evidence | None = None, cause: Message | None = None
) -> Incident | None:
    """Keep newer evidence of an incident, or its current cause; return the incident, None if unknown."""
    db.execute(
        """UPDATE incidents SET evidence = coalesce(?2, evidence), cause = coalesce(?3, cause), revision = revision + 1
           WHERE id = ?1""",
        (number, None if evidence is None else _evidence_row(evidence), None if cause is None else message_out(cause)),
    )
    return incident(db, number)


def add_event(
    db: sqlite3.Connection,
    number: int,
    happened: IncidentEvent,
    *,
    evidence: Evidence | None = None,
    cause: Message | None = None,
    worse: bool = False,
    counted: AttemptBy | None = None,
    quiet: bool = False,
) -> Incident | None:
    """Add an event to an open incident and to its recovery, in one transaction.

    The incident afterwards; None where it is unknown or over. evidence, cause: newer ones that came with it. worse: the
    incident has grown: an acknowledgement of it is void. counted: who made a restart that counts against the budget.
    quiet: it is only folded, and neither kept nor sent.
    """
    row = db.execute("SELECT * FROM incidents WHERE id = ? AND closed_at IS NULL", (number,)).fetchone()
    if row is None:
        return None
    before = incident_of(row)
    quiet = quiet or happened.kind in UNTOLD
    events = before.events if quiet else (*before.events, happened)
    called_at = before.called_at
    if happened.kind in RESETS:
        called_at = None
    elif happened.kind == IncidentEventKind.ESCALATED:
        called_at = called_at or happened.at
    after = replace(
        before,
        events=events,
        evidence=evidence or before.evidence,
        cause=cause or before.cause,
        called_at=called_at,
        recovery=apply(before.recovery, happened),
    )
    shown = replace(after, recovery=before.recovery) != before
    db.execute(
        """UPDATE incidents SET events = ?, evidence = ?, cause = ?, recovery = ?, called_at = ?, revision = ?
           WHERE id = ?""",
        (
            row["events"] if quiet else _events_row(events),
            row["evidence"] if evidence is None else _evidence_row(evidence),
            message_out(after.cause),
            dump(encode_state(after.recovery)),
            maybe_seconds(called_at),
            before.revision + shown,
            number,
        ),
    )
    if counted is not None:
        add_recovery(db, before.service, happened.at, counted)
    if not quiet:
        outbox.line(db, number, before.service, happened)
    if worse:
        acks.void(db, number, happened.message, happened.at)
    return incident(db, number)


def escalate(
    db: sqlite3.Connection, number: int, why: Message, now: datetime, evidence: Evidence, *, inhibited: bool = False
) -> Incident | None:
    """Escalate once because recovery gave up; None if done before or resolved."""
    row = db.execute(
        "SELECT service FROM incidents WHERE id = ? AND called_at IS NULL AND closed_at IS NULL", (number,)
    ).fetchone()
    if row is None:
        return None
    happened = event(IncidentEventKind.ESCALATED, now, why=why, inhibited=inhibited)
    found = add_event(db, number, happened, evidence=evidence)
    acks.void(db, number, happened.message, now, remind=False)
    body: dict[str, object] = {"why": encode(why)}
    key = f"call:{number}:{now.timestamp():.0f}"
    outbox.put(db, key, NotificationKind.CALL, row["service"], now, subject=number, body=body)
    return found


def close_incident(
    db: sqlite3.Connection, service: str, resolution: Message, now: datetime, up_since: datetime | None = None
) -> Incident | None:
    """Resolve the open incident of a service and queue the message.

    None if there is none.

    up_since: since when it is up, if that is known to be before now: its downtime ends there.

    An incident that was never announced (it came and went in a silence) gets no resolution message, nor does one that
    was announced in a storm, whose message reports the resolution.
    """
    row = db.execute(
        """UPDATE incidents SET closed_at = ?1, resolution = ?2, flaps_since = NULL,
             down_for = down_for + max(0, ?3 - coalesce(down_since, ?3)), down_since = NULL, revision = revision + 1
           WHERE service = ?4 AND closed_at IS NULL RETURNING id""",
        (seconds(now), message_out(resolution), seconds(min(up_since or now, now)), service),
    ).fetchone()
    if row is None:
        return None
    number = int(row["id"])
    silenced = silence(db, service, now) is not None
    card = outbox.card(db, NotificationKind.INCIDENT, number)
    stormed = card is not None and card.storm is not None and card.tries == 0
    if (silenced or stormed) and card is not None and card.told_at is None:
        why = "storm" if stormed else SILENCED[0]
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
    row = db.execute("SELECT * FROM incidents WHERE id = ?", (number,)).fetchone()
    return None if row is None else incident_of(row)


def open_incidents(db: sqlite3.Connection) -> dict[str, Incident]:
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


def add_recovery(db: sqlite3.Connection, service: str, now: datetime, by: AttemptBy = AttemptBy.OPSBOT) -> None:
    """Record a restart by opsbot, or by the manager after a crash; it counts."""
    db.execute("INSERT INTO recoveries (service, at, actor) VALUES (?, ?, ?)", (service, seconds(now), by))


def recoveries(
    db: sqlite3.Connection, service: str, after: datetime, by: AttemptBy | None = None
) -> tuple[datetime, ...]:
    """Return the restarts by opsbot, or by its manager after a crash; by: only these."""
    rows = db.execute(
        "SELECT at FROM recoveries WHERE service = ?1 AND at > ?2 AND (?3 IS NULL OR actor = ?3) ORDER BY at",
        (service, seconds(after), by),
    )
    return tuple(moment(row["at"]) for row in rows)


def put_silence(db: sqlite3.Connection, value: Silence) -> None:
    """Silence a service until then; replaces an earlier silence."""
    mutes.sum_up_silences(db, value.at)
    # A replacing silence continues the earlier one: its summary covers both.
    db.execute(
        """INSERT INTO silences (service, actor, reason, at, until, since) VALUES (?1, ?2, ?3, ?4, ?5, ?4)
           ON CONFLICT (service) DO UPDATE SET actor = ?2, reason = ?3, at = ?4, until = ?5,
             since = coalesce(since, ?4)""",
        tuple(columns(value).values()),
    )
    row = db.execute("SELECT id FROM incidents WHERE service = ? AND closed_at IS NULL", (value.service,)).fetchone()
    if row is not None:
        silenced = event(
            IncidentEventKind.SILENCED, value.at, actor=value.actor, reason=value.reason, until=value.until
        )
        add_event(db, row["id"], silenced)


def lift_silence(db: sqlite3.Connection, service: str, now: datetime) -> bool:
    """End a silence or mute early, keeping its actual end; whether there was one."""
    ended = db.execute("UPDATE silences SET until = ?1 WHERE service = ?2 AND until > ?1", (seconds(now), service))
    return mutes.lift(db, service, now) or ended.rowcount > 0


def silence(db: sqlite3.Connection, service: str, now: datetime) -> Silence | None:
    """Return the silence or muting window of a service, whichever ends later."""
    row = db.execute("SELECT * FROM silences WHERE service = ? AND until > ?", (service, seconds(now))).fetchone()
    muting = mutes.muting(db, service, now)
    if row is None or (muting is not None and seconds(muting.until) > row["until"]):
        return muting
    return from_row(Silence, row)


def source(db: sqlite3.Connection, service: str) -> SourceState:
    row = db.execute("SELECT * FROM sources WHERE service = ?", (service,)).fetchone()
    return SourceState(service) if row is None else from_row(SourceState, row)


def save_source(db: sqlite3.Connection, value: SourceState) -> None:
    put_row(db, "sources", value)


def prune(db: sqlite3.Connection, before: datetime) -> None:
    db.execute("DELETE FROM incidents WHERE closed_at < ?", (seconds(before),))
    db.execute("DELETE FROM recoveries WHERE at < ?", (seconds(before),))
    db.execute("DELETE FROM silences WHERE until < ?", (seconds(before),))
    mutes.prune(db, before)
