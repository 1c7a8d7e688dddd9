"""What was just started is given its time, whoever started it."""

from pathlib import Path

import pytest

from opsbot.core.access import Origin
from opsbot.core.deployment import DeploymentKind, Phase
from opsbot.core.exits import ExitCode
from opsbot.core.message import Message, message, plain
from opsbot.core.model import Live, NotificationKind
from opsbot.services.port import Activity, Happening, ServiceState
from opsbot.store import incident_repository, ledger
from tests.fixtures.said import done
from tests.fixtures.waiting import until
from tests.watch.bot_stage import open_stage as open_bot_stage
from tests.watch.test_watch import Stage, stage

EXIT_1 = message(ExitCode.STATUS, status=1)

__all__ = ["stage"]


async def test_what_a_person_has_just_restarted_is_not_restarted_again_at_once(stage: Stage) -> None:
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(300)
    before = len(stage.manager.restarts_asked)
    stage.watcher.touched("api", "alice")
    await stage.manager.restart("api")
    await stage.run(25)  # the grace after a start is 30 s
    assert len(stage.manager.restarts_asked) == before + 1


async def test_a_service_that_came_back_while_opsbot_was_away_is_not_restarted(stage: Stage) -> None:
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(16)
    before = len(stage.manager.restarts_asked)
    stage.eyes.failing.clear()
    stage.clock.pass_by(60)
    stage = await stage.again()
    await stage.run(10)
    assert len(stage.manager.restarts_asked) == before == 1
    assert {str(check.verdict) for check in stage.watcher.healths("api").values()} == {"up"}
    await stage.watcher.close()


async def test_a_service_that_hangs_while_opsbot_is_restarted_is_recovered_all_the_same(stage: Stage) -> None:
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(16)
    stage.clock.pass_by(60)
    stage = await stage.again()
    await stage.run(60)
    assert len(stage.manager.restarts_asked) >= 2
    await stage.watcher.close()


async def test_what_is_seen_well_while_recovery_asks_whether_it_may_act_is_not_restarted(tmp_path: Path) -> None:
    async with open_bot_stage(tmp_path) as stage:
        asked: list[str] = []

        async def takes_a_moment(service: str) -> Message | None:
            asked.append(service)
            if len(asked) < 5:
                return plain("not yet")
            stage.eyes.failing.clear()
            stage.clock.pass_by(5)
            stage.watcher.background.run(stage.watcher.look([service]), f"look:{service}")
            await until(lambda: stage.watcher.healths(service)["http"].streak > 0)
            return None

        stage.vetoes.restarts.append(takes_a_moment)
        stage.discord_bots.outage_detector.gateway(up=True)
        stage.eyes.failing["http"] = "answered 503"
        await stage.run(30)
        assert stage.manager.restarts_asked == []
        assert await stage.incident() is None


@pytest.mark.parametrize(
    "stopped",
    [ServiceState(Activity.STOPPING), ServiceState(Activity.STOPPED, stopped_by_hand=True)],
    ids=["begun", "done"],
)
async def test_what_a_person_stops_while_recovery_asks_whether_it_may_act_is_not_started_again(
    tmp_path: Path, stopped: ServiceState
) -> None:
    async with open_bot_stage(tmp_path) as stage:
        asked: list[str] = []

        async def takes_a_moment(service: str) -> Message | None:
            asked.append(service)
            stage.manager.now_state = stopped
            return None

        stage.vetoes.restarts.append(takes_a_moment)
        stage.discord_bots.outage_detector.gateway(up=True)
        stage.eyes.failing["http"] = "connection refused"
        await stage.run(30)
        assert asked
        assert stage.manager.restarts_asked == []


@pytest.mark.parametrize(
    ("really", "skipped"),
    [
        (Activity.STOPPING, "api is not restarted: somebody is stopping it"),
        (Activity.RETRYING, "api is not restarted: its manager is starting or stopping it"),
    ],
)
async def test_what_its_manager_has_not_told_yet_is_asked_before_a_restart(
    stage: Stage, really: Activity, skipped: str
) -> None:
    stage.manager.really = ServiceState(really)
    stage.eyes.failing["http"] = "connection refused"
    await stage.run(30)
    assert stage.manager.restarts_asked == []
    incident = (await stage.store.read(incident_repository.open_incidents))["api"]
    assert skipped in done(incident)


async def test_what_its_manager_starts_for_ever_since_a_release_is_rolled_back_before_a_human_is_called(
    stage: Stage,
) -> None:
    await stage.store.write(ledger.set_live, Live("api", "r2", stage.clock(), None))

    async def dies_and_is_started(times: int) -> None:
        for _ in range(times):
            stage.manager.happens(Happening.DIED, ServiceState(Activity.RETRYING, exit=EXIT_1))
            await stage.settle()
            stage.manager.starts_again("api")
            await stage.run(20)

    await dies_and_is_started(15)
    (request,) = stage.yard.asked
    assert (request.kind, request.actor.origin) == (DeploymentKind.ROLLBACK, Origin.RECOVERY)
    assert NotificationKind.CALL not in await stage.kinds()
    assert stage.manager.restarts_asked == []
    stage.yard.ends(request, Phase.LIVE)
    await dies_and_is_started(2)
    assert len(stage.yard.asked) == 1
    assert (await stage.kinds()).count(NotificationKind.CALL) == 1, "the release was not to blame"
