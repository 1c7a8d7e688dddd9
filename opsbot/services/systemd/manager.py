"""A ServiceManager whose services are units of systemd.

Restart= of a unit is left to systemd: opsbot observes and counts those restarts. A unit that somebody stopped stays
stopped. State is kept from signals, and read again after each reconnection, each daemon-reload, and once a minute.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from opsbot.config import Scope, Service
from opsbot.core import exits
from opsbot.core.exits import ExitCode
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import Message, message
from opsbot.messages import render
from opsbot.runtime.tasks import BackgroundTasks
from opsbot.runtime.ticks import utc_now
from opsbot.services.journal import Journal
from opsbot.services.listeners import Listeners
from opsbot.services.port import Activity, Happening, LogLine, LogQuery, ManagerError, ServiceEvent, ServiceState
from opsbot.services.processes import boot_id
from opsbot.services.systemd import memory
from opsbot.services.systemd.bus import BusError, JobResult, Signal, SystemdBus, Verb
from opsbot.services.systemd.memory import Remembered
from opsbot.services.systemd.names import MANAGER, PROPERTIES, SERVICE, UNIT, unit_of
from opsbot.services.systemd.release import Prove, running_release
from opsbot.services.systemd.several import together
from opsbot.services.systemd.tracker import Tracker
from opsbot.services.systemd.unit import UnitFacts, read_unit

log = logging.getLogger(__name__)

FULL_READ = timedelta(minutes=1)
"""Interval between full reads, in case a signal was lost."""
SECOND_LOOK = timedelta(seconds=5)
"""Delay before a unit that cannot be loaded is checked again: during a package upgrade its file is briefly missing."""
PAUSE = timedelta(milliseconds=50)
READS = 5
"""Attempts to read a unit that changes meanwhile, with growing pauses of at least PAUSE."""
SPARE = timedelta(seconds=30)
"""Time for a job in addition to the unit's own limits."""
_MASKED = "masked"
_FAILED_JOBS = {
    JobResult.CANCELED: ManagerCode.JOB_CANCELED,
    JobResult.TIMEOUT: ManagerCode.JOB_TIMEOUT,
    JobResult.DEPENDENCY: ManagerCode.JOB_DEPENDENCY,
    JobResult.SKIPPED: ManagerCode.JOB_SKIPPED,
}


@dataclass(slots=True)
class _Kept:
    """One service and its units. Operations run one at a time."""

    service: Service
    trackers: Mapping[str, Tracker]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    release_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    releases: dict[str, tuple[str, Path | None]] = field(default_factory=dict)
    """By unit: a run, and the release that it runs in."""


class Systemd:
    """Implements `opsbot.services.port.ServiceManager` for `manager = "systemd"`."""

    def __init__(
        self,
        services: Mapping[str, Service],
        directory: Path,
        clock: Callable[[], datetime] = utc_now,
        *,
        bus: SystemdBus | None = None,
        scope: Scope = Scope.SYSTEM,
        prove: Prove | None = None,
        bus_timeout: timedelta = timedelta(0),
    ) -> None:
        """prove: see `release.py`. bus_timeout: how long `open` waits for the bus."""
        self.bus = bus or SystemdBus(scope)
        self._scope = scope
        self._path = directory / "units.json"
        self._clock = clock
        self._prove = prove
        self._bus_timeout = bus_timeout
        self._journal = Journal(scope)
        self._listeners = Listeners[ServiceEvent]()
        self._kept = {
            name: _Kept(service, {unit: Tracker(unit, self._happened) for unit in service.units})
            for name, service in services.items()
        }
        self._owner = {unit: kept for kept in self._kept.values() for unit in kept.trackers}
        self._trackers = {unit: kept.trackers[unit] for unit, kept in self._owner.items()}
        self._boot = ""
        self._remembered: dict[str, Remembered] = {}
        self._background = BackgroundTasks(log, ManagerError)
        self._saving = asyncio.Lock()
        self._open = False
        self.bus.watch(self._owner)
        self.bus.listen(self._on_signal)
        self.bus.on_back(self._read_all)

    # Open and close

    async def open(self) -> None:
        """Connect, read the units, and report what happened to them meanwhile."""
        self._boot = await asyncio.to_thread(boot_id)
        self._remembered = await asyncio.to_thread(memory.load, self._path)
        await self.bus.open(self._bus_timeout)
        for tracker in self._trackers.values():
            await self._find(tracker)
        self._open = True
        await self._save()
        self._background.run(self._again(), "systemd, read again")

    async def close(self) -> None:
        """Finish what is under way and stop watching. The services keep running."""
        was_open, self._open = self._open, False
        for kept in self._kept.values():
            async with kept.lock:
                for tracker in kept.trackers.values():
                    tracker.unsettle()
        if was_open:
            await self._save()  # the tasks that would do it are canceled next
        await self._background.close()
        await self.bus.close()

    def listen(self, listener: Callable[[ServiceEvent], None]) -> None:
        self._listeners.add(listener)

    # Operations

    async def start(self, service: str) -> ServiceState:
        """Start each unit that does not run, in order."""
        return await self._operate(service, self._start)

    async def stop(self, service: str) -> ServiceState:
        """Stop all units; systemd ends their processes, after TimeoutStopSec= by SIGKILL."""
        return await self._operate(service, self._stop)

    async def restart(self, service: str, part: str | None = None) -> ServiceState:
        """Restart the units one after the other, or only the named one."""
        known = self._service(service).trackers
        if part is not None and part not in known:
            raise ManagerError(message(ManagerCode.UNKNOWN_PART, service=service, part=part, parts=tuple(known)))
        return await self._operate(service, partial(self._bring_up, Verb.RESTART), part)

    def parts(self, service: str) -> tuple[str, ...]:
        units = tuple(self._service(service).trackers)
        return units if len(units) > 1 else ()

    async def state(self, service: str, *, refresh: bool = False) -> ServiceState:
        """The state by systemd's last signals; with `refresh`, read from systemd first."""
        kept = self._service(service)
        if refresh:
            for tracker in kept.trackers.values():
                try:
                    await self._refresh(tracker)
                except BusError as error:
                    why = message(ManagerCode.STATE_UNREADABLE, unit=tracker.unit, error=error.message)
                    raise ManagerError(why, retry=True) from error
        parts = [(unit, await self._unit_state(kept, tracker)) for unit, tracker in kept.trackers.items()]
        return parts[0][1] if len(parts) == 1 else together(parts)

    async def logs(self, service: str, query: LogQuery) -> list[LogLine]:
        kept = self._service(service)
        runs = [tracker.facts.run for tracker in kept.trackers.values() if tracker.facts.run]
        return await self._journal.lines(list(kept.trackers), query, runs)

    def follow(self, service: str) -> AsyncIterator[LogLine]:
        return self._journal.follow(list(self._service(service).trackers))

    # How operations run

    async def _operate(
        self, service: str, operation: Callable[[Tracker], Awaitable[None]], unit: str | None = None
    ) -> ServiceState:
        """Do it to one unit or to each; it finishes even if the caller goes away."""
        kept = self._service(service)

        async def operate() -> ServiceState:
            async with kept.lock:
                for tracker in [kept.trackers[unit]] if unit else kept.trackers.values():
                    await operation(tracker)
            return await self.state(service)

        return await asyncio.shield(self._background.run(operate(), "systemd"))

    async def _start(self, tracker: Tracker) -> None:
        if not tracker.facts.alive:
            await self._bring_up(Verb.START, tracker)

    async def _stop(self, tracker: Tracker) -> None:
        tracker.ending = True
        try:
            result = await self._job(Verb.STOP, tracker)
            if not tracker.facts.active.startswith(("inactive", "failed")):
                why = message(ManagerCode.STOP_FAILED, unit=tracker.unit, why=_job_ended(result, tracker.unit))
                raise ManagerError(why, retry=True)
        finally:
            tracker.ending = False
        tracker.asked += 1
        tracker.stopped()
        tracker.asked -= 1

    async def _bring_up(self, verb: Verb, tracker: Tracker) -> None:
        unit = tracker.unit
        await self._reset_failed(tracker)
        result = await self._job(verb, tracker)
        facts = tracker.facts
        if result in _FAILED_JOBS:
            why = message(ManagerCode.START_FAILED, unit=unit, why=_job_ended(result, unit))
            raise ManagerError(why, retry=True)
        if not facts.alive:
            raise ManagerError(message(ManagerCode.START_FAILED, unit=unit, why=facts.exit() or facts.active))
        # Determine the release now, while `current` points to the one that it was started in.
        await self._release(self._owner[unit], tracker)

    async def _reset_failed(self, tracker: Tracker) -> None:
        """Keep opsbot's starts from using up the unit's start limit."""
        try:
            await self.bus.reset_failed(tracker.unit)
        except BusError as error:
            if error.denied:
                log.warning("%s: opsbot's restarts count towards its start limit: %s", tracker.unit, error)

    async def _job(self, verb: Verb, tracker: Tracker) -> JobResult:
        tracker.asked += 1
        try:
            result = await self.bus.job(verb, tracker.unit, within=tracker.facts.time_limit + SPARE)
            await self._refresh(tracker)
        except BusError as error:
            raise _manager_error(error, verb, tracker, self._scope) from error
        else:
            return result
        finally:
            tracker.asked -= 1

    # Signals

    def _on_signal(self, signal: Signal) -> None:
        if not self._open:
            return
        if signal.interface == MANAGER:
            if signal.member == "Reloading" and not signal.body[0]:
                self._background.run(self._read_all(), "read after a reload of systemd")
            return
        tracker = self._trackers.get(unit_of(signal.path) or "")
        if tracker is None or signal.interface != PROPERTIES:
            return
        interface, values, _ = signal.body
        facts = tracker.facts.changed(values) if interface in {SERVICE, UNIT} else tracker.facts
        tracker.heard += facts != tracker.facts
        if interface == SERVICE:
            # A change of the unit's own interface follows; only both together show what happened.
            tracker.facts = facts
        elif interface == UNIT:
            tracker.take(facts)
            if facts.alive and not facts.cgroup:
                # Changes of it are not signalled (org.freedesktop.systemd1(5)); once known, it stays the same.
                self._background.run(self._learn_cgroup(tracker), tracker.unit)

    async def _learn_cgroup(self, tracker: Tracker) -> None:
        try:
            values = await self.bus.properties(tracker.unit, SERVICE)
        except BusError as error:
            log.info("%s: its control group is unknown: %s", tracker.unit, error)
            return
        tracker.facts = replace(tracker.facts, cgroup=str(values.get("ControlGroup", "")))

    def _happened(self, tracker: Tracker, what: Happening) -> None:
        kept = self._owner[tracker.unit]
        state = tracker.state()
        if len(kept.trackers) > 1:
            end = exits.of_unit(tracker.unit, state.exit)
            whole = together([(unit, each.state()) for unit, each in kept.trackers.items()])
            state = replace(whole, exit=end or whole.exit, run=state.run)
        elif what is Happening.DIED:
            state = replace(state, pid=None)
        part = tracker.unit if len(kept.trackers) > 1 else ""
        event = ServiceEvent(kept.service.name, what, self._clock(), state, asked=bool(tracker.asked), part=part)
        if what is Happening.DIED:
            log.warning("%s died: %s", tracker.unit, render(state.exit) if state.exit else "cause unknown")
        self._listeners.notify(event)
        if self._open:
            self._background.run(self._save(), "save units.json")

    # Reads

    async def _read_now(self, tracker: Tracker) -> UnitFacts | None:
        """Read a unit without a signal in between; None while signals keep coming.

        Properties are read in two calls, so either half may be older than a signal received meanwhile. Applied after
        it, they would revive a run that has ended.
        """
        for number in range(READS):
            await asyncio.sleep(PAUSE.total_seconds() * number)
            heard = tracker.heard
            facts = await read_unit(self.bus, tracker.unit)
            if tracker.heard == heard:
                return facts
        return None

    async def _refresh(self, tracker: Tracker) -> None:
        facts = await self._read_now(tracker)
        if facts is not None:
            tracker.take(facts)

    async def _read_all(self) -> None:
        """Read all units and report what happened meanwhile: signals may have been missed."""
        for tracker in self._trackers.values():
            try:
                await self._catch_up(tracker)
            except BusError as error:
                log.warning("%s: its state cannot be read: %s", tracker.unit, error)

    async def _catch_up(self, tracker: Tracker) -> None:
        facts = await self._read_now(tracker)
        if facts is None:
            return
        heard = tracker.heard
        ended_well = tracker.lived and facts.active == "inactive" and not facts.job and not tracker.asked
        stopped = bool(ended_well) and await self._was_stopped(tracker.unit, tracker.lived)
        if tracker.heard != heard:
            return  # a signal has changed it meanwhile
        if stopped:
            tracker.begin(facts, by_hand=False)
            tracker.report(Happening.STOPPED, by_hand=True)
            return
        tracker.take(facts)
        self._doubt(tracker)

    def _doubt(self, tracker: Tracker) -> None:
        """Check a unit again that cannot be loaded, then report it.

        Not if somebody stopped it, maybe to remove it.
        """
        if not tracker.facts.unloadable:
            tracker.barred = False
        elif not tracker.barred and not tracker.by_hand:
            tracker.barred = True
            self._background.run(self._check_again(tracker), tracker.unit)

    async def _check_again(self, tracker: Tracker) -> None:
        await asyncio.sleep(SECOND_LOOK.total_seconds())
        tracker.barred = False  # if it cannot be read now, the next read checks again
        await self._refresh(tracker)
        tracker.barred = tracker.facts.unloadable and not tracker.by_hand
        if tracker.barred:
            self._happened(tracker, Happening.BARRED)

    async def _again(self) -> None:
        while True:
            await asyncio.sleep(FULL_READ.total_seconds())
            if self.bus.connected:
                await self._read_all()

    async def _find(self, tracker: Tracker) -> None:
        """Read a unit at startup and report what happened since the last opsbot ended."""
        facts = await read_unit(self.bus, tracker.unit)
        last = self._remembered.get(tracker.unit)
        same_run = last is not None and last.run == facts.run
        was_alive = last is not None and last.alive
        tracker.begin(facts, by_hand=last is not None and last.by_hand and (same_run or not facts.ever_active))
        if facts.load == _MASKED:
            tracker.by_hand = True
        elif facts.unloadable:
            self._doubt(tracker)
        elif facts.alive:
            if was_alive and not same_run and facts.restarts:
                tracker.exit = message(ExitCode.UNSEEN)
                tracker.report(Happening.DIED)
                tracker.exit = None
                tracker.report(Happening.STARTED)
        elif facts.retrying:
            if was_alive:
                tracker.report(Happening.DIED)  # while opsbot was not running; its restart is still to come
        elif facts.active == "failed":
            if was_alive or last is None:
                tracker.report(Happening.DIED)
                tracker.report(Happening.GAVE_UP)
        elif facts.active == "inactive" and not tracker.by_hand:
            await self._find_stopped(tracker, last)

    async def _find_stopped(self, tracker: Tracker, last: Remembered | None) -> None:
        facts = tracker.facts
        was_alive = last is not None and last.alive
        run = facts.run or (last.run if last is not None and last.boot == self._boot else "")
        if not run:
            # Nobody has started it since the boot. It stays stopped unless something says that it should run.
            source = self._owner[tracker.unit].service.source
            tracker.by_hand = not was_alive and source is None and not facts.enabled
        elif await self._was_stopped(tracker.unit, run):
            tracker.by_hand = True
            if was_alive:
                tracker.report(Happening.STOPPED, by_hand=True)
        elif was_alive:
            tracker.report(Happening.DIED)

    async def _was_stopped(self, unit: str, run: str) -> bool:
        """Whether somebody stopped that run; assumed if the journal cannot be read."""
        try:
            return await self._journal.was_stopped(unit, run)
        except ManagerError as error:
            log.warning("%s: assumed to be stopped on purpose, the journal is not readable: %s", unit, error)
            return True

    async def _unit_state(self, kept: _Kept, tracker: Tracker) -> ServiceState:
        state = tracker.state()
        if state.activity is Activity.RUNNING and tracker.facts.pid:
            return replace(state, release=await self._release(kept, tracker))
        return state

    async def _release(self, kept: _Kept, tracker: Tracker) -> Path | None:
        facts = tracker.facts
        known = kept.releases.get(tracker.unit)
        if known is not None and known[0] == facts.run:
            return known[1]
        async with kept.release_lock:
            known = kept.releases.get(tracker.unit)
            if known is None or known[0] != facts.run:
                found = await running_release(
                    kept.service, facts.pid, facts.started_at, facts.working_directory, self._prove
                )
                known = kept.releases[tracker.unit] = (facts.run, found)
        return known[1]

    # State across restarts of opsbot

    async def _save(self) -> None:
        now = {
            unit: Remembered(
                self._boot, tracker.facts.run or tracker.last_run, alive=tracker.facts.alive, by_hand=tracker.by_hand
            )
            for unit, tracker in self._trackers.items()
        }
        async with self._saving:
            if now == self._remembered:
                return
            try:
                await asyncio.to_thread(memory.save, self._path, now)
                self._remembered = now
            except OSError as error:
                log.warning("%s cannot be written: %s", self._path, error.strerror)

    def _service(self, service: str) -> _Kept:
        try:
            return self._kept[service]
        except KeyError:
            raise ManagerError(message(ManagerCode.UNKNOWN_SERVICE, service=service)) from None


def _job_ended(result: JobResult, unit: str) -> Message:
    code = _FAILED_JOBS.get(result)
    if code is None:
        return message(ManagerCode.JOB_ENDED, result=result)
    return message(code, unit=unit) if code is ManagerCode.JOB_DEPENDENCY else message(code)


_BARRED_BY = {
    "org.freedesktop.systemd1.NoSuchUnit": ManagerCode.UNIT_NOT_FOUND,
    "org.freedesktop.systemd1.BadUnitSetting": ManagerCode.UNIT_INVALID,
    "org.freedesktop.systemd1.UnitMasked": ManagerCode.UNIT_MASKED,
}
"""What a person has to fix first, by D-Bus error name."""


def _manager_error(error: BusError, verb: Verb, tracker: Tracker, scope: Scope) -> ManagerError:
    code = _BARRED_BY.get(error.name)
    if code is not None:
        return ManagerError(message(code, unit=tracker.unit, scope=scope), barred=True)
    if error.denied:
        return ManagerError(message(ManagerCode.NOT_AUTHORIZED, verb=verb.word, unit=tracker.unit), barred=True)
    why = message(ManagerCode.JOB_REFUSED, verb=verb.word, unit=tracker.unit, error=error.message)
    return ManagerError(why, retry=error.retry)
