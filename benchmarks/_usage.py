"""What another process uses, as the kernel counts it."""

import time
from pathlib import Path

_MB = 1_000_000


def cpu(pid: int) -> float:
    """Seconds of CPU of a process so far, user and system, all its threads, to the microsecond.

    The process's own CPU clock (clock_getcpuclockid(3)): utime + stime of /proc/PID/stat count in steps of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | 2)


def rss(pid: int) -> float:
    """MB (10^6 bytes) that a process holds in memory, what it shares with others included."""
    return _status(pid, "VmRSS")


def anonymous(pid: int) -> float:
    """MB of it that are its own: neither files nor shared."""
    return _status(pid, "RssAnon")


def _status(pid: int, key: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / _MB
    raise ValueError(f"/proc/{pid}/status has no {key}")
