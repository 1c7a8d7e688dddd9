"""Folders that opsbot and the service's user both write to.

Neither can be misled by links the other planted. Each folder is opened relative to the one around it and never through
a link (openat(2)); what is done to an entry is done relative to its open folder, or to the open file itself.
Everything here blocks.

A mode with S_ISGID is never set (opsbot's unit has RestrictSUIDSGID=): folders have it from the folder around them.
"""

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from opsbot.errand.removal import DEPTH_MOST, OPEN, opened

OPEN_UMASK = 0o007
"""Of what the service's group is to change too."""

_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class LedAstrayError(Exception):
    """There is a link where a folder should be, at `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is a link, or no folder")
        self.path = path


# Making, opening, sealing


def open_to_group(place: Path) -> None:
    """Let the service's group enter a closed folder and write in it.

    The folders in it pass on their group no more: `cp -a` would keep that bit, which a unit with RestrictSUIDSGID= may
    not set.
    """
    for _, folders, _, fd in os.fwalk(place):
        for name in folders:
            mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                os.chmod(name, stat.S_IMODE(mode) & ~stat.S_ISGID, dir_fd=fd)
    place.chmod(0o770)


def seal(place: Path) -> None:
    """Make opsbot's files in this folder unchangeable for the service."""
    with opened(place) as fd:
        _seal(fd, DEPTH_MOST)


def _seal(fd: int, depth: int) -> None:
    """Seal the folder itself first, so that nothing in it can be replaced meanwhile."""
    about = os.fstat(fd)
    if about.st_uid == os.geteuid():
        _close_to_group(fd, about)
    for name in os.listdir(fd):
        with suppress(OSError):
            about = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(about.st_mode) and depth > 0:
                with opened(name, fd) as inner:
                    _seal(inner, depth - 1)
            elif stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid():
                with opened(name, fd, _FILE) as file:
                    _close_to_group(file, os.fstat(file))


def _close_to_group(fd: int, about: os.stat_result) -> None:
    # Looked at through the open file: what it was a moment ago may have been replaced.
    if about.st_uid == os.geteuid() and about.st_mode & stat.S_IWGRP:
        os.fchmod(fd, stat.S_IMODE(about.st_mode) & ~(stat.S_IWGRP | stat.S_ISGID | stat.S_ISUID))


# What is shared. A link in the way raises LedAstrayError.


def keep_shared(shared: Path, release: Path, wanted: PurePosixPath) -> bool | None:
    """None if it is shared already, else whether the commit's own was moved there."""
    with opened(shared.parent, flags=OPEN & ~os.O_NOFOLLOW) as directory:
        if not _exists(shared.name, directory):
            _make_open(shared, directory)
    with _down(shared, wanted.parent) as store:
        if _exists(wanted.name, store):
            return None
        with suppress(FileNotFoundError), _down(release, wanted.parent, make=False) as place:
            if _exists(wanted.name, place):
                os.rename(wanted.name, wanted.name, src_dir_fd=place, dst_dir_fd=store)
                return True
    return False


def make_shared(shared: Path, wanted: PurePosixPath) -> None:
    """Make a folder in `shared/` that the service may write in."""
    with _down(shared, wanted.parent) as store:
        _make_open(shared / wanted, store)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _down(top: Path, below: PurePosixPath, *, make: bool = True) -> Iterator[int]:
    """The folder `below` in `top`, opened step by step; what is not there is made."""
    # Only opsbot and the administrator can put something at `top`: a link there is theirs.
    fd = os.open(top, OPEN & ~os.O_NOFOLLOW)
    at = top
    try:
        for part in below.parts:
            at /= part
            if make and not _exists(part, fd):
                _make_open(at, fd)
            try:
                inner = os.open(part, OPEN, dir_fd=fd)
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                    raise LedAstrayError(at) from error
                raise
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _make_open(path: Path, folder: int) -> None:
    """Make a group-writable folder, in a child: a umask is the whole process's."""
    done = subprocess.run(
        ["mkdir", "--", path.name],
        cwd=f"/proc/self/fd/{folder}",
        umask=OPEN_UMASK,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and not _exists(path.name, folder):
        why = done.stderr.strip().rpartition(": ")[2]
        raise OSError(errno.EACCES, f"a folder cannot be made there: {why}", str(path))
