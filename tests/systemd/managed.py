"""A manager over units that a test writes."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from opsbot.config import ManagerKind, Service, Source
from opsbot.services.port import Happening, ServiceEvent, ServiceState
from opsbot.services.systemd.manager import Systemd
from tests.fixtures.waiting import until
from tests.systemd.units import systemctl

UNIT = "mant-web.service"
SLEEPER = "/bin/sleep 600"


def text(command: str = SLEEPER, service: str = "", unit: str = "") -> str:
    return f"[Unit]\n{unit}\n[Service]\nExecStart={command}\nRestart=on-failure\nRestartSec=100ms\n{service}\n"


@dataclass(slots=True)
class World:
    """A manager over units whose files the test writes."""

    folder: Path
    service: Service
    manager: Systemd
    events: list[ServiceEvent] = field(default_factory=list)

    async def open(self) -> None:
        """A new opsbot on the same state."""
        self.manager = Systemd({"web": self.service}, self.folder / "state")
        self.manager.listen(self.events.append)
        await self.manager.open()

    async def again(self, meanwhile: Callable[[], object] | None = None) -> None:
        """Opsbot ends, something is done, and the next one begins; only what it tells is kept."""
        await asyncio.sleep(0.2)  # what it remembers is written down by then
        await self.manager.close()
        self.events.clear()
        if meanwhile is not None:
            await asyncio.to_thread(meanwhile)
        await self.open()

    @property
    def told(self) -> list[Happening]:
        return [event.what for event in self.events]

    async def state(self) -> ServiceState:
        return await self.manager.state("web")

    async def until(self, fact: Callable[[], bool], within: float = 15.0) -> None:
        await until(fact, within)

    async def happens(self, what: Happening) -> ServiceEvent:
        await self.until(lambda: what in self.told)
        return next(event for event in self.events if event.what is what)


@asynccontextmanager
async def open_world(*units: str, source: bool = False) -> AsyncIterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="mant-"))
    made = Source("file:///none", folder / "srv") if source else None
    service = Service("web", ManagerKind.SYSTEMD, units=units or (UNIT,), source=made)
    world = World(folder, service, Systemd({}, folder))
    await world.open()
    try:
        yield world
    finally:
        await world.manager.close()
        for unit in service.units:
            await systemctl("unmask", unit, check=False)
            await systemctl("stop", unit, check=False)
            await systemctl("reset-failed", unit, check=False)
            Path(f"/etc/systemd/system/{unit}").unlink(missing_ok=True)
        await systemctl("daemon-reload")
        shutil.rmtree(folder)


def run(*command: str) -> Callable[[], object]:
    def work() -> None:
        assert os.spawnvp(os.P_WAIT, command[0], command) == 0  # noqa: S606 - an argument list

    return work
