"""A restarted opsbot decides like one that was never restarted.

Random sequences of events are played to two watchers, each over a separate world and a real store. One runs all the
while; the other is closed and opened again from its store after every event. After each event both must know the same
of what was tried, have recorded the same, and decide the same next: whatever their stores' speed, which differs at each
call. `OPSBOT_TWIN_SEQUENCES` sets how many sequences are played.
"""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsbot.config import Alerts, Check, CheckKind, ManagerKind, Service, Source
from opsbot.core import exits
from opsbot.core.deployment import Phase, Release
from opsbot.core.flapping import Flaps
from opsbot.core.health import CheckPolicy
from opsbot.core.incident import EscalationReason, IncidentEvent, IncidentEventKind
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.message import Message, message, plain
from opsbot.core.model import Incident, Live
from opsbot.core.recovery import RecoveryAction, RecoveryPolicy, RecoveryState, RecoveryStep
from opsbot.monitoring import ServiceMonitor
from opsbot.monitoring.incident_state import FlapState
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import Activity, Happening, ServiceManager, ServiceState
from opsbot.store import Store, incident_repository, ledger
from tests.fixtures.puppets import Clock, Eyes, Puppet, Yard

if TYPE_CHECKING:
    from opsbot.deploy.deployer import Deployer
    from opsbot.probes import Prober

SEQUENCES = int(os.environ.get("OPSBOT_TWIN_SEQUENCES", "120"))
SERVICE = Service(
    "api",
    ManagerKind.SYSTEMD,
    units=("api.service",),
    source=Source("https://example.org/api.git", Path("/srv/api")),
    checks=(
        Check("http", CheckKind.HTTP, timedelta(seconds=1), policy=CheckPolicy(fall=2, rise=2)),
        Check("process", CheckKind.PROCESS, timedelta(seconds=1), policy=CheckPolicy(fall=1, rise=1)),
    ),
    startup_grace=timedelta(seconds=3),
    recovery=RecoveryPolicy(attempts=2, backoff=timedelta(seconds=5), budget=6, window=timedelta(minutes=5)),
)


P = ParamSpec("P")
T = TypeVar("T")


class UnevenStore(Store):
    """A store whose calls take different times, by a seed: more or fewer turns of the event loop."""

    def __init__(self, path: Path, seed: str) -> None:
        super().__init__(path)
        self._random = random.Random(seed)  # noqa: S311 - no secret

    async def _pause(self) -> None:
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        await self._pause()
        found = await super().read(query, *args, **kwargs)
        await self._pause()
        return found

    async def write(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        await self._pause()
        found = await super().write(work, *args, **kwargs)
        await self._pause()
        return found


class Machine(Puppet):
    """A service manager that forgets its listeners when opsbot ends."""

    def forget(self) -> None:
        self._listeners = []

    def _running(self) -> ServiceState:
        return replace(super()._running(), started_at=self.clock())

    def becomes(self, what: Happening, state: ServiceState) -> None:
        self.happens(what, state)

    def runs_again(self, *, by_itself: bool = False) -> ServiceState:
        """A new run, which it has not told of yet. by_itself: nobody asked for it."""
        self.runs += 1
        self.now_state = replace(self._running(), restarts=int(by_itself))
        return self.now_state


class Checks(Eyes):
    """What the checks see: the process by its manager, HTTP as the test says."""

    def __init__(self, clock: Clock, machine: Machine) -> None:
        super().__init__(clock)
        self.machine = machine
        self.broken = False

    def look(self) -> None:
        """Bring what is seen up to date with the process."""
        running = self.machine.now_state.activity is Activity.RUNNING
        self.failing = {} if running else {"process": "not running", "http": "connection refused"}
        if running and self.broken:
            self.failing["http"] = "answered 500"


@dataclass(frozen=True)
class Seen:
    """What a twin knows and would do."""

    state: Activity
    incident: tuple[object, ...] | None
    flapping: tuple[object, ...] | None
    recovery: RecoveryState | None
    decision: RecoveryStep | None
    restarts: tuple[datetime, ...]
    starts: int
    rollbacks: int
    history: tuple[Incident, ...]


@dataclass
class World:
    """One opsbot and what it watches. restarted: it is closed and opened again after every event."""

    folder: Path
    restarted: bool
    clock: Clock = field(default_factory=Clock)
    inhibited: bool = False
    forbidden: bool = False
    deploying: bool = False
    vetoes: Inhibitors = field(init=False)
    machine: Machine = field(init=False)
    checks: Checks = field(init=False)
    yard: Yard = field(init=False)
    store: Store = field(init=False)
    watcher: ServiceMonitor = field(init=False)

    async def open(self) -> None:
        self.machine = Machine(self.clock)
        self.checks = Checks(self.clock, self.machine)
        self.yard = Yard(self.clock)
        self.vetoes = Inhibitors(restarts=[self._outage], last_steps=[self._outage], spent=[self._budget])
        self.store = UnevenStore(self.folder / "s.db", self.folder.name)
        await self.store.open()
        for number, name in enumerate(("r1", "r2")):
            at = self.clock() - timedelta(days=2 - number)
            await self.store.write(ledger.add_release, "api", Release(name, f"c{number}", at, good=True))
        await self.store.write(ledger.set_live, Live("api", "r2", self.clock(), None))
        await self._begin()
        await self.passes(2)

    async def _outage(self, service: str) -> Message | None:
        return plain(f"Discord is away from {service}") if self.inhibited else None

    async def _budget(self, service: str) -> Message | None:
        return plain(f"the logins of {service} are spent") if self.forbidden else None

    async def _begin(self) -> None:
        self.machine.forget()
        self.yard = self._yard()
        managers: dict[str, ServiceManager] = {"api": self.machine}
        self.watcher = ServiceMonitor(
            {"api": SERVICE},
            self.store,
            ChangeNotifier(),
            managers,
            cast("Prober", self.checks),
            cast("Deployer", self.yard),
            self.clock,
            alerts=Alerts(),
            inhibitors=self.vetoes,
        )
        await self.watcher.open()
        await self.settle()

    def _yard(self) -> Yard:
        new = Yard(self.clock)
        new.deploying, new.asked = self.yard.deploying, self.yard.asked
        return new

    async def close(self) -> None:
        await self.watcher.close()
        await self.store.close()

    async def settle(self) -> None:
        """Let everything that was begun come to its end."""
        for _ in range(3):
            await asyncio.sleep(0)
            while self.watcher.background.tasks:
                await asyncio.wait(set(self.watcher.background.tasks))

    async def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.pass_by(1)
            self.checks.look()
            await self.watcher.tick()
            await self.settle()

    async def play(self, event: str) -> None:
        """One event, a moment for what follows from it, and opsbot's restart where it is that twin's."""
        await EVENTS[event](self)
        await self.settle()
        await self.passes(1)
        if self.restarted:
            await self.watcher.close()
            await self._begin()

    async def seen(self) -> Seen:
        found = await self.store.read(incident_repository.incidents, "api", 50)
        one, state = (
            next((each for each in found if each.closed_at is None), None),
            self.watcher.incident_manager.timeline.of("api"),
        )
        return Seen(
            self.machine.now_state.activity,
            None if one is None else (one.id, one.cause, one.called_at, state.flapping.flaps),
            _flapping(state.flapping),
            None if one is None else one.recovery,
            await self.watcher.decision("api"),
            tuple(self.machine.restarts_asked),
            self.machine.starts_asked,
            len(self.yard.asked),
            tuple(map(_settled, found)),
        )


def _flapping(known: FlapState) -> tuple[object, ...] | None:
    return (known.healthy, known.down_since, known.down_for) if known.active else None


def _settled(incident: Incident) -> Incident:
    """Without what is counted in memory first, and compared there."""
    if incident.closed_at is None and incident.flaps.flapping:
        incident = replace(incident, flaps=Flaps(), down_since=None, down_for=timedelta(0))
    return replace(incident, revision=0)


# Events


async def breaks(world: World) -> None:
    world.checks.broken = True


async def mends(world: World) -> None:
    world.checks.broken = False


def runs(world: World) -> bool:
    return world.machine.now_state.activity is Activity.RUNNING


async def dies(world: World) -> None:
    if runs(world):
        world.machine.becomes(Happening.DIED, ServiceState(Activity.RETRYING, exit=exits.by_signal(signal.SIGKILL)))


async def manager_restarts(world: World) -> None:
    if world.machine.now_state.activity is Activity.RETRYING:
        world.machine.becomes(Happening.STARTED, world.machine.runs_again(by_itself=True))


async def crashes(world: World) -> None:
    """It dies, and systemd starts it again."""
    await dies(world)
    await world.settle()
    await manager_restarts(world)


async def manager_gives_up(world: World) -> None:
    if world.machine.now_state.activity is Activity.RETRYING:
        world.machine.becomes(Happening.GAVE_UP, ServiceState(Activity.FAILED, exit=exits.of_status(1 << 8)))


async def dies_for_good(world: World) -> None:
    """It dies, and its manager leaves it so, though a restart may help."""
    if runs(world):
        world.machine.becomes(
            Happening.DIED, ServiceState(Activity.FAILED, exit=exits.of_status(1 << 8), revivable=True)
        )


async def ends_by_itself(world: World) -> None:
    if runs(world):
        world.machine.becomes(Happening.DIED, ServiceState(Activity.STOPPED, exit=exits.of_status(0)))


async def started_outside(world: World) -> None:
    world.machine.becomes(Happening.STARTED, world.machine.runs_again())


async def stopped_outside(world: World) -> None:
    world.machine.becomes(Happening.STOPPED, ServiceState(Activity.STOPPED, stopped_by_hand=True))


async def person_restarts(world: World) -> None:
    if "api" not in world.yard.deploying:
        world.watcher.touched("api", "alice")
        world.machine.runs_again()


async def person_resumes(world: World) -> None:
    await world.watcher.resumed("api", "alice")


async def refuses(world: World) -> None:
    world.machine.refuses, world.machine.barred = "the unit is masked", True


async def accepts(world: World) -> None:
    world.machine.refuses, world.machine.barred = "", False


async def discord_leaves(world: World) -> None:
    world.inhibited = True


async def discord_returns(world: World) -> None:
    if world.inhibited:
        world.inhibited = False
        now = world.clock()
        await world.watcher.discord_back(["api"], now - timedelta(minutes=5), now)


async def budget_is_spent(world: World) -> None:
    world.forbidden = True


async def budget_is_free(world: World) -> None:
    world.forbidden = False


async def rollback_ends(world: World) -> None:
    """The rollback that recovery asked for: the release before is live."""
    if world.yard.asked and "api" in world.yard.deploying:
        await world.store.write(ledger.set_live, Live("api", "r1", world.clock(), None))
        world.machine.runs_again()
        world.yard.ends(world.yard.asked[-1], Phase.LIVE)


async def rollback_fails(world: World) -> None:
    if world.yard.asked and "api" in world.yard.deploying:
        world.yard.ends(world.yard.asked[-1], Phase.FAILED)


async def deploy_goes_live(world: World) -> None:
    if "api" not in world.yard.deploying and not world.yard.asked:
        await world.store.write(ledger.set_live, Live("api", "r2", world.clock(), None))
        world.machine.runs_again()


def passing(seconds: int) -> Callable[[World], Awaitable[None]]:
    async def passes(world: World) -> None:
        await world.passes(seconds)

    return passes


EVENTS: dict[str, Callable[[World], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        breaks,
        mends,
        dies,
        manager_restarts,
        crashes,
        manager_gives_up,
        dies_for_good,
        ends_by_itself,
        started_outside,
        stopped_outside,
        person_restarts,
        person_resumes,
        refuses,
        accepts,
        discord_leaves,
        discord_returns,
        budget_is_spent,
        budget_is_free,
        rollback_ends,
        rollback_fails,
        deploy_goes_live,
    )
} | {f"{seconds} s pass": passing(seconds) for seconds in (1, 4, 12, 40)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the stores are: in memory where the host has such a file system, for they sync at every write."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path_factory.mktemp("twins")
        return
    with tempfile.TemporaryDirectory(dir=memory) as found:
        yield Path(found)


async def _compare(folder: Path, events: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    twins = [World(folder / name, restarted=name == "restarted") for name in ("undisturbed", "restarted")]
    try:
        for twin in twins:
            await twin.open()
        for number, event in enumerate(events):
            for twin in twins:
                await twin.play(event)
            undisturbed, restarted = [await twin.seen() for twin in twins]
            assert restarted == undisturbed, f"after {events[: number + 1]}"
    finally:
        for twin in twins:
            await twin.close()


@pytest.mark.timeout(120 + 2 * SEQUENCES)
@settings(
    max_examples=SEQUENCES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(events=st.lists(st.sampled_from(sorted(EVENTS)), min_size=1, max_size=14))
def test_a_restarted_opsbot_decides_like_one_that_was_not(folder: Path, events: list[str]) -> None:
    asyncio.run(_compare(folder / "sequence", events))


# The sequences that went wrong


async def _played(folder: Path, *events: str) -> Seen:
    """What a restarted opsbot knows after these events; the same as one that was not restarted."""
    await _compare(folder / "compared", list(events))
    world = World(folder / "played", restarted=True)
    shutil.rmtree(world.folder, ignore_errors=True)
    await world.open()
    try:
        for event in events:
            await world.play(event)
        return await world.seen()
    finally:
        await world.close()


def _events(seen: Seen) -> tuple[IncidentEvent, ...]:
    """What happened in the latest incident."""
    return seen.history[0].events


def _kinds(seen: Seen) -> list[str]:
    return [each.kind for each in _events(seen)]


async def test_restarts_by_systemd_are_no_attempts_of_recovery(folder: Path) -> None:
    seen = await _played(folder, "crashes", "crashes", "crashes", "dies_for_good")
    assert seen.recovery is not None
    assert (seen.recovery.started_by_manager, len(seen.recovery.restarts)) == (3, 1)
    restarting = [each for each in _kinds(seen) if each == IncidentEventKind.RESTARTING]
    assert len(restarting) == 1, "restart 1 of 2, and not an escalation"
    assert IncidentEventKind.ESCALATED not in _kinds(seen)


async def test_there_is_one_automatic_rollback_in_an_incident(folder: Path) -> None:
    seen = await _played(
        folder, "breaks", "12 s pass", "40 s pass", "rollback_fails", "12 s pass", "40 s pass", "40 s pass"
    )
    assert seen.rollbacks == 1
    assert seen.recovery is not None
    assert (seen.recovery.rolled_back, seen.recovery.escalated) == (True, True)
    assert _kinds(seen).count(IncidentEventKind.ESCALATED) == 1


async def test_after_a_persons_restart_recovery_begins_with_its_first_attempt(folder: Path) -> None:
    seen = await _played(folder, "breaks", "4 s pass", "person_restarts")
    assert seen.recovery is not None
    assert seen.recovery.restarts == ()
    assert seen.decision is not None
    assert (seen.decision.rung, seen.decision.attempt) == (RecoveryAction.RESTART, 1)


async def test_when_discord_is_back_recovery_begins_with_its_first_attempt(folder: Path) -> None:
    seen = await _played(folder, "breaks", "4 s pass", "discord_leaves", "discord_returns")
    assert seen.recovery is not None
    assert len(seen.recovery.restarts) == 1
    attempts = [each.params["attempt"] for each in _events(seen) if each.kind == IncidentEventKind.RESTARTING]
    assert attempts == [1, 1], "the first before the outage, and the first after it"


async def test_what_was_tried_is_counted_in_the_reason_of_an_escalation(folder: Path) -> None:
    seen = await _played(folder, "breaks", "12 s pass", "40 s pass", "rollback_ends", "40 s pass", "40 s pass")
    whys = [each.params["why"] for each in _events(seen) if each.kind == IncidentEventKind.ESCALATED]
    assert whys == [message(EscalationReason.NOT_HELPED, restarts=2, rollbacks=1, by_manager=0)]


async def test_what_is_recorded_does_not_depend_on_how_fast_the_store_is(folder: Path) -> None:
    """Recovery restarts it while its check recovers; escalates while its check fails; is called while it dies."""
    await _compare(
        folder / "restart",
        ["breaks", "breaks", "started_outside", "dies_for_good", "refuses", "dies", "deploy_goes_live"],
    )
    await _compare(
        folder / "escalation",
        ["crashes", "budget_is_spent", "crashes", "40 s pass", "person_resumes", "breaks", "dies_for_good"],
    )
    await _compare(folder / "recovery", ["budget_is_spent", "crashes", "dies_for_good", "deploy_goes_live"])


async def test_failures_before_a_stop_do_not_count_after_the_next_start(folder: Path) -> None:
    seen = await _played(folder, "breaks", "1 s pass", "1 s pass", "stopped_outside", "started_outside", "12 s pass")
    stopped = next(each for each in seen.history if each.closed_at is not None)
    assert stopped.closed_at is not None
    assert seen.history[0].opened_at > stopped.closed_at
