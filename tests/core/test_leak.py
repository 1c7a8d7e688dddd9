"""The leak judgement on a table of shapes: each is looked at every 20 minutes of two days, as the watch would."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.leak import HOUR, GrowthShape, LeakVerdict, judge
from opsbot.core.trend import Point

MIB = float(1 << 20)
LIMIT = 512 * MIB
Memory = Callable[[float], float]
"""Hours since the start → MiB."""


def series(memory: Memory, hours: float = 48, noise: float = 0.5, seed: int = 1) -> list[Point]:
    draw = random.Random(seed)  # noqa: S311 - it draws a shape
    return [(float(t), (memory(t / HOUR) + draw.gauss(0, noise)) * MIB) for t in range(0, int(hours * HOUR), 120)]


def said(points: list[Point], limit: float | None = LIMIT, started: float = 0.0) -> list[LeakVerdict]:
    every = 10
    return [judge(points[:number], started, limit) for number in range(every, len(points) + 1, every)]


def first_leak(points: list[Point]) -> float:
    """Hours until it was called a leak; NaN where it never was."""
    for number, judgement in enumerate(said(points), 1):
        if judgement.shape is GrowthShape.LEAKS:
            return number / 3
    return math.nan


def wandering(seed: int) -> Memory:
    """Noise with a memory: each sample lies near the one before, and all near 100 MiB."""
    draw, away = random.Random(seed), 0.0  # noqa: S311 - it draws a shape

    def memory(_: float) -> float:
        nonlocal away
        away = 0.98 * away + draw.gauss(0, 3)
        return 100 + away

    return memory


LEAKS: dict[str, tuple[Memory, float, float]] = {
    "a steady leak": (lambda t: 80 + 10 * t, 10, 25),
    "a fast leak": (lambda t: 80 + 60 * t, 2, 6),
    "a leak under a garbage collector": (lambda t: 100 + 60 * ((t * 1.7) % 1) + 8 * t, 10, 25),
    "a leak that goes faster and faster": (lambda t: 80 + 0.6 * t * t, 8, 24),
    "a leak that begins after half a day": (lambda t: 80 + 25 * max(0, t - 12), 13, 25),
    "a leak in many small steps": (lambda t: 80 + 12 * math.floor(t / 0.7), 8, 20),
}
SOUND: dict[str, Memory] = {
    "level": lambda _: 100,
    "noise": wandering(1),
    "more noise": wandering(2),
    "a sawtooth with level minima": lambda t: 100 + 60 * ((t * 1.7) % 1),
    "a slow sawtooth with level minima": lambda t: 100 + 60 * ((t / 3) % 1),
    "a very slow sawtooth with level minima": lambda t: 100 + 60 * ((t / 9) % 1),
    "a cache that fills within hours": lambda t: 80 + 150 * (1 - math.exp(-t / 3)),
    "a cache that fills within a day": lambda t: 80 + 250 * (1 - math.exp(-t / 12)),
    "a cache that fills slowly, nearly to the limit": lambda t: 80 + 400 * (1 - math.exp(-t / 24)),
    "a cache of ever rarer keys": lambda t: 80 + 40 * math.log1p(4 * t),
    "a cache that fills in a straight line, and is full": lambda t: 80 + min(200, 20 * t),
    "one step": lambda t: 80 + (150 if t > 10 else 0),
    "three steps": lambda t: 80 + 60 * sum(t > at for at in (5, 14, 30)),
    "the wave of the day": lambda t: 120 + 60 * math.sin(2 * math.pi * (t - 6) / 24),
    "a great wave of the day": lambda t: 170 + 110 * math.sin(2 * math.pi * (t - 6) / 24),
    "a spike now and then": lambda t: 100 + (300 if t % 5 < 0.1 else 0),
    "a fall": lambda t: 400 - 5 * t,
}


@pytest.mark.parametrize(("memory", "soonest", "latest"), LEAKS.values(), ids=LEAKS)
def test_leaks_are_found_in_time(memory: Memory, soonest: float, latest: float) -> None:
    found = first_leak([point for point in series(memory) if point[1] < LIMIT])
    assert soonest <= found <= latest


@pytest.mark.parametrize("memory", SOUND.values(), ids=SOUND)
def test_what_is_no_leak_is_never_called_one(memory: Memory) -> None:
    assert math.isnan(first_leak(series(memory)))


def test_a_leak_has_its_rate_and_its_end() -> None:
    judgement = judge(series(lambda t: 80 + 10 * t, 24), 0, LIMIT)
    assert judgement.shape is GrowthShape.LEAKS
    assert judgement.trend is not None
    assert judgement.trend.rate * HOUR / MIB == pytest.approx(10, rel=0.05)
    assert judgement.ahead is not None
    assert judgement.ahead.likely / HOUR == pytest.approx((512 - 320) / 10, rel=0.05)


def test_a_cache_is_said_to_level_off() -> None:
    assert judge(series(lambda t: 80 + 150 * (1 - math.exp(-t / 3)), 6), 0, LIMIT).shape is GrowthShape.LEVELS_OFF


def test_a_restart_in_between_begins_anew() -> None:
    """Before it, the same memory rose towards the limit; after it, it is level again."""
    before = series(lambda t: 80 + 10 * t, 20)
    after = [(at + 20 * HOUR, value) for at, value in series(lambda _: 80.0, 10)]
    assert judge(before, 0, 350 * MIB).shape is GrowthShape.LEAKS
    assert all(
        each.shape in {GrowthShape.UNKNOWN, GrowthShape.LEVEL} for each in said(before + after, started=20 * HOUR)[66:]
    )


def test_a_leak_that_restarts_cut_short_again_and_again_is_judged_by_the_last_run_alone() -> None:
    runs = [(at + 3 * HOUR * run, value) for run in range(8) for at, value in series(lambda t: 80 + 40 * t, 3)]
    assert judge(runs, 21 * HOUR, LIMIT).shape in {GrowthShape.GROWS, GrowthShape.LEAKS}
    assert judge(runs, 21 * HOUR, LIMIT).trend == judge(runs[-91:], 21 * HOUR, LIMIT).trend


def test_without_a_limit_it_grows_at_most() -> None:
    assert judge(series(lambda t: 80 + 10 * t, 24), 0, None).shape is GrowthShape.GROWS


def test_a_leak_so_slow_that_a_deploy_comes_first_is_let_be() -> None:
    slow = [(at * 10, value) for at, value in series(lambda t: 80 + 10 * t, 24)]
    assert judge(slow, 0, LIMIT).shape is GrowthShape.GROWS
    assert judge(slow, 0, LIMIT, within=14 * 24 * HOUR).shape is GrowthShape.LEAKS


def test_too_short_a_run_is_not_judged() -> None:
    assert judge([], 0, LIMIT).shape is GrowthShape.UNKNOWN
    assert judge(series(lambda t: 80 + 100 * t, 1), 0, LIMIT).shape is GrowthShape.UNKNOWN


@given(
    st.lists(st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True)), max_size=60),
    st.floats(allow_nan=True),
    st.one_of(st.none(), st.floats(allow_nan=True)),
)
def test_nothing_makes_it_raise(points: list[Point], started: float, limit: float | None) -> None:
    judge(points, started, limit)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 2**30))
def test_the_unit_of_memory_and_the_origin_of_time_do_not_matter(steps: list[int], origin: int) -> None:
    points = [(240.0 * number, float(2**20 + 4096 * sum(steps[: number * len(steps) // 180]))) for number in range(180)]
    limit = 2.0**21
    moved = [(at + origin, value * 1024) for at, value in points]
    assert judge(points, 0, limit).shape is judge(moved, origin, limit * 1024).shape


@given(st.lists(st.integers(0, 30), min_size=180, max_size=180))
def test_memory_that_never_grows_is_never_a_leak(steps: list[int]) -> None:
    points = [(240.0 * number, 1e9 - 1e5 * sum(steps[:number])) for number in range(180)]
    assert judge(points, 0, 2e9).shape is GrowthShape.LEVEL
