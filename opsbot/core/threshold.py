"""Thresholds with hysteresis and delays.

`judge` folds one figure after another into a `ThresholdState`, which does not change between the two lines.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

GAP = timedelta(minutes=5)
"""After so long without a figure it may have been under the line meanwhile, so the while begins again."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Bad at or beyond `bad` for `sustained`; recovered at or within `well` for `settled`.

    Beyond means above, or below where `well` is the greater one.
    """

    bad: float
    well: float
    sustained: timedelta = timedelta(minutes=5)
    settled: timedelta = timedelta(minutes=2)

    def is_bad(self, value: float) -> bool:
        return value <= self.bad if self.well > self.bad else value >= self.bad

    def is_well(self, value: float) -> bool:
        return value >= self.well if self.well > self.bad else value <= self.well


@dataclass(frozen=True, slots=True)
class ThresholdState:
    """since: when a stretch began that may change it. seen: the last figure."""

    bad: bool = False
    since: datetime | None = None
    seen: datetime | None = None


def judge(
    standing: ThresholdState, value: float, at: datetime, threshold: Threshold, gap: timedelta = GAP
) -> ThresholdState:
    """The state after one more figure; compare `bad` to find a change.

    gap: the longest time between two figures that counts as continuous.
    """
    turning = threshold.is_well(value) if standing.bad else threshold.is_bad(value)
    if not turning:
        return ThresholdState(standing.bad, None, at)
    watched = standing.seen is not None and timedelta(0) <= at - standing.seen <= gap
    since = standing.since if standing.since is not None and watched else at
    if at - since >= (threshold.settled if standing.bad else threshold.sustained):
        return ThresholdState(not standing.bad, None, at)
    return ThresholdState(standing.bad, since, at)
