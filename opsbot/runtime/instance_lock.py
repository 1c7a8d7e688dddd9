"""One opsbot a state directory, and one that deploys into a folder.

The lock is flock(2) on a file in it: held by a living process only, so it cannot be left behind by a dead one.
"""

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from opsbot.formatting import discord_time

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.5
"""A process that was killed lets go of its locks at once; a child it was just making, a moment later."""


def lock_file(path: Path) -> int:
    """Open a file and lock it, waiting for `PATIENCE_SECONDS` at most; the descriptor that holds the lock. Blocks.

    Raises:
        BlockingIOError: somebody else holds it.
        OSError: the file cannot be opened or made.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(file)
                raise
            time.sleep(0.05)
        except BaseException:
            os.close(file)
            raise
        else:
            return file


class AlreadyRunningError(Exception):
    """Another opsbot holds the state directory; the text names its pid and start."""


class InstanceLock:
    """The lock on a directory. Use as a context manager."""

    def __init__(self, directory: Path, name: str = "opsbot.lock") -> None:
        """Remember the directory; it is made when the lock is taken. name: of the file in it."""
        self.path = directory / name
        self._file: int | None = None
        self.cut_short: str | None = None
        """Who held it before and never let go of it in order: killed, crashed, or the host went down."""
        self._left: bytes | None = None

    def take(self) -> None:
        """Take the lock and write down who holds it. Blocks for a moment where another holds it.

        Raises:
            AlreadyRunningError: another process holds it.
            OSError: the directory cannot be made or written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        try:
            file = lock_file(self.path)
        except BlockingIOError as error:
            holder = _holder(self.path.read_bytes(), _plain)
            raise AlreadyRunningError(f"another opsbot works on {self.path.parent}: {holder}") from error
        left = os.pread(file, 4096, 0)
        self.cut_short = _holder(left, discord_time) if left.strip() else None
        self._left = left
        os.ftruncate(file, 0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        os.pwrite(file, json.dumps({"pid": os.getpid(), "since": now}).encode(), 0)
        self._file = file

    def told(self) -> None:
        """It works, and people know of the one before it: what `give_up` leaves is about this one from now on."""
        self._left = None

    def give_up(self) -> None:
        """Let go of it, not in order; one that could not start leaves what it found of the one before it."""
        if self._file is None:
            return
        if self._left is not None:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, self._left, 0)
        os.close(self._file)
        self._file = None

    def release(self) -> None:
        """Let go of it in order; the end of the process lets go of it too, and leaves its name in the file."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        """Take it."""
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go: in order, unless an error ends it."""
        if kind is None:
            self.release()
        else:
            self.give_up()


def hold_folders(folders: Mapping[str, Path]) -> contextlib.ExitStack:
    """Lock folders in which one opsbot alone may work, each by the key it is configured under; closing lets go. Blocks.

    Two that deploy into one folder would each prune the releases that the other falls back on. A folder that cannot be
    made or written is left out: a deploy says why, and the doctor.

    Raises:
        AlreadyRunningError: another opsbot holds one of them; the text names the key.
    """
    with contextlib.ExitStack() as held:
        for key, folder in folders.items():
            lock = InstanceLock(folder, ".opsbot.lock")
            try:
                folder.mkdir(parents=True, exist_ok=True)  # with the rights that a deploy gives it
                lock.take()
            except AlreadyRunningError as error:
                raise AlreadyRunningError(f"{key}: {error}. Give each opsbot a folder of its own.") from error
            except OSError:
                log.warning("%s: %s cannot be locked against another opsbot", key, folder, exc_info=True)
                continue
            held.callback(lock.release)
        return held.pop_all()


def _plain(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _holder(raw: bytes, written: Callable[[datetime], str]) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        held = json.loads(raw)
        return f"pid {held['pid']}, running since {written(datetime.fromisoformat(held['since']))}"
    return "it has not said who it is yet"
