"""A service is killed with SIGKILL: until the alert message is in the channel, and until the service answers again.

Each of many services is killed once, so that no back-off after an earlier death is measured. Baselines: a loop that
looks each second and sends a message, as a cron job would if cron had seconds; Monit at its shortest cycle, which tells
by mail; for the answer, a parent that waits for its child and starts it again at once.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import Row, Scale, quantile, row, skipped
from benchmarks._bed import SERVER, Bed, end, free_ports, open_bed, serving
from benchmarks._monit import available, open_monit
from opsbot.standin import Standin

KILLS = 30
REST = 2.2
"""Seconds between two kills: each makes two messages, and Discord takes five in five seconds."""

SERVICE = """\
[services.s{number}]
manager = "process"
command = ["{python}", "-S", "-E", "server.py"]
working_directory = "{folder}"
environment = {{ PORT = "{port}" }}
startup_grace = "2s"

[[services.s{number}.checks]]
kind = "process"
interval = "5s"

[[services.s{number}.checks]]
kind = "http"
url = "http://127.0.0.1:{port}/"
interval = "5s"
timeout = "2s"
"""
MONIT = """\
set mailserver 127.0.0.1 port {mail}
set alert ops@localhost
check process web with pidfile {folder}/web.pid
  start program = "/bin/sh {folder}/start.sh"
"""
START = """\
cd {folder}
PORT={port} {python} -S -E server.py </dev/null >/dev/null 2>&1 &
echo $! > web.pid
"""
LOOP = """\
import json, os, subprocess, sys, time, urllib.request
url, token, service = sys.argv[1], os.environ["LOOP_TOKEN"], sys.argv[2:]
child = subprocess.Popen(service, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
while True:
    time.sleep(1)
    if child.poll() is None:
        continue
    body = json.dumps({"content": f"the service died: {child.returncode}"}).encode()
    headers = {"Authorization": f"Bot {token}", "Content-Type": "application/json", "User-Agent": "DiscordBot (x, 1)"}
    urllib.request.urlopen(urllib.request.Request(url, body, headers)).read()
    child = subprocess.Popen(service, stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
"""


@dataclass(slots=True)
class Times:
    """Seconds from each kill to the word about it, and to the next answer."""

    told: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)

    async def kill(self, pid: int, port: int, message: "asyncio.Future[float]") -> None:
        """Kill it once. `message` is the moment of the word about it."""
        began = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        self.answered.append(await _answering(port) - began)
        async with asyncio.timeout(20):
            self.told.append(await message - began)


async def _answering(port: int) -> float:
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


def _listening(standin: Standin) -> Inbox:
    inbox = Inbox()
    standin.state.listeners.append(
        lambda event: inbox.offer(json.dumps(event.data)) if event.name == "MESSAGE_CREATE" else None
    )
    return inbox


async def _opsbot(folder: Path, kills: int) -> Times:
    ports = free_ports(kills)
    (folder / "server.py").write_text(SERVER)
    services = "\n".join(
        SERVICE.format(number=number, port=port, folder=folder, python=sys.executable)
        for number, port in enumerate(ports)
    )
    times = Times()
    async with open_bed(folder, services) as bed:
        await serving(ports)
        await asyncio.sleep(7)  # every check was well once, the start's grace is over
        inbox = _listening(bed.standin)
        for number, port in enumerate(ports):
            await times.kill(_pid(bed, number), port, inbox.next(f"s{number} "))
            await asyncio.sleep(REST + random.random())  # noqa: S311 - any phase of the ticks
    return times


def _pid(bed: Bed, number: int) -> int:
    pid = bed.service_pid(f"s{number}")
    assert pid is not None
    return pid


async def _loop(folder: Path, kills: int) -> Times:
    (port,) = free_ports(1)
    times = Times()
    async with Standin() as standin:
        url = f"{standin.api_url}/channels/{standin.ops_channel_id}/messages"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LOOP, url, sys.executable, "-S", "-E", str(folder / "server.py")),
            env={**os.environ, "PORT": str(port), "LOOP_TOKEN": standin.token},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        inbox = _listening(standin)
        pid = 0
        try:
            for _ in range(kills):
                pid = int(await process.stdout.readline())
                await serving([port])
                await asyncio.sleep(random.random())  # noqa: S311 - any phase of the loop
                await times.kill(pid, port, inbox.next("died"))
            pid = int(await process.stdout.readline())
        finally:
            process.kill()
            await process.wait()
            if pid:
                os.kill(pid, signal.SIGKILL)
    return times


@asynccontextmanager
async def _mail(inbox: Inbox) -> AsyncIterator[int]:
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


async def _monit(folder: Path, kills: int) -> Times:
    (port,) = free_ports(1)
    times, inbox = Times(), Inbox()
    (folder / "start.sh").write_text(START.format(folder=folder, port=port, python=sys.executable))
    await (await asyncio.create_subprocess_exec("sh", str(folder / "start.sh"))).wait()
    pid_file = folder / "web.pid"
    async with AsyncExitStack() as stack:
        stack.callback(lambda: os.kill(int(pid_file.read_text()), signal.SIGKILL))
        mail = await stack.enter_async_context(_mail(inbox))
        checks = MONIT.format(mail=mail, folder=folder)
        await stack.enter_async_context(open_monit(folder / "monit", checks, 1))
        for _ in range(kills):
            await serving([port])
            await asyncio.sleep(2 + random.random())  # noqa: S311 - any phase of its cycle
            await times.kill(int(pid_file.read_text()), port, inbox.next("not running"))
    return times


async def _respawn(folder: Path, kills: int) -> list[float]:
    """A parent that starts its child again the moment it hears of its death."""
    (port,) = free_ports(1)
    times: list[float] = []

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-S", "-E", str(folder / "server.py")],
            env={**os.environ, "PORT": str(port)},
            start_new_session=True,
        )

    child = start()
    try:
        for _ in range(kills):
            await serving([port])
            began = time.perf_counter()
            child.kill()
            await asyncio.to_thread(child.wait)
            child = start()
            times.append(await _answering(port) - began)
    finally:
        await asyncio.to_thread(end, child)
    return times


def _rows(name: str, ours: list[float], theirs: str, baseline: list[float], aim: str = "") -> list[Row]:
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


async def run(scale: Scale) -> list[Row]:
    """Everything on the same small web server."""
    kills = scale.times(KILLS)
    told, answer = "kill to alert received", "kill to service answering again"
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        ours = await _opsbot(folder, kills)
        bare = await _respawn(folder, kills)
        loop = await _loop(folder, kills)
        rows = _rows(told, ours.told, "a look each second", loop.told, "≤ 50 ms")
        rows += _rows(answer, ours.answered, "bare respawn", bare)
        rows += _rows(answer, ours.answered, "a look each second", loop.answered)
        if not available():
            return [*rows, skipped(f"{told}, against Monit", "monit is not installed")]
        monit = await _monit(folder, kills)
        rows += _rows(told, ours.told, "Monit, 1 s cycle", monit.told, "≤ 50 ms")
        rows += _rows(answer, ours.answered, "Monit, 1 s cycle", monit.answered)
    return rows
