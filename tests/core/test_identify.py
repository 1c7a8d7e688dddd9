"""The login budget: how starts are counted, and what is left to opsbot's own restarts."""

from datetime import UTC, datetime, timedelta

import pytest

from opsbot.core.login_budget import (
    Allowance,
    LoginBudgetState,
    LoginStarts,
    LoginThreshold,
    allowance,
    spacing,
    starts_since,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spent", "since_last", "standing", "wait"),
    [
        (0, None, LoginBudgetState.FREE, None),
        (199, 0, LoginBudgetState.FREE, None),
        (200, 0, LoginBudgetState.SLOW, 30),
        (200, 31, LoginBudgetState.SLOW, None),
        (249, 0, LoginBudgetState.SLOW, 30),
        (250, 0, LoginBudgetState.SLOW, 60),
        (300, 10, LoginBudgetState.SLOW, 110),
        (400, 0, LoginBudgetState.SLOW, 8 * 60),
        (499, 0, LoginBudgetState.SLOW, 16 * 60),
        (500, 86000, LoginBudgetState.SPENT, None),
        (1000, 0, LoginBudgetState.SPENT, None),
        (5000, 0, LoginBudgetState.SPENT, None),
        (300, None, LoginBudgetState.SLOW, None),
        (300, -3600, LoginBudgetState.SLOW, None),  # by a clock that was set back since
    ],
)
def test_the_budget_slows_down_and_stops(
    spent: int, since_last: int | None, standing: LoginBudgetState, wait: int | None
) -> None:
    last = None if since_last is None else NOW - timedelta(seconds=since_last)
    found = allowance(LoginStarts(spent, 0, last), 1000, NOW)
    assert found == Allowance(standing, None if wait is None else NOW + timedelta(seconds=wait))


def test_a_smaller_limit_counts_in_shares() -> None:
    assert allowance(LoginStarts(20, 0, NOW), 100, NOW).standing is LoginBudgetState.SLOW
    assert allowance(LoginStarts(50, 0, NOW), 100, NOW).standing is LoginBudgetState.SPENT


def test_a_crash_loop_cannot_burn_the_budget_in_a_day() -> None:
    """Started as often as it is allowed to, by nobody but opsbot, it never comes near Discord's limit."""
    starts: list[datetime] = []
    now = NOW
    for _ in range(24 * 3600 // 5):
        allowed = allowance(LoginStarts(len(starts), 0, starts[-1] if starts else None), 1000, now)
        if allowed.standing is LoginBudgetState.FREE or (
            allowed.standing is LoginBudgetState.SLOW and allowed.due is None
        ):
            starts.append(now)
        now += timedelta(seconds=5)
    assert 200 < len(starts) <= 500


def test_the_spacing_only_grows() -> None:
    found = [spacing(share / 1000) for share in range(500)]
    assert found == sorted(found)
    assert found[199] == timedelta(0)
    assert found[499] <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, LoginThreshold("a", 0), (1, 0)),
        (None, LoginThreshold("a", 70), (1, 0)),  # when those were, nobody knows
        (LoginThreshold("a", 0), LoginThreshold("a", 0), (0, 0)),
        (LoginThreshold("a", 3), LoginThreshold("a", 4), (0, 0)),  # counted by systemd, not yet begun
        (LoginThreshold("a", 0), LoginThreshold("b", 0), (1, 0)),
        (LoginThreshold("a", 0), LoginThreshold("b", 1), (1, 1)),
        (LoginThreshold("a", 2), LoginThreshold("b", 40), (38, 38)),  # while opsbot was away
        (LoginThreshold("a", 40), LoginThreshold("b", 0), (1, 0)),
        (LoginThreshold("a", 40), LoginThreshold("b", 3), (4, 3)),  # started by hand, and restarted thrice since
    ],
)
def test_starts_are_counted_between_two_looks(
    before: LoginThreshold | None, now: LoginThreshold, expected: tuple[int, int]
) -> None:
    assert starts_since(before, now) == expected
