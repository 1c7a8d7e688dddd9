"""Why: one causal line about a service, from what is known of it. Nothing is guessed: what is not known is said so.

`find_root_cause` puts together what was gathered: the latest incident, the one it was part of, what systemd said around
its beginning, the deployments and what people did before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from opsbot.core import journal_reasons
from opsbot.core.deployment import CHANGED, Deployment, DeploymentKind, Phase
from opsbot.core.incident import UNLISTED, AccountCode, IncidentEventKind, exit_of
from opsbot.core.message import Message, message, plain
from opsbot.core.model import AuditEntry, Dependent, Incident

AFTER = timedelta(hours=2)
"""A deployment this long before a trouble is worth naming."""
SHORTLY = timedelta(minutes=5)
"""A person's deed this long before it may have been its cause."""
AROUND = timedelta(minutes=2)
"""What systemd says this long before and after a beginning, belongs to it."""
DEEDS = 3
_ENDED = {
    Phase.LIVE: "went live",
    Phase.FAILED: "failed",
    Phase.UNDONE: "was rolled back",
    Phase.STUCK: "needs attention",
    Phase.SKIPPED: "was skipped",
    Phase.REPLACED: "was superseded",
}

Part = str | datetime | Message
Parts = tuple[Part, ...]


_NO_DEEDS = UNLISTED | {
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
    TROUBLE = "trouble"
    DEED = "deed"
    WELL = "well"


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
    needs, in which its own trouble began that went on after that one's end. deployments, deeds: newest first.
    said: what its manager said, oldest first; None where that could not be read. running: whether it runs now, since
    `started_at`. silent_since: opsbot remembers nothing before that.
    """

    service: str
    now: datetime
    incident: Incident | None = None
    root: Incident | None = None
    before: Incident | None = None
    deployments: Sequence[Deployment] = ()
    deeds: Sequence[AuditEntry] = ()
    said: Sequence[journal_reasons.Said] | None = ()
    running: bool = True
    stopped_by_hand: bool = False
    started_at: datetime | None = None
    exit: str = ""
    restarts: Sequence[datetime] = ()
    """When opsbot restarted it since the incident began; what flaps began before the first of its events."""


@dataclass(frozen=True, slots=True)
class RootCause:
    """The line, in pieces so that each front end shows times and messages in its own way; and what it rests on."""

    parts: Parts
    events: tuple[TimelineEntry, ...] = ()
    known: bool = True


def find_root_cause(facts: RootCauseFacts) -> RootCause:
    """The line about a service's latest trouble; about how it stands, where there is none."""
    if facts.stopped_by_hand:
        return _stopped(facts)
    one = _dependent(facts)
    if facts.incident is None and one is None:
        return _no_trouble(facts)
    began = facts.incident.opened_at if facts.incident is not None else one.failed_at if one else facts.now
    parts = (*_beginning(facts, one, began), *_after(facts, began), *_done(facts), *_ending(facts, one), ".")
    return RootCause(parts, tuple(sorted(_events(facts, one, began), key=lambda event: event.at)))


def _dependent(facts: RootCauseFacts) -> Dependent | None:
    """How it is listed in the incident of another."""
    found = facts.root.dependents if facts.root is not None else ()
    return next((one for one in found if one.service == facts.service), None)


def _span(length: timedelta) -> str:
    seconds = max(round(length.total_seconds()), 0)
    if seconds < 100:  # noqa: PLR2004 - up to here seconds say more than minutes
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"  # noqa: PLR2004 - two hours


# The pieces


def _beginning(facts: RootCauseFacts, one: Dependent | None, began: datetime) -> Parts:
    incident, root = facts.incident, facts.root
    if root is not None:
        cause = incident.first_cause if incident is not None else one.cause if one is not None else plain("?")
        failed = one.failed_at if one is not None else began
        return (
            failed,
            f" {facts.service} was down (",
            cause,
            f") because of {root.service}: ",
            root.first_cause,
            f" (incident {root.id}), since ",
            root.opened_at,
        )
    if incident is None:
        return ()
    if incident.flaps.count and incident.flaps.last is not None:
        span = _span(incident.flaps.last - began)
        return began, f" {facts.service} flapped, {incident.flaps.count} changes in {span}: ", incident.cause
    reason = _reason(facts, began)
    return began, f" {facts.service} went down: ", incident.first_cause, *(("; ", reason) if reason is not None else ())


def _around(facts: RootCauseFacts, began: datetime) -> list[journal_reasons.Said]:
    return [(at, text) for at, text in facts.said or () if began - AROUND <= at <= began + AROUND]


def _reason(facts: RootCauseFacts, began: datetime) -> Part | None:
    said = _around(facts, began)
    # What it said before the last stop was of an earlier run, and explains that one's end.
    since = journal_reasons.stop(one for one in said if one[0] < began)
    found = next(journal_reasons.reasons(one for one in said if since is None or one[0] >= since), None)
    if found is not None:
        return found[1]
    incident = facts.incident
    end = incident.evidence.exit if incident is not None else None
    return end if end is not None and incident is not None and end != exit_of(incident.first_cause) else None


def _culprit(facts: RootCauseFacts, began: datetime) -> Deployment | None:
    """The deployment that brought the release that was live when it began, if that was not long before."""
    lives = [each for each in facts.deployments if each.live_at is not None and each.live_at <= began]
    live = max(lives, key=lambda each: each.live_at or began, default=None)
    return live if live is not None and live.live_at is not None and began - live.live_at <= AFTER else None


def _in_progress(facts: RootCauseFacts, began: datetime) -> Deployment | None:
    """The deployment whose release ran when it began and was not verified, or was being rolled back."""
    for each in facts.deployments:
        started = min((step.started_at for step in each.steps if step.phase in CHANGED), default=None)
        if started is not None and started <= began and (each.finished_at is None or began <= each.finished_at):
            return each
    return None


def _person(facts: RootCauseFacts, began: datetime) -> AuditEntry | None:
    """Whoever restarted it shortly before."""
    return next(
        (each for each in facts.deeds if each.action == "restart" and began - SHORTLY <= each.at <= began), None
    )


def _what(deployment: Deployment) -> str:
    kind = "rollback" if deployment.kind is DeploymentKind.ROLLBACK else "deployment"
    commit = f" ({deployment.commit_to[:10]})" if deployment.commit_to else ""
    by = "opsbot itself" if deployment.actor.automatic else deployment.actor.name
    return f"{kind} {deployment.id}{commit} by {by}"


def _after(facts: RootCauseFacts, began: datetime) -> Parts:
    if facts.root is not None:
        return ()
    if facts.before is not None and facts.before.closed_at is not None:
        return f", at first because of {facts.before.service}, which recovered ", facts.before.closed_at
    person, deployment = _person(facts, began), _culprit(facts, began)
    if person is not None:
        return (f", {_span(began - person.at)} after {person.actor_name} restarted it",)
    if (current := _in_progress(facts, began)) is not None:
        ended = _ENDED.get(current.phase)
        return (f", during {_what(current)}{f', which {ended}' if ended else ''}",)
    if deployment is not None:
        return (f", {_span(began - (deployment.live_at or began))} after {_what(deployment)}",)
    return ()


def _done(facts: RootCauseFacts) -> Parts:
    """What was done about it, by whomever."""
    incident = facts.incident if facts.root is None else facts.root
    if incident is None:
        return ()
    ended = incident.closed_at or facts.now
    told = {each.at for each in incident.events if each.kind == IncidentEventKind.RESTARTING}
    restarts = sorted(told.union(at for at in facts.restarts if at <= ended))
    others = [each for each in incident.events if each.kind not in _NO_DEEDS]
    parts: list[Part] = []
    if restarts:
        count = f"{len(restarts)} times by opsbot, last " if len(restarts) > 1 else "by opsbot "
        parts += [f"; restarted {count}", restarts[-1]]
    for each in others[-DEEDS:]:
        parts += ["; ", each.message, " ", each.at]
    return tuple(parts)


def _ending(facts: RootCauseFacts, one: Dependent | None) -> Parts:
    incident, root = facts.incident, facts.root
    if root is not None:
        if one is not None and one.well_at is not None:
            return "; recovered ", one.well_at
        if root.closed_at is not None:
            return f"; {root.service} has recovered since ", root.closed_at, f", {facts.service} is not known to have"
        return (f"; both are still down after {_span(facts.now - root.opened_at)}",)
    if incident is None:
        return ()
    if incident.closed_at is None and incident.flaps.flapping and incident.flaps.last is not None:
        return "; it last changed ", incident.flaps.last, ", and is over once it is calm"
    if incident.closed_at is None:
        return (f"; still down after {_span(facts.now - incident.opened_at)}",)
    how: Parts = (" (", incident.resolution, ")") if incident.resolution is not None else ()
    return "; recovered ", incident.closed_at, f" after {_span(incident.downtime(incident.closed_at))}", *how


def _stopped(facts: RootCauseFacts) -> RootCause:
    at = journal_reasons.stop(facts.said or ())
    last = facts.deployments[0] if facts.deployments else None
    if last is not None and _stopped_by(last, at):
        parts = (f"{facts.service} was stopped by opsbot", *((" at ", at) if at is not None else ()))
        why = f": {_what(last)} was rolled back, and there was no earlier release. The next deploy starts it."
        events = tuple(each for each in _events(facts, None, facts.now) if each.kind is TimelineEntryKind.DEPLOY)
        return RootCause((*parts, why), events)
    when: Parts = (" at ", at) if at is not None else ()
    unknown = "" if at is not None else "; when is not known"
    parts = (f"{facts.service} was stopped by hand", *when, f"{unknown}: it is left alone until somebody starts it.")
    events = (TimelineEntry(at, TimelineEntryKind.PERSON, plain("stopped by hand")),) if at is not None else ()
    return RootCause(parts, events)


def _stopped_by(last: Deployment, at: datetime | None) -> bool:
    """Whether that deployment's end is the stop of `at`: it failed, and there was nothing to roll back to."""
    ended = last.finished_at
    if last.phase is not Phase.UNDONE or last.release_from is not None or ended is None:
        return False
    return at is None or abs(ended - at) <= SHORTLY


def _no_trouble(facts: RootCauseFacts) -> RootCause:
    events = tuple(sorted(_events(facts, None, facts.now), key=lambda event: event.at))
    if not facts.running:
        why = f": {facts.exit}. More is not known." if facts.exit else ", and why is not known."
        return RootCause((f"{facts.service} does not run{why}",), events, known=False)
    since: Parts = (", started ", facts.started_at) if facts.started_at is not None else ()
    last = facts.deployments[0] if facts.deployments else None
    after: Parts = ()
    if last is not None and facts.started_at is not None and last.live_at is not None:
        near = abs(last.live_at - facts.started_at) <= SHORTLY
        after = (f" by {_what(last)}",) if near else ()
    return RootCause((f"No trouble of {facts.service} is known. It runs", *since, *after, "."), events, known=False)


# What the line rests on


def _events(facts: RootCauseFacts, one: Dependent | None, began: datetime) -> Iterator[TimelineEntry]:
    for deployment in facts.deployments[:5]:
        at = deployment.live_at or deployment.finished_at
        if at is not None:
            ended = _ENDED.get(deployment.phase, deployment.phase)
            yield TimelineEntry(at, TimelineEntryKind.DEPLOY, plain(f"{_what(deployment)} {ended}"))
    for deed in facts.deeds[:5]:
        yield TimelineEntry(
            deed.at, TimelineEntryKind.PERSON, plain(f"{deed.action} by {deed.actor_name}: {deed.result}")
        )
    for at, text in _around(facts, began)[-10:]:
        yield TimelineEntry(at, TimelineEntryKind.MANAGER, plain(text))
    for incident in (facts.root, facts.before, facts.incident):
        if incident is None:
            continue
        yield TimelineEntry(incident.opened_at, TimelineEntryKind.TROUBLE, _of_incident(incident, incident.first_cause))
        for each in incident.events:
            if each.kind != IncidentEventKind.OPENED:
                yield TimelineEntry(each.at, TimelineEntryKind.DEED, each.message)
        if incident.closed_at is not None:
            yield TimelineEntry(
                incident.closed_at, TimelineEntryKind.WELL, _of_incident(incident, incident.resolution, ended=True)
            )
    if one is not None:
        down = message(IncidentEventKind.DEPENDENT_DOWN, service=one.service, cause=one.cause)
        yield TimelineEntry(one.failed_at, TimelineEntryKind.TROUBLE, down)
        if one.well_at is not None:
            yield TimelineEntry(
                one.well_at, TimelineEntryKind.WELL, message(IncidentEventKind.DEPENDENT_UP, service=one.service)
            )


def _of_incident(incident: Incident, about: Message | None, *, ended: bool = False) -> Message:
    code = AccountCode.INCIDENT_ENDED if ended else AccountCode.INCIDENT_OPENED
    return message(code, incident=incident.id, service=incident.service, about=about)
