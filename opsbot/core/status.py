"""The state of a service, derived by one function for all front ends.

The rules, in their order; the first that applies decides:

| rule              | applies when                                                             | state              |
|-------------------|--------------------------------------------------------------------------|--------------------|
| switching         | a deployment is changing what runs (switching … rolling back)            | deploying          |
| no release        | nothing is live, it does not run, and a rollback failed                  | down               |
| no release        | … and the first deployment failed and was rolled back                    | stopped by opsbot  |
| stopped by person | somebody stopped all of its units, and a release is live                 | stopped by person  |
| incident          | it has an open incident that flaps                                       | unstable           |
| incident          | it has an open incident                                                  | down               |
| dependency        | it is listed in the incident of a service that it needs                  | down               |
| manager           | its service manager cannot be asked                                      | unknown            |
| process           | a unit failed, is being retried by its manager, or does not run          | down               |
| process           | a unit is being stopped                                                  | stopped (by ?)     |
| preparing         | a deployment is fetching or building, so its checks are not judged       | deploying          |
| no release        | nothing is live, and it does not run                                     | unknown            |
| failed checks     | a check is down                                                          | down               |
| starting          | a unit is starting, or the startup grace runs and a check has not passed | starting           |
| failing checks    | a check fails, and has not failed often enough to be down                | degraded           |
| partly stopped    | somebody stopped some of its units                                       | degraded           |
| unknown checks    | a check has not run since the start, or none can be run                  | unknown            |
| (none of these)   | it runs and its checks pass, or it has none                              | healthy            |

A deployment that waits for its switch leaves the service to its checks, and so does no silence or hold: these say what
happens next. Units that somebody stopped count for nothing while others run, nor do checks about them. Checks that
cannot be run count for nothing while another can. A deployment that verified the present run replaces the checks that
have not run since, for `VERIFIED_FOR`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from opsbot.core.deployment import CHANGED, Deployment, Hold, Phase
from opsbot.core.health import CheckHealth, Verdict
from opsbot.core.message import Message, MessageCode, message, plain
from opsbot.core.model import Incident, Live, Silence

VERIFIED_FOR = timedelta(minutes=1)
"""How long a deployment's verification replaces checks that have not run since."""


class Activity(StrEnum):
    """What the manager says of the service."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"  # on purpose, or never started
    RETRYING = "retrying"  # it died; the manager starts it again after a delay
    FAILED = "failed"  # it died and the manager gave up on it


class HealthState(StrEnum):
    """The state of a service. The values are shown by metrics and the control API."""

    HEALTHY = "healthy"
    UNSTABLE = "unstable"  # flapping
    DEGRADED = "degraded"
    DOWN = "down"
    STARTING = "starting"
    DEPLOYING = "deploying"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


BAD = frozenset({HealthState.DOWN, HealthState.UNSTABLE})
"""States that need somebody, or recovery, to act."""


class StoppedBy(StrEnum):
    """Who stopped a service."""

    PERSON = "person"
    OPSBOT = "opsbot"


class StatusCode(MessageCode):
    """States, why a service is in one, and what happens next."""

    STATEMENT = "status.statement"  # title: a message of one of the states; reasons, next: tuples of messages

    # States
    HEALTHY = "status.healthy"
    UNSTABLE = "status.unstable"
    DEGRADED = "status.degraded"
    DOWN = "status.down"
    STARTING = "status.starting"
    DEPLOYING = "status.deploying"
    STOPPED = "status.stopped"  # by: a StoppedBy, "" where that is not known yet
    UNKNOWN = "status.unknown"

    # Reasons
    CHECKS_PASS = "status.checks-pass"  # noqa: S105 - no password; count
    NO_CHECKS = "status.no-checks"
    VERIFIED = "status.verified"  # deployment: its id
    VERIFIED_AFTER_ROLLBACK = "status.verified-after-rollback"  # deployment: the id of the one that was rolled back
    CHECK_DOWN = "status.check-down"  # check: its name; seen: what it saw, a string or a message
    CHECK_FAILING = "status.check-failing"  # check, seen: likewise
    CHECKS_NOT_RUN = "status.checks-not-run"  # checks: names
    CHECKS_NOT_PASSED = "status.checks-not-passed"  # checks: names
    CHECKS_IMPOSSIBLE = "status.checks-impossible"  # checks: names; seen: why the first cannot be run
    UNIT_FAILED = "status.unit-failed"
    """unit: its name, "" where the service is one; exit: how it ended, a string or a message"""
    UNIT_RETRYING = "status.unit-retrying"  # unit, exit: likewise
    UNIT_NOT_RUNNING = "status.unit-not-running"  # unit: likewise
    UNIT_STARTING = "status.unit-starting"  # unit: likewise
    UNIT_STOPPING = "status.unit-stopping"  # unit: likewise
    UNITS_STOPPED = "status.units-stopped"  # units: names
    INCIDENT = "status.incident"  # incident: its id; cause: a string or a message
    FLAPPING = "status.flapping"  # changes: so many since it flaps
    DEPENDENCY_DOWN = "status.dependency-down"  # service: what it needs
    MANAGER_ERROR = "status.manager-error"  # error: a string or a message
    NO_RELEASE = "status.no-release"
    DEPLOYMENT_UNDONE = "status.deployment-undone"  # deployment: its id; no earlier release existed
    DEPLOYMENT_STUCK = "status.deployment-stuck"  # deployment: its id
    DEPLOYMENT_FAILED = "status.deployment-failed"  # deployment: its id
    DEPLOYMENT_PHASE = "status.deployment-phase"  # deployment: its id; phase

    # What happens next
    RECOVERING = "status.recovering"
    NEEDS_ATTENTION = "status.needs-attention"
    RECOVERS_WITH = "status.recovers-with"  # service
    WAITING = "status.waiting"  # what: a string or a message
    STAYS_STOPPED = "status.stays-stopped"
    NEXT_DEPLOYMENT = "status.next-deployment"  # The next deployment starts it
    DEPLOYMENT_WAITING = "status.deployment-waiting"
    """deployment: its id; what: what it waits for, an empty text where nothing is known"""
    DEPLOYS_PAUSED = "status.deploys-paused"  # by: who; why: the reason given, "" for none; at
    DEPLOYS_PAUSED_BY_ROLLBACK = "status.deploys-paused-by-rollback"  # commit: the one rolled back from; at
    SILENCED = "status.silenced"  # by: who; until


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """A unit or process as last reported. name: "" where the service is one."""

    name: str
    activity: Activity
    stopped_by_hand: bool = False
    started_at: datetime | None = None
    exit: str | Message | None = None


@dataclass(frozen=True, slots=True)
class CheckStatus:
    """One check. unit: the unit that it is about, "" where that is the whole service."""

    name: str
    health: CheckHealth
    unit: str = ""


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """All that a service's state is derived from.

    units: at least one, unless its manager cannot be asked. has_source: opsbot deploys it. deployment: the latest, None
    where an unfinished one is not under way since opsbot does not run.
    incident: its own open one. dependency: the service in whose incident it is listed. failed_at: since when.
    waits: what its recovery waits for, "" while it does not wait.
    """

    now: datetime
    units: tuple[UnitStatus, ...] = ()
    manager_error: str | Message = ""
    checks: tuple[CheckStatus, ...] = ()
    startup_grace: timedelta = timedelta(0)
    has_source: bool = False
    live: Live | None = None
    deployment: Deployment | None = None
    incident: Incident | None = None
    dependency: str = ""
    failed_at: datetime | None = None
    waits: str | Message = ""
    hold: Hold | None = None
    silence: Silence | None = None

    @property
    def running(self) -> bool:
        alive = {Activity.RUNNING, Activity.STARTING, Activity.STOPPING}
        return any(unit.activity in alive for unit in self.units)

    @property
    def wanted(self) -> tuple[UnitStatus, ...]:
        """The units that nobody stopped."""
        return tuple(unit for unit in self.units if not unit.stopped_by_hand)

    @property
    def counted(self) -> tuple[CheckStatus, ...]:
        """The checks but for those of units that somebody stopped."""
        stopped = {unit.name for unit in self.units if unit.stopped_by_hand and unit.name}
        return tuple(check for check in self.checks if check.unit not in stopped)


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """The state of a service, why it is so, and what happens next.

    reasons: the main one first. next: empty where nothing is to be expected. since: when the state began, where known.
    by: who stopped it; None in other states, and while it is being stopped by somebody.
    verdict: up, down or unknown, for readers of earlier versions. is_fine: whether `opsbot status` exits with 0.
    """

    state: HealthState
    reasons: tuple[Message, ...] = ()
    next: tuple[Message, ...] = ()
    since: datetime | None = None
    by: StoppedBy | None = None
    verdict: Verdict = Verdict.UNKNOWN
    is_fine: bool = True

    @property
    def title(self) -> Message:
        """The state itself: "healthy", "stopped by opsbot"."""
        if self.state is HealthState.STOPPED:
            return message(StatusCode.STOPPED, by=str(self.by or ""))
        return message(StatusCode(f"status.{self.state}"))

    @property
    def is_bad(self) -> bool:
        return self.state in BAD


def derive_status(facts: StatusFacts) -> ServiceHealth:
    health = next(found for rule in _RULES if (found := rule(facts)) is not None)
    verdict = _verdict(facts, health)
    return replace(health, next=tuple(_next(facts, health)), verdict=verdict, is_fine=_is_fine(facts, health, verdict))


# Rules


def _switching(facts: StatusFacts) -> ServiceHealth | None:
    deployment = facts.deployment
    return _deploying(facts, deployment) if deployment is not None and deployment.phase in CHANGED else None


def _deploying(facts: StatusFacts, deployment: Deployment) -> ServiceHealth:
    phase = message(StatusCode.DEPLOYMENT_PHASE, deployment=deployment.id, phase=str(deployment.phase))
    return ServiceHealth(HealthState.DEPLOYING, (phase, *_of_incident(facts.incident)), since=deployment.updated_at)


def _undone(facts: StatusFacts) -> ServiceHealth | None:
    """The first deployment failed: what it started was stopped again."""
    deployment = facts.deployment
    if deployment is None or not _without_release(facts):
        return None
    if deployment.phase is Phase.STUCK:
        reason = message(StatusCode.DEPLOYMENT_STUCK, deployment=deployment.id)
        return ServiceHealth(HealthState.DOWN, (reason,), since=deployment.finished_at)
    if deployment.phase is Phase.UNDONE:
        reason = message(StatusCode.DEPLOYMENT_UNDONE, deployment=deployment.id)
        return ServiceHealth(HealthState.STOPPED, (reason,), since=deployment.finished_at, by=StoppedBy.OPSBOT)
    return None


def _stopped_by_person(facts: StatusFacts) -> ServiceHealth | None:
    if not facts.units or facts.wanted or _without_release(facts):
        return None
    return ServiceHealth(HealthState.STOPPED, _of_incident(facts.incident), by=StoppedBy.PERSON)


def _incident(facts: StatusFacts) -> ServiceHealth | None:
    incident = facts.incident
    if incident is None:
        return None
    if incident.flaps.flapping:
        flapping = message(StatusCode.FLAPPING, changes=incident.flaps.count)
        return ServiceHealth(HealthState.UNSTABLE, (flapping, *_of_incident(incident)), since=incident.flaps.since)
    return ServiceHealth(HealthState.DOWN, _of_incident(incident), since=incident.opened_at)


def _dependency(facts: StatusFacts) -> ServiceHealth | None:
    if not facts.dependency:
        return None
    reason = message(StatusCode.DEPENDENCY_DOWN, service=facts.dependency)
    return ServiceHealth(HealthState.DOWN, (reason,), since=facts.failed_at)


def _manager(facts: StatusFacts) -> ServiceHealth | None:
    if not facts.manager_error and facts.units:
        return None
    return ServiceHealth(
        HealthState.UNKNOWN, (message(StatusCode.MANAGER_ERROR, error=as_message(facts.manager_error)),)
    )


def _preparing(facts: StatusFacts) -> ServiceHealth | None:
    deployment = facts.deployment
    if deployment is None or deployment.finished or deployment.phase in {Phase.WAITING, Phase.ASIDE}:
        return None
    return _deploying(facts, deployment)


def _no_release(facts: StatusFacts) -> ServiceHealth | None:
    if not _without_release(facts):
        return None
    reasons = [message(StatusCode.NO_RELEASE)]
    if facts.deployment is not None and facts.deployment.phase is Phase.FAILED:
        reasons.append(message(StatusCode.DEPLOYMENT_FAILED, deployment=facts.deployment.id))
    return ServiceHealth(HealthState.UNKNOWN, tuple(reasons))


def _process(facts: StatusFacts) -> ServiceHealth | None:
    if _without_release(facts):
        return None
    failed = [_of_unit(unit) for unit in facts.wanted if unit.activity in _DEAD]
    if failed:
        return ServiceHealth(HealthState.DOWN, tuple(failed))
    stopping = [unit for unit in facts.wanted if unit.activity is Activity.STOPPING]
    if stopping:
        reasons = tuple(message(StatusCode.UNIT_STOPPING, unit=unit.name) for unit in stopping)
        return ServiceHealth(HealthState.STOPPED, reasons)
    return None


def _failed_checks(facts: StatusFacts) -> ServiceHealth | None:
    down = [(check, check.health.since) for check in facts.counted if check.health.verdict is Verdict.DOWN]
    return _by_checks(HealthState.DOWN, StatusCode.CHECK_DOWN, down, facts.now)


def _failing_checks(facts: StatusFacts) -> ServiceHealth | None:
    failing = [check for check in facts.counted if _fails(check) and not _is_stale(facts, check)]
    begun = [(check, check.health.streak_since) for check in failing]
    return _by_checks(HealthState.DEGRADED, StatusCode.CHECK_FAILING, begun, facts.now)


def _by_checks(
    state: HealthState, code: StatusCode, checks: Sequence[tuple[CheckStatus, datetime | None]], now: datetime
) -> ServiceHealth | None:
    reasons = tuple(message(code, check=check.name, seen=_seen(check)) for check, _ in checks)
    since = min((since or now for _, since in checks), default=None)
    return ServiceHealth(state, reasons, since=since) if checks else None


def _starting(facts: StatusFacts) -> ServiceHealth | None:
    starting = [unit for unit in facts.wanted if unit.activity is Activity.STARTING]
    if starting:
        reasons = tuple(message(StatusCode.UNIT_STARTING, unit=unit.name) for unit in starting)
        return ServiceHealth(HealthState.STARTING, reasons, since=_started_at(facts.wanted))
    waiting = [check.name for check in facts.counted if _in_grace(facts, check)]
    if not waiting:
        return None
    reason = message(StatusCode.CHECKS_NOT_PASSED, checks=tuple(waiting))
    return ServiceHealth(HealthState.STARTING, (reason,), since=_started_at(facts.wanted))


def _partly_stopped(facts: StatusFacts) -> ServiceHealth | None:
    stopped = tuple(unit.name for unit in facts.units if unit.stopped_by_hand)
    if not stopped:
        return None
    return ServiceHealth(HealthState.DEGRADED, (message(StatusCode.UNITS_STOPPED, units=stopped),))


def _unknown_checks(facts: StatusFacts) -> ServiceHealth | None:
    counted = [check for check in facts.counted if not check.health.unasked]
    if facts.counted and not counted:
        names = tuple(check.name for check in facts.counted)
        seen = _seen(facts.counted[0])
        return ServiceHealth(HealthState.UNKNOWN, (message(StatusCode.CHECKS_IMPOSSIBLE, checks=names, seen=seen),))
    pending = tuple(check.name for check in counted if _is_pending(check) and not _is_verified(facts, check))
    if not pending:
        return None
    unwatched = facts.has_source and facts.live is None
    reason = message(StatusCode.NO_RELEASE) if unwatched else message(StatusCode.CHECKS_NOT_RUN, checks=pending)
    return ServiceHealth(HealthState.UNKNOWN, (reason,))


def _healthy(facts: StatusFacts) -> ServiceHealth:
    counted = [check for check in facts.counted if not check.health.unasked]
    if not counted:
        return ServiceHealth(HealthState.HEALTHY, (message(StatusCode.NO_CHECKS),))
    if facts.deployment is not None and any(_is_pending(check) for check in counted):
        undone = facts.deployment.phase is Phase.UNDONE
        code = StatusCode.VERIFIED_AFTER_ROLLBACK if undone else StatusCode.VERIFIED
        reason = message(code, deployment=facts.deployment.id)
        return ServiceHealth(HealthState.HEALTHY, (reason,), since=facts.deployment.finished_at)
    return ServiceHealth(HealthState.HEALTHY, (message(StatusCode.CHECKS_PASS, count=len(counted)),))


_RULES: Sequence[Callable[[StatusFacts], ServiceHealth | None]] = (
    *(_switching, _undone, _stopped_by_person, _incident, _dependency, _manager, _process, _preparing, _no_release),
    *(_failed_checks, _starting, _failing_checks, _partly_stopped, _unknown_checks, _healthy),
)


# Parts of rules

_DEAD = frozenset({Activity.FAILED, Activity.RETRYING, Activity.STOPPED})


def as_message(text: str | Message | None) -> Message:
    """Text (of an earlier version, of another program) as a message."""
    return text if isinstance(text, Message) else plain(text or "")


def _without_release(facts: StatusFacts) -> bool:
    """Whether there is nothing that could run, and nothing does."""
    return facts.has_source and facts.live is None and bool(facts.units) and not facts.running


def _of_incident(incident: Incident | None) -> tuple[Message, ...]:
    return () if incident is None else (message(StatusCode.INCIDENT, incident=incident.id, cause=incident.cause),)


def _of_unit(unit: UnitStatus) -> Message:
    if unit.activity is Activity.STOPPED:
        return message(StatusCode.UNIT_NOT_RUNNING, unit=unit.name)
    code = StatusCode.UNIT_FAILED if unit.activity is Activity.FAILED else StatusCode.UNIT_RETRYING
    return message(code, unit=unit.name, exit=as_message(unit.exit))


def _seen(check: CheckStatus) -> Message:
    return as_message("" if check.health.last is None else check.health.last.seen)


def _started_at(units: Sequence[UnitStatus]) -> datetime | None:
    return max((unit.started_at for unit in units if unit.started_at is not None), default=None)


def _run_of(facts: StatusFacts, check: CheckStatus) -> datetime | None:
    """When what the check is about was last started."""
    about = [unit for unit in facts.wanted if unit.name == check.unit]
    return _started_at(about or facts.wanted)


def _fails(check: CheckStatus) -> bool:
    last = check.health.last
    return last is not None and last.known and not last.ok


def _is_stale(facts: StatusFacts, check: CheckStatus) -> bool:
    """Whether its last result is of an earlier run, or none."""
    started, last = _run_of(facts, check), check.health.last
    return last is None or (started is not None and last.at < started <= facts.now)


def _is_pending(check: CheckStatus) -> bool:
    return check.health.verdict is Verdict.UNKNOWN and not check.health.unasked


def _is_verified(facts: StatusFacts, check: CheckStatus) -> bool:
    """Whether a deployment saw this check pass in the present run, a moment ago."""
    deployment, started = facts.deployment, _run_of(facts, check)
    if deployment is None or facts.live is None or deployment.finished_at is None:
        return False
    if deployment.phase not in {Phase.LIVE, Phase.UNDONE}:
        return False
    same_run = started is None or started <= deployment.finished_at
    return same_run and timedelta(0) <= facts.now - deployment.finished_at < VERIFIED_FOR


def _in_grace(facts: StatusFacts, check: CheckStatus) -> bool:
    """Whether it has not passed in the present run, and need not have yet."""
    started = _run_of(facts, check)
    if started is None or not timedelta(0) <= facts.now - started < facts.startup_grace:
        return False
    if check.health.unasked or _is_verified(facts, check):
        return False
    # A failure that counted comes from a check that had passed in this run already.
    return _is_pending(check) or _is_stale(facts, check) or (_fails(check) and check.health.streak >= 0)


def shown_checks(facts: StatusFacts) -> tuple[tuple[str, CheckHealth], ...]:
    """What is known of each check as of the present run, by its name.

    Nothing is known of checks about what somebody stopped; a result of an earlier run is not shown unless it explains
    why the check is down.
    """
    counted = () if facts.units and not facts.wanted else facts.counted
    return tuple((check.name, _shown(facts, check) if check in counted else CheckHealth()) for check in facts.checks)


def _shown(facts: StatusFacts, check: CheckStatus) -> CheckHealth:
    stale = check.health.verdict is not Verdict.DOWN and _is_stale(facts, check)
    return replace(check.health, last=None) if stale else check.health


# What follows from the state


def deployment_waits(deployment: Deployment | None) -> str | Message:
    """What a deployment that is ready to switch waits for; "" where it does not wait."""
    if deployment is None or deployment.phase is not Phase.WAITING or not deployment.steps:
        return ""
    last = deployment.steps[-1]
    return last.note or "" if last.phase is Phase.WAITING else ""


def _next(facts: StatusFacts, health: ServiceHealth) -> Iterator[Message]:
    if health.by is StoppedBy.PERSON:
        yield message(StatusCode.STAYS_STOPPED)
    elif health.by is StoppedBy.OPSBOT:
        yield message(StatusCode.NEXT_DEPLOYMENT)
    elif health.is_bad:
        yield from _recovery(facts)
    deployment = facts.deployment
    if deployment is not None and deployment.phase in {Phase.WAITING, Phase.ASIDE}:
        what = as_message(deployment_waits(deployment))
        yield message(StatusCode.DEPLOYMENT_WAITING, deployment=deployment.id, what=what)
    if facts.hold is not None:
        hold = facts.hold
        if hold.waits is not None:
            yield message(StatusCode.DEPLOYS_PAUSED_BY_ROLLBACK, commit=hold.waits, at=hold.at)
        else:
            yield message(StatusCode.DEPLOYS_PAUSED, by=hold.actor, why=hold.reason, at=hold.at)
    if facts.silence is not None:
        yield message(StatusCode.SILENCED, by=facts.silence.actor, until=facts.silence.until)


def _recovery(facts: StatusFacts) -> Iterator[Message]:
    incident = facts.incident
    if facts.waits:
        yield message(StatusCode.WAITING, what=as_message(facts.waits))
    elif incident is not None:
        called = incident.called_at is not None
        yield message(StatusCode.NEEDS_ATTENTION if called else StatusCode.RECOVERING)
    elif facts.dependency:
        yield message(StatusCode.RECOVERS_WITH, service=facts.dependency)
    elif _without_release(facts):
        yield message(StatusCode.NEEDS_ATTENTION)


def _verdict(facts: StatusFacts, health: ServiceHealth) -> Verdict:
    if health.is_bad:
        return Verdict.DOWN
    if health.state in {HealthState.HEALTHY, HealthState.DEGRADED}:
        return Verdict.UP
    if health.state not in {HealthState.DEPLOYING, HealthState.STARTING}:
        return Verdict.UNKNOWN
    # What was true before: the checks are not judged, or have not passed yet.
    verdicts = {check.health.verdict for check in facts.counted if not check.health.unasked}
    if facts.incident is not None or facts.dependency or Verdict.DOWN in verdicts:
        return Verdict.DOWN
    return Verdict.UP if verdicts == {Verdict.UP} else Verdict.UNKNOWN


def _is_fine(facts: StatusFacts, health: ServiceHealth, verdict: Verdict) -> bool:
    if health.state is HealthState.UNKNOWN:
        return not facts.manager_error and facts.running
    return health.state is not HealthState.STOPPED and verdict is not Verdict.DOWN
