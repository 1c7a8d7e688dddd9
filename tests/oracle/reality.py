"""What really is and was: the services, their faults, and a record of all of it that opsbot has no part in."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from opsbot.config import Check, CheckKind, Service
from opsbot.core import exits
from opsbot.core.health import ProbeCode, ProbeResult
from opsbot.core.message import Message, message
from opsbot.messages import render
from opsbot.services.port import Activity, Happening, ServiceState
from tests.fixtures.fake_manager import FakeManager

DELAY = 1.0
"""Seconds until the manager starts again what died."""
GIVES_UP_AFTER, WITHIN = 4, timedelta(seconds=30)
"""So many ends within this time, and the manager starts it no more."""
INSTANT = timedelta(milliseconds=1)
"""A look is dated from its beginning, and no run begins at that very moment."""
PORT = 8080
STATUS = "200-399"

WHO: ContextVar[str] = ContextVar("WHO", default="")
"""Who acts at the moment, where it is the driver: the name of a person, or "host" for somebody on the host itself."""


@contextmanager
def acting(who: str) -> Iterator[None]:
    """What is done meanwhile is this person's."""
    token = WHO.set(who)
    try:
        yield
    finally:
        WHO.reset(token)


class Fault(StrEnum):
    """What can be wrong with a service that runs."""

    ERRORS = "errors"
    """It answers 500."""
    HANGS = "hangs"
    CLOSED = "closed"
    """Its port is closed."""
    LEAKS = "leaks"
    """It uses more memory than it may."""


@dataclass
class Run:
    """One run of a service. by: "manager", "deployment", "opsbot", "host", or a person's name."""

    service: str
    pid: int
    commit: str
    began: datetime
    by: str
    ended: datetime | None = None
    exit: str = ""
    """As it is said: "exit 3", "killed by SIGKILL"; "" where it was stopped."""
    crashed: bool = False
    faults: set[Fault] = field(default_factory=set)
    """Those that end with it."""


@dataclass(frozen=True)
class Look:
    """One look of a check."""

    at: datetime
    service: str
    check: str
    ok: bool
    code: str
    text: str


@dataclass(frozen=True)
class Deed:
    """What somebody did. what: "restart", "deploy", …; refused: opsbot refused it."""

    at: datetime
    service: str
    who: str
    what: str
    detail: str = ""
    refused: bool = False


@dataclass(frozen=True)
class Behaviour:
    """How the code of a commit behaves. exits: with this status, so many seconds after its start."""

    exits: int | None = None
    after: float = 0.0
    faults: tuple[Fault, ...] = ()

    @property
    def good(self) -> bool:
        return self.exits is None and not self.faults


@dataclass(frozen=True)
class Code:
    """A commit that the driver made."""

    commit: str
    title: str
    behaviour: Behaviour
    at: datetime


@dataclass
class Truth:
    """The record."""

    runs: list[Run] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    well: dict[str, list[tuple[datetime, bool]]] = field(default_factory=dict)
    """Since when each service served, or did not."""
    gave_up: list[tuple[datetime, str]] = field(default_factory=list)
    opsbot: list[tuple[datetime, bool]] = field(default_factory=list)
    """When opsbot was started and ended."""
    lived: list[tuple[datetime, str]] = field(default_factory=list)
    """Which commit `current` was seen to point to, and since when."""
    code: dict[str, Code] = field(default_factory=dict)
    """The commits, by their serial numbers."""

    def runs_of(self, service: str, until: datetime) -> list[Run]:
        return [run for run in self.runs if run.service == service and run.began <= until]

    def run_at(self, service: str, at: datetime) -> Run | None:
        """The run that lives at that moment."""
        found = self.runs_of(service, at)
        return found[-1] if found and (found[-1].ended is None or found[-1].ended > at) else None

    def crashes(self, service: str, since: datetime, until: datetime) -> list[Run]:
        """The runs that ended by themselves, in order of their ends."""
        found = [
            run
            for run in self.runs
            if run.service == service and run.crashed and run.ended is not None and since <= run.ended <= until
        ]
        return sorted(found, key=lambda run: run.ended or run.began)

    def starts(self, service: str, by: str, since: datetime, until: datetime) -> list[Run]:
        return [run for run in self.runs if run.service == service and run.by == by and since <= run.began <= until]

    def downtime(self, service: str, since: datetime, until: datetime) -> tuple[timedelta, int]:
        """For how long it did not serve in that time, and how often that began or ended."""
        down, edges, before, at = timedelta(0), 0, True, since
        for changed, well in [*self.well.get(service, []), (until, True)]:
            moment = min(max(changed, since), until)
            if not before:
                down += moment - at
            if well is not before and since < moment < until:
                edges += 1
            before, at = well, moment
        return down, edges

    def serves(self, service: str, at: datetime) -> bool:
        found = self.well.get(service, [])
        index = bisect_right([moment for moment, _ in found], at)
        return index > 0 and found[index - 1][1]

    def looked(self, service: str, check: str, since: datetime, until: datetime) -> list[Look]:
        return [
            look for look in self.looks if look.service == service and look.check == check and since <= look.at <= until
        ]


class Host(FakeManager):
    """A manager whose services behave like the code that is live, and like the faults that the driver injects."""

    def __init__(
        self, clock: Callable[[], datetime], services: Mapping[str, Service], code: "Mapping[str, Code]", truth: Truth
    ) -> None:
        """code: what the file `serial` in a release says, by that."""
        super().__init__(clock, services)
        self.services = services
        self.code = code
        self.truth = truth
        self.sticky: dict[str, set[Fault]] = {name: set() for name in services}
        """Faults that a restart does not end: a database that refuses."""
        self.dies_at_start: dict[str, int | None] = dict.fromkeys(services)
        """The status with which each of its runs ends at once, whatever its code."""
        self._generation = dict.fromkeys(services, 0)
        self._commits: dict[str, str] = {}
        self._begin_by = ""
        self.runs = 1000  # the names of all runs have the same length: none is a part of another's

    # opsbot comes and goes

    def forget(self) -> None:
        """opsbot ends."""
        self._listeners = []

    # The port

    async def start(self, service: str) -> ServiceState:
        await self._read(service)
        with self._by():
            return await super().start(service)

    async def restart(self, service: str, part: str | None = None) -> ServiceState:
        await self._read(service)
        with self._by():
            self._end(service, "", crashed=False)
            return await super().restart(service, part)

    async def stop(self, service: str) -> ServiceState:
        self._end(service, "", crashed=False)
        return await super().stop(service)

    @contextmanager
    def _by(self) -> Iterator[None]:
        task = asyncio.current_task()
        name = task.get_name() if task is not None else ""
        self._begin_by = "deployment" if name.startswith("deployment ") else WHO.get() or "opsbot"
        try:
            yield
        finally:
            self._begin_by = ""

    async def _read(self, service: str) -> None:
        self._commits[service] = await self.live(service)

    async def live(self, service: str) -> str:
        """The commit that `current` points to."""
        source = self.services[service].source
        serial = await asyncio.to_thread(_live, source.directory) if source is not None else ""
        found = self.code[serial].commit if serial else ""
        if not self.truth.lived or self.truth.lived[-1][1] != found:
            self.truth.lived.append((self.clock(), found))
        return found

    # What the driver does

    async def outside_restart(self, service: str) -> None:
        """Somebody on the host restarts it, past opsbot."""
        await self._read(service)
        self._end(service, "", crashed=False)
        self._begin_by = "host"
        self._begin(service, restarts=0, asked=False)
        self._begin_by = ""

    def outside_stop(self, service: str) -> None:
        """Somebody on the host stops it."""
        self._end(service, "", crashed=False)
        self.tells(service, Happening.STOPPED, ServiceState(Activity.STOPPED, stopped_by_hand=True))

    def crash(self, service: str, status: int | None, signal: int | None = None) -> None:
        """Its process ends by itself, or is killed."""
        run = self.run(service)
        if run is not None:
            self._dies(run, exits.by_signal(signal) if signal is not None else exits.of_status((status or 0) << 8))

    def inject(self, service: str, fault: Fault, *, sticky: bool) -> None:
        run = self.run(service)
        if sticky:
            self.sticky[service].add(fault)
        elif run is not None:
            run.faults.add(fault)
        self._note(service)

    def mend(self, service: str) -> None:
        """All faults end, but those of its code."""
        self.sticky[service].clear()
        self.dies_at_start[service] = None
        run = self.run(service)
        if run is not None:
            run.faults = set(self._behaviour(run.commit).faults)
        self._note(service)

    # How it stands

    def run(self, service: str) -> Run | None:
        return self.truth.run_at(service, self.clock())

    def faults(self, service: str) -> set[Fault]:
        run = self.run(service)
        return set() if run is None else run.faults | self.sticky[service]

    def _note(self, service: str) -> None:
        well = self.run(service) is not None and not self.faults(service)
        known = self.truth.well.setdefault(service, [])
        if not known or known[-1][1] is not well:
            known.append((self.clock(), well))

    def _behaviour(self, commit: str) -> Behaviour:
        return next((each.behaviour for each in self.code.values() if each.commit == commit), Behaviour())

    # Runs

    def _begin(self, service: str, *, restarts: int, asked: bool) -> ServiceState:
        self._generation[service] += 1
        commit = self._commits.get(service, "")
        behaviour = self._behaviour(commit)
        self.runs += 1
        run = Run(service, self.new_pid(), commit, self.clock(), self._begin_by or "manager")
        run.faults = set(behaviour.faults)
        self.runs -= 1
        self.truth.runs.append(run)
        self._note(service)
        state = super()._begin(service, restarts=restarts, asked=asked)
        self.writes(service, f"INFO run {run.pid} listens")
        loop = asyncio.get_running_loop()
        status = self.dies_at_start[service]
        if status is not None or behaviour.exits is not None:
            code = behaviour.exits if status is None else status
            loop.call_later(
                behaviour.after if status is None else 0.2, self._dies, run, exits.of_status((code or 0) << 8)
            )
        return state

    def _dies(self, run: Run, how: Message) -> None:
        if run.ended is not None:
            return
        service = run.service
        self.writes(service, f"ERROR run {run.pid} ends: {render(how)}")
        self._end(service, render(how), crashed=True)
        self.dies(service, how)
        since = self.clock() - WITHIN
        if len(self.truth.crashes(service, since, self.clock())) >= GIVES_UP_AFTER:
            self.truth.gave_up.append((self.clock(), service))
            self.gives_up(service)
            return
        generation = self._generation[service]
        asyncio.get_running_loop().call_later(DELAY, self._again, service, generation)

    def _again(self, service: str, generation: int) -> None:
        if self._generation[service] == generation and self.states[service].activity is Activity.RETRYING:
            self.starts_again(service)

    def _end(self, service: str, how: str, *, crashed: bool) -> None:
        self._generation[service] += 1
        run = self.run(service)
        if run is not None:
            run.ended, run.exit, run.crashed = self.clock(), how, crashed
        self._note(service)


def _live(directory: Path) -> str:
    """The serial number of the code that `current` points to; "" where there is none."""
    try:
        return (directory / "current" / "serial").read_text().strip()
    except OSError:
        return ""


@dataclass(eq=False)
class Eyes:
    """The probes: they see the services as they are, with the codes of the real ones."""

    host: Host
    clock: Callable[[], datetime]
    truth: Truth

    def together(self, service: Service, checks: Sequence[Check], state: ServiceState) -> list[ProbeResult | None]:
        return [self.quick(service, check, state) for check in checks]

    def quick(self, service: Service, check: Check, state: ServiceState) -> ProbeResult | None:
        if check.kind is CheckKind.HTTP:
            return None
        now = self.host.states[service.name]
        return self._saw(service, check, self.clock(), self._at_once(service.name, check, now))

    async def patient(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        at, name = self.clock(), service.name
        faults = self.host.faults(name)
        if self.host.run(name) is None or Fault.CLOSED in faults:
            return self._saw(service, check, at, (False, message(ProbeCode.CONNECTION_REFUSED)))
        if Fault.HANGS in faults:
            await asyncio.sleep(check.timeout.total_seconds())  # the time limit, on the loop's own clock
            seen = message(ProbeCode.NO_ANSWER_FROM, address=f"127.0.0.1:{PORT}", within=check.timeout)
            return self._saw(service, check, at, (False, seen))
        if Fault.ERRORS in faults:
            seen = message(ProbeCode.HTTP_UNEXPECTED_STATUS, status=500, expected=STATUS)
            return self._saw(service, check, at, (False, seen))
        return self._saw(service, check, at, (True, message(ProbeCode.HTTP_STATUS, status=200)))

    async def probe(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        return self.quick(service, check, state) or await self.patient(service, check, state)

    def _at_once(self, name: str, check: Check, state: ServiceState) -> tuple[bool, Message]:
        faults, run = self.host.faults(name), self.host.run(name)
        if check.kind is CheckKind.TCP:
            if run is None or Fault.CLOSED in faults:
                return False, message(ProbeCode.PORT_CLOSED, port=PORT)
            return True, message(ProbeCode.PORT_OPEN, port=PORT)
        if run is None:
            if state.exit is not None and state.activity in {Activity.FAILED, Activity.RETRYING}:
                return False, message(ProbeCode.ACTIVITY_AFTER_EXIT, activity=state.activity, exit=state.exit)
            return False, message(ProbeCode.ACTIVITY, activity=state.activity)
        if check.memory_max and Fault.LEAKS in faults:
            used = check.memory_max * 2
            return False, message(ProbeCode.MEMORY_ABOVE_LIMIT, pids=(run.pid,), used=used, limit=check.memory_max)
        return True, message(ProbeCode.PROCESS_RUNNING, pid=run.pid)

    def _saw(self, service: Service, check: Check, at: datetime, passed: "tuple[bool, Message]") -> ProbeResult:
        ok, seen = passed
        at -= INSTANT
        self.truth.looks.append(Look(at, service.name, check.name, ok, str(seen.code), render(seen)))
        return ProbeResult(ok, seen, at)


def names(found: Iterable[Run]) -> str:
    """For a message of a failed claim."""
    return ", ".join(
        f"{run.pid} by {run.by} {run.began:%H:%M:%S}–{run.ended:%H:%M:%S} {run.exit}"
        if run.ended
        else f"{run.pid} by {run.by} {run.began:%H:%M:%S}"
        for run in found
    )
