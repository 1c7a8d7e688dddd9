"""The login budget of a Discord bot: how often it may be started in a day before Discord takes its token away.

A bot that logs in (IDENTIFY) more than 1000 times in 24 hours has all its sessions ended and its token reset, and stays
away until a person puts a new one in place (Discord's documentation, "Gateway", session start limit). Each start of the
service counts as one login here. It may log in more often than that by itself, after a lost session; that is what the
half that is never spent is for.
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
    SLOW = "slow"
    """Automatic starts keep a distance."""
    SPENT = "spent"
    """No automatic starts any more: a human is needed."""


@dataclass(frozen=True, slots=True)
class LoginStarts:
    """The starts of one service in the last 24 hours. by_manager: those that systemd made by itself (Restart=)."""

    count: int = 0
    by_manager: int = 0
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the budget says of one more automatic start. due: the earliest moment for it; None: not at all, or now."""

    standing: LoginBudgetState
    due: datetime | None = None


def spacing(share: float) -> timedelta:
    """The distance between automatic starts when this share of the budget is spent."""
    if share < SLOW_FROM:
        return timedelta(0)
    doubled = int((share - SLOW_FROM) / DOUBLED_EVERY + 1e-9)
    return FIRST_SPACING * (1 << doubled)


def allowance(starts: LoginStarts, limit: int, now: datetime) -> Allowance:
    """Whether one more automatic start is within the budget, and when. limit: logins allowed in 24 hours."""
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
    """A run of a service (or of one of its units) as it was last seen, and the manager's own count of starts then."""

    run: str
    restarts: int


def starts_since(before: LoginThreshold | None, now: LoginThreshold) -> tuple[int, int]:
    """How many starts lie between two looks at a service, and how many of them its manager made by itself.

    systemd's count (NRestarts) begins anew with each start that was asked for: one that is smaller than before means
    that somebody started it, and that the manager has restarted it so often since. A first look knows of one start.
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
