"""The largest users of memory and disk space: processes and folders.

Blocks for seconds.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

FILES_AT_MOST = 200_000
SECONDS_AT_MOST = 5.0
MOST = 5
"""Number of users that are listed."""


@dataclass(frozen=True, slots=True)
class User:
    """A user of bytes. whole: everything was counted; else `size` is a lower bound."""

    name: str
    size: int
    whole: bool = True


def largest_processes() -> list[User]:
    """Return the processes that use most memory; command lines may contain secrets."""
    found = []
    for process in psutil.process_iter(["name", "memory_info"]):
        memory = process.info["memory_info"]
        if memory is not None and memory.rss:
            found.append(User(f"{process.info['name']} ({process.pid})", int(memory.rss)))
    return sorted(found, key=lambda user: -user.size)[:MOST]


def fullest(folders: Iterable[Path], device: int) -> list[User]:
    """Return the folders that use most of a file system, within limits."""
    until, left = time.monotonic() + SECONDS_AT_MOST, FILES_AT_MOST
    found = []
    for folder in folders:
        size, count, whole = _size(folder, device, left, until)
        left -= count
        if size:
            found.append(User(str(folder), size, whole))
    return sorted(found, key=lambda user: -user.size)[:MOST]


def _size(folder: Path, device: int, most: int, until: float) -> tuple[int, int, bool]:
    """Return bytes, number of files, and whether all were read; hard links count once."""
    total, count, seen, waiting, whole = 0, 0, set[int](), [str(folder)], True
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            whole = False
            continue
        for entry in entries:
            count += 1
            if count > most or time.monotonic() > until:
                return total, count, False
            try:
                stat = entry.stat(follow_symlinks=False)
                if stat.st_dev != device or (stat.st_nlink > 1 and stat.st_ino in seen):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif stat.st_nlink > 1:
                    seen.add(stat.st_ino)
                total += stat.st_blocks * 512
            except OSError:
                whole = False
    return total, count, whole
