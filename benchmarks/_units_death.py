"""The main process of a unit is killed with SIGKILL: until opsbot's event, its alert, and until all is well again.

Each unit is killed once a way, so that no back-off after an earlier death is measured. Units come in two kinds: those
that systemd itself starts again (Restart=), and those that it leaves dead. Baselines, on a unit of the second kind, or
they would see nothing: `systemctl is-active` each second, a message and a restart; and Monit at its shortest cycle.
"""

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import Row, Scale, skipped
from benchmarks._bed import SERVER, free_ports, open_bed, serving
from benchmarks._lab import main_pid, units
from benchmarks._monit import available, open_monit
from benchmarks._told import Inbox, Times, answering, listening, mail_server, rows_of
from opsbot.config import ManagerKind, Service
from opsbot.services.port import Happening
from opsbot.services.systemd.manager import Systemd
from opsbot.standin import Standin

KILLS = 20
LEFT_DEAD = 6
"""How many of the units that systemd leaves dead."""
REST = 6.5
"""Seconds between two kills at least: the alarms of more than ten services within a minute would be one message."""

UNIT = """\
[Service]
Type=exec
User=nobody
Environment=PORT={port}
ExecStart={python} -S -E {folder}/server.py
{restart}
"""
AGAIN = "Restart=on-failure\nRestartSec=100ms"
SERVICE = """\
[services.s{number}]
manager = "systemd"
unit = "{unit}"
startup_grace = "2s"

[[services.s{number}.checks]]
kind = "unit"
interval = "5s"

[[services.s{number}.checks]]
kind = "http"
url = "http://127.0.0.1:{port}/"
interval = "5s"
timeout = "2s"
"""
LOOP = """\
import json, os, subprocess, sys, time, urllib.request
url, unit, token = sys.argv[1], sys.argv[2], os.environ["LOOP_TOKEN"]
headers = {"Authorization": f"Bot {token}", "Content-Type": "application/json", "User-Agent": "DiscordBot (x, 1)"}
while True:
    time.sleep(1)
    if subprocess.run(["systemctl", "is-active", "--quiet", unit]).returncode == 0:
        continue
    print("seen", flush=True)
    body = json.dumps({"content": f"{unit} died"}).encode()
    urllib.request.urlopen(urllib.request.Request(url, body, headers)).read()
    subprocess.run(["systemctl", "reset-failed", unit])
    subprocess.run(["systemctl", "restart", unit])
"""
MONIT = """\
set mailserver 127.0.0.1 port {mail}
set alert ops@localhost
check process web matching "{folder}/server.py"
  start program = "/bin/sh -c 'systemctl reset-failed {unit}; systemctl restart {unit}'"
"""


@dataclass(slots=True)
class Deaths(Times):
    """Also the seconds until the process had ended, until that was seen, and until all was said to be well again."""

    ended: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    well: list[float] = field(default_factory=list)


def _text(folder: Path, port: int, restart: str) -> str:
    return UNIT.format(port=port, folder=folder, python=sys.executable, restart=restart)


async def _events(folder: Path, ports: dict[str, int]) -> Deaths:
    """A manager alone, as the daemon has one, in this process."""
    times, inbox = Deaths(), Inbox()
    services = {unit: Service(unit, ManagerKind.SYSTEMD, units=(unit,)) for unit in ports}
    manager = Systemd(services, folder / "alone")
    manager.listen(lambda event: inbox.offer(f"{event.service} {event.what}"))
    await manager.open()
    try:
        for unit, port in ports.items():
            pid = (await manager.state(unit)).pid
            assert pid is not None
            died, ended = inbox.next(f"{unit} {Happening.DIED}"), _end_of(pid)
            began = time.perf_counter()
            os.kill(pid, signal.SIGKILL)
            times.seen.append(await asyncio.wait_for(died, 20) - began)
            times.ended.append(await asyncio.wait_for(ended, 20) - began)
            times.answered.append(await answering(port) - began)
            await asyncio.sleep(0.1)
    finally:
        await manager.close()
    return times


def _end_of(pid: int) -> "asyncio.Future[float]":
    """The moment at which the kernel says that a process has ended (pidfd_open(2))."""
    loop = asyncio.get_running_loop()
    handle, future = os.pidfd_open(pid), loop.create_future()

    def over() -> None:
        loop.remove_reader(handle)
        os.close(handle)
        future.set_result(time.perf_counter())

    loop.add_reader(handle, over)
    return future


async def _opsbot(folder: Path, ports: dict[str, int]) -> dict[bool, Deaths]:
    """The daemon; by whether systemd starts the unit again by itself."""
    numbered = list(enumerate(ports.items()))
    services = "\n".join(SERVICE.format(number=number, unit=unit, port=port) for number, (unit, port) in numbered)
    times = {True: Deaths(), False: Deaths()}
    async with open_bed(folder, services) as bed:
        await asyncio.sleep(7)  # every check was well once, the start's grace is over
        inbox = listening(bed.standin)
        for number, (unit, port) in numbered:
            known = times["again" in unit]
            told, well = inbox.next(f"s{number} "), inbox.next(f"s{number} recovered after")
            pid, began = await main_pid(unit), time.perf_counter()
            try:
                await known.kill(pid, port, told)
                known.well.append(await asyncio.wait_for(well, 30) - began)
            except TimeoutError as error:
                raise RuntimeError(f"{unit} was killed, and not all of it was told:\n{bed.tail()}") from error
            await asyncio.sleep(REST + random.random())  # noqa: S311 - any phase of the ticks
    return times


async def _loop(unit: str, port: int, kills: int) -> Deaths:
    times = Deaths()
    async with Standin() as standin:
        url = f"{standin.api_url}/channels/{standin.ops_channel_id}/messages"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LOOP, url, unit),
            env={**os.environ, "LOOP_TOKEN": standin.token},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        inbox = listening(standin)
        try:
            for _ in range(kills):
                await serving([port])
                await asyncio.sleep(1 + random.random())  # noqa: S311 - any phase of the loop
                pid, told = await main_pid(unit), inbox.next("died")
                seen, began = asyncio.create_task(_line(process.stdout)), time.perf_counter()
                await times.kill(pid, port, told)
                times.seen.append(await seen - began)
        finally:
            process.kill()
            await process.wait()
    return times


async def _line(stream: asyncio.StreamReader) -> float:
    async with asyncio.timeout(20):
        await stream.readline()
        return time.perf_counter()


async def _monit(folder: Path, unit: str, port: int, kills: int) -> Deaths:
    times, inbox = Deaths(), Inbox()
    async with AsyncExitStack() as stack:
        mail = await stack.enter_async_context(mail_server(inbox))
        checks = MONIT.format(mail=mail, folder=folder, unit=unit)
        await stack.enter_async_context(open_monit(folder / "monit", checks, 1))
        for _ in range(kills):
            await serving([port])
            await asyncio.sleep(2 + random.random())  # noqa: S311 - any phase of its cycle
            await times.kill(await main_pid(unit), port, inbox.next("not running"))
    return times


async def run(scale: Scale) -> list[Row]:
    """All of it on the same small web server."""
    kills, left_dead = scale.times(KILLS), scale.times(LEFT_DEAD)
    names = [f"bench-again{number}.service" for number in range(kills)]
    names += [f"bench-left{number}.service" for number in range(left_dead)]
    seen, told, answers = "kill to opsbot's event", "kill to alert received", "kill to answering again"
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "server.py").write_text(SERVER)
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        texts = {unit: _text(folder, port, AGAIN if "again" in unit else "") for unit, port in ports.items()}
        async with units(texts):
            await serving(list(ports.values()))
            await asyncio.sleep(3)
            alone = await _events(folder, {unit: port for unit, port in ports.items() if "again" in unit})
            ours = await _opsbot(folder, ports)
        (port,) = free_ports(1)
        async with units({"bench-loop.service": _text(folder, port, "")}):
            loop = await _loop("bench-loop.service", port, kills)
            monit = await _monit(folder, "bench-loop.service", port, kills) if available() else None
    again, left = ours[True], ours[False]
    each = "is-active each second"
    rows = rows_of(f"{seen} (a unit)", alone.seen, each, loop.seen, "≤ 10 ms")
    rows += rows_of(f"{seen} (a unit)", alone.seen, "the process's own end", alone.ended)
    rows += rows_of(f"{told} (a unit)", again.told, each, loop.told, "≤ 100 ms")
    rows += rows_of(f"{answers}, Restart=, RestartSec=100ms", again.answered, "systemd alone", alone.answered)
    rows += rows_of(f"{answers}, no Restart=", left.answered, each, loop.answered)
    rows += rows_of("kill to opsbot's word that all is well, Restart=", again.well, "answering again", again.answered)
    if monit is None:
        return [*rows, skipped(f"{told} (a unit), against Monit", "monit is not installed")]
    rows += rows_of(f"{told} (a unit)", again.told, "Monit, 1 s cycle", monit.told, "≤ 100 ms")
    rows += rows_of(f"{answers}, no Restart=", left.answered, "Monit, 1 s cycle", monit.answered)
    return rows
