"""systemd keeps the contract of a ServiceManager: the same suite as opsbot's own supervisor."""

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsbot.config import ManagerKind, Service
from opsbot.services.systemd.manager import Systemd
from tests.services.contract import SLEEPER, ManagerContract, World, command
from tests.systemd.units import systemctl, write_unit

_numbers = itertools.count()


def unit_text(program: Path) -> str:
    return f"""\
[Unit]
StartLimitIntervalSec=10
StartLimitBurst=4
[Service]
ExecStart={" ".join(command(program))}
Restart=always
RestartSec=20ms
TimeoutStopSec=1
"""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="cont-"))
    program = folder / "web.py"
    program.write_text(SLEEPER)
    unit = f"cont-web-{os.getpid()}-{next(_numbers)}.service"  # its log is its own, too
    await write_unit(unit, unit_text(program))
    manager = Systemd({"web": Service("web", ManagerKind.SYSTEMD, units=(unit,))}, folder / "state")

    def write(text: str) -> None:
        program.write_text(text)

    made = World(manager, write)
    manager.listen(made.hear)
    await manager.open()
    yield made
    await manager.close()
    await systemctl("stop", unit)
    await systemctl("reset-failed", unit, check=False)
    await asyncio.to_thread(Path(f"/etc/systemd/system/{unit}").unlink)
    await systemctl("daemon-reload")
    await asyncio.to_thread(shutil.rmtree, folder)


class TestSystemd(ManagerContract):
    """Every test of the contract, with a real systemd."""
