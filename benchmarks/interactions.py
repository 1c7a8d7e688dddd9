"""Interaction received to first response, 500 of each with 20 at a time, beside an empty bot on the same discord.py.

A second is counted from the moment the stand-in sends the interaction to the moment the callback has come in. Stand-in
and driver share this process: their own work is in every figure, the baseline's too, but for this process's garbage
collector, whose visits of 30 ms would be the slowest of any hundred answers. The two bots take turns.
"""

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import Row, Scale, quantile, row
from benchmarks._bed import Bed, end, open_bed, until
from benchmarks._usage import rss
from opsbot.standin import Person, Response, Standin

COUNT = 500
AT_ONCE = 20
TURNS = 5
SERVICES = 3

SERVICE = """\
[services.{name}]
manager = "process"
command = ["sleep", "infinity"]
working_directory = "{folder}"

[[services.{name}.checks]]
kind = "process"
interval = "5s"
"""

Ask = Callable[[], Awaitable[float]]
"""Asks once; the seconds it took."""


def _taken(response: Response) -> float:
    if response.failed or response.first_response_seconds is None:
        raise RuntimeError(f"an interaction failed: {response.failed}")
    return response.first_response_seconds


async def _many(ask: Ask, count: int) -> list[float]:
    """Ask so often, `AT_ONCE` at a time."""
    left = iter(range(count))
    taken: list[float] = []

    async def worker() -> None:
        for _ in left:
            taken.append(await ask())  # noqa: PERF401 - the workers share the iterator

    gc.collect()
    gc.disable()
    try:
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    finally:
        gc.enable()
    return taken


@asynccontextmanager
async def _bare() -> AsyncIterator[Person]:
    async with Standin(rate_limits=False) as standin:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks._bare_bot"),
                *(standin.api_url, standin.gateway_url, str(standin.guild_id)),
            ],
            env={**os.environ, "BARE_BOT_TOKEN": standin.token},
            stdin=subprocess.DEVNULL,
        )
        try:
            await standin.wait_connected(30)
            await until(lambda: bool(standin.commands), 15)
            yield standin.member(standin.add_member("somebody"))
        finally:
            await asyncio.to_thread(end, process)


def _command(person: Person, name: str, **options: str) -> Ask:
    async def ask() -> float:
        return _taken(await person.run(name, channel_id=None, **options))

    return ask


def _typing(person: Person, name: str, option: str, expected: int) -> Ask:
    async def ask() -> float:
        began = time.perf_counter()
        choices = await person.autocomplete(name, option=option, value="s")
        if len(choices) != expected:
            raise RuntimeError(f"{len(choices)} choices and not {expected}: {choices}")
        return time.perf_counter() - began

    return ask


async def run(scale: Scale) -> list[Row]:
    """/status by an admin, /deploy refused to a viewer, and the autocompletion of a service."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        services = "\n".join(SERVICE.format(name=f"s{number}", folder=folder) for number in range(SERVICES))
        bed_standin = Standin(rate_limits=False)
        async with open_bed(folder, services, standin=bed_standin) as bed, _bare() as somebody:
            return await _measure(bed, somebody, scale)


async def _measure(bed: Bed, somebody: Person, scale: Scale) -> list[Row]:
    admin, viewer = bed.person("admin"), bed.person("viewer")
    bare, bare_typing = _command(somebody, "empty"), _typing(somebody, "empty", "word", 0)
    asked: list[tuple[str, Ask, Ask]] = [
        ("/status", _command(admin, "status"), bare),
        ("/deploy refused by rank", _command(viewer, "deploy", service="s0"), bare),
        ("autocompletion of a service", _typing(admin, "restart", "service", SERVICES), bare_typing),
    ]
    for _, ask, baseline in asked:
        await _many(ask, AT_ONCE)
        await _many(baseline, AT_ONCE)
    before = rss(bed.pid)
    rows, each = [], scale.times(COUNT) // TURNS
    for name, ask, baseline in asked:
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(TURNS):
            ours += await _many(ask, each)
            await asyncio.sleep(1)  # answers that still follow the deferral are not the baseline's to wait for
            theirs += await _many(baseline, each)
        rows += [
            row(
                f"{name}, 20 at a time: first response p{share * 100:.0f}",
                quantile(ours, share) * 1000,
                "ms",
                "an empty bot",
                quantile(theirs, share) * 1000,
                "≤ 50 ms" if share > 0.9 else "",
                f"n = {len(ours)}",
            )
            for share in (0.5, 0.99)
        ]
    grown = rss(bed.pid) - before
    rows.append(row(f"memory grown by {3 * each * TURNS} interactions", grown, "MB"))
    return rows
