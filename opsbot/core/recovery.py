"""Recovery is a ladder: restart, restart again with growing delay, roll back if the trouble began with a release, then
stop and call for a human. Never a loop, never silence.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from opsbot.core.keys import DAY, HOUR, NO_TIME, SECOND, Key


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


@dataclass(frozen=True, slots=True)
class RecoveryFacts:
    """A service is not well: what was tried in this trouble, and what stands beside it.

    restarts: times of restarts made for this trouble, oldest first. recent: times of all recovery restarts of the
    service that the store remembers. live_since: when the live release went live. called: a human was called already.
    """

    since: datetime
    restarts: tuple[datetime, ...] = ()
    recent: tuple[datetime, ...] = ()
    live_since: datetime | None = None
    can_roll_back: bool = False
    rolled_back: bool = False
    called: bool = False
    deploying: bool = False
    stopped_by_hand: bool = False
    silenced_by_manager: bool = False
    """The manager itself is about to start it again (systemd's auto-restart, the supervisor's own delay)."""
    needs_failing: str = ""
    """A service it needs that is not well."""
    restart_cannot_help: bool = False
    """The manager gave up starting it: the same start would fail again."""
    barred: str = ""
    """Why nobody can start it, in any release, until the host is mended (its unit is masked, a right is missing)."""


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """The rung, why in words for the card, and from when (for WAIT: until when)."""

    rung: RecoveryAction
    why: str
    at: datetime


def _left_alone(trouble: RecoveryFacts, now: datetime) -> RecoveryStep | None:
    """Why nothing is done at the moment; None where something may be."""
    if trouble.deploying:
        return RecoveryStep(RecoveryAction.NOTHING, "a deploy is in progress", now)
    if trouble.stopped_by_hand:
        return RecoveryStep(RecoveryAction.NOTHING, "it was stopped on purpose", now)
    if trouble.needs_failing:
        return RecoveryStep(RecoveryAction.WAIT, f"{trouble.needs_failing}, which it needs, is not well", now)
    if trouble.called:
        return RecoveryStep(RecoveryAction.NOTHING, "a human has been called", now)
    if trouble.silenced_by_manager:
        return RecoveryStep(RecoveryAction.WAIT, "it is being started again", now)
    return None


def next_step(trouble: RecoveryFacts, ladder: RecoveryPolicy, now: datetime) -> RecoveryStep:
    """What to do about this trouble at `now`."""
    left_alone = _left_alone(trouble, now)
    if left_alone is not None:
        return left_alone
    if trouble.barred:
        return RecoveryStep(RecoveryAction.CALL_HUMAN, trouble.barred, now)
    tried = len(trouble.restarts)
    spent = [at for at in trouble.recent if now - at < ladder.window]
    within_budget = len(spent) < ladder.budget
    if ladder.restart and tried < ladder.attempts and within_budget and not trouble.restart_cannot_help:
        if tried == 0:
            return RecoveryStep(RecoveryAction.RESTART, f"restart 1 of {ladder.attempts}", now)
        delay = min(ladder.backoff * 2 ** (tried - 1), ladder.backoff_max)
        last = trouble.restarts[-1]
        due = last + delay
        if last <= now < due:  # a restart in the future was made by a clock that was set back since
            return RecoveryStep(RecoveryAction.WAIT, f"restart {tried + 1} of {ladder.attempts} follows", due)
        return RecoveryStep(RecoveryAction.RESTART, f"restart {tried + 1} of {ladder.attempts}", now)
    blamed = trouble.live_since is not None and trouble.since - trouble.live_since <= ladder.blame
    if ladder.roll_back and blamed and trouble.can_roll_back and not trouble.rolled_back:
        return RecoveryStep(RecoveryAction.ROLL_BACK, "the trouble began with this release", now)
    if not ladder.restart:
        why = "recovery is off for this service"
    elif trouble.restart_cannot_help:
        why = "it dies as often as it is started"
    elif not within_budget:
        why = f"{len(spent)} restarts within {int(ladder.window.total_seconds() // 60)} minutes are enough"
    else:
        why = f"{tried} restarts did not help" if tried != 1 else "a restart did not help"
    return RecoveryStep(RecoveryAction.CALL_HUMAN, why, now)
