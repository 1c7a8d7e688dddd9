"""Recovery: restart, restart again with growing delay, roll back if the incident began with a release, then escalate.

What was tried in an incident is a `RecoveryState`, stored with the incident. `apply` folds an event into it, in the
transaction that stores the event; `next_step` decides from it and from the facts of the moment. Nothing else is
remembered, so that a restarted opsbot decides like one that was never restarted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from opsbot.core.deployment import Phase
from opsbot.core.incident import EscalationReason, IncidentCause, IncidentEvent, IncidentEventKind, Resolution
from opsbot.core.keys import DAY, HOUR, NO_TIME, SECOND, Key
from opsbot.core.message import Message, Param, decode, encode, message


class RecoveryAction(StrEnum):
    """What to do next."""

    NOTHING = "nothing"
    WAIT = "wait"
    RESTART = "restart"
    ROLL_BACK = "roll-back"
    CALL_HUMAN = "call-human"


@dataclass(frozen=True, slots=True)
class RecoveryPolicy:
    """What is done when the service is down.

    Restart, restart again with growing delay, roll back if the incident began with a release, then stop and escalate.
    """

    attempts: Annotated[int, Key(least=1, most=100)] = 3
    """Restarts within one incident before the next step."""
    backoff: Annotated[timedelta, Key(least=NO_TIME, most=HOUR)] = timedelta(seconds=10)
    """Wait before the second restart; doubled for each further one."""
    backoff_max: Annotated[timedelta, Key(least=NO_TIME, most=DAY)] = timedelta(minutes=5)
    """The longest such wait; never shorter than `backoff`."""
    budget: Annotated[int, Key(least=1, most=1000)] = 10
    """Restarts within `window`, over all incidents, systemd's own among them: a service that comes back for a minute
    between its failures is a loop too. Once they are spent, opsbot does not restart it again."""
    window: Annotated[timedelta, Key(least=SECOND, most=7 * DAY)] = timedelta(hours=1)
    """The time `budget` is counted over."""
    blame: Annotated[timedelta, Key(least=NO_TIME, most=7 * DAY)] = timedelta(minutes=30)
    """An incident that begins this soon after a release went live is blamed on the release."""
    restart: bool = True
    """Restart it. `false`: notify people, and touch nothing."""
    roll_back: bool = True
    """Roll back to the previous release, where restarts did not help and the release is to blame."""


class AttemptBy(StrEnum):
    """Who restarted a service."""

    OPSBOT = "opsbot"
    MANAGER = "manager"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One restart. actor: the person's name, where it is known."""

    at: datetime
    by: AttemptBy
    actor: str = ""


@dataclass(frozen=True, slots=True)
class RecoveryState:
    """What was tried in one incident, and what is known of it.

    attempts: restarts by opsbot and by people since the last reset, oldest first; started_by_manager: how often the
    manager started it since then. escalated: people were called since. inhibited: because an inhibitor forbids
    recovery: once that is lifted, it begins again.
    cannot_start: why nothing of it could be started at the last attempt, in any release. revived: what made the manager
    give up is over, so that a restart can help again. waiting: the inhibitor's reason for which the next step waits.
    dependency: the service it needs and waits for. is_dead: its process died, and was not started since.
    helped: what will have resolved it, should it recover now. in_vain: something was tried and did not help.
    failed_checks: those that were down in this incident. crashes: how often its process died.
    """

    attempts: tuple[Attempt, ...] = ()
    started_by_manager: int = 0
    rolled_back: bool = False
    escalated: bool = False
    inhibited: bool = False
    cannot_start: Message | None = None
    revived: bool = False
    waiting: Message | None = None
    dependency: str = ""
    is_dead: bool = False
    helped: Message | None = None
    in_vain: bool = False
    failed_checks: tuple[str, ...] = ()
    crashes: int = 0

    @property
    def restarts(self) -> tuple[datetime, ...]:
        """When opsbot restarted it, oldest first."""
        return tuple(each.at for each in self.attempts if each.by is AttemptBy.OPSBOT)

    @property
    def resolution(self) -> Message:
        """What will have resolved the incident, should the service recover now."""
        if self.helped is not None:
            return self.helped
        return message(Resolution.NOT_BY_RECOVERY if self.in_vain else Resolution.WITHOUT_ACTION)


RESETS = frozenset(
    {
        IncidentEventKind.RESTARTED_BY,
        IncidentEventKind.RESUMED_BY,
        IncidentEventKind.INHIBITOR_LIFTED,
        IncidentEventKind.DISCORD_BACK,
        IncidentEventKind.HOST_RESTARTED,
    }
)
"""After these recovery begins again, and may escalate again."""
_REVIVES = frozenset({IncidentEventKind.DISCORD_BACK, IncidentEventKind.HOST_RESTARTED})


def apply(state: RecoveryState, event: IncidentEvent) -> RecoveryState:
    """What is known after an event."""
    params = event.params
    if event.kind in RESETS:
        state = _reset(state, event)
    match event.kind:
        case IncidentEventKind.OPENED:
            return _opened(state, params.get("cause"), params.get("checks"))
        case IncidentEventKind.CHECK_DOWN:
            return _check_down(state, str(params.get("check", "")), again=bool(params.get("again")))
        case IncidentEventKind.DIED:
            return replace(_in_vain(state), is_dead=True, crashes=state.crashes + 1)
        case IncidentEventKind.GAVE_UP:
            return replace(_in_vain(state), is_dead=True)
        case IncidentEventKind.STARTED_BY_MANAGER:
            found = _helped(state, message(Resolution.STARTED_BY_MANAGER, pid=params.get("pid")))
            return replace(found, started_by_manager=state.started_by_manager + 1, is_dead=False)
        case IncidentEventKind.STARTED_OUTSIDE:
            found = _helped(state, message(Resolution.STARTED_OUTSIDE, pid=params.get("pid")))
            return replace(_tried(found, Attempt(event.at, AttemptBy.PERSON)), is_dead=False)
        case IncidentEventKind.STARTED_UNSEEN:
            return replace(_helped(state, message(Resolution.STARTED_UNSEEN)), is_dead=False)
        case IncidentEventKind.RESTARTED_BY:
            actor = params.get("actor")
            found = _helped(state, message(Resolution.RESTARTED_BY, actor=actor))
            return replace(_tried(found, Attempt(event.at, AttemptBy.PERSON, str(actor))), is_dead=False)
        case IncidentEventKind.DEPLOYMENT_ENDED if params.get("phase") == Phase.STUCK:
            return replace(_in_vain(state), is_dead=False)
        case IncidentEventKind.DEPLOYMENT_ENDED:
            return replace(_helped(state, Message(Resolution.DEPLOYMENT, params)), is_dead=False)
    return _by_recovery(state, event)


def _by_recovery(state: RecoveryState, event: IncidentEvent) -> RecoveryState:
    params = event.params
    match event.kind:
        case IncidentEventKind.RESTARTING:
            found = _helped(state, message(Resolution.RESTARTED, units=params.get("units") or ()))
            found = _tried(found, Attempt(event.at, AttemptBy.OPSBOT))
            return replace(found, is_dead=False, revived=False, cannot_start=None)
        case IncidentEventKind.RESTART_FAILED:
            why = params.get("why") if params.get("barred") else None
            return replace(_in_vain(state), cannot_start=why if isinstance(why, Message) else None)
        case IncidentEventKind.ROLLING_BACK:
            return replace(state, rolled_back=True)
        case IncidentEventKind.ESCALATED:
            return replace(_in_vain(state), escalated=True, inhibited=bool(params.get("inhibited")))
        case IncidentEventKind.WAITING:
            why = params.get("why")
            return replace(state, waiting=why if isinstance(why, Message) else None)
        case IncidentEventKind.WAIT_OVER:
            return replace(state, waiting=None)
        case IncidentEventKind.DEPENDENCY_DOWN:
            return replace(state, dependency=str(params.get("service", "")))
        case IncidentEventKind.DEPENDENCY_UP:
            return replace(state, dependency="")
    return state


def _reset(state: RecoveryState, event: IncidentEvent) -> RecoveryState:
    return RecoveryState(
        revived=state.revived or event.kind in _REVIVES,
        is_dead=state.is_dead,
        helped=state.helped,
        in_vain=state.in_vain,
        failed_checks=state.failed_checks,
        crashes=state.crashes,
    )


def _opened(state: RecoveryState, cause: Param, checks: Param) -> RecoveryState:
    inner = cause.params.get("cause") if isinstance(cause, Message) else None
    innermost = inner if isinstance(inner, Message) else cause
    died = isinstance(innermost, Message) and innermost.code in {IncidentCause.PROCESS_DIED, IncidentCause.GAVE_UP}
    names = tuple(str(each) for each in checks) if isinstance(checks, tuple) else ()
    return replace(state, is_dead=died, crashes=state.crashes + died, failed_checks=names)


def _check_down(state: RecoveryState, check: str, *, again: bool) -> RecoveryState:
    known = state.failed_checks if check in state.failed_checks else (*state.failed_checks, check)
    return replace(_in_vain(state) if again else state, failed_checks=known)


def _helped(state: RecoveryState, resolution: Message) -> RecoveryState:
    return replace(state, helped=resolution, in_vain=False)


def _in_vain(state: RecoveryState) -> RecoveryState:
    return replace(state, helped=None, in_vain=True)


KEPT_ATTEMPTS = 100


def _tried(state: RecoveryState, attempt: Attempt) -> RecoveryState:
    return replace(state, attempts=(*state.attempts, attempt)[-KEPT_ATTEMPTS:])


@dataclass(frozen=True, slots=True)
class RecoveryFacts:
    """What holds at the moment of a decision, beside what was tried.

    since: when the incident began. recent: times of the restarts of the service within the budget's window, over all
    incidents, by opsbot and by its manager. live_since: when the live release went live. previous: the release that a
    rollback goes back to, "" for none.
    """

    since: datetime
    recent: tuple[datetime, ...] = ()
    live_since: datetime | None = None
    previous: str = ""
    deploying: bool = False
    stopped_by_hand: bool = False
    manager_acts: bool = False
    """The manager itself is about to start it again (systemd's auto-restart, the supervisor's own delay)."""
    dependency: str = ""
    """A service it needs that is down."""
    restart_cannot_help: bool = False
    """The manager gave up starting it: the same start would fail again."""


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """What to do, and from when (for WAIT: until when, None where nobody knows).

    why: of an escalation. attempt: the number of a restart.
    """

    rung: RecoveryAction
    at: datetime
    why: Message | None = None
    attempt: int = 0


def _left_alone(state: RecoveryState, facts: RecoveryFacts, now: datetime) -> RecoveryStep | None:
    """Nothing, or to wait; None where something may be done."""
    if facts.deploying or facts.stopped_by_hand:
        return RecoveryStep(RecoveryAction.NOTHING, now)
    if facts.dependency:
        return RecoveryStep(RecoveryAction.WAIT, now)
    if state.escalated:
        return RecoveryStep(RecoveryAction.NOTHING, now)
    return RecoveryStep(RecoveryAction.WAIT, now) if facts.manager_acts else None


def next_step(state: RecoveryState, facts: RecoveryFacts, ladder: RecoveryPolicy, now: datetime) -> RecoveryStep:
    """What to do about an incident at `now`."""
    left_alone = _left_alone(state, facts, now)
    if left_alone is not None:
        return left_alone
    if state.cannot_start is not None:
        return RecoveryStep(
            RecoveryAction.CALL_HUMAN, now, message(EscalationReason.CANNOT_START, why=state.cannot_start)
        )
    restarts = state.restarts
    tried = len(restarts)
    spent = [at for at in facts.recent if now - at < ladder.window]
    within_budget = len(spent) < ladder.budget
    cannot_help = facts.restart_cannot_help and not state.revived
    if ladder.restart and tried < ladder.attempts and within_budget and not cannot_help:
        last = restarts[-1] if restarts else now
        due = last + min(ladder.backoff * 2 ** (tried - 1), ladder.backoff_max) if restarts else now
        if last <= now < due:  # a restart in the future was made by a clock that was set back since
            return RecoveryStep(RecoveryAction.WAIT, due, attempt=tried + 1)
        return RecoveryStep(RecoveryAction.RESTART, now, attempt=tried + 1)
    blamed = facts.live_since is not None and is_to_blame(facts.live_since, facts.since, ladder)
    if ladder.roll_back and blamed and facts.previous and not state.rolled_back:
        return RecoveryStep(RecoveryAction.ROLL_BACK, now)
    return RecoveryStep(
        RecoveryAction.CALL_HUMAN, now, _why_escalate(state, ladder, len(spent), cannot_help=cannot_help)
    )


def is_to_blame(live_since: datetime, since: datetime, policy: RecoveryPolicy) -> bool:
    """Whether an incident began soon after the live release did; one that came later is not what it began with."""
    return timedelta(0) <= since - live_since <= policy.blame


def _why_escalate(state: RecoveryState, ladder: RecoveryPolicy, spent: int, *, cannot_help: bool) -> Message:
    tried: dict[str, Param] = {
        "restarts": len(state.restarts),
        "rollbacks": int(state.rolled_back),
        "by_manager": state.started_by_manager,
    }
    if not ladder.restart and not state.rolled_back:
        return message(EscalationReason.RECOVERY_OFF)
    if cannot_help:
        return message(EscalationReason.MANAGER_GAVE_UP, **tried)
    if ladder.restart and spent >= ladder.budget:
        return message(EscalationReason.BUDGET, count=spent, within=ladder.window, **tried)
    return message(EscalationReason.NOT_HELPED, **tried)


def encode_state(state: RecoveryState) -> dict[str, Any]:
    """The state as JSON values; what is as in a new incident is left out."""
    empty = RecoveryState()
    found = {name: getattr(state, name) for name in RecoveryState.__slots__}
    return {name: _encode(value) for name, value in found.items() if value != getattr(empty, name)}


def _encode(value: object) -> Any:
    if isinstance(value, Message):
        return encode(value)
    if isinstance(value, Attempt):
        return [value.at.timestamp(), value.by, value.actor]
    return [_encode(each) for each in value] if isinstance(value, tuple) else value


def decode_state(value: Mapping[str, Any]) -> RecoveryState:
    found = {name: each for name, each in value.items() if name in RecoveryState.__slots__}
    for name in ("cannot_start", "waiting", "helped"):
        if found.get(name) is not None:
            found[name] = decode(found[name])
    found["attempts"] = tuple(
        Attempt(datetime.fromtimestamp(at, UTC), AttemptBy(by), actor) for at, by, actor in found.get("attempts", ())
    )
    found["failed_checks"] = tuple(found.get("failed_checks", ()))
    return RecoveryState(**found)
