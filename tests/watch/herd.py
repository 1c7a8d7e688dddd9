"""Many services at once, over hand-written ports, a real store, and a clock that the test moves."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from opsbot.config import Alerts, Check, CheckKind, ManagerKind, Service
from opsbot.core.health import CheckPolicy, ProbeResult
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.message import plain
from opsbot.core.model import Incident, Notification
from opsbot.core.recovery import RecoveryPolicy
from opsbot.core.windows import Window
from opsbot.monitoring import ServiceMonitor
from opsbot.monitoring.maintenance_windows import MaintenanceWindows
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import Activity, Happening, LogLine, LogQuery, ServiceManager, ServiceState
from opsbot.store import Store, incident_repository, outbox
from tests.fixtures.fake_manager import FakeManager
from tests.fixtures.puppets import Clock, Yard
from tests.fixtures.waiting import idle

if TYPE_CHECKING:
    from opsbot.deploy.deployer import Deployer
    from opsbot.probes import Prober

HTTP = Check("http", CheckKind.HTTP, timedelta(seconds=5), policy=CheckPolicy(fall=3, rise=2))
TCP = Check("tcp", CheckKind.TCP, timedelta(seconds=5), policy=CheckPolicy(fall=3, rise=2))
PROCESS = Check("process", CheckKind.PROCESS, timedelta(seconds=5), policy=CheckPolicy(fall=1, rise=1))


def service(
    name: str,
    *needs: str,
    checks: tuple[Check, ...] = (HTTP,),
    recovery: RecoveryPolicy = RecoveryPolicy(restart=False),  # noqa: B008
) -> Service:
    """A service that needs others. Recovery only calls for a human, unless another ladder is given."""
    return Service(
        name,
        ManagerKind.PROCESS,
        ("x",),
        depends_on=needs,
        checks=checks,
        recovery=recovery,
        startup_grace=timedelta(0),
    )


class Shepherd(FakeManager):
    """A manager of many services, whose strings the test pulls. They run since an hour ago."""

    def __init__(self, clock: Clock, services: Iterable[str]) -> None:
        super().__init__(clock, services)
        started = clock() - timedelta(hours=1)
        self.states = dict.fromkeys(self.states, ServiceState(Activity.RUNNING, pid=1, run="1", started_at=started))
        self.before_logs: dict[str, Callable[[], Awaitable[None]]] = {}

    @property
    def restarts(self) -> list[str]:
        return self.ordered("restart")

    async def logs(self, service: str, query: LogQuery) -> list[LogLine]:
        if service in self.before_logs:
            await self.before_logs[service]()
        return await super().logs(service, query)

    def happens(self, name: str, what: Happening, state: ServiceState) -> None:
        """Tell the listeners of something."""
        self.tells(name, what, state)


@dataclass(eq=False)
class Sight:
    """A prober that sees what the test says: what each service's checks fail with, by service or service.check."""

    clock: Clock
    failing: dict[str, str] = field(default_factory=dict)
    looks: int = 0

    def together(self, service: Service, checks: Sequence[Check], state: ServiceState) -> list[ProbeResult | None]:
        return [self.quick(service, check, state) for check in checks]

    def quick(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        assert state.activity
        self.looks += 1
        seen = self.failing.get(f"{service.name}.{check.name}", self.failing.get(service.name))
        return ProbeResult(seen is None, plain(seen or "well"), self.clock())


@dataclass
class Herd:
    """Services, watched."""

    services: dict[str, Service]
    clock: Clock
    store: Store
    shepherd: Shepherd
    sight: Sight
    yard: Yard
    alerts: Alerts = field(default_factory=Alerts)
    planned: Sequence[Window] = ()
    feed: ChangeNotifier = field(default_factory=ChangeNotifier)
    watcher: ServiceMonitor = field(init=False)
    windows: MaintenanceWindows = field(init=False)
    vetoes: Inhibitors = field(init=False)

    @property
    def managers(self) -> dict[str, ServiceManager]:
        return dict.fromkeys(self.services, self.shepherd)

    async def settle(self) -> None:
        """Let everything that was begun come to its end."""
        await idle(self.watcher.background)

    async def run(self, seconds: int, each: Callable[[int], None] = lambda _: None, step: int = 1) -> None:
        """Let so many seconds pass, with a tick at each; `each` is told which one it is before it.

        step: seconds from one tick to the next.
        """
        for number in range(0, seconds, step):
            each(number)
            self.clock.pass_by(step)
            await self.windows.tick()
            await self.watcher.tick()
            await self.settle()

    def fails(self, *names: str, seen: str = "no answer") -> None:
        self.sight.failing |= dict.fromkeys(names, seen)

    def mends(self, *names: str) -> None:
        for name in names or tuple(self.sight.failing):
            self.sight.failing.pop(name, None)

    async def told(self) -> list[str]:
        """What is in the outbox, in its order: kind, service and subject of each."""
        notices: list[Notification] = await self.store.read(outbox.pending, self.clock(), 10_000)
        return [f"{notice.kind} {notice.service}" for notice in notices]

    async def incident(self, name: str) -> Incident:
        """The open incident of a service."""
        return (await self.store.read(incident_repository.open_incidents))[name]

    async def latest(self, name: str) -> Incident:
        """The latest incident of a service, over or not."""
        return (await self.store.read(incident_repository.incidents, name, 1))[0]

    def seconds(self, at: datetime, since: datetime) -> float:
        return (at - since).total_seconds()

    async def again(self, away: int = 0) -> None:
        """opsbot ends, and starts anew over the same store after so many seconds."""
        await self.watcher.close()
        self.clock.pass_by(away)
        await self.start()

    async def start(self) -> None:
        """Put the parts together anew, and open them."""
        self.vetoes = Inhibitors()
        self.windows = MaintenanceWindows(self.planned, self.services, self.store, self.feed, self.clock, self.vetoes)
        self.watcher = ServiceMonitor(
            self.services,
            self.store,
            self.feed,
            self.managers,
            cast("Prober", self.sight),
            cast("Deployer", self.yard),
            self.clock,
            str,
            self.alerts,
            self.vetoes,
        )
        await self.windows.open()
        await self.watcher.open()


@asynccontextmanager
async def open_herd(
    folder: Path,
    services: Iterable[Service],
    alerts: Alerts = Alerts(),  # noqa: B008
    windows: Sequence[Window] = (),
    at: datetime | None = None,
) -> AsyncIterator[Herd]:
    """These services, watched, all well. at: when it begins."""
    clock = Clock()
    clock.now = at or clock.now
    async with Store(folder / "s.db") as store:
        by_name = {one.name: one for one in services}
        shepherd, sight, yard = Shepherd(clock, by_name), Sight(clock), Yard(clock)
        herd = Herd(by_name, clock, store, shepherd, sight, yard, alerts, windows)
        await herd.start()
        yield herd
        await herd.watcher.close()
