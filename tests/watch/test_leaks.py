"""The leak watch over hours, by a clock that is set: one message a run, which says it all, and nothing is restarted."""

import math
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsbot.chart import memory_chart
from opsbot.config import Check, CheckKind, ManagerKind, Service
from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentRequest, Phase
from opsbot.core.leak import GrowthShape
from opsbot.core.model import Live, Notification
from opsbot.host.figures import HostFigures
from opsbot.messages import render
from opsbot.monitoring.leak_monitor import LeakMonitor
from opsbot.monitoring.memory_chart import charted, drawn_again, memory_of
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import Activity, ServiceState
from opsbot.store import Store, ledger, outbox, samples
from opsbot.store.samples import Figure, Sample
from tests.fixtures.puppets import Clock
from tests.watch.test_host import GIB, config_of

MIB = float(1 << 20)
Memory = Callable[[float], float]
SERVICE = Service("bot", ManagerKind.PROCESS, checks=(Check("process", CheckKind.PROCESS, memory_max=400 << 20),))


@dataclass
class Stage:
    clock: Clock
    store: Store
    watch: LeakMonitor
    run_name: str = "r1"
    started: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)
    available: int = 2 * GIB

    async def run(self, hours: float, memory: Memory) -> None:
        """Hours since the start of the run → MiB, with some noise; looked at every ten minutes."""
        draw = random.Random(1)  # noqa: S311 - it draws noise
        until = self.clock() + timedelta(hours=hours)
        while self.clock() < until:
            batch = []
            for _ in range(10):
                self.clock.pass_by(60)
                age = (self.clock() - self.started).total_seconds() / 3600
                batch.append((self.clock(), (memory(age) + draw.gauss(0, 0.5)) * MIB))
            await self.store.write(_put_all, batch)
            await self.watch.judge_all({"bot": self.state()}, self.host(), self.clock())

    def state(self) -> ServiceState:
        return ServiceState(Activity.RUNNING, pid=1, run=self.run_name, started_at=self.started)

    def host(self) -> HostFigures:
        now = self.clock()
        return HostFigures(1.0, 1, (0, 0, 0), GIB, 4 * GIB, self.available, 0, 0, (), now, 1.0)

    def restart(self, name: str) -> None:
        self.run_name, self.started = name, self.clock()

    async def told(self) -> list[Notification]:
        return await self.store.read(outbox.pending, self.clock())


def _put_all(db: sqlite3.Connection, batch: list[tuple[datetime, float]]) -> None:
    for at, value in batch:
        samples.put(db, at, [Sample("bot", Figure.MEMORY, value)])


def watch(store: Store, clock: Clock, tmp_path: Path, service: Service = SERVICE) -> LeakMonitor:
    config = replace(config_of(tmp_path), services={"bot": service})
    return LeakMonitor(config, store, ChangeNotifier(), clock, charted)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = Clock()
    async with Store(tmp_path / "s.db") as store:
        yield Stage(clock, store, watch(store, clock, tmp_path))


async def test_a_leak_is_told_once_with_its_rate_its_origin_and_its_end(stage: Stage) -> None:
    actor = Actor(Origin.DISCORD, "1", "Mia")
    began = await stage.store.write(ledger.claim, DeploymentRequest("bot", DeploymentKind.DEPLOY, actor), stage.clock())
    assert isinstance(began, Deployment)
    done = replace(began, phase=Phase.LIVE, live_at=stage.clock(), finished_at=stage.clock())
    await stage.store.write(ledger.save, done)
    await stage.store.write(ledger.set_live, Live("bot", "r", stage.clock(), done.id))
    await stage.run(14, lambda t: 80 + 20 * t)
    (notice,) = [each for each in await stage.told() if each.key.startswith("leak:")]
    text = render(notice.said)
    assert text.startswith("bot grows like a leak: 20.0")
    assert "MiB an hour for" in text
    assert "since deployment 1 started it" in text
    assert "it reaches the limit of its process check (400 MiB) in about" in text
    assert "a restart gives the memory back" in text
    chart = notice.body["chart"]
    assert isinstance(chart, dict)
    memory = await drawn_again(stage.store, "bot", chart)
    assert memory is not None
    assert memory.trend is not None
    assert memory.limit == 400 * MIB
    assert [mark.words for mark in memory.marks] == ["deploy 1"]
    assert memory_chart(memory).startswith(b"\x89PNG")
    assert stage.watch.growth["bot"].judgement.shape is GrowthShape.LEAKS


async def test_the_next_run_is_told_anew_and_a_restart_of_opsbot_does_not_repeat(stage: Stage, tmp_path: Path) -> None:
    await stage.run(12, lambda t: 80 + 25 * t)
    assert len(await stage.told()) == 1
    stage.watch = watch(stage.store, stage.clock, tmp_path)
    await stage.run(2, lambda t: 80 + 25 * t)
    assert len(await stage.told()) == 1
    stage.restart("r2")
    await stage.run(3, lambda t: 80 + 25 * t)
    assert len(await stage.told()) == 1
    await stage.run(9, lambda t: 80 + 25 * t)
    assert len(await stage.told()) == 2


@pytest.mark.parametrize(
    "memory",
    [
        lambda _: 90.0,
        lambda t: 80 + 150 * (1 - math.exp(-t / 3)),
        lambda t: 100 + 60 * ((t * 1.7) % 1),
        lambda t: 80 + (100 if t > 4 else 0),
    ],
    ids=["level", "cache", "sawtooth", "step"],
)
async def test_what_is_no_leak_is_not_told(stage: Stage, memory: Memory) -> None:
    await stage.run(16, memory)
    assert await stage.told() == []


async def test_it_can_be_turned_off(stage: Stage, tmp_path: Path) -> None:
    stage.watch = watch(stage.store, stage.clock, tmp_path, replace(SERVICE, leak=False))
    await stage.run(14, lambda t: 80 + 20 * t)
    assert await stage.told() == []


async def test_what_the_host_has_left_is_the_limit_where_no_other_is_nearer(stage: Stage, tmp_path: Path) -> None:
    stage.watch = watch(stage.store, stage.clock, tmp_path, replace(SERVICE, checks=()))
    stage.available = 100 << 20
    await stage.run(14, lambda t: 80 + 20 * t)
    (notice,) = await stage.told()
    assert "all that the host has left" in render(notice.said)


async def test_what_is_drawn_of_a_calm_service_and_of_an_unknown_one(stage: Stage) -> None:
    now = stage.clock()
    assert await memory_of(stage.store, "bot", now - timedelta(days=1), now) is None
    await stage.run(3, lambda _: 90.0)
    now = stage.clock()
    memory = await memory_of(stage.store, "bot", now - timedelta(days=1), now, stage.watch.growth["bot"])
    assert memory is not None
    assert (memory.title, memory.note, memory.trend) == ("bot: memory of the last 1 d", "level", None)
