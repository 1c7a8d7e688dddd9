"""A bus that goes away and comes back, and a systemd that is loaded anew: nothing is missed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from opsbot.services.port import Activity, Happening, ManagerError
from opsbot.services.systemd.bus import JobResult, SystemdBus, Verb
from tests.systemd.managed import UNIT, World, open_world, text
from tests.systemd.test_bus import LIMIT, write_units
from tests.systemd.units import systemctl, write_unit


@pytest.fixture
async def world() -> AsyncIterator[World]:
    await write_unit(UNIT, text())
    async with open_world() as world:
        yield world


async def test_nothing_is_missed_while_the_bus_is_away(world: World) -> None:
    await world.manager.start("web")
    await systemctl("stop", "dbus.socket", "dbus.service")
    await world.until(lambda: not world.manager.bus.connected)
    # Without the bus systemctl asks PID 1 directly, as root.
    await systemctl("stop", UNIT)
    with pytest.raises(ManagerError, match="bus-away"):
        await world.manager.restart("web")
    await systemctl("start", "dbus.socket", "dbus.service")
    await world.happens(Happening.STOPPED)
    assert Happening.DIED not in world.told
    assert (await world.state()).stopped_by_hand
    assert (await world.manager.start("web")).activity is Activity.RUNNING


async def test_a_daemon_reload_is_no_event_and_a_changed_unit_is_seen(world: World) -> None:
    await world.manager.start("web")
    before = list(world.events)
    await write_unit(UNIT, text(service="TimeoutStopSec=7"))
    await systemctl("daemon-reexec")
    await asyncio.sleep(0.5)  # what must not happen would have by then
    assert world.events == before
    await systemctl("stop", UNIT)
    await world.happens(Happening.STOPPED)


async def test_a_bus_that_is_restarted_is_connected_to_anew_and_told() -> None:
    await write_units()
    bus = SystemdBus()
    await bus.open()
    back = asyncio.Event()

    async def told() -> None:
        back.set()

    bus.on_back(told)
    await systemctl("restart", "dbus.service")
    async with asyncio.timeout(20):
        await back.wait()
    assert await bus.job(Verb.START, "bust-web.service", within=LIMIT) is JobResult.DONE
    await bus.job(Verb.STOP, "bust-web.service", within=LIMIT)
    await bus.close()


async def test_a_bus_that_is_just_being_started_is_waited_for() -> None:
    await systemctl("stop", "dbus.socket", "dbus.service")
    bus = SystemdBus()
    opening = asyncio.create_task(bus.open(timedelta(seconds=30)))
    await asyncio.sleep(0.5)  # what must not happen would have by then
    assert not opening.done()
    await systemctl("start", "dbus.socket", "dbus.service")
    await opening
    assert bus.connected
    await bus.close()
