"""Verified means: every check passes, and keeps passing, in one and the same run, for a soak time.

That run is the one that was started for it, and its main process works in the right release: another start, by systemd
or by a person, and another release are no success however healthy they are.

Check results, states of the service and events of its manager come into one inbox and are judged in order. One failed
check during the soak does not fail the verification yet, `fall` of them in a row do; the end of the process does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from opsbot.config import Check, Service
from opsbot.core.deploy_codes import VerifyCode
from opsbot.core.exits import ExitCode
from opsbot.core.health import ProbeResult
from opsbot.core.message import Message, message
from opsbot.services.port import Activity, ManagerError, ServiceEvent, ServiceManager, ServiceState

BEAT = 0.25
"""Seconds between reads of the service's state; its manager's events come at once."""
PACE = 1.0
"""Seconds between two runs of a check at most, if its own interval is longer."""
REPORT_EVERY = 2.0
"""Seconds between two reports of the same stage."""

Report = Callable[[Message], Awaitable[None]]
"""Called with the progress, when that changes."""


class Looks(Protocol):
    """What verification needs of the prober."""

    async def probe(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        """Run the check once, within its own time limit."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether it is verified, and what was seen.

    disturbed: somebody else restarted it, so that nothing is known about the release.
    """

    ok: bool
    message: Message
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
    seen: dict[str, Message] = field(default_factory=dict)
    unasked: set[str] = field(default_factory=set)
    """Checks whose last result is unknown."""
    disturbed: bool = False

    def take(self, check: Check, result: ProbeResult) -> Message | None:
        """One more result; why that ends the trial, or None."""
        self.seen[check.name] = result.seen
        (self.unasked.discard if result.known else self.unasked.add)(check.name)
        # What cannot be asked (Discord is away, an intent is not granted) must not condemn a release.
        if result.ok or not result.known:
            self.passed.add(check.name)
            self.failures[check.name] = 0
            return None
        failures = self.failures[check.name] = self.failures.get(check.name, 0) + 1
        if check.name in self.passed and failures >= check.policy.fall:
            return message(VerifyCode.CHECK_FAILED_AGAIN, check=check.name, count=failures, seen=result.seen)
        return None

    @property
    def all_pass(self) -> bool:
        return self.running and all(c.name in self.passed and not self.failures.get(c.name) for c in self.checks)

    def missing(self) -> tuple[Message, ...]:
        """The checks that do not pass, and what they saw."""
        names = [c.name for c in self.checks if c.name not in self.passed or self.failures.get(c.name)]
        saw = tuple(message(VerifyCode.CHECK_SAW, check=name, seen=self.seen.get(name)) for name in names)
        return saw or (message(VerifyCode.NOT_RUNNING),)


class Verifier:
    """Verifies services that were just started."""

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
        """Watch what was just started until it is verified or has failed.

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
        reporter = _Reporter(report, soak)
        while True:
            heard = await inbox.get()
            now = loop.time()
            if isinstance(heard, ServiceState):
                verdict = self._run_verdict(trial, heard, started, real, service)
                for task in tasks:
                    if task.done():
                        task.result()  # a mistake in a probe must not look like an unhealthy service
            else:
                verdict = trial.take(*heard)
            if verdict is not None:
                return Judgement(ok=False, message=verdict, disturbed=trial.disturbed)
            if not trial.all_pass:
                # A check that fails once in the soak does not restart it; `fall` failures end it.
                if trial.passing_since is None and now - trial.begun > within.total_seconds():
                    return Judgement(
                        ok=False, message=message(VerifyCode.NOT_HEALTHY, within=within, missing=trial.missing())
                    )
            elif trial.passing_since is None:
                trial.passing_since = now
            if trial.all_pass and trial.passing_since is not None and now - trial.passing_since >= soak.total_seconds():
                return Judgement(ok=True, message=_passed(len(trial.checks), sorted(trial.unasked), soak))
            await reporter.report(trial, now)

    def _run_verdict(
        self, trial: _Trial, state: ServiceState, started: ServiceState, real: Path | None, service: Service
    ) -> Message | None:
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

    def _ended(self, trial: _Trial, name: str, now: ServiceState, started: ServiceState) -> Message | None:
        """How the run that was started has ended, if it has."""
        run = trial.runs.get(name)
        another = run is not None and now.run is not None and now.run != run
        if not another and now.activity is Activity.RUNNING:
            return None
        after = None if started.started_at is None else self._clock() - started.started_at
        part = name or None
        if now.stopped_by_hand:
            return message(VerifyCode.STOPPED, part=part, after=after)
        if now.activity is Activity.RUNNING and now.restarts <= started.restarts:
            trial.disturbed = True
            return message(VerifyCode.RESTARTED_BY_OTHERS, part=part, after=after)
        return message(VerifyCode.DIED, part=part, after=after, exit=now.exit)


def _views(state: ServiceState, part: str) -> tuple[tuple[str, ServiceState], ...]:
    """What is verified: the one part, or each, or the service if it has none."""
    if part:
        return ((part, state.of(part)),)
    return state.parts or (("", state),)


def _other_release(name: str, runs: Path, real: Path, service: Service) -> Message:
    seen = {"part": name or None, "runs": runs.name, "wanted": real.name}
    if not service.manager.capabilities.has_units or service.root is None:
        return message(VerifyCode.OTHER_RELEASE, **seen)
    return message(VerifyCode.OTHER_RELEASE_UNIT, **seen, unit=name or service.unit, root=str(service.root))


class _Reporter:
    """Reports the progress: each new stage at once, changes within a stage now and then."""

    def __init__(self, report: Report | None, soak: timedelta) -> None:
        self._report = report
        self._soak = soak
        self._stage: VerifyCode | None = None
        self._said: Message | None = None
        self._at = 0.0

    async def report(self, trial: _Trial, now: float) -> None:
        if trial.passing_since is None:
            stage, said = VerifyCode.WAITING_FOR, message(VerifyCode.WAITING_FOR, missing=trial.missing())
        elif trial.all_pass:
            stage, said = VerifyCode.SOAKING, message(VerifyCode.SOAKING, soak=self._soak)
        else:
            stage, said = VerifyCode.DOUBT, message(VerifyCode.DOUBT, missing=trial.missing())
        if self._report is None or said == self._said or (stage is self._stage and now - self._at < REPORT_EVERY):
            return
        self._stage, self._said, self._at = stage, said, now
        await self._report(said)


def _passed(count: int, unasked: Sequence[str], soak: timedelta) -> Message:
    return message(VerifyCode.PASSED, checks=count - len(unasked), soak=soak or None, unasked=tuple(unasked))
