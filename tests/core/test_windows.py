"""Windows: their occurrences over changes of the clock and midnight, against a count of every minute."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsbot.core.inhibitors import InhibitorCode
from opsbot.core.message import message
from opsbot.core.windows import (
    WEEK,
    Weekday,
    Window,
    WindowDeploys,
    active,
    coming,
    keeps_deploys,
    keeps_recovery,
    spans,
    until,
)

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)

CHANGES = [
    # zone, the day on which its clocks change: an hour forth, an hour back, half an hour, a whole day, at midnight
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Pacific/Apia", date(2011, 12, 30)),
    ("America/Sao_Paulo", date(2018, 11, 4)),
    ("Africa/Casablanca", date(2025, 2, 23)),
    ("Asia/Kathmandu", date(2026, 5, 1)),
]


def first_minute(zone: ZoneInfo, day: date, start: time) -> datetime:
    """The first moment at which a clock on the wall shows that time; found by looking at it every minute.

    Where it never does: as long after the jump as the time asked for lies after the one from which it jumps.
    """
    wanted = datetime.combine(day, start)
    moment = datetime.combine(day, time(), UTC) - timedelta(hours=30)
    previous = (moment - MINUTE).astimezone(zone).replace(tzinfo=None)
    for _ in range(84 * 60):
        shown = moment.astimezone(zone).replace(tzinfo=None)
        if shown == wanted:
            return moment
        if previous + MINUTE <= wanted < shown:
            return moment + (wanted - (previous + MINUTE))
        previous = shown
        moment += MINUTE
    raise AssertionError(wanted)


@settings(max_examples=150, deadline=None)
@given(
    change=st.sampled_from(CHANGES),
    offset=st.integers(-1, 1),
    minutes=st.integers(0, 24 * 60 - 1),
    length=st.integers(1, 30 * 60),
)
def test_a_window_begins_when_the_clock_on_the_wall_first_shows_its_time(
    change: tuple[str, date], offset: int, minutes: int, length: int
) -> None:
    zone, day = ZoneInfo(change[0]), change[1] + timedelta(days=offset)
    window = Window("w", time(minutes // 60, minutes % 60), timedelta(minutes=length), zone, date=day)
    begin = first_minute(zone, day, window.start)
    (span,) = spans(window, begin)
    assert (span.begin, span.end) == (begin, begin + window.duration)
    assert list(spans(window, span.end)) == []
    assert [span.holds(at) for at in (begin - MINUTE, begin, span.end - MINUTE, span.end)] == [False, True, True, False]


@settings(max_examples=60, deadline=None)
@given(
    change=st.sampled_from(CHANGES),
    days=st.sets(st.sampled_from(WEEK), min_size=1),
    minutes=st.integers(0, 24 * 60 - 1),
    length=st.integers(1, 22 * 60),
    ahead=st.integers(0, 10 * 24 * 60),
)
def test_a_weekly_window_is_its_days_one_by_one(
    change: tuple[str, date], days: set[Weekday], minutes: int, length: int, ahead: int
) -> None:
    zone, start = ZoneInfo(change[0]), time(minutes // 60, minutes % 60)
    duration = timedelta(minutes=length)
    now = datetime.combine(change[1], time(), UTC) - timedelta(days=5) + timedelta(minutes=ahead)
    weekly = Window("w", start, duration, zone, days=tuple(days))
    found = [(span.begin, span.end) for span in islice(spans(weekly, now), 8)]
    single = []
    for number in range(-4, 80):
        day = now.astimezone(zone).date() + timedelta(days=number)
        if WEEK[day.weekday()] in days:
            single += [(span.begin, span.end) for span in spans(Window("w", start, duration, zone, date=day), now)]
    assert found == sorted(set(single))[:8]


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    window = Window("night", time(23), timedelta(hours=3), BERLIN, days=(Weekday.SAT,))
    sunday_one = datetime(2026, 3, 1, 1, tzinfo=BERLIN)
    assert active([window], sunday_one)
    assert not active([window], sunday_one + timedelta(hours=1))
    assert not active([window], sunday_one - timedelta(days=1))


def test_two_hours_are_two_hours_in_the_night_the_clocks_change() -> None:
    window = Window("night", time(1, 30), timedelta(hours=2), BERLIN, days=(Weekday.SUN,))
    spring = next(spans(window, datetime(2026, 3, 28, tzinfo=UTC)))
    assert spring.end.astimezone(BERLIN).time() == time(4, 30)
    autumn = next(spans(window, datetime(2026, 10, 24, tzinfo=UTC)))
    assert autumn.end.astimezone(BERLIN).time() == time(2, 30)


def test_the_skipped_day_of_samoa_has_no_window_of_its_own() -> None:
    window = Window("daily", time(10), timedelta(hours=1), ZoneInfo("Pacific/Apia"), days=WEEK)
    begins = [span.begin for span in islice(spans(window, datetime(2011, 12, 29, 12, tzinfo=UTC)), 3)]
    assert begins == [datetime(2011, 12, 29, 20, tzinfo=UTC) + timedelta(days=number) for number in range(3)]


def test_what_comes_next_is_in_order_over_all_windows() -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    weekly = Window("weekly", time(2), timedelta(hours=1), days=(Weekday.FRI,))
    once = Window("once", time(3), timedelta(hours=1), date=date(2026, 3, 6))
    gone = Window("gone", time(3), timedelta(hours=1), date=date(2025, 3, 6))
    assert [span.window.name for span in coming([once, gone, weekly], now)] == ["weekly", "once", "weekly"]
    assert [span.window.name for span in until([once, gone, weekly], now, now + timedelta(days=3))] == [
        "once",
        "weekly",
    ]
    assert coming([], now) == []


@pytest.mark.parametrize(("service", "hour", "kept"), [("a", 2, True), ("a", 4, False), ("b", 2, False)])
def test_a_hold_keeps_automatic_deploys_of_its_services_back_while_it_lasts(
    service: str, hour: int, *, kept: bool
) -> None:
    window = Window("w", time(1), timedelta(hours=2), days=WEEK, services=("a",), deploys=WindowDeploys.HOLD)
    end = datetime(2026, 3, 4, 3, tzinfo=UTC)
    why = message(InhibitorCode.WINDOW_HOLDS_DEPLOYS, window="w", until=end)
    assert keeps_deploys([window], service, datetime(2026, 3, 4, hour, tzinfo=UTC)) == (why if kept else None)


def test_with_an_only_window_automatic_deploys_wait_for_it() -> None:
    only = Window("quiet hours", time(1), timedelta(hours=2), days=WEEK, deploys=WindowDeploys.ONLY)
    also = Window("second", time(5), timedelta(hours=1), days=WEEK, deploys=WindowDeploys.ONLY)
    day = datetime(2026, 3, 4, tzinfo=UTC)
    assert keeps_deploys([only, also], "a", day + timedelta(hours=2)) is None
    assert keeps_deploys([only, also], "a", day + timedelta(hours=5)) is None
    begins = day + timedelta(hours=5)
    assert keeps_deploys([only, also], "a", day + timedelta(hours=4)) == message(
        InhibitorCode.DEPLOYS_IN_WINDOW_ONLY, window="second", begins=begins
    )
    past = Window("past", time(1), timedelta(hours=2), date=date(2020, 1, 1), deploys=WindowDeploys.ONLY)
    assert keeps_deploys([past], "a", day) == message(InhibitorCode.NO_WINDOW_FOR_DEPLOYS, windows=("past",))


def test_a_hold_within_an_only_window_holds() -> None:
    only = Window("only", time(1), timedelta(hours=4), days=WEEK, deploys=WindowDeploys.ONLY)
    hold = Window("hold", time(2), timedelta(hours=1), days=WEEK, deploys=WindowDeploys.HOLD)
    at = datetime(2026, 3, 4, 2, 30, tzinfo=UTC)
    end = datetime(2026, 3, 4, 3, tzinfo=UTC)
    why = message(InhibitorCode.WINDOW_HOLDS_DEPLOYS, window="hold", until=end)
    assert keeps_deploys([only, hold], "a", at) == why


def test_recovery_waits_only_where_the_window_says_so() -> None:
    at = datetime(2026, 3, 4, 1, 30, tzinfo=UTC)
    works = Window("works", time(1), timedelta(hours=1), days=WEEK)
    stops = Window("stops", time(1), timedelta(hours=1), days=WEEK, recovery=False, services=("a",))
    assert keeps_recovery([works], "a", at) is None
    why = message(InhibitorCode.WINDOW, window="stops", until=datetime(2026, 3, 4, 2, tzinfo=UTC))
    assert keeps_recovery([works, stops], "a", at) == why
    assert keeps_recovery([works, stops], "b", at) is None
