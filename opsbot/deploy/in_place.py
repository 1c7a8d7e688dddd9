"""The strategy "in-place": a checkout that is updated where it is.

    fetch → check → check out → install there → restart → verify → live, or the previous commit, installed and restarted

What is live changes with the check-out, so it and the install steps belong to the phase SWITCHING: a failure from there
on, a crash too, is finished or rolled back. The check before it finds what is in the way while nothing is changed yet.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from datetime import datetime

from opsbot.config import InstallStep, Service, Source
from opsbot.core.deploy_codes import FailureCode, NoteCode, StepCode, UpdateCode
from opsbot.core.deployment import Release
from opsbot.core.message import message
from opsbot.core.model import Live
from opsbot.deploy.checkout import Checkout, Head
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.prepare import Preparation, command_text
from opsbot.deploy.releases import ReleaseError
from opsbot.deploy.reuse import changed_names, digest, picked
from opsbot.messages import render
from opsbot.services.port import ServiceState
from opsbot.source.remote import RemoteError
from opsbot.source.repo import Repository, UnsupportedTreeError
from opsbot.store import Store, ledger, outbox

log = logging.getLogger(__name__)


class InPlace:
    """See `opsbot.deploy.target.ReleaseStrategy`."""

    def __init__(
        self,
        service: Service,
        source: Source,
        repository: Repository,
        checkout: Checkout,
        preparation: Preparation,
        store: Store,
        clock: Callable[[], datetime],
        installing: asyncio.Semaphore,
    ) -> None:
        """installing: held while install steps run."""
        self._name = service.name
        self._steps = service.install
        self._source = source
        self._repository = repository
        self._checkout = checkout
        self._preparation = preparation
        self._store = store
        self._clock = clock
        self._installing = installing

    async def recognise(self) -> None:
        """Take what is checked out for what is live: the first time, and if a person has moved it since."""
        try:
            await self._take_over(await asyncio.to_thread(self._checkout.head))
        except ReleaseError as error:
            log.warning("%s: %s", self._name, render(error.message))

    async def _take_over(self, head: Head) -> None:
        live = await self._store.read(ledger.live, self._name)
        releases = await self._store.read(ledger.releases, self._name)
        meant = next((each for each in releases if live is not None and each.name == live.release), None)
        if meant is not None and meant.commit == head.commit:
            return
        now = self._clock()
        there = next((each for each in releases if each.commit == head.commit), None)
        release = there or Release(self._checkout.name(head.commit, now), head.commit, now, good=True, title=head.title)
        await asyncio.to_thread(self._checkout.hold, release.name, head.commit)
        await asyncio.to_thread(self._checkout.switch, release.name)
        await self._store.write(ledger.add_release, self._name, release)
        await self._store.write(ledger.set_live, Live(self._name, release.name, now, None))
        if meant is None:
            log.info("%s: took over the checkout at %s", self._name, head.commit[:10])
            return
        moved = message(
            UpdateCode.CHECKOUT_MOVED,
            service=self._name,
            directory=str(self._source.directory),
            commit=head.commit,
            before=meant.commit,
        )
        log.warning("%s", render(moved))
        key = f"moved:{self._name}:{head.commit}:{now:%Y%m%dT%H%M}"
        await self._store.write(outbox.put_message, key, self._name, now, moved, "warning")

    async def prepare(
        self,
        run: DeploymentRun,
        name: str,
        commit: str,
        live: Release | None,  # noqa: ARG002 - of the protocol
    ) -> None:
        """Bring the commit into the checkout's own repository, and check that it can be checked out."""
        async with run.step(StepCode.CHECK_CHECKOUT):
            if self._steps and (await self._preparation.runner()).abroad:
                raise DeployFailure(message(FailureCode.CHECKOUT_OTHER_USER))
            try:
                await self._repository.keep(name, commit)
                await asyncio.to_thread(self._checkout.bring, name)
                await asyncio.to_thread(self._checkout.check, commit)
            except (ReleaseError, RemoteError, UnsupportedTreeError) as error:
                raise DeployFailure(error.message, lasting=isinstance(error, UnsupportedTreeError)) from error

    async def install(self, run: DeploymentRun, name: str, commit: str, live: Release | None) -> None:
        """Nothing yet: it is installed after the check-out."""

    async def check_return(self, run: DeploymentRun, name: str) -> None:
        """Check that an older release can be checked out again."""
        async with run.step(StepCode.CHECK_CHECKOUT):
            try:
                await asyncio.to_thread(self._checkout.check, await self._commit(name))
            except (ReleaseError, UnsupportedTreeError) as error:
                raise DeployFailure(error.message) from error

    async def lay(self, run: DeploymentRun, name: str) -> None:
        """Check it out and run the install steps whose results were made from other files."""
        async with self._installing:
            try:
                async with run.step(StepCode.CHECK_OUT, release=name):
                    commit = await self._commit(name)
                    await asyncio.to_thread(self._checkout.lay, name)
                for number, step in enumerate(self._steps):
                    await self._step(run, number, step, commit)
                await asyncio.to_thread(self._checkout.installed)
            except ReleaseError as error:
                raise DeployFailure(error.message) from error

    async def _commit(self, name: str) -> str:
        commit = await asyncio.to_thread(self._checkout.commit, name)
        if commit is None:
            directory = str(self._source.directory)
            raise DeployFailure(message(FailureCode.CHECKOUT_COMMIT_GONE, release=name, directory=directory))
        return commit

    async def _step(self, run: DeploymentRun, number: int, step: InstallStep, commit: str) -> None:
        results = await asyncio.to_thread(self._checkout.results)
        made_from = await self._made_from(step, commit)
        async with run.step(StepCode.INSTALL, command=command_text(step)) as doing:
            if made_from and results.get(digest(step)) == made_from and await asyncio.to_thread(self._there, step):
                doing.note = message(NoteCode.UNCHANGED, files=changed_names(step))
                return
            # Until it has run, its result is of neither commit.
            results.pop(digest(step), None)
            await asyncio.to_thread(self._checkout.keep_results, results)
            output = self._preparation.output(run, number, step)
            steps = await self._preparation.runner()
            await self._preparation.run(run, doing, steps, step, commit, self._source.directory, output)
            if made_from:
                await asyncio.to_thread(self._checkout.keep_results, {**results, digest(step): made_from})

    async def _made_from(self, step: InstallStep, commit: str) -> str:
        """A digest of the files the step depends on; "" if it is to run each time."""
        tree = await self._repository.tree(commit) if step.when_changed else None
        wanted = picked(tree, step.when_changed) if tree is not None else None
        return hashlib.sha256(json.dumps(sorted(wanted.items())).encode()).hexdigest() if wanted else ""

    def _there(self, step: InstallStep) -> bool:
        folder = self._source.directory / step.directory
        return all((folder / name).exists() for name in step.keep)

    async def runs(self, state: ServiceState, release: str) -> bool:  # noqa: ARG002 - of the protocol
        """Never known: each release has the same folder. So a deployment that is resumed restarts it."""
        return False
