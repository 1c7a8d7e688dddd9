"""Watching and recovery over real units: the ladder steps in where systemd does not, and leaves people alone."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from opsbot.config import Service
from opsbot.core.deployment import Deployment, Phase
from opsbot.core.model import Incident, NotificationKind
from opsbot.core.recovery import RecoveryPolicy
from opsbot.messages import render
from opsbot.monitoring import ServiceMonitor
from opsbot.services.port import Activity, Happening, ServiceEvent
from opsbot.store import incident_repository, ledger, outbox
from tests.fixtures import units
from tests.fixtures.said import done, said
from tests.fixtures.sample import Remote, http_check, make_service, tcp_check
from tests.fixtures.stage import Stage, clock, open_stage
from tests.fixtures.waiting import until
from tests.systemd.instances import Instances, open_instances
from tests.systemd.on_units import on_units
from tests.systemd.units import show, systemctl

__all__ = ["on_units"]

QUICK = RecoveryPolicy(backoff=timedelta(seconds=1))


@dataclass(slots=True)
class Watch:
    """A stage whose service is watched as the daemon does it, only faster."""

    stage: Stage
    events: list[ServiceEvent] = field(default_factory=list)

    async def incidents(self) -> list[Incident]:
        return await self.stage.store.read(incident_repository.incidents, "web")

    async def over(self, count: int = 1, within: float = 40) -> Incident:
        """Wait until so many incidents are over; the newest."""

        async def ended() -> bool:
            return len([each for each in await self.incidents() if each.closed_at]) >= count

        await until(ended, within)
        return (await self.incidents())[0]

    def deeds(self, incident: Incident) -> list[str]:
        return done(incident)

    async def words(self) -> list[str]:
        notices = await self.stage.store.read(outbox.pending, clock())
        return [render(notice.said) for notice in notices if notice.kind is NotificationKind.WORD]

    def started(self) -> int:
        return sum(event.what is Happening.STARTED for event in self.events)


@asynccontextmanager
async def watched(stage: Stage) -> AsyncIterator[Watch]:
    managers = dict.fromkeys(stage.config.services, stage.manager)
    watcher = ServiceMonitor(
        stage.config.services, stage.store, stage.feed, managers, stage.prober, stage.deployer, clock
    )
    made = Watch(stage)
    stage.manager.listen(made.events.append)
    await watcher.open()

    async def tick() -> None:
        while True:
            await watcher.tick()
            await asyncio.sleep(0.1)  # a beat of the watcher

    ticking = asyncio.create_task(tick())
    try:
        yield made
    finally:
        ticking.cancel()
        await watcher.close()


@asynccontextmanager
async def one(folder: Path, remote: Remote, port: int, unit: str = "", **more: object) -> AsyncIterator[Watch]:
    """One unit with version 1 live, watched."""
    checks = (http_check(port, timeout=2.0),)
    service = quick(replace(make_service(folder, remote.url, port, checks=checks), **more))  # type: ignore[arg-type]
    await asyncio.to_thread(units.write, service, unit)
    async with open_stage(folder, service, units=False) as stage:
        await stage.deploy()
        async with watched(stage) as watch:
            yield watch


async def pid_of(watch: Watch) -> int:
    return int((await watch.stage.answer())["pid"])


def well(watch: Watch) -> Callable[[], Awaitable[bool]]:
    async def fact() -> bool:
        return await watch.stage.version() == "1"

    return fact


async def test_a_crash_is_left_to_systemd_however_long_it_takes(tmp_path: Path, remote: Remote, port: int) -> None:
    async with one(tmp_path, remote, port, "RestartSec=3") as watch:
        os.kill(await pid_of(watch), signal.SIGKILL)
        incident = await watch.over()
        assert "killed by SIGKILL" in said(incident.cause)
        assert all(deed.startswith("started again") for deed in watch.deeds(incident))
        await asyncio.sleep(1)  # what must not happen would have by then
        assert watch.started() == 1, "systemd started it, and nobody else did"
        assert await show(watch.stage.service.unit, "NRestarts") == "1"


async def test_a_hung_service_is_restarted_by_the_ladder_once(tmp_path: Path, remote: Remote, port: int) -> None:
    async with one(tmp_path, remote, port) as watch:
        before = await pid_of(watch)
        os.kill(before, signal.SIGSTOP)
        incident = await watch.over()
        assert said(incident.resolution) == "restarted by opsbot"
        assert await pid_of(watch) != before
        await asyncio.sleep(1)  # what must not happen would have by then
        assert watch.started() == 1
        assert await show(watch.stage.service.unit, "NRestarts") == "0"


async def test_a_closed_port_with_the_process_alive_is_mended(tmp_path: Path, remote: Remote, port: int) -> None:
    async with one(tmp_path, remote, port, checks=(tcp_check(port),)) as watch:
        behaviour = Path((await watch.stage.answer())["folder"]) / "behaviour.json"
        good = behaviour.read_text()
        behaviour.write_text(json.dumps({**json.loads(good), "closes_port_after": 1.5}))
        await systemctl("restart", watch.stage.service.unit)
        await until(well(watch), 10)
        behaviour.write_text(good)
        incident = await watch.over()
        assert said(incident.cause).startswith("TCP check port: nothing listens")
        await until(well(watch))


async def test_a_human_is_called_for_what_its_own_watchdog_kills_for_ever(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with one(tmp_path, remote, port) as watch:
        trap = "WatchdogSec=1\n[Unit]\nStartLimitIntervalSec=0"
        await asyncio.to_thread(units.write, watch.stage.service, trap)
        await systemctl("restart", watch.stage.service.unit)

        async def called() -> bool:
            return any(incident.called_at for incident in await watch.incidents())

        await until(called, 60)
        incident = next(each for each in await watch.incidents() if each.called_at)
        assert incident.flaps.flapping
        assert "watchdog" in said(incident.cause)
        assert watch.deeds(incident)[-1].endswith(" crashes within 1 h")
        assert int(await show(watch.stage.service.unit, "NRestarts")) >= 5, "systemd goes on"


async def test_a_masked_unit_costs_no_release_and_a_human_is_told_the_mend(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with one(tmp_path, remote, port) as watch:
        stage, unit = watch.stage, watch.stage.service.unit
        remote.version("2")
        await stage.deploy()
        pid = await pid_of(watch)
        await asyncio.to_thread(units.FOLDER.joinpath(unit).unlink)
        await systemctl("mask", unit)
        os.kill(pid, signal.SIGKILL)

        async def called() -> bool:
            return any(incident.called_at for incident in await watch.incidents())

        await until(called, 30)
        (incident,) = await watch.incidents()
        deeds = watch.deeds(incident)
        assert len([deed for deed in deeds if deed.startswith("restarting ")]) == 1
        masked = f"{unit} is masked, so nobody can start it: systemctl unmask {unit}"
        assert f"automatic recovery gave up: {masked}" in deeds
        assert not [deed for deed in deeds if "roll" in deed], "another release would not start either"

        remote.version("3")
        begun = await stage.ask()
        assert isinstance(begun, Deployment)
        deployment = await stage.deployer.wait(begun.id)
        assert deployment.phase is Phase.STUCK
        assert f"systemctl unmask {unit}" in said(deployment.note)
        assert await stage.store.read(ledger.quarantined, "web") == {}, "nothing is known against the commit"


async def test_what_a_person_stops_is_told_and_left_alone(tmp_path: Path, remote: Remote, port: int) -> None:
    async with one(tmp_path, remote, port) as watch:
        await systemctl("stop", watch.stage.service.unit)

        async def told() -> bool:
            return "web was stopped by hand. It is left alone until somebody starts it." in await watch.words()

        await until(told, 10)
        await asyncio.sleep(4)  # what must not happen would have by then
        assert (await watch.stage.manager.state("web")).activity is Activity.STOPPED
        assert await watch.incidents() == []
        await systemctl("start", watch.stage.service.unit)
        await until(well(watch), 10)


# Several units


@asynccontextmanager
async def several(folder: Path) -> AsyncIterator[tuple[Instances, Watch]]:
    async with open_instances(folder) as two:
        two.service = quick(two.service)
        async with two.stage() as stage:
            await stage.deploy()
            async with watched(stage) as watch:
                yield two, watch


def quick(service: Service) -> Service:
    """Recovery that does not make a test wait, and patience with a busy machine."""
    return replace(service, recovery=QUICK, startup_grace=timedelta(seconds=20))


async def test_of_two_units_only_the_one_that_hangs_is_restarted(tmp_path: Path) -> None:
    async with several(tmp_path) as (two, watch):
        before = await two.pids()
        os.kill(before[0], signal.SIGSTOP)
        incident = await watch.over()
        assert said(incident.resolution) == f"opsbot restarted {two.unit(0)}"
        after = await two.pids()
        assert after[0] != before[0]
        assert after[1] == before[1]
        assert await two.versions() == ["1", "1"]


async def test_a_unit_that_a_person_stopped_is_left_while_the_other_is_mended(tmp_path: Path) -> None:
    async with several(tmp_path) as (two, watch):
        await systemctl("stop", two.unit(1))

        async def told() -> bool:
            return f"{two.unit(1)} of web was stopped by hand. It is left alone until somebody starts it." in (
                await watch.words()
            )

        await until(told, 10)
        os.kill((await two.pids())[0], signal.SIGSTOP)
        await watch.over()
        assert await two.versions() == ["1", None]
        assert await show(two.unit(1), "ActiveState") == "inactive"
