"""Set up the demo: the stand-in, the sample repository and the daemon."""

import asyncio
import json
import random
import shutil
import signal
import socket
import sys
from contextlib import AsyncExitStack, suppress
from importlib import resources
from pathlib import Path

from opsbot.config_file import ConfigError, load
from opsbot.demo.chaos import Chaos
from opsbot.demo.daemon import Daemon
from opsbot.demo.leftovers import MARK, own_folder
from opsbot.demo.repository import RepositoryError, SampleRepository
from opsbot.standin import Standin

TOKEN_VARIABLE = "OPSBOT_DEMO_TOKEN"  # noqa: S105 - the name of a variable
MEMBERS = (("Aiko", "admin"), ("Ben", "deployer"), ("Chiara", "operator"), ("Dani", "viewer"), ("Eve", None))
"""Members that the page may act as: one of each rank, and one without."""
READY_SECONDS = 60.0
DEATHS_AT_START = 3
"""A daemon that exits this often before it is ready will never be."""
PORTS = range(20000, 32000)
"""Below the ephemeral port range, so that the service gets its port again at every restart."""


def free_port() -> int:
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run_demo(port: int) -> int:
    """Serve the demo until Ctrl-C; return 0, or 1 if it could not start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if shutil.which("git") is None:
        return _cannot("opsbot demo needs git on PATH: apt-get install git, or dnf install git")
    async with AsyncExitStack() as stack:
        standin = Standin(port=port)
        try:
            await standin.start()
        except OSError as error:
            return _cannot(
                f"opsbot demo cannot listen on port {port}: {_reason(error)}. "
                "Choose another: opsbot demo --port 9000, or make demo PORT=9000"
            )
        stack.push_async_callback(standin.stop)
        for name, rank in MEMBERS:
            standin.add_member(name, [standin.roles[rank]] if rank else [])
        try:
            folder = await stack.enter_async_context(own_folder())
            daemon = await _set(stack, standin, folder)
        except (OSError, RepositoryError) as error:
            return 0 if stop.is_set() else _cannot(f"opsbot demo cannot start: {error}")
        except ConfigError as error:
            return _cannot(f"opsbot demo cannot work in {folder}: {error}\nSet TMPDIR to a shorter path, such as /tmp.")
        if not await _ready(standin, daemon, stop):
            tail = "\n".join((folder / "opsbot.log").read_text(errors="replace").splitlines()[-15:])
            return _cannot(f"opsbot did not connect to the page. Its log ends:\n{tail}")
        if not stop.is_set():
            _say(_welcome(standin.url, folder / "opsbot.log"))
        await stop.wait()
        _say("\nstopping …")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the demo is a command


def _cannot(text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201 - see above
    return 1


def _reason(error: OSError) -> str:
    # asyncio wraps the error in a sentence.
    return error.strerror.rpartition(": ")[2] if error.strerror else str(error)


def _welcome(url: str, log_file: Path) -> str:
    return (
        f"\n  opsbot demo: {url}\n\n"
        f"  Type / in the channel, or use the buttons at the right. Log: {log_file}\n"
        "  Ctrl-C stops everything.\n"
    )


async def _set(stack: AsyncExitStack, standin: Standin, folder: Path) -> Daemon:
    """Create the repository and the configuration, and start the daemon."""
    repository = SampleRepository(folder)
    await repository.open()
    service_port, bot = free_port(), standin.add_bot("hello")
    file = folder / "config.toml"
    texts = {
        "token_variable": TOKEN_VARIABLE,
        "api": standin.api_url,
        "state": str(folder / "state"),
        "metrics": f"127.0.0.1:{free_port()}",
        "python": sys.executable,
        "repository": str(repository.remote),
        "releases": str(folder / "srv" / "hello"),
        **{rank: str(standin.roles[rank]) for rank in ("viewer", "operator", "deployer", "admin")},
    }
    # A JSON string is a TOML string: special characters in paths are escaped.
    quoted = {name: json.dumps(text, ensure_ascii=False) for name, text in texts.items()}
    template = resources.files("opsbot.demo").joinpath("config.toml.in").read_text(encoding="utf-8")
    file.write_text(
        template.format(guild=standin.guild_id, channel=standin.ops_channel_id, port=service_port, bot=bot, **quoted),
        encoding="utf-8",
    )
    daemon = Daemon(file, folder / "opsbot.log", {TOKEN_VARIABLE: standin.token, MARK: str(folder)})
    standin.panel = Chaos(standin, repository, daemon, service_port, load(file), bot).panel()
    stack.push_async_callback(daemon.close)
    daemon.open()
    return daemon


async def _ready(standin: Standin, daemon: Daemon, stop: asyncio.Event) -> bool:
    """Whether the bot connected, or the demo is being stopped."""
    connected = asyncio.create_task(standin.wait_connected(READY_SECONDS))
    try:
        while not connected.done() and not stop.is_set():
            if daemon.deaths >= DEATHS_AT_START:
                return False
            await asyncio.wait({connected}, timeout=0.1)
        return stop.is_set() or connected.exception() is None
    finally:
        connected.cancel()
