"""Without a daemon the states of units are read from systemd, and their lines from the journal."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsbot.cli.offline import LastKnown
from opsbot.config import ManagerKind, Scope, Service
from opsbot.control.endpoints import LOGS
from opsbot.core import exits
from opsbot.core.exits import ExitCode
from opsbot.core.health import Verdict
from opsbot.core.message import message
from opsbot.services.port import Activity, ServiceState
from opsbot.services.systemd import memory, offline
from opsbot.services.systemd.manager import Systemd
from opsbot.store import Store
from tests.systemd.units import systemctl, write_unit

UNITS = (f"offl-{os.getpid()}@1.service", f"offl-{os.getpid()}@2.service")
TEMPLATE = f"offl-{os.getpid()}@.service"


@pytest.fixture
async def units() -> AsyncIterator[Service]:
    await write_unit(TEMPLATE, "[Service]\nExecStart=/bin/sh -c 'echo begun %i; exec sleep 600'\nRestart=no\n")
    yield Service("web", ManagerKind.SYSTEMD, units=UNITS)
    await systemctl("stop", *UNITS, check=False)
    await systemctl("reset-failed", *UNITS, check=False)
    await asyncio.to_thread(Path(f"/etc/systemd/system/{TEMPLATE}").unlink)
    await systemctl("daemon-reload")


async def look(service: Service, folder: Path) -> ServiceState:
    return await asyncio.to_thread(offline.query_state, service, Scope.SYSTEM, folder / "units.json")


async def test_without_a_daemon_the_state_is_the_same(units: Service, tmp_path: Path) -> None:
    manager = Systemd({"web": units}, tmp_path)
    await manager.open()
    await manager.start("web")
    told = await manager.state("web")
    found = await look(units, tmp_path)
    for (name, one), (same, other) in zip(found.parts, told.parts, strict=True):
        assert (name, one.activity, one.pid, one.run) == (same, other.activity, other.pid, other.run)
        assert one.groups == other.groups or not other.groups
        assert one.started_at is not None
    await systemctl("kill", "-s", "KILL", UNITS[0])
    async with asyncio.timeout(10):
        while (await look(units, tmp_path)).activity is not Activity.FAILED:
            await asyncio.sleep(0.05)  # between two looks
    assert (await look(units, tmp_path)).exit == exits.of_unit(UNITS[0], exits.by_signal(signal.SIGKILL))
    await manager.stop("web")
    await manager.close()
    assert (await asyncio.to_thread(memory.load, tmp_path / "units.json"))[UNITS[1]].by_hand
    assert (await look(units, tmp_path)).of(UNITS[1]).stopped_by_hand


async def test_the_command_line_tells_state_and_log_of_units(units: Service, tmp_path: Path) -> None:
    await systemctl("start", *units.units)
    state = tmp_path / "state"
    file = tmp_path / "config.toml"
    file.write_text(
        f"""\
[discord]
token_env = "NONE"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
[roles]
admin = ["100000000000000003"]
[state]
directory = "{state}"
[services.web]
manager = "systemd"
units = ["{UNITS[0]}", "{UNITS[1]}"]
"""
    )
    async with Store(state / "opsbot.sqlite3"):
        pass
    known = await asyncio.to_thread(LastKnown, file)
    (web,) = (await asyncio.to_thread(known.status, "web")).services
    assert web.state.activity == "running"
    assert web.verdict is Verdict.UNKNOWN
    assert web.state.pid is not None
    async with asyncio.timeout(10):
        while len(lines := (await asyncio.to_thread(known.answer, LOGS, {"service": "web"})).lines) < 4:
            await asyncio.sleep(0.1)  # between two looks
    assert {"begun 1", "begun 2"} <= {line.text for line in lines}
    why = await asyncio.to_thread(known.why, "web")
    assert why.line.startswith("No incident of web is known.")


async def test_a_unit_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    found = await look(Service("web", ManagerKind.SYSTEMD, units=("offl-none.service",)), tmp_path)
    assert (found.activity, found.exit) == (Activity.FAILED, message(ExitCode.UNIT_NOT_FOUND))
