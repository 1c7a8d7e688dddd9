"""The real bot on the real engine and store, connected to the stand-in; a calm manager plays the services."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cogs.delivery import sender
from cogs.delivery.rate_budget import RateLimit, WriteLimits
from opsbot.bot.connection import ConnectPace
from opsbot.bot.link import GatewayState, Link
from opsbot.bot.run import run_bot
from opsbot.config import Config, Discord, Http, ManagerKind, Secret, Service, Source, StateConfig
from opsbot.core.access import Actor, Origin, Ranks
from opsbot.core.deployment import (
    Commit,
    Deployment,
    DeploymentKind,
    DeploymentRequest,
    DeploymentStep,
    Phase,
    Release,
)
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.message import plain
from opsbot.core.model import INCIDENT_KINDS, Evidence, Incident, Live
from opsbot.core.storm import StormVerdict
from opsbot.daemon.wiring import _discord_bots, _presence_cache
from opsbot.deploy.deployer import Deployer
from opsbot.deploy.poll import Poller
from opsbot.deploy.verify import Verifier
from opsbot.engine import Engine, Measurements
from opsbot.monitoring import ServiceMonitor
from opsbot.monitoring.leak_monitor import Growth
from opsbot.monitoring.maintenance_windows import MaintenanceWindows
from opsbot.probes import Prober
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import Activity, ServiceManager, ServiceState
from opsbot.services.supervisor import Supervisor
from opsbot.standin import Standin
from opsbot.standin.state import GUILD_ID, OPS_CHANNEL_ID, ROLE_IDS
from opsbot.store import Store, incident_repository, ledger, outbox, storms
from tests.fixtures.fake_manager import FakeManager
from tests.fixtures.waiting import until

START = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
LOOK = 0.02
"""Seconds between two looks at the outbox where nothing is published: not all that is sent is."""
QUICK = ConnectPace(
    retry_first=0.02, retry_most=0.3, refused=0.3, identify=0.0, invalidated=0.02, healthy=0.2, connect=5.0
)
LIMIT_SECONDS = 0.5
"""Of the stand-in's limits on messages. At Discord they are 5 s, and nothing that is proven here needs so long."""
DEADLINE = 30.0
"""Seconds that people wait for an answer. At Discord 3; a busy machine is not what is tested."""
LIMITS = WriteLimits(RateLimit(5, 0.8), RateLimit(5, 0.8), RateLimit(3, 0.9))
"""The same with the third of a second that `WriteLimits` adds to Discord's own for the way there."""
BRISK = sender.DeliveryPace(
    retry_first=0.02,
    retry_most=0.2,
    closed=0.3,
    look=0.3,
    card=0.05,
    tail=0.1,
    test_first=600,
    board_first=0.0,
    board_settle=0.02,
    limits=LIMITS,
)
RANKS = ("viewer", "operator", "deployer", "admin")
MIA = Actor(Origin.DISCORD, "1", "Mia")
Json = dict[str, Any]


class CalmManager(FakeManager):
    """Services that simply run."""

    def __init__(self, services: Iterable[str] = (), clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(clock, services)
        self.states = dict.fromkeys(self.states, ServiceState(Activity.RUNNING, pid=1, run="0", started_at=START))
        self.slow = 0.0
        """Seconds that a restart takes."""

    def new_pid(self) -> int:
        return 1  # one that is there, for checks look at the real processes

    @property
    def restarts(self) -> list[str]:
        return self.ordered("restart")

    async def restart(self, service: str, part: str | None = None) -> ServiceState:
        if self.slow:
            await asyncio.sleep(self.slow)  # for tests of what happens meanwhile
        return await super().restart(service, part)

    def write(self, text: str, level: str = "", service: str = "api", **more: Any) -> None:
        """The service writes a line."""
        self.writes(service, text, level, **more)


def config_for(folder: Path, api_url: str, services: tuple[str, ...] = ("api", "worker")) -> Config:
    def service(name: str) -> Service:
        source = Source(f"file://{folder}/no-such.git", folder / "srv" / name, timeout=timedelta(seconds=5))
        return Service(name, ManagerKind.PROCESS, command=("true",), source=source)

    return Config(
        folder / "config.toml",
        Discord(Secret(env="T"), GUILD_ID, OPS_CHANNEL_ID, api_url, board=False),
        Ranks(**{name: frozenset({str(ROLE_IDS[name])}) for name in RANKS}),
        StateConfig(folder / "state"),
        Http(None),
        {name: service(name) for name in services},
        host="blue",
    )


def loop_clock() -> Callable[[], datetime]:
    """The time of day by the event loop's clock: nothing under test compares two clocks, and this one may jump."""
    loop, begun = asyncio.get_running_loop(), datetime.now(UTC)
    at = loop.time()
    return lambda: begun + timedelta(seconds=loop.time() - at)


@dataclass
class Parts:
    """The engine and what it is made of. `shift` moves its clock. supervisor: where the services are real ones.

    growth: how the services' memory is judged, for a test to say.
    """

    store: Store
    feed: ChangeNotifier
    manager: CalmManager
    engine: Engine
    windows: MaintenanceWindows | None = None
    supervisor: Supervisor | None = None
    growth: dict[str, Growth] = field(default_factory=dict)
    shift: timedelta = timedelta(0)

    clock: Callable[[], datetime] = field(default_factory=loop_clock)

    def now(self) -> datetime:
        return self.clock() + self.shift


@asynccontextmanager
async def open_parts(config: Config, *, supervised: bool = False) -> AsyncIterator[Parts]:
    """The real engine over the real store; a calm manager plays its services. supervised: they are real, and polled."""
    opened: list[Parts] = []
    now = loop_clock()

    def clock() -> datetime:
        return opened[0].now() if opened else now()

    async with Store(config.state.database) as store, AsyncExitStack() as closing:
        feed, manager = ChangeNotifier(), CalmManager(config.services, clock)
        supervisor = Supervisor(config.services, config.state.services, clock) if supervised else None
        managers: dict[str, ServiceManager] = dict.fromkeys(config.services, supervisor or manager)
        presence_cache, vetoes = _presence_cache(config, clock), Inhibitors()
        prober = Prober(clock=clock, presence=presence_cache.seen if presence_cache else None)
        closing.callback(prober.close)
        verifier = Verifier(prober, managers, clock)
        deployer = Deployer(config, store, feed, managers, verifier, clock, inhibitors=vetoes)
        windows = MaintenanceWindows(config.windows, config.services, store, feed, clock, vetoes)
        watcher = ServiceMonitor(config.services, store, feed, managers, prober, deployer, clock, inhibitors=vetoes)
        discord_bots = _discord_bots(config, store, feed, managers, clock, presence_cache, watcher, vetoes)
        poller = Poller(config, store, feed, deployer, clock, inhibitors=vetoes) if supervised else None
        growth: dict[str, Growth] = {}
        engine = Engine(
            *(config, store, feed, managers, deployer, watcher, clock),
            poller=poller,
            inhibitors=vetoes,
            discord_bots=discord_bots,
            measured=Measurements(growth),
        )
        opened.append(Parts(store, feed, manager, engine, windows, supervisor, growth, clock=now))
        if supervisor is not None:
            closing.push_async_callback(supervisor.close)
            await supervisor.open()
            closing.push_async_callback(_stop_all, supervisor, config)
        closing.push_async_callback(deployer.close, 0.1)
        closing.push_async_callback(watcher.close)
        if poller is not None:
            closing.push_async_callback(poller.close)
        yield opened[0]


async def _stop_all(supervisor: Supervisor, config: Config) -> None:
    for name in config.services:
        await supervisor.stop(name)


@dataclass
class World:
    """Everything of one test."""

    standin: Standin
    config: Config
    parts: Parts
    states: list[GatewayState] = field(default_factory=list)
    bot: asyncio.Task[None] | None = None
    people: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store, self.feed = self.parts.store, self.parts.feed
        self.engine, self.manager = self.parts.engine, self.parts.manager

    def now(self) -> datetime:
        return self.parts.now()

    @property
    def link(self) -> Link | None:
        return self.states[-1].link if self.states else None

    async def start(
        self,
        *,
        pace: ConnectPace = QUICK,
        channel_pace: sender.DeliveryPace = BRISK,
        wait: bool = True,
        token: str | None = None,
    ) -> None:
        logging.getLogger("discord").setLevel(logging.CRITICAL)
        self.bot = asyncio.create_task(
            run_bot(
                self.engine,
                self.config,
                token or self.standin.token,
                on_state=self.states.append,
                pace=pace,
                channel_pace=channel_pace,
            )
        )
        if wait:
            await self.standin.wait_connected()
            await self.until(lambda: len(self.standin.commands) >= 11)

    async def kill(self) -> None:
        """End the bot as a dead process would: no good-bye, nothing finished."""
        if self.bot is not None:
            self.bot.cancel()
            await asyncio.gather(self.bot, return_exceptions=True)
            self.bot = None

    async def until(self, true: Callable[[], object], seconds: float = 10.0) -> None:
        await until(true, seconds)

    async def all_told(self, seconds: float = 30.0) -> None:
        """Until nothing is left in the outbox."""
        async with asyncio.timeout(seconds):
            while (await self.store.read(outbox.waiting))[0]:
                await asyncio.sleep(0.01)  # between two looks

    async def cards_true(self, seconds: float = 30.0) -> None:
        """Until every card shows the latest state of its subject."""
        async with asyncio.timeout(seconds):
            while await self.store.read(outbox.stale_cards):
                await asyncio.sleep(0.01)  # between two looks

    def posted(self) -> list[Json]:
        return self.standin.messages(self.standin.ops_channel_id)

    def thread(self, card: Json) -> list[Json]:
        """What stands in the thread of a message; first what Discord itself puts there."""
        return self.standin.messages(int(card["id"]))

    def person(self, rank: str) -> Any:
        return self.standin.member(self.people[rank])

    # What the rest of opsbot would write

    async def deployment(self, service: str = "api", *, actor: Actor = MIA, **changes: Any) -> Deployment:
        """A deployment in the store, its card in the outbox."""
        request = DeploymentRequest(
            service, changes.pop("kind", DeploymentKind.DEPLOY), actor, ref=changes.pop("ref", None)
        )
        claimed = await self.store.write(ledger.claim, request, self.now())
        assert isinstance(claimed, Deployment)
        return await self.change(claimed, **changes) if changes else await self._told(claimed)

    async def _told(self, value: Deployment) -> Deployment:
        self.feed.publish("notice")
        self.feed.publish("deployment", value.id)
        return value

    async def change(self, value: Deployment, **changes: Any) -> Deployment:
        changed = replace(value, updated_at=self.now(), **changes)
        if changed.finished and changed.finished_at is None:
            changed = replace(changed, finished_at=changed.updated_at)
        return await self._told(await self.store.write(ledger.save, changed))

    async def live(self, service: str, *names: str) -> None:
        """Good releases, oldest first; the last is live."""
        for number, name in enumerate(names):
            at = START + timedelta(minutes=number)
            release = Release(name, f"{number:040x}", at, good=True, title=f"title of {name}")
            await self.store.write(ledger.add_release, service, release)
        await self.store.write(ledger.set_live, Live(service, names[-1], START, None))

    async def incident(self, service: str = "api", cause: str = "http: answered 500", **changes: Any) -> Incident:
        evidence = changes.pop("evidence", Evidence((("http", plain("answered 500")),), None, ("boom", "bang")))
        draft = Incident(0, service, plain(cause), self.now(), evidence, **changes)
        opened = await self.store.write(incident_repository.open_incident, draft)
        self.feed.publish("incident", opened.id)
        self.feed.publish("notice")
        return opened

    async def recover(self, service: str = "api", by: str = "restarted by opsbot") -> None:
        closed = await self.store.write(incident_repository.close_incident, service, plain(by), self.now())
        assert closed is not None
        self.feed.publish("incident", closed.id)
        self.feed.publish("notice")


async def nothing_due(store: Store, now: datetime) -> bool:
    """Nothing waits to be said but alarms that are held back in case more come."""
    due = await store.read(outbox.pending, now)
    if not due:
        return True
    verdict, alarms = await store.read(storms.assess, now)
    held = {alarm.incident for alarm in alarms} if verdict is StormVerdict.HOLD else set()
    return all(notice.kind in INCIDENT_KINDS and notice.subject in held for notice in due)


async def until_nothing_due(
    store: Store, feed: ChangeNotifier, clock: Callable[[], datetime], seconds: float = 60.0
) -> None:
    """What a virtual clock waits for after each step, or it runs ahead of the real bot, whose messages are late.

    Time alone makes things due: a silence ends, a storm is over. Nothing is published then, and the bot would see it by
    a timer alone; so it is told that the time has changed.
    """
    with feed.subscribe() as changes:
        async with asyncio.timeout(seconds):
            while not await nothing_due(store, clock()):
                feed.publish("clock")
                changes.take()
                await changes.wait(LOOK)


@asynccontextmanager
async def open_world(
    folder: Path,
    *,
    changed: Callable[[Config], Config] = lambda config: config,
    supervised: bool = False,
    **options: Any,
) -> AsyncIterator[World]:
    """A world whose bot is not started yet. changed: makes its configuration another. supervised: see `open_parts`."""
    now = loop_clock()
    given: dict[str, Any] = {
        "limit_seconds": LIMIT_SECONDS,
        "interaction_deadline": DEADLINE,
        "clock": lambda: now().timestamp(),
    }
    async with Standin(**given | options) as standin:
        config = changed(config_for(folder, standin.api_url))
        async with open_parts(config, supervised=supervised) as parts:
            world = World(standin, config, parts)
            world.people = {rank: standin.add_member(rank, [standin.roles[rank]]) for rank in RANKS}
            world.people["nobody"] = standin.add_member("nobody")
            try:
                yield world
            finally:
                await world.kill()
                assert standin.unknown_routes == [], standin.unknown_routes


def commits(*titles: str, author: str = "Ada") -> tuple[Commit, ...]:
    return tuple(Commit(f"{number + 1:040x}", title, author, START) for number, title in enumerate(titles))


def step(name: str, phase: Phase, *, ok: bool | None = True, seconds: float = 1.2, tail: str = "") -> DeploymentStep:
    ended = None if ok is None else START + timedelta(seconds=seconds)
    return DeploymentStep(plain(name), phase, START, ended, ok, None, tail)


def text_of(message: Json) -> str:
    """Everything a message says."""
    embeds = message.get("embeds") or []
    parts = [message.get("content") or ""]
    for embed in embeds:
        parts += [
            embed.get("title") or "",
            embed.get("description") or "",
            (embed.get("footer") or {}).get("text") or "",
        ]
    return "\n".join(parts)


def buttons_of(message: Json) -> list[str]:
    return [item["label"] for row in message["components"] for item in row["components"]]
