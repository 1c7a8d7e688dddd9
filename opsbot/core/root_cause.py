"""Why: one causal line about a service, from what is known of it. What is not known is not guessed.

`find_root_cause` combines what was gathered: the latest incident, the one it was part of, what systemd said around its
beginning, the deployments and what people did before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from opsbot.core import journal_reasons
from opsbot.core.deployment import CHANGED, Deployment, DeploymentKind, Phase
from opsbot.core.incident import UNLISTED, IncidentEventKind, exit_of
from opsbot.core.message import Message, message, plain
from opsbot.core.model import AuditEntry, Dependent, Incident
from opsbot.core.root_cause_codes import RootCauseCode

AFTER = timedelta(hours=2)
"""A deployment this long before an incident is worth naming."""
SHORTLY = timedelta(minutes=5)
"""A person's action this long before it may have been its cause."""
AROUND = timedelta(minutes=2)
"""What systemd says this long before and after a beginning, belongs to it."""
ACTIONS_SHOWN = 3

_NO_ACTIONS = UNLISTED | {
    IncidentEventKind.OPENED,
    IncidentEventKind.UNSEEN_BEFORE,
    IncidentEventKind.FLAPPING,
    IncidentEventKind.RESTARTING,
}
"""Events that say nothing of what was done about an incident, or are counted."""


class TimelineEntryKind(StrEnum):
    """What kind of thing happened."""

    DEPLOY = "deploy"
    PERSON = "person"
    MANAGER = "manager"
    DOWN = "trouble"
    ACTION = "deed"
    RECOVERED = "well"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One thing that happened."""

    at: datetime
    kind: TimelineEntryKind
    text: Message


@dataclass(frozen=True, slots=True)
class RootCauseFacts:
    """What is known of a service.

    incident: its latest own one. root: the one that it was part of, or is listed in. before: the one of a service it
    needs, in which its incident began that went on after that one's end. deployments, actions: newest first.
    said: what its manager said, oldest first; None where that could not be read. running: whether it runs now, since
    `started_at`. exit: how it ended.
    """

    service: str
    now: datetime
    incident: Incident | None = None
    root: Incident | None = None
    before: Incident | None = None
    deployments: Sequence[Deployment] = ()
    actions: Sequence[AuditEntry] = ()
    said: Sequence[journal_reasons.Said] | None = ()
    running: bool = True
    stopped_by_hand: bool = False
    started_at: datetime | None = None
    exit: Message | None = None
    restarts: Sequence[datetime] = ()
    """When opsbot restarted it since the incident began; what flaps began before the first of its events."""


@dataclass(frozen=True, slots=True)
class RootCause:
    """The line, clause by clause, and what it rests on, oldest first. known: whether it explains anything."""

    clauses: tuple[Message, ...]
    events: tuple[TimelineEntry, ...] = ()
    known: bool = True


def find_root_cause(facts: RootCauseFacts) -> RootCause:
    """Explain a service's latest incident; its state, where there is none."""
    if facts.stopped_by_hand:
        return _stopped(facts)
    one = _dependent(facts)
    if facts.incident is None and one is None:
        return _no_incident(facts)
    began = facts.incident.opened_at if facts.incident is not None else one.failed_at if one else facts.now
    clauses = (*_beginning(facts, one, began), *_after(facts, began), *_done(facts), *_ending(facts, one))
    return RootCause(clauses, tuple(sorted(_events(facts, one, began), key=lambda event: event.at)))


def _dependent(facts: RootCauseFacts) -> Dependent | None:
    """How the incident that it is listed in lists it."""
    if facts.root is None:
        return None
    return next((one for one in facts.root.dependents if one.service == facts.service), None)


# Clauses


def _beginning(facts: RootCauseFacts, one: Dependent | None, began: datetime) -> Iterator[Message]:
    incident, root = facts.incident, facts.root
    if root is not None:
        cause = incident.first_cause if incident is not None else one.cause if one is not None else plain("?")
        yield message(
            RootCauseCode.BECAUSE_OF,
            at=one.failed_at if one is not None else began,
            service=facts.service,
            cause=cause,
            root=root.service,
            why=root.first_cause,
            incident=root.id,
            since=root.opened_at,
        )
    elif incident is not None and incident.flaps.count and incident.flaps.last is not None:
        yield message(
            RootCauseCode.FLAPPED,
            at=began,
            service=facts.service,
            count=incident.flaps.count,
            within=incident.flaps.last - began,
            cause=incident.cause,
        )
    elif incident is not None:
        reason, cause = _reason(facts, began), incident.first_cause
        yield message(RootCauseCode.WENT_DOWN, at=began, service=facts.service, cause=cause, reason=reason)


def _around(facts: RootCauseFacts, began: datetime) -> list[journal_reasons.Said]:
    return [(at, text) for at, text in facts.said or () if began - AROUND <= at <= began + AROUND]


def _reason(facts: RootCauseFacts, began: datetime) -> Message | None:
    said = _around(facts, began)
    # What it said before the last stop was of an earlier run, and explains that one's end.
    since = journal_reasons.stop(one for one in said if one[0] < began)
    found = next(journal_reasons.reasons(one for one in said if since is None or one[0] >= since), None)
    if found is not None:
        return found
    incident = facts.incident
    end = incident.evidence.exit if incident is not None else None
    return end if incident is not None and end != exit_of(incident.first_cause) else None


def _culprit(facts: RootCauseFacts, began: datetime) -> Deployment | None:
    """The deployment that brought the release that was live when it began, if that was not long before."""
    lives = [each for each in facts.deployments if each.live_at is not None and each.live_at <= began]
    live = max(lives, key=lambda each: each.live_at or began, default=None)
    return live if live is not None and live.live_at is not None and began - live.live_at <= AFTER else None


def _in_progress(facts: RootCauseFacts, began: datetime) -> Deployment | None:
    """The deployment whose release ran when it began and was not verified, or was being rolled back.

    One that started at that moment started because of it.
    """
    for each in facts.deployments:
        started = min((step.started_at for step in each.steps if step.phase in CHANGED), default=None)
        if started is not None and started < began and (each.finished_at is None or began <= each.finished_at):
            return each
    return None


def _person(facts: RootCauseFacts, began: datetime) -> AuditEntry | None:
    """Whoever restarted it shortly before."""
    return next(
        (each for each in facts.actions if each.action == "restart" and began - SHORTLY <= each.at <= began), None
    )


def _named(deployment: Deployment) -> Message:
    rollback = deployment.kind is DeploymentKind.ROLLBACK
    return message(
        RootCauseCode.DEPLOYMENT,
        kind="rollback" if rollback else "deployment",
        id=deployment.id,
        commit=deployment.commit_to or "",
        actor="" if deployment.actor.automatic else deployment.actor.name,
    )


def _after(facts: RootCauseFacts, began: datetime) -> Iterator[Message]:
    if facts.root is not None:
        return
    if (before := facts.before) is not None and before.closed_at is not None:
        yield message(RootCauseCode.AT_FIRST_BECAUSE_OF, service=before.service, recovered=before.closed_at)
    elif (person := _person(facts, began)) is not None:
        yield message(RootCauseCode.AFTER_RESTART, length=began - person.at, actor=person.actor_name)
    elif (current := _in_progress(facts, began)) is not None:
        yield message(RootCauseCode.DURING, deployment=_named(current), phase=current.phase)
    elif (deployment := _culprit(facts, began)) is not None:
        length = began - (deployment.live_at or began)
        yield message(RootCauseCode.AFTER_DEPLOYMENT, length=length, deployment=_named(deployment))


def _done(facts: RootCauseFacts) -> Iterator[Message]:
    """What was done about it, by whomever."""
    incident = facts.incident if facts.root is None else facts.root
    if incident is None:
        return
    ended = incident.closed_at or facts.now
    recorded = {each.at for each in incident.events if each.kind == IncidentEventKind.RESTARTING}
    restarts = sorted(recorded.union(at for at in facts.restarts if at <= ended))
    if restarts:
        yield message(RootCauseCode.RESTARTED, count=len(restarts), last=restarts[-1])
    others = [each for each in incident.events if each.kind not in _NO_ACTIONS]
    for each in others[-ACTIONS_SHOWN:]:
        yield message(RootCauseCode.ACTION, event=each.message, at=each.at)


def _ending(facts: RootCauseFacts, one: Dependent | None) -> Iterator[Message]:
    incident, root = facts.incident, facts.root
    if root is not None and one is not None and one.well_at is not None:
        yield message(RootCauseCode.DEPENDENT_RECOVERED, at=one.well_at)
    elif root is not None and root.closed_at is not None:
        yield message(RootCauseCode.ROOT_RECOVERED, root=root.service, at=root.closed_at, service=facts.service)
    elif root is not None:
        yield message(RootCauseCode.BOTH_DOWN, length=facts.now - root.opened_at)
    elif incident is not None and incident.closed_at is not None:
        yield message(
            RootCauseCode.RECOVERED,
            at=incident.closed_at,
            downtime=incident.downtime(incident.closed_at),
            resolution=incident.resolution,
        )
    elif incident is not None and incident.flaps.flapping and incident.flaps.last is not None:
        yield message(RootCauseCode.FLAPS, at=incident.flaps.last)
    elif incident is not None:
        yield message(RootCauseCode.STILL_DOWN, length=facts.now - incident.opened_at)


def _stopped(facts: RootCauseFacts) -> RootCause:
    at = journal_reasons.stop(facts.said or ())
    last = facts.deployments[0] if facts.deployments else None
    if last is not None and _stopped_by(last, at):
        line = message(RootCauseCode.STOPPED_BY_OPSBOT, service=facts.service, at=at, deployment=_named(last))
        events = tuple(each for each in _events(facts, None, facts.now) if each.kind is TimelineEntryKind.DEPLOY)
        return RootCause((line,), events)
    line = message(RootCauseCode.STOPPED_BY_HAND, service=facts.service, at=at)
    stopped = message(RootCauseCode.STOPPED)
    return RootCause((line,), (TimelineEntry(at, TimelineEntryKind.PERSON, stopped),) if at is not None else ())


def _stopped_by(last: Deployment, at: datetime | None) -> bool:
    """Whether that deployment's end is the stop of `at`: it failed, and there was nothing to roll back to."""
    ended = last.finished_at
    if last.phase is not Phase.UNDONE or last.release_from is not None or ended is None:
        return False
    return at is None or abs(ended - at) <= SHORTLY


def _no_incident(facts: RootCauseFacts) -> RootCause:
    events = tuple(sorted(_events(facts, None, facts.now), key=lambda event: event.at))
    if not facts.running:
        return RootCause(
            (message(RootCauseCode.NOT_RUNNING, service=facts.service, exit=facts.exit),), events, known=False
        )
    last, started = facts.deployments[0] if facts.deployments else None, facts.started_at
    by = (
        last is not None and started is not None and last.live_at is not None and abs(last.live_at - started) <= SHORTLY
    )
    deployment = _named(last) if last is not None and by else None
    line = message(RootCauseCode.NO_INCIDENT, service=facts.service, started=started, deployment=deployment)
    return RootCause((line,), events, known=False)


# What the line rests on


def _events(facts: RootCauseFacts, one: Dependent | None, began: datetime) -> Iterator[TimelineEntry]:
    for deployment in facts.deployments[:5]:
        at = deployment.live_at or deployment.finished_at
        if at is not None:
            ended = message(RootCauseCode.DEPLOYMENT_ENDED, deployment=_named(deployment), phase=deployment.phase)
            yield TimelineEntry(at, TimelineEntryKind.DEPLOY, ended)
    for each in facts.actions[:5]:
        done = message(RootCauseCode.PERSON, action=each.action, actor=each.actor_name, result=each.result)
        yield TimelineEntry(each.at, TimelineEntryKind.PERSON, done)
    for at, text in _around(facts, began)[-10:]:
        yield TimelineEntry(at, TimelineEntryKind.MANAGER, plain(text))
    for incident in (facts.root, facts.before, facts.incident):
        if incident is not None:
            yield from _of_incident(incident)
    if one is not None:
        down = message(IncidentEventKind.DEPENDENT_DOWN, service=one.service, cause=one.cause)
        yield TimelineEntry(one.failed_at, TimelineEntryKind.DOWN, down)
        if one.well_at is not None:
            up = message(IncidentEventKind.DEPENDENT_UP, service=one.service)
            yield TimelineEntry(one.well_at, TimelineEntryKind.RECOVERED, up)


def _of_incident(incident: Incident) -> Iterator[TimelineEntry]:
    opened = message(
        RootCauseCode.INCIDENT_OPENED, incident=incident.id, service=incident.service, about=incident.first_cause
    )
    yield TimelineEntry(incident.opened_at, TimelineEntryKind.DOWN, opened)
    for each in incident.events:
        if each.kind != IncidentEventKind.OPENED:
            yield TimelineEntry(each.at, TimelineEntryKind.ACTION, each.message)
    if incident.closed_at is not None:
        ended = message(
            RootCauseCode.INCIDENT_ENDED, incident=incident.id, service=incident.service, about=incident.resolution
        )
        yield TimelineEntry(incident.closed_at, TimelineEntryKind.RECOVERED, ended)
