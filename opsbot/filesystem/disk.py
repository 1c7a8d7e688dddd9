"""Folders and the file systems they are on. Everything here blocks."""

import ctypes
import errno
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from opsbot.core.deploy_codes import NoteCode
from opsbot.core.message import Message, message
from opsbot.errand.removal import remove_own

NOTHING_LEFT = 1024 * 1024


def is_full(error: OSError) -> bool:
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def exhausted(path: Path) -> bool:
    """Whether the file system is practically full, which explains any failure."""
    while not path.exists():
        path = path.parent
    figures = os.statvfs(path)
    return figures.f_bavail * figures.f_frsize < NOTHING_LEFT


def file_system(path: Path) -> Message:
    """The file system a path is on: "/srv (12 MiB of 1.0 GiB free)"."""
    while not path.exists():
        path = path.parent
    path = path.resolve()
    figures = os.statvfs(path)
    while not path.is_mount():
        path = path.parent
    free, total = figures.f_bavail * figures.f_frsize, figures.f_blocks * figures.f_frsize
    return message(NoteCode.FILE_SYSTEM, path=str(path), free=free, total=total)


def used(folder: Path) -> int:
    """Bytes a folder takes on its disk; links are not followed."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_blocks * 512  # noqa: PTH118 - fast, for 10 000 files
    return total


def remove(folder: Path) -> bool:
    """Remove a folder, also write-protected contents; return whether it is gone."""
    return remove_own(folder)


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@cache
def _libc() -> ctypes.CDLL:
    # Each CDLL creates a class, which only a full garbage collection frees.
    return ctypes.CDLL(None, use_errno=True)


def sync_file_system(folder: Path) -> None:
    """Write all data of a folder's file system to the disk (syncfs(2))."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc().syncfs(number) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
    finally:
        os.close(number)
