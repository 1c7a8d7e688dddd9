"""A client that asks a service every 5 ms, and says when and for how long it was not answered."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks._bed import answers

EVERY = 0.005


class Client:
    """What has been answered so far."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.last = b""
        """The last good answer."""
        self.changed_at = 0.0
        """When an answer first differed from the one before."""
        self.down = 0.0
        """Seconds without a good answer since `forget`: from the last one before a failure to the first one after."""
        self._good_at = time.perf_counter()
        self._failing = False

    def forget(self) -> None:
        """Count anew."""
        self.down = 0.0

    @property
    def well(self) -> bool:
        """Whether the last question was answered well."""
        return not self._failing

    async def ask(self) -> None:
        """Ask once."""
        asked = time.perf_counter()
        answer = await answers(self.port)
        if answer is None:
            self._failing = True
            return
        if self._failing:
            self.down += time.perf_counter() - self._good_at
            self._failing = False
        body = answer.partition(b"\r\n\r\n")[2]
        if body != self.last:
            self.last, self.changed_at = body, time.perf_counter()
        self._good_at = asked

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            began = time.perf_counter()
            await self.ask()
            await asyncio.sleep(max(EVERY - (time.perf_counter() - began), 0.0))


@asynccontextmanager
async def asking(port: int) -> AsyncIterator[Client]:
    """A client that asks all the while."""
    client = Client(port)
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
