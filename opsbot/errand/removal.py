"""`python -I -m opsbot.errand.removal FOLDER...`: remove folders recursively.

Write-protected contents are removed, too.

Folders are opened relative to their parent and never through a link (openat(2)), so replacing one by a link cannot
redirect the removal. Everything here blocks.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

DEPTH_MOST = 200
"""Maximum nesting; deeper folders are left to rm(1), which has no such limit."""
OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(name: str | os.PathLike[str], folder: int | None = None, flags: int = OPEN) -> Iterator[int]:
    """Open a folder and close it at the end.

    Raises:
        OSError: it is not a folder, is a link (ENOTDIR, ELOOP), or is not readable.
    """
    fd = os.open(name, flags, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def remove_own(path: str | os.PathLike[str]) -> bool:
    """Remove a folder as far as this user may; return whether it is gone."""
    folder, name = os.path.split(path)
    with suppress(OSError), opened(folder, flags=OPEN & ~os.O_NOFOLLOW) as around:
        _remove(name, around, DEPTH_MOST)
    return not os.path.lexists(path)


def _remove(name: str, around: int, depth: int) -> None:
    with suppress(OSError):
        os.unlink(name, dir_fd=around)
        return
    if depth == 0:
        return
    _unlock(name, around)
    with suppress(OSError), opened(name, around) as fd:
        for each in os.listdir(fd):  # noqa: PTH208 - an open folder
            _remove(each, fd, depth - 1)
    with suppress(OSError):
        os.rmdir(name, dir_fd=around)


def _unlock(name: str, around: int) -> None:
    """Add write permission to the open folder: the name may be a link by now."""
    with suppress(OSError):
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=around)
        try:
            about = os.fstat(fd)
            if about.st_uid == os.geteuid() and about.st_mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(f"/proc/self/fd/{fd}", stat.S_IRWXU)  # noqa: PTH101 - fchmod(2) takes no O_PATH
        finally:
            os.close(fd)


if __name__ == "__main__":
    left = [folder for folder in sys.argv[1:] if not remove_own(folder)]
    if left:
        os.execvp("rm", ["rm", "-rf", "--", *left])  # noqa: S606 - an argument list, the host's own rm
