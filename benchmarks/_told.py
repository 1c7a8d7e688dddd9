"""What is measured of a death: the moment of the word about it, and that of the next answer of the service."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks import Row, quantile, row
from opsbot.standin import Standin


@dataclass(slots=True)
class Times:
    """Seconds from each kill to the word about it, and to the next answer."""

    told: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)

    async def kill(self, pid: int, port: int, message: "asyncio.Future[float]") -> None:
        """Kill it once. `message` is the moment of the word about it."""
        began = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        self.answered.append(await answering(port) - began)
        async with asyncio.timeout(20):
            self.told.append(await message - began)


async def answering(port: int) -> float:
    """The moment at which it answers again; it is asked each 2 ms."""
    async with asyncio.timeout(20):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    if writer.get_extra_info("sockname") != writer.get_extra_info("peername"):
                        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                        if (await reader.read(100)).startswith(b"HTTP/1.1 200"):
                            return time.perf_counter()
                finally:
                    writer.transport.abort()
            except OSError:
                pass
            await asyncio.sleep(0.002)


class Inbox:
    """Hands out the moment of the first message that fits; messages are offered by whoever receives them."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, asyncio.Future[float]]] = []

    def next(self, word: str) -> "asyncio.Future[float]":
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((word, future))
        return future

    def offer(self, text: str) -> None:
        now = time.perf_counter()
        for word, future in self._waiting:
            if word in text and not future.done():
                future.set_result(now)
        self._waiting = [each for each in self._waiting if not each[1].done()]


def listening(standin: Standin) -> Inbox:
    inbox = Inbox()
    standin.state.listeners.append(
        lambda event: inbox.offer(json.dumps(event.data)) if event.name == "MESSAGE_CREATE" else None
    )
    return inbox


@asynccontextmanager
async def mail_server(inbox: Inbox) -> AsyncIterator[int]:
    """A mail server that hands each mail to the inbox; its port."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 bench\r\n")
        while line := await reader.readline():
            word = line.strip().upper()
            if word == b"DATA":
                writer.write(b"354 go on\r\n")
                text = await reader.readuntil(b"\r\n.\r\n")
                inbox.offer(text.decode(errors="replace"))
            writer.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")
            if word == b"QUIT":
                break
        writer.close()

    async with await asyncio.start_server(session, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])


def rows_of(name: str, ours: list[float], theirs: str, baseline: list[float], aim: str = "") -> list[Row]:
    return [
        row(
            f"{name}, p{share * 100:.0f}",
            quantile(ours, share) * 1000,
            "ms",
            theirs,
            quantile(baseline, share) * 1000,
            aim if share == 0.5 else "",
            f"n = {len(ours)}",
        )
        for share in (0.5, 0.9)
    ]
