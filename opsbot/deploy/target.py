"""DeployTarget: one service as the pipeline sees it, with the strategy by which its releases are made and activated."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from opsbot.config import Service, Source, Strategy
from opsbot.core.deploy_codes import FailureCode, OutcomeCode, RemarkCode, StepCode
from opsbot.core.deployment import Deployment, DeploymentFacts, DeploymentKind, Hold, Release
from opsbot.core.exits import ExitCode
from opsbot.core.message import Message, message, message_of
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.prepare import Preparation
from opsbot.deploy.releases import ReleaseError, Releases
from opsbot.deploy.verify import Verifier
from opsbot.services.port import Activity, LogQuery, ManagerError, ServiceManager, ServiceState, spoken
from opsbot.source.remote import RemoteError
from opsbot.source.repo import Repository
from opsbot.store import Store, ledger

log = logging.getLogger(__name__)

LOG_LINES = 15
LINE_MOST = 500


class ReleaseStrategy(Protocol):
    """How a service's releases are made and activated: in folders of their own, or in place.

    All but `runs` raise DeployFailure if it cannot be done.
    """

    async def recognise(self) -> None:
        """Take note of a release that a person activated. The caller holds the target's lock."""

    async def prepare(self, run: DeploymentRun, name: str, commit: str, live: Release | None) -> None:
        """Have a release's files, without changing what is live."""

    async def install(self, run: DeploymentRun, name: str, commit: str, live: Release | None) -> None:
        """Run the install steps there."""

    async def check_return(self, run: DeploymentRun, name: str) -> None:
        """Check that an older release can be activated again."""

    async def lay(self, run: DeploymentRun, name: str) -> None:
        """Do what changes live files before the switch."""

    async def runs(self, state: ServiceState, release: str) -> bool:
        """Whether that is a process started in this release, which is activated as well."""


@dataclass(frozen=True, slots=True)
class DeployTarget:
    """One service: its releases, its mirror, its strategy, and who keeps it running."""

    service: Service
    source: Source
    repository: Repository
    releases: Releases
    preparation: Preparation
    strategy: ReleaseStrategy
    manager: ServiceManager
    verifier: Verifier
    store: Store
    clock: Callable[[], datetime]
    installing: asyncio.Semaphore
    """Held while install steps run: one installation at a time on the whole host."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by a deployment, and by the cleanup after it."""

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    async def known(self) -> DeploymentFacts:
        """What the store knows of its deployments, at one moment."""
        return await self.store.read(_known, self.name)

    async def recognise(self) -> None:
        """Take note of a release that a person activated, unless a deployment is at work."""
        if self.lock.locked():
            return  # that one changes it, and whoever requests another meanwhile is not kept waiting
        async with self.lock:
            if not await self.store.read(ledger.unfinished, self.name):
                await self.strategy.recognise()

    # The live release

    async def switch(self, release: str) -> None:
        """Point `current` at a release.

        Raises:
            DeployFailure: it cannot be.
        """
        try:
            await asyncio.to_thread(self.releases.switch, release)
        except ReleaseError as error:
            raise DeployFailure(error.message) from error

    async def restart(self, part: str = "") -> ServiceState:
        """Start the service, or one part of it, in what `current` points to; its state.

        Raises:
            DeployFailure: it does not start, or what runs is not what this has started.
        """
        before = (await self.state()).of(part)
        try:
            after = (await self.manager.restart(self.name, part or None)).of(part)
        except ManagerError as error:
            tail = await self.last_words()
            why = message(FailureCode.NOT_STARTED, error=message_of(error))
            raise DeployFailure(why, tail=tail, innocent=error.barred) from error
        if before.run and after.run == before.run:
            raise DeployFailure(message(FailureCode.NOT_RESTARTED, part=part or None))
        return after

    async def stop(self) -> None:
        """Stop the service, and have no live release.

        Raises:
            DeployFailure: it cannot be stopped.
        """
        try:
            await self.manager.stop(self.name)
            await asyncio.to_thread(self.releases.take_away)
        except (ManagerError, ReleaseError) as error:
            raise DeployFailure(message(FailureCode.NOT_STOPPED, error=message_of(error))) from error

    async def state(self) -> ServiceState:
        """The service's state, failed where its manager cannot tell."""
        try:
            return await self.manager.state(self.name)
        except ManagerError as error:
            return ServiceState(Activity.FAILED, exit=message(ExitCode.STATE_UNAVAILABLE, error=error.message))

    async def verify(
        self,
        run: DeploymentRun,
        state: ServiceState,
        release: str,
        *,
        soak: timedelta,
        within: timedelta,
        part: str = "",
    ) -> None:
        """Verify what was just started, as a step. part: only that one, and the checks about it.

        Raises:
            DeployFailure: it failed.
        """
        again = not (soak or part)
        step = (
            run.step(StepCode.VERIFY_AGAIN, release=release) if again else run.step(StepCode.VERIFY, part=part or None)
        )
        async with step as doing:

            async def report(seen: Message) -> None:
                await run.say(doing, seen)

            folder = self.releases.path(release)
            judged = await self.verifier.verify(
                self.service, state, folder, soak=soak, within=within, report=report, part=part
            )
            if not judged.ok:
                tail = await self.last_words()
                disturbed = judged.disturbed
                raise DeployFailure(judged.message, lasting=not disturbed, tail=tail, innocent=disturbed)
            doing.note = judged.message
        if not part:
            run.remarks += [remark for remark in self._unproven(await self.state()) if remark not in run.remarks]

    def _unproven(self, state: ServiceState) -> list[Message]:
        """What is to be said where it is unknown which release a unit runs."""
        if not self.service.manager.capabilities.has_units or self.source.strategy is not Strategy.RELEASES:
            return []
        folder, current = str(self.releases.folder), str(self.releases.current)
        return [
            message(RemarkCode.RELEASE_UNPROVEN, unit=unit, folder=folder, current=current)
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
        """Remove what a deploy that is not done has prepared. A rollback has prepared nothing."""
        if value.release_to is not None and value.kind is DeploymentKind.DEPLOY:
            await self.remove(value.release_to)

    # Which commit follows which

    async def follows(self, new: str | None, old: str | None) -> bool:
        """Whether `new` is `old` or has it in its history; False if that is unknown."""
        return new is not None and old is not None and await self.repository.is_ancestor(old, new)

    async def wait_past(self, value: Deployment, commit: str | None) -> Hold | None:
        """The wait after a rollback: past the newest commit that was rolled back from, after several in a row too."""
        if commit is None:
            return None
        known = await self.store.read(ledger.hold, self.name)
        waits = commit
        if known is not None and known.waits is not None and not await self.follows(commit, known.waits):
            waits = known.waits
        reason = message(OutcomeCode.HOLD_AFTER_ROLLBACK, deployment=value.id)
        return Hold(self.name, value.actor.name, reason, self.clock(), waits=waits)


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
        quarantined=ledger.quarantined(db, service),
    )
