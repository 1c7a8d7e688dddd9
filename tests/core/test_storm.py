"""When many alarms are one message."""

from datetime import UTC, datetime, timedelta

import pytest

from opsbot.core.storm import CARDS_AFTER, CARDS_AT_LAST, MANY, SETTLE, StormAlert, StormVerdict, judge, released

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
JUST, LONG = timedelta(seconds=2), SETTLE


def alarms(count: int, age: timedelta = JUST, *, first: int = 0) -> list[StormAlert]:
    return [StormAlert(number, number, f"s{number}", NOW - age) for number in range(first, first + count)]


@pytest.mark.parametrize(
    ("waiting", "lately", "verdict"),
    [
        (alarms(0), range(50), StormVerdict.TELL),
        (alarms(1), range(0), StormVerdict.TELL),
        (alarms(MANY), range(0), StormVerdict.TELL),
        (alarms(MANY + 1), range(0), StormVerdict.HOLD),
        (alarms(MANY + 1, LONG), range(0), StormVerdict.GATHER),
        ([*alarms(1, LONG), *alarms(499, first=1)], range(0), StormVerdict.GATHER),
        (alarms(1, first=100), range(MANY - 1), StormVerdict.TELL),
        (alarms(1, first=100), range(MANY), StormVerdict.HOLD),
        (alarms(1, LONG, first=100), range(MANY), StormVerdict.TELL),
        (alarms(2, LONG, first=100), range(MANY), StormVerdict.TELL),
        (alarms(3, first=100), range(MANY), StormVerdict.HOLD),
        (alarms(3, LONG, first=100), range(MANY), StormVerdict.GATHER),
        (alarms(3, LONG), range(MANY), StormVerdict.TELL),
    ],
)
def test_what_is_done_with_the_alarms_that_wait(
    waiting: list[StormAlert], lately: range, verdict: StormVerdict
) -> None:
    assert judge(waiting, [f"s{number}" for number in lately], NOW) is verdict


def test_a_service_that_comes_and_goes_counts_once() -> None:
    again = [StormAlert(number, number, "api", NOW - LONG) for number in range(50)]
    assert judge(again, ["api"], NOW) is StormVerdict.TELL


def test_a_few_that_remain_get_their_cards_soon_and_many_at_last() -> None:
    assert not released(NOW - CARDS_AFTER + JUST, 1, NOW)
    assert released(NOW - CARDS_AFTER, MANY, NOW)
    assert not released(NOW - CARDS_AFTER, MANY + 1, NOW)
    assert released(NOW - CARDS_AT_LAST, 500, NOW)
