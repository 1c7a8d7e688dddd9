"""The sample service as instances of a template unit, one a port, for what is done to several units as one service."""

import asyncio
import itertools
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.client import HTTPException
from pathlib import Path

from opsbot.config import CheckKind, ManagerKind, Service
from tests.fixtures import units
from tests.fixtures.sample import Remote, free_port, http_check, make_service
from tests.fixtures.stage import Stage, get, open_stage

_numbers = itertools.count()


@dataclass(slots=True)
class Instances:
    """Some instances of one template. `served`: how many answered at each look, while `watch` runs."""

    remote: Remote
    ports: list[int]
    service: Service
    folder: Path
    served: list[int] = field(default_factory=list)

    def unit(self, number: int) -> str:
        return self.service.units[number]

    async def versions(self) -> list[str | None]:
        """What each of them answers."""
        return await asyncio.gather(*(asyncio.to_thread(version, port) for port in self.ports))

    async def pids(self) -> list[int]:
        return [
            int(await asyncio.to_thread(units.systemctl, "show", "--value", "-p", "MainPID", unit))
            for unit in self.service.units
        ]

    async def watch(self) -> None:
        """Look again and again how many of them answer."""
        while True:
            self.served.append(sum(found is not None for found in await self.versions()))
            await asyncio.sleep(0.02)  # between two looks

    def write(self, directory: Path | None = None, more: str = "") -> None:
        """Write the template. directory: its WorkingDirectory=, `current` where it is not given. Blocks."""
        name = f"{self.unit(0).partition('@')[0]}@.service"
        units.FOLDER.joinpath(name).write_text(
            f"""\
[Service]
ExecStart={" ".join(self.service.command)}
WorkingDirectory={directory or self.service.run_directory}
Environment=PORT=%i PYTHONDONTWRITEBYTECODE=1
Restart=on-failure
RestartSec=200ms
TimeoutStopSec=2
{more}
"""
        )
        units.systemctl("daemon-reload")

    @asynccontextmanager
    async def stage(self, *, stop: bool = True) -> AsyncIterator[Stage]:
        async with open_stage(self.folder, self.service, stop=stop, units=False) as stage:
            yield stage


def version(port: int) -> str | None:
    """The version that answers well there. Blocks."""
    try:
        found = get(f"http://127.0.0.1:{port}/health")
    except (OSError, HTTPException):
        return None
    return str(found["version"]) if found["status"] == 200 else None


@asynccontextmanager
async def open_instances(folder: Path, count: int = 2, soak: float = 0.4) -> AsyncIterator[Instances]:
    """So many instances, each with a check of its own, and one of the service as a whole."""
    remote = await asyncio.to_thread(Remote.with_version, folder / "repository")
    ports = [free_port() for _ in range(count)]
    template = f"roll-{os.getpid()}-{next(_numbers)}"
    names = tuple(f"{template}@{port}.service" for port in ports)
    checks = tuple(
        replace(http_check(port), name=f"health-{number}", unit=name)
        for number, (port, name) in enumerate(zip(ports, names, strict=True), 1)
    )
    unit_check = replace(checks[0], name="units", kind=CheckKind.UNIT, unit="", interval=timedelta(seconds=1))
    service = replace(
        make_service(folder, remote.url, ports[0], checks=(*checks, unit_check), soak=soak),
        manager=ManagerKind.SYSTEMD,
        units=names,
    )
    made = Instances(remote, ports, service, folder)
    await asyncio.to_thread(made.write)
    try:
        yield made
    finally:
        await asyncio.to_thread(_remove, template, names)


def _remove(template: str, names: tuple[str, ...]) -> None:
    for name in names:
        subprocess.run(["systemctl", "kill", "-s", "KILL", name], capture_output=True, check=False)
    units.systemctl("stop", *names)
    units.systemctl("reset-failed", *names)
    for file in units.FOLDER.glob(f"{template}@*"):
        file.unlink()
    units.systemctl("daemon-reload")
