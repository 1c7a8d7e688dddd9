"""The strategy "releases": each release in a separate folder, made beside the live one and switched to.

The commit is exported there, what is shared is linked, the install steps run; nothing here touches what is live. A step
whose `when_changed` files are the same as those of the live release reuses what it made there instead of running again
(`opsbot.deploy.reuse`).

If the service runs as another user than opsbot, its code is installed as that user: the release is exported into a
folder that nobody else can enter, opened to the service's group for the steps, and sealed after them.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from opsbot.config import InstallStep
from opsbot.core.deploy_codes import FailureCode, NoteCode, RemarkCode, StepCode
from opsbot.core.deployment import Release
from opsbot.core.message import Message, message
from opsbot.core.patterns import fits
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun, RunningStep
from opsbot.deploy.releases import About, Releases
from opsbot.deploy.reuse import TAKEN_OVER, Reuse, changed_names, digest, some
from opsbot.deploy.shared_permissions import OPEN_UMASK
from opsbot.deploy.steps import StepResult, Steps
from opsbot.filesystem.disk import file_system
from opsbot.messages import render
from opsbot.services.port import Activity, ServiceState
from opsbot.services.run_as import ErrandError
from opsbot.source.repo import DamagedError, Exported, Repository

log = logging.getLogger(__name__)

_MADE_BY_RUNNING = re.compile(r"(?:^|/)__pycache__/|\.py[co]$")


class ReleaseFolders:
    """How the releases of one service are made and activated.

    `InPlace` is the other strategy. Methods that are given a run raise MessageError if it cannot be done.
    """

    def __init__(
        self, repository: Repository, releases: Releases, output: Path, steps: Callable[[], Awaitable[Steps]]
    ) -> None:
        """`output` is the folder for what the steps print. steps: who runs them; raises ErrandError."""
        self._steps = steps
        self._repository = repository
        self._releases = releases
        self._output = output
        self._reuse = Reuse(repository, releases)

    async def recognise(self) -> None:
        """Take note of a release that a person activated: here only opsbot does. The caller holds the target's lock."""

    async def check_return(self, run: DeploymentRun, name: str) -> None:
        """Check that an older release can be activated again: its folder is complete."""

    async def lay(self, run: DeploymentRun, name: str) -> None:
        """Do what changes live files before the switch, which changes all at once here."""

    async def runs(self, state: ServiceState, release: str) -> bool:
        """Whether that is a process started in this release, which is activated as well."""
        if state.activity is not Activity.RUNNING:
            return False
        releases = self._releases
        folder, live = await asyncio.to_thread(lambda: (releases.path(release).resolve(), releases.live()))
        return state.release == folder and live == release

    async def prepare(self, run: DeploymentRun, name: str, commit: str, live: Release | None) -> None:
        """Have a release's files, without changing what is live: those of the commit, and the shared paths."""
        async with run.step(StepCode.PREPARE) as doing:
            abroad = (await self._steps()).abroad
            await asyncio.to_thread(self._releases.room, live.name if live else None)
            remarks = [] if live is None else await self._left_behind(live)
            folder = await asyncio.to_thread(self._releases.begin, name, closed=abroad)
            exported = await self._export(commit, folder, name, OPEN_UMASK if abroad else -1)
            remarks += await asyncio.to_thread(self._releases.share, name, guarded=abroad)
            await self._repository.keep(name, commit)
            if exported.lfs:
                remarks.append(message(RemarkCode.LFS))
            run.remarks += remarks
            doing.note = message(NoteCode.PREPARED, files=exported.files, remarks=tuple(remarks))

    async def _export(self, commit: str, folder: Path, name: str, umask: int) -> Exported:
        index = self._releases.index(name)
        try:
            return await self._repository.export(commit, folder, index, umask)
        except DamagedError:
            await self._repository.discard()
            await self._repository.bring(commit)
            await asyncio.to_thread(index.unlink, missing_ok=True)
            return await self._repository.export(commit, folder, index, umask)

    async def _left_behind(self, live: Release) -> list[Message]:
        """What people changed by hand in the live release: a switch leaves it there, so it is mentioned."""
        found = await self._repository.touched(self._releases.path(live.name), self._releases.index(live.name))
        if found is None:
            return []
        about = await asyncio.to_thread(self._releases.about, live.name)
        changed = sorted(path for path in found[0] - set(about.changed) if not self._shared(path))
        added = sorted(
            path for path in found[1] - set(about.added) if not self._shared(path) and not _MADE_BY_RUNNING.search(path)
        )
        if not changed and not added:
            return []
        return [message(RemarkCode.LEFT_BEHIND, release=live.name, changed=some(changed), added=some(added))]

    def _shared(self, path: str) -> bool:
        return any(fits(path.rstrip("/"), shared) for shared in self._releases.source.shared)

    async def install(self, run: DeploymentRun, name: str, commit: str, live: Release | None) -> None:
        """Run the install steps in their order; the release is complete then."""
        done = {}
        steps = await self._steps()
        if steps.abroad:
            await asyncio.to_thread(self._releases.let_in, name)
        for number, step in enumerate(run.service.install):
            done[digest(step)] = await self._step(run, steps, number, step, name, commit, live)
        if steps.abroad:
            await asyncio.to_thread(self._releases.seal, name)
            await self._repository.look_again(self._releases.path(name), self._releases.index(name))
        made = await self._repository.touched(self._releases.path(name), self._releases.index(name))
        changed, added = made or (frozenset(), frozenset())
        about = About(done, tuple(sorted(changed)), tuple(sorted(added)))
        await asyncio.to_thread(self._releases.complete, name, about)

    async def _step(
        self,
        run: DeploymentRun,
        steps: Steps,
        number: int,
        step: InstallStep,
        name: str,
        commit: str,
        live: Release | None,
    ) -> str:
        folder = self._releases.path(name) / step.directory
        async with run.step(StepCode.INSTALL, command=command_text(step)) as doing:
            output = self._output_of(run, number, step)
            doing.output = str(output)
            kept = await self._reuse.reusable(step, commit, live) if live is not None else None
            if live is not None and kept and await self._reuse.take_over(steps, kept, step, live, folder, output):
                doing.output = ""
                doing.note = _note(NoteCode.REUSED, step, live, kept)
                return "reused"
            await self._run(run, doing, steps, step, commit, self._releases.path(name), output)
            if live is not None and kept is not None:
                doing.note = _note(NoteCode.NOT_REUSED, step, live, step.keep or TAKEN_OVER)
            return "ran"

    def _output_of(self, run: DeploymentRun, number: int, step: InstallStep) -> Path:
        """The file that keeps what a step prints; `number` counts from 0."""
        return self._output / str(run.value.id) / f"{number + 1}-{_slug(step.run[0])}.log"

    async def _run(
        self,
        run: DeploymentRun,
        doing: RunningStep,
        steps: Steps,
        step: InstallStep,
        commit: str,
        release: Path,
        output: Path,
    ) -> None:
        """Run one install step in a release's folder, shown as what is being done."""
        doing.output = str(output)
        await run.say(doing, None)
        extra = {
            **run.service.environment,
            "OPSBOT_SERVICE": run.service.name,
            "OPSBOT_COMMIT": commit,
            "OPSBOT_RELEASE": str(release),
        }
        folder = release / step.directory
        result = await steps.run(step.run, directory=folder, extra=extra, timeout=step.timeout, output=output)
        doing.tail = result.tail if not result.ok else ""
        if not result.ok:
            raise await self._failed(step, result)

    async def _failed(self, step: InstallStep, result: StepResult) -> DeployFailure:
        if result.no_space:
            where = await asyncio.to_thread(file_system, self._releases.directory)
            why = message(FailureCode.COMMAND_NO_SPACE, command=step.run[0], where=where, ending=result.ending)
            return DeployFailure(why, tail=result.tail)
        why = message(FailureCode.COMMAND, command=command_text(step), ending=result.ending)
        return DeployFailure(why, lasting=result.lasting, tail=result.tail)

    async def remove(self, name: str) -> bool:
        """Remove a release's folder; whether it is gone. The next cleanup tries again."""
        try:
            steps = await self._steps()
        except ErrandError as error:
            log.warning("who has files in release %s is not known: %s", name, error)
            return await asyncio.to_thread(self._releases.discard, name, guarded=True)
        if await asyncio.to_thread(self._releases.discard, name, guarded=steps.abroad):
            return True
        if not steps.abroad:
            return False
        # What is left is the service's user's, in folders where opsbot may not write.
        path = self._releases.path(name)
        output = self._output / f"remove-{name}.log"
        result = await steps.remove(path, output)
        await asyncio.to_thread(output.unlink, missing_ok=True)
        gone = await asyncio.to_thread(self._releases.discard, name, guarded=True)
        if not gone:
            log.warning("release %s is not gone: %s", name, result.tail or render(result.ending))
        return gone

    async def unoccupied(self, names: Sequence[str]) -> list[str]:
        """Those of these releases that no process of the service works in; none if that is unknown."""
        try:
            steps = await self._steps()
        except ErrandError as error:
            log.warning("whether releases are in use is not known: %s", error)
            return []
        if not names or not steps.abroad:
            return list(names)  # `Releases.surplus` has looked
        folders = [self._releases.path(name) for name in names]
        output = self._output / "occupied.log"
        result = await steps.occupied(folders, output)
        busy = result.tail.split()
        if not result.ok or not all(number.isdecimal() for number in busy):
            log.warning("whether releases are in use is not known: %s", result.tail or render(result.ending))
            return []
        return [name for number, name in enumerate(names) if str(number) not in busy]


def _note(code: NoteCode, step: InstallStep, live: Release, paths: Sequence[str]) -> Message:
    return message(code, files=changed_names(step), commit=live.commit, paths=tuple(paths))


def command_text(step: InstallStep) -> str:
    """The command as people type it, without the folder of its program."""
    return " ".join([Path(step.run[0]).name, *step.run[1:]])


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(text).name)[:40] or "step"
