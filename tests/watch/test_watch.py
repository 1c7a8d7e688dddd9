"""The watcher: what it alarms for, what it does about it, and what it leaves alone."""

import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from opsbot.config import Check, CheckKind, ManagerKind, Service, Source
from opsbot.core import exits
from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentRequest, Phase, Release
from opsbot.core.exits import ExitCode
from opsbot.core.health import CheckPolicy, Verdict
from opsbot.core.message import message, plain
from opsbot.core.model import Live, Notification, NotificationKind
from opsbot.core.recovery import RecoveryPolicy
from opsbot.messages import render
from opsbot.monitoring import ServiceMonitor
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import Activity, Happening, ServiceManager, ServiceState
from opsbot.store import Store, incident_repository, ledger, outbox
from tests.fixtures.puppets import Clock, Eyes, Puppet, Yard
from tests.fixtures.said import done, said, told
from tests.fixtures.waiting import idle

if TYPE_CHECKING:
    from opsbot.deploy.deployer import Deployer
    from opsbot.probes import Prober

SERVICE = Service(
    "api",
    ManagerKind.PROCESS,
    command=("./api",),
    source=Source("https://example.org/api.git", Path("/srv/api")),
    checks=(
        Check("http", CheckKind.HTTP, timedelta(seconds=5), policy=CheckPolicy(fall=3, rise=2)),
        Check("process", CheckKind.PROCESS, timedelta(seconds=5), policy=CheckPolicy(fall=1, rise=1)),
    ),
    startup_grace=timedelta(seconds=30),
    recovery=RecoveryPolicy(backoff=timedelta(seconds=10)),
)


@dataclass
class Stage:
    """A watcher over hand-written ports, a real store, and a clock."""

    clock: Clock
    store: Store
    manager: Puppet
    eyes: Eyes
    yard: Yard
    watcher: ServiceMonitor

    async def settle(self) -> None:
        """Let everything that was begun come to its end."""
        await idle(self.watcher.background)

    async def run(self, seconds: int) -> None:
        """Let so many seconds pass, with a tick at each."""
        for _ in range(seconds):
            self.clock.pass_by(1)
            await self.watcher.tick()
            await self.settle()

    async def notices(self) -> list[Notification]:
        return await self.store.read(outbox.pending, self.clock())

    async def kinds(self) -> list[NotificationKind]:
        return [notice.kind for notice in await self.notices()]

    async def again(self, service: Service = SERVICE) -> "Stage":
        """opsbot starts anew over the same store."""
        await self.watcher.close()
        watcher = make_watcher(self.store, self.clock, self.manager, self.eyes, self.yard, service)
        await watcher.open()
        return replace(self, watcher=watcher)


def make_watcher(
    store: Store, clock: Clock, manager: Puppet, eyes: Eyes, yard: Yard, service: Service = SERVICE
) -> ServiceMonitor:
    managers: dict[str, ServiceManager] = {"api": manager}
    return ServiceMonitor(
        {"api": service}, store, ChangeNotifier(), managers, cast("Prober", eyes), cast("Deployer", yard), clock
    )


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = Clock()
    async with Store(tmp_path / "s.db") as store:
        for number, name in enumerate(("r1", "r2")):
            at = clock() - timedelta(days=2 - number)
            await store.write(ledger.add_release, "api", Release(name, f"c{number}", at, good=True))
        await store.write(ledger.set_live, Live("api", "r2", clock() - timedelta(days=1), None))
        manager, eyes, yard = Puppet(clock), Eyes(clock), Yard(clock)
        watcher = make_watcher(store, clock, manager, eyes, yard)
        await watcher.open()
        made = Stage(clock, store, manager, eyes, yard, watcher)
        yield made
        await watcher.close()


async def test_a_service_that_is_well_raises_nothing(stage: Stage) -> None:
    await stage.run(60)
    assert await stage.notices() == []
    assert {check.verdict for check in stage.watcher.healths("api").values()} == {Verdict.UP}


async def test_a_blip_shorter_than_fall_raises_nothing(stage: Stage) -> None:
    await stage.run(10)
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(9)
    stage.eyes.failing.clear()
    await stage.run(30)
    assert await stage.notices() == []
    assert stage.manager.restarts_asked == []


async def test_a_check_that_is_down_is_alarmed_once_and_restarted(stage: Stage) -> None:
    await stage.run(10)
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(16)
    assert await stage.kinds() == [NotificationKind.INCIDENT]
    incident = (await stage.store.read(incident_repository.open_incidents))["api"]
    assert said(incident.cause) == "HTTP check: answered 500 (3 of 3 failed)"
    assert incident.evidence.checks == (("http", plain("answered 500")),)
    assert incident.evidence.log == ("booting", "ready")
    assert len(stage.manager.restarts_asked) == 1


async def test_an_incident_ends_when_every_check_is_well_again(stage: Stage) -> None:
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(16)
    stage.eyes.failing.clear()
    await stage.run(5)
    assert await stage.kinds() == [NotificationKind.INCIDENT, NotificationKind.RECOVERED]
    assert await stage.store.read(incident_repository.open_incidents) == {}
    (incident,) = await stage.store.read(incident_repository.incidents)
    assert said(incident.resolution) == "restarted by opsbot"


async def test_what_did_not_help_is_not_said_to_have_ended_it(stage: Stage) -> None:
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(300)
    assert await stage.kinds() == [NotificationKind.INCIDENT, NotificationKind.CALL]
    stage.eyes.failing.clear()
    await stage.run(5)
    (incident,) = await stage.store.read(incident_repository.incidents)
    assert said(incident.resolution) == "what opsbot tried did not help; it recovered later"


async def test_the_ladder_restarts_with_growing_delay_then_calls_a_human_and_stops(stage: Stage) -> None:
    stage.eyes.failing["http"] = "no answer within 3 s"
    await stage.run(300)
    first, second, third = stage.manager.restarts_asked
    assert second - first >= timedelta(seconds=30), "the start-up grace is waited for"
    assert third - second >= timedelta(seconds=30)
    assert await stage.kinds() == [NotificationKind.INCIDENT, NotificationKind.CALL]
    await stage.run(1800)
    assert len(stage.manager.restarts_asked) == 3, "it never loops"
    assert await stage.kinds() == [NotificationKind.INCIDENT, NotificationKind.CALL], "and a human is called once"


async def test_a_trouble_that_began_with_a_release_ends_in_a_rollback(stage: Stage) -> None:
    await stage.store.write(ledger.set_live, Live("api", "r2", stage.clock(), None))
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(300)
    (request,) = stage.yard.asked
    assert (request.kind, request.actor.origin) == (DeploymentKind.ROLLBACK, Origin.RECOVERY)
    assert stage.manager.restarts_asked, "restarts were tried before"


async def test_a_deploy_in_progress_suspends_recovery_and_alarms(stage: Stage) -> None:
    stage.yard.deploying.add("api")
    stage.eyes.failing["http"] = "answered 500"
    stage.manager.happens(Happening.DIED, ServiceState(Activity.RETRYING, exit=exits.by_signal(signal.SIGTERM)))
    await stage.run(120)
    assert await stage.notices() == []
    assert stage.manager.restarts_asked == []


async def test_a_death_is_alarmed_at_once_with_how_it_ended(stage: Stage) -> None:
    await stage.run(10)
    stage.manager.happens(Happening.DIED, ServiceState(Activity.RETRYING, exit=exits.by_signal(signal.SIGKILL)))
    await stage.settle()
    (notice,) = await stage.notices()
    assert notice.kind is NotificationKind.INCIDENT
    incident = (await stage.store.read(incident_repository.open_incidents))["api"]
    assert said(incident.evidence.exit) == "killed by SIGKILL"
    assert stage.manager.restarts_asked == [], "its manager starts it again by itself"


async def test_a_death_the_manager_mends_is_told_as_over(stage: Stage) -> None:
    await stage.run(10)
    stage.manager.happens(Happening.DIED, ServiceState(Activity.RETRYING, exit=message(ExitCode.STATUS, status=1)))
    await stage.settle()
    state = ServiceState(Activity.RUNNING, pid=5, run="run-9", started_at=stage.clock(), restarts=1)
    stage.manager.happens(Happening.STARTED, state)
    await stage.run(5)
    assert await stage.kinds() == [NotificationKind.INCIDENT, NotificationKind.RECOVERED]


async def test_a_start_right_after_a_death_is_part_of_its_story(stage: Stage) -> None:
    await stage.run(10)
    stage.manager.happens(Happening.DIED, ServiceState(Activity.RETRYING, exit=exits.by_signal(signal.SIGKILL)))
    state = ServiceState(Activity.RUNNING, pid=5, run="run-9", started_at=stage.clock(), restarts=1)
    stage.manager.happens(Happening.STARTED, state)
    await stage.settle()
    incident = (await stage.store.read(incident_repository.open_incidents))["api"]
    assert done(incident) == ["started again by its manager (pid 5)"]


async def test_a_death_that_was_asked_for_is_no_incident(stage: Stage) -> None:
    stage.manager.happens(Happening.DIED, ServiceState(Activity.STOPPED), asked=True)
    await stage.settle()
    assert await stage.notices() == []


async def test_a_manager_that_gave_up_is_not_restarted_but_a_human_is_called(stage: Stage) -> None:
    stage.manager.happens(Happening.GAVE_UP, ServiceState(Activity.FAILED, exit=message(ExitCode.STATUS, status=1)))
    await stage.run(5)
    assert await stage.kinds() == [NotificationKind.INCIDENT, NotificationKind.CALL]
    assert stage.manager.restarts_asked == []


async def test_a_service_stopped_by_hand_is_reported_and_left_alone(stage: Stage) -> None:
    stage.eyes.failing = {"http": "connection refused", "process": "not running"}
    stage.manager.happens(Happening.STOPPED, ServiceState(Activity.STOPPED, stopped_by_hand=True))
    await stage.run(300)
    (notice,) = await stage.notices()
    assert notice.kind is NotificationKind.WORD
    assert "stopped by hand" in render(notice.said)
    assert stage.manager.restarts_asked == []


async def test_failures_during_the_start_do_not_count(stage: Stage) -> None:
    stage.manager.now_state = replace(stage.manager.now_state, run="run-new", started_at=stage.clock())
    stage.eyes.failing["http"] = "connection refused"
    await stage.run(28)
    assert await stage.notices() == []


async def test_the_grace_ends_with_the_first_good_answer(stage: Stage) -> None:
    stage.manager.now_state = replace(stage.manager.now_state, run="run-new", started_at=stage.clock())
    await stage.run(6)
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(16)
    assert await stage.kinds() == [NotificationKind.INCIDENT]


async def test_an_incident_outlives_a_restart_of_opsbot_and_is_told_once(stage: Stage) -> None:
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(300)
    stage = await stage.again()
    await stage.run(300)
    assert await stage.kinds() == [NotificationKind.INCIDENT, NotificationKind.CALL]
    assert len(stage.manager.restarts_asked) == 3
    stage.eyes.failing.clear()
    await stage.run(10)
    assert await stage.kinds() == [NotificationKind.INCIDENT, NotificationKind.CALL, NotificationKind.RECOVERED]
    await stage.watcher.close()


async def test_a_service_that_comes_back_for_a_moment_between_its_falls_runs_out_of_budget(stage: Stage) -> None:
    for _ in range(40):
        stage.eyes.failing["http"] = "answered 500"
        await stage.run(16)
        stage.eyes.failing.clear()
        await stage.run(12)
    assert len(stage.manager.restarts_asked) <= SERVICE.recovery.budget
    assert NotificationKind.CALL in await stage.kinds()


async def test_a_person_who_restarts_it_lets_recovery_begin_anew(stage: Stage) -> None:
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(300)
    assert len(stage.manager.restarts_asked) == 3
    stage.watcher.touched("api", "alice")
    await stage.run(300)
    assert len(stage.manager.restarts_asked) == 6
    assert (await stage.kinds()).count(NotificationKind.CALL) == 2


async def test_while_a_persons_restart_is_under_way_recovery_takes_no_step(stage: Stage) -> None:
    stage.eyes.failing["http"] = "answered 500"
    with stage.watcher.by_hand("api"):
        await stage.run(300)
        assert stage.manager.restarts_asked == []
        assert NotificationKind.CALL not in await stage.kinds()
    await stage.run(10)
    assert len(stage.manager.restarts_asked) == 1


async def test_a_restart_that_fails_is_part_of_the_story(stage: Stage) -> None:
    stage.manager.refuses = "no such file: ./api"
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(120)
    incident = (await stage.store.read(incident_repository.open_incidents))["api"]
    assert any("no such file: ./api" in text for text in done(incident))
    assert NotificationKind.CALL in await stage.kinds()


async def test_what_nobody_could_start_is_tried_once_and_then_a_human_is_called_with_the_mend(stage: Stage) -> None:
    stage.manager.refuses, stage.manager.barred = "api.service is masked: systemctl unmask api.service", True
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(120)
    assert len(stage.manager.restarts_asked) == 1
    (call,) = [notice for notice in await stage.notices() if notice.kind is NotificationKind.CALL]
    assert "systemctl unmask api.service" in told(call)
    stage.watcher.touched("api", "alice")
    stage.manager.refuses = ""
    await stage.run(300)
    assert len(stage.manager.restarts_asked) == 4


async def test_what_cannot_be_started_is_alarmed_before_any_check_has_failed_with_the_mend(stage: Stage) -> None:
    refusal = "there is no unit api.service. If its file is there: systemctl daemon-reload"
    stage.manager.refuses, stage.manager.barred = refusal, True
    stage.manager.happens(
        Happening.BARRED, ServiceState(Activity.FAILED, exit=message(ExitCode.UNIT_NOT_FOUND), revivable=True)
    )
    await stage.run(2)
    incident = (await stage.store.read(incident_repository.open_incidents))["api"]
    assert said(incident.cause) == "cannot be started: the unit does not exist"
    (call,) = [notice for notice in await stage.notices() if notice.kind is NotificationKind.CALL]
    assert "systemctl daemon-reload" in told(call)


async def test_a_service_with_a_release_that_does_not_run_is_started(stage: Stage) -> None:
    stage.manager.now_state = ServiceState(Activity.STOPPED)
    await stage.again()
    assert stage.manager.starts_asked == 1


async def test_a_service_stopped_by_hand_is_not_started_by_a_restart_of_opsbot(stage: Stage) -> None:
    stage.manager.now_state = ServiceState(Activity.STOPPED, stopped_by_hand=True)
    await stage.again()
    assert stage.manager.starts_asked == 0


async def test_a_finished_rollback_lets_the_checks_speak_anew(stage: Stage) -> None:
    await stage.store.write(ledger.set_live, Live("api", "r2", stage.clock(), None))
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(300)
    stage.eyes.failing.clear()
    stage.yard.ends(stage.yard.asked[0], Phase.LIVE)
    await stage.run(10)
    assert (await stage.kinds())[-1] is NotificationKind.RECOVERED
    (incident,) = await stage.store.read(incident_repository.incidents)
    assert "rollback 9 ended: succeeded" in said(incident.resolution)


async def test_checks_of_a_service_in_trouble_are_run_every_second(stage: Stage) -> None:
    stage.manager.happens(Happening.DIED, ServiceState(Activity.RETRYING, exit=message(ExitCode.STATUS, status=1)))
    await stage.settle()
    before = stage.eyes.looks
    await stage.run(5)
    assert stage.eyes.looks - before >= 10


def request() -> DeploymentRequest:
    return DeploymentRequest("api", DeploymentKind.DEPLOY, Actor(Origin.DISCORD, "1", "alice"))


async def test_look_runs_every_check_now(stage: Stage) -> None:
    await stage.watcher.look(["api"])
    assert stage.eyes.looks == 2
    assert {check.verdict for check in stage.watcher.healths("api").values()} == {Verdict.UP}


async def test_a_failed_install_leaves_what_is_known_of_the_checks(stage: Stage) -> None:
    await stage.run(10)
    known = dict(stage.watcher.healths("api"))
    now = stage.clock()
    failed = Deployment(
        3, "api", DeploymentKind.DEPLOY, Phase.FAILED, request().actor, now, now, failed_in=Phase.INSTALLING
    )
    stage.watcher._deployed(failed)
    assert dict(stage.watcher.healths("api")) == known


async def test_a_service_that_was_never_deployed_is_not_alarmed_for(tmp_path: Path) -> None:
    clock = Clock()
    async with Store(tmp_path / "s.db") as store:
        manager, eyes, yard = Puppet(clock), Eyes(clock), Yard(clock)
        manager.now_state = ServiceState(Activity.STOPPED)
        eyes.failing = {"http": "connection refused", "process": "not running"}
        watcher = make_watcher(store, clock, manager, eyes, yard)
        await watcher.open()
        stage = Stage(clock, store, manager, eyes, yard, watcher)
        await stage.run(120)
        assert await stage.notices() == []
        assert manager.starts_asked == 0
        await watcher.close()
