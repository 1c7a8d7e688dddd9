"""Maintenance windows: when each begins and ends, and what it delays.

A window begins at a time of day in its zone and lasts so long by any clock. A beginning that the day skips or has twice
(a change to or from summer time) is read as RFC 5545, 3.3.5, reads one: a skipped time by the offset that held before
the gap, a doubled one as the first of the two. `fold=0` of `datetime` means just that (PEP 495).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from heapq import merge
from itertools import islice
from typing import Annotated

from opsbot.core.inhibitors import InhibitorCode
from opsbot.core.keys import DAY, HOUR, MINUTE, Key, ServiceName
from opsbot.core.message import Message, message

CalendarDay = date
"""`date` under a name that the field of that name does not hide."""


Weekday = StrEnum("Weekday", "MON TUE WED THU FRI SAT SUN")
"""Days of the week, as `date.weekday` counts them."""
WEEK = tuple(Weekday)


class WindowDeploys(StrEnum):
    """What a window does to automatic deploys of its services."""

    ALLOW = "allow"
    HOLD = "hold"
    """None while it lasts."""
    ONLY = "only"
    """None but while it lasts."""


@dataclass(frozen=True, slots=True)
class Window:
    """Maintenance windows: times at which nobody is notified, nothing is deployed, or automatic recovery is off.

    `/windows` shows the next ones.
    """

    name: Annotated[str, Key(what="a short name", example="backup", most=64)]
    """What it is called in messages; each has its own."""
    start: time
    """When it begins, on a clock in `timezone`. A time that a change to summer time skips is taken as that much after
    the change; of a time that comes twice, the first counts."""
    duration: Annotated[timedelta, Key(least=MINUTE, most=6 * DAY + 23 * HOUR, example="2h")]
    """How long it lasts, over midnight too; two hours are two hours also when the clocks change."""
    timezone: tzinfo = UTC
    """Whose clock `start` is on, by its IANA name. The default is the same on every host; name your own to have the
    window follow summer time."""
    days: Annotated[
        tuple[Weekday, ...],
        Key(what="an array of weekdays", example='["sat", "sun"]', least=1, once=True, unset="`date` must be given"),
    ] = ()
    """The days of the week on which it begins."""
    date: Annotated[CalendarDay | None, Key(unset="`days` must be given")] = None
    """The one day on which it begins."""
    services: Annotated[tuple[ServiceName, ...], Key(what="an array of services", once=True)] = ()
    """What it is about. Empty: every service, and the host itself."""
    mute: bool = True
    """Alerts wait as under a silence. What opened and resolved meanwhile is one line at the end; what is still open
    then is sent then. On by default: that is what most windows are for."""
    deploys: WindowDeploys = WindowDeploys.ALLOW
    """What automatic deploys do. `"allow"`: nothing special. `"hold"`: they wait for the end. `"only"`: they wait for a
    window. A person may deploy at any time; a deploy in progress is finished."""
    recovery: bool = True
    """`false`: nothing is restarted or rolled back automatically while it lasts, for manual work. On by default: a
    service that fails in a quiet night should be up in the morning."""

    def covers(self, service: str) -> bool:
        return not self.services or service in self.services


@dataclass(frozen=True, slots=True)
class Span:
    """One occurrence of a window: from `begin`, up to and without `end`; both UTC."""

    window: Window
    begin: datetime
    end: datetime

    def holds(self, now: datetime) -> bool:
        return self.begin <= now < self.end


def spans(window: Window, now: datetime) -> Iterator[Span]:
    """The occurrences that are not over at `now`, in order; possibly endless."""
    previous: datetime | None = None
    for day in _days(window, now):
        begin = datetime.combine(day, window.start, window.timezone).astimezone(UTC)
        end = begin + window.duration
        # Where a whole day was skipped (Samoa, 30 December 2011), two dates are the same moment.
        if end > now and begin != previous:
            yield Span(window, begin, end)
        previous = begin


def _days(window: Window, now: datetime) -> Iterator[date]:
    if window.date is not None:
        yield window.date
        return
    # A day earlier than need be: no offset moves a beginning further than that.
    day = (now - window.duration).astimezone(window.timezone).date() - DAY
    while window.days:
        if WEEK[day.weekday()] in window.days:
            yield day
        day += DAY


def active(windows: Iterable[Window], now: datetime) -> list[Span]:
    """The windows that are open at `now`, in the order of the configuration."""
    found = (next(spans(window, now), None) for window in windows)
    return [span for span in found if span is not None and span.holds(now)]


def coming(windows: Iterable[Window], now: datetime, count: int = 3) -> list[Span]:
    """The next occurrences that have not begun, soonest first."""
    every = merge(*(spans(window, now) for window in windows), key=lambda span: span.begin)
    return list(islice((span for span in every if span.begin > now), count))


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The windows that are open, and the next ones."""

    active: tuple[Span, ...] = ()
    coming: tuple[Span, ...] = ()


def maintenance(windows: Iterable[Window], now: datetime) -> Maintenance:
    """What `/windows` shows."""
    known = tuple(windows)
    return Maintenance(tuple(active(known, now)), tuple(coming(known, now)))


def until(windows: Iterable[Window], now: datetime, latest: datetime) -> list[Span]:
    """Every occurrence that is open or begins up to `latest`, by window."""
    found = []
    for window in windows:
        for span in spans(window, now):
            if span.begin > latest:
                break
            found.append(span)
    return found


def keeps_deploys(windows: Iterable[Window], service: str, now: datetime) -> Message | None:
    """Why an automatic deploy of the service waits; None where it may begin."""
    ours = [window for window in windows if window.covers(service)]
    for span in active(ours, now):
        if span.window.deploys is WindowDeploys.HOLD:
            return message(InhibitorCode.WINDOW_HOLDS_DEPLOYS, window=span.window.name, until=span.end)
    only = [window for window in ours if window.deploys is WindowDeploys.ONLY]
    if not only or active(only, now):
        return None
    following = coming(only, now, 1)
    if not following:
        return message(InhibitorCode.NO_WINDOW_FOR_DEPLOYS, windows=tuple(window.name for window in only))
    name, begins = following[0].window.name, following[0].begin
    return message(InhibitorCode.DEPLOYS_IN_WINDOW_ONLY, window=name, begins=begins)


def keeps_recovery(windows: Iterable[Window], service: str, now: datetime) -> Message | None:
    """Why recovery leaves the service alone; None where it may act."""
    ours = [window for window in windows if window.covers(service) and not window.recovery]
    return next(
        (message(InhibitorCode.WINDOW, window=span.window.name, until=span.end) for span in active(ours, now)), None
    )
