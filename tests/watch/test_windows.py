"""Maintenance windows at work: what they keep back, what is told at their end, and silences beside them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from opsbot.config import Check, CheckKind, ManagerKind, Service
from opsbot.core.health import CheckPolicy
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.model import Notification, NotificationKind, Silence
from opsbot.core.recovery import RecoveryPolicy
from opsbot.core.windows import WEEK, Window, WindowDeploys
from opsbot.messages import render
from opsbot.monitoring import ServiceMonitor
from opsbot.monitoring.maintenance_windows import MaintenanceWindows
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, incident_repository, mutes, outbox
from tests.fixtures.puppets import Clock, Eyes, Puppet, Yard
from tests.fixtures.said import done
from tests.fixtures.waiting import idle

if TYPE_CHECKING:
    from opsbot.deploy.deployer import Deployer
    from opsbot.probes import Prober
    from opsbot.services.port import ServiceManager

SERVICE = Service(
    "api",
    ManagerKind.PROCESS,
    command=("./api",),
    checks=(Check("process", CheckKind.PROCESS, timedelta(seconds=5), policy=CheckPolicy(fall=1, rise=1)),),
    startup_grace=timedelta(0),
    recovery=RecoveryPolicy(backoff=timedelta(seconds=10)),
)
NIGHT = Window("night", time(12, 5), timedelta(minutes=10), date=date(2026, 3, 1))
"""The puppets' clock begins at 12:00 on that day."""


@dataclass
class Stage:
    clock: Clock
    store: Store
    manager: Puppet
    eyes: Eyes
    watcher: ServiceMonitor
    windows: MaintenanceWindows
    vetoes: Inhibitors
    feed: ChangeNotifier

    async def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.pass_by(1)
            await self.windows.tick()
            await self.watcher.tick()
            await idle(self.watcher.background)

    async def due(self) -> list[NotificationKind]:
        return [notice.kind for notice in await self._untold()]

    async def _untold(self) -> list[Notification]:
        """But for the lines of timelines: those are in a thread, and wake nobody."""
        notices = await self.store.read(outbox.pending, self.clock())
        return [notice for notice in notices if notice.kind is not NotificationKind.TIMELINE]

    async def told(self) -> list[str]:
        """All that is due is told; plain sentences word for word."""
        said = []
        for notice in await self._untold():
            await self.store.write(outbox.mark_sent, notice.id, self.clock(), channel=1, message=notice.id)
            said.append(render(notice.said) or str(notice.kind))
        return said

    async def story(self) -> list[str]:
        (incident,) = await self.store.read(incident_repository.incidents, "api", 1)
        return done(incident)


@asynccontextmanager
async def staged(folder: Path, windows: Sequence[Window], clock: Clock | None = None) -> AsyncIterator[Stage]:
    clock = clock or Clock()
    async with Store(folder / "s.db") as store:
        manager, eyes, feed, vetoes = Puppet(clock), Eyes(clock), ChangeNotifier(), Inhibitors()
        managers: dict[str, ServiceManager] = {"api": manager}
        at_work = MaintenanceWindows(windows, ["api"], store, feed, clock, vetoes)
        watcher = ServiceMonitor(
            {"api": SERVICE},
            store,
            feed,
            managers,
            cast("Prober", eyes),
            cast("Deployer", Yard(clock)),
            clock,
            inhibitors=vetoes,
        )
        await at_work.open()
        await watcher.open()
        try:
            yield Stage(clock, store, manager, eyes, watcher, at_work, vetoes, feed)
        finally:
            await watcher.close()


async def test_what_came_and_went_in_a_window_is_one_line_at_its_end(tmp_path: Path) -> None:
    async with staged(tmp_path, [NIGHT]) as stage:
        await stage.run(310)
        for _ in range(2):
            stage.eyes.failing["process"] = "gone"
            await stage.run(6)
            stage.eyes.failing.clear()
            await stage.run(30)
        assert len(await stage.store.read(incident_repository.incidents, "api")) == 2
        assert await stage.due() == []
        await stage.run(600)
        assert await stage.told() == [
            "The window night is over. While it lasted, this was down and came back: api (2 times)."
        ]
        await stage.run(60)
        assert await stage.told() == []


async def test_what_is_still_wrong_at_the_end_of_a_window_is_told_then_and_once(tmp_path: Path) -> None:
    async with staged(tmp_path, [NIGHT]) as stage:
        await stage.run(310)
        stage.eyes.failing["process"] = "gone"
        await stage.run(580)
        assert await stage.due() == []
        await stage.run(15)
        (alarm, *_) = await stage.store.read(outbox.pending, stage.clock())
        assert alarm.kind is NotificationKind.INCIDENT
        end = datetime(2026, 3, 1, 12, 15, tzinfo=UTC)
        assert await stage.store.read(mutes.silenced_until, "api", alarm.at, stage.clock()) == end
        said = await stage.told()
        assert "incident" in said
        assert not any("is over" in text for text in said)
        await stage.run(30)
        assert await stage.told() == []


async def test_an_alarm_from_before_a_window_is_told_and_its_recovery_waits(tmp_path: Path) -> None:
    async with staged(tmp_path, [NIGHT]) as stage:
        await stage.run(290)
        stage.eyes.failing["process"] = "gone"
        await stage.run(6)
        assert await stage.told() == ["incident"]
        await stage.run(10)
        stage.eyes.failing.clear()
        await stage.run(60)
        assert await stage.due() == []
        await stage.run(600)
        assert await stage.told() == ["recovered"]


async def test_without_recovery_nothing_is_restarted_until_the_end_and_it_is_said_once(tmp_path: Path) -> None:
    async with staged(tmp_path, [replace(NIGHT, mute=False, recovery=False)]) as stage:
        await stage.run(310)
        stage.eyes.failing["process"] = "gone"
        await stage.run(300)
        assert stage.manager.restarts_asked == []
        for_the_supervisor = await first_reason(stage.vetoes.starts, "api")
        assert "the maintenance window night lasts until" in render(for_the_supervisor)
        assert await stage.due() == [NotificationKind.INCIDENT]
        assert await stage.story() == ["recovery waits: the maintenance window night lasts until 2026-03-01 12:15 UTC"]
        await stage.run(300)
        assert stage.manager.restarts_asked


async def test_a_window_mutes_only_its_services_and_the_host_only_with_all(tmp_path: Path) -> None:
    async with staged(tmp_path, [replace(NIGHT, services=("other",))]) as stage:
        await stage.run(310)
        assert await stage.store.read(incident_repository.silence, "api", stage.clock()) is None
        assert await stage.store.read(incident_repository.silence, "host:disk:/", stage.clock()) is None
    async with staged(tmp_path, [NIGHT], stage.clock) as stage:
        for subject in ("api", "host:disk:/"):
            found = await stage.store.read(incident_repository.silence, subject, stage.clock())
            assert found is not None
            assert (found.actor, found.until.time()) == ("the window night", time(12, 15))
            key = f"incident:{subject}"
            await stage.store.write(outbox.put, key, NotificationKind.INCIDENT, subject, stage.clock(), subject=1)
        await stage.store.write(outbox.put, "x", NotificationKind.WORD, "api", stage.clock())
        assert await stage.due() == [NotificationKind.WORD]


async def test_resume_ends_the_mute_of_one_service_and_it_stays_ended(tmp_path: Path) -> None:
    async with staged(tmp_path, [NIGHT]) as stage:
        await stage.run(310)
        assert await stage.store.write(incident_repository.lift_silence, "api", stage.clock())
        assert not await stage.store.write(incident_repository.lift_silence, "api", stage.clock())
        again = MaintenanceWindows([NIGHT], ["api"], stage.store, ChangeNotifier(), stage.clock, Inhibitors())
        await again.open()
        assert await stage.store.read(incident_repository.silence, "api", stage.clock()) is None
        assert await stage.store.read(incident_repository.silence, "host:memory", stage.clock()) is not None


async def test_a_window_that_is_taken_out_of_the_configuration_ends(tmp_path: Path) -> None:
    async with staged(tmp_path, [NIGHT]) as stage:
        await stage.run(310)
        stage.eyes.failing["process"] = "gone"
        await stage.run(6)
        assert await stage.due() == []
    async with staged(tmp_path, [], stage.clock) as stage:
        assert (await stage.due())[0] is NotificationKind.INCIDENT


async def test_a_window_whose_end_is_moved_ends_then(tmp_path: Path) -> None:
    longer = replace(NIGHT, duration=timedelta(hours=1))
    async with staged(tmp_path, [NIGHT]) as stage:
        await stage.run(310)
    async with staged(tmp_path, [longer], stage.clock) as stage:
        found = await stage.store.read(incident_repository.silence, "api", stage.clock())
        assert found is not None
        assert found.until == datetime(2026, 3, 1, 13, 5, tzinfo=UTC)


async def test_what_a_window_kept_back_while_opsbot_was_down_is_summed_up_when_it_is_back(tmp_path: Path) -> None:
    async with staged(tmp_path, [NIGHT]) as stage:
        await stage.run(310)
        stage.eyes.failing["process"] = "gone"
        await stage.run(6)
        stage.eyes.failing.clear()
        await stage.run(30)
    stage.clock.pass_by(86400)
    async with staged(tmp_path, [NIGHT], stage.clock) as stage:
        assert await stage.told() == ["The window night is over. While it lasted, this was down and came back: api."]


async def test_the_longer_of_a_silence_and_a_window_is_the_one_that_is_shown(tmp_path: Path) -> None:
    async with staged(tmp_path, [NIGHT]) as stage:
        await stage.run(310)
        now = stage.clock()
        await stage.store.write(
            incident_repository.put_silence, Silence("api", "ann", "", now, now + timedelta(minutes=1))
        )
        assert (
            cast("Silence", await stage.store.read(incident_repository.silence, "api", now)).actor == "the window night"
        )
        await stage.store.write(
            incident_repository.put_silence, Silence("api", "ann", "", now, now + timedelta(hours=1))
        )
        assert cast("Silence", await stage.store.read(incident_repository.silence, "api", now)).actor == "ann"


async def comes_and_goes(stage: Stage) -> None:
    stage.eyes.failing["process"] = "gone"
    await stage.run(6)
    stage.eyes.failing.clear()
    await stage.run(30)


async def silenced(stage: Stage, minutes: int) -> None:
    now = stage.clock()
    await stage.store.write(
        incident_repository.put_silence, Silence("api", "ann", "", now, now + timedelta(minutes=minutes))
    )
    stage.feed.publish("service")


async def test_what_came_and_went_in_a_silence_is_one_line_at_its_end(tmp_path: Path) -> None:
    async with staged(tmp_path, []) as stage:
        await silenced(stage, 5)
        await comes_and_goes(stage)
        await silenced(stage, 10)  # longer: it goes on
        await comes_and_goes(stage)
        await stage.run(500)
        assert await stage.told() == []
        await stage.run(70)
        assert await stage.told() == ["The silence of api is over. While it lasted, it was down and came back 2 times."]
        await silenced(stage, 5)
        await comes_and_goes(stage)
        await stage.store.write(incident_repository.lift_silence, "api", stage.clock())
        stage.feed.publish("service")
        await stage.run(3)
        assert await stage.told() == ["The silence of api is over. While it lasted, it was down and came back."]
        await silenced(stage, 5)
        await stage.run(400)
        assert await stage.told() == [], "nothing happened in it"


async def test_what_a_window_and_a_silence_kept_back_together_is_told_once(tmp_path: Path) -> None:
    async with staged(tmp_path, [NIGHT]) as stage:
        await stage.run(310)
        await silenced(stage, 20)
        await comes_and_goes(stage)
        await stage.run(1500)
        assert await stage.told() == ["The window night is over. While it lasted, this was down and came back: api."]


async def test_what_a_silence_kept_back_while_opsbot_was_down_is_told_when_it_is_back(tmp_path: Path) -> None:
    async with staged(tmp_path, []) as stage:
        await silenced(stage, 5)
        await comes_and_goes(stage)
    stage.clock.pass_by(86400)
    async with staged(tmp_path, [], stage.clock) as stage:
        await silenced(stage, 5)
        assert await stage.told() == ["The silence of api is over. While it lasted, it was down and came back."]


@pytest.mark.parametrize(
    ("deploys", "freed_at"), [(WindowDeploys.HOLD, 900), (WindowDeploys.ONLY, 300), (WindowDeploys.ALLOW, None)]
)
async def test_who_may_be_deployed_from_now_on_is_told_by_the_tick(
    tmp_path: Path, deploys: WindowDeploys, freed_at: int | None
) -> None:
    clock = Clock()
    async with Store(tmp_path / "s.db") as store:
        windows = MaintenanceWindows(
            [replace(NIGHT, deploys=deploys)], ["api", "bot"], store, ChangeNotifier(), clock, Inhibitors()
        )
        await windows.open()
        freed = []
        for second in range(1, 1000):
            clock.pass_by(1)
            if names := await windows.tick():
                freed.append((second, names))
    assert freed == ([(freed_at, ("api", "bot"))] if freed_at else [])


async def test_mutes_are_written_ahead_again_and_again(tmp_path: Path) -> None:
    clock = Clock()
    async with Store(tmp_path / "s.db") as store:
        windows = MaintenanceWindows(
            [replace(NIGHT, date=None, days=WEEK)], ["api"], store, ChangeNotifier(), clock, Inhibitors()
        )
        await windows.open()
        for _ in range(10 * 24):
            clock.pass_by(3600)
            await windows.tick()
        clock.pass_by(360)
        assert await store.read(incident_repository.silence, "api", clock()) is not None
        await store.write(incident_repository.prune, clock() - timedelta(days=3))
        assert await store.read(lambda db: db.execute("SELECT count(*) FROM mutes").fetchone()[0]) < 16
