"""A service's output as it goes into its log, and to whoever follows."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from pathlib import Path

from opsbot.config import Service
from opsbot.services.log_reader import read
from opsbot.services.output import Output
from opsbot.services.port import LogLine, LogQuery
from opsbot.services.spool_watch import SpoolWatch

log = logging.getLogger(__name__)

_HEARD_AT_MOST = 1000
"""Lines kept for one who follows and does not read."""
_BATCHES_AT_ONCE = 64


class Transcript:
    """Keeps the log of one service. A log that cannot be written is said so, and stops nothing."""

    def __init__(self, service: Service, directory: Path, clock: Callable[[], datetime], spools: SpoolWatch) -> None:
        """`directory` is the service's own."""
        self._name = service.name
        self._output = Output(directory, service.log_keep, service.log_size, clock)
        self._spools = spools
        self._followers: set[asyncio.Queue[LogLine]] = set()
        self._lock = asyncio.Lock()

    def spool(self, run: str) -> Path:
        """The file that takes the output of a run."""
        return self._output.spool(run)

    def open(self) -> None:
        """Go on where the last opsbot was. Blocks.

        Raises:
            OSError: a file cannot be opened.
        """
        self._output.open()

    async def begin(self, run: str) -> None:
        """Take the output of this run from now on, after the last of the run before."""
        await self._write(self._output.begin, run)
        self._spools.watch(self._name, self.spool(run))
        await self.drain()

    async def finish(self, note: str) -> None:
        """Take the last of what was written in a run that is over, then note something."""
        await self._write(self._output.finish, note)

    async def remark(self, note: str) -> None:
        """Note something."""
        await self._write(self._output.remark, note)

    async def drain(self) -> None:
        """Take what was written until now."""
        for _ in range(_BATCHES_AT_ONCE):
            if not await self._write(self._output.drain):
                return
        # There is more, and perhaps no end to it: others have their turn first.
        self._spools.again(self._name)

    async def _write(self, deed: Callable[..., list[LogLine]], *arguments: str) -> bool:
        """Do this in a thread, and hand the lines it gives to who follows; whether there were any."""
        try:
            async with self._lock:
                self._output.heard = bool(self._followers)
                lines = await asyncio.to_thread(deed, *arguments)
                for queue in self._followers:
                    _hand(queue, lines)
        except OSError as error:
            log.warning("%s: its log cannot be written: %s", self._name, error)
            return False
        return bool(lines)

    async def lines(self, query: LogQuery, run: str | None) -> list[LogLine]:
        """Lines that fit the query, those written a moment ago too.

        Raises:
            ManagerError: the query is none that can be answered.
        """
        await self.drain()
        return await asyncio.to_thread(read, self._output.log_directory, query, run)

    async def follow(self) -> AsyncGenerator[LogLine, None]:
        """Lines as they are written. Who reads too slowly loses the oldest; the log has them all."""
        queue: asyncio.Queue[LogLine] = asyncio.Queue(_HEARD_AT_MOST)
        self._followers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._followers.discard(queue)

    async def close(self) -> None:
        """Take what was written until now, and no more."""
        await self.drain()
        async with self._lock:
            await asyncio.to_thread(self._output.close)


def _hand(queue: asyncio.Queue[LogLine], lines: list[LogLine]) -> None:
    for line in lines:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(line)
