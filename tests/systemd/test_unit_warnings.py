"""opsbot warns at its start of unit files that will bite: in the log each time, in the channel once."""

import asyncio
import logging
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsbot.config import Config, Discord, Http, ManagerKind, Secret, Service, StateConfig
from opsbot.core.access import Ranks
from opsbot.core.model import Notification
from opsbot.daemon.unit_warnings import warn_of_findings
from opsbot.daemon.wiring import open_engine
from opsbot.messages import render
from opsbot.store import outbox

UNIT = Path("/etc/systemd/system/doctw-web.service")
GOOD = "[Service]\nUser=app\nRestart=always\nExecStart=/bin/sleep 600\n"


async def write(text: str) -> None:
    await asyncio.to_thread(UNIT.write_text, text)
    await asyncio.to_thread(subprocess.run, ["systemctl", "daemon-reload"], check=True)


def configured(folder: Path) -> Config:
    service = Service("web", ManagerKind.SYSTEMD, units=(UNIT.name,))
    discord = Discord(Secret("OPSBOT_NO_TOKEN"), 1, 2)
    return Config(folder / "config.toml", discord, Ranks(), StateConfig(folder), Http(None), {"web": service})


async def told_at_a_start(config: Config) -> list[Notification]:
    """The notices about unit files in the outbox, after a start."""
    async with open_engine(config) as parts:
        await warn_of_findings(parts.engine)
        notices = await parts.engine.store.read(outbox.pending, datetime.now(UTC))
    return [notice for notice in notices if notice.key.startswith("traps:")]


async def test_a_trap_is_told_once_and_again_when_it_is_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configured(tmp_path)
    caplog.set_level(logging.INFO, "opsbot.daemon.unit_warnings")
    await write(GOOD)
    assert await told_at_a_start(config) == []
    assert not any("doctw" in message for message in caplog.messages)
    await write(GOOD + "WatchdogSec=180\n")
    (first,) = await told_at_a_start(config)
    assert first.service == "web"
    text = render(first.said)
    assert text.startswith(f"{UNIT.name}: 1 error in its unit files.\n{UNIT}:5: WatchdogSec=: without Type=notify")
    assert len(await told_at_a_start(config)) == 1
    assert sum("WatchdogSec" in message for message in caplog.messages) == 2
    await write("# moved by a line\n" + GOOD + "WatchdogSec=180\n")
    assert len(await told_at_a_start(config)) == 1
    await write(GOOD + "WatchdogSec=180\nKillMode=none\nProtectHome=yes\nWorkingDirectory=/home/a\nType=forking\n")
    first, second = await told_at_a_start(config)
    words = render(second.said).splitlines()
    assert words[0] == f"{UNIT.name}: 4 errors in its unit files."
    assert words[-1].endswith("more: opsbot doctor")
    assert len(render(second.said)) <= 960


async def test_many_units_that_bite_are_one_message(tmp_path: Path) -> None:
    units = [f"doctw-many-{number}.service" for number in range(12)]
    for unit in units:
        await asyncio.to_thread(Path("/etc/systemd/system", unit).write_text, GOOD + "WatchdogSec=180\n")
    await write(GOOD)
    services = {f"s{number}": Service(f"s{number}", ManagerKind.SYSTEMD, units=(u,)) for number, u in enumerate(units)}
    config = replace(configured(tmp_path), services=services)
    (told,) = await told_at_a_start(config)
    words = render(told.said).splitlines()
    assert words[0].startswith("The files of 12 units have errors.")
    assert words[1].startswith("doctw-many-0.service: WatchdogSec: ")
    assert words[-1].endswith("more units.")
    assert len(await told_at_a_start(config)) == 1
    fewer = replace(config, services=dict(list(services.items())[:2]))
    assert len(await told_at_a_start(fewer)) == 1


async def test_a_note_is_for_the_log_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "opsbot.daemon.unit_warnings")
    await write(GOOD + "StandardOutput=syslog\n")
    assert await told_at_a_start(configured(tmp_path)) == []
    assert [record.levelname for record in caplog.records if "syslog" in record.message] == ["INFO"]
