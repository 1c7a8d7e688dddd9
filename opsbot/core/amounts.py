"""Durations and sizes as people write them: `90s`, `1h30m`, `7d`; `512MiB`."""

import re
from datetime import timedelta

_MICROSECONDS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)
_SIZE = re.compile(r"(\d+) ?(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)", re.ASCII)
_BYTES = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_DIGITS_AT_MOST = 19


def parse_duration(text: str) -> timedelta:
    """Parse a duration, the greatest unit (d, h, m, s, ms) first: `1h30m`, `500ms`.

    Raises:
        ValueError: it is not written so, or is longer than a timedelta holds.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"not a duration: {text!r}")
    parts = match.groups(default="0")
    if max(map(len, parts)) > _DIGITS_AT_MOST:
        raise ValueError(f"too long a duration: {text!r}")
    total = sum(int(part) * unit for part, unit in zip(parts, _MICROSECONDS.values(), strict=True))
    try:
        return timedelta(microseconds=total)
    except OverflowError as error:
        raise ValueError(f"too long a duration: {text!r}") from error


def show_duration(duration: timedelta) -> str:
    """Format a duration as `parse_duration` reads it, cut to milliseconds."""
    left = duration // timedelta(microseconds=1)
    words = []
    for unit, size in _MICROSECONDS.items():
        count, left = divmod(left, size)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"


def parse_size(text: str) -> int:
    """Parse a size in bytes: `512MiB` (powers of 1024), `50MB` (powers of 1000).

    Raises:
        ValueError: it is not written so.
    """
    match = _SIZE.fullmatch(text)
    if match is None or len(match[1]) > _DIGITS_AT_MOST:
        raise ValueError(f"not a size: {text!r}")
    return int(match[1]) * _BYTES[match[2]]


def show_size(size: int) -> str:
    """The size in the greatest unit (powers of 1024) that says it exactly."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"
