"""Resource use of services' processes: CPU, memory, threads.

All processes are read together, about 40 µs each, which finds the children of every service and all figures except open
files. psutil would read all of them once per service. Reads files in /proc; call it in a thread.
"""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from opsbot.host import proc_stat
from opsbot.host.cgroups import ROOT, cgroup_figures
from opsbot.host.proc_stat import DEAD, PARENT, RESIDENT, STARTED, STATE, SYSTEM_TIME, THREADS, USER_TIME

_FRESH = 0.5
"""Seconds for which one reading of all processes is shared by all callers."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CGROUPS_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """A service's main process and its children at one moment.

    cpu: percent of one core since the previous measurement, of all of them. memory: resident bytes of all of them.
    threads, fds: of the main process; None if not readable. children: number of descendants.
    """

    cpu: float
    memory: int
    threads: int | None
    fds: int | None
    started_at: datetime
    children: int
    cpu_seconds: float = 0.0
    """CPU time of the main process since its start; with a control group, of everything in it."""
    tasks: int | None = None
    """Processes and threads in the control group, if reported."""


@dataclass(frozen=True, slots=True)
class _Process:
    """cpu: seconds used so far. started: seconds since boot. memory: resident bytes."""

    gone: bool
    cpu: float
    threads: int
    started: float
    memory: int


class ServiceMeter:
    """Measures services; CPU use is since the last measurement. Thread-safe; blocks."""

    def __init__(self, fresh: float = _FRESH, cgroups: Path = ROOT) -> None:
        """fresh: seconds to share one reading. cgroups: mount point of their hierarchy."""
        self._fresh = fresh
        self._cgroups = cgroups
        self._lock = threading.Lock()
        self._at = 0.0
        self._processes: Mapping[int, _Process] = {}
        self._children: Mapping[int, Sequence[int]] = {}
        self._found: dict[int, ProcessFigures | None] = {}
        """Results computed from the last reading, shared by callers until the next."""
        self._last: dict[int, tuple[float, _Process]] = {}
        self._last_of_cgroups: dict[tuple[str, ...], tuple[float, float]] = {}
        """By groups: the time, and the CPU seconds used until then."""

    def figures(self, pid: int | None, groups: Sequence[str], started_at: datetime | None) -> ProcessFigures | None:
        """Measure a service with this main process; its control groups take precedence.

        None without a process, when it is gone or a zombie, or when it is invisible and has no control group that
        reports resource use.
        """
        if pid is None:
            return None
        with self._lock:
            if time.monotonic() - self._at > self._fresh or pid not in self._processes:
                self._read()
            if pid not in self._found:
                self._found[pid] = self._of_process(pid)
            main = self._found[pid]
            return self._of_cgroups(main, groups, started_at) if groups else main

    def _of_cgroups(
        self, main: ProcessFigures | None, groups: Sequence[str], started_at: datetime | None
    ) -> ProcessFigures | None:
        used = cgroup_figures(groups, self._cgroups)
        if main is None:
            # A hardened opsbot cannot see other users' processes (ProtectProc=invisible), but their control groups.
            if used.cpu_seconds is None or used.memory is None or started_at is None:
                return None
            main = ProcessFigures(0.0, 0, None, None, started_at, 0)
        if used.cpu_seconds is not None:
            main = replace(main, cpu=self._cgroup_cpu(tuple(groups), used.cpu_seconds), cpu_seconds=used.cpu_seconds)
        return replace(main, memory=main.memory if used.memory is None else used.memory, tasks=used.tasks)

    def _cgroup_cpu(self, groups: tuple[str, ...], used: float) -> float:
        """Return the percentage of one core since the previous measurement, else 0.0."""
        now = time.monotonic()
        if len(self._last_of_cgroups) >= _CGROUPS_REMEMBERED:
            self._last_of_cgroups.clear()
        at, before = self._last_of_cgroups.get(groups, (now, used))
        self._last_of_cgroups[groups] = now, used
        # A restarted unit has a new group that counts from zero.
        spent = used if used < before else used - before
        return 100 * spent / (now - at) if now > at else 0.0

    def _of_process(self, pid: int) -> ProcessFigures | None:
        main = self._processes.get(pid)
        if main is None or main.gone:
            return None
        pids = [pid]
        for each in pids:  # grows during iteration to include descendants
            pids += self._children.get(each, ())
        return ProcessFigures(
            cpu=sum(map(self._process_cpu, pids)),
            memory=sum(self._processes[each].memory for each in pids),
            threads=main.threads,
            fds=_fds(pid),
            started_at=datetime.fromtimestamp(
                time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + main.started, UTC
            ),
            children=len(pids) - 1,
            cpu_seconds=main.cpu,
        )

    def _process_cpu(self, pid: int) -> float:
        """Return the percentage of one core since the previous measurement, else 0.0."""
        process = self._processes[pid]
        at, before = self._last.get(pid, (self._at, process))
        self._last[pid] = self._at, process
        if before.started != process.started or at >= self._at:
            return 0.0
        return max(process.cpu - before.cpu, 0.0) / (self._at - at) * 100

    def _read(self) -> None:
        processes: dict[int, _Process] = {}
        children: dict[int, list[int]] = {}
        for pid in proc_stat.pids():
            with suppress(OSError, ValueError, IndexError):
                stat = proc_stat.stat_of(pid)
                processes[pid] = _Process(
                    gone=stat[STATE] in DEAD,
                    cpu=(int(stat[USER_TIME]) + int(stat[SYSTEM_TIME])) / _TICKS,
                    threads=int(stat[THREADS]),
                    started=int(stat[STARTED]) / _TICKS,
                    memory=int(stat[RESIDENT]) * _PAGE,
                )
                children.setdefault(int(stat[PARENT]), []).append(pid)
        self._at, self._processes, self._children, self._found = time.monotonic(), processes, children, {}
        self._last = {pid: last for pid, last in self._last.items() if pid in processes}


def _fds(pid: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - only the number
    except OSError:
        return None
