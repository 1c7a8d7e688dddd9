"""Runs the command line as a child process, as people do."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.world import World, configuration, world


@dataclass(frozen=True)
class Ended:
    """A command that came to its end."""

    code: int
    out: str
    err: str


Opsbot = Callable[..., Awaitable[Ended]]


AS_ANOTHER = """
import os, sys
import encodings.idna, shutil, tomli
import opsbot.cli.ask, opsbot.cli.parser, opsbot.control.client, opsbot.cli.monitor
from opsbot.cli import main
opsbot.cli.parser.parser().format_help()
uid = int(sys.argv.pop(1))
os.setgroups([]); os.setgid(65534); os.setuid(uid)
sys.exit(main())
"""
"""Becomes another user once all is loaded: that user may not be allowed to read this interpreter's files."""


async def run(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, uid: int = 0) -> Ended:
    """`opsbot ARGUMENTS` in a process of its own; as the user `uid`, in the group 65534 alone, where one is given."""
    clean = {key: value for key, value in os.environ.items() if key not in {"RUNTIME_DIRECTORY", "OPSBOT_CONFIG"}}
    program = ["-c", AS_ANOTHER, str(uid)] if uid else ["-m", "opsbot"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean | dict(env or {}),
        cwd=cwd,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def opsbot(tmp_path: Path) -> Opsbot:
    """`await opsbot("status")`: the verb with the test's own configuration."""

    async def call(*arguments: str, **how: object) -> Ended:
        verb, *rest = arguments
        return await run(verb, "-c", str(tmp_path / "config.toml"), *rest, **how)  # type: ignore[arg-type]

    return call


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[World]:
    """A daemon with one service, `api`."""
    async with world(configuration(tmp_path)) as here:
        yield here


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[World]:
    """A daemon with two services, `api` and `bot`."""
    async with world(configuration(tmp_path, ("api", "bot"))) as here:
        yield here
