"""Locks that allow one opsbot per state directory and per release folder.

A lock is flock(2) on a file. Only a living process can hold it, so a dead one leaves none behind.
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
from typing import Self

from opsbot.formatting import discord_time

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.5
"""A killed process releases its locks at once; a child that was just being forked may hold them a moment longer."""


def lock_file(path: Path) -> int:
    """Open and lock a file, waiting up to `WAIT_SECONDS`. Blocks.

    Raises:
        BlockingIOError: another process holds the lock.
        OSError: the file cannot be opened or created.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    end = time.monotonic() + WAIT_SECONDS
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
    """Another opsbot holds the lock; the message names its pid and start time."""


class InstanceLock:
    """The lock on a directory. Use as a context manager."""

    def __init__(self, directory: Path, name: str = "opsbot.lock") -> None:
        self.path = directory / name
        self._file: int | None = None
        self.unclean_exit: str | None = None
        """The previous holder if it did not exit cleanly: killed, crashed, or the host went down."""
        self._left: bytes | None = None

    def take(self) -> None:
        """Take the lock and record the holder in the file. May block briefly.

        Raises:
            AlreadyRunningError: another process holds the lock.
            OSError: the directory cannot be created or written to.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        try:
            file = lock_file(self.path)
        except BlockingIOError as error:
            holder = _holder(self.path.read_bytes(), _plain)
            raise AlreadyRunningError(f"another opsbot uses {self.path.parent}: {holder}") from error
        left = os.pread(file, 4096, 0)
        self.unclean_exit = _holder(left, discord_time) if left.strip() else None
        self._left = left
        os.ftruncate(file, 0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        os.pwrite(file, json.dumps({"pid": os.getpid(), "since": now}).encode(), 0)
        self._file = file

    def forget_previous(self) -> None:
        """Drop the previous holder's record once its unclean exit was reported."""
        self._left = None

    def give_up(self) -> None:
        """Release the lock after an error; a failed start restores the previous record."""
        if self._file is None:
            return
        if self._left is not None:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, self._left, 0)
        os.close(self._file)
        self._file = None

    def release(self) -> None:
        """Release the lock after a clean stop: without this call the record is left."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Release the lock, cleanly unless an error occurred."""
        if kind is None:
            self.release()
        else:
            self.give_up()


def lock_folders(folders: Mapping[str, Path]) -> contextlib.ExitStack:
    """Lock the release folders until the returned stack is closed. Blocks.

    folders: by configuration key. Two opsbots that deploy into one folder would prune the releases that the other could
    roll back to. A folder that cannot be created or written to is skipped; deploys and the doctor report it.

    Raises:
        AlreadyRunningError: another opsbot holds one of them; the message names the key.
    """
    with contextlib.ExitStack() as locks:
        for key, folder in folders.items():
            lock = InstanceLock(folder, ".opsbot.lock")
            try:
                folder.mkdir(parents=True, exist_ok=True)  # with the mode that a deploy would give it
                lock.take()
            except AlreadyRunningError as error:
                raise AlreadyRunningError(f"{key}: {error}. Give each opsbot a separate folder.") from error
            except OSError:
                log.warning("%s: cannot lock %s against another opsbot", key, folder, exc_info=True)
                continue
            locks.callback(lock.release)
        return locks.pop_all()


def _plain(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _holder(raw: bytes, written: Callable[[datetime], str]) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        holder = json.loads(raw)
        return f"pid {holder['pid']}, running since {written(datetime.fromisoformat(holder['since']))}"
    return "unknown process"
