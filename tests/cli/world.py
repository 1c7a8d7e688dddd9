"""A daemon without its lower floors: real engine, store and control socket over parts whose behaviour a test sets."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from opsbot.config import Check, CheckKind, Config, Discord, Http, ManagerKind, Secret, Service, Source, StateConfig
from opsbot.control.server import ControlServer, start_control
from opsbot.control.shapes import GatewayReply
from opsbot.core.access import Actor, Origin, Ranks
from opsbot.core.deployment import (
    Commit,
    Deployment,
    DeploymentFacts,
    DeploymentKind,
    DeploymentRequest,
    DeploymentStep,
    Phase,
    Refused,
    Release,
    advance,
    decide,
)
from opsbot.core.health import CheckHealth, ProbeResult, Verdict
from opsbot.core.message import Message, plain
from opsbot.deploy.poll import Polled, Poller, PollOutcome
from opsbot.deploy.verify import Verifier
from opsbot.engine import Engine
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.runtime.signals import ReloadRequests
from opsbot.services.port import Activity, LogLine, ServiceManager, ServiceState
from opsbot.store import Store, ledger
from tests.fixtures.fake_manager import FIRST_PID, FakeManager

if TYPE_CHECKING:
    from opsbot.deploy.deployer import Deployer
    from opsbot.monitoring import ServiceMonitor

COMMIT = "c0ffee" + "0" * 34
OLD = "0ddba11" + "0" * 33
STORY = (
    Phase.FETCHING,
    Phase.PREPARING,
    Phase.INSTALLING,
    Phase.SWITCHING,
    Phase.RESTARTING,
    Phase.VERIFYING,
    Phase.LIVE,
)


def now() -> datetime:
    """The clock of the daemon and of the command line beside it."""
    return datetime.now(UTC)


class Services(FakeManager):
    """All services have one log, and run since two hours ago as pid 4242."""

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__(now, services)
        self.states = dict.fromkeys(self.states, ServiceState(Activity.RUNNING, 4242, "r1", now() - timedelta(hours=2)))
        self.runs = 4242 - FIRST_PID

    @property
    def lines(self) -> list[LogLine]:
        return self.log["api"]

    @lines.setter
    def lines(self, lines: list[LogLine]) -> None:
        self.log["api"] = lines

    def write(self, text: str, level: str = "") -> None:
        """The service writes a line."""
        self.writes("api", text, level)

    def ends_at_once(self, how: str) -> None:
        """From now on each run of a service ends right after its start, and is given up."""

        def end(service: str) -> None:
            self.dies(service, how)
            self.gives_up(service)

        self.begins = end


@dataclass
class Probing:
    """A prober that sees what a test says; all is well where it says nothing."""

    seen: dict[str, str] = field(default_factory=dict)
    """What is wrong, by the check's name."""
    asked: list[str] = field(default_factory=list)

    async def probe(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        self.asked.append(check.name)
        return ProbeResult(check.name not in self.seen, plain(self.seen.get(check.name, "connected")), now())


@dataclass
class Watching:
    """Verdicts a test sets."""

    checks: dict[str, dict[str, CheckHealth]] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)
    listed: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)

    def healths(self, service: str) -> Mapping[str, CheckHealth]:
        return self.checks.get(service, {})

    def because_of(self, service: str) -> str:
        return self.listed.get(service, "")

    def waits(self, service: str) -> str:
        return self.waiting.get(service, "")

    async def look(self, names: Iterable[str]) -> None:
        self.looked += names

    def touched(self, service: str, actor: str, against: Message | None = None) -> None:
        """Nothing is counted here."""

    def by_hand(self, service: str) -> AbstractContextManager[None]:
        assert service
        return nullcontext()

    async def resumed(self, service: str, who: str) -> None:
        """Nothing is counted here."""


class Deploying:
    """Goes through the phases at once, or as slowly as a test says; the decision and the ledger are the real ones."""

    def __init__(self, store: Store, feed: ChangeNotifier, verifier: Verifier) -> None:
        self.verifier = verifier
        self.store = store
        self.feed = feed
        self.pause = 0.0
        self.fails_in: Phase | None = None
        self.title = "Fix the greeting"
        self.tasks: set[asyncio.Task[None]] = set()
        self.waits = False
        self.waiting_now: dict[str, Deployment] = {}
        self.hurried: dict[str, asyncio.Event] = {}

    def busy(self, service: str) -> bool:
        return any(task.get_name() == service and not task.done() for task in self.tasks)

    def waiting(self, service: str) -> Deployment | None:
        return self.waiting_now.get(service)

    def hurry(self, number: int, by: str) -> bool:
        name = next((name for name, one in self.waiting_now.items() if one.id == number), "")
        if name:
            self.hurried[name].set()
        return bool(name and by)

    async def start(self, request: DeploymentRequest) -> Deployment | Refused:
        hold = await self.store.read(ledger.hold, request.service)
        releases = await self.store.read(ledger.releases, request.service)
        live = await self.store.read(ledger.live, request.service)
        release = next((r for r in releases if live and r.name == live.release), None)
        unfinished = await self.store.read(ledger.unfinished, request.service)
        number = unfinished[0].id if unfinished else None
        decision = decide(request, DeploymentFacts(True, number, hold, release, releases))
        if isinstance(decision, Refused):
            return decision
        claimed = await self.store.write(ledger.claim, request, now(), live=release, release=decision.release)
        assert isinstance(claimed, Deployment)
        task = asyncio.create_task(self._go(claimed), name=request.service)
        self.tasks.add(task)
        return claimed

    async def _go(self, one: Deployment) -> None:
        commit = Commit(COMMIT, self.title, "Ada", now())
        one = replace(one, commit_to=COMMIT, commits=(commit,), commits_total=3)
        story = (*STORY[:3], Phase.WAITING, *STORY[3:]) if self.waits else STORY
        for phase in story:
            await asyncio.sleep(self.pause)  # as slow as the test says
            if one.phase is Phase.WAITING:
                self.hurried[one.service] = asyncio.Event()
                self.waiting_now[one.service] = one
                await self.hurried[one.service].wait()
                del self.waiting_now[one.service]
            at = now()
            if one.steps:
                failed = one.phase is self.fails_in
                ended = replace(
                    one.steps[-1], ended_at=at, ok=not failed, tail="line one\nnpm ERR! \x1b]0;boo\x07broke"
                )
                one = replace(one, steps=(*one.steps[:-1], ended))
                if failed:
                    one = advance(one, Phase.FAILED, at, plain("npm ci ended with status 1"))
                    await self._save(one)
                    return
            one = advance(one, phase, at)
            if phase is not Phase.LIVE:
                one = replace(one, steps=(*one.steps, DeploymentStep(plain(phase.value), phase, at)))
            one = await self._save(one)

    async def _save(self, one: Deployment) -> Deployment:
        saved = await self.store.write(ledger.save, one)
        self.feed.publish("deployment", one.id)
        return saved

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@dataclass
class Polling:
    """Answers what a test says; `deploying` begins a deployment."""

    deployer: Deploying
    outcome: PollOutcome = PollOutcome.NO_NEWS
    text: str = "c0ffee0000 is live, the newest"
    woken: list[str] = field(default_factory=list)

    def wake(self, service: str, origin: Origin) -> None:
        self.woken.append(service)

    def resume(self, service: str) -> None:
        self.woken.append(service)

    async def poll(self, service: str, origin: Origin, actor: Actor | None = None) -> Polled:
        if self.outcome is not PollOutcome.DEPLOYING:
            return Polled(self.outcome, plain(self.text), COMMIT)
        assert actor is not None
        begun = await self.deployer.start(DeploymentRequest(service, DeploymentKind.DEPLOY, actor, ref=COMMIT))
        assert isinstance(begun, Deployment)
        return Polled(PollOutcome.DEPLOYING, plain(self.text), COMMIT, begun.id)


@dataclass
class World:
    """The daemon, and what a test may change of it."""

    config: Config
    engine: Engine
    store: Store
    services: Services
    watching: Watching
    probing: Probing
    deploying: Deploying
    polling: Polling
    control: ControlServer

    @property
    def socket(self) -> Path:
        return self.control.path


def configuration(folder: Path, names: Iterable[str] = ("api",), ranks: Ranks | None = None) -> Config:
    """A configuration in values; the file beside it says the same as far as the command line reads it."""
    state = StateConfig(folder / "state")
    services = {
        name: Service(
            name,
            ManagerKind.PROCESS,
            command=("true",),
            source=Source(str(folder / "origin.git"), folder / name),
            checks=(Check("web", CheckKind.TCP, port=1), Check("process", CheckKind.PROCESS)),
            soak=timedelta(0),
            verify_timeout=timedelta(milliseconds=50),
        )
        for name in names
    }
    path = folder / "config.toml"
    path.write_text(configuration_text(state.directory, services, folder))
    return Config(
        path,
        Discord(Secret(env="OPSBOT_TEST_TOKEN"), 1, 2),
        ranks or Ranks(),
        state,
        Http(None, 0),
        services,
        host="testhost",
    )


def configuration_text(state: Path, names: Iterable[str], folder: Path) -> str:
    """The same as a file."""
    text = f"""
[discord]
token_env = "OPSBOT_TEST_TOKEN"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
[roles]
admin = [100000000000000003]
[state]
directory = "{state}"
"""
    for name in names:
        text += f"""
[services.{name}]
manager = "process"
command = ["true"]
[services.{name}.source]
repository = "{folder}/origin.git"
directory = "{folder}/{name}"
[[services.{name}.checks]]
name = "web"
kind = "tcp"
port = 1
[[services.{name}.checks]]
name = "process"
kind = "process"
"""
    return text


@asynccontextmanager
async def world(
    config: Config, socket: Path | None = None, reload_requests: ReloadRequests | None = None
) -> AsyncIterator[World]:
    """The daemon, open."""
    async with Store(config.state.database) as store:
        feed = ChangeNotifier()
        services = Services(config.services)
        watching = Watching()
        for name in config.services:
            seen = ProbeResult(True, plain("connected"), now(), 0.004)
            runs = replace(seen, seen=plain("runs"))
            watching.checks[name] = {
                "web": CheckHealth(Verdict.UP, now() - timedelta(hours=2), 9, now(), seen),
                "process": CheckHealth(Verdict.UP, now() - timedelta(hours=2), 9, now(), runs),
            }
            release = Release(f"{name}-old", OLD, now() - timedelta(days=1), good=True, title="Say hello")
            await store.write(ledger.add_release, name, release)
        probing = Probing()
        managers: dict[str, ServiceManager] = dict.fromkeys(config.services, services)
        deploying = Deploying(store, feed, Verifier(probing, managers, now))
        polling = Polling(deploying)
        engine = Engine(
            config,
            store,
            feed,
            managers,
            cast("Deployer", deploying),
            cast("ServiceMonitor", watching),
            now,
            poller=cast("Poller", polling),
        )
        gateway = GatewayReply(connected=True, since=now() - timedelta(minutes=5), latency=0.041)
        control = await start_control(
            engine, socket or config.state.socket, now, gateway=lambda: gateway, reload_requests=reload_requests
        )
        try:
            yield World(config, engine, store, services, watching, probing, deploying, polling, control)
        finally:
            await control.close()
            await deploying.close()
