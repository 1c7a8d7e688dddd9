"""The loops: jobs, each guarded, none able to pile up behind itself.

APScheduler plans them; those that come at least once a minute have a timer of the event loop each, on the beat
(`opsbot.runtime.ticks`), as to plan one of their runs would cost more than the run.

A job that fails is logged and counted, and runs again at its next time. `Scheduler.health` says when each last ended,
for `/healthz` and the watchdog.

APScheduler plans by the host's clock: were that set back an hour (a first time sync after the boot, a hand at `date`),
no loop would run for an hour. So the plans are looked at now and then by a timer that knows no clock.
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

from opsbot.runtime.ticks import next_beat, until_beat

log = logging.getLogger(__name__)
# `_guarded` tells of what fails; APScheduler would tell of a run that `close` cancels, as an error.
logging.getLogger("apscheduler.executors").setLevel(logging.CRITICAL)

Job = Callable[[], Awaitable[object]]

OFTEN = timedelta(minutes=1)
"""What comes at least so often has a timer of its own."""
MIND_SECONDS = 30.0
"""Between two looks at whether the clock was set back."""


@dataclass(slots=True)
class JobHealth:
    """How a loop fares. `limit` is how long one run may take before the loop counts as stuck."""

    every: timedelta
    limit: timedelta
    begun: datetime | None = None
    ended: datetime | None = None
    failures: int = 0
    failure: str = ""
    due: float = 0.0
    """When its next end is due at the latest, by a clock that nobody sets; 0.0 before it was opened."""


class Scheduler:
    """Runs the jobs it was given, from `open` to `close`."""

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        mind: float = MIND_SECONDS,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """No jobs yet. mind: seconds between two looks at the plans. steady: a clock that nobody sets."""
        self._clock = clock
        self._steady = steady
        self._mind_seconds = mind
        self._minder: asyncio.TimerHandle | None = None
        self._furthest: dict[str, timedelta] = {}
        """How far ahead a run of the job is planned at the most."""
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._tickers: list[_Ticker] = []
        self.pulses: dict[str, JobHealth] = {}

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
        """Run the job every so often, the first time after `first`. A run that is late is not made up for.

        idle: whether a run would find nothing to do, and is left out; asked of what comes at least once a minute.
        """
        self.pulses[name] = JobHealth(every, limit)
        self._furthest[name] = max(every + (jitter or timedelta(0)), first) + timedelta(seconds=1)
        if every <= OFTEN and not jitter:
            rests = partial(self._rests, self.pulses[name], idle)
            self._tickers.append(_Ticker(every, first, partial(self._guarded, name, job), rests))
            return
        self._scheduler.add_job(
            self._guarded,
            # Without a time zone it would read the host's, several files, on the event loop.
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
        pulse = self.pulses[name]
        pulse.begun = self._clock()
        try:
            await job()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # The edge: a loop must go on whatever one run met; it is told in the log and in the figures.
            pulse.failures += 1
            pulse.failure = f"{type(error).__name__}: {error}"
            log.exception("the %s loop failed; it goes on", name)
        finally:
            pulse.ended = self._clock()
            pulse.due = self._steady() + _patience(pulse)

    def _rests(self, pulse: JobHealth, idle: Callable[[], bool]) -> bool:
        """Whether a run is left out: the loop turns all the same."""
        if not idle():
            return False
        pulse.begun = pulse.ended = self._clock()
        pulse.due = self._steady() + _patience(pulse)
        return True

    def late(self) -> dict[str, float]:
        """Loops that have not come to their end in time, and by how many seconds; also one that never began.

        Not by the host's clock: set forward a day, it would make every loop late that runs a few times a day.
        """
        now = self._steady()
        return {name: now - pulse.due for name, pulse in self.pulses.items() if 0.0 < pulse.due < now}

    def stuck(self) -> list[str]:
        """Names of loops that have not come to their end in time."""
        return list(self.late())

    def open(self) -> None:
        """Begin."""
        now = self._steady()
        for name, pulse in self.pulses.items():
            pulse.due = now + self._furthest[name].total_seconds() + _patience(pulse)
        self._scheduler.start()
        self._mind()
        for ticker in self._tickers:
            ticker.open()

    def _mind(self) -> None:
        """Run at once what is planned further ahead than it can be: the clock was set back since."""
        now = datetime.now(UTC)
        for name, furthest in self._furthest.items():
            job = self._scheduler.get_job(name)
            if job is not None and job.next_run_time is not None and job.next_run_time - now > furthest:
                log.warning("the host's clock was set back: the %s loop does not wait for it", name)
                job.modify(next_run_time=now)
        self._minder = asyncio.get_running_loop().call_later(until_beat(self._mind_seconds), self._mind)

    def close(self) -> None:
        """End; a run under way is cancelled with the event loop's other tasks."""
        for ticker in self._tickers:
            ticker.close()
        if self._minder is not None:
            self._minder.cancel()
            self._minder = None
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)


class _Ticker:
    """Runs a job every so often; a run that comes while the last one goes on is left out."""

    def __init__(
        self,
        every: timedelta,
        first: timedelta,
        job: Callable[[], Coroutine[None, None, None]],
        rests: Callable[[], bool],
    ) -> None:
        self._every = every.total_seconds()
        self._first = first.total_seconds()
        self._job = job
        self._rests = rests
        self._timer: asyncio.TimerHandle | None = None
        self._run: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(until_beat(self._first), self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(next_beat(self._every), self._tick)
        if (self._run is None or self._run.done()) and not self._rests():
            self._run = loop.create_task(self._job())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _patience(pulse: JobHealth) -> float:
    """Seconds from one end of a loop to the next, at the most."""
    return (pulse.every * 2 + pulse.limit).total_seconds()
