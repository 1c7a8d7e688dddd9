"""Verified means: every check passes, and goes on passing, in one and the same run, for a soak time.

That run is the one that was started for it, and its main process works in the release that it is to be: another start,
by systemd or by a person, and another release are no success however well they answer.

What is heard (a check's result, a look at the service, an event of its manager) comes into one inbox and is judged in
order. A failing look in the soak does not yet condemn a release, `fall` of them in a row do; a death does at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from opsbot.config import Check, Service
from opsbot.core.exits import ExitCode
from opsbot.core.health import ProbeResult
from opsbot.core.message import message
from opsbot.formatting import duration
from opsbot.messages import render
from opsbot.services.port import Activity, ManagerError, ServiceEvent, ServiceManager, ServiceState

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
    """Whether it is verified, and what was seen, in words (untrusted text may be in it).

    disturbed: somebody else restarted it, so that nothing is known of the release.
    """

    ok: bool
    text: str
    disturbed: bool = False


@dataclass(slots=True)
class _Trial:
    """What has been seen of one run so far: of the service's, or of one of its parts' where one is named."""

    part: str
    checks: tuple[Check, ...]
    runs: dict[str, str | None]
    """By part; under "" that of a service which is one."""
    begun: float
    running: bool = False
    passing_since: float | None = None
    passed: set[str] = field(default_factory=set)
    failures: dict[str, int] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    unasked: set[str] = field(default_factory=set)
    """Checks of which the last look learned nothing."""
    disturbed: bool = False

    def take(self, check: Check, result: ProbeResult) -> str | None:
        """One more result; why that ends the trial, or None."""
        self.seen[check.name] = render(result.seen)
        (self.unasked.discard if result.known else self.unasked.add)(check.name)
        # What cannot be asked (Discord is away, an intent is not granted) must not condemn a release.
        if result.ok or not result.known:
            self.passed.add(check.name)
            self.failures[check.name] = 0
            return None
        failures = self.failures[check.name] = self.failures.get(check.name, 0) + 1
        if check.name in self.passed and failures >= check.policy.fall:
            times = "once" if failures == 1 else f"{failures} times in a row"
            return f"{check.name} passed at first, then failed {times}: {render(result.seen)}"
        return None

    @property
    def all_pass(self) -> bool:
        return self.running and all(c.name in self.passed and not self.failures.get(c.name) for c in self.checks)

    def missing(self) -> str:
        """The checks that do not pass, and what they saw."""
        names = [c.name for c in self.checks if c.name not in self.passed or self.failures.get(c.name)]
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
        folder: Path | None,
        *,
        soak: timedelta,
        within: timedelta,
        report: Report | None = None,
        part: str = "",
    ) -> Judgement:
        """Watch what was just started until it is proven, or not well any more.

        folder: the release it must run, None where that does not matter. within: how long the checks may take to pass
        at first. part: only this part of the service and the checks that are about it; `started` may be its own state.
        """
        inbox: asyncio.Queue[tuple[Check, ProbeResult] | ServiceState] = asyncio.Queue()
        wake = asyncio.Event()
        self._heard.setdefault(service.name, []).append(wake)
        latest = [await self._now(service)] if part else [started]
        checks = tuple(check for check in service.checks if not part or check.unit == part)
        runs = {name: state.run for name, state in _views(started, part)}
        trial = _Trial(part, checks, runs, asyncio.get_running_loop().time())
        tasks = [asyncio.create_task(self._attend(service, wake, latest, inbox))]
        tasks += [asyncio.create_task(self._look(service, check, latest, inbox)) for check in checks]
        try:
            return await self._judge(service, trial, started, folder, soak, within, inbox, tasks, report)
        finally:
            self._heard[service.name].remove(wake)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _now(self, service: Service) -> ServiceState:
        try:
            return await self._managers[service.name].state(service.name)
        except ManagerError as error:
            return ServiceState(Activity.STARTING, exit=message(ExitCode.STATE_UNAVAILABLE, error=error.message))

    async def _attend(
        self,
        service: Service,
        wake: asyncio.Event,
        latest: list[ServiceState],
        inbox: "asyncio.Queue[tuple[Check, ProbeResult] | ServiceState]",
    ) -> None:
        while True:
            latest[0] = await self._now(service)
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
        trial: _Trial,
        started: ServiceState,
        folder: Path | None,
        soak: timedelta,
        within: timedelta,
        inbox: "asyncio.Queue[tuple[Check, ProbeResult] | ServiceState]",
        tasks: list[asyncio.Task[None]],
        report: Report | None,
    ) -> Judgement:
        loop = asyncio.get_running_loop()
        real = None if folder is None else await asyncio.to_thread(folder.resolve)
        teller = _Teller(report, soak)
        while True:
            heard = await inbox.get()
            now = loop.time()
            if isinstance(heard, ServiceState):
                verdict = self._run_verdict(trial, heard, started, real, service)
                for task in tasks:
                    if task.done():
                        task.result()  # a mistake in a probe must not look like a service that is not well
            else:
                verdict = trial.take(*heard)
            if verdict is not None:
                return Judgement(ok=False, text=verdict, disturbed=trial.disturbed)
            if not trial.all_pass:
                # A look that fails in the soak, and is good again, does not begin it anew; `fall` of them end it.
                if trial.passing_since is None and now - trial.begun > within.total_seconds():
                    return Judgement(ok=False, text=f"not well {duration(within)} after its start: {trial.missing()}")
            elif trial.passing_since is None:
                trial.passing_since = now
            if trial.all_pass and trial.passing_since is not None and now - trial.passing_since >= soak.total_seconds():
                return Judgement(ok=True, text=_praise(len(trial.checks), sorted(trial.unasked), soak))
            await teller.tell(trial, now)

    def _run_verdict(
        self, trial: _Trial, state: ServiceState, started: ServiceState, real: Path | None, service: Service
    ) -> str | None:
        running = True
        for name, now in _views(state, trial.part):
            if now.activity is Activity.STARTING or (
                now.activity is Activity.STOPPING and now.run == trial.runs.get(name)
            ):
                running = False
                continue
            verdict = self._ended(trial, name, now, started.of(name))
            if verdict is None and real is not None and now.release is not None and now.release != real:
                verdict = _other_release(name, now.release, real, service)
            if verdict is not None:
                return verdict
            trial.runs[name] = trial.runs.get(name) or now.run
        trial.running = trial.running or running
        return None

    def _ended(self, trial: _Trial, name: str, now: ServiceState, started: ServiceState) -> str | None:
        """How the run that was started has come to its end, where it has."""
        run = trial.runs.get(name)
        another = run is not None and now.run is not None and now.run != run
        if not another and now.activity is Activity.RUNNING:
            return None
        lived = "" if started.started_at is None else f" {duration(self._clock() - started.started_at)} after its start"
        who = name or "it"
        if now.stopped_by_hand:
            return f"{who} was stopped by hand{lived}"
        if now.activity is Activity.RUNNING and now.restarts <= started.restarts:
            trial.disturbed = True
            return f"{who} does not run what was started any more: somebody else restarted it{lived}"
        how = f" ({render(now.exit)})" if now.exit else ""
        return f"{who} died{lived}{how}"


def _views(state: ServiceState, part: str) -> tuple[tuple[str, ServiceState], ...]:
    """What is looked at: the one part, or each, or the service where it has none."""
    if part:
        return ((part, state.of(part)),)
    return state.parts or (("", state),)


def _other_release(name: str, runs: Path, real: Path, service: Service) -> str:
    text = f"{name or 'it'} runs {runs.name} and not {real.name}"
    if not service.manager.capabilities.has_units or service.root is None:
        return text
    return f"{text}: WorkingDirectory= of {name or service.unit} has to go through {service.root}"


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


def _praise(count: int, unasked: Sequence[str], soak: timedelta) -> str:
    asked = count - len(unasked)
    what = "it stayed alive" if not asked else "its check passed" if asked == 1 else f"all {asked} checks passed"
    told = f"{what} for {duration(soak)}" if soak else what
    return f"{told}; not asked: {', '.join(unasked)}" if unasked else told
