"""What the kernel counts for the whole host: pressure, stolen time, open files, how well its clock is kept. Blocks.

A figure is None where this kernel, or this container, does not tell it.
"""

import os
import resource
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Times:
    """CPU time since the boot, in ticks: all of it, and what a hypervisor gave to others (proc_stat(5))."""

    total: int
    stolen: int

    def stolen_since(self, before: "Times") -> float | None:
        """Percent of the time since then that was stolen."""
        passed = self.total - before.total
        return 100 * (self.stolen - before.stolen) / passed if passed > 0 else None


def times(proc: Path = PROC) -> Times | None:
    """The CPU times of all cores."""
    with suppress(OSError, ValueError, IndexError):
        ticks = [int(each) for each in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        return Times(sum(ticks), ticks[7])
    return None


def memory_pressure(proc: Path = PROC) -> float | None:
    """Percent of the last minute in which some task waited for memory (proc_pressure(5): some avg60)."""
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in (proc / "pressure/memory").read_text().splitlines() if line.startswith("some"))
        return float(next(word for word in line.split() if word.startswith("avg60=")).removeprefix("avg60="))
    return None


def files(proc: Path = PROC) -> tuple[int, int] | None:
    """Open files of the host and how many there may be (proc_sys_fs(5), file-nr); None where there is no bound."""
    with suppress(OSError, ValueError):
        opened, _, most = map(int, (proc / "sys/fs/file-nr").read_text().split())
        return (opened, most) if most < 1 << 40 else None
    return None


def own_files() -> tuple[int, int] | None:
    """Open files of this process and how many it may open."""
    with suppress(OSError):
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return len(os.listdir("/proc/self/fd")), most  # noqa: PTH208 - names, to be counted
    return None


_MAXERROR = 24
"""Where struct timex has it: after an int and two longs of eight bytes, the int padded (adjtimex(2))."""
_TIMEX_BYTES = 512
"""More than the structure has."""


def clock_error() -> float | None:
    """By how many seconds the clock may be wrong at most, as the kernel reckons (adjtimex(2), maxerror).

    It is told by who keeps the clock (chrony, systemd-timesyncd); without one it grows to 16 s and stays there.
    """
    if struct.calcsize("l") != 8:  # noqa: PLR2004 - laid out otherwise on 32 bits
        return None
    import ctypes  # noqa: PLC0415 - half a megabyte, and this is off by default

    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: only read
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(None, use_errno=True).adjtimex(timex) >= 0:
            return float(struct.unpack_from("l", timex, _MAXERROR)[0]) / 1e6
    return None
