"""/why on a real systemd: what it writes into the journal of a unit's end is the reason that is told.

The OOM killer is not here: the laboratory's control groups do not tell systemd of it (tests/core/test_root_cause.py).
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsbot.config import ManagerKind, Service
from opsbot.core.message import plain
from opsbot.core.model import Evidence, Incident
from opsbot.core.root_cause import RootCause, find_root_cause
from opsbot.messages.root_cause_line import root_cause_line
from opsbot.monitoring.root_cause import facts
from opsbot.services.port import Activity
from opsbot.services.systemd.manager import Systemd
from opsbot.store import Store, incident_repository
from tests.systemd.units import systemctl, write_unit

CHATTY = "/bin/sh -c 'seq 2000; {}'"


@asynccontextmanager
async def unit(name: str, text: str) -> AsyncIterator[Systemd]:
    """A unit of this text, under a manager."""
    folder = Path(tempfile.mkdtemp(prefix="inc-"))
    await write_unit(name, text)
    manager = Systemd({"web": Service("web", ManagerKind.SYSTEMD, units=(name,))}, folder)
    await manager.open()
    try:
        yield manager
    finally:
        await manager.close()
        await systemctl("stop", name, check=False)
        await systemctl("reset-failed", name, check=False)
        Path(f"/etc/systemd/system/{name}").unlink()
        await systemctl("daemon-reload")
        shutil.rmtree(folder)


async def why(manager: Systemd, *, trouble: bool = True) -> RootCause:
    """What is told of the trouble that begins now."""
    folder = Path(tempfile.mkdtemp(prefix="inc-"))
    try:
        async with Store(folder / "s.db") as store:
            if trouble:
                draft = Incident(0, "web", plain("it died"), datetime.now(UTC), Evidence())
                await store.write(incident_repository.open_incident, draft)
            return find_root_cause(await facts(store, manager, "web", datetime.now(UTC), str))
    finally:
        shutil.rmtree(folder)


async def ended(manager: Systemd) -> None:
    async with asyncio.timeout(20):
        while (await manager.state("web")).activity in {Activity.RUNNING, Activity.STARTING, Activity.RETRYING}:
            await asyncio.sleep(0.1)  # between two looks
    await asyncio.sleep(0.5)  # the journal has it by then


@pytest.mark.parametrize(
    ("name", "service", "reason"),
    [
        ("exit", f"ExecStart={CHATTY.format('exit 3')}", "its process ended with status 3"),
        ("killed", f"ExecStart={CHATTY.format('kill -9 $$$$')}", "its process was killed by SIGKILL"),
        ("watchdog", "ExecStart=/bin/sleep 600\nWatchdogSec=500ms", "systemd's watchdog had not heard of it in time"),
        ("timeout", "Type=notify\nExecStart=/bin/sleep 600\nTimeoutStartSec=500ms", "it took too long to start"),
        (
            "limit",
            "ExecStart=/bin/false\nRestart=always\nRestartSec=0\nStartLimitBurst=3",
            "it was started too often too fast",
        ),
    ],
)
async def test_the_reason_is_what_systemd_said(name: str, service: str, reason: str) -> None:
    of = f"incwhy-{name}.service"
    async with unit(of, f"[Unit]\nStartLimitIntervalSec=60\n[Service]\n{service}\n") as manager:
        await systemctl("start", "--no-block", of)
        await asyncio.sleep(0.3)  # systemd has queued it
        await ended(manager)
        found = await why(manager)
        assert f"web went down: it died; {reason}" in root_cause_line(found), [event.text for event in found.events]


async def test_a_stop_by_a_person_is_told_with_its_time() -> None:
    of = "incwhy-stopped.service"
    async with unit(of, "[Service]\nExecStart=/bin/sleep 600\n") as manager:
        await systemctl("start", of)
        before = datetime.now(UTC).replace(microsecond=0)
        await systemctl("stop", of)
        await ended(manager)
        found = await why(manager, trouble=False)
        assert root_cause_line(found).startswith("web was stopped by hand at ")
        (event,) = found.events
        assert before <= event.at <= datetime.now(UTC)
