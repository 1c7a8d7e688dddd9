"""The folder that passes a job to the service's user: `.errands/SLOT`.

It belongs to opsbot, and the service's user may only read it, so nothing planted there can redirect opsbot. `.errands`
itself may be less strict, so each folder is opened relative to its parent, never through a link, and checked.
Everything here blocks.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.errand.job import JOB, PIPE
from opsbot.services.run_as import ErrandError, Slot

FOLDER = ".errands"
_ENTER = stat.S_IRGRP | stat.S_IXGRP

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Ends:
    """Both ends of a pipe; the writing end is kept open until the job has ended."""

    reading: int
    writing: int

    def close(self) -> None:
        for fd in (self.reading, self.writing):
            if fd >= 0:
                os.close(fd)
        self.reading = self.writing = -1


class JobFolder:
    """One slot's folder."""

    def __init__(self, directory: Path, slot: Slot) -> None:
        """directory: the source's."""
        self._directory = directory
        self._slot = slot
        self._path = directory / FOLDER / slot

    def put(self, job: bytes, group: int) -> Ends:
        """Write the job, readable for this group, and create a pipe it can write to.

        Raises ErrandError if that cannot be done safely.
        """
        try:
            fd = self._open()
            try:
                self._empty(fd)
                self._write(fd, job, group)
                return _pipe(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise ErrandError(
                message(
                    ManagerCode.FOLDER_UNUSABLE,
                    path=str(self._path),
                    file=str(error.filename or ""),
                    reason=error.strerror or str(error),
                )
            ) from error

    def clear(self) -> None:
        with suppress(OSError, ErrandError):
            fd = self._open()
            try:
                self._empty(fd)
            finally:
                os.close(fd)

    def _open(self) -> int:
        # The administrator chooses the directory, including links, but not its contents.
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in (FOLDER, str(self._slot)):
            try:
                inner = _made(fd, name)
            finally:
                os.close(fd)
            fd = inner
            self._check(fd, inmost=name != FOLDER)
        return fd

    def _check(self, fd: int, *, inmost: bool) -> None:
        about = os.fstat(fd)
        problem = None
        if about.st_uid != os.geteuid():
            problem = ManagerCode.FOLDER_FOREIGN
        elif inmost and about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            problem = ManagerCode.FOLDER_WRITABLE
        if problem is not None:
            os.close(fd)
            where = self._path if inmost else self._path.parent
            raise ErrandError(message(problem, path=str(where)))

    def _empty(self, fd: int) -> None:
        for name in (JOB, PIPE):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=fd)

    def _write(self, fd: int, job: bytes, group: int) -> None:
        file = os.open(JOB, _NEW, 0o640, dir_fd=fd)
        with open(file, "wb") as out:  # noqa: PTH123 - relative to its folder
            if os.fstat(file).st_gid != group:
                raise ErrandError(
                    message(
                        ManagerCode.FOLDER_GROUP,
                        path=str(self._path),
                        gid=group,
                        directory=str(self._directory),
                        parent=str(self._path.parent),
                    )
                )
            os.fchmod(file, 0o640)  # whatever opsbot's umask is
            out.write(job)


def _made(fd: int, name: str) -> int:
    """Open or create a folder; its parent passes on the group (inode(7), S_ISGID)."""
    try:
        os.mkdir(name, 0o750, dir_fd=fd)
    except FileExistsError:
        return os.open(name, _OPEN, dir_fd=fd)
    inner = os.open(name, _OPEN, dir_fd=fd)
    mode = stat.S_IMODE(os.fstat(inner).st_mode)
    if mode & _ENTER != _ENTER:  # opsbot's umask is stricter than the one in its unit
        os.fchmod(inner, mode | _ENTER)
    return inner


def _pipe(fd: int) -> Ends:
    os.mkfifo(PIPE, 0o600, dir_fd=fd)
    os.chmod(PIPE, 0o620, dir_fd=fd)  # in a folder where nobody else can replace it
    reading = os.open(PIPE, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        return Ends(reading, os.open(PIPE, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd))
    except OSError:
        os.close(reading)
        raise
