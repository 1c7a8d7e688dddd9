"""One figure of the host, whose subject is `host:WHAT`, and its threshold."""

from dataclasses import dataclass

from opsbot.core.subjects import HOST as HOST  # noqa: PLC0414 - gauges are named by it
from opsbot.core.threshold import Threshold
from opsbot.core.trend import Forecast, Point, forecast, trend

MARGIN = 5.0
"""Percentage points between the lines for bad and recovered."""
_FIFTH = 5
HOUR = 3600.0
FILLING = (24 * HOUR, 6 * HOUR, HOUR)
"""The spans, in seconds, from which a forecast is made."""
_WHOLE = 0.8


@dataclass(frozen=True, slots=True)
class Gauge:
    """The current value of a figure, in the threshold's unit.

    cause: what is wrong, where something is. words: the value as text. next_step: what to do.
    """

    subject: str
    value: float
    threshold: Threshold
    cause: str
    words: str
    next_step: str
    ahead: Forecast | None = None
    users: "Users | None" = None


@dataclass(frozen=True, slots=True)
class Users:
    """What to list when it is bad: processes, or folders of a file system."""

    memory: bool = False
    disk: str = ""
    """The mount point."""


def lines_of(bad: float) -> tuple[float, float]:
    """The two lines of a figure with an upper bound: bad above, recovered below."""
    return bad, bad - min(MARGIN, bad / _FIFTH)


def filling(points: list[Point], limit: float, now: float) -> Forecast | None:
    """Forecast when a rising figure reaches its limit: the soonest of all spans."""
    if not points:
        return None
    last = points[-1][0]
    found = []
    for span in FILLING:
        window = [point for point in points if point[0] >= last - span]
        if window[-1][0] - window[0][0] >= span * _WHOLE:
            found.append(forecast(trend(window), limit, now))
    return min((each for each in found if each is not None), key=lambda each: each.likely, default=None)


def about(seconds: float) -> str:
    """Round a duration for a forecast: "about 9 hours", "about 3 days"."""
    for unit, size in (("day", 24 * HOUR), ("hour", HOUR), ("minute", 60.0)):
        count = seconds / size
        if count >= 1.5:  # noqa: PLR2004 - below, the smaller unit says more
            return f"about {count:.0f} {unit}s"
    return "about a minute"


def in_about(ahead: Forecast) -> str:
    """A forecast in words, with its uncertainty where that is more than rounding."""
    words = f"in {about(ahead.likely)}"
    soonest, latest = about(ahead.soonest), about(ahead.latest)
    if soonest == latest:
        return words
    return f"{words} ({soonest.removeprefix('about ')} to {latest.removeprefix('about ')})"
