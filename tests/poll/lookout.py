"""A poller over a real store and a real mirror; deployments are claimed for real, and end when the test says so."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opsbot.config import Service
from opsbot.core.access import Actor
from opsbot.core.deployment import (
    Deployment,
    DeploymentFacts,
    DeploymentKind,
    DeploymentRequest,
    Hold,
    Phase,
    Refused,
    Release,
    advance,
    decide,
)
from opsbot.core.message import Message, plain
from opsbot.core.model import Notification, SourceState
from opsbot.deploy.poll import Poller
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.source.repo import Repository
from opsbot.store import Store, incident_repository, ledger, outbox
from tests.fixtures.said import said
from tests.fixtures.sample import make_config, person, poll


class Clock:
    """A time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **length: float) -> None:
        self.now += timedelta(**length)


class Deploys:
    """Deployments without the work: what `start` claims stays in FETCHING until `end`."""

    def __init__(self, service: Service, store: Store, clock: Callable[[], datetime], folder: Path) -> None:
        assert service.source is not None
        self.name = service.name
        self.store = store
        self.clock = clock
        self.mirror = Repository(replace(service.source, directory=folder / "srv"))
        self.requests: list[DeploymentRequest] = []
        self.callbacks: list[Callable[[Deployment], None]] = []
        self.running: Deployment | None = None

    def busy(self, service: str) -> bool:
        return self.running is not None and self.running.service == service

    def withdraw(self, number: int, why: Message) -> bool:
        assert number
        assert why.code
        return False

    def repository(self, _service: str) -> Repository:
        return self.mirror

    def on_finish(self, callback: Callable[[Deployment], None]) -> None:
        self.callbacks.append(callback)

    async def start(self, request: DeploymentRequest) -> Deployment | Refused:
        live = await self.store.read(ledger.live, self.name)
        releases = await self.store.read(ledger.releases, self.name)
        facts = DeploymentFacts(
            has_source=True,
            unfinished=self.running.id if self.running else None,
            hold=await self.store.read(ledger.hold, self.name),
            live=next((r for r in releases if live and r.name == live.release), None),
            releases=releases,
            quarantined=await self.store.read(ledger.quarantined, self.name),
            commit=request.ref,
        )
        verdict = decide(request, facts)
        if isinstance(verdict, Refused):
            return verdict
        claimed = await self.store.write(ledger.claim, request, self.clock(), live=facts.live)
        assert isinstance(claimed, Deployment)
        moved = replace(advance(claimed, Phase.FETCHING, self.clock()), commit_to=request.ref)
        self.running = await self.store.write(ledger.save, moved)
        self.requests.append(request)
        return self.running

    async def end(self, phase: Phase = Phase.LIVE, *, quarantine: bool = False, hold: Hold | None = None) -> None:
        """The running deployment comes to this end."""
        value = self.running
        assert value is not None
        name = f"{self.clock():%Y%m%d%H%M%S}-{(value.commit_to or '')[:10]}-{value.id}"
        if phase is Phase.LIVE:
            release = Release(name, value.commit_to or "", self.clock(), good=True)
            await self.store.write(ledger.add_release, self.name, release)
        ended = replace(
            value, phase=phase, finished_at=self.clock(), updated_at=self.clock(), note=plain("npm ci failed")
        )
        await self.store.write(
            ledger.conclude,
            ended,
            live=name if phase is Phase.LIVE else None,
            quarantined=value.commit_to if quarantine else None,
            hold=hold,
            lift=phase is Phase.LIVE,
        )
        self.running = None
        for callback in self.callbacks:
            callback(ended)

    async def by_hand(self, commit: str, actor: Actor | None = None) -> None:
        """A person deploys this commit, and it is live."""
        begun = await self.start(DeploymentRequest(self.name, DeploymentKind.DEPLOY, actor or person(), ref=commit))
        assert isinstance(begun, Deployment), begun
        await self.end()

    async def roll_back(self) -> None:
        """A person returns to the release before; automatic deploys wait."""
        releases = await self.store.read(ledger.releases, self.name)
        begun = await self.store.write(
            ledger.claim,
            DeploymentRequest(self.name, DeploymentKind.ROLLBACK, person()),
            self.clock(),
            live=releases[0],
        )
        assert isinstance(begun, Deployment)
        hold = Hold(self.name, "ada", plain("rolled back"), self.clock(), waits=releases[0].commit)
        ended = replace(
            begun, phase=Phase.LIVE, commit_to=releases[1].commit, finished_at=self.clock(), updated_at=self.clock()
        )
        await self.store.write(ledger.conclude, ended, live=releases[1].name, hold=hold)


class Lookout:
    """The poller and all round it. `looks()` is one poll, five minutes later."""

    def __init__(self, service: Service, store: Store, folder: Path) -> None:
        self.clock = Clock()
        self.store = store
        self.feed = ChangeNotifier()
        self.deploys = Deploys(service, store, self.clock, folder)
        self.service = service.name
        self.config = make_config(folder, service)
        self.poller = Poller(self.config, store, self.feed, self.deploys, self.clock)

    async def restart(self) -> None:
        """From now on a poller that remembers nothing, as after a restart of opsbot."""
        await self.poller.close()
        self.deploys.callbacks.clear()
        self.poller = Poller(self.config, self.store, self.feed, self.deploys, self.clock)

    async def look(self, **later: float) -> str:
        """Poll once, some time later; what came of it."""
        self.clock.forward(**(later or {"minutes": 5}))
        return str((await self.poller.poll(self.service)).outcome)

    async def notices(self, kind: str) -> list[Notification]:
        """The notices of this kind, in order."""
        found = await self.store.read(outbox.pending, self.clock(), 100)
        return [each for each in found if each.kind == kind]

    async def texts(self, kind: str) -> list[str]:
        """What they say."""
        return [said(each.said) for each in await self.notices(kind)]

    async def state(self) -> SourceState:
        """What is kept of the source."""
        return await self.store.read(incident_repository.source, self.service)

    @property
    def deployed(self) -> list[str]:
        """The commits that were asked for by the poll, in order."""
        return [request.ref or "" for request in self.deploys.requests if request.actor == poll()]


@asynccontextmanager
async def open_lookout(folder: Path, service: Service) -> AsyncIterator[Lookout]:
    """A lookout over a store in `folder`."""
    async with Store(folder / "state" / "opsbot.sqlite3") as store:
        lookout = Lookout(service, store, folder)
        try:
            yield lookout
        finally:
            await lookout.poller.close()


async def held(lookout: Lookout, reason: str) -> None:
    """A person holds the service."""
    await lookout.store.write(ledger.put_hold, Hold(lookout.service, "ada", plain(reason), lookout.clock()))
