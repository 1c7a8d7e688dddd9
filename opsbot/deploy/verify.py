"""Verified: every check keeps passing in one run for the soak time.

That run is the one that was started for it, and its main process works in the right release: another start, by systemd
or by a person, and another release are no success however healthy they are.

Check results, states of the service and events of its manager come into one inbox and are judged in order. One failed
check during the soak does not fail the verification yet, `fall` of them in a row do; the end of the process does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from opsbot.config import Check, Service
from opsbot.core.deploy_codes import VerifyCode
from opsbot.core.health import ProbeResult
from opsbot.core.message import Message, message
from opsbot.runtime.tasks import cancel_all, wait_at_most
from opsbot.runtime.ticks import utc_now
from opsbot.services.port import Activity, ServiceEvent, ServiceManager, ServiceState, known_or

BEAT = 0.25
"""Seconds between reads of the service's state; its manager's events come at once."""
PACE = 1.0
"""Seconds between two runs of a check at most, if its own interval is longer."""
REPORT_EVERY = 2.0
"""Seconds between two reports of the same stage."""

Report = Callable[[Message], Awaitable[None]]
"""Called with the progress, when that changes."""


class CheckProber(Protocol):
    """What verification needs of the prober."""

    async def probe(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        """Run the check once, within its own time limit."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of a verification. disturbed: by others, so it proves nothing."""

    ok: bool
    message: Message
    disturbed: bool = False


class Verifier:
    """Verifies services that were just started."""

    def __init__(
        self,
        prober: CheckProber,
        managers: Mapping[str, ServiceManager],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.prober = prober
        self.clock = clock
        self._managers = managers
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
        real = None if folder is None else await asyncio.to_thread(folder.resolve)
        latest = await self.state(service) if part else started
        checks = tuple(check for check in service.checks if not part or check.unit == part)
        runs = {name: state.run for name, state in _views(started, part)}
        begun = asyncio.get_running_loop().time()
        trial = _Trial(
            *(self, service, started, latest, real, soak, within, part, _Reporter(report, soak), checks, runs, begun)
        )
        wake = asyncio.Event()
        self._heard.setdefault(service.name, []).append(wake)
        tasks = [asyncio.create_task(trial.follow_states(wake))]
        tasks += [asyncio.create_task(trial.run_check(check)) for check in checks]
        try:
            return await trial.judge(tasks)
        finally:
            self._heard[service.name].remove(wake)
            await cancel_all(*tasks)

    async def state(self, service: Service) -> ServiceState:
        """The service's state, starting where its manager does not know."""
        return await known_or(self._managers[service.name].state(service.name), Activity.STARTING)


@dataclass(slots=True)
class _Trial:
    """What has been seen of one run so far, of the service or of one part."""

    verifier: Verifier
    service: Service
    started: ServiceState
    latest: ServiceState
    folder: Path | None
    soak: timedelta
    within: timedelta
    part: str
    reporter: "_Reporter"
    checks: tuple[Check, ...]
    runs: dict[str, str | None]
    """By part; under "" that of a service which is one."""
    begun: float
    inbox: "asyncio.Queue[tuple[Check, ProbeResult] | ServiceState]" = field(default_factory=asyncio.Queue)
    running: bool = False
    passing_since: float | None = None
    passed: set[str] = field(default_factory=set)
    failures: dict[str, int] = field(default_factory=dict)
    seen: dict[str, Message] = field(default_factory=dict)
    unasked: set[str] = field(default_factory=set)
    """Checks whose last result is unknown."""
    disturbed: bool = False

    async def follow_states(self, wake: asyncio.Event) -> None:
        """Put the service's states into the inbox, regularly and after each event."""
        while True:
            self.latest = await self.verifier.state(self.service)
            self.inbox.put_nowait(self.latest)
            wake.clear()
            await wait_at_most(wake, BEAT)

    async def run_check(self, check: Check) -> None:
        """Put the results of a check into the inbox."""
        pace = min(check.interval.total_seconds(), PACE)
        while True:
            self.inbox.put_nowait((check, await self.verifier.prober.probe(self.service, check, self.latest)))
            await asyncio.sleep(pace)

    async def judge(self, tasks: Sequence["asyncio.Task[None]"]) -> Judgement:
        """Judge what comes into the inbox, in order. tasks: who puts it there."""
        loop = asyncio.get_running_loop()
        while True:
            heard = await self.inbox.get()
            now = loop.time()
            if isinstance(heard, ServiceState):
                verdict = self._judge_run(heard)
                for task in tasks:
                    if task.done():
                        task.result()  # a mistake in a probe must not look like an unhealthy service
            else:
                verdict = self._judge_check(*heard)
            if verdict is not None:
                return Judgement(ok=False, message=verdict, disturbed=self.disturbed)
            if not self.all_pass:
                # A check that fails once in the soak does not restart it; `fall` failures end it.
                if self.passing_since is None and now - self.begun > self.within.total_seconds():
                    verdict = message(VerifyCode.NOT_HEALTHY, within=self.within, missing=self.missing())
                    return Judgement(ok=False, message=verdict)
            else:
                self.passing_since = now if self.passing_since is None else self.passing_since
                if now - self.passing_since >= self.soak.total_seconds():
                    return Judgement(ok=True, message=self._success())
            await self.reporter.report(self, now)

    def _success(self) -> Message:
        unasked, soak = tuple(sorted(self.unasked)), self.soak or None
        return message(VerifyCode.PASSED, checks=len(self.checks) - len(unasked), soak=soak, unasked=unasked)

    def _judge_check(self, check: Check, result: ProbeResult) -> Message | None:
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
        """Whether it runs and each check passes."""
        return self.running and not self._failing()

    def _failing(self) -> list[str]:
        return [c.name for c in self.checks if c.name not in self.passed or self.failures.get(c.name)]

    def missing(self) -> tuple[Message, ...]:
        """The checks that do not pass, and what they saw."""
        saw = [message(VerifyCode.CHECK_SAW, check=name, seen=self.seen.get(name)) for name in self._failing()]
        return tuple(saw) or (message(VerifyCode.NOT_RUNNING),)

    def _judge_run(self, state: ServiceState) -> Message | None:
        """One more state; why that ends the trial, or None."""
        running = True
        for name, now in _views(state, self.part):
            if now.activity is Activity.STARTING or (
                now.activity is Activity.STOPPING and now.run == self.runs.get(name)
            ):
                running = False
                continue
            verdict = self._ended(name, now, self.started.of(name))
            wanted = self.folder
            if verdict is None and wanted is not None and now.release is not None and now.release != wanted:
                verdict = self._other_release(name, now.release, wanted)
            if verdict is not None:
                return verdict
            self.runs[name] = self.runs.get(name) or now.run
        self.running = self.running or running
        return None

    def _ended(self, name: str, now: ServiceState, started: ServiceState) -> Message | None:
        """How the run that was started has ended, if it has."""
        run = self.runs.get(name)
        another = run is not None and now.run is not None and now.run != run
        if not another and now.activity is Activity.RUNNING:
            return None
        after = None if started.started_at is None else self.verifier.clock() - started.started_at
        part = name or None
        if now.stopped_by_hand:
            return message(VerifyCode.STOPPED, part=part, after=after)
        if another and now.restarts <= started.restarts:  # and how that one fares says nothing of this one
            self.disturbed = True
            return message(VerifyCode.RESTARTED_BY_OTHERS, part=part, after=after)
        return message(VerifyCode.DIED, part=part, after=after, exit=now.exit)

    def _other_release(self, name: str, runs: Path, wanted: Path) -> Message:
        service, seen = self.service, {"part": name or None, "runs": runs.name, "wanted": wanted.name}
        if not service.manager.capabilities.has_units or service.root is None:
            return message(VerifyCode.OTHER_RELEASE, **seen)
        return message(VerifyCode.OTHER_RELEASE_UNIT, **seen, unit=name or service.unit, root=str(service.root))


def _views(state: ServiceState, part: str) -> tuple[tuple[str, ServiceState], ...]:
    """What is verified: the one part, or each, or the service if it has none."""
    if part:
        return ((part, state.of(part)),)
    return state.parts or (("", state),)


class _Reporter:
    """Reports the progress: new stages at once, changes within a stage at intervals."""

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
