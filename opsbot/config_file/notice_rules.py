"""What no single key of windows and notifiers can say."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from opsbot.config_file.lines import Path as KeyPath
from opsbot.core.amounts import show_duration
from opsbot.core.windows import WEEK

Breach = tuple[KeyPath, str]
_CHANGE = timedelta(hours=1)
"""What a change of the clock takes from the time between two beginnings."""


def window_breaches(windows: list[Mapping[str, Any]], services: Mapping[str, Any]) -> Iterator[Breach]:
    """Rules of each window and between them. Values that are wrong by themselves were left out."""
    yield from repeated_names(windows, ("windows",), "window")
    for number, window in enumerate(windows):
        where: KeyPath = ("windows", number)
        yield from _when(window, where)
        yield from named_services(window, where, services)


def repeated_names(tables: Sequence[Mapping[str, Any]], where: KeyPath, what: str) -> Iterator[Breach]:
    """Tables of an array with the name of an earlier one."""
    names: dict[str, int] = {}
    for number, table in enumerate(tables):
        name = table.get("name")
        if isinstance(name, str) and names.setdefault(name, number) != number:
            yield (*where, number, "name"), f"is the name of {what} {names[name] + 1} too; give each its own"


def _when(window: Mapping[str, Any], where: KeyPath) -> Iterator[Breach]:
    if "days" in window and "date" in window:
        yield (*where, "date"), "cannot be given together with days; keep one of the two"
    elif "days" not in window and "date" not in window:
        said = 'is missing, and so is date; name the days of the week it begins on, for example days = ["sat", "sun"]'
        yield (*where, "days"), said
    days, duration = window.get("days"), window.get("duration")
    if not days or duration is None:
        return
    on = sorted({WEEK.index(day) for day in days})
    gap = min((after - before) % 7 or 7 for before, after in zip(on, [*on[1:], on[0]], strict=True))
    most = timedelta(days=gap) - _CHANGE
    if duration > most:
        said = f'leaves no time between two of them: it would never end; write at most "{show_duration(most)}"'
        yield (*where, "duration"), said


def named_services(table: Mapping[str, Any], where: KeyPath, services: Mapping[str, Any]) -> Iterator[Breach]:
    """Services that are named and not configured."""
    for index, name in enumerate(table.get("services") or ()):
        if name not in services:
            near = get_close_matches(name, services, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(services)}"
            yield (*where, "services", index), f'"{name}" is not a service; {hint}'
