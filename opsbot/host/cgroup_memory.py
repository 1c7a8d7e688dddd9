"""Memory of control groups without what the kernel reclaims when needed.

memory.current includes the page cache of files: for a service that writes a log it grows until the host has no memory
left, without a leak (Control Group v2 in the kernel's documentation, memory.stat).
"""

from collections.abc import Sequence
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_GIVEN_BACK = frozenset({"active_file", "inactive_file", "slab_reclaimable"})


def retained_memory(groups: Sequence[str], root: Path = ROOT) -> int | None:
    """Return the non-reclaimable bytes of all these groups, or None. Blocks."""
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
