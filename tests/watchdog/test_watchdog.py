"""The watchdog is fed while all is well, and only then."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.daemon.watchdog import BETWEEN_SECONDS, ZOMBIE_SECONDS, Watchdog
from opsbot.runtime.scheduler import Scheduler
from opsbot.store import Store
from tests.fixtures.waiting import passes, until

SECOND = timedelta(seconds=1)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Kept:
    watchdog: Watchdog
    store: Store
    loops: Scheduler
    clock: Clock
    told: list[str]
    said: list[list[str]] = field(default_factory=list)

    async def until(self, fact: Callable[[], object]) -> None:
        await until(fact, 20)


@asynccontextmanager
async def keeping(folder: Path, limit: float = 0.2) -> AsyncIterator[Kept]:
    """A watchdog over a real store and real loops that a clock of ours tells how late they are."""
    told: list[str] = []
    said: list[list[str]] = []

    def say(reasons: Sequence[str]) -> None:
        said.append(list(reasons))

    clock = Clock()
    loops = Scheduler(steady=clock)
    async with Store(folder / "opsbot.sqlite3") as store:
        watchdog = Watchdog(limit, say, send=told.append, steady=clock)
        task = asyncio.create_task(watchdog.run())
        try:
            yield Kept(watchdog, store, loops, clock, told, said)
        finally:
            task.cancel()
            loops.close()


async def nothing() -> None:
    """A loop with nothing to do."""


async def test_it_is_fed_while_loops_and_store_answer(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.loops.every("watch", timedelta(milliseconds=20), nothing)
        kept.loops.open()
        kept.watchdog.watch(kept.loops, kept.store)
        await kept.until(lambda: len(kept.told) > 3)
        assert set(kept.told) == {"WATCHDOG=1"}
        assert kept.said == []


async def test_a_loop_that_hangs_ends_the_feeding_and_is_named_and_all_goes_on_after_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with keeping(tmp_path) as kept:
        gate = asyncio.Event()
        kept.loops.every("watch", timedelta(milliseconds=20), gate.wait, limit=timedelta(seconds=30))
        kept.loops.open()
        kept.watchdog.watch(kept.loops, kept.store)
        await kept.until(lambda: kept.told)
        kept.clock.now += 60
        await kept.until(lambda: kept.said)
        assert kept.said[0][0].startswith("periodic job watch is stuck (for ")
        assert "periodic job watch is stuck" in caplog.text
        fed = len(kept.told)
        kept.clock.now += 5
        await passes(0.5)
        assert len(kept.told) == fed
        assert len(kept.said) == 1, "said once, not at every look"
        gate.set()
        await kept.until(lambda: len(kept.told) > fed)
        assert kept.said[-1] == []


async def test_a_loop_that_never_begins_is_late_too_and_one_that_is_seldom_due_is_not() -> None:
    clock = Clock()
    loops = Scheduler(steady=clock)
    loops.every("prune", timedelta(hours=6), nothing, first=timedelta(hours=1), limit=timedelta(hours=1))
    loops.every("watch", SECOND, nothing, first=timedelta(hours=5), limit=SECOND)
    assert loops.stuck() == []
    loops.open()
    clock.now += 3600 * 6
    assert loops.stuck() == ["watch"]
    loops.close()


@pytest.mark.real_time
async def test_a_store_that_hangs_ends_the_feeding_until_it_answers(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.loops.open()
        kept.watchdog.watch(kept.loops, kept.store)
        await kept.until(lambda: kept.told)
        gate = threading.Event()

        def hang(_: sqlite3.Connection) -> None:
            gate.wait(30)

        hanging = asyncio.create_task(kept.store.read(hang))
        await kept.until(lambda: kept.said)
        assert kept.said[0][0].startswith("the database does not answer")
        fed = len(kept.told)
        await asyncio.sleep(0.5)  # what must not happen would have by then
        assert len(kept.told) == fed
        gate.set()
        await hanging
        await kept.until(lambda: len(kept.told) > fed)
        assert kept.said[-1] == []


async def test_from_one_configuration_to_the_next_it_is_fed_for_a_while_only(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.loops.open()
        kept.watchdog.watch(kept.loops, kept.store)
        await kept.until(lambda: kept.told)
        kept.watchdog.suspend()
        fed = len(kept.told)
        await kept.until(lambda: len(kept.told) > fed + 1)
        assert kept.said == []
        kept.clock.now += BETWEEN_SECONDS + 1
        await kept.until(lambda: kept.said)
        assert "no configuration has been started" in kept.said[0][0]


async def test_a_store_that_is_closed_when_it_should_be_is_no_trouble(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.loops.open()
        for _ in range(20):
            kept.watchdog.watch(kept.loops, kept.store)
            await asyncio.sleep(0.03)  # threads take turns
            kept.watchdog.suspend()
            await kept.store.close()
            await asyncio.sleep(0.03)  # threads take turns
            kept.store = Store(tmp_path / "opsbot.sqlite3")
            await kept.store.open()
        assert kept.said == []
        await kept.store.close()


async def test_a_connection_that_looks_whole_and_is_deaf_for_minutes_is_not_fed_for(tmp_path: Path) -> None:
    """Complaint: the watcher is alive and deaf, and nobody is told."""
    clock, deaf, loops = Clock(), [True], Scheduler(steady=Clock())
    async with Store(tmp_path / "s.db") as store:
        watchdog = Watchdog(60.0, lambda _: None, send=lambda _: None, steady=clock, zombie=lambda: deaf[0])
        watchdog.watch(loops, store)
        assert await watchdog.check() == []
        clock.now += ZOMBIE_SECONDS - 1
        assert await watchdog.check() == [], "discord.py has its time to close it"
        clock.now += 1
        (reason,) = await watchdog.check()
        assert reason.endswith("are not acknowledged (for 3 m)")
        deaf[0] = False
        assert await watchdog.check() == [], "a connection that is away, or works, is no zombie"
