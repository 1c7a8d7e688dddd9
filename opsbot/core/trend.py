"""Trends: a robust slope, whether it is steady, and when it reaches a limit.

A series is cut into `PARTS` equal spans of time. It is steady where each part lies above the one before by a fair
share of the whole rise: neither a step nor a wave nor noise does that. What slows down is known by its second half
rising less than its first. All of it is the same whatever the unit, and whatever the clock's origin.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

Point = tuple[float, float]
"""Seconds, and the figure then."""

PARTS = 6
FAIR_SHARE = 0.3
"""Of the mean rise from part to part, the least that each one must have: noise seldom does, a wave or a step never."""
REACH = 4.0
"""How many times the span that was seen a forecast may reach. Beyond, it would be a guess."""
_THINNED = 60
_LEAST_IN_PART = 3
_NO_FIGURE = 1e18
_SLOWING = 0.8
"""The second half of a straight line rises as much as the first; below this, it levels off."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A steady rise. Rates are per second, times in seconds.

    low, high: the slower and the faster of the rates seen from part to part, the outermost left out. slowing: how much
    the second half rose for each unit that the first did, at most 1.
    """

    rate: float
    low: float
    high: float
    begun: float
    until: float
    before: float
    """The level at `begun`."""
    level: float
    """The level at `until`."""
    slowing: float = 1.0

    @property
    def span(self) -> float:
        return self.until - self.begun

    @property
    def levels_off(self) -> bool:
        return self.slowing < _SLOWING

    def negated(self) -> "Trend":
        """The same of the negative figure: a fall as a rise, and the reverse."""
        return Trend(-self.rate, -self.high, -self.low, self.begun, self.until, -self.before, -self.level, self.slowing)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds from the last sample until the limit is reached."""

    likely: float
    soonest: float
    latest: float


def _in_order(points: Sequence[Point]) -> list[Point]:
    """By time; without what no figure can be, on which arithmetic fails."""
    return sorted((at, value) for at, value in points if abs(at) < _NO_FIGURE and abs(value) < _NO_FIGURE)


def thin(points: Sequence[Point], most: int = _THINNED) -> list[Point]:
    """At most so many points, medians of equal spans of time; in order of time."""
    ordered = _in_order(points)
    if len(ordered) <= most:
        return ordered
    return [(median(at for at, _ in part), median(v for _, v in part)) for part in _spans(ordered, most) if part]


def _spans(ordered: Sequence[Point], count: int) -> list[Sequence[Point]]:
    begun, until = ordered[0][0], ordered[-1][0]
    width = (until - begun) / count
    cuts = [bisect_left(ordered, (begun + width * number,)) for number in range(1, count)]
    return [ordered[one:two] for one, two in pairwise([0, *cuts, len(ordered)])]


def slope(points: Sequence[Point]) -> float:
    """The rate a second: the median slope of all pairs (Theil 1950, Sen 1968).

    Nearly a third of the points may be anything at all without moving it. Long series are thinned first.
    """
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in combinations(thin(points), 2) if t > s]
    return median(slopes) if slopes else 0.0


def floor(points: Sequence[Point]) -> float:
    """The lowest decile: the base of a sawtooth, unmoved by spikes."""
    values = sorted(value for _, value in points)
    return values[len(values) // 10]


def middle(points: Sequence[Point]) -> float:
    return median(value for _, value in points)


def median(values: Iterable[float]) -> float:
    """The median. The standard library's imports fractions and decimals: 2 MB."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def trend(points: Sequence[Point], *, floors: bool = False) -> Trend | None:
    """The steady rise of a series; None where it does not rise, or not steadily.

    floors: judge the lower edge of it, which is what a garbage collector leaves behind.
    """
    ordered = _in_order(points)
    if len(ordered) < PARTS * _LEAST_IN_PART or ordered[-1][0] <= ordered[0][0]:
        return None
    parts = _spans(ordered, PARTS)
    if min(map(len, parts)) < _LEAST_IN_PART:
        return None  # a hole: what happened in it is not known
    level_of = floor if floors else middle
    levels = [level_of(part) for part in parts]
    rises = [later - earlier for earlier, later in pairwise(levels)]
    whole = levels[-1] - levels[0]
    if min(rises) <= 0 or min(rises) < FAIR_SHARE * whole / len(rises):
        return None
    begun, until = ordered[0][0], ordered[-1][0]
    width = (until - begun) / PARTS
    rates = sorted(rise / width for rise in rises)
    half = len(rises) // 2
    first, second = sum(rises[:half]), sum(rises[-half:])
    rate = slope([(begun + width * (number + 0.5), level) for number, level in enumerate(levels)])
    if first < second * _SLOWING:
        rate = second / half / width  # it goes faster and faster: what counts is how fast it goes by now
    return Trend(
        rate,
        rates[1],
        rates[-2],
        begun,
        until,
        level_of(_tilted(parts[0], rate, begun)),
        level_of(_tilted(parts[-1], rate, until)),
        min(1.0, second / first),
    )


def _tilted(points: Sequence[Point], rate: float, at: float) -> list[Point]:
    """Where they would lie at one moment, the rise taken out."""
    return [(when, value + rate * (at - when)) for when, value in points]


def fall(points: Sequence[Point]) -> Trend | None:
    """The steady fall of a series; rates are negative."""
    found = trend([(at, -value) for at, value in points])
    return None if found is None else found.negated()


def forecast(found: Trend | None, limit: float, now: float | None = None, reach: float = REACH) -> Forecast | None:
    """When it reaches the limit; None if never, or too far ahead to forecast.

    limit: above the level for a rise, below it for a fall. now: the level now, where that is known better. reach: how
    many times the span that was seen may be foretold. What slows down is taken to go on slowing down: if that never
    gets there, there is no forecast.
    """
    if found is None or found.rate == 0:
        return None
    left = limit - (found.level if now is None else now)
    if left / found.rate <= 0:
        return Forecast(0.0, 0.0, 0.0)
    straight, slowed = left / found.rate, _slowed(found, left)
    if slowed is None or slowed > reach * found.span:
        return None
    likely = slowed if found.levels_off else straight
    edges = (left / found.low, left / found.high, likely)
    return Forecast(likely, min(edges), max(*edges, slowed))


def _slowed(found: Trend, left: float) -> float | None:
    """Seconds until `left` is gone if the rate keeps decaying; None for never."""
    if found.slowing >= 1:
        return left / found.rate
    if found.slowing <= 0:
        return None
    # The rate decays with this time constant: the middles of the two halves lie half the span apart.
    constant = found.span * (PARTS // 2) / PARTS / -math.log(found.slowing)
    # The mean rate is that of the middle; by the end it has fallen off for half the span more.
    last = found.rate * math.exp(-found.span / 2 / constant)
    share = left / (last * constant) if last else math.inf
    return -constant * math.log1p(-share) if share < 1 else None
