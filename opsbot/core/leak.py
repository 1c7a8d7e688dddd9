"""Detect memory leaks by the shape of memory use over hours, never by its amount.

A leak is a steady rise of the lower edge, in a straight line, to where the run has never been before. So a sawtooth
with level minima is none and one with rising minima is; a cache that levels off is none, nor a step, a wave or noise.
Each run of a service is judged separately.

When it is said depends on what is at stake: once a limit will be reached within twice the span that was seen, while two
thirds of the way are still ahead. Until a whole day was seen, within half of it: a morning's rise looks just like a
leak until the evening. What rises, but has taken up less than a third of the room it has, is never called a leak: most
of what rises stops by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from opsbot.core.trend import Forecast, Point, Trend, forecast, trend

HOUR = 3600.0
WARM_UP = 0.25 * HOUR
"""Not judged: after its start a service loads what it needs."""
LEAST_SPAN = 1.75 * HOUR
SPANS = (96 * HOUR, 48 * HOUR, 24 * HOUR, 12 * HOUR, 6 * HOUR, 2 * HOUR)
"""How far back is looked beside the whole run: the longest first, for it is the surest."""
_SHORTER = 0.7
"""Of the whole run: a span that is hardly shorter says nothing new."""
_DAY = 23 * HOUR
_REACH, _REACH_WITHIN_A_DAY = 2.0, 0.5
"""How many times the span that was seen the end may lie ahead."""
_STRAIGHT = 0.95
"""What levels off over a long span looks nearly straight over a short one, where little of the bend is: not quite."""
_MATERIAL = 0.05
"""Of the level, the least that a rise must make up."""
_NEW_HEIGHT = 0.02
"""By how much the lower edge must lie above the highest that the run was at before the rise."""
WITHIN = 7 * 24 * HOUR


class GrowthShape(StrEnum):
    """What the memory of a run does."""

    UNKNOWN = "unknown"  # it was not seen for long enough
    LEVEL = "level"  # no steady rise: level, noise, a wave, a step, a sawtooth with level minima
    LEVELS_OFF = "levels off"  # it rises, ever more slowly: a cache that fills
    GROWS = "grows"  # it rises steadily, but no limit is near
    LEAKS = "leaks"  # it rises steadily, and reaches its limit


@dataclass(frozen=True, slots=True)
class LeakVerdict:
    """The judgement on one run. trend: its rise. ahead: the forecast."""

    shape: GrowthShape
    trend: Trend | None = None
    ahead: Forecast | None = None


def judge(points: Sequence[Point], started: float, limit: float | None, within: float = WITHIN) -> LeakVerdict:
    """Judge a run that began at `started` by its samples (seconds, bytes).

    limit: what it may take, None where nothing limits it. within: a leak that needs longer than this many seconds is
    left to the next deploy.
    """
    run = sorted((at, value) for at, value in points if at >= started + WARM_UP)
    seen = run[-1][0] - run[0][0] if run else 0.0
    if seen < LEAST_SPAN:
        return LeakVerdict(GrowthShape.UNKNOWN)
    slowing: Trend | None = None
    for span in (seen, *(span for span in SPANS if span < seen * _SHORTER)):
        found = _rise(run, run[-1][0] - span)
        if found is None:
            continue
        if found.levels_off or (slowing is not None and found.slowing < _STRAIGHT):
            slowing = slowing or found
            continue
        ahead = None if limit is None else forecast(found, limit, reach=_REACH)
        reach = _REACH if found.span >= _DAY else _REACH_WITHIN_A_DAY
        near = ahead is not None and ahead.likely <= min(within, reach * found.span)
        return LeakVerdict(GrowthShape.LEAKS if near else GrowthShape.GROWS, found, ahead)
    return LeakVerdict(GrowthShape.LEVEL) if slowing is None else LeakVerdict(GrowthShape.LEVELS_OFF, slowing)


def _rise(run: Sequence[Point], since: float) -> Trend | None:
    window = [point for point in run if point[0] >= since]
    found = trend(window, floors=True)
    if found is None or found.level - found.before < _MATERIAL * abs(found.before):
        return None
    earlier = [value for at, value in run if at < since]
    if len(earlier) > 1:
        earlier.sort()
        highest = earlier[-1 - len(earlier) // 50]  # spikes do not count
        if found.level < highest * (1 + _NEW_HEIGHT):
            return None  # it has been there before, and came back
    return found
