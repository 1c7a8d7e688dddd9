"""500 services whose checks fail and pass by turns, each second: how long the event loop keeps others waiting.

The watcher, its casebook and its store are the real ones, in a process of their own; what the checks see is made up, so
that only opsbot's own work is measured. The baseline is the same with all checks well.
"""

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from benchmarks import Row, Scale, quantile, row
from opsbot.config import Check, CheckKind, ManagerKind, Service
from opsbot.core.health import ProbeResult
from opsbot.core.message import plain
from opsbot.core.recovery import RecoveryPolicy
from opsbot.monitoring import ServiceMonitor
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import Activity, LogLine, LogQuery, ServiceEvent, ServiceManager, ServiceState
from opsbot.store import Store, outbox

if TYPE_CHECKING:
    from opsbot.deploy.deployer import Deployer
    from opsbot.probes import Prober

SERVICES = 500
SECONDS = 60
BEAT = 0.01
"""Seconds between two beats; what one comes late by, others have waited."""
CHECK = Check("http", CheckKind.HTTP, timedelta(seconds=1))


class _Calm:
    """A manager whose services run, and say nothing."""

    state_now = ServiceState(Activity.RUNNING, pid=1, run="1", started_at=datetime(2026, 1, 1, tzinfo=UTC))

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def listen(self, listener: Callable[[ServiceEvent], None]) -> None: ...

    async def start(self, service: str) -> ServiceState:
        return await self.state(service)

    async def stop(self, service: str) -> ServiceState:
        return await self.state(service)

    def parts(self, service: str) -> tuple[str, ...]:
        del service
        return ()

    async def restart(self, service: str, part: str | None = None) -> ServiceState:
        del part
        return await self.state(service)

    async def state(self, service: str, *, refresh: bool = False) -> ServiceState:
        del service, refresh
        return self.state_now

    async def logs(self, service: str, query: LogQuery) -> list[LogLine]:
        del service, query
        return []

    async def follow(self, service: str) -> AsyncIterator[LogLine]:
        del service
        nothing: tuple[LogLine, ...] = ()
        for line in nothing:
            yield line


class _ByTurns:
    """Sees each check fail and pass by turns; or always well."""

    def __init__(self, *, flapping: bool) -> None:
        self._flapping = flapping
        self._looks: dict[str, int] = {}

    def quick(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        del check, state
        count = self._looks[service.name] = self._looks.get(service.name, 0) + 1
        ok = not self._flapping or count % 2 == 0
        return ProbeResult(ok, plain("well" if ok else "no answer"), datetime.now(UTC))


class _Idle:
    """A deployer that deploys nothing."""

    def busy(self, service: str) -> bool:
        del service
        return False

    def on_finish(self, callback: Callable[..., None]) -> None: ...


@asynccontextmanager
async def _beating(late: list[float]) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            due = time.monotonic() + BEAT
            await asyncio.sleep(BEAT)
            late.append(max(time.monotonic() - due, 0.0) * 1000)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _storm(folder: Path, seconds: int, *, flapping: bool) -> tuple[list[float], int]:
    """By how many milliseconds the beats were late, and how many messages were to be sent."""
    services = {
        f"s{number}": Service(
            f"s{number}", ManagerKind.PROCESS, ("x",), checks=(CHECK,), recovery=RecoveryPolicy(restart=False)
        )
        for number in range(SERVICES)
    }
    managers: dict[str, ServiceManager] = dict.fromkeys(services, _Calm())
    late: list[float] = []
    async with Store(folder / "storm.sqlite3") as store:
        prober, deployer = cast("Prober", _ByTurns(flapping=flapping)), cast("Deployer", _Idle())
        watcher = ServiceMonitor(services, store, ChangeNotifier(), managers, prober, deployer)
        await watcher.open()
        async with _beating(late):
            for _ in range(seconds):
                began = time.monotonic()
                await watcher.tick()
                await asyncio.sleep(max(1.0 - (time.monotonic() - began), 0.0))
        await watcher.close()
        waiting, _ = await store.read(outbox.waiting)
    return late, waiting


async def run(scale: Scale) -> list[Row]:
    """The lag with all flapping, beside that with all well."""
    seconds = max(scale.times(SECONDS), 30)
    logging.getLogger("opsbot").setLevel(logging.CRITICAL)  # a line an incident would be the terminal's time
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        calm, _ = await _storm(Path(name) / "calm", seconds, flapping=False)
        late, messages = await _storm(Path(name) / "storm", seconds, flapping=True)
    label = f"{SERVICES} flapping checks, each second: event loop late"
    return [
        row(f"{label}, p50", quantile(late, 0.5), "ms", "all well", quantile(calm, 0.5)),
        row(f"{label}, p99", quantile(late, 0.99), "ms", "all well", quantile(calm, 0.99), "≤ 100"),
        row(f"{label}, worst", max(late), "ms", "all well", max(calm)),
        row(f"{SERVICES} flapping checks: messages within {seconds} s", messages, "", note="one each, then edits"),
    ]
