"""The loops: APScheduler jobs, each guarded, none able to pile up behind itself.

A job that fails is logged and counted, and runs again at its next time. `Loops.health` tells when each last came to its
end, for `/healthz` and the watchdog.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

log = logging.getLogger(__name__)

Job = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Pulse:
    """How a loop fares. `limit` is how long one run may take before the loop counts as stuck."""

    every: timedelta
    limit: timedelta
    begun: datetime | None = None
    ended: datetime | None = None
    failures: int = 0
    failure: str = ""


class Loops:
    """Runs the jobs it was given, from `open` to `close`."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """No jobs yet."""
        self._clock = clock
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self.pulses: dict[str, Pulse] = {}

    def every(
        self,
        name: str,
        every: timedelta,
        job: Job,
        *,
        jitter: timedelta | None = None,
        first: timedelta = timedelta(0),
        limit: timedelta = timedelta(minutes=5),
    ) -> None:
        """Run the job every so often, the first time after `first`. A run that is late is not made up for."""
        self.pulses[name] = Pulse(every, limit)
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

    def stuck(self) -> list[str]:
        """Names of loops that have not come to their end in time."""
        now = self._clock()
        late = []
        for name, pulse in self.pulses.items():
            last = pulse.ended or pulse.begun
            if last is not None and now - last > pulse.every * 2 + pulse.limit:
                late.append(name)
        return late

    def open(self) -> None:
        """Begin."""
        self._scheduler.start()

    def close(self) -> None:
        """End; a run under way is cancelled with the event loop's other tasks."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
