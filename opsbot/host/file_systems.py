"""Usage of file systems in bytes and inodes.

Blocks; a dead network mount may even hang.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileSystem:
    """One file system.

    total, used, free: bytes; space reserved for root counts as used. inodes: total number; 0 if they are created on
    demand (btrfs, some network file systems).
    """

    path: Path
    """The mount point."""
    total: int
    used: int
    free: int
    inodes: int
    inodes_used: int

    @property
    def percent(self) -> float:
        return 100 * self.used / self.total if self.total else 0.0

    @property
    def inodes_percent(self) -> float:
        return 100 * self.inodes_used / self.inodes if self.inodes else 0.0


def file_systems(paths: Iterable[Path]) -> tuple[FileSystem, ...]:
    """Return the writable file systems of these paths, each once."""
    found: dict[int, FileSystem] = {}
    for path in paths:
        with suppress(OSError):
            there = _nearest(path)
            device = there.stat().st_dev
            stat = os.statvfs(there)
            if device in found or not stat.f_blocks or stat.f_flag & os.ST_RDONLY:
                continue
            free = stat.f_bavail * stat.f_frsize
            taken = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
            # Inodes: like f_bavail, f_favail excludes those reserved for root.
            found[device] = FileSystem(
                _mount(there, device), taken + free, taken, free, stat.f_files, max(0, stat.f_files - stat.f_favail)
            )
    return tuple(found.values())


def _nearest(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


def _mount(path: Path, device: int) -> Path:
    mount = path.resolve()
    while mount != mount.parent and mount.parent.stat().st_dev == device:
        mount = mount.parent
    return mount
