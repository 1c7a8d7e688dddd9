"""Kernel figures of the host: pressure, stolen time, open files, clock error.

A figure is None if this kernel or container does not report it. Everything here blocks.
"""

import os
import resource
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_MAXERROR = 24
"""Offset in struct timex: after an int (padded) and two 8-byte longs (adjtimex(2))."""
_TIMEX_BYTES = 512
"""Larger than the structure."""


@dataclass(frozen=True, slots=True)
class Times:
    """CPU time since boot in ticks: total and stolen (proc_stat(5))."""

    total: int
    stolen: int

    def stolen_since(self, before: "Times") -> float | None:
        passed = self.total - before.total
        return 100 * (self.stolen - before.stolen) / passed if passed > 0 else None


def times(proc: Path = PROC) -> Times | None:
    with suppress(OSError, ValueError, IndexError):
        ticks = [int(each) for each in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        return Times(sum(ticks), ticks[7])
    return None


def memory_pressure(proc: Path = PROC) -> float | None:
    """Return the percentage of the last minute in which a task waited for memory.

    Source: proc_pressure(5), some avg60.
    """
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in (proc / "pressure/memory").read_text().splitlines() if line.startswith("some"))
        return float(next(word for word in line.split() if word.startswith("avg60=")).removeprefix("avg60="))
    return None


def files(proc: Path = PROC) -> tuple[int, int] | None:
    """Return the host's open files and their limit, if any (proc_sys_fs(5), file-nr)."""
    with suppress(OSError, ValueError):
        opened, _, most = map(int, (proc / "sys/fs/file-nr").read_text().split())
        return (opened, most) if most < 1 << 40 else None
    return None


def own_files() -> tuple[int, int] | None:
    with suppress(OSError):
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return len(os.listdir("/proc/self/fd")), most  # noqa: PTH208 - names, to be counted
    return None


def clock_error() -> float | None:
    """Return the kernel's maximum clock error in seconds (adjtimex(2), maxerror).

    It is set by the time service (chrony, systemd-timesyncd); without one it grows to 16 s and stays there.
    """
    if struct.calcsize("l") != 8:  # noqa: PLR2004 - different layout on 32 bits
        return None
    import ctypes  # noqa: PLC0415 - half a megabyte, and this is off by default

    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: only read
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(None, use_errno=True).adjtimex(timex) >= 0:
            return float(struct.unpack_from("l", timex, _MAXERROR)[0]) / 1e6
    return None
