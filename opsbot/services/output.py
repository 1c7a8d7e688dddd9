"""Copies a service's output to its log, losing no line even if opsbot dies.

The service's stdout and stderr are a file, its spool, opened for appending: writing there never blocks and needs no
opsbot. opsbot reads it, writes its lines to the log, then stores its position in both by one small write. The next
opsbot truncates the log to that position and continues. Blocks of the spool that were read are freed.
"""

import ctypes
import os
import re
import zlib
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opsbot.services.log_levels import level_of
from opsbot.services.port import LogLine
from opsbot.services.process_log import LINE, MORE, NOTE, ProcessLog, stamp

LINE_AT_MOST = 16 * 1024
BATCH = 512 * 1024
_POSITION_LENGTH = 256
_NEWEST = 1000
_GIVE_BACK = 256 * 1024
_libc = ctypes.CDLL(None, use_errno=True)
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
_CONTINUATION = re.compile(rb"[\x80-\xbf]{0,3}$")


class Output:
    """The output of one service. Blocks: call it in a thread, from one at a time."""

    def __init__(self, directory: Path, keep: timedelta, size: int, clock: Callable[[], datetime]) -> None:
        """directory: the service's."""
        self._directory = directory
        self._clock = clock
        self._log = ProcessLog(directory / "log", keep, size)
        self._run = ""
        self._spool = -1
        self._read = 0
        self._given_back = 0
        self._position_fd = -1
        self._catching_up = False
        self._more = False
        self.heard = False
        """Whether somebody follows, so that the level of each line is needed."""

    @property
    def log_directory(self) -> Path:
        return self._log.directory

    def spool(self, run: str) -> Path:
        return self._directory / f"{run}.out"

    def open(self) -> None:
        """Continue where the last opsbot stopped. Raises OSError."""
        self._position_fd = os.open(self._directory / "position", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        kept = os.pread(self._position_fd, _POSITION_LENGTH, 0).decode("ascii", "replace").split()
        position = None
        if len(kept) == 5 and int(kept[4], 16) == _sum(kept[:4]):  # noqa: PLR2004 - run, read, part, length, sum
            self._run, self._read = kept[0].removeprefix("."), int(kept[1])
            position = (kept[2].removeprefix("."), int(kept[3]))
        self._log.open(position)
        self._log.prune(self._clock())
        if self._run:
            self._catching_up = True
            self._attach()

    def _attach(self) -> None:
        self._given_back = 0
        try:
            self._spool = os.open(self.spool(self._run), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            self._spool = -1

    def begin(self, run: str) -> list[LogLine]:
        """Read the spool of this run from now on; remove and return the previous rest."""
        if run == self._run:
            return []
        lines = self.finish()
        last, before = self._spool, self._run
        self._run, self._read, self._more = run, 0, False
        self._attach()
        self._put([(NOTE, f"run {run}")], self._clock())
        if last >= 0:
            os.close(last)
        if before:
            self.spool(before).unlink(missing_ok=True)
        return lines

    def finish(self, note: str = "") -> list[LogLine]:
        """Copy the rest of a run that has ended, then write a note; return the rest."""
        newest: deque[LogLine] = deque(maxlen=_NEWEST)
        while lines := self.drain(final=True):
            newest.extend(lines)
        if note:
            self.remark(note)
        return list(newest)

    def remark(self, note: str) -> list[LogLine]:
        self._put([(NOTE, note)], self._clock())
        return []

    def drain(self, *, final: bool = False) -> list[LogLine]:
        """Copy a batch of lines from the spool to the log; empty if there are no more yet.

        final: nobody writes to the spool any more, so its last line needs no line break.
        """
        if self._spool < 0:
            return []
        data = os.pread(self._spool, BATCH, self._read)
        if not data:
            self._catching_up = False
            return []
        at = self._clock()
        if self._catching_up:
            # Written while no opsbot ran: the spool's modification time is more accurate than now.
            at = min(at, datetime.fromtimestamp(os.fstat(self._spool).st_mtime, UTC))
            self._catching_up = len(data) == BATCH
        pieces, used = _cut(data, final=final and len(data) < BATCH, more=self._more)
        if not used:
            return []
        self._read += used
        try:
            self._put(pieces, at)
        except OSError:
            # The disk is full: the lines stay in the spool and are copied later.
            self._read -= used
            raise
        self._more = not data[:used].endswith(b"\n")
        if self._read - self._given_back >= _GIVE_BACK and _free_start(self._spool, self._read):
            self._given_back = self._read
        return [LogLine(at, text, level_of(text) if self.heard else "", self._run) for _, text in pieces]

    def _put(self, pieces: list[tuple[str, str]], at: datetime) -> None:
        old = self._log.turn(at) if self._log.due(at) else None
        time = stamp(at)
        if self._log.position[1] == 0 and self._run:
            self._log.write(f"{time} {NOTE} run {self._run}\n".encode())
        self._log.write("".join(f"{time} {mark} {text}\n" for mark, text in pieces).encode())
        part, length = self._log.position
        fields = [f".{self._run}", str(self._read), f".{part}", str(length)]
        os.pwrite(self._position_fd, " ".join([*fields, f"{_sum(fields):08x}"]).ljust(_POSITION_LENGTH).encode(), 0)
        if old is not None:
            # Only now: until the position names the new part, the next opsbot may have to cut this one back.
            self._log.pack(old, self._clock())

    def close(self) -> None:
        self._log.close()
        for fd in (self._spool, self._position_fd):
            if fd >= 0:
                os.close(fd)
        self._spool = self._position_fd = -1


def _free_start(fd: int, length: int) -> bool:
    """Free the first bytes, but keep the size (fallocate(2)); False if unsupported."""
    call = _libc.fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(call(fd, _PUNCH_HOLE_KEEP_SIZE, 0, length) == 0)


def _sum(fields: list[str]) -> int:
    return zlib.crc32(" ".join(fields).encode())


def _cut(data: bytes, *, final: bool, more: bool) -> tuple[list[tuple[str, str]], int]:
    """Whole lines and pieces of long ones, and the bytes used.

    more: the first piece continues a line.
    """
    pieces: list[tuple[str, str]] = []
    at = 0
    while at < len(data):
        end = data.find(b"\n", at, at + LINE_AT_MOST + 1)
        whole = end >= 0
        if not whole and len(data) - at > LINE_AT_MOST:
            end = at + LINE_AT_MOST
            if data[end] & 0xC0 == 0x80:  # noqa: PLR2004 - within a character of several bytes
                tail = _CONTINUATION.search(data[at:end])
                end = at + tail.start() - 1 if tail else end
        elif not whole and final:
            end = len(data)
        elif not whole:
            break
        pieces.append((MORE if more else LINE, _clean(data[at:end])))
        at, more = end + whole, not whole
    return pieces, at


def _clean(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r").replace("\0", "\ufffd")
