"""Chart of a service's memory with restarts, deploys, the limit and the trend."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from opsbot.chart import font
from opsbot.chart.canvas import Canvas, Colour

Point = tuple[float, float]
WIDTH, HEIGHT = 960, 400
LEFT, RIGHT, TOP, BOTTOM = 104, 24, 58, 44
BACK: Colour = (0x2B, 0x2D, 0x31)
GRID: Colour = (0x3F, 0x42, 0x48)
WORDS: Colour = (0xB5, 0xBA, 0xC1)
BRIGHT: Colour = (0xF2, 0xF3, 0xF5)
LINE: Colour = (0x58, 0xA6, 0xFF)
LIMIT: Colour = (0xF2, 0x5C, 0x54)
TREND: Colour = (0xFA, 0xA8, 0x1A)
DEPLOY: Colour = (0x57, 0xC7, 0x84)
RESTART: Colour = (0x8A, 0x8F, 0x98)
_MIB, _GIB = float(1 << 20), float(1 << 30)
_STEPS = (600, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_GAPS = 4.0
"""Samples further apart than this multiple of the usual distance have a gap between them."""
_LIMIT_SHOWN = 3.0
"""A limit further away than this multiple of the memory is omitted, because it would flatten the curve."""


@dataclass(frozen=True, slots=True)
class ChartMark:
    """An event of the service: a deploy with a label, or a restart without."""

    at: datetime
    words: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Data of the chart.

    points: seconds since the epoch, bytes. trend: its two end points.
    """

    title: str
    points: Sequence[Point]
    begin: datetime
    end: datetime
    marks: Sequence[ChartMark] = ()
    limit: float | None = None
    trend: tuple[Point, Point] | None = None
    note: str = ""
    """A short text to the right of the title."""


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: float
    end: float
    top: float

    def x(self, at: float) -> float:
        return LEFT + (at - self.begin) / (self.end - self.begin) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)


def memory_chart(memory: Memory) -> bytes:
    """Draw the chart as PNG.

    Takes tens of milliseconds and a megabyte; call it in a thread.
    """
    canvas = Canvas(WIDTH, HEIGHT, BACK)
    begin, end = memory.begin.timestamp(), memory.end.timestamp()
    points = sorted(point for point in memory.points if begin <= point[0] <= end)
    most = max([_MIB, *(value for _, value in points)])
    limit = memory.limit if memory.limit is not None and memory.limit <= most * _LIMIT_SHOWN else None
    step = _round_step(max(most, limit or 0.0) * 1.05 / 5)
    scale = _Scale(begin, max(end, begin + 60), step * math.ceil(max(most, limit or 0.0) * 1.05 / step))
    _axes(canvas, scale, step)
    _marks(canvas, scale, memory.marks)
    for stretch in _stretches(_columns(points, scale), [mark.at.timestamp() for mark in memory.marks], scale):
        canvas.curve(stretch, LINE, 2.2)
        for x, y in stretch[:1] if len(stretch) == 1 else ():
            canvas.column(int(x), y - 1.5, y + 1.5, LINE)
    if memory.trend is not None:
        canvas.curve([(scale.x(max(at, begin)), scale.y(value)) for at, value in memory.trend], TREND, 1.8, dash=6)
    if limit is not None:
        row = round(scale.y(limit))
        canvas.horizontal(LEFT, WIDTH - RIGHT, row, LIMIT, dash=5)
        canvas.text(LEFT + 6, row + 4, f"limit {amount(limit)}", LIMIT)
    canvas.text(14, 12, memory.title[: _room(memory.note)], BRIGHT)
    canvas.text(WIDTH - RIGHT - font.width(memory.note, 2), 12, memory.note, TREND if memory.trend else WORDS)
    if not points:
        canvas.text(LEFT + 30, HEIGHT // 2, "no measurements in this period", WORDS)
    return canvas.png()


def _room(note: str) -> int:
    """Return the number of characters available for the title next to the note."""
    return max(10, (WIDTH - 40 - font.width(note, 2)) // (font.ADVANCE * 2) - 2)


def _round_step(least: float) -> float:
    """Return the next greater of 1, 2, 2.5 and 5 times a power of ten, in MiB or GiB."""
    unit = _GIB if least * 5 >= _GIB else _MIB
    power = 10.0 ** math.floor(math.log10(max(least, 1.0) / unit))
    return unit * next(power * one for one in (1, 2, 2.5, 5, 10) if power * one * unit >= least * 0.999)


def amount(value: float) -> str:
    """Format bytes for an axis: "250 MiB", "1.5 GiB"."""
    size, unit = (value / _GIB, "GiB") if value >= _GIB else (value / _MIB, "MiB")
    return f"{size:.2f}".rstrip("0").rstrip(".") + f" {unit}" if size < 100 else f"{size:.0f} {unit}"  # noqa: PLR2004


def _axes(canvas: Canvas, scale: _Scale, step: float) -> None:
    for number in range(round(scale.top / step) + 1):
        row, words = round(scale.y(number * step)), amount(number * step) if number else "0"
        canvas.horizontal(LEFT, WIDTH - RIGHT, row, GRID)
        canvas.text(LEFT - 10 - font.width(words, 2), row - 7, words, WORDS)
    span = scale.end - scale.begin
    every = next((each for each in _STEPS if span / each <= 8), _STEPS[-1])  # noqa: PLR2004 - number of labels
    for number in range(math.ceil(scale.begin / every), math.floor(scale.end / every) + 1):
        at = datetime.fromtimestamp(number * every, UTC)
        column = round(scale.x(number * every))
        canvas.vertical(column, TOP, HEIGHT - BOTTOM + 5, GRID)
        midnight = at.hour == at.minute == 0
        words = f"{at:%b} {at.day}" if midnight else f"{at:%H:%M}"
        place = min(column - font.width(words, 2) // 2, WIDTH - 4 - font.width(words, 2))
        canvas.text(place, HEIGHT - BOTTOM + 10, words, BRIGHT if midnight else WORDS)
    canvas.text(14, HEIGHT - BOTTOM + 10, "UTC", RESTART)


def _marks(canvas: Canvas, scale: _Scale, marks: Sequence[ChartMark]) -> None:
    """Draw deploys with labels above, as space permits, and restarts as thin lines."""
    free = float(LEFT)
    for mark in sorted(marks, key=lambda each: each.at):
        x = scale.x(mark.at.timestamp())
        if not LEFT <= x <= WIDTH - RIGHT:
            continue
        canvas.vertical(round(x), TOP - 4, HEIGHT - BOTTOM, DEPLOY if mark.words else RESTART, dash=3)
        size = font.width(mark.words, 2)
        place = min(x - size / 2, WIDTH - RIGHT - size)
        if mark.words and place >= free - size / 2 and max(place, LEFT) >= free:
            place = max(place, LEFT)
            canvas.text(round(place), TOP - 22, mark.words, DEPLOY)
            free = place + size + 12


def _columns(points: Sequence[Point], scale: _Scale) -> list[Point]:
    """Reduce to at most two points per pixel: minimum and maximum, in order."""
    found: list[Point] = []
    bucket: list[Point] = []
    for point in points:
        if bucket and int(scale.x(point[0])) != int(scale.x(bucket[0][0])):
            found += _ends(bucket)
            bucket = []
        bucket.append(point)
    return found + (_ends(bucket) if bucket else [])


def _ends(bucket: Sequence[Point]) -> list[Point]:
    low, high = min(bucket, key=lambda point: point[1]), max(bucket, key=lambda point: point[1])
    return sorted({low, high})


def _stretches(points: Sequence[Point], cuts: Sequence[float], scale: _Scale) -> list[list[Point]]:
    """Convert to pixels; split at gaps and at restarts of the service."""
    if not points:
        return []
    steps = sorted(b - a for (a, _), (b, _) in pairwise(points))
    usual = steps[len(steps) // 2] if steps else 60.0
    gap = max(_GAPS * usual, timedelta(minutes=25).total_seconds())
    found: list[list[Point]] = [[points[0]]]
    for before, point in pairwise(points):
        if point[0] - before[0] > gap or any(before[0] < cut <= point[0] for cut in cuts):
            found.append([])
        found[-1].append(point)
    return [[(scale.x(at), scale.y(value)) for at, value in stretch] for stretch in found]
