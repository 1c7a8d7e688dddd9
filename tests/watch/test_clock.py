"""The host's clock is set back while opsbot runs: nothing waits until it has caught up."""

import asyncio
from datetime import UTC, datetime, timedelta

from opsbot.runtime.scheduler import Scheduler
from tests.fixtures.waiting import passes, until
from tests.watch.test_watch import Stage, stage

__all__ = ["stage"]

HOUR = timedelta(hours=1)


async def test_a_loop_goes_on_after_the_clock_was_set_back() -> None:
    ran = asyncio.Event()

    async def job() -> None:
        ran.set()

    loops = Scheduler(mind=0.05)
    loops.every("poll", timedelta(minutes=5), job)
    loops.open()
    try:
        async with asyncio.timeout(5):
            await ran.wait()
            ran.clear()
            # What was planned before the clock was set back an hour lies an hour ahead after it.
            loops._scheduler.modify_job("poll", next_run_time=datetime.now(UTC) + HOUR)
            await ran.wait()
    finally:
        loops.close()


async def test_a_first_run_that_is_planned_late_is_not_taken_for_a_clock_set_back() -> None:
    ran = asyncio.Event()

    async def job() -> None:
        ran.set()

    loops = Scheduler(mind=0.05)
    loops.every("prune", timedelta(minutes=5), job, first=HOUR)
    loops.open()
    try:
        await passes(0.3)
        assert not ran.is_set()
    finally:
        loops.close()


async def test_what_comes_often_goes_on_after_a_failure_and_never_runs_beside_itself() -> None:
    runs, at_once, most = 0, 0, 0
    third, free = asyncio.Event(), asyncio.Event()

    async def job() -> None:
        nonlocal runs, at_once, most
        runs, at_once = runs + 1, at_once + 1
        most = max(most, at_once)
        try:
            if runs == 1:
                raise RuntimeError("the first run fails")
            if runs == 2:
                await free.wait()
            third.set()
        finally:
            at_once -= 1

    loops = Scheduler()
    loops.every("watch", timedelta(seconds=0.01), job)
    loops.open()
    try:
        async with asyncio.timeout(5):
            await until(lambda: runs >= 2)
            await passes(0.1)
            assert runs == 2
            free.set()
            await third.wait()
            await until(lambda: runs >= 4)
    finally:
        loops.close()
    assert most == 1
    assert loops.job_health["watch"].failures == 1
    assert "the first run fails" in loops.job_health["watch"].failure


async def test_checks_go_on_after_the_clock_was_set_back(stage: Stage) -> None:
    await stage.run(60)
    stage.clock.pass_by(-3600)
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(20)
    assert len(stage.manager.restarts_asked) == 1


async def test_a_new_run_has_no_hours_of_grace_after_the_clock_was_set_back(stage: Stage) -> None:
    await stage.run(60)
    await stage.manager.restart("api")
    stage.clock.pass_by(-3600)
    stage.eyes.failing["http"] = "answered 500"
    stage.manager.restarts_asked.clear()
    await stage.run(20)
    assert len(stage.manager.restarts_asked) == 1


async def test_the_next_restart_does_not_wait_for_the_clock_that_was_set_back(stage: Stage) -> None:
    await stage.run(60)
    stage.eyes.failing["http"] = "answered 500"
    await stage.run(16)
    assert len(stage.manager.restarts_asked) == 1
    stage.clock.pass_by(-3600)
    await stage.run(60)
    assert len(stage.manager.restarts_asked) > 1


async def test_a_run_that_would_find_nothing_to_do_is_left_out_and_the_loop_does_not_count_as_stuck() -> None:
    runs, asked, idle = 0, 0, True
    twice = asyncio.Event()

    async def job() -> None:
        nonlocal runs
        runs += 1

    def rests() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            twice.set()
        return idle

    loops = Scheduler()
    loops.every("watch", timedelta(seconds=0.02), job, idle=rests, limit=timedelta(seconds=1))
    loops.open()
    try:
        async with asyncio.timeout(5):
            await twice.wait()
            assert runs == 0
            assert loops.job_health["watch"].ended is not None
            assert loops.late() == {}
            idle = False
            await until(lambda: runs)
    finally:
        loops.close()


async def test_a_watcher_is_idle_between_its_looks_and_never_while_something_is_wrong(stage: Stage) -> None:
    await stage.run(10)
    idle = 0
    for _ in range(10):
        await stage.run(1)
        stage.clock.pass_by(1)
        idle += stage.watcher.idle()
    assert 0 < idle < 10
    stage.eyes.failing["process"] = "gone"
    await stage.run(10)
    assert not stage.watcher.idle()
    stage.eyes.failing.clear()
    await stage.run(30)
