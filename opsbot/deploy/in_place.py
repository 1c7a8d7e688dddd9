"""The strategy "in-place": a checkout that is updated where it is.

    fetch → check → check out → install there → restart → verify → live, or the previous commit, installed and restarted

What is live changes with the check-out, so it and the install steps belong to the phase SWITCHING: a failure from there
on, a crash too, is finished or rolled back. The check before it finds what is in the way while nothing is changed yet.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from opsbot.config import InstallStep, Service, Source
from opsbot.core.deploy_codes import FailureCode, NoteCode, StepCode, UpdateCode
from opsbot.core.deployment import SHORT, Release
from opsbot.core.message import message
from opsbot.deploy.checkout import Checkout, Head
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun
from opsbot.deploy.releases import ReleaseError, ReleaseFolders, command_text
from opsbot.deploy.reuse import changed_names, digest, picked
from opsbot.deploy.steps import Steps
from opsbot.messages import render
from opsbot.services.port import ServiceState
from opsbot.source.repo import Repository, UnsupportedTreeError
from opsbot.store import Store, ledger, outbox

log = logging.getLogger(__name__)


class InPlace(ReleaseFolders):
    """The commits of one checkout instead of folders; the same interface."""

    def __init__(
        self,
        service: Service,
        source: Source,
        repository: Repository,
        checkout: Checkout,
        output: Path,
        steps: Callable[[], Awaitable[Steps]],
        store: Store,
        clock: Callable[[], datetime],
        installing: asyncio.Semaphore,
    ) -> None:
        """installing: held while install steps run. output, steps: see `ReleaseFolders`."""
        super().__init__(repository, checkout, output, steps)
        self._name = service.name
        self._install_steps = service.install
        self._source = source
        self._checkout = checkout
        self._store = store
        self._clock = clock
        self._installing = installing

    async def recognise(self) -> None:
        """Take what is checked out as live: at first, and if a person moved it since."""
        try:
            await self._take_over(await asyncio.to_thread(self._checkout.head))
        except ReleaseError as error:
            log.warning("%s: %s", self._name, render(error.message))

    async def _take_over(self, head: Head) -> None:
        meant = await self._store.read(ledger.live_release, self._name)
        releases = await self._store.read(ledger.releases, self._name)
        if meant is not None and meant.commit == head.commit:
            return
        now = self._clock()
        there = next((each for each in releases if each.commit == head.commit), None)
        release = there or Release(self._checkout.name(head.commit, now), head.commit, now, good=True, title=head.title)
        await asyncio.to_thread(self._checkout.hold, release.name, head.commit)
        await asyncio.to_thread(self._checkout.switch, release.name)
        await self._store.write(ledger.take_over, self._name, release, now)
        if meant is None:
            log.info("%s: took over the checkout at %s", self._name, head.commit[:SHORT])
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
        await self._store.write(outbox.put_notice, key, self._name, moved, now)

    async def prepare(
        self,
        run: DeploymentRun,
        name: str,
        commit: str,
        live: Release | None,  # noqa: ARG002 - of the protocol
    ) -> None:
        """Bring the commit into the checkout's repository, and check it can be laid."""
        async with run.step(StepCode.CHECK_CHECKOUT):
            if self._install_steps and (await self._steps()).abroad:
                raise DeployFailure(message(FailureCode.CHECKOUT_OTHER_USER))
            await self._repository.keep(name, commit)
            await asyncio.to_thread(self._checkout.bring, name)
            await asyncio.to_thread(self._checkout.check, commit)

    async def install(self, run: DeploymentRun, name: str, commit: str, live: Release | None) -> None:
        """Nothing yet: it is installed after the check-out."""

    async def check_return(self, run: DeploymentRun, name: str) -> None:
        async with run.step(StepCode.CHECK_CHECKOUT):
            try:
                await asyncio.to_thread(self._checkout.check, await self._commit(name))
            except UnsupportedTreeError as error:  # no fault of the commit: it was live before
                raise DeployFailure(error.message) from error

    async def lay(self, run: DeploymentRun, name: str) -> None:
        """Check it out and run the install steps whose results were made from other files."""
        async with self._installing:
            async with run.step(StepCode.CHECK_OUT, release=name):
                commit = await self._commit(name)
                await asyncio.to_thread(self._checkout.lay, name)
            for number, step in enumerate(self._install_steps):
                await self._install(run, number, step, commit)
            await asyncio.to_thread(self._checkout.installed)

    async def _commit(self, name: str) -> str:
        commit = await asyncio.to_thread(self._checkout.commit, name)
        if commit is None:
            directory = str(self._source.directory)
            raise DeployFailure(message(FailureCode.CHECKOUT_COMMIT_GONE, release=name, directory=directory))
        return commit

    async def _install(self, run: DeploymentRun, number: int, step: InstallStep, commit: str) -> None:
        results = await asyncio.to_thread(self._checkout.results)
        made_from = await self._made_from(step, commit)
        async with run.step(StepCode.INSTALL, command=command_text(step)) as doing:
            if made_from and results.get(digest(step)) == made_from and await asyncio.to_thread(self._there, step):
                doing.note = message(NoteCode.UNCHANGED, files=changed_names(step))
                return
            # Until it has run, its result is of neither commit.
            results.pop(digest(step), None)
            await asyncio.to_thread(self._checkout.keep_results, results)
            output, steps = self._output_of(run, number, step), await self._steps()
            await self._run(run, doing, steps, step, commit, self._source.directory, output)
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
        """Unknown: releases share one folder. A resumed deployment restarts it."""
        return False
