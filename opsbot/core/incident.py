"""What an incident is about, what happened in it and how it ended, as codes with parameters.

A cause says what is wrong now, an event what happened and when, a resolution what ended it. The first event of an
incident holds the cause it was opened with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from opsbot.core.dependencies import FailingCheck
from opsbot.core.message import GeneralCode, Message, MessageCode, Param, decode, encode, message


class IncidentCause(MessageCode):
    """What is wrong with the subject of an incident."""

    CHECK_FAILED = "cause.check-failed"
    """check: its name; kind, unit; seen: a message; failed, looks: so many failures among so many results, or None."""
    CHECK_ALTERNATES = "cause.check-alternates"
    """check, kind, seen: it passes and fails by turns, and was never down."""
    PROCESS_DIED = "cause.process-died"
    """exit: a message, None where it is not known; unit: "" where the service is one process."""
    GAVE_UP = "cause.gave-up"
    """exit: the manager does not start it again."""
    CANNOT_START = "cause.cannot-start"
    """why: a message. No release of it can be started until somebody repairs the host."""
    START_FAILED = "cause.start-failed"
    """why: the manager's error."""
    START_INHIBITED = "cause.start-inhibited"
    """why: it does not run, and an inhibitor forbids to start it."""
    AFTER_DEPENDENCY = "cause.after-dependency"
    """cause: a message; root: the service that it needs and that has recovered since."""

    HOST = "cause.host"
    """what: of the host, a message."""
    UNITS_FAILED = "cause.units-failed"
    """units: names; more: how many others."""
    CERTIFICATE = "cause.certificate"
    """server; expires: when."""
    OPSBOT_ENDS = "cause.opsbot-ends"
    """count, within: opsbot itself ended so often without being asked to."""


class IncidentEventKind(MessageCode):
    """What can happen in an incident."""

    OPENED = "incident.opened"
    """cause: a message; checks: the names of those that are down."""
    UNSEEN_BEFORE = "incident.unseen-before"
    """away: how long opsbot was not running before it saw this."""
    FLAPPING = "incident.flapping"
    """count, since: it recovered once more, and so often did it change."""
    STAYS_DOWN = "incident.stays-down"
    """calm, count: it flaps no longer, and is down."""
    OTHER_CAUSE = "incident.other-cause"
    """cause: what flaps fails in another way than before."""

    DIED = "incident.died"
    """exit: a message or None; unit."""
    GAVE_UP = "incident.gave-up"
    """exit: its manager does not start it again."""
    STARTED_BY_MANAGER = "incident.started-by-manager"
    """pid: started again after it died."""
    STARTED_OUTSIDE = "incident.started-outside"
    """pid: started by somebody else than opsbot and its manager."""
    STARTED_UNSEEN = "incident.started-unseen"
    """It was started while opsbot was not running."""
    CHECK_DOWN = "incident.check-down"
    """check, kind, seen; again: it was down in this incident before."""
    CHECK_UP = "incident.check-up"
    """check, kind, seen"""

    RESTARTING = "incident.restarting"
    """attempt, of; units: of several, those that are restarted."""
    RESTART_FAILED = "incident.restart-failed"
    """why: the manager's error; barred: nothing of it could be started, in any release."""
    RESTART_SKIPPED = "incident.restart-skipped"
    """unit: or the service; why: a message."""
    ROLLING_BACK = "incident.rolling-back"
    """release: the one it goes back to, None where it is not known."""
    ROLLBACK_REFUSED = "incident.rollback-refused"
    """why: a message."""
    WAITING = "incident.waiting"
    """why: an inhibitor's reason, a message."""
    WAIT_OVER = "incident.wait-over"
    """No inhibitor speaks against the next step any more."""
    DEPENDENCY_DOWN = "incident.dependency-down"
    """service: one that it needs. It is left alone meanwhile."""
    DEPENDENCY_UP = "incident.dependency-up"
    ESCALATED = "incident.escalated"
    """why: a message; inhibited: an inhibitor forbids recovery, until it is lifted."""

    RESTARTED_BY = "incident.restarted-by"
    """actor; against: advice that they were given, a message or None."""
    RESUMED_BY = "incident.resumed-by"
    """actor"""
    INHIBITOR_LIFTED = "incident.inhibitor-lifted"
    DISCORD_BACK = "incident.discord-back"
    """began, ended: of the outage."""
    HOST_RESTARTED = "incident.host-restarted"
    """booted: when."""
    DEPLOYMENT_ENDED = "incident.deployment-ended"
    """deployment: its id; phase: how it ended; kind."""

    DEPENDENT_DOWN = "incident.dependent-down"
    """service, cause"""
    DEPENDENT_UP = "incident.dependent-up"
    """service"""
    MORE_DEPENDENTS = "incident.more-dependents"
    ACKNOWLEDGED = "incident.acknowledged"
    """actor, reason"""
    ACKNOWLEDGEMENT_VOID = "incident.acknowledgement-void"
    """why: the event that made it worse, as a message."""
    UNACKNOWLEDGED = "incident.unacknowledged"
    """Nobody acknowledged it in time: people are called by other ways."""
    SILENCED = "incident.silenced"
    """actor, reason, until"""
    THREAD_REPLACED = "incident.thread-replaced"
    NOTE = "incident.note"
    """text: what somebody wrote into it."""
    LEGACY = "incident.legacy"
    """text: a sentence that an earlier version stored."""


UNLISTED = frozenset(
    {
        IncidentEventKind.CHECK_DOWN,
        IncidentEventKind.CHECK_UP,
        IncidentEventKind.OTHER_CAUSE,
        IncidentEventKind.DEPENDENT_DOWN,
        IncidentEventKind.DEPENDENT_UP,
        IncidentEventKind.MORE_DEPENDENTS,
        IncidentEventKind.ACKNOWLEDGED,
        IncidentEventKind.ACKNOWLEDGEMENT_VOID,
        IncidentEventKind.UNACKNOWLEDGED,
        IncidentEventKind.SILENCED,
        IncidentEventKind.THREAD_REPLACED,
    }
)
"""Kinds that the timeline in the thread tells, and a card shows elsewhere or not at all."""
UNTOLD = frozenset({IncidentEventKind.WAIT_OVER, IncidentEventKind.DEPENDENCY_UP})
"""Kinds that only change what recovery knows."""


class SkipReason(MessageCode):
    """Why one unit is not restarted with the others."""

    BEING_STOPPED = "skip.being-stopped"
    """Somebody stops it."""
    MANAGER_ACTS = "skip.manager-acts"
    """Its manager starts or stops it already."""


class EscalationReason(MessageCode):
    """Why opsbot does not go on by itself."""

    NOT_HELPED = "escalation.not-helped"
    """restarts, rollbacks: what opsbot tried; by_manager: how often its manager started it."""
    RECOVERY_OFF = "escalation.recovery-off"
    """Nothing is configured that it could try."""
    MANAGER_GAVE_UP = "escalation.manager-gave-up"
    """restarts, rollbacks, by_manager: likewise. The same start would fail again."""
    BUDGET = "escalation.budget"
    """count, within: restarts of opsbot and of its manager."""
    CRASH_LOOP = "escalation.crash-loop"
    """count: so often its manager started it after a crash; restarts: so often opsbot restarted it; within."""
    CANNOT_START = "escalation.cannot-start"
    """why: a message."""
    INHIBITED = "escalation.inhibited"
    """why: a message."""


class Resolution(MessageCode):
    """What ended an incident, as far as opsbot can see."""

    RESTARTED = "resolution.restarted"
    """units: those that opsbot restarted, () for the whole service."""
    STARTED_BY_MANAGER = "resolution.started-by-manager"
    """pid"""
    STARTED_OUTSIDE = "resolution.started-outside"
    """pid"""
    STARTED_UNSEEN = "resolution.started-unseen"
    RESTARTED_BY = "resolution.restarted-by"
    """actor"""
    DEPLOYMENT = "resolution.deployment"
    """deployment, phase, kind"""
    STOPPED = "resolution.stopped"
    """A person stopped the service."""
    WITHOUT_ACTION = "resolution.without-action"
    """opsbot did nothing about it."""
    NOT_BY_RECOVERY = "resolution.not-by-recovery"
    """What was tried did not help; it recovered later."""
    CALM = "resolution.calm"
    """calm, count: what flapped has not changed for so long."""
    FLAPS = "resolution.flaps"
    """It goes on in an incident of flapping."""
    PART_OF = "resolution.part-of"
    """incident: the one it was folded into."""
    NOT_CONFIGURED = "resolution.not-configured"
    NOT_WATCHED = "resolution.not-watched"
    HOST = "resolution.host"
    """what: the figure as it is now, a message."""
    UNITS = "resolution.units"
    """No unit is failed any more."""
    CERTIFICATE = "resolution.certificate"
    """left: for how long the new one is valid."""
    OPSBOT_RUNS = "resolution.opsbot-runs"
    """since: for how long opsbot has run."""


class RollbackReason(MessageCode):
    """Why recovery requests a rollback."""

    INCIDENT = "rollback.incident"
    """incident: its id; it began with the live release."""


class ServiceNotice(MessageCode):
    """What a message says about a service that has no incident."""

    STOPPED = "notice.stopped"
    """service; unit: the one of several that a person stopped, "" for all of it."""
    LOGINS = "notice.logins"
    """service; units: names; starts in 24 hours; by_manager: how many of them the service manager made by itself;
    limit: Discord's; spent: opsbot starts it no more."""


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """Something that happened in an incident. kind: a value of `IncidentEventKind`, or one of a newer version."""

    kind: str
    at: datetime
    params: Mapping[str, Param] = field(default_factory=dict)

    def __hash__(self) -> int:
        """Events that are equal have the same kind and time."""
        return hash((self.kind, self.at))

    @property
    def listed(self) -> bool:
        """Whether a card and an answer show it; else only the timeline does."""
        return self.kind not in UNLISTED

    @property
    def message(self) -> Message:
        """What happened, without when."""
        return Message(self.kind, self.params)


def event(kind: IncidentEventKind, at: datetime, /, **params: Param) -> IncidentEvent:
    return IncidentEvent(kind, at, params)


def encode_event(value: IncidentEvent) -> dict[str, Any]:
    return {"at": value.at.timestamp(), **encode(value.message)}


def decode_event(value: Mapping[str, Any], at: datetime) -> IncidentEvent:
    """The event that `encode_event` was given; `at` is its time, as a datetime."""
    found = decode(value)
    return IncidentEvent(str(found.code), at, found.params)


def check_cause(failing: FailingCheck, failed: int | None = None, looks: int | None = None) -> Message:
    return message(
        IncidentCause.CHECK_FAILED,
        check=failing.name,
        kind=failing.kind,
        unit=failing.unit,
        seen=failing.seen,
        failed=failed,
        looks=looks,
    )


def exit_of(cause: Message) -> Message | None:
    """How the process ended, where that is the cause."""
    found = cause.params.get("exit")
    return found if isinstance(found, Message) else None


def same_kind(cause: Message) -> tuple[str, Param]:
    """What goes wrong, without what was seen of it: causes for which this is equal fail in the same way."""
    if cause.code == GeneralCode.TEXT:
        return cause.code, cause.params.get("text")
    inner = cause.params.get("cause")
    return same_kind(inner) if isinstance(inner, Message) else (cause.code, cause.params.get("check"))


def without_counts(cause: Message) -> Message:
    """The cause without how often it was seen: equal for services that fail alike."""
    return Message(cause.code, {name: each for name, each in cause.params.items() if name not in {"failed", "looks"}})


def first_cause(events: Sequence[IncidentEvent]) -> Message | None:
    """The cause that an incident was opened with."""
    found = next((each for each in events if each.kind == IncidentEventKind.OPENED), None)
    cause = found.params.get("cause") if found is not None else None
    return cause if isinstance(cause, Message) else None
