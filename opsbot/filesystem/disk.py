"""Folders and the file systems they are on. Everything here blocks."""

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from opsbot.core.deploy_codes import NoteCode
from opsbot.core.message import Message, message

NOTHING_LEFT = 1024 * 1024


def is_full(error: OSError) -> bool:
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def exhausted(path: Path) -> bool:
    """Whether the file system has next to nothing left: then what fails fails of it (git of a SIGBUS, too)."""
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
    """Remove a folder with all in it, write-protected folders too (Go's module cache); whether it is gone."""

    def unlock(function: Callable[..., object], path: str, error: object) -> None:
        del error
        with suppress(OSError):
            os.chmod(os.path.dirname(path), stat.S_IRWXU)  # noqa: PTH101, PTH120 - rmtree hands out strings
            os.chmod(path, stat.S_IRWXU)  # noqa: PTH101
            function(path)

    for _ in range(3):
        if not folder.exists():
            return True
        shutil.rmtree(folder, onerror=unlock)
    return not folder.exists()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@cache
def _libc() -> ctypes.CDLL:
    # Each creates a separate class, which only a full visit of the garbage collector takes away.
    return ctypes.CDLL(None, use_errno=True)


def sync_file_system(folder: Path) -> None:
    """Have all of a folder's file system on the disk (syncfs(2))."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc().syncfs(number) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
    finally:
        os.close(number)
