"""Sets the stage: the stand-in for Discord, the sample service's repository, the real daemon as a child process."""

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

from opsbot.config import Config
from opsbot.config_file import load
from opsbot.demo.chaos import Chaos
from opsbot.demo.repository import Repository
from opsbot.services.supervisor import Supervisor
from opsbot.standin import Standin

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "OPSBOT_DEMO_TOKEN"  # noqa: S105 - the name of a variable
MEMBERS = (("Aiko", "admin"), ("Ben", "deployer"), ("Chiara", "operator"), ("Dani", "viewer"), ("Eve", None))
"""Somebody of each rank, and one of none: whom the page may act as."""
READY_SECONDS = 60.0
STOP_SECONDS = 15.0

CONFIG = """\
# Written by `opsbot demo`; gone when it ends.
host = "demo"

[discord]
token_env = "{token_variable}"
guild_id = {guild}
ops_channel_id = {channel}
api_url = "{api}"

[roles]
viewer = [{viewer}]
operator = [{operator}]
deployer = [{deployer}]
admin = [{admin}]

[state]
directory = "{folder}/state"

[http]
listen = "127.0.0.1:{metrics}"

[services.hello]
manager = "process"
command = ["{python}", "-u", "server.py"]
soak = "5s"
verify_timeout = "15s"
startup_grace = "5s"
stop_timeout = "3s"
environment = {{ SAMPLE_PORT = "{port}" }}

[services.hello.source]
repository = "{repository}"
branch = "main"
directory = "{folder}/srv/hello"
poll = "5s"
ignore = ["*.md", "docs/**"]

[[services.hello.install]]
when_changed = ["packages.txt"]
run = ["{python}", "-u", "build.py"]
keep = ["vendor"]
timeout = "1m"

[[services.hello.checks]]
kind = "process"
interval = "2s"
memory_max = "192MiB"

[[services.hello.checks]]
kind = "tcp"
port = {port}
interval = "2s"
timeout = "1s"

[[services.hello.checks]]
kind = "http"
url = "http://127.0.0.1:{port}/health"
interval = "2s"
timeout = "1s"
fall = 2
rise = 2

[services.hello.recovery]
backoff = "5s"
blame = "2m"
"""


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Daemon:
    """The real `opsbot run`, as a child process that is started again when it dies, as systemd would."""

    def __init__(self, config: Path, log_file: Path) -> None:
        """Remember what to run."""
        self._config = config
        self._log = log_file
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def open(self) -> None:
        """Start it."""
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            with self._log.open("ab") as out:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "opsbot",
                    "run",
                    "-c",
                    str(self._config),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,  # Ctrl-C is for the demo, which then stops the daemon in order
                )
            await self._process.wait()
            log.warning("opsbot ended with status %s; starting it again", self._process.returncode)
            await asyncio.sleep(1)

    async def close(self) -> None:
        """Stop it with SIGTERM, and with SIGKILL what does not stop."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        if self.pid is None or self._process is None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def _stop_services(config: Config) -> None:
    """The daemon leaves its services running on purpose; the demo must not."""
    supervisor = Supervisor(config.services, config.state.services, lambda: datetime.now(UTC))
    await supervisor.open()
    for name in config.services:
        await supervisor.stop(name)
    await supervisor.close()


async def run_demo(port: int) -> int:
    """Serve the demo until Ctrl-C; the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if shutil.which("git") is None:
        print("opsbot demo needs git on PATH: apt-get install git, or dnf install git", file=sys.stderr)  # noqa: T201
        return 1
    async with AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="opsbot-demo-", ignore_cleanup_errors=True))
        )
        standin = Standin(port=port)
        try:
            await standin.start()
        except OSError as error:
            print(  # noqa: T201
                f"opsbot demo cannot listen on port {port}: {error.strerror}. "
                f"Choose another: opsbot demo --port 9000, or make demo PORT=9000",
                file=sys.stderr,
            )
            return 1
        stack.push_async_callback(standin.stop)
        for name, rank in MEMBERS:
            standin.add_member(name, [standin.roles[rank]] if rank else [])
        await _play(stack, standin, folder, stop)
        print("\nstopping …", flush=True)  # noqa: T201
    return 0


async def _play(stack: AsyncExitStack, standin: Standin, folder: Path, stop: asyncio.Event) -> None:
    repository = Repository(folder)
    await repository.open()
    service_port = free_port()
    file = folder / "config.toml"
    roles = {name: f'"{number}"' for name, number in standin.roles.items()}
    file.write_text(
        CONFIG.format(
            token_variable=TOKEN_VARIABLE,
            guild=standin.guild_id,
            channel=standin.ops_channel_id,
            api=standin.api_url,
            folder=folder,
            metrics=free_port(),
            python=sys.executable,
            port=service_port,
            repository=repository.remote,
            **{rank: roles[rank] for rank in ("viewer", "operator", "deployer", "admin")},
        )
    )
    os.environ[TOKEN_VARIABLE] = standin.token
    config = load(file)
    daemon = Daemon(file, folder / "opsbot.log")
    chaos = Chaos(standin, repository, daemon, service_port, config)
    standin.panel = chaos.panel()
    stack.push_async_callback(_stop_services, config)
    stack.push_async_callback(daemon.close)
    await daemon.open()
    await _until_ready(standin, folder / "opsbot.log", stop)
    if not stop.is_set():
        print(  # noqa: T201
            f"\n  opsbot demo: {standin.url}\n\n"
            f"  Type / in the channel, or use the buttons at the right. The log: {folder / 'opsbot.log'}\n"
            "  Ctrl-C ends it and leaves nothing running.\n",
            flush=True,
        )
    await stop.wait()


async def _until_ready(standin: Standin, log_file: Path, stop: asyncio.Event) -> None:
    ready = asyncio.create_task(standin.wait_connected(READY_SECONDS))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ready.done():
        ready.cancel()
    elif ready.exception() is not None:
        tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-15:])
        print(f"opsbot did not connect to the stand-in within {READY_SECONDS:.0f} s. Its log ends:\n{tail}")  # noqa: T201
        stop.set()
