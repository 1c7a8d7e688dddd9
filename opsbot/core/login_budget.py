"""The login budget of a Discord bot: starts before Discord resets its token.

When a bot logs in (IDENTIFY) more than 1000 times in 24 hours, Discord ends all its sessions and resets its token
(Discord's documentation, "Gateway", session start limit). Each start of the service counts as one login. Half of the
budget is never spent, because a bot also logs in after a lost session.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

DAY = timedelta(hours=24)
SLOW_FROM, STOP_AT = 0.2, 0.5
FIRST_SPACING = timedelta(seconds=30)
DOUBLED_EVERY = 0.05
"""Share of the budget that doubles the spacing: 30 s at 20 %, half an hour just below 50 %."""


class LoginBudgetState(StrEnum):
    """How much of the budget is spent."""

    FREE = "free"
    SLOW = "slow"  # automatic starts are spaced
    SPENT = "spent"  # no automatic starts any more: needs attention


@dataclass(frozen=True, slots=True)
class LoginStarts:
    """The starts within 24 hours. by_manager: those by systemd (Restart=)."""

    count: int = 0
    by_manager: int = 0
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a start is allowed. due: its earliest moment; None: never, or now."""

    standing: LoginBudgetState
    due: datetime | None = None


def spacing(share: float) -> timedelta:
    """The distance between automatic starts when this share of the budget is spent."""
    if share < SLOW_FROM:
        return timedelta(0)
    doubled = int((share - SLOW_FROM) / DOUBLED_EVERY + 1e-9)
    return FIRST_SPACING * (1 << doubled)


def allowance(starts: LoginStarts, limit: int, now: datetime) -> Allowance:
    """Whether one more automatic start is allowed. limit: logins in 24 hours."""
    share = starts.count / limit
    if share >= STOP_AT:
        return Allowance(LoginBudgetState.SPENT)
    if share < SLOW_FROM:
        return Allowance(LoginBudgetState.FREE)
    # A start in the future was written down by a clock that was set back since.
    last = starts.last if starts.last is not None and starts.last <= now else None
    due = None if last is None else last + spacing(share)
    return Allowance(LoginBudgetState.SLOW, due if due is not None and due > now else None)


@dataclass(frozen=True, slots=True)
class LoginThreshold:
    """A run of a service or unit, and its manager's count of starts."""

    run: str
    restarts: int


def starts_since(before: LoginThreshold | None, now: LoginThreshold) -> tuple[int, int]:
    """Starts between two observations, and how many its manager made by itself.

    systemd resets its count (NRestarts) at each requested start: a smaller count than before means that somebody
    started it, and that the manager has restarted it that often since. The first observation counts as one start.
    """
    if before is None:
        return 1, 0
    if before.run == now.run:
        return 0, 0
    if now.restarts > before.restarts:
        own = now.restarts - before.restarts
        return own, own
    if now.restarts == before.restarts and now.restarts > 0:
        return 1, 1
    return 1 + now.restarts, now.restarts
