"""A service of several units: what is watched, recovered and left alone is the unit, not the service."""

import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import Check, CheckKind, ManagerKind, Service
from opsbot.core import exits
from opsbot.core.exits import ExitCode
from opsbot.core.health import CheckPolicy, Verdict
from opsbot.core.message import message
from opsbot.core.model import NotificationKind
from opsbot.core.recovery import RecoveryPolicy
from opsbot.messages import render
from opsbot.services.port import Activity, Happening, ServiceEvent, ServiceState
from opsbot.services.systemd.several import together
from opsbot.store import Store, incident_repository
from tests.fixtures.puppets import Clock, Eyes, Puppet, Yard
from tests.fixtures.said import done
from tests.watch.test_watch import Stage, make_watcher

ONE, OTHER = "app@1.service", "app@2.service"
SERVICE = Service(
    "api",
    ManagerKind.SYSTEMD,
    units=(ONE, OTHER),
    checks=tuple(
        Check(name, CheckKind.UNIT, timedelta(seconds=5), policy=CheckPolicy(fall=2, rise=1), unit=unit)
        for name, unit in (("first", ONE), ("second", OTHER), ("all", ""))
    ),
    startup_grace=timedelta(seconds=30),
    recovery=RecoveryPolicy(backoff=timedelta(seconds=10)),
)


class Pair(Puppet):
    """Two units; `asked` is what was restarted, `meanwhile` what happens to units while another is."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: list[str | None] = []
        self.meanwhile: dict[str, ServiceState] = {}
        self.units = {unit: self._running() for unit in (ONE, OTHER)}

    def parts(self, service: str) -> tuple[str, ...]:
        assert service == self.service
        return ONE, OTHER

    async def state(self, service: str, *, refresh: bool = False) -> ServiceState:
        assert service == self.service
        return together(list(self.units.items()))

    async def restart(self, service: str, part: str | None = None) -> ServiceState:
        assert service == self.service
        self.asked.append(part)
        self.runs += 1
        assert part is not None
        self.units[part] = replace(self._running(), started_at=self.clock())
        self.units.update(self.meanwhile)
        return await self.state(service)

    def part_happens(self, part: str, what: Happening, state: ServiceState) -> None:
        self.units[part] = state
        now = together(list(self.units.items()))
        for listener in self._listeners:
            listener(ServiceEvent(self.service, what, self.clock(), now, part=part))


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Stage, Pair]]:
    clock = Clock()
    async with Store(tmp_path / "s.db") as store:
        manager, eyes, yard = Pair(clock), Eyes(clock), Yard(clock)
        watcher = make_watcher(store, clock, manager, eyes, yard, SERVICE)
        await watcher.open()
        yield Stage(clock, store, manager, eyes, yard, watcher), manager
        await watcher.close()


async def test_only_the_unit_whose_check_is_down_is_restarted(pair: tuple[Stage, Pair]) -> None:
    stage, manager = pair
    await stage.run(10)
    stage.eyes.failing["second"] = "answered 500"
    await stage.run(11)
    assert manager.asked == [OTHER]
    incident = (await stage.store.read(incident_repository.open_incidents))["api"]
    assert done(incident)[0] == f"restarting {OTHER} (1 of 3)"


async def test_a_check_of_the_service_as_a_whole_restarts_all_one_after_the_other(pair: tuple[Stage, Pair]) -> None:
    stage, manager = pair
    await stage.run(10)
    stage.eyes.failing["all"] = "answered 502"
    await stage.run(11)
    assert manager.asked == [ONE, OTHER]


async def test_a_unit_that_a_person_stops_while_another_is_restarted_is_let_alone(pair: tuple[Stage, Pair]) -> None:
    stage, manager = pair
    await stage.run(10)
    stage.eyes.failing["all"] = "answered 502"
    manager.meanwhile[OTHER] = ServiceState(Activity.STOPPING)
    await stage.run(11)
    assert manager.asked == [ONE]
    incident = (await stage.store.read(incident_repository.open_incidents))["api"]
    assert f"{OTHER} is not restarted: somebody is stopping it" in done(incident)


async def test_a_unit_that_systemd_starts_again_itself_is_not_restarted(pair: tuple[Stage, Pair]) -> None:
    stage, manager = pair
    await stage.run(10)
    stage.eyes.failing["first"] = "activating"
    manager.part_happens(ONE, Happening.DIED, ServiceState(Activity.RETRYING, exit=exits.by_signal(signal.SIGKILL)))
    await stage.run(20)
    assert await stage.kinds() == [NotificationKind.INCIDENT]
    assert manager.asked == []


async def test_a_unit_given_up_is_restarted_though_another_is_being_started(pair: tuple[Stage, Pair]) -> None:
    stage, manager = pair
    manager.units[OTHER] = ServiceState(Activity.STARTING)
    given_up = ServiceState(Activity.FAILED, exit=message(ExitCode.STATUS, status=1), revivable=True)
    manager.part_happens(ONE, Happening.GAVE_UP, given_up)
    await stage.run(2)
    assert manager.asked == [ONE]


async def test_a_unit_that_a_person_stopped_is_left_and_the_other_goes_on_being_watched(
    pair: tuple[Stage, Pair],
) -> None:
    stage, manager = pair
    stage.eyes.failing["second"] = "stopped"
    manager.part_happens(OTHER, Happening.STOPPED, ServiceState(Activity.STOPPED, stopped_by_hand=True))
    await stage.run(30)
    (notice,) = await stage.notices()
    assert render(notice.said) == f"{OTHER} of api was stopped by hand. It is left alone until somebody starts it."
    stage.eyes.failing["first"] = "answered 500"
    await stage.run(11)
    assert manager.asked == [ONE]
    del stage.eyes.failing["first"]
    await stage.run(10)
    assert await stage.store.read(incident_repository.open_incidents) == {}, (
        "the one that is stopped does not keep it open"
    )


async def test_at_the_start_only_units_that_nobody_stopped_are_started(pair: tuple[Stage, Pair]) -> None:
    stage, manager = pair
    manager.units = {
        ONE: ServiceState(Activity.STOPPED),
        OTHER: ServiceState(Activity.STOPPED, stopped_by_hand=True),
    }
    await stage.again(SERVICE)
    assert manager.asked == [ONE]
    assert Verdict.DOWN not in {check.verdict for check in stage.watcher.healths("api").values()}
