import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.trend import REACH, Point, fall, forecast, slope, thin, trend

HOUR = 3600.0
ANYTHING = st.lists(st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True)), max_size=60)


def line(rate_an_hour: float, hours: float = 6, level: float = 100, noise: float = 0.0) -> list[Point]:
    draw = random.Random(7)  # noqa: S311 - it draws a shape
    return [(t, level + rate_an_hour * t / HOUR + draw.gauss(0, noise)) for t in range(0, int(hours * HOUR), 60)]


def test_a_line_has_its_slope() -> None:
    assert slope(line(12)) * HOUR == pytest.approx(12)


def test_a_quarter_of_wild_points_does_not_move_the_slope() -> None:
    draw = random.Random(3)  # noqa: S311 - it draws a shape
    wild = [(t, 1e6) if draw.random() < 0.2 else (t, v) for t, v in line(12, hours=1)]
    assert slope(wild) * HOUR == pytest.approx(12, rel=0.05)


def test_a_series_is_thinned_to_medians_in_order() -> None:
    thinned = thin(line(12, hours=100), 50)
    assert len(thinned) == 50
    assert thinned == sorted(thinned)


def test_a_steady_rise_is_foretold_with_its_uncertainty() -> None:
    found = trend(line(10, noise=1))
    assert found is not None
    ahead = forecast(found, 250)
    assert ahead is not None
    assert ahead.likely / HOUR == pytest.approx(9, rel=0.1)
    assert ahead.soonest <= ahead.likely <= ahead.latest


def test_a_fall_is_told_as_one() -> None:
    found = fall(line(-10, level=200, noise=1))
    assert found is not None
    assert found.rate * HOUR == pytest.approx(-10, rel=0.1)
    ahead = forecast(found, 50)
    assert ahead is not None
    assert ahead.likely / HOUR == pytest.approx(9, rel=0.1)


def test_what_is_past_its_limit_is_there_now() -> None:
    assert forecast(trend(line(10)), 120, now=130) == forecast(trend(line(10)), 100)


def test_no_forecast_reaches_further_than_what_was_seen_bears() -> None:
    found = trend(line(10))
    assert found is not None
    assert forecast(found, 160 + 10 * 6 * (REACH - 0.1)) is not None
    assert forecast(found, 160 + 10 * 6 * (REACH + 0.2)) is None


def bent(hours: float) -> list[Point]:
    return [(t, 100 + 60 * (1 - math.exp(-t / (6 * HOUR)))) for t in range(0, int(hours * HOUR), 60)]


def test_what_slows_down_reaches_only_what_it_is_heading_for() -> None:
    found = trend(bent(5))
    assert found is not None
    assert forecast(found, 155) is not None
    assert forecast(found, 175) is None


@pytest.mark.parametrize(
    "shape",
    [
        lambda _: 100.0,
        lambda t: 100 + (50 if t > 3 * HOUR else 0),
        lambda t: 100 + 30 * math.sin(t / HOUR * 2),
        lambda t: 100 + 30 * (t / HOUR % 1),
        lambda t: 200 - t / HOUR,
    ],
    ids=["level", "step", "wave", "sawtooth", "fall"],
)
def test_what_does_not_rise_steadily_has_no_trend(shape: object) -> None:
    assert callable(shape)
    assert trend([(float(t), shape(t)) for t in range(0, int(6 * HOUR), 60)]) is None


def test_a_hole_in_the_series_gives_no_trend() -> None:
    whole = line(10)
    assert trend(whole) is not None
    assert trend(whole[:60] + whole[-60:]) is None


@given(ANYTHING, st.floats(), st.booleans())
def test_nothing_makes_it_raise(points: list[Point], limit: float, floors: bool) -> None:
    slope(points)
    forecast(trend(points, floors=floors), limit)
    forecast(fall(points), limit)


@given(st.lists(st.integers(80, 120), min_size=60, max_size=80))
def test_a_trend_rises_and_its_rates_are_in_order(steps: list[int]) -> None:
    found = trend([(60.0 * number, float(sum(steps[:number]))) for number in range(len(steps))])
    assert found is not None
    assert 0 < found.low <= found.high
    assert found.begun <= found.until
    assert found.slowing <= 1


@given(st.lists(st.integers(1, 1000), min_size=18, max_size=80))
def test_a_fall_is_never_called_a_rise(steps: list[int]) -> None:
    level, points = 0.0, []
    for number, step in enumerate(steps):
        level -= step
        points.append((60.0 * number, level))
    assert trend(points) is None
    assert slope(points) < 0


@given(
    st.lists(st.integers(-500, 1000), min_size=18, max_size=60),
    st.sampled_from([2.0**-10, 0.5, 1.0, 4.0, 1024.0]),
    st.integers(-(2**20), 2**20),
)
def test_units_and_origins_do_not_matter(steps: list[int], scale: float, shift: int) -> None:
    level, points = 0, []
    for number, step in enumerate(steps):
        level += step
        points.append((64.0 * number, float(level)))
    moved = [(at + shift, value * scale) for at, value in points]
    one, two = trend(points), trend(moved)
    assert (one is None) == (two is None)
    assert slope(moved) == pytest.approx(slope(points) * scale)
    if one is not None and two is not None:
        assert two.rate == pytest.approx(one.rate * scale)
        assert two.begun == pytest.approx(one.begun + shift)


@given(st.permutations(line(10, hours=1)))
def test_the_order_of_the_points_does_not_matter(points: list[Point]) -> None:
    assert trend(points) == trend(line(10, hours=1))
