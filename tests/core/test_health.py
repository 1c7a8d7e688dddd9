"""The fold over check results."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.health import (
    KEEP,
    CheckHealth,
    CheckPolicy,
    ProbeResult,
    Verdict,
    VerdictChange,
    alternations,
    failures,
    looks,
    observe,
)
from opsbot.core.message import plain

SEEN = plain("")
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def fold(
    results: list[bool], policy: CheckPolicy, health: CheckHealth | None = None
) -> tuple[CheckHealth, list[VerdictChange]]:
    health = health or CheckHealth()
    changes = []
    for number, ok in enumerate(results):
        health, change = observe(health, ProbeResult(ok, SEEN, T0 + timedelta(seconds=number)), policy)
        if change:
            changes.append(change)
    return health, changes


def test_one_failure_is_not_down() -> None:
    health, changes = fold([True, False], CheckPolicy(3, 2))
    assert health.verdict is Verdict.UP
    assert len(changes) == 1


def test_fall_failures_in_a_row_are_down_since_the_first_of_them() -> None:
    health, changes = fold([True, False, False, False], CheckPolicy(3, 2))
    assert health.verdict is Verdict.DOWN
    assert changes[-1] == VerdictChange(Verdict.UP, Verdict.DOWN, T0 + timedelta(seconds=1))


def test_a_success_in_between_begins_the_count_anew() -> None:
    health, _ = fold([True, False, False, True, False, False], CheckPolicy(3, 2))
    assert health.verdict is Verdict.UP


def test_up_again_needs_rise_successes() -> None:
    down, _ = fold([False] * 3, CheckPolicy(3, 2))
    still, _ = fold([True], CheckPolicy(3, 2), down)
    assert still.verdict is Verdict.DOWN
    up, _ = fold([True, True], CheckPolicy(3, 2), down)
    assert up.verdict is Verdict.UP


def test_the_first_success_of_all_is_enough() -> None:
    assert fold([True], CheckPolicy(3, 5))[0].verdict is Verdict.UP


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_the_verdict_follows_the_last_streak_long_enough(results: list[bool], fall: int, rise: int) -> None:
    health, changes = fold(results, CheckPolicy(fall, rise))
    expected, streak, last = Verdict.UNKNOWN, 0, None
    for ok in results:
        streak = streak + 1 if ok == last else 1
        last = ok
        if ok and (streak >= rise or expected is Verdict.UNKNOWN):
            expected = Verdict.UP
        if not ok and streak >= fall:
            expected = Verdict.DOWN
    assert health.verdict is expected
    for before, after in itertools.pairwise(changes):
        assert before.after is after.before
        assert after.before is not after.after


def marks(text: str) -> list[bool]:
    """Results written as letters: `.` is well, `x` is not."""
    return [letter == "." for letter in text]


def test_three_of_the_last_five_are_down_though_never_three_in_a_row() -> None:
    policy = CheckPolicy(3, 2, 5)
    health, changes = fold(marks(".x.x.x"), policy)
    assert health.verdict is Verdict.DOWN
    assert changes[-1] == VerdictChange(Verdict.UP, Verdict.DOWN, T0 + timedelta(seconds=1)), "since the first of them"
    assert fold(marks(".x..x..x"), policy)[0].verdict is Verdict.UP
    assert fold(marks(".x.x.x"), CheckPolicy(3, 2))[0].verdict is Verdict.UP, "in a row, as before"


def test_it_is_up_again_only_once_too_few_of_the_last_five_failed() -> None:
    policy = CheckPolicy(3, 2, 5)
    down, _ = fold(marks("xxx"), policy)
    assert fold(marks(".."), policy, down)[0].verdict is Verdict.DOWN, "3 of xxx.. failed"
    assert fold(marks("..."), policy, down)[0].verdict is Verdict.UP
    assert fold(marks("...x"), policy, down)[0].verdict is Verdict.UP, "and one more failure does not bring it down"


@given(st.lists(st.booleans(), max_size=120), st.integers(1, 5), st.integers(1, 4), st.integers(0, 20))
def test_fall_of_the_last_so_many(results: list[bool], fall: int, rise: int, more: int) -> None:
    of = fall + more
    policy = CheckPolicy(fall, rise, of)
    health = CheckHealth()
    for number in range(len(results)):
        health, _ = fold(results[number : number + 1], policy, health)
        seen = results[max(0, number + 1 - of) : number + 1]
        assert failures(health.recent, of) == seen.count(False)
        if seen.count(False) >= fall and not results[number]:
            assert health.verdict is Verdict.DOWN
    assert looks(health.recent) == min(len(results), KEEP)
    assert health.recent < 2 ** (KEEP + 1), "it fits a column of the store"


@given(st.lists(st.booleans(), max_size=80), st.integers(1, KEEP))
def test_alternations_are_counted(results: list[bool], last: int) -> None:
    health, _ = fold(results, CheckPolicy())
    seen = results[-last:]
    assert alternations(health.recent, last) == sum(a is not b for a, b in itertools.pairwise(seen))
