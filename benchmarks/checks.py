"""CPU of a check and of doing nothing else, and memory, with 1, 50 and 500 checks each 5 s; Monit beside it.

Both watch the same processes and ports, at the same time and at the same interval: process, port and HTTP of each
service. All CPU of the daemon counts, not only that of its checks: its loops, its gateway connection, its store.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import Row, Scale, row, skipped
from benchmarks._bed import Bed, end, free_ports, open_bed, serving
from benchmarks._monit import available, open_monit
from benchmarks._usage import anonymous, cpu, rss

INTERVAL = 5
SECONDS = 60
SETTLE = 12
"""Seconds before the measurement begins: start-up is another matter."""
SIZES = (1, 50, 500)

SERVICE = """\
[services.s{number}]
manager = "process"
command = ["sleep", "infinity"]
working_directory = "{folder}"
startup_grace = "2s"
"""
CHECKS = {
    "process": 'kind = "process"\n',
    "tcp": 'kind = "tcp"\nport = {port}\n',
    "http": 'kind = "http"\nurl = "http://127.0.0.1:{port}/health"\n',
}
MONIT = """\
check process s{number} with pidfile {folder}/s{number}.pid
  if failed host 127.0.0.1 port {port} type tcp then alert
  if failed host 127.0.0.1 port {port} protocol http request "/health" then alert
"""

TARGET = """\
import asyncio, sys

class Caller(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
        self.transport.close()

async def main():
    loop = asyncio.get_running_loop()
    for port in sys.argv[1:]:
        await loop.create_server(Caller, "127.0.0.1", int(port), backlog=32)
    await asyncio.Event().wait()

asyncio.run(main())
"""
"""Listens for all the services: their processes only sleep, so that 167 of them fit into memory."""


@dataclass(frozen=True, slots=True)
class Used:
    """What the daemon, and Monit beside it, used: seconds of CPU a second, and MB."""

    daemon: float
    memory: float
    own: float
    monit: float | None = None
    monit_memory: float | None = None


@asynccontextmanager
async def _target(ports: Sequence[int]) -> AsyncIterator[None]:
    process = subprocess.Popen([sys.executable, "-c", TARGET, *map(str, ports)])
    try:
        await serving(ports)
        yield
    finally:
        await asyncio.to_thread(end, process)


def _services(folder: Path, ports: Sequence[int], kinds: Sequence[str]) -> str:
    parts = []
    for number, port in enumerate(ports):
        parts.append(SERVICE.format(number=number, folder=folder))
        for kind in kinds:
            settings = CHECKS[kind].format(port=port)
            parts.append(f'[[services.s{number}.checks]]\n{settings}interval = "{INTERVAL}s"\ntimeout = "3s"\n')
    return "\n".join(parts)


async def _watch(folder: Path, ports: Sequence[int], kinds: Sequence[str], seconds: float, *, monit: bool) -> Used:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_target(ports))
        bed = await stack.enter_async_context(open_bed(folder, _services(folder, ports, kinds)))
        beside = await stack.enter_async_context(_monit(bed, folder, ports)) if monit else None
        await asyncio.sleep(SETTLE)
        before = cpu(bed.pid), cpu(beside) if beside else 0.0
        await asyncio.sleep(seconds)
        ours, theirs = cpu(bed.pid) - before[0], (cpu(beside) if beside else 0.0) - before[1]
        down = [line for line in bed.tail().splitlines() if "is down" in line or "Traceback" in line]
        if down:
            raise RuntimeError(f"what is watched did not stay well: {down}")
        return Used(
            ours / seconds,
            rss(bed.pid),
            anonymous(bed.pid),
            theirs / seconds if beside else None,
            rss(beside) if beside else None,
        )


@asynccontextmanager
async def _monit(bed: Bed, folder: Path, ports: Sequence[int]) -> AsyncIterator[int]:
    for number in range(len(ports)):
        (folder / f"s{number}.pid").write_text(f"{bed.service_pid(f's{number}')}\n")
    checks = "".join(MONIT.format(number=number, folder=folder, port=port) for number, port in enumerate(ports))
    async with open_monit(folder / "monit", checks, INTERVAL) as pid:
        yield pid


async def run(scale: Scale) -> list[Row]:
    """One HTTP check; then 50 and 500 checks, three a service."""
    seconds = float(scale.times(SECONDS))
    rows: list[Row] = []
    for size in SIZES:
        kinds = ("http",) if size == 1 else ("process", "tcp", "http")
        ports = free_ports(-(-size // len(kinds)))
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            used = await _watch(Path(name), ports, kinds, seconds, monit=available() and size > 1)
        aim = "< 64" if size == 50 else ""
        label = f"{size} check{'s' * (size > 1)}, each 5 s"
        peer = "Monit" if size > 1 else ""
        rows.append(row(f"{label}: RSS", used.memory, "MB", peer, used.monit_memory, aim, f"own: {used.own:.1f} MB"))
        share = used.monit * 100 if used.monit is not None else None
        rows.append(row(f"{label}: CPU of the whole daemon", used.daemon * 100, "% of a CPU", peer, share))
        if size == 1:
            continue
        name = f"{label}: CPU per service (process + port + HTTP)"
        if used.monit is None:
            rows.append(skipped(f"{name} against Monit", "monit is not installed"))
        each = INTERVAL / len(ports) * 1000
        theirs = used.monit * each if used.monit is not None else None
        rows.append(row(name, used.daemon * each, "ms", peer, theirs, "≤ 1"))
    return rows
