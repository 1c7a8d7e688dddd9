"""What the processes of control groups hold on to: their memory without what the kernel gives back when it is needed.

memory.current counts the pages of files that were read or written, too: of a service that writes a log, it grows and
grows until the host has none left, and that is no leak (Control Group v2 in the kernel's documentation, memory.stat).
"""

from collections.abc import Sequence
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_GIVEN_BACK = frozenset({"active_file", "inactive_file", "slab_reclaimable"})


def held(groups: Sequence[str], root: Path = ROOT) -> int | None:
    """Bytes that cannot be had back, of all these groups together; None where that is not told. Blocks."""
    total = 0
    for group in groups:
        folder = root / group.lstrip("/")
        try:
            current = int((folder / "memory.current").read_text())
            rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
            back = sum(int(row[1]) for row in rows if row[0] in _GIVEN_BACK)
        except (OSError, ValueError, IndexError):
            return None
        total += max(0, current - back)
    return total if groups else None
