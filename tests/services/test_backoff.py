"""A crashing service is restarted with growing delays, and given up in the end."""

from opsbot.services.backoff import Backoff, CrashCounter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_quick_deaths_in_a_row_are_too_many() -> None:
    crashes = CrashCounter(Backoff(quick=10, crashes=5), clock=Clock())
    assert [crashes.count(1.0) for _ in range(5)] == [False, False, False, False, True]
    assert crashes.reason == "crashed 5 times in a row, each within 10 s of its start"


def test_a_service_that_runs_for_a_minute_between_its_deaths_runs_out_of_budget() -> None:
    clock = Clock()
    crashes = CrashCounter(Backoff(), budget=10, window=3600, clock=clock)
    deaths = []
    for _ in range(10):
        clock.now += 65
        deaths.append(crashes.count(65.0))
    assert deaths == [False] * 9 + [True]
    assert crashes.reason == "crashed 10 times within 60 minutes"


def test_deaths_further_apart_than_the_window_are_forgiven() -> None:
    clock = Clock()
    crashes = CrashCounter(Backoff(), budget=3, window=3600, clock=clock)
    for _ in range(20):
        clock.now += 2000
        assert not crashes.count(2000.0)


def test_who_asks_for_a_start_begins_the_count_anew() -> None:
    clock = Clock()
    crashes = CrashCounter(Backoff(), budget=2, window=3600, clock=clock)
    crashes.count(100.0)
    crashes.forget()
    assert not crashes.count(100.0)


def test_delays_grow_and_are_bounded() -> None:
    backoff = Backoff(first=0, step=1, most=60)
    assert [backoff.delay(crashes) for crashes in range(1, 10)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
