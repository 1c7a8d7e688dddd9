"""Periodic jobs: errors are caught and runs of a job never overlap.

APScheduler plans the jobs. Those that run at least once a minute use an event loop timer each, aligned to whole seconds
(`opsbot.runtime.ticks`), because planning a run in APScheduler would cost more than the run.

A job that fails is logged and counted and runs again at its next time. `Scheduler.job_health` holds the times of the
last runs for `/healthz` and the watchdog.

APScheduler uses the host's clock. If that is set back by an hour (first time sync after boot, or `date`), no job would
run for an hour, so a monotonic timer checks the plans regularly.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from opsbot.runtime.ticks import next_tick, until_tick, utc_now

log = logging.getLogger(__name__)
# `_guarded` reports failures; APScheduler would log runs that `close` cancels as errors.
logging.getLogger("apscheduler.executors").setLevel(logging.CRITICAL)

Job = Callable[[], Awaitable[object]]

OFTEN = timedelta(minutes=1)
"""Jobs with at most this interval use a timer of the event loop."""
MIND_SECONDS = 30.0
"""Interval between checks whether the clock was set back."""


@dataclass(slots=True)
class JobHealth:
    """Timing of one job. A run that takes longer than `limit` counts as stuck."""

    every: timedelta
    limit: timedelta
    begun: datetime | None = None
    ended: datetime | None = None
    failures: int = 0
    failure: str = ""
    due: float = 0.0
    """Deadline for the next end of a run, in monotonic seconds; 0.0 before `open`."""


class Scheduler:
    """Runs its jobs between `open` and `close`."""

    def __init__(
        self,
        clock: Callable[[], datetime] = utc_now,
        *,
        mind: float = MIND_SECONDS,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """mind: seconds between checks of the plans. steady: a monotonic clock."""
        self._clock = clock
        self._steady = steady
        self._mind_seconds = mind
        self._minder: asyncio.TimerHandle | None = None
        self._furthest: dict[str, timedelta] = {}
        """The longest time that a run of the job can be planned ahead."""
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._tickers: list[_Ticker] = []
        self.job_health: dict[str, JobHealth] = {}

    def every(
        self,
        name: str,
        every: timedelta,
        job: Job,
        *,
        jitter: timedelta | None = None,
        first: timedelta = timedelta(0),
        limit: timedelta = timedelta(minutes=5),
        idle: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run the job at an interval, first after `first`. Missed runs are skipped.

        idle: returns whether a run can be skipped because there is nothing to do; used for intervals up to a minute.
        """
        self.job_health[name] = JobHealth(every, limit)
        self._furthest[name] = max(every + (jitter or timedelta(0)), first) + timedelta(seconds=1)
        if every <= OFTEN and not jitter:
            is_idle = partial(self._skip_idle, self.job_health[name], idle)
            self._tickers.append(_Ticker(every, first, partial(self._guarded, name, job), is_idle))
            return
        self._scheduler.add_job(
            self._guarded,
            # Without an explicit time zone it would read the host's from several files, on the event loop.
            IntervalTrigger(
                seconds=every.total_seconds(), jitter=jitter.total_seconds() if jitter else None, timezone=UTC
            ),
            args=(name, job),
            id=name,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=datetime.now(UTC) + first,
        )

    async def _guarded(self, name: str, job: Job) -> None:
        health = self.job_health[name]
        health.begun = self._clock()
        try:
            await job()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # Boundary: a job keeps running whatever one run raises; log and count it.
            health.failures += 1
            health.failure = f"{type(error).__name__}: {error}"
            log.exception("periodic job %s failed; it will run again", name)
        finally:
            health.ended = self._clock()
            health.due = self._steady() + _allowed_seconds(health)

    def _skip_idle(self, health: JobHealth, idle: Callable[[], bool]) -> bool:
        """Whether to skip a run; a skipped run counts as finished."""
        if not idle():
            return False
        health.begun = health.ended = self._clock()
        health.due = self._steady() + _allowed_seconds(health)
        return True

    def late(self) -> dict[str, float]:
        """The overdue jobs, also those that never ran, with the delay in seconds.

        Uses a monotonic clock: setting the host's clock forward by a day must not make rare jobs overdue.
        """
        now = self._steady()
        return {name: now - health.due for name, health in self.job_health.items() if 0.0 < health.due < now}

    def stuck(self) -> list[str]:
        return list(self.late())

    def open(self) -> None:
        now = self._steady()
        for name, health in self.job_health.items():
            health.due = now + self._furthest[name].total_seconds() + _allowed_seconds(health)
        self._scheduler.start()
        self._check_plans()
        for ticker in self._tickers:
            ticker.open()

    def _check_plans(self) -> None:
        """Run jobs at once that are planned too far ahead because the clock was set back."""
        now = datetime.now(UTC)
        for name, furthest in self._furthest.items():
            job = self._scheduler.get_job(name)
            if job is not None and job.next_run_time is not None and job.next_run_time - now > furthest:
                log.warning("the host's clock was set back; running periodic job %s now", name)
                job.modify(next_run_time=now)
        self._minder = asyncio.get_running_loop().call_later(until_tick(self._mind_seconds), self._check_plans)

    def close(self) -> None:
        """Stop; running jobs are cancelled with the event loop's other tasks."""
        for ticker in self._tickers:
            ticker.close()
        if self._minder is not None:
            self._minder.cancel()
            self._minder = None
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)


class _Ticker:
    """Runs a job at an interval and skips a run while the previous one is unfinished."""

    def __init__(
        self,
        every: timedelta,
        first: timedelta,
        job: Callable[[], Coroutine[None, None, None]],
        is_idle: Callable[[], bool],
    ) -> None:
        self._every = every.total_seconds()
        self._first = first.total_seconds()
        self._job = job
        self._is_idle = is_idle
        self._timer: asyncio.TimerHandle | None = None
        self._run: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(until_tick(self._first), self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(next_tick(self._every), self._tick)
        if (self._run is None or self._run.done()) and not self._is_idle():
            self._run = loop.create_task(self._job())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _allowed_seconds(health: JobHealth) -> float:
    """Return the longest allowed time in seconds between two ends of runs."""
    return (health.every * 2 + health.limit).total_seconds()
