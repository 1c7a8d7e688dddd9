"""What it costs to know how a unit stands: from what systemd signalled, asked over D-Bus, and by `systemctl show`.

CPU is that of the one who asks and its children; the note has what systemd and the bus spend on an answer besides. The
median of several rounds of all ways in turn, so that what else the machine does falls on all alike.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median

from benchmarks import Row, Scale, row
from benchmarks._lab import main_pid, units
from benchmarks._usage import cpu
from opsbot.config import ManagerKind, Service
from opsbot.services.systemd.manager import Systemd
from opsbot.services.systemd.names import SERVICE, UNIT

ROUNDS = 9
NAME = "bench-read.service"
TEXT = "[Service]\nType=exec\nUser=nobody\nExecStart=/bin/sleep infinity\n"
SHOWN = "ActiveState,SubState,MainPID,InvocationID,NRestarts,Result"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one read, in milliseconds. far: what systemd and the bus used for it."""

    wall: float
    cpu: float
    far: float


async def _cost(deed: Callable[[], Awaitable[object]], times: int, far: tuple[int, ...]) -> Cost:
    own, others, began = _own(), sum(map(cpu, far)), time.perf_counter()
    for _ in range(times):
        await deed()
    wall = time.perf_counter() - began
    each = 1000 / times
    return Cost(wall * each, (_own() - own) * each, (sum(map(cpu, far)) - others) * each)


def _own() -> float:
    return sum(use.ru_utime + use.ru_stime for use in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))


async def _show() -> None:
    process = await asyncio.create_subprocess_exec(
        "systemctl", "show", "-p", SHOWN, NAME, stdout=asyncio.subprocess.PIPE
    )
    assert b"ActiveState=active" in (await process.communicate())[0]


async def run(scale: Scale) -> list[Row]:
    """Four ways."""
    rounds = max(scale.times(ROUNDS), 3)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        manager = Systemd({"s": Service("s", ManagerKind.SYSTEMD, units=(NAME,))}, Path(folder))
        async with units({NAME: TEXT}):
            await manager.open()
            try:
                costs = await _rounds(manager, rounds)
            finally:
                await manager.close()
    shown = costs.pop("systemctl show")
    rows = []
    for name, each in costs.items():
        note = f"systemd and the bus besides: {each.far:.3f} ms, for systemctl show {shown.far:.3f} ms"
        aim = "≤ 0.1 of it" if "cached" in name or "Get of" in name else ""
        rows.append(row(f"state of a unit, {name}: time", each.wall, "ms", "systemctl show", shown.wall, aim))
        rows.append(row(f"state of a unit, {name}: CPU", each.cpu, "ms", "systemctl show", shown.cpu, aim, note))
    return rows


async def _rounds(manager: Systemd, rounds: int) -> dict[str, Cost]:
    far = (1, await main_pid("dbus.service"))

    async def all_of_it() -> None:
        await manager.bus.properties(NAME, UNIT)
        await manager.bus.properties(NAME, SERVICE)

    ways: dict[str, tuple[Callable[[], Awaitable[object]], int]] = {
        "cached": (lambda: manager.state("s"), 5000),
        "a Get of one property": (lambda: manager.bus.get(NAME, "ActiveState"), 200),
        "both GetAll, as after a reconnection": (all_of_it, 100),
        "systemctl show": (_show, 15),
    }
    seen: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (deed, times) in ways.items():
            seen[name].append(await _cost(deed, times, far))
    return {
        name: Cost(*(median(column) for column in zip(*((c.wall, c.cpu, c.far) for c in found), strict=True)))
        for name, found in seen.items()
    }
