from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.threshold import Threshold, ThresholdState, judge

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
USED = Threshold(90, 85, 5 * MINUTE, 2 * MINUTE)
AVAILABLE = Threshold(5, 8, 5 * MINUTE, 2 * MINUTE)


def turns(values: Sequence[float], threshold: Threshold = USED, every: timedelta = MINUTE) -> list[tuple[int, bool]]:
    standing, found = ThresholdState(), []
    for number, value in enumerate(values):
        after = judge(standing, value, BEGIN + number * every, threshold)
        if after.bad is not standing.bad:
            found.append((number, after.bad))
        standing = after
    return found


def test_bad_only_after_it_was_over_for_the_whole_while() -> None:
    assert turns([50] * 3 + [95] * 5) == []
    assert turns([50] * 3 + [95] * 6) == [(8, True)]


def test_a_blip_begins_the_while_anew() -> None:
    assert turns([95, 95, 95, 95, 89, 95, 95, 95, 95, 95]) == []


def test_between_the_lines_nothing_changes() -> None:
    assert turns([95] * 6 + [88] * 60) == [(5, True)]
    assert turns([88] * 60) == []


def test_well_only_after_it_was_under_for_a_while() -> None:
    assert turns([95] * 6 + [80, 86, 80, 80, 80]) == [(5, True), (10, False)]


def test_what_must_not_become_too_small_is_judged_the_other_way_round() -> None:
    assert turns([3] * 6 + [6] * 10 + [9] * 3, AVAILABLE) == [(5, True), (18, False)]


def test_a_while_nobody_looked_does_not_count() -> None:
    assert turns([95, 95], every=timedelta(hours=1)) == []


def test_a_clock_set_back_turns_nothing() -> None:
    standing = judge(ThresholdState(), 95, BEGIN, USED)
    assert not judge(standing, 95, BEGIN - timedelta(hours=1), USED).bad


@given(st.lists(st.floats(0, 100), max_size=80))
def test_it_is_never_bad_without_a_stretch_over_the_line(values: list[float]) -> None:
    for number, bad in turns(values):
        if bad:
            assert all(value >= 90 for value in values[number - 5 : number + 1])
        else:
            assert all(value <= 85 for value in values[number - 2 : number + 1])
