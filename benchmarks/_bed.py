"""The test bed: the real `opsbot run` as a child process, connected to a Discord stand-in of this process."""

import asyncio
import compileall
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import cogs
import opsbot
from opsbot.config import Config, ManagerKind
from opsbot.config_file import load
from opsbot.services import run_record
from opsbot.services.supervisor import Supervisor
from opsbot.standin import Person, Standin
from tests.fixtures.sample import free_port

CONFIG = """\
host = "bench"

[discord]
token_env = "OPSBOT_BENCH_TOKEN"
guild_id = {guild}
ops_channel_id = {channel}
api_url = "{api}"
board = false

[roles]
viewer = ["{viewer}"]
operator = ["{operator}"]
deployer = ["{deployer}"]
admin = ["{admin}"]

[state]
directory = "{folder}/state"

[http]
listen = "127.0.0.1:{http}"

{services}
"""

SERVER = """\
import os, socket
port = int(os.environ["PORT"])
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", port))
server.listen(128)
while True:
    caller = server.accept()[0]
    caller.recv(4096)
    caller.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    caller.close()
"""
"""The smallest web server there is: what is measured is opsbot, not the start of a service."""


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different."""
    return [free_port() for _ in range(count)]


@dataclass(slots=True)
class Bed:
    """All of it, running."""

    standin: Standin
    config: Config
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The daemon."""
        return self.process.pid

    def person(self, rank: str | None) -> Person:
        """A new member of this rank, or of none."""
        roles = [self.standin.roles[rank]] if rank else []
        return self.standin.member(self.standin.add_member(f"{rank or 'nobody'}-{time.monotonic_ns()}", roles))

    def service_pid(self, name: str) -> int | None:
        """A service's main process."""
        record = run_record.load(self.config.state.services / name)
        process = record.main() if record else None
        return process.pid if process else None

    def tail(self) -> str:
        """The end of the daemon's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def daemon_config(standin: Standin, folder: Path, services: str) -> str:
    """The text of a configuration with these `[services]`."""
    return CONFIG.format(
        guild=standin.guild_id,
        channel=standin.ops_channel_id,
        api=standin.api_url,
        folder=folder,
        http=free_ports(1)[0],
        services=services,
        **{rank: standin.roles[rank] for rank in ("viewer", "operator", "deployer", "admin")},
    )


@asynccontextmanager
async def open_bed(folder: Path, services: str, *, standin: Standin | None = None) -> AsyncIterator[Bed]:
    """Start a stand-in and the daemon, and wait until they are connected; at the end all of it is ended."""
    folder.mkdir(parents=True, exist_ok=True)
    async with standin or Standin() as discord:
        file = folder / "config.toml"
        file.write_text(daemon_config(discord, folder, services))
        config = await asyncio.to_thread(load, file)
        await asyncio.to_thread(_compile)
        log = folder / "opsbot.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "opsbot", "run", "-c", str(file)],
                env={**os.environ, "OPSBOT_BENCH_TOKEN": discord.token},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        bed = Bed(discord, config, process, log)
        try:
            try:
                await discord.wait_connected(30)
                await until(lambda: bool(discord.commands), 15)
            except TimeoutError as error:
                raise RuntimeError(f"the daemon did not connect:\n{bed.tail()}") from error
            yield bed
        finally:
            await asyncio.to_thread(end, process)
            await _stop_services(config)


@cache
def _compile() -> None:
    """Have opsbot compiled, as an installed one is: a daemon that compiles itself keeps more memory for it. Blocks."""
    for package in (opsbot, cogs):
        compileall.compile_dir(Path(str(package.__file__)).parent, quiet=1)


async def _stop_services(config: Config) -> None:
    own = {name: service for name, service in config.services.items() if service.manager is ManagerKind.PROCESS}
    supervisor = Supervisor(own, config.state.services, lambda: datetime.now(UTC), resume=False)
    await supervisor.open()
    await asyncio.gather(*(supervisor.stop(name) for name in own))
    await supervisor.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL for what does not heed it. Blocks."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
    process.wait()


async def until(fact: Callable[[], bool], seconds: float, every: float = 0.02) -> None:
    """Wait for something to be true; TimeoutError if it does not become so."""
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(every)


async def answers(port: int, path: str = "/") -> bytes | None:
    """What is answered on this port of loopback, whole; None where nothing is, or no 200."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                if writer.get_extra_info("sockname") == writer.get_extra_info("peername"):
                    return None
                writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
                whole = await reader.read(65536)
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return None
    return whole if b" 200 " in whole[:20] else None


async def serving(ports: Sequence[int], seconds: float = 30) -> None:
    """Wait until all of these answer."""
    async with asyncio.timeout(seconds):
        for port in ports:
            while await answers(port) is None:
                await asyncio.sleep(0.02)
