"""Values in words, the same in Discord, on the command line and in the logs."""

import re
from datetime import datetime, timedelta

_UNITS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0))
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|d|h|m|s))")


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


def parse_duration(text: str) -> timedelta:
    """ "90s", "1h30m", "500ms" as a length of time.

    Raises:
        ValueError: the text is none; its message says what would be.
    """
    compact = text.replace(" ", "").lower()
    found = _DURATION.findall(compact)
    if not found or "".join(number + unit for number, unit in found) != compact:
        raise ValueError(f"{text!r} is no length of time; write 90s, 5m, 1h30m or 7d")
    seconds = {"ms": 0.001, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
    try:
        return timedelta(seconds=sum(float(number) * seconds[unit] for number, unit in found))
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long") from error


def size(count: float) -> str:
    """Bytes in words: "512 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - the unit's own step
            return f"{count:.0f} {unit}" if unit in {"B", "KiB"} or count >= 100 else f"{count:.1f} {unit}"  # noqa: PLR2004
        count /= 1024
    return f"{count:.1f} TiB"


def since(at: datetime, now: datetime) -> str:
    """How long ago: "5 m ago"."""
    return f"{duration(max(now - at, timedelta(0)))} ago"


def clip(text: str, most: int) -> str:
    """At most so many characters, an ellipsis where some are missing."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
