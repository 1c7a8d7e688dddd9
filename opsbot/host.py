"""What the host and a service's processes use: CPU, memory, disks, by psutil.

All of it reads files, if those of /proc: call it in a thread. Where /proc is restricted (systemd's ProcSubset=pid hides
all but the processes), a figure is None, or taken from a system call that tells it as well.
"""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from opsbot.control_groups import group_figures

_PROCESSES_AT_MOST = 256
_CHILDREN_FOR = 5.0
"""Seconds that the tree of processes is good for: to find anyone's children, all processes are looked at."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system a path lies on, in bytes. `free` is what an ordinary user may still write."""

    path: Path
    total: int
    used: int
    free: int


@dataclass(frozen=True, slots=True)
class HostFigures:
    """The host at one moment. Sizes are bytes; None is what this host does not tell.

    cpu: percent of all cores since the last look. load: the runnable processes over 1, 5 and 15 minutes. uptime: in
    seconds.
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


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """A service's main process and its children, at one moment.

    cpu: percent of one core since the last look, of all of them. memory: bytes resident, of all of them. threads, fds:
    of the main process; None where they may not be read. children: how many there are, children's children counted.
    """

    cpu: float
    memory: int
    threads: int | None
    fds: int | None
    started_at: datetime
    children: int
    cpu_seconds: float = 0.0
    """CPU the main process has used since its start; where it has a control group, all that was in it."""
    tasks: int | None = None
    """Processes and threads in its control group, where that is told."""


def host_figures(paths: Sequence[Path] = ()) -> HostFigures:
    """The host now. `disks`: the file systems of these paths, each once; a path that is not there is left out."""
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
        boot_time=datetime.now(UTC) - timedelta(seconds=uptime),
        uptime=uptime,
    )


def _cpu() -> float | None:
    try:
        return float(psutil.cpu_percent(interval=None))
    except (OSError, psutil.Error, IndexError):
        return None


def _memory() -> tuple[int | None, int | None, int | None]:
    """Used, total and available."""
    try:
        memory = psutil.virtual_memory()
    except (OSError, psutil.Error, KeyError):
        page = os.sysconf("SC_PAGE_SIZE")
        total = os.sysconf("SC_PHYS_PAGES") * page
        free = os.sysconf("SC_AVPHYS_PAGES") * page
        return total - free, total, free  # sysinfo(2): it counts caches as used
    return int(memory.total - memory.available), int(memory.total), int(memory.available)


def _swap() -> tuple[int | None, int | None]:
    # psutil.swap_memory also reads /proc/vmstat, and warns where it may not.
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


class ProcessMeter:
    """Measures processes; it remembers the last look at each, for CPU since then."""

    def __init__(self) -> None:
        """No process was looked at yet."""
        self._lock = threading.Lock()
        self._known: dict[int, psutil.Process] = {}
        self._children: Mapping[int, Sequence[int]] = {}
        self._children_until = 0.0

    def figures(self, pid: int) -> ProcessFigures | None:
        """The figures of a process and its children; None when it is gone, or a zombie. Any thread may ask."""
        with self._lock:
            return self._figures(pid)

    def _figures(self, pid: int) -> ProcessFigures | None:
        main = self._process(pid)
        if main is None:
            return None
        try:
            with main.oneshot():
                if main.status() == psutil.STATUS_ZOMBIE:
                    self._forget(pid)
                    return None
                cpu, memory = main.cpu_percent(), main.memory_info().rss
                threads, times = main.num_threads(), main.cpu_times()
                started_at = datetime.fromtimestamp(main.create_time(), UTC)
        except (psutil.Error, OSError):
            self._forget(pid)
            return None
        children = self._children_of(main)
        for child in children:
            with suppress(psutil.Error, OSError), child.oneshot():
                cpu += child.cpu_percent()
                memory += child.memory_info().rss
        return ProcessFigures(cpu, memory, threads, _fds(pid), started_at, len(children), times.user + times.system)

    def _process(self, pid: int) -> psutil.Process | None:
        known = self._known.get(pid)
        try:
            if known is not None and known.is_running():
                return known
            if len(self._known) >= _PROCESSES_AT_MOST:
                self._known.clear()
            process = psutil.Process(pid)
            process.cpu_percent()  # the first look only sets the mark
        except (psutil.Error, OSError):
            self._forget(pid)
            return None
        self._known[pid] = process
        return process

    def _children_of(self, main: psutil.Process) -> list[psutil.Process]:
        now = time.monotonic()
        if now >= self._children_until:
            self._children, self._children_until = _by_parent(), now + _CHILDREN_FOR
        pids = list(self._children.get(main.pid, ()))
        for pid in pids:  # it grows while it is gone through: children's children
            pids += self._children.get(pid, ())
        return [child for child in map(self._process, pids) if child is not None]

    def _forget(self, pid: int) -> None:
        self._known.pop(pid, None)


def _by_parent() -> dict[int, list[int]]:
    """The processes of each parent, of all that may be seen."""
    found: dict[int, list[int]] = {}
    for pid in psutil.pids():
        with suppress(OSError, ValueError):
            fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
            try:
                stat = os.read(fd, 512)
            finally:
                os.close(fd)
            found.setdefault(int(stat[stat.rfind(b")") + 1 :].split(None, 2)[1]), []).append(pid)
    return found


def _fds(pid: int) -> int | None:
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            return sum(1 for _ in entries)
    except OSError:
        return None


_meter = ProcessMeter()


def process_figures(pid: int) -> ProcessFigures | None:
    """The figures of a process and its children since the last look of anyone here; None when it is gone."""
    return _meter.figures(pid)


def service_figures(pid: int, groups: Sequence[str], started_at: datetime | None) -> ProcessFigures | None:
    """The figures of a service: those of its control groups, and of its main process what these do not tell.

    None when the process is gone, or may not be seen and has no control group that tells what it uses.
    """
    main = process_figures(pid)
    if not groups:
        return main
    found = group_figures(groups)
    if main is None:
        # A hardened opsbot may not see other users' processes (ProtectProc=invisible); their control groups it may.
        if found.cpu is None or found.memory is None or started_at is None:
            return None
        main = ProcessFigures(0.0, 0, None, None, started_at, 0)
    return replace(
        main,
        cpu=main.cpu if found.cpu is None else found.cpu,
        cpu_seconds=main.cpu_seconds if found.cpu_seconds is None else found.cpu_seconds,
        memory=main.memory if found.memory is None else found.memory,
        tasks=found.tasks,
    )
