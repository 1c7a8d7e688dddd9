"""Restarts under load: none is lost by a socket-activated unit, nor by instances one by one behind a proxy."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from opsbot.config import Check, CheckKind, ManagerKind, Service, Source
from opsbot.core.deployment import Phase
from opsbot.core.health import CheckPolicy
from opsbot.deploy.target import restart_in_turn
from opsbot.deploy.verify import Verifier
from opsbot.probes import Prober
from opsbot.services.systemd.manager import Systemd
from tests.fixtures.sample import Remote, free_port
from tests.fixtures.stage import open_stage
from tests.systemd.units import systemctl, write_unit

PROGRAM = Path(__file__).parent / "draining.py"
RATE, LANES = 50, 10
"""Requests a second, by so many clients: bounded, and no more than the machine can bear beside its other work."""


@dataclass(slots=True)
class Load:
    """A bounded load on a port of loopback; each request on a connection of its own."""

    port: int
    sent: int = 0
    lost: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        lanes = [asyncio.create_task(self._lane(number)) for number in range(LANES)]
        try:
            await asyncio.sleep(0.5)  # there is load before it begins
            yield self
            await asyncio.sleep(0.5)  # and after it ended
        finally:
            self.over.set()
            await asyncio.gather(*lanes)

    async def _lane(self, number: int) -> None:
        await asyncio.sleep(number / RATE)  # requests are spread over time
        while not self.over.is_set():
            self.sent += 1
            try:
                async with asyncio.timeout(20):
                    await request(self.port)
            except (OSError, TimeoutError, EOFError) as error:
                self.lost.append(f"{type(error).__name__} {error}")
            await asyncio.sleep(LANES / RATE)  # requests are spread over time


async def request(port: int) -> bytes:
    """GET /; its answer's body.

    Raises:
        OSError, EOFError: there was none.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await writer.drain()
        answer = await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200") and not head.startswith(b"HTTP/1.0 200"):
        raise EOFError(f"answered {head[:40]!r}")
    return body


@asynccontextmanager
async def proxy(ports: Sequence[int]) -> AsyncIterator[int]:
    """Passes each request to one of the ports, and to the next one where that does not answer: as nginx does it."""
    turns = iter(range(10**9))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            first = next(turns)
            for attempt in range(len(ports)):
                with suppress(OSError, EOFError):
                    body = await request(ports[(first + attempt) % len(ports)])
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                    )
                    break
            else:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=256)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def unit_text(more: str, program: str = str(PROGRAM)) -> str:
    return f"""\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={sys.executable} -u {program}
Restart=on-failure
{more}
"""


def a_service(units: tuple[str, ...], ports: Sequence[int]) -> Service:
    checks = tuple(
        Check(
            f"http-{number}",
            CheckKind.HTTP,
            interval=timedelta(seconds=0.1),
            timeout=timedelta(seconds=5),
            policy=CheckPolicy(fall=2, rise=1),
            url=f"http://127.0.0.1:{port}/",
            unit=unit if len(units) > 1 else "",
        )
        for number, (unit, port) in enumerate(zip(units, ports, strict=True), 1)
    )
    return Service("web", ManagerKind.SYSTEMD, units=units, checks=checks, soak=timedelta(seconds=0.3))


@asynccontextmanager
async def kept(folder: Path, service: Service) -> AsyncIterator[tuple[Systemd, Verifier]]:
    manager, prober = Systemd({"web": service}, folder / "state"), Prober()
    await manager.open()
    try:
        yield manager, Verifier(prober, {"web": manager})
    finally:
        with suppress(Exception):
            await manager.stop("web")
        await manager.close()
        prober.close()


async def restarts(manager: Systemd, verifier: Verifier, service: Service, times: int) -> None:
    """As `/restart` does it."""
    for _ in range(times):
        before = (await manager.state("web")).run
        if manager.parts("web"):
            await restart_in_turn(manager, verifier, service)
        else:
            await manager.restart("web")
        assert (await manager.state("web")).run != before


async def remove(*units: str) -> None:
    await systemctl("stop", *units, check=False)
    for unit in units:
        await asyncio.to_thread((Path("/etc/systemd/system") / unit).unlink, missing_ok=True)
    await systemctl("daemon-reload")


async def test_a_socket_activated_unit_loses_none_over_three_restarts(tmp_path: Path) -> None:
    port, name = free_port(), f"zero-{os.getpid()}-socket"
    await write_unit(f"{name}.service", unit_text(""))
    await write_unit(f"{name}.socket", f"[Socket]\nListenStream=127.0.0.1:{port}\nBacklog=4096\n")
    try:
        await systemctl("start", f"{name}.socket")
        service = a_service((f"{name}.service",), (port,))
        async with kept(tmp_path, service) as (manager, verifier):
            await manager.start("web")
            async with Load(port).running() as load:
                await restarts(manager, verifier, service, 3)
            assert load.lost == []
            assert load.sent > LANES
            assert await systemctl("is-active", f"{name}.socket") == "active"
    finally:
        await remove(f"{name}.socket", f"{name}.service")


async def test_two_instances_one_by_one_behind_a_proxy_lose_none_where_a_plain_unit_does(tmp_path: Path) -> None:
    ports, name = (free_port(), free_port()), f"zero-{os.getpid()}-app"
    units = tuple(f"{name}@{port}.service" for port in ports)
    await write_unit(f"{name}@.service", unit_text("Environment=PORT=%i"))
    try:
        service = a_service(units, ports)
        async with kept(tmp_path, service) as (manager, verifier), proxy(ports) as front:
            await manager.start("web")
            async with Load(front).running() as load:
                await restarts(manager, verifier, service, 3)
            assert load.lost == []
            assert load.sent > LANES
            # One of them, asked directly: that is a plain unit.
            alone = replace(service, units=units[:1], checks=())
            async with kept(tmp_path / "alone", alone) as (plain, looks), Load(ports[0]).running() as plainly:
                await restarts(plain, looks, alone, 3)
            assert len(plainly.lost) > 0
    finally:
        await remove(*units, f"{name}@.service")


async def deploys(folder: Path, service: Service, port: int, units: Callable[[Service], Awaitable[None]]) -> Load:
    """Three deploys under load, each of another commit; what became of the requests."""
    remote = await asyncio.to_thread(Remote.with_version, folder / "repository")
    program = await asyncio.to_thread(PROGRAM.read_text)
    await asyncio.to_thread(remote.version, "1", "", {"server.py": program})
    source = Source(remote.url, folder / "srv")
    service = replace(service, source=source, command=(sys.executable, "-u", "server.py"))
    await units(service)
    async with open_stage(folder, service, units=False) as stage:
        first = await stage.deploy()
        assert first.phase is Phase.LIVE, first
        async with Load(port).running() as load:
            for number in (2, 3, 4):
                await asyncio.to_thread(remote.commit, {"behaviour.json": str(number)}, f"Version {number}")
                deployment = await stage.deploy()
                assert deployment.phase is Phase.LIVE, deployment
    return load


async def test_a_socket_activated_unit_loses_none_over_three_deploys(tmp_path: Path) -> None:
    port, name = free_port(), f"zero-{os.getpid()}-deployed"

    async def units(service: Service) -> None:
        await write_unit(f"{name}.service", unit_text(f"WorkingDirectory={service.run_directory}", "server.py"))
        await write_unit(f"{name}.socket", f"[Socket]\nListenStream=127.0.0.1:{port}\nBacklog=4096\n")
        await systemctl("start", f"{name}.socket")

    try:
        load = await deploys(tmp_path, a_service((f"{name}.service",), (port,)), port, units)
        assert load.lost == []
        assert load.sent > LANES
    finally:
        await remove(f"{name}.socket", f"{name}.service")


async def test_two_instances_behind_a_proxy_lose_none_over_three_deploys(tmp_path: Path) -> None:
    ports, name = (free_port(), free_port()), f"zero-{os.getpid()}-both"
    names = tuple(f"{name}@{port}.service" for port in ports)

    async def units(service: Service) -> None:
        more = f"Environment=PORT=%i\nWorkingDirectory={service.run_directory}"
        await write_unit(f"{name}@.service", unit_text(more, "server.py"))

    try:
        async with proxy(ports) as front:
            load = await deploys(tmp_path, a_service(names, ports), front, units)
        assert load.lost == []
        assert load.sent > LANES
    finally:
        await remove(*names, f"{name}@.service")
