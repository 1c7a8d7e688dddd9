"""What flaps, and what does not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.flapping import FlapPolicy, Flaps, alternates, changed, is_calm
from opsbot.core.health import CheckHealth, CheckPolicy, ProbeResult, observe
from opsbot.core.message import plain

T0 = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = FlapPolicy()


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def fold(*minutes: float) -> Flaps:
    flaps = Flaps()
    for each in minutes:
        flaps = changed(flaps, at(each), POLICY)
    return flaps


def test_six_changes_within_ten_minutes_flap_since_the_first_of_them() -> None:
    assert not fold(0, 1, 2, 3, 4).flapping
    flaps = fold(0, 1, 2, 3, 4, 5)
    assert (flaps.since, flaps.count, flaps.last) == (at(0), 6, at(5))
    assert fold(0, 1, 2, 3, 4, 5, 6, 7).count == 8


def test_what_changes_seldom_does_not_flap() -> None:
    assert not fold(*range(0, 300, 3)).flapping


def test_it_is_calm_when_nothing_changed_for_long_enough() -> None:
    flaps = fold(0, 1, 2, 3, 4, 5)
    assert not is_calm(flaps, at(9.9), POLICY)
    assert is_calm(flaps, at(10), POLICY)
    assert not is_calm(fold(0, 1), at(600), POLICY), "it never flapped"


def test_a_clock_set_back_neither_makes_it_flap_nor_keeps_it_flapping() -> None:
    assert not fold(100, 101, 102, 3, 4, 5).flapping
    assert is_calm(fold(100, 101, 102, 103, 104, 105), at(0), POLICY)


@given(st.lists(st.floats(0, 500), max_size=40))
def test_it_flaps_exactly_when_so_many_fall_into_one_window(minutes: list[float]) -> None:
    times = sorted(minutes)
    dense = any(
        at(times[i + POLICY.changes - 1]) - at(times[i]) < POLICY.window for i in range(len(times) - POLICY.changes + 1)
    )
    assert fold(*times).flapping is dense


def recent(text: str) -> int:
    health = CheckHealth()
    for letter in text:
        health, _ = observe(health, ProbeResult(letter == ".", plain(""), T0), CheckPolicy())
    return health.recent


@pytest.mark.parametrize(
    ("results", "is_flapping"),
    [
        (".x" * 10, True),
        ("..xx" * 5, True),
        ("xx." * 7, True),
        ("xx..." * 4, True),
        ("." * 20, False),
        ("x" * 20, False),
        (".......x............x..x.", False),
        ("....................xxx", False),
        ("xxxxxxxxxx..........", False),
        (".x" * 9, False),
    ],
)
def test_alternation_that_no_count_in_a_row_finds(results: str, is_flapping: bool) -> None:
    assert alternates(recent(results), POLICY) is is_flapping
