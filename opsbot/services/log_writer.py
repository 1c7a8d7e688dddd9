"""Writes a service's output into its log, and passes it to followers."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from pathlib import Path

from opsbot.config import Service
from opsbot.services.log_reader import read
from opsbot.services.output import Output
from opsbot.services.port import LogLine, LogQuery
from opsbot.services.spool_watch import SpoolWatcher

log = logging.getLogger(__name__)

_QUEUED_AT_MOST = 1000
"""Lines kept for a follower that does not read."""
_BATCHES_AT_ONCE = 64


class LogWriter:
    """Writes the log of one service. Errors of the disk are logged only."""

    def __init__(self, service: Service, directory: Path, clock: Callable[[], datetime], spools: SpoolWatcher) -> None:
        """directory: the service's own."""
        self._name = service.name
        self._output = Output(directory, service.log_keep, service.log_size, clock)
        self._spools = spools
        self._followers: set[asyncio.Queue[LogLine]] = set()
        self._lock = asyncio.Lock()

    def spool(self, run: str) -> Path:
        return self._output.spool(run)

    def open(self) -> None:
        """Continue where the previous opsbot stopped. Blocks. Raises OSError."""
        self._output.open()

    async def begin(self, run: str) -> None:
        """Follow the output of this run, after the rest of the previous one."""
        await self._write(self._output.begin, run)
        self._spools.watch(self._name, self.spool(run))
        await self.drain()

    async def finish(self, note: str) -> None:
        """Write the rest of the output of a run that has ended, then a note."""
        await self._write(self._output.finish, note)

    async def remark(self, note: str) -> None:
        await self._write(self._output.remark, note)

    async def drain(self) -> None:
        for _ in range(_BATCHES_AT_ONCE):
            if not await self._write(self._output.drain):
                return
        # There is more, perhaps without end: let others run first.
        self._spools.again(self._name)

    async def _write(self, write: Callable[..., list[LogLine]], *arguments: str) -> bool:
        """Call it in a thread and pass lines to followers; return whether there were any."""
        try:
            async with self._lock:
                self._output.heard = bool(self._followers)
                lines = await asyncio.to_thread(write, *arguments)
                for queue in self._followers:
                    _hand(queue, lines)
        except OSError as error:
            log.warning("%s: its log cannot be written: %s", self._name, error)
            return False
        return bool(lines)

    async def lines(self, query: LogQuery, run: str | None) -> list[LogLine]:
        """See `opsbot.services.log_reader.read`."""
        await self.drain()
        return await asyncio.to_thread(read, self._output.log_directory, query, run)

    async def follow(self) -> AsyncGenerator[LogLine, None]:
        """Lines as they are written. A slow reader loses the oldest; the log has them all."""
        queue: asyncio.Queue[LogLine] = asyncio.Queue(_QUEUED_AT_MOST)
        self._followers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._followers.discard(queue)

    async def close(self) -> None:
        await self.drain()
        async with self._lock:
            await asyncio.to_thread(self._output.close)


def _hand(queue: asyncio.Queue[LogLine], lines: list[LogLine]) -> None:
    for line in lines:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(line)
