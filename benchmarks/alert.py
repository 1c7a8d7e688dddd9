"""A service is killed with SIGKILL: until the alert message is in the channel, and until the service answers again.

Each of many services is killed once, so that no back-off after an earlier death is measured, and seldom enough that
none of the alerts is part of a storm. Baselines: a loop that looks each second and sends a message, as a cron job
would if cron had seconds; Monit at its shortest cycle, which sends mail; for the answer, a parent that waits for its
child and starts it again at once.

Then all services are killed at once: until the first alert, and until the channel names every one of them. Baseline:
one message for each, as fast as Discord takes them.
"""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks import Row, Scale, row, skipped
from benchmarks._bed import SERVER, Bed, end, free_ports, open_bed, serving
from benchmarks._monit import available, open_monit
from benchmarks._told import Inbox, Times, answering, listening, mail_server, rows_of
from opsbot.core.storm import MANY, WITHIN
from opsbot.standin import Standin

KILLS = 30
REST = WITHIN.total_seconds() / MANY + 0.2
"""Seconds between two kills: more alerts within a minute are a storm, which waits for further ones on purpose."""
PER_SECOND = 1.0
"""Messages that Discord takes in a channel: five in five seconds."""

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
        inbox = listening(bed.standin)
        for number, port in enumerate(ports):
            await times.kill(_pid(bed, number), port, inbox.next(f"s{number} "))
            await asyncio.sleep(REST + random.random())  # noqa: S311 - any phase of the ticks
    return times


async def _storm(folder: Path, kills: int) -> tuple[float, float]:
    """Seconds from the death of all services to the first alert, and until the channel names all of them."""
    folder.mkdir()
    ports = free_ports(kills)
    (folder / "server.py").write_text(SERVER)
    services = "\n".join(
        SERVICE.format(number=number, port=port, folder=folder, python=sys.executable)
        for number, port in enumerate(ports)
    )
    async with open_bed(folder, services) as bed:
        await serving(ports)
        await asyncio.sleep(7)  # every check was well once, the start's grace is over
        named: dict[int, float] = {}
        everybody = asyncio.Event()

        def look(text: str) -> None:
            for number in range(kills):
                if number not in named and re.search(rf"\bs{number}\b", text):
                    named[number] = time.perf_counter()
            if len(named) == kills:
                everybody.set()

        heard = {"MESSAGE_CREATE", "MESSAGE_UPDATE"}
        bed.standin.state.listeners.append(lambda event: look(json.dumps(event.data)) if event.name in heard else None)
        pids = [_pid(bed, number) for number in range(kills)]
        began = time.perf_counter()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(120):
            await everybody.wait()
    return min(named.values()) - began, max(named.values()) - began


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
        inbox = listening(standin)
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


async def _monit(folder: Path, kills: int) -> Times:
    (port,) = free_ports(1)
    times, inbox = Times(), Inbox()
    (folder / "start.sh").write_text(START.format(folder=folder, port=port, python=sys.executable))
    await (await asyncio.create_subprocess_exec("sh", str(folder / "start.sh"))).wait()
    pid_file = folder / "web.pid"
    async with AsyncExitStack() as stack:
        stack.callback(lambda: os.kill(int(pid_file.read_text()), signal.SIGKILL))
        mail = await stack.enter_async_context(mail_server(inbox))
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
            times.append(await answering(port) - began)
    finally:
        await asyncio.to_thread(end, child)
    return times


async def run(scale: Scale) -> list[Row]:
    """Everything on the same small web server."""
    kills = scale.times(KILLS)
    told, answer = "kill to alert received", "kill to service answering again"
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        ours = await _opsbot(folder, kills)
        bare = await _respawn(folder, kills)
        loop = await _loop(folder, kills)
        rows = rows_of(told, ours.told, "a look each second", loop.told, "≤ 50 ms")
        rows += rows_of(answer, ours.answered, "bare respawn", bare)
        rows += rows_of(answer, ours.answered, "a look each second", loop.answered)
        many = max(kills, 2 * MANY)
        first, last = await _storm(folder / "storm", many)
        limit = "one message each, at Discord's limit"
        rows.append(row(f"{many} services killed at once: first alert", first, "s", limit, 1 / PER_SECOND))
        rows.append(row(f"{many} services killed at once: all are named", last, "s", limit, many / PER_SECOND))
        if not available():
            return [*rows, skipped(f"{told}, against Monit", "monit is not installed")]
        monit = await _monit(folder, kills)
        rows += rows_of(told, ours.told, "Monit, 1 s cycle", monit.told, "≤ 50 ms")
        rows += rows_of(answer, ours.answered, "Monit, 1 s cycle", monit.answered)
    return rows
