"""Delete the old files that match given patterns. Blocks; run it in a thread.

Folders are opened one by one from the root, each relative to its parent and never through a symbolic link (openat(2)
with O_NOFOLLOW), and files are deleted relative to their open folder, so that replacing a folder by a link cannot
redirect the deletion. Excluded folders are identified by device and inode, so that other names cannot bypass the
exclusion. A run is bounded in files, directory entries and time; the next run continues.
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
"""Files deleted between two scans for open files, each of which reads every process's file table."""

_PASS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

File = tuple[int, int]
"""Identity of a file or folder: device and inode."""


class Deletion(StrEnum):
    """Operations that can fail."""

    LOOK = "look"
    DELETE = "delete"


@dataclass(slots=True)
class CleanupProblem:
    """Failures of an operation for a pattern: the first folder, a reason, the number."""

    folder: str
    why: str
    times: int = 0
    who: str = "opsbot's user"
    """The user that lacks the permission."""


@dataclass(slots=True)
class CleanupResult:
    """Result of a run over some patterns.

    problems: by pattern and operation. deleted: patterns with deleted files. looked: patterns that were completely
    scanned. cut: the run reached a limit and more files may be left.
    """

    files: int = 0
    size: int = 0
    in_use: int = 0
    problems: dict[tuple[str, Deletion], CleanupProblem] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    looked: set[str] = field(default_factory=set)
    cut: bool = False


def identity(about: os.stat_result) -> File:
    return about.st_dev, about.st_ino


def printable(path: str) -> str:
    """Decode a path of arbitrary bytes for storage and display."""
    return os.fsencode(path).decode(errors="replace")


def in_use(files: AbstractSet[File]) -> set[File]:
    """Return those of the files that visible processes (for root: all) have open."""
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names only, ten times faster
        with suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - see above
                with suppress(OSError):
                    path = f"/proc/{pid}/fd/{number}"
                    # Sockets and pipes have no path; most open files are one of them.
                    if os.readlink(path).startswith("/"):  # noqa: PTH115 - fast
                        found.add(identity(os.stat(path)))  # noqa: PTH116 - fast
    return found & files


class FileCleaner:
    """One run, over files last modified before `before` (seconds since the epoch)."""

    def __init__(self, before: float, keep_out: Collection[File], stop: threading.Event, most: int) -> None:
        """keep_out: folders to skip. stop: ends the run. most: files to delete at most."""
        self.result = CleanupResult()
        self._before = before
        self._keep_out = keep_out
        self._stop = stop
        self._most = most
        self._left = LOOKED_MOST
        self._end = time.monotonic() + SECONDS_MOST
        self._pattern = ""

    def clean(self, pattern: Glob) -> None:
        self._pattern = str(pattern)
        with suppress(FileNotFoundError):  # the service has not created the folder yet
            self._fixed(pattern, os.open("/", _PASS), "", pattern.fixed)
        if not self.result.cut and (self._pattern, Deletion.LOOK) not in self.result.problems:
            self.result.looked.add(self._pattern)

    def _fixed(self, pattern: Glob, fd: int, path: str, parts: tuple[str, ...]) -> None:
        """Descend the literal part of the pattern, then match the rest."""
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
                self._problem(Deletion.LOOK, path, OSError(errno.EPERM, "it belongs to opsbot itself"))
                return
        try:
            self._walk(fd, path, pattern.folders, pattern.name, 0)
        finally:
            os.close(fd)

    def _over(self) -> bool:
        self._left -= 1
        if self._left < 0 or self.result.files >= self._most or time.monotonic() > self._end or self._stop.is_set():
            self.result.cut = True
        return self.result.cut

    def _problem(self, operation: Deletion, path: str, error: OSError) -> None:
        why = "it is a symbolic link or not a folder" if error.errno in {errno.ELOOP, errno.ENOTDIR} else error.strerror
        known = self.result.problems.setdefault(
            (self._pattern, operation), CleanupProblem(printable(path), why or "an error")
        )
        known.times += 1

    def _walk(self, fd: int, path: str, folders: tuple[str, ...], name: str, depth: int) -> None:
        """Continue from the folder `fd`, which the caller closes."""
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
                # A link, a file, or a folder that was removed meanwhile does not match.
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
                    found.append(each.name)  # noqa: PERF401 - entries found before a failure count
        return found

    @contextmanager
    def _entries(self, fd: int, path: str) -> Iterator[Iterator["os.DirEntry[str]"]]:
        """List the folder within the limits; an OSError inside is recorded as a problem."""
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
            if self.result.files >= self._most or self._stop.is_set():
                self.result.cut = True
                return
            if file in busy:
                self.result.in_use += 1
                continue
            try:
                # Checked again right before deletion: the file may have been written to or replaced.
                about = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if identity(about) != file or not self._old(about):
                    continue
                os.unlink(name, dir_fd=fd)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._problem(Deletion.DELETE, path, error)
                continue
            self.result.files += 1
            self.result.size += about.st_size
            self.result.deleted.add(self._pattern)
