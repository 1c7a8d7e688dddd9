"""A service that dies again and again is started again with growing delay, and at last left alone."""

from opsbot.services.patience import Falls, Patience


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_quick_deaths_in_a_row_are_too_many() -> None:
    falls = Falls(Patience(quick=10, falls=5), clock=Clock())
    assert [falls.count(1.0) for _ in range(5)] == [False, False, False, False, True]
    assert falls.told == "died 5 times in a row, each within 10 s of its start"


def test_a_service_that_runs_for_a_minute_between_its_deaths_runs_out_of_budget() -> None:
    clock = Clock()
    falls = Falls(Patience(), budget=10, window=3600, clock=clock)
    deaths = []
    for _ in range(10):
        clock.now += 65
        deaths.append(falls.count(65.0))
    assert deaths == [False] * 9 + [True]
    assert falls.told == "died 10 times within 60 minutes"


def test_deaths_further_apart_than_the_window_are_forgiven() -> None:
    clock = Clock()
    falls = Falls(Patience(), budget=3, window=3600, clock=clock)
    for _ in range(20):
        clock.now += 2000
        assert not falls.count(2000.0)


def test_who_asks_for_a_start_begins_the_count_anew() -> None:
    clock = Clock()
    falls = Falls(Patience(), budget=2, window=3600, clock=clock)
    falls.count(100.0)
    falls.forget()
    assert not falls.count(100.0)


def test_delays_grow_and_are_bounded() -> None:
    patience = Patience(first=0, step=1, most=60)
    assert [patience.delay(deaths) for deaths in range(1, 10)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
