"""Resource use of control groups, from the unified hierarchy.

Source: Control Group v2 in the kernel's documentation, "Interface Files". cpu.stat always exists, memory.current and
pids.current if those controllers are enabled for the group. What the host does not report (older hierarchy, container)
is None. Reads files in /sys; call it in a thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


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
    micros = _total(folders, "cpu.stat", lambda text: text.split("usage_usec ", 1)[1].split()[0])
    memory, tasks = _total(folders, "memory.current"), _total(folders, "pids.current")
    return CgroupFigures(None if micros is None else micros / 1e6, memory, tasks)


def _total(folders: Sequence[Path], name: str, number: Callable[[str], str] = str) -> int | None:
    try:
        return sum(int(number((folder / name).read_text())) for folder in folders) if folders else None
    except (OSError, ValueError, IndexError):
        return None
