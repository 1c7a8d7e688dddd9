"""One sweep over the files that some patterns name; blocks, and belongs in a thread.

Folders are opened one by one from the root, each relative to the one before and none through a symbolic link (openat(2)
with O_NOFOLLOW), and what is deleted is deleted relative to its open folder: somebody who swaps a folder for a link
meanwhile leads opsbot nowhere. A folder is known by device and inode too, so that no other name of opsbot's own folders
is a way into them. A sweep is bounded in files, in looks and in time; the next one goes on.
"""

import errno
import itertools
import os
import stat
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from opsbot.core.globs import ANY_DEPTH, Glob, fits, wild

DELETED_MOST = 10_000
LOOKED_MOST = 1_000_000
SECONDS_MOST = 120.0
DEPTH_MOST = 64
BATCH = 500
"""Files deleted between two looks at what is open: each reads the table of files of every process."""

_PASS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

File = tuple[int, int]
"""A file or a folder by device and inode."""


class Deletion(StrEnum):
    """What opsbot may be kept from."""

    LOOK = "look"
    DELETE = "delete"


@dataclass(slots=True)
class CleanupProblem:
    """What could not be done for a pattern: the first folder where, why, and how often in all."""

    folder: str
    why: str
    times: int = 0
    who: str = "opsbot's user"
    """Who could not do it."""


@dataclass(slots=True)
class CleanupResult:
    """What one run over some patterns came to.

    problems: by pattern and deed. deleted: the patterns that files were deleted for. looked: those looked through to
    their end. cut: more may be left, it was enough for one run.
    """

    files: int = 0
    size: int = 0
    in_use: int = 0
    problems: dict[tuple[str, Deletion], CleanupProblem] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    looked: set[str] = field(default_factory=set)
    cut: bool = False


def identity(about: os.stat_result) -> File:
    """What makes it this very file."""
    return about.st_dev, about.st_ino


def shown(path: str) -> str:
    """A path as text that can be stored and sent, whatever bytes it has."""
    return os.fsencode(path).decode(errors="replace")


def in_use(files: AbstractSet[File]) -> set[File]:
    """Those that a process has open, as far as opsbot may see: its own user's processes, or as root all of them."""
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names only, ten times as cheap
        with suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - likewise
                with suppress(OSError):
                    path = f"/proc/{pid}/fd/{number}"
                    # Sockets and pipes have no path; most of what is open is one of them.
                    if os.readlink(path).startswith("/"):  # noqa: PTH115 - fast
                        found.add(identity(os.stat(path)))  # noqa: PTH116 - fast
    return found & files


class FileCleaner:
    """One run. `before`: a file last written to before this, seconds since the epoch, is old."""

    def __init__(self, before: float, keep_out: Collection[File], stop: threading.Event, most: int) -> None:
        """Take the bounds. `keep_out`: folders never to go into. `stop`: set to leave off. `most`: files to delete."""
        self.swept = CleanupResult()
        self._before = before
        self._keep_out = keep_out
        self._stop = stop
        self._most = most
        self._left = LOOKED_MOST
        self._end = time.monotonic() + SECONDS_MOST
        self._pattern = ""

    def sweep(self, pattern: Glob) -> None:
        """Delete what is old of what the pattern names."""
        self._pattern = str(pattern)
        with suppress(FileNotFoundError):  # the service has not made the folder yet: nothing to clean up
            self._fixed(pattern, os.open("/", _PASS), "", pattern.fixed)
        if not self.swept.cut and (self._pattern, Deletion.LOOK) not in self.swept.problems:
            self.swept.looked.add(self._pattern)

    def _fixed(self, pattern: Glob, fd: int, path: str, parts: tuple[str, ...]) -> None:
        """Go down the folders that are written out, then on as the pattern says."""
        for part in parts:
            path = f"{path}/{part}"
            try:
                inner = os.open(part, _PASS, dir_fd=fd)
            except FileNotFoundError:
                raise
            except OSError as error:
                self._problem(Deletion.LOOK, path, error)
                return
            finally:
                os.close(fd)
            fd = inner
            if identity(os.fstat(fd)) in self._keep_out:
                os.close(fd)
                self._problem(Deletion.LOOK, path, OSError(errno.EPERM, "it is a folder of opsbot's own"))
                return
        try:
            self._walk(fd, path, pattern.folders, pattern.name, 0)
        finally:
            os.close(fd)

    def _over(self) -> bool:
        self._left -= 1
        if self._left < 0 or self.swept.files >= self._most or time.monotonic() > self._end or self._stop.is_set():
            self.swept.cut = True
        return self.swept.cut

    def _problem(self, deed: Deletion, path: str, error: OSError) -> None:
        why = "it is a symbolic link, or no folder" if error.errno in {errno.ELOOP, errno.ENOTDIR} else error.strerror
        known = self.swept.problems.setdefault((self._pattern, deed), CleanupProblem(shown(path), why or "an error"))
        known.times += 1

    def _walk(self, fd: int, path: str, folders: tuple[str, ...], name: str, depth: int) -> None:
        """Go on from the folder `fd`, which stays the caller's to close."""
        if self._over() or depth > DEPTH_MOST:
            return
        if not folders:
            self._clean(fd, path, name)
            return
        part, rest = folders[0], folders[1:]
        if part == ANY_DEPTH:
            self._walk(fd, path, rest, name, depth)
            rest = folders
        names = self._inner(fd, path, part) if wild(part) else [part]
        for each in names:
            try:
                inner = os.open(each, _PASS, dir_fd=fd)
            except OSError as error:
                # One that is a link, a file or gone by now is none of the pattern's folders.
                if error.errno not in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}:
                    self._problem(Deletion.LOOK, f"{path}/{each}", error)
                continue
            try:
                if identity(os.fstat(inner)) not in self._keep_out:
                    self._walk(inner, f"{path}/{each}", rest, name, depth + 1)
            finally:
                os.close(inner)

    def _inner(self, fd: int, path: str, part: str) -> list[str]:
        found = []
        with self._entries(fd, path) as entries:
            for each in entries:
                if fits(each.name, part) and each.is_dir(follow_symlinks=False):
                    found.append(each.name)  # noqa: PERF401 - what was found before a failure counts
        return found

    @contextmanager
    def _entries(self, fd: int, path: str) -> Iterator[Iterator["os.DirEntry[str]"]]:
        """What is in the folder, as far as the run's bounds go; a failure within ends the block, and is a problem."""
        with ExitStack() as stack:
            try:
                listed = os.open(".", _LIST, dir_fd=fd)
                stack.callback(os.close, listed)
                entries = stack.enter_context(os.scandir(listed))
            except OSError as error:
                self._problem(Deletion.LOOK, path, error)
                yield iter(())
                return
            try:
                yield itertools.takewhile(lambda _: not self._over(), entries)
            except OSError as error:
                self._problem(Deletion.LOOK, path, error)

    def _clean(self, fd: int, path: str, name: str) -> None:
        batch: dict[str, File] = {}
        with self._entries(fd, path) as entries:
            for each in entries:
                if not fits(each.name, name):
                    continue
                with suppress(FileNotFoundError):
                    about = each.stat(follow_symlinks=False)
                    if self._old(about):
                        batch[each.name] = identity(about)
                if len(batch) == BATCH:
                    self._delete(fd, path, batch)
                    batch = {}
        if batch:
            self._delete(fd, path, batch)

    def _old(self, about: os.stat_result) -> bool:
        return stat.S_ISREG(about.st_mode) and about.st_mtime < self._before

    def _delete(self, fd: int, path: str, batch: Mapping[str, File]) -> None:
        busy = in_use(set(batch.values()))
        for name, file in batch.items():
            if self.swept.files >= self._most or self._stop.is_set():
                self.swept.cut = True
                return
            if file in busy:
                self.swept.in_use += 1
                continue
            try:
                # Looked at again at the last moment: since the list was made it may have been written to or replaced.
                about = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if identity(about) != file or not self._old(about):
                    continue
                os.unlink(name, dir_fd=fd)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._problem(Deletion.DELETE, path, error)
                continue
            self.swept.files += 1
            self.swept.size += about.st_size
            self.swept.deleted.add(self._pattern)
