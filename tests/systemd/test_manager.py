"""systemd as a manager: it is lived with and not fought, and nothing that happens to a unit is missed or made up."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.core import exits
from opsbot.core.exits import ExitCode
from opsbot.core.message import message
from opsbot.services.port import Activity, Happening, ManagerError
from opsbot.services.systemd.manager import SECOND_LOOK
from tests.fixtures.waiting import until
from tests.systemd.managed import UNIT, World, open_world, run, text
from tests.systemd.units import show, systemctl, write_unit

KILLED = exits.by_signal(signal.SIGKILL)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    await write_unit(UNIT, text())
    async with open_world() as world:
        yield world


# A person at the host


async def test_a_stop_by_a_person_is_told_as_that_and_the_unit_left_alone(world: World) -> None:
    await world.manager.start("web")
    await systemctl("stop", UNIT)
    event = await world.happens(Happening.STOPPED)
    assert not event.asked
    assert event.state.stopped_by_hand
    assert Happening.DIED not in world.told
    state = await world.state()
    assert (state.activity, state.stopped_by_hand) == (Activity.STOPPED, True)
    await asyncio.sleep(0.8)  # what must not happen would have by then
    assert world.told == [Happening.STARTED, Happening.STOPPED]


async def test_a_restart_by_a_person_is_neither_a_death_nor_a_stop(world: World) -> None:
    before = await world.manager.start("web")
    await systemctl("restart", UNIT)
    await world.until(lambda: world.told.count(Happening.STARTED) == 2)
    await asyncio.sleep(0.8)  # what must not happen would have by then
    assert world.told == [Happening.STARTED, Happening.STARTED]
    assert not world.events[-1].asked
    assert (await world.state()).run != before.run


async def test_a_start_by_a_person_ends_their_stop(world: World) -> None:
    await world.manager.start("web")
    await systemctl("stop", UNIT)
    await world.happens(Happening.STOPPED)
    await systemctl("start", UNIT)
    await world.until(lambda: world.told.count(Happening.STARTED) == 2)
    state = await world.state()
    assert (state.activity, state.stopped_by_hand) == (Activity.RUNNING, False)


async def test_a_stop_between_a_crash_and_the_start_after_it_is_a_stop() -> None:
    await write_unit(UNIT, text(service="RestartSec=30"))
    async with open_world() as world:
        pid = (await world.manager.start("web")).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await world.happens(Happening.DIED)
        assert (await world.state()).activity is Activity.RETRYING
        await systemctl("stop", UNIT)
        await world.happens(Happening.STOPPED)
        state = await world.state()
        assert (state.activity, state.stopped_by_hand) == (Activity.STOPPED, True)


async def test_a_stop_that_needs_sigkill_is_still_a_stop() -> None:
    deaf = "/bin/sh -c 'trap \"\" TERM; while true; do sleep 0.1; done'"
    await write_unit(UNIT, text(deaf, service="TimeoutStopSec=500ms"))
    async with open_world() as world:
        await world.manager.start("web")
        await asyncio.sleep(0.3)  # its start is over
        await systemctl("stop", UNIT)
        await world.happens(Happening.STOPPED)
        assert Happening.DIED not in world.told
        async with asyncio.timeout(10):  # what systemd says of it may come a moment later
            while (await world.state()).activity is not Activity.STOPPED:
                await asyncio.sleep(0.05)  # between two looks


# systemd's own restarts


async def test_a_crash_is_told_once_though_the_unit_passes_through_failed(world: World) -> None:
    pid = (await world.manager.start("web")).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await world.until(lambda: world.told.count(Happening.STARTED) == 2)
    await asyncio.sleep(0.8)  # what must not happen would have by then
    assert world.told == [Happening.STARTED, Happening.DIED, Happening.STARTED]
    died, again = world.events[1:]
    assert died.state.exit == KILLED
    assert again.state.restarts == 1
    assert not again.asked


async def test_a_service_that_ends_well_by_itself_has_died_and_is_not_stopped_by_hand() -> None:
    await write_unit(UNIT, text("/bin/sh -c 'sleep 0.3'"))
    async with open_world() as world:
        await world.manager.start("web")
        assert (await world.happens(Happening.DIED)).state.exit == message(ExitCode.STATUS, status=0)

        async def stopped() -> bool:
            return (await world.state()).activity is Activity.STOPPED

        await until(stopped)
        assert not (await world.state()).stopped_by_hand
        await asyncio.sleep(0.8)  # what must not happen would have by then
        assert world.told == [Happening.STARTED, Happening.DIED]


async def test_a_unit_that_systemd_does_not_restart_is_given_up_and_can_be_revived() -> None:
    await write_unit(UNIT, text(service="Restart=no"))
    async with open_world() as world:
        pid = (await world.manager.start("web")).pid
        assert pid is not None
        os.kill(pid, signal.SIGABRT)
        await world.happens(Happening.GAVE_UP)
        state = await world.state()
        assert (state.activity, state.revivable) == (Activity.FAILED, True)
        assert (await world.manager.restart("web")).activity is Activity.RUNNING


async def test_a_start_limit_that_was_hit_is_told_as_given_up_and_is_reset_before_the_next_start() -> None:
    failing = "/bin/sh -c 'sleep 0.05; test -e /run/mant-well && exec sleep 600; exit 7'"
    await write_unit(UNIT, text(failing, unit="StartLimitIntervalSec=60\nStartLimitBurst=3"))
    async with open_world() as world:
        with suppress(ManagerError):  # a Type=simple that dies at once may be seen alive or not
            await world.manager.start("web")
        event = await world.happens(Happening.GAVE_UP)
        assert event.state.exit == message(ExitCode.STATUS, status=7)
        assert (await world.state()).activity is Activity.FAILED
        Path("/run/mant-well").touch()
        try:
            assert (await world.manager.start("web")).activity is Activity.RUNNING
        finally:
            Path("/run/mant-well").unlink()


async def test_restarts_by_opsbot_do_not_use_up_the_start_limit() -> None:
    await write_unit(UNIT, text(unit="StartLimitIntervalSec=60\nStartLimitBurst=3"))
    async with open_world() as world:
        for _ in range(6):
            assert (await world.manager.restart("web")).activity is Activity.RUNNING


async def test_a_missing_program_is_told_though_the_start_job_says_done() -> None:
    await write_unit(UNIT, text("/no/such/program", service="Restart=no"))
    async with open_world() as world:
        with suppress(ManagerError):  # the exec may fail before or after the start is answered
            await world.manager.start("web")
        async with asyncio.timeout(15):
            while (await world.state()).activity is not Activity.FAILED:
                await asyncio.sleep(0.05)  # between two looks
        assert (await world.state()).exit == message(ExitCode.SETUP_FAILED, status=203)


async def test_a_main_process_that_dies_is_told_though_its_children_linger() -> None:
    lingering = "/bin/sh -c 'sh -c \"trap : TERM; while true; do sleep 0.2; done\" & exec sleep 600'"
    await write_unit(UNIT, text(lingering, service="TimeoutStopSec=5"))
    async with open_world() as world:
        pid = (await world.manager.start("web")).pid
        assert pid is not None
        await asyncio.sleep(0.3)  # its start is over
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(3):
            assert (await world.happens(Happening.DIED)).state.exit == KILLED


# What cannot be done


async def test_a_unit_that_is_not_there_is_named_with_the_mend() -> None:
    async with open_world("mant-none.service") as world:
        assert (await world.state()).activity is Activity.FAILED
        assert (await world.state()).exit == message(ExitCode.UNIT_NOT_FOUND)
        with pytest.raises(ManagerError, match="unit-not-found"):
            await world.manager.start("web")


async def test_a_unit_that_was_never_there_is_told_of_at_the_second_look_and_once() -> None:
    async with open_world("mant-none.service") as world:
        event = await world.happens(Happening.BARRED)
        assert event.state.exit == message(ExitCode.UNIT_NOT_FOUND)
        await systemctl("daemon-reload")
        await asyncio.sleep(SECOND_LOOK.total_seconds() + 1)  # what must not happen would have by then
        assert world.told == [Happening.BARRED]


async def test_a_unit_whose_file_is_away_for_a_moment_is_not_told_of(world: World) -> None:
    file = Path(f"/etc/systemd/system/{UNIT}")
    text_of_it = await asyncio.to_thread(file.read_text)
    await world.manager.start("web")
    await systemctl("kill", "-s", "KILL", UNIT)  # it is being started again, or waits for that
    await asyncio.to_thread(file.unlink)
    await systemctl("daemon-reload")
    await asyncio.to_thread(file.write_text, text_of_it)
    await systemctl("daemon-reload")
    await asyncio.sleep(SECOND_LOOK.total_seconds() + 1)  # what must not happen would have by then
    assert Happening.BARRED not in world.told


async def test_a_unit_that_somebody_stopped_and_removed_is_left_alone(world: World) -> None:
    await world.manager.start("web")
    await systemctl("stop", UNIT)
    await world.happens(Happening.STOPPED)
    await asyncio.to_thread(Path(f"/etc/systemd/system/{UNIT}").unlink)
    await systemctl("daemon-reload")
    await asyncio.sleep(SECOND_LOOK.total_seconds() + 1)  # what must not happen would have by then
    assert Happening.BARRED not in world.told


async def test_a_unit_file_with_a_mistake_is_told_with_the_mend() -> None:
    await write_unit(UNIT, "[Service]\nType=oneshot\nRestart=always\n")
    async with open_world() as world:
        event = await world.happens(Happening.BARRED)
        assert event.state.activity is Activity.FAILED
        assert event.state.exit == message(ExitCode.UNIT_INVALID)
        with pytest.raises(ManagerError, match="unit-invalid") as caught:
            await world.manager.start("web")
        assert caught.value.barred


async def test_a_masked_unit_is_told_apart(world: World) -> None:
    await asyncio.to_thread(Path(f"/etc/systemd/system/{UNIT}").unlink)
    await systemctl("mask", UNIT)
    with pytest.raises(ManagerError, match="unit-masked"):
        await world.manager.start("web")


async def test_a_unit_that_does_not_get_ready_is_an_error_with_its_reason() -> None:
    await write_unit(UNIT, text(service="Type=notify\nTimeoutStartSec=1\nRestart=no"))
    async with open_world() as world:
        with pytest.raises(ManagerError, match=r"exit\.timeout"):
            await world.manager.start("web")


# While opsbot, or the bus, is away


async def test_a_stop_while_opsbot_was_away_is_known_as_one(world: World) -> None:
    await world.manager.start("web")
    await world.again(run("systemctl", "stop", UNIT))
    assert world.told == [Happening.STOPPED]
    assert (await world.state()).stopped_by_hand
    await world.again()
    assert world.told == []
    assert (await world.state()).stopped_by_hand


async def test_a_death_while_opsbot_was_away_is_told_once() -> None:
    await write_unit(UNIT, text(service="Restart=no"))
    async with open_world() as world:
        await world.manager.start("web")
        await world.again(run("systemctl", "kill", "-s", "KILL", UNIT))
        assert world.told == [Happening.DIED, Happening.GAVE_UP]
        await world.again()
        assert world.told == []


async def test_an_end_by_itself_while_opsbot_was_away_is_no_stop_by_hand() -> None:
    await write_unit(UNIT, text("/bin/sh -c 'sleep 1'"))
    async with open_world() as world:
        await world.manager.start("web")
        await world.again(run("sleep", "1.5"))
        assert world.told == [Happening.DIED]
        assert not (await world.state()).stopped_by_hand


async def test_a_restart_by_systemd_while_opsbot_was_away_is_told(world: World) -> None:
    await world.manager.start("web")

    def crash() -> None:
        run("systemctl", "kill", "-s", "KILL", UNIT)()
        run("sleep", "1")()

    await world.again(crash)
    assert world.told == [Happening.DIED, Happening.STARTED]
    assert (await world.state()).activity is Activity.RUNNING


async def test_a_death_whose_restart_is_still_to_come_when_opsbot_begins_is_told() -> None:
    await write_unit(UNIT, text(service="Restart=always\nRestartSec=8"))
    async with open_world() as world:
        await world.manager.start("web")

        def crash() -> None:
            run("systemctl", "kill", "-s", "KILL", UNIT)()
            run("sleep", "0.5")()

        await world.again(crash)
        assert world.told == [Happening.DIED]
        assert world.events[0].state.exit == KILLED
        await world.until(lambda: Happening.STARTED in world.told, 40)
        assert world.told == [Happening.DIED, Happening.STARTED]


# Several units


async def test_several_units_are_one_service_restarted_one_after_the_other() -> None:
    units = ("mant-app@1.service", "mant-app@2.service")
    await write_unit("mant-app@.service", text())
    async with open_world(*units) as world:
        assert world.manager.parts("web") == units
        state = await world.manager.start("web")
        assert state.activity is Activity.RUNNING
        assert [name for name, _ in state.parts] == list(units)
        pids = dict(state.parts)
        after = dict((await world.manager.restart("web", units[1])).parts)
        assert after[units[0]].pid == pids[units[0]].pid
        assert after[units[1]].pid != pids[units[1]].pid
        assert (await world.state()).run != state.run
        pid = after[units[0]].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        died = await world.happens(Happening.DIED)
        assert died.state.exit == exits.of_unit(units[0], KILLED)
        await systemctl("stop", units[1])
        await world.happens(Happening.STOPPED)
        assert (await world.state()).stopped_by_hand
        with pytest.raises(ManagerError, match="unknown-part"):
            await world.manager.restart("web", "mant-app@3.service")
        await systemctl("stop", units[0])


# The release


async def test_the_release_is_proven_by_the_directory_of_the_main_process() -> None:
    async with open_world(source=True) as world:
        assert world.service.source is not None
        folder = world.service.source.directory
        for name in ("one", "two"):
            (folder / "releases" / name / "app").mkdir(parents=True)
        (folder / "current").symlink_to("releases/one")
        await write_unit(UNIT, text(service=f"WorkingDirectory={folder}/current/app"))
        assert (await world.manager.restart("web")).release == folder / "releases" / "one"
        (folder / "current").unlink()
        (folder / "current").symlink_to("releases/two")
        assert (await world.state()).release == folder / "releases" / "one"
        assert (await world.manager.restart("web")).release == folder / "releases" / "two"


async def test_limits_of_the_unit_itself_bound_how_long_its_jobs_are_awaited(world: World) -> None:
    await write_unit(UNIT, text(service="TimeoutStartSec=3\nTimeoutStopSec=4"))
    await world.manager.restart("web")
    assert world.manager._kept["web"].trackers[UNIT].facts.time_limit == timedelta(seconds=7)
    assert await show(UNIT, "ActiveState") == "active"


async def test_a_unit_that_is_renamed_is_told_apart_from_one_that_died(world: World) -> None:
    await world.manager.start("web")
    other = Path("/etc/systemd/system/mant-renamed.service")
    await asyncio.to_thread(Path(f"/etc/systemd/system/{UNIT}").rename, other)
    try:
        await systemctl("daemon-reload")
        # What runs goes on under its old name until it is stopped.
        assert (await world.state()).activity is Activity.RUNNING
        await systemctl("stop", UNIT)
        await world.happens(Happening.STOPPED)
        assert Happening.DIED not in world.told
        with pytest.raises(ManagerError, match="unit-not-found"):
            await world.manager.start("web")
    finally:
        await asyncio.to_thread(other.unlink)


async def test_what_is_read_anew_while_it_changes_is_not_older_than_what_was_heard(world: World) -> None:
    await write_unit(UNIT, text(unit="StartLimitIntervalSec=0"))
    await world.manager.start("web")

    async def read() -> None:
        while True:
            await world.manager._read_all()
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as readers:
        reading = [readers.create_task(read()) for _ in range(3)]
        try:
            for number in range(15):
                await systemctl("restart", UNIT)
                await world.until(lambda number=number: len(world.told) >= number + 2)  # type: ignore[misc]
            await asyncio.sleep(0.3)  # what must not happen would have by then
        finally:
            for each in reading:
                each.cancel()
    assert world.told == [Happening.STARTED] * 16
