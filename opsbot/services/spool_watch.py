"""Notices when a spool grows, by inotify(7) through the C library."""

import asyncio
import ctypes
import logging
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_EVENT = struct.Struct("iIII")
_IN_MODIFY = 0x2
_IN_IGNORED = 0x8000
_IN_Q_OVERFLOW = 0x4000
_REST = 0.1
"""Seconds between two notifications of a service that writes all the time."""
_POLL = 1.0
_libc = ctypes.CDLL(None, use_errno=True)


class SpoolWatcher:
    """Calls `grown` with the services whose spools grew, at most ten times a second."""

    def __init__(self, grown: Callable[[set[str]], None]) -> None:
        """Without inotify (the host has no instance left) poll every spool each second."""
        self._loop = asyncio.get_running_loop()
        self._grown = grown
        self._names: dict[int, str] = {}
        self._polled: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._woken)
        else:
            log.warning("no inotify: %s; polling output each second", os.strerror(ctypes.get_errno()))
            self._timer = self._loop.call_later(_POLL, self._poll)

    def watch(self, name: str, spool: Path) -> None:
        """Watch this file for `name` instead of the previous one."""
        self.forget(name)
        if self._fd >= 0:
            number = _libc.inotify_add_watch(self._fd, os.fsencode(spool), _IN_MODIFY)
            if number >= 0:
                self._names[number] = name
                return
            log.warning("%s: its output cannot be watched: %s", name, os.strerror(ctypes.get_errno()))
        self._polled.add(name)
        if self._timer is None:
            self._timer = self._loop.call_later(_POLL, self._poll)

    def forget(self, name: str) -> None:
        self._polled.discard(name)
        for number in [number for number, known in self._names.items() if known == name]:
            del self._names[number]
            _libc.inotify_rm_watch(self._fd, number)

    def again(self, name: str) -> None:
        """Call `grown` for `name` once more, after the usual pause."""
        self._loop.call_later(_REST, self._grown, {name})

    def _woken(self) -> None:
        # Output within the pause is read at once.
        self._loop.remove_reader(self._fd)
        self._loop.call_later(_REST, self._look)

    def _look(self) -> None:
        if self._fd < 0:
            return
        numbers: set[int] = set()
        with suppress(BlockingIOError):
            while data := os.read(self._fd, 64 * 1024):
                at = 0
                while at < len(data):
                    number, mask, _, length = _EVENT.unpack_from(data, at)
                    at += _EVENT.size + length
                    if mask & _IN_Q_OVERFLOW:
                        numbers.update(self._names)
                    elif not mask & _IN_IGNORED:
                        numbers.add(number)
        self._loop.add_reader(self._fd, self._woken)
        names = {self._names[number] for number in numbers if number in self._names}
        if names:
            self._grown(names)

    def _poll(self) -> None:
        self._timer = self._loop.call_later(_POLL, self._poll)
        if self._polled:
            self._grown(set(self._polled))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
