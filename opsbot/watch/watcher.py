"""Watcher: probe, judge, record, act.

Every second `tick` starts the checks that are due; each runs by itself, none waits for another and none is started
while its last run goes on. Results are folded (`opsbot.core.health`); a death is told by the service's manager at once.
Either opens an incident, in the same transaction as its alert, and while it is open the ladder (`opsbot.core.recovery`)
is asked what to do next. A service that is being deployed is left to its deployment. What fails because a service it
needs fails is part of that one's incident, and waits for it to be well.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from opsbot.config import Alerts, Check, CheckKind, Service
from opsbot.core.dependencies import pace
from opsbot.core.deployment import Deployment, Phase
from opsbot.core.flapping import BY_TURNS, LOOKS, alternates
from opsbot.core.health import (
    NONE_SEEN,
    Change,
    CheckHealth,
    ProbeResult,
    Verdict,
    alternations,
    observe,
    overall,
)
from opsbot.core.layers import Failing, cause_of, untangle
from opsbot.deploy.deployer import Deployer
from opsbot.feed import Feed
from opsbot.probes import Prober
from opsbot.services.port import (
    Activity,
    Happening,
    ManagerError,
    ServiceEvent,
    ServiceManager,
    ServiceState,
)
from opsbot.store import Store, incidents, ledger, watchbook
from opsbot.watch.casebook import Casebook
from opsbot.watch.climber import Climber
from opsbot.watch.family import Family
from opsbot.watch.parts import UNSETTLED, idle, left_alone, meant_to_run, troubled
from opsbot.watch.vetoes import Vetoes, first
from opsbot.watch.watched import Watched
from opsbot.watch.witness import Witness

log = logging.getLogger(__name__)

HURRY = timedelta(seconds=1)
"""How often the checks of a service in trouble are run, where their own interval is longer."""
SIGN_OF_LIFE = timedelta(minutes=1)


class Watcher:
    """Watches every configured service."""

    def __init__(
        self,
        services: Mapping[str, Service],
        store: Store,
        feed: Feed,
        managers: Mapping[str, ServiceManager],
        prober: Prober,
        deployer: Deployer,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        redact: Callable[[str], str] = str,
        alerts: Alerts = Alerts(),  # noqa: B008 - frozen
        vetoes: Vetoes | None = None,
    ) -> None:
        """Take the parts, and listen to the managers; nothing is judged before `open`.

        vetoes: asked before recovery does anything.
        """
        self._vetoes = vetoes or Vetoes()
        self._store = store
        self._feed = feed
        self._managers = managers
        self._prober = prober
        self._deployer = deployer
        self._clock = clock
        self._redact = redact
        self._tasks: set[asyncio.Task[None]] = set()
        self._early: list[ServiceEvent] | None = []
        """What the managers told before `open`: a service that died while opsbot was away, for one."""
        for manager in set(managers.values()):
            manager.listen(self._heard)
        self._looked_at = now = clock()
        self._watched = {
            name: Watched(
                service,
                {check.name: CheckHealth() for check in service.checks},
                {check.name: now for check in service.checks},
            )
            for name, service in services.items()
        }
        self._alerts = alerts
        self._alive_at: datetime | None = None
        self._family = Family(self._watched, deployer.busy)
        witness = Witness(managers, redact)
        self.casebook = Casebook(self._watched, self._family, witness, store, feed, clock, alerts.flapping)
        self._climber = Climber(
            self._watched, store, managers, deployer, self.casebook, self._family, clock, self._vetoes
        )

    # Beginning and end

    async def open(self) -> None:
        """Remember what the store knows, hear what the managers told since, start what should run and does not."""
        kept = await self._store.read(watchbook.healths)
        await self.casebook.open()
        for name, watched in self._watched.items():
            for check in watched.checks:
                watched.checks[check] = kept.get((name, check), CheckHealth())
            gone = [check for service, check in kept if service == name and check not in watched.checks]
            if gone:
                await self._store.write(watchbook.forget_health, name, gone)
            if watched.incident is not None:
                watched.called = watched.incident.called_at is not None
                watched.remember_deeds(watched.incident)
                watched.fallen = {check for check, health in watched.checks.items() if health.verdict is Verdict.DOWN}
                # What was tried before opsbot was restarted has been tried.
                watched.restarts = await self._store.read(watchbook.recoveries, name, watched.incident.opened_at)
            elif not watched.unwell:
                # Down, and nobody was told: opsbot ended in between. It is judged again, else nobody ever would be.
                for check, health in watched.checks.items():
                    if health.verdict is Verdict.DOWN:
                        watched.checks[check] = CheckHealth(last=health.last)
        self._deployer.on_finish(self._deployed)
        for name, watched in self._watched.items():
            live = watched.service.source is None or await self._store.read(ledger.live, name) is not None
            watched.meant_to_run = live
        early, self._early = self._early or [], None
        for event in early:
            await self._happened(event)
        for name in self._watched:
            await self._ensure_running(name)
            if not any(event.service == name for event in early):
                await self._started_meanwhile(name)

    async def _started_meanwhile(self, name: str) -> None:
        """Somebody or something started a service in trouble while opsbot was not running: its story says when."""
        watched, away = self._watched[name], self.casebook.away
        if watched.incident is None or away is None:
            return
        try:
            state = await self._managers[name].state(name)
        except ManagerError as error:
            log.warning("%s: its state cannot be read: %s", name, error)
            return
        began = self._clock() - away
        if state.activity is Activity.RUNNING and state.started_at is not None and state.started_at > began:
            watched.did("started again while opsbot was not running")
            await self.casebook.note(name, watched.last_deed, state.started_at)

    async def close(self) -> None:
        """Stop looking. What is under way is cancelled; the services are left alone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ensure_running(self, name: str) -> None:
        """Start a service that has a release to run, is not stopped on purpose, and does not run."""
        if not self._watched[name].meant_to_run:
            return
        if self._deployer.busy(name):
            return
        try:
            state = await self._managers[name].state(name)
            down = idle(state)
            if down and (words := await first(self._vetoes.spent, name)):
                await self.casebook.trouble(name, f"it does not run: {words}", self._clock())
                return
            for part in down:
                log.info("%s does not run: starting it", part or name)
                # `start` would also start those of its units that a person stopped.
                await (self._managers[name].restart(name, part) if part else self._managers[name].start(name))
        except ManagerError as error:
            await self.casebook.trouble(name, f"{name} could not be started: {error}", self._clock())

    def _spawn(self, work: "asyncio.Task[None]") -> None:
        self._tasks.add(work)
        work.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("watching failed in %s", task.get_name(), exc_info=task.exception())

    # What is known

    def healths(self, service: str) -> Mapping[str, CheckHealth]:
        """Each check of a service, and what is known of it."""
        return self._watched[service].checks

    def verdict(self, service: str) -> Verdict:
        """A service is down while it is in an open incident, its own or another's, or has a check that is down."""
        watched = self._watched[service]
        if watched.unwell:
            return Verdict.DOWN
        # A check that cannot be asked says nothing of the service.
        asked = [one for one in watched.checks.values() if one.verdict is Verdict.DOWN or not _unknown(one)]
        return overall([health.verdict for health in asked]) if asked or not watched.checks else Verdict.UNKNOWN

    @property
    def watched(self) -> Mapping[str, Watched]:
        """What is remembered of each service, for those who judge whether it may be restarted. Only to be read."""
        return self._watched

    def waits(self, service: str) -> str:
        """What its recovery waits for, in words; "" while it does not."""
        watched = self._watched[service]
        return watched.waits if watched.incident is not None else ""

    async def back_from(self, services: Iterable[str], deed: str) -> None:
        """What excused these services is over: the recovery of those in trouble begins anew."""
        for name in services:
            watched = self._watched[name]
            if watched.incident is not None:
                watched.revive = True
                await self.casebook.afresh(name, deed)

    def because_of(self, service: str) -> str:
        """The service in whose incident this one is listed as not well; "" where it is in none."""
        under = self._watched[service].under
        return under.root if under is not None else ""

    # Looking

    def idle(self) -> bool:
        """Whether a tick would find nothing to do now."""
        now = self._clock()
        if now < self._looked_at or not self._shows_life(now) or not self.casebook.idle:
            return False
        return not any(
            one.pending is not None or one.under is not None or (one.next_due <= now and one.meant_to_run)
            for one in self._watched.values()
        )

    def _shows_life(self, now: datetime) -> bool:
        return self._alive_at is not None and timedelta(0) <= now - self._alive_at < SIGN_OF_LIFE

    async def tick(self) -> None:
        """Start every check that is due, and ask the ladder about services in trouble. Does not wait for the checks."""
        now = self._clock()
        if now < self._looked_at:  # the clock was set back: nobody waits until it has caught up
            for watched in self._watched.values():
                watched.hurry(self._clock())
        self._looked_at = now
        for name, watched in self._watched.items():
            if watched.next_due <= now and watched.meant_to_run and not self._deployer.busy(name):
                self._begin(name, watched, now)
            if watched.incident is not None and not watched.acting:
                self._spawn(asyncio.create_task(self._climber.act(name), name=f"act:{name}"))
            if watched.pending is not None or watched.under is not None:
                self._hang_together(name, watched, now)
        await self.casebook.tick()
        if not self._shows_life(now):
            self._alive_at = now
            await self._store.write(incidents.alive, now)

    def _hang_together(self, name: str, watched: Watched, now: datetime) -> None:
        """What waits for the verdict on another, or was listed in an incident that is over, gets its own where due."""
        if watched.settling:
            return
        under = watched.under
        if watched.pending is not None:
            self._spawn(asyncio.create_task(self._settle(name), name=f"settle:{name}"))
        elif under is not None and self._family.is_over(under):
            if under.until is None:
                under.until = now + self._alerts.dependents_grace
                watched.hurry(now)
            elif now >= under.until and watched.down:
                self._spawn(asyncio.create_task(self._settle(name), name=f"leave:{name}"))

    async def _settle(self, name: str) -> None:
        watched = self._watched[name]
        watched.settling = True
        try:
            await (self.casebook.settle(name) if watched.pending is not None else self.casebook.leave(name))
        finally:
            watched.settling = False

    def _begin(self, name: str, watched: Watched, now: datetime) -> None:
        """Run the checks that are due, but for those whose last run goes on."""
        due = [check for check in watched.service.checks if watched.due[check.name] <= now]
        due = [check for check in due if check.name not in watched.looking]
        if not due:
            return
        awaited = watched.awaited is not None and now < watched.awaited
        left = watched.under is not None and watched.under.until is not None
        in_trouble = watched.incident is not None and not watched.case.flaps.flapping
        for check in due:
            # A presence comes late: to look at it more often would only count its failures faster.
            slow = check.kind is CheckKind.PRESENCE and not _well(watched.checks[check.name])
            interval = check.interval
            if (in_trouble or left) and not slow:
                interval = min(interval, HURRY)
            elif awaited and not slow:
                interval = pace(interval, check.policy.fall)
            watched.due[check.name] = now + interval
            watched.looking.add(check.name)
        watched.next_due = min(watched.due.values())
        self._spawn(asyncio.create_task(self._look(name, due), name=f"look:{name}"))

    async def look(self, services: Iterable[str]) -> None:
        """Run all checks of these services now and wait for their results."""
        work = []
        for name in services:
            watched = self._watched[name]
            idle = [check for check in watched.service.checks if check.name not in watched.looking]
            watched.looking.update(check.name for check in idle)
            work.append(self._look(name, idle))
        await asyncio.gather(*work)

    async def _look(self, name: str, checks: Sequence[Check]) -> None:
        """Run these checks: at once what needs no waiting, and in one task; the others beside each other."""
        watched = self._watched[name]
        try:
            state = await self._managers[name].state(name)
        except BaseException as error:
            watched.looking.difference_update(check.name for check in checks)
            if not isinstance(error, ManagerError):
                raise
            log.warning("%s: its state cannot be read: %s", name, error)
            return
        work = []
        results = self._prober.together(watched.service, checks, state)
        for check, result in zip(checks, results, strict=True):
            if result is None:
                work.append(self._wait(watched, check, state))
            elif (reaction := self._fold(watched, check, state, result)) is not None:
                work.append(self._finish(watched, check, reaction))
            else:
                watched.looking.discard(check.name)
        if len(work) == 1:
            await work[0]
        elif work:
            await asyncio.gather(*work)

    async def _wait(self, watched: Watched, check: Check, state: ServiceState) -> None:
        try:
            result = await self._prober.patient(watched.service, check, state)
            if (reaction := self._fold(watched, check, state, result)) is not None:
                await self._finish(watched, check, reaction)
        finally:
            watched.looking.discard(check.name)

    async def _finish(self, watched: Watched, check: Check, reaction: Coroutine[Any, Any, None]) -> None:
        try:
            await reaction
        except ManagerError as error:
            log.warning("%s: its state cannot be read: %s", watched.service.name, error)
        finally:
            watched.looking.discard(check.name)

    def _counts(self, watched: Watched, check: Check, state: ServiceState, result: ProbeResult) -> bool:
        """Whether this result may change the verdict: not during a deploy, a start, a stop, or the grace after one."""
        if check.unit:
            state = state.of(check.unit)
        if self._deployer.busy(watched.service.name) or left_alone(state) or state.activity in UNSETTLED:
            return False
        if not result.known:
            return False
        watched.see_run(check.unit, state.run)
        if result.ok:
            watched.answered.add(check.name)
            return True
        age = None if state.started_at is None else result.at - state.started_at
        # A start in the future is one by a clock that was set back since: no grace, rather than hours of it.
        young = age is not None and timedelta(0) <= age < watched.service.startup_grace
        return not young or check.name in watched.answered or state.activity is not Activity.RUNNING

    def _fold(
        self, watched: Watched, check: Check, state: ServiceState, result: ProbeResult
    ) -> Coroutine[Any, Any, None] | None:
        """Judge a result. What is to be done about it, where something is: seldom, and most looks end here."""
        known = watched.checks[check.name]
        before = known.last
        if before is None or before.seen != result.seen:
            seen = self._redact(result.seen)
            if seen != result.seen:
                result = replace(result, seen=seen)
        if not self._counts(watched, check, state, result):
            watched.checks[check.name] = replace(known, last=result)
            return None
        health, change = observe(known, result, check.policy)
        watched.checks[check.name] = health
        watched.seen_well = watched.seen_well or result.ok
        if change is None and result.ok and not watched.unwell and (before is None or before.ok):
            return None
        flapping = watched.case.flaps.flapping
        if before is not None and before.ok is not result.ok and alternates(health.recent, self._alerts.flapping):
            if flapping:
                self.casebook.turned(watched.service.name)
            elif change is None and not watched.unwell:
                return self._alternates(watched, check, health)
        if change is not None or (result.ok and watched.unwell and not (flapping and watched.case.well)):
            return self._react(watched, check, state, result, change)
        return None

    async def _alternates(self, watched: Watched, check: Check, health: CheckHealth) -> None:
        seen = next((one.seen for one in watched.failing if one.name == check.name), "")
        cause = f"check {check.name} {BY_TURNS}" + (f": {seen}" if seen else "")
        await self.casebook.alternates(watched.service.name, cause, alternations(health.recent, LOOKS))

    async def _react(
        self, watched: Watched, check: Check, state: ServiceState, result: ProbeResult, change: Change | None
    ) -> None:
        name = watched.service.name
        if change is not None:
            log.info("%s: check %s is %s: %s", name, check.name, change.after, result.seen)
            await self._store.write(watchbook.save_health, name, check.name, watched.checks[check.name])
            self._feed.publish("service")
            if change.after is Verdict.DOWN:
                await self._down(name, check, change, result)
            elif check.name in watched.fallen and not watched.case.flaps.flapping:
                await self.casebook.observe(name, f"check {check.name} is well: {result.seen}", "🟢")
        if result.ok and watched.unwell:
            await self._maybe_well(name, state)

    async def _down(self, name: str, check: Check, change: Change, result: ProbeResult) -> None:
        """A check is down. What it hangs below, and fails too, names the cause."""
        watched = self._watched[name]
        if watched.incident is None or watched.case.flaps.flapping:
            watched.fallen = {check.name}
            causes, _ = untangle(watched.failing)
            root = causes[0] if causes else Failing(check.name, check.kind, check.unit, result.seen)
            began = watched.checks[root.name].streak_since if watched.checks[root.name].streak < 0 else None
            await self.casebook.trouble(name, cause_of(root), min(change.since, began or change.since))
        else:
            known = {*watched.fallen, *(seen for seen, _ in watched.incident.evidence.checks)}
            watched.fallen.add(check.name)
            worse = check.name not in known
            if not worse:
                watched.did_not_help()
            await self.casebook.more(name)
            text = f"check {check.name} is down {'too' if worse else 'again'}: {result.seen}"
            await self.casebook.observe(name, text, "🔴", worse=worse)
        await self._climber.act(name)

    # What the managers say

    def _heard(self, event: ServiceEvent) -> None:
        if self._early is not None:
            self._early.append(event)
        elif event.service in self._watched:
            self._spawn(asyncio.create_task(self._in_turn(event), name=f"event:{event.service}"))

    async def _in_turn(self, event: ServiceEvent) -> None:
        async with self._watched[event.service].events:
            await self._happened(event)

    async def _happened(self, event: ServiceEvent) -> None:
        name, watched = event.service, self._watched[event.service]
        self._feed.publish("service")
        if event.asked or not watched.meant_to_run or self._deployer.busy(name):
            return
        match event.what:
            case Happening.DIED:
                await self._died(event)
            case Happening.STARTED if watched.incident is not None:
                await self._store.write(watchbook.add_recovery, name, event.at)
                watched.did(f"started again (pid {event.state.pid})")
                if not watched.case.flaps.flapping:
                    await self.casebook.note(name, watched.last_deed)
                watched.hurry(self._clock())
                await self._climber.started_again(name)
            case Happening.GAVE_UP:
                if watched.incident is None:
                    await self.casebook.trouble(
                        name, f"it died again and again ({event.state.exit})", event.at, event.state
                    )
                else:
                    watched.did_not_help()
                    await self.casebook.note(name, f"not started again: {event.state.exit}")
                await self._climber.act(name)
            case Happening.STOPPED:
                if not troubled(watched, event.state):
                    watched.pending = watched.under = None
                    await self.casebook.end(name, "stopped by hand", surely=True)
                who = f"{event.part} of {name}" if event.part else name
                text = f"{who} was stopped by hand. It is left alone until somebody starts it."
                await self.casebook.tell(name, f"stopped:{name}:{event.at.timestamp()}", text, event.at)

    async def _died(self, event: ServiceEvent) -> None:
        name, watched = event.service, self._watched[event.service]
        exit_text = event.state.exit or "it is not known how"
        for check in watched.service.checks:
            # What was seen of the dead process says nothing of the next one: each check has to be well anew.
            if check.unit in {"", event.part} or not event.part:
                watched.checks[check.name] = replace(
                    watched.checks[check.name], streak=0, streak_since=None, recent=NONE_SEEN, failing_since=None
                )
        if watched.incident is None or watched.case.flaps.flapping:
            await self.casebook.trouble(name, f"it died ({exit_text})", event.at, event.state)
        else:
            watched.did_not_help()
            await self.casebook.note(name, f"died again ({exit_text})", sign="🔴")

    async def _maybe_well(self, name: str, state: ServiceState) -> None:
        """It is well again once every check has been well `rise` times in a row in the present run."""
        watched = self._watched[name]
        running = dict(meant_to_run(state))
        if self._deployer.busy(name) or any(part.activity is not Activity.RUNNING for part in running.values()):
            return
        for check in watched.service.checks:
            if state.parts and check.unit and check.unit not in running:
                continue  # a person stopped that unit
            health = watched.checks[check.name]
            if health.verdict is Verdict.DOWN or (health.streak < check.policy.rise and not _unknown(health)):
                return
        if watched.under is not None:
            await self.casebook.well(name)
            return
        await self.casebook.end(name, watched.ended_by)

    def touched(self, service: str, deed: str) -> None:
        """A person takes a hand in it: the ladder begins anew, and their deed is part of the story."""
        watched = self._watched[service]
        watched.did(deed)
        # Not down any more, either: else what they have just started would be restarted at once.
        watched.judge_anew()
        self._spawn(asyncio.create_task(self.casebook.afresh(service, deed), name=f"note:{service}"))

    @contextmanager
    def in_hand(self, service: str) -> Iterator[None]:
        """A person is at it: recovery, whose ladder they have set back, neither restarts nor rolls back meanwhile."""
        watched = self._watched[service]
        watched.hands += 1
        try:
            yield
        finally:
            watched.hands -= 1
            watched.hurry(self._clock())

    async def resumed(self, service: str, by: str) -> None:
        """Somebody resumed a service: recovery may try anew."""
        await self.casebook.afresh(service, f"recovery resumed by {by}")

    def _deployed(self, deployment: Deployment) -> None:
        """A deployment ended: what was known of the checks before it says nothing any more."""
        watched = self._watched.get(deployment.service)
        if watched is None:
            return
        if deployment.phase in {Phase.FAILED, Phase.SKIPPED, Phase.REPLACED} and deployment.failed_in not in {
            Phase.SWITCHING,
            Phase.RESTARTING,
            Phase.VERIFYING,
        }:
            return
        watched.meant_to_run = watched.meant_to_run or deployment.phase is Phase.LIVE
        watched.judge_anew()
        watched.answered = set()
        if watched.incident is not None:
            watched.did(f"deployment {deployment.id} ended {deployment.phase}")
            self._spawn(asyncio.create_task(self.casebook.note(deployment.service, watched.last_deed)))
        watched.hurry(self._clock())


def _unknown(health: CheckHealth) -> bool:
    """Whether the check could not be asked when it was last looked at."""
    return health.last is not None and not health.last.known


def _well(health: CheckHealth) -> bool:
    return health.last is not None and health.last.ok
