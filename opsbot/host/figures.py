"""Resource use of the host by psutil: CPU, memory, disks.

Reads files in /proc; call it in a thread. Where /proc is restricted (systemd's ProcSubset=pid hides all but
processes), a
value is None or comes from a system call.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of a path, in bytes. `free`: available to unprivileged users."""

    path: Path
    total: int
    used: int
    free: int


@dataclass(frozen=True, slots=True)
class HostFigures:
    """The host at one moment. Sizes are bytes; None if not reported.

    cpu: percent of all cores since the previous measurement. load: over 1, 5 and 15 minutes. uptime: in seconds.
    """

    cpu: float | None
    cores: int
    load: tuple[float, float, float]
    memory_used: int | None
    memory_total: int | None
    memory_available: int | None
    swap_used: int | None
    swap_total: int | None
    disks: tuple[Disk, ...]
    boot_time: datetime
    uptime: float


def booted_at() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))


def host_figures(paths: Sequence[Path] = ()) -> HostFigures:
    """Measure the host; the existing ones of these paths become `disks`, each once."""
    used, total, available = _memory()
    swap_used, swap_total = _swap()
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    return HostFigures(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        load=os.getloadavg(),
        memory_used=used,
        memory_total=total,
        memory_available=available,
        swap_used=swap_used,
        swap_total=swap_total,
        disks=_disks(paths),
        boot_time=booted_at(),
        uptime=uptime,
    )


def _cpu() -> float | None:
    import psutil  # noqa: PLC0415 - the command line shows these figures, and must start fast

    try:
        return float(psutil.cpu_percent(interval=None))
    except (OSError, psutil.Error, IndexError):
        return None


def _memory() -> tuple[int | None, int | None, int | None]:
    import psutil  # noqa: PLC0415 - likewise

    try:
        memory = psutil.virtual_memory()
    except (OSError, psutil.Error, KeyError):
        page = os.sysconf("SC_PAGE_SIZE")
        total = os.sysconf("SC_PHYS_PAGES") * page
        free = os.sysconf("SC_AVPHYS_PAGES") * page
        return total - free, total, free  # sysinfo(2) counts caches as used
    return int(memory.total - memory.available), int(memory.total), int(memory.available)


def _swap() -> tuple[int | None, int | None]:
    # psutil.swap_memory also reads /proc/vmstat and warns if it is not readable.
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None, None
    sizes = dict(line.split(":", 1) for line in text.splitlines())
    try:
        total, free = (int(sizes[key].split()[0]) * 1024 for key in ("SwapTotal", "SwapFree"))
    except (KeyError, ValueError):
        return None, None
    return total - free, total


def _disks(paths: Sequence[Path]) -> tuple[Disk, ...]:
    seen: dict[int, Disk] = {}
    for path in paths:
        with suppress(OSError):
            device = path.stat().st_dev
            if device not in seen:
                stat = os.statvfs(path)
                total, free = stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize
                seen[device] = Disk(path, total, (stat.f_blocks - stat.f_bfree) * stat.f_frsize, free)
    return tuple(seen.values())
