"""No false alarm on what services do: the demo's own, recorded under load, and a model of a busy one over a week."""

import math
import random
from pathlib import Path

import pytest

from opsbot.core.leak import HOUR, GrowthShape, judge
from opsbot.core.trend import Point

RECORDINGS = Path(__file__).parents[1] / "recordings"
STRETCH = 30
"""Two seconds between samples become a minute: 24 minutes of load are judged as half a day of it."""
MIB = float(1 << 20)


def recorded(name: str) -> list[Point]:
    lines = (RECORDINGS / f"{name}.txt").read_text().split("\n")
    rows = [line.split() for line in lines if line]
    return [(float(at) * STRETCH, float(kib) * 1024) for at, kib in rows]


def shapes(points: list[Point], limit: float, every: int) -> set[GrowthShape]:
    return {judge(points[:number], 0, limit).shape for number in range(every, len(points) + 1, every)}


@pytest.mark.parametrize("limit", [32 * MIB, 64 * MIB, 400 * MIB])
@pytest.mark.parametrize("name", ["steady", "bursts", "wave"])
def test_the_demo_service_under_load_does_not_leak(name: str, limit: float) -> None:
    points = recorded(name)
    assert points[-1][0] > 11 * HOUR
    assert GrowthShape.LEAKS not in shapes(points, limit, 20)


def busy_service(seed: int, days: int) -> list[Point]:
    """A service whose people come with the hours of the day: each holds memory while there, and leaves some of it to a
    cache that is bounded; a garbage collector clears away what was thrown away, and the allocator keeps a part.
    """
    draw = random.Random(seed)  # noqa: S311 - it draws people
    people, cache, garbage, kept, points = 0, 0.0, 0.0, 0.0, []
    for minute in range(days * 24 * 60):
        crowd = 30 * (1.2 + math.sin(2 * math.pi * (minute / 1440 - 0.3)))
        people += sum(draw.random() < crowd / 2000 for _ in range(60)) - sum(
            draw.random() < 1 / 40 for _ in range(people)
        )
        cache += (60 - cache) * 0.0004 * people / 30
        garbage += people * 0.02 + draw.random() * 0.2
        if garbage > 12 + draw.random() * 6:
            garbage = draw.random()
        kept = max(kept * 0.9995, 0.3 * people + 0.2 * garbage)
        points.append((60.0 * minute, (70 + people * 0.8 + cache + garbage + kept) * MIB))
    return points


@pytest.mark.parametrize("seed", range(3))
def test_a_busy_service_over_a_week_does_not_leak(seed: int) -> None:
    points = busy_service(seed, 7)
    # Its greatest is some 200 MiB: a limit that people would set.
    assert 120 * MIB < max(value for _, value in points) < 300 * MIB
    assert GrowthShape.LEAKS not in shapes(points[::2], 400 * MIB, 45)


def test_the_same_service_with_a_leak_is_found_out() -> None:
    leaky = [(at, value + 3 * MIB * at / HOUR) for at, value in busy_service(1, 7)]
    assert GrowthShape.LEAKS in shapes(leaky[::2], 800 * MIB, 180)
