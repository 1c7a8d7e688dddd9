"""The whole daemon at rest with 10 units, and while 200 units that are none of its own are restarted.

Beside it, at the same time, in the same minute: a daemon that supervises 10 processes itself, and Monit on the 10 main
processes. Checks are those that a service has where none is configured (one of its unit or process, each 30 s); Monit's
cycle is as long. Both daemons are connected to a Discord stand-in.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks import Row, Scale, row, skipped
from benchmarks._bed import open_bed
from benchmarks._lab import main_pid, systemctl, units
from benchmarks._monit import available, open_monit
from benchmarks._usage import anonymous, cpu, rss

SIZE = 10
STORM = 200
SECONDS = 60
SETTLE = 12
"""Seconds before the measurement begins: start-up is another matter."""
CYCLE = 30

SLEEPER = "[Service]\nType=exec\nUser=nobody\nExecStart=/bin/sleep infinity\n"
UNIT = '[services.u{number}]\nmanager = "systemd"\nunit = "bench-idle{number}.service"\n'
PROCESS = '[services.p{number}]\nmanager = "process"\ncommand = ["sleep", "infinity"]\nworking_directory = "/"\n'
MONIT = "check process u{number} with pidfile {folder}/u{number}.pid\n"


@asynccontextmanager
async def _monit(folder: Path, names: Sequence[str]) -> AsyncIterator[int]:
    for number, name in enumerate(names):
        (folder / f"u{number}.pid").write_text(f"{await main_pid(name)}\n")
    checks = "".join(MONIT.format(number=number, folder=folder) for number in range(len(names)))
    async with open_monit(folder / "monit", checks, CYCLE) as pid:
        yield pid


async def _used(pids: Sequence[int], seconds: float) -> list[float]:
    """CPU of each, in % of one."""
    before = [cpu(pid) for pid in pids]
    await asyncio.sleep(seconds)
    return [(cpu(pid) - was) / seconds * 100 for pid, was in zip(pids, before, strict=True)]


async def _storm(pid: int, count: int) -> tuple[float, float, float]:
    """Restart so many; seconds of CPU of the daemon, of systemd and of the bus."""
    watched = (pid, 1, await main_pid("dbus.service"))
    before = [cpu(each) for each in watched]
    began = time.monotonic()
    await systemctl("restart", *(f"bench-other@{number}.service" for number in range(count)))
    await asyncio.sleep(max(2.0, 5 - (time.monotonic() - began)))
    ours, systemd, bus = (cpu(each) - was for each, was in zip(watched, before, strict=True))
    return ours, systemd, bus


async def run(scale: Scale) -> list[Row]:
    """At rest, then in the storm."""
    seconds, count = float(scale.times(SECONDS)), scale.times(STORM)
    texts = {f"bench-idle{number}.service": SLEEPER for number in range(SIZE)}
    others = {"bench-other@.service": SLEEPER}
    started = [f"bench-other@{number}.service" for number in range(count)]
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        folder = Path(made)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(units(texts))
            services = "\n".join(UNIT.format(number=number) for number in range(SIZE))
            ours = await stack.enter_async_context(open_bed(folder / "units", services))
            services = "\n".join(PROCESS.format(number=number) for number in range(SIZE))
            own = await stack.enter_async_context(open_bed(folder / "processes", services))
            monit = await stack.enter_async_context(_monit(folder, list(texts))) if available() else None
            await asyncio.sleep(SETTLE)
            pids = [ours.pid, own.pid, *([monit] if monit else [])]
            used = await _used(pids, seconds)
            held = [rss(pid) for pid in pids]
            note = f"own: {anonymous(ours.pid):.1f} MB"
            await stack.enter_async_context(units(others, *started))
            await asyncio.sleep(2)
            storm = await _storm(ours.pid, count)
            after = rss(ours.pid)
    rows = [
        row(f"{SIZE} units at rest: RSS", held[0], "MB", f"{SIZE} processes of its own", held[1], "< 64", note),
        row(f"{SIZE} units at rest: CPU", used[0], "% of a CPU", f"{SIZE} processes of its own", used[1]),
    ]
    if monit is None:
        rows.append(skipped(f"{SIZE} units at rest, against Monit", "monit is not installed"))
    else:
        rows.append(row(f"{SIZE} units at rest: RSS", held[0], "MB", "Monit, 30 s cycle", held[2], "< 64"))
        rows.append(row(f"{SIZE} units at rest: CPU", used[0], "% of a CPU", "Monit, 30 s cycle", used[2]))
    name = f"{count} other units are restarted: CPU of the daemon"
    note = f"dbus-daemon: {storm[2] * 1000:.0f} ms; RSS after it {after:.1f} MB"
    rows.append(row(name, storm[0] * 1000, "ms", "systemd itself", storm[1] * 1000, note=note))
    return rows
