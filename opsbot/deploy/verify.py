"""Verified means: every check passes, and goes on passing, in one and the same run, for a soak time.

What is heard (a check's result, a look at the service, an event of its manager) comes into one inbox and is judged in
order. A failing look in the soak does not yet condemn a release, `fall` of them in a row do; a death does at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from opsbot.config import Check, Service
from opsbot.core.health import ProbeResult
from opsbot.services.port import Activity, ManagerError, ServiceEvent, ServiceManager, ServiceState
from opsbot.words import duration

BEAT = 0.25
"""Seconds between looks at the service's state; its manager's events come besides, at once."""
PACE = 1.0
"""Seconds between two looks of a check at most, where its own interval is longer."""
TOLD_EVERY = 2.0
"""Seconds between two reports that differ in their words only."""

Report = Callable[[str], Awaitable[None]]
"""Told how it goes, when that changes."""


class Looks(Protocol):
    """What is asked of the prober."""

    async def probe(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        """One look; within the check's own time limit."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether it is verified, and what was seen, in words (untrusted text may be in it)."""

    ok: bool
    text: str


@dataclass(slots=True)
class _Trial:
    """What has been seen of one run so far."""

    service: Service
    run: str | None
    begun: float
    running: bool = False
    passing_since: float | None = None
    passed: set[str] = field(default_factory=set)
    failures: dict[str, int] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)

    def take(self, check: Check, result: ProbeResult) -> str | None:
        """One more result; why that ends the trial, or None."""
        self.seen[check.name] = result.seen
        # What cannot be asked (Discord is away, an intent is not granted) must not condemn a release.
        if result.ok or not result.known:
            self.passed.add(check.name)
            self.failures[check.name] = 0
            return None
        failures = self.failures[check.name] = self.failures.get(check.name, 0) + 1
        if check.name in self.passed and failures >= check.policy.fall:
            times = "once" if failures == 1 else f"{failures} times in a row"
            return f"{check.name} passed at first, then failed {times}: {result.seen}"
        return None

    @property
    def all_pass(self) -> bool:
        checks = self.service.checks
        return self.running and all(c.name in self.passed and not self.failures.get(c.name) for c in checks)

    def missing(self) -> str:
        """The checks that do not pass, and what they saw."""
        names = [c.name for c in self.service.checks if c.name not in self.passed or self.failures.get(c.name)]
        return "; ".join(f"{name}: {self.seen.get(name, 'no answer yet')}" for name in names) or "it does not run"


class Verifier:
    """Looks at services that were just started."""

    def __init__(
        self,
        prober: Looks,
        managers: Mapping[str, ServiceManager],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take the parts, and listen to each manager from now on."""
        self._prober = prober
        self._managers = managers
        self._clock = clock
        self._sleep = sleep
        self._heard: dict[str, list[asyncio.Event]] = {}
        for manager in set(managers.values()):
            manager.listen(self._hear)

    def _hear(self, event: ServiceEvent) -> None:
        for wake in self._heard.get(event.service, ()):
            wake.set()

    async def verify(
        self,
        service: Service,
        started: ServiceState,
        folder: Path,
        *,
        soak: timedelta,
        within: timedelta,
        report: Report | None = None,
    ) -> Judgement:
        """Watch the run that `started` describes until it is verified or cannot be any more.

        folder: the release it must run. within: how long the checks may take to pass at first.
        """
        inbox: asyncio.Queue[tuple[Check, ProbeResult] | ServiceState] = asyncio.Queue()
        wake = asyncio.Event()
        self._heard.setdefault(service.name, []).append(wake)
        latest = [started]
        tasks = [asyncio.create_task(self._attend(service, wake, latest, inbox))]
        tasks += [asyncio.create_task(self._look(service, check, latest, inbox)) for check in service.checks]
        try:
            return await self._judge(service, started, folder, soak, within, inbox, tasks, report)
        finally:
            self._heard[service.name].remove(wake)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _attend(
        self,
        service: Service,
        wake: asyncio.Event,
        latest: list[ServiceState],
        inbox: "asyncio.Queue[tuple[Check, ProbeResult] | ServiceState]",
    ) -> None:
        while True:
            try:
                latest[0] = await self._managers[service.name].state(service.name)
            except ManagerError as error:
                latest[0] = ServiceState(Activity.STARTING, exit=str(error))
            inbox.put_nowait(latest[0])
            wake.clear()
            pause = asyncio.ensure_future(self._sleep(BEAT))
            woken = asyncio.create_task(wake.wait())
            try:
                await asyncio.wait({pause, woken}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
                woken.cancel()

    async def _look(
        self,
        service: Service,
        check: Check,
        latest: list[ServiceState],
        inbox: "asyncio.Queue[tuple[Check, ProbeResult] | ServiceState]",
    ) -> None:
        pace = min(check.interval.total_seconds(), PACE)
        while True:
            inbox.put_nowait((check, await self._prober.probe(service, check, latest[0])))
            await self._sleep(pace)

    async def _judge(
        self,
        service: Service,
        started: ServiceState,
        folder: Path,
        soak: timedelta,
        within: timedelta,
        inbox: "asyncio.Queue[tuple[Check, ProbeResult] | ServiceState]",
        tasks: list[asyncio.Task[None]],
        report: Report | None,
    ) -> Judgement:
        loop = asyncio.get_running_loop()
        real = await asyncio.to_thread(folder.resolve)
        trial = _Trial(service, started.run, loop.time())
        teller = _Teller(report, soak)
        while True:
            heard = await inbox.get()
            now = loop.time()
            if isinstance(heard, ServiceState):
                verdict = self._run_verdict(trial, heard, started, real)
                for task in tasks:
                    if task.done():
                        task.result()  # a mistake in a probe must not look like a service that is not well
            else:
                verdict = trial.take(*heard)
            if verdict is not None:
                return Judgement(ok=False, text=verdict)
            if not trial.all_pass:
                # A look that fails in the soak, and is good again, does not begin it anew; `fall` of them end it.
                if trial.passing_since is None and now - trial.begun > within.total_seconds():
                    return Judgement(ok=False, text=f"not well {duration(within)} after its start: {trial.missing()}")
            elif trial.passing_since is None:
                trial.passing_since = now
            if trial.all_pass and trial.passing_since is not None and now - trial.passing_since >= soak.total_seconds():
                return Judgement(ok=True, text=_praise(service, soak))
            await teller.tell(trial, now)

    def _run_verdict(self, trial: _Trial, state: ServiceState, started: ServiceState, real: Path) -> str | None:
        if state.activity is Activity.STARTING or (state.activity is Activity.STOPPING and state.run == trial.run):
            return None
        another = trial.run is not None and state.run is not None and state.run != trial.run
        if another or state.activity is not Activity.RUNNING:
            lived = (
                "" if started.started_at is None else f" {duration(self._clock() - started.started_at)} after its start"
            )
            how = f" ({state.exit})" if state.exit else ""
            return f"it was stopped by hand{lived}" if state.stopped_by_hand else f"it died{lived}{how}"
        if state.release is not None and state.release != real:
            return f"it runs {state.release.name} and not {real.name}"
        trial.run = trial.run or state.run
        trial.running = True
        return None


class _Teller:
    """Reports how it goes: each new stage at once, other words for the same stage now and then."""

    def __init__(self, report: Report | None, soak: timedelta) -> None:
        self._report = report
        self._soak = soak
        self._stage = self._text = ""
        self._at = 0.0

    async def tell(self, trial: _Trial, now: float) -> None:
        if trial.passing_since is None:
            stage, text = "waiting", f"waiting for {trial.missing()}"
        elif trial.all_pass:
            stage, text = "soak", f"all checks pass; watching it for {duration(self._soak)}"
        else:
            stage, text = "doubt", f"a check failed meanwhile: {trial.missing()}"
        if self._report is None or text == self._text or (stage == self._stage and now - self._at < TOLD_EVERY):
            return
        self._stage, self._text, self._at = stage, text, now
        await self._report(text)


def _praise(service: Service, soak: timedelta) -> str:
    count = len(service.checks)
    what = "it stayed alive" if not count else "its check passed" if count == 1 else f"all {count} checks passed"
    return f"{what} for {duration(soak)}" if soak else what
