"""Values in words, the same in Discord, on the command line and in the logs."""

import re
from datetime import UTC, datetime, timedelta

_TIMES = re.compile(r"<t:(\d{1,11}):[tTdDfFR]>")
_UNITS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0))


def duration(length: timedelta | float) -> str:
    """A length of time in its two largest units: "2 d 3 h", "1 m 5 s", "3.2 s", "40 ms"."""
    left = length.total_seconds() if isinstance(length, timedelta) else length
    if left < 1:
        return f"{left * 1000:.0f} ms"
    if left < 10:  # noqa: PLR2004 - tenths of a second are of interest up to here
        return f"{left:.1f} s".replace(".0 s", " s")
    left = round(left)
    parts = []
    for unit, size in _UNITS:
        count, left = divmod(left, int(size))
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def size(count: float) -> str:
    """Bytes in words: "512 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - the unit's own step
            return f"{count:.0f} {unit}" if unit in {"B", "KiB"} or count >= 100 else f"{count:.1f} {unit}"  # noqa: PLR2004
        count /= 1024
    return f"{count:.1f} TiB"


def whose(part: str, *, manager: bool) -> str:
    """Return the prefix of a log line: the unit it is from, and whether the manager wrote it."""
    unit = f"{part.removesuffix('.service')}: " if part else ""
    return f"{unit}[systemd] " if manager else unit


def discord_time(at: datetime) -> str:
    """A moment as Discord shows it to each reader by their own clock; elsewhere `plain_times` does."""
    return f"<t:{at.timestamp():.0f}:f>"


def plain_times(text: str) -> str:
    """The text with Discord's timestamps (`<t:1772366400:R>`) written out, for those who are not on Discord."""
    return _TIMES.sub(lambda found: f"{datetime.fromtimestamp(int(found[1]), UTC):%Y-%m-%d %H:%M} UTC", text)


def between(begin: datetime, end: datetime) -> str:
    """The length of time from one to the other; none where the clock was put back meanwhile."""
    return duration(max(end - begin, timedelta(0)))


def since(at: datetime, now: datetime) -> str:
    """How long ago: "5 m ago"."""
    return f"{between(at, now)} ago"


def clip(text: str, most: int) -> str:
    """At most so many characters, an ellipsis where some are missing."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
