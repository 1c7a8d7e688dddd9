"""The pipeline of a service whose checkout is updated where it lies.

    fetch → look → check out → install there → restart → verify → live, or the commit before, installed and restarted

What is live changes with the check-out, so that it and the install steps belong to the phase SWITCHING: whatever goes
wrong from there on, a crash too, is finished or undone. The look before it finds out what stands in the way while
nothing is changed yet.
"""

import asyncio
import hashlib
import json
import logging
from dataclasses import dataclass

from opsbot.config import InstallStep
from opsbot.core.deployment import Release
from opsbot.core.model import Live, NotificationKind
from opsbot.deploy.checkout import Checkout, Head
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.prepare import shown
from opsbot.deploy.releases import ReleaseError
from opsbot.deploy.reuse import changed_names, digest, picked
from opsbot.deploy.target import DeployTarget
from opsbot.services.port import ServiceState
from opsbot.source.remote import RemoteError
from opsbot.source.repo import UnsupportedTreeError
from opsbot.store import ledger, outbox

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlace(DeployTarget):
    """One service in its checkout."""

    checkout: Checkout

    async def recognise(self) -> None:
        """Take what is checked out for what is live: the first time, and where a person has moved it since."""
        if self.lock.locked():
            return  # a deployment moves it, and whoever asks for another meanwhile is not kept waiting
        async with self.lock:
            if not await self.store.read(ledger.unfinished, self.name):
                await self.recognise_locked()

    async def recognise_locked(self) -> None:
        """The same, at the beginning of a deployment, which holds the lock and has moved nothing yet."""
        try:
            head = await asyncio.to_thread(self.checkout.head)
            await self._take_over(head)
        except ReleaseError as error:
            log.warning("%s: %s", self.name, error)

    async def _take_over(self, head: Head) -> None:
        live = await self.store.read(ledger.live, self.name)
        releases = await self.store.read(ledger.releases, self.name)
        meant = next((each for each in releases if live is not None and each.name == live.release), None)
        if meant is not None and meant.commit == head.commit:
            return
        now = self.clock()
        there = next((each for each in releases if each.commit == head.commit), None)
        release = there or Release(self.checkout.name(head.commit, now), head.commit, now, good=True, title=head.title)
        await asyncio.to_thread(self.checkout.hold, release.name, head.commit)
        await asyncio.to_thread(self.checkout.switch, release.name)
        await self.store.write(ledger.add_release, self.name, release)
        await self.store.write(ledger.set_live, Live(self.name, release.name, now, None))
        if meant is None:
            log.info("%s: took over the checkout at %s", self.name, head.commit[:10])
            return
        text = (
            f"{self.name}: the checkout at {self.source.directory} is at {head.commit[:10]} and not at "
            f"{meant.commit[:10]}, which was live: somebody moved it. opsbot goes on from there."
        )
        log.warning("%s", text)
        key = f"moved:{self.name}:{head.commit}:{now:%Y%m%dT%H%M}"
        body: dict[str, object] = {"text": text, "level": "warning"}
        await self.store.write(outbox.put, key, NotificationKind.WORD, self.name, now, body=body)

    async def prepare(self, run: DeploymentRun, name: str, commit: str, live: Release | None) -> None:
        """Bring the commit into the checkout's own repository, and look whether it can be checked out.

        Raises:
            DeployFailure: something is in the way; the text names it.
        """
        del live
        async with run.step("look at the checkout"):
            if self.service.install and (await self.preparation.runner()).abroad:
                raise DeployFailure(
                    "its install steps would run as the unit's user, in a checkout that is opsbot's: with install "
                    'steps, strategy = "in-target" needs a unit of opsbot\'s own user. Use strategy = "releases"'
                )
            try:
                await self.repository.keep(name, commit)
                await asyncio.to_thread(self.checkout.bring, name)
                await asyncio.to_thread(self.checkout.check, commit)
            except (ReleaseError, RemoteError, UnsupportedTreeError) as error:
                raise DeployFailure(str(error), lasting=isinstance(error, UnsupportedTreeError)) from error

    async def install(self, run: DeploymentRun, name: str, commit: str, live: Release | None) -> None:
        """Nothing yet: it is installed where it is checked out."""

    async def ready(self, run: DeploymentRun, name: str) -> None:
        """Look whether an older release can be checked out again.

        Raises:
            DeployFailure: it cannot.
        """
        async with run.step("look at the checkout"):
            try:
                await asyncio.to_thread(self.checkout.check, await self._commit(name))
            except (ReleaseError, UnsupportedTreeError) as error:
                raise DeployFailure(str(error)) from error

    async def lay(self, run: DeploymentRun, name: str) -> None:
        """Check it out and run the install steps whose results were made from other files.

        Raises:
            DeployFailure: it cannot be checked out, or a step failed.
        """
        async with self.installing:
            try:
                async with run.step(f"check out {name}"):
                    commit = await self._commit(name)
                    await asyncio.to_thread(self.checkout.lay, name)
                for number, step in enumerate(self.service.install):
                    await self._step(run, number, step, commit)
                await asyncio.to_thread(self.checkout.installed)
            except ReleaseError as error:
                raise DeployFailure(str(error)) from error

    async def _commit(self, name: str) -> str:
        commit = await asyncio.to_thread(self.checkout.commit, name)
        if commit is None:
            raise DeployFailure(f"the commit of release {name} is not in {self.source.directory} any more")
        return commit

    async def _step(self, run: DeploymentRun, number: int, step: InstallStep, commit: str) -> None:
        results = await asyncio.to_thread(self.checkout.results)
        made_from = await self._made_from(step, commit)
        async with run.step(shown(step)) as doing:
            if made_from and results.get(digest(step)) == made_from and await asyncio.to_thread(self._there, step):
                doing.note = f"{changed_names(step)} unchanged since it was run: not run again"
                return
            # Until it has run, its result is of neither commit.
            results.pop(digest(step), None)
            await asyncio.to_thread(self.checkout.keep_results, results)
            output = self.preparation.output(run, number, step)
            steps = await self.preparation.runner()
            await self.preparation.run(run, doing, steps, step, commit, self.source.directory, output)
            if made_from:
                await asyncio.to_thread(self.checkout.keep_results, {**results, digest(step): made_from})

    async def _made_from(self, step: InstallStep, commit: str) -> str:
        """A digest of the files the step goes by; "" where it is to run each time."""
        tree = await self.repository.tree(commit) if step.when_changed else None
        wanted = picked(tree, step.when_changed) if tree is not None else None
        return hashlib.sha256(json.dumps(sorted(wanted.items())).encode()).hexdigest() if wanted else ""

    def _there(self, step: InstallStep) -> bool:
        folder = self.source.directory / step.directory
        return all((folder / name).exists() for name in step.keep)

    async def runs(self, state: ServiceState, release: str) -> bool:
        """Never known: each release has the same folder. So a deployment that is taken up again restarts it."""
        del state, release
        return False
