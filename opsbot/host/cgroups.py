"""Resource use of control groups, from the unified hierarchy.

Source: Control Group v2 in the kernel's documentation, "Interface Files". cpu.stat always exists, memory.current and
pids.current if those controllers are enabled for the group. What the host does not report (older hierarchy, container)
is None. Reads files in /sys; call it in a thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_RECLAIMABLE = frozenset({"active_file", "inactive_file", "slab_reclaimable"})


@dataclass(frozen=True, slots=True)
class CgroupFigures:
    """Sum of several control groups.

    cpu_seconds: used since their creation. memory: bytes, including page cache. tasks: processes and threads.
    """

    cpu_seconds: float | None
    memory: int | None
    tasks: int | None


def cgroup_figures(groups: Sequence[str], root: Path = ROOT) -> CgroupFigures:
    """Measure these groups; a figure that one of them lacks is None.

    root: mount point of the hierarchy.
    """
    folders = [root / group.lstrip("/") for group in groups]
    micros = _total(folders, "cpu.stat", lambda text: int(text.split("usage_usec ", 1)[1].split()[0]))
    memory, tasks = _total(folders, "memory.current"), _total(folders, "pids.current")
    return CgroupFigures(None if micros is None else micros / 1e6, memory, tasks)


def retained_memory(groups: Sequence[str], root: Path = ROOT) -> int | None:
    """The bytes of these groups that the kernel cannot reclaim, or None.

    memory.current includes the page cache: for a service that writes a log it grows, without a leak, until the host has
    no memory left.
    """
    folders = [root / group.lstrip("/") for group in groups]
    current, reclaimable = _total(folders, "memory.current"), _total(folders, "memory.stat", _reclaimable)
    return None if current is None or reclaimable is None else max(0, current - reclaimable)


def _reclaimable(memory_stat: str) -> int:
    rows = (line.split() for line in memory_stat.splitlines())
    return sum(int(row[1]) for row in rows if row[0] in _RECLAIMABLE)


def _total(folders: Sequence[Path], name: str, number: Callable[[str], int] = int) -> int | None:
    try:
        return sum(number((folder / name).read_text()) for folder in folders) if folders else None
    except (OSError, ValueError, IndexError):
        return None
