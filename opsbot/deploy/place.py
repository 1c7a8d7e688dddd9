"""Place: one service as the pipeline handles it. What is done in a deploy and in its undoing stands here once."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opsbot.config import Service, Source, Strategy
from opsbot.core.deployment import Deployment, DeploymentFacts, DeploymentKind, Hold, Release
from opsbot.core.exits import ExitCode
from opsbot.core.message import message
from opsbot.deploy.course import Course, SetbackError
from opsbot.deploy.prepare import Preparation
from opsbot.deploy.releases import ReleaseError, Releases
from opsbot.deploy.verify import Verifier
from opsbot.messages import describe
from opsbot.services.port import Activity, LogQuery, ManagerError, ServiceManager, ServiceState, spoken
from opsbot.source.remote import RemoteError
from opsbot.source.repo import Repository
from opsbot.store import Store, ledger

log = logging.getLogger(__name__)

LOG_LINES = 15
LINE_MOST = 500


@dataclass(frozen=True, slots=True)
class Place:
    """One service: its folders, its mirror, and who keeps it running."""

    service: Service
    source: Source
    repository: Repository
    releases: Releases
    preparation: Preparation
    manager: ServiceManager
    verifier: Verifier
    store: Store
    clock: Callable[[], datetime]
    installing: asyncio.Semaphore
    """Held while install steps run: one installation at a time on the whole host."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by a deployment, and by the tidying after it."""

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    async def known(self) -> DeploymentFacts:
        """What the store knows of its deployments, at one moment."""
        return await self.store.read(_known, self.name)

    # Where the strategies differ: what is said here is of release folders, see `opsbot.deploy.in_place` for the other

    async def recognise(self) -> None:
        """Take note of what was changed by hand. Nothing to be done: what is live is opsbot's own."""

    async def recognise_locked(self) -> None:
        """The same, by who holds the lock."""

    async def prepare(self, course: Course, name: str, commit: str, live: Release | None) -> None:
        """Have a release's files, beside the live ones.

        Raises:
            SetbackError: it cannot be made.
        """
        await self.preparation.export(course, name, commit, live)

    async def install(self, course: Course, name: str, commit: str, live: Release | None) -> None:
        """Run its install steps there.

        Raises:
            SetbackError: one failed.
        """
        await self.preparation.install(course, name, commit, live)

    async def ready(self, course: Course, name: str) -> None:
        """See that an older release can be gone back to. It stands complete: nothing to be done.

        Raises:
            SetbackError: it cannot.
        """

    async def lay(self, course: Course, name: str) -> None:
        """Do what must be done before a switch and changes what is live. Nothing.

        Raises:
            SetbackError: it went wrong.
        """

    # The live release

    async def switch(self, release: str) -> None:
        """Point `current` at a release.

        Raises:
            SetbackError: it cannot be.
        """
        try:
            await asyncio.to_thread(self.releases.switch, release)
        except ReleaseError as error:
            raise SetbackError(str(error)) from error

    async def restart(self, part: str = "") -> ServiceState:
        """Start the service, or one part of it, in what `current` points to; how that stands.

        Raises:
            SetbackError: it does not start, or what runs is not what this has started.
        """
        before = (await self.state()).of(part)
        try:
            after = (await self.manager.restart(self.name, part or None)).of(part)
        except ManagerError as error:
            tail = await self.last_words()
            raise SetbackError(f"it did not start: {describe(error)}", tail=tail, innocent=error.barred) from error
        if before.run and after.run == before.run:
            raise SetbackError(f"{part or 'it'} was not started anew: what ran before still runs")
        return after

    async def stop(self) -> None:
        """Stop the service, and have no live release.

        Raises:
            SetbackError: it cannot be stopped.
        """
        try:
            await self.manager.stop(self.name)
            await asyncio.to_thread(self.releases.take_away)
        except (ManagerError, ReleaseError) as error:
            raise SetbackError(f"it could not be stopped: {describe(error)}") from error

    async def state(self) -> ServiceState:
        """How the service stands."""
        try:
            return await self.manager.state(self.name)
        except ManagerError as error:
            return ServiceState(Activity.FAILED, exit=message(ExitCode.STATE_UNAVAILABLE, error=error.message))

    async def runs(self, state: ServiceState, release: str) -> bool:
        """Whether that is a process started in this release, which `current` points to as well."""
        if state.activity is not Activity.RUNNING:
            return False
        folder, live = await asyncio.to_thread(lambda: (self.releases.path(release).resolve(), self.releases.live()))
        return state.release == folder and live == release

    async def verify(
        self,
        course: Course,
        state: ServiceState,
        release: str,
        *,
        soak: timedelta,
        within: timedelta,
        part: str = "",
    ) -> None:
        """Look whether what was just started is well, as a step. part: only that one, and the checks about it.

        Raises:
            SetbackError: it is not.
        """
        async with course.step(f"verify {part}" if part else "verify" if soak else f"verify {release}") as doing:

            async def report(text: str) -> None:
                await course.say(doing, text)

            folder = self.releases.path(release)
            judged = await self.verifier.verify(
                self.service, state, folder, soak=soak, within=within, report=report, part=part
            )
            if not judged.ok:
                tail = await self.last_words()
                raise SetbackError(judged.text, lasting=not judged.disturbed, tail=tail, innocent=judged.disturbed)
            doing.note = judged.text
        if not part:
            course.remarks += [text for text in self._unproven(await self.state()) if text not in course.remarks]

    def _unproven(self, state: ServiceState) -> list[str]:
        """What is to be said where nobody can tell which release a unit runs."""
        if not self.service.manager.capabilities.has_units or self.source.strategy is not Strategy.RELEASES:
            return []
        return [
            f"which release {unit} runs is not proven: its process does not work in {self.releases.folder}, as it "
            f"would with WorkingDirectory={self.releases.current}"
            for unit, now in state.parts or ((self.service.unit, state),)
            if now.activity is Activity.RUNNING and now.release is None
        ]

    async def last_words(self) -> str:
        """The last lines the service wrote."""
        try:
            lines = await self.manager.logs(self.name, LogQuery(lines=LOG_LINES * 2, this_run=True))
            lines = lines or await self.manager.logs(self.name, LogQuery(lines=LOG_LINES * 2))
        except ManagerError:
            return ""
        return "\n".join(line.text[:LINE_MOST] for line in spoken(lines)[-LOG_LINES:])

    async def remove(self, release: str) -> None:
        """Remove a release and forget it. What cannot be removed now is left for the next start."""
        try:
            await self.preparation.remove(release)
            await self.store.write(ledger.forget_release, self.name, release)
            await self.repository.forget(release)
        except (ReleaseError, RemoteError, OSError) as error:
            log.warning("release %s of %s was not removed: %s", release, self.name, error)

    async def discard(self, value: Deployment) -> None:
        """Remove what a deploy that is not to be done has prepared. A rollback has prepared nothing."""
        if value.release_to is not None and value.kind is DeploymentKind.DEPLOY:
            await self.remove(value.release_to)

    # Which commit follows which

    async def follows(self, new: str | None, old: str | None) -> bool:
        """Whether `new` is `old` or has it in its history; False where that is not known."""
        return new is not None and old is not None and await self.repository.is_ancestor(old, new)

    async def wait_past(self, value: Deployment, commit: str | None) -> Hold | None:
        """The wait after a rollback: past the newest commit that was rolled back from, after several in a row too."""
        if commit is None:
            return None
        known = await self.store.read(ledger.hold, self.name)
        waits = commit
        if known is not None and known.waits is not None and not await self.follows(commit, known.waits):
            waits = known.waits
        what = "rolled back" if value.kind is DeploymentKind.ROLLBACK else "undone"
        return Hold(self.name, value.actor.name, f"{what}: deployment {value.id}", self.clock(), waits=waits)


def _known(db: sqlite3.Connection, service: str) -> DeploymentFacts:
    """What the store knows of a service's deployments, at one moment."""
    live = ledger.live(db, service)
    releases = ledger.releases(db, service)
    unfinished = ledger.unfinished(db, service)
    return DeploymentFacts(
        has_source=True,
        unfinished=unfinished[0].id if unfinished else None,
        hold=ledger.hold(db, service),
        live=next((release for release in releases if live is not None and release.name == live.release), None),
        releases=releases,
        quarantined=frozenset(ledger.quarantined(db, service)),
    )
