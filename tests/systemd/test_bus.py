"""The connection to systemd: calls, jobs, signals, and a bus that goes away."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import Scope
from opsbot.services.systemd.bus import BusError, JobResult, Signal, SystemdBus, Verb
from opsbot.services.systemd.names import unit_of, unit_path

LIMIT = timedelta(seconds=20)


async def systemctl(*args: str) -> None:
    process = await asyncio.create_subprocess_exec("systemctl", *args)
    assert await process.wait() == 0


async def write_units() -> None:
    sleeper = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep 600\n"
    failing = "[Service]\nType=oneshot\nExecStart=/bin/false\n"
    for name, text in {"bust-web": sleeper, "bust-other": sleeper, "bust-bad": failing}.items():
        await asyncio.to_thread(Path(f"/etc/systemd/system/{name}.service").write_text, text)
    await systemctl("daemon-reload")


@pytest.fixture
async def bus() -> AsyncIterator[SystemdBus]:
    await write_units()
    bus = SystemdBus()
    bus.watch(["bust-web.service"])
    await bus.open()
    yield bus
    await bus.close()


async def test_jobs_are_awaited_and_their_results_told(bus: SystemdBus) -> None:
    assert await bus.job(Verb.START, "bust-web.service", within=LIMIT) is JobResult.DONE
    assert await bus.get("bust-web.service", "ActiveState") == "active"
    assert await bus.job(Verb.STOP, "bust-web.service", within=LIMIT) is JobResult.DONE
    assert await bus.job(Verb.START, "bust-bad.service", within=LIMIT) is JobResult.FAILED
    await bus.reset_failed("bust-bad.service")
    assert await bus.get("bust-bad.service", "ActiveState") == "inactive"


async def test_a_unit_that_is_not_there_is_an_error_with_its_name(bus: SystemdBus) -> None:
    with pytest.raises(BusError) as error:
        await bus.job(Verb.START, "bust-none.service", within=LIMIT)
    assert error.value.name == "org.freedesktop.systemd1.NoSuchUnit"


async def test_signals_of_a_unit_arrive(bus: SystemdBus) -> None:
    heard: list[Signal] = []
    bus.listen(heard.append)
    await bus.job(Verb.RESTART, "bust-web.service", within=LIMIT)
    assert "JobRemoved" in {signal.member for signal in heard}
    assert any(unit_of(signal.path) == "bust-web.service" for signal in heard)
    await bus.job(Verb.STOP, "bust-web.service", within=LIMIT)


@pytest.mark.parametrize("others", [0, 500])
async def test_units_that_nobody_watches_do_not_wake_opsbot(others: int) -> None:
    await write_units()
    bus, heard = SystemdBus(), list[Signal]()
    bus.watch(["bust-web.service", *(f"bust-none{number}.service" for number in range(others))])
    bus.listen(heard.append)
    await bus.open()
    try:
        await systemctl("daemon-reload")
        await systemctl("restart", "bust-other.service")
        assert await bus.job(Verb.RESTART, "bust-web.service", within=LIMIT) is JobResult.DONE
        units = {unit_of(signal.path) for signal in heard if signal.member == "PropertiesChanged"}
        assert "bust-web.service" in units
        assert ("bust-other.service" in units) is (others > 0)  # dbus-daemon keeps 512 matches and no more
        assert {signal.member for signal in heard} <= {"PropertiesChanged", "JobRemoved", "Reloading"}
    finally:
        await bus.close()
        await systemctl("stop", "bust-other.service", "bust-web.service")


async def test_where_there_is_no_bus_the_mend_is_said(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="start-dbus"):
        await SystemdBus(at=f"unix:path={tmp_path}/none").open()
    with pytest.raises(BusError, match="enable-linger"):
        await SystemdBus(Scope.USER, at=f"unix:path={tmp_path}/none").open()


@pytest.mark.parametrize(
    ("unit", "label"),
    [("a.service", "a_2eservice"), ("1a-b@x.service", "_31a_2db_40x_2eservice"), ("a_b.service", "a_5fb_2eservice")],
)
def test_paths_are_escaped_and_understood(unit: str, label: str) -> None:
    assert unit_path(unit) == f"/org/freedesktop/systemd1/unit/{label}"
    assert unit_of(unit_path(unit)) == unit
