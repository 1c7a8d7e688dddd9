"""Resource use of a service's control groups.

Uses the unified hierarchy (Control Group v2 in the kernel's documentation, "Interface Files"): cpu.stat always exists,
memory.current and pids.current if those controllers are enabled for the group. Missing values (older hierarchy,
container) are None. Reads files in /sys; call it in a thread.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_GROUPS_AT_MOST = 256


@dataclass(frozen=True, slots=True)
class CgroupFigures:
    """Sum of several control groups at one moment.

    None if the host does not report a value.

    cpu: percent of one core since the previous measurement. cpu_seconds: used since their creation. memory: bytes,
    including page cache. tasks: processes and threads.
    """

    cpu: float | None
    cpu_seconds: float | None
    memory: int | None
    tasks: int | None


class CgroupMeter:
    """Measures control groups; CPU use is relative to the previous measurement."""

    def __init__(self, root: Path = ROOT) -> None:
        """root: mount point of the hierarchy."""
        self._root = root
        self._lock = threading.Lock()
        self._last: dict[tuple[str, ...], tuple[float, float]] = {}

    def figures(self, groups: Sequence[str]) -> CgroupFigures:
        """Measure these groups. Thread-safe."""
        folders = [self._root / group.lstrip("/") for group in groups]
        used = _total([_cpu_seconds(folder) for folder in folders])
        memory = _total([_number(folder / "memory.current") for folder in folders])
        tasks = _total([_number(folder / "pids.current") for folder in folders])
        return CgroupFigures(
            cpu=None if used is None else self._since(tuple(groups), used, time.monotonic()),
            cpu_seconds=used,
            memory=None if memory is None else int(memory),
            tasks=None if tasks is None else int(tasks),
        )

    def _since(self, groups: tuple[str, ...], used: float, now: float) -> float:
        with self._lock:
            if len(self._last) >= _GROUPS_AT_MOST:
                self._last.clear()
            before, at = self._last.get(groups, (used, now))
            self._last[groups] = (used, now)
        # A restarted unit has a new group that counts from zero.
        spent = used if used < before else used - before
        return 100 * spent / (now - at) if now > at else 0.0


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if values and len(known) == len(values) else None


def _cpu_seconds(folder: Path) -> float | None:
    try:
        lines = (folder / "cpu.stat").read_text().splitlines()
        return next(int(line.split()[1]) / 1e6 for line in lines if line.startswith("usage_usec "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _number(file: Path) -> float | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
