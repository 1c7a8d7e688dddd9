"""Prepares a release beside the live one: exports the commit, links what is shared, runs the install steps.

Nothing here touches what is live. A step whose `when_changed` files are the same as those of the live release takes
over what it made there instead of running again (`opsbot.deploy.reuse`).

Where the service runs as another user than opsbot, its code is installed as that user: the release is exported into a
folder that nobody else can go into, opened to the service's group for the steps, and sealed after them.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from opsbot.config import InstallStep
from opsbot.core.deployment import Release
from opsbot.core.patterns import fits
from opsbot.deploy.chores import Chores
from opsbot.deploy.course import Course, Doing, SetbackError
from opsbot.deploy.disk import file_system
from opsbot.deploy.occupants import MARK
from opsbot.deploy.releases import About, ReleaseError, Releases
from opsbot.deploy.reuse import TAKEN_OVER, Reuse, changed_names, digest, some
from opsbot.deploy.steps import StepResult, Steps
from opsbot.deploy.two_owners import OPEN_UMASK
from opsbot.messages import describe
from opsbot.services.errands import ErrandError
from opsbot.source.remote import RemoteError
from opsbot.source.repo import DamagedError, Exported, Repository, UnsupportedTreeError

log = logging.getLogger(__name__)

_MADE_BY_RUNNING = re.compile(r"(?:^|/)__pycache__/|\.py[co]$")


class Preparation:
    """How the releases of one service are made."""

    def __init__(
        self,
        repository: Repository,
        releases: Releases,
        output: Path,
        mark: str,
        steps: Callable[[], Awaitable[Steps]],
    ) -> None:
        """`output` is the folder for what the steps print; `mark` see `opsbot.deploy.occupants`.

        steps: tells who runs the steps, or raises ErrandError.
        """
        self._steps = steps
        self._repository = repository
        self._releases = releases
        self._output = output
        self._mark = mark
        self._chores = Chores(releases.folder, mark)
        self._reuse = Reuse(repository, releases, self._chores)

    async def export(self, course: Course, name: str, commit: str, live: Release | None) -> None:
        """The commit's files and the shared paths, in the folder of a new release.

        Raises:
            SetbackError: it cannot be made.
        """
        async with course.step("prepare the release") as doing:
            try:
                abroad = (await self._steps()).abroad
                await asyncio.to_thread(self._releases.room, live.name if live else None)
                if live is not None:
                    doing.note = await self._left_behind(course, live)
                folder = await asyncio.to_thread(self._releases.begin, name, closed=abroad)
                exported = await self._export(commit, folder, name, OPEN_UMASK if abroad else -1)
                remarks = await asyncio.to_thread(self._releases.share, name, guarded=abroad)
                await self._repository.keep(name, commit)
            except (ReleaseError, UnsupportedTreeError, RemoteError, DamagedError, ErrandError) as error:
                raise _setback(error) from error
            if exported.lfs:
                remarks.append(
                    "files kept in Git LFS came as pointers: add an install step `git lfs pull`, or keep them elsewhere"
                )
            course.remarks += remarks
            doing.note = "; ".join(
                [
                    "1 file" if exported.files == 1 else f"{exported.files} files",
                    *remarks,
                    *([doing.note] if doing.note else []),
                ]
            )

    async def _export(self, commit: str, folder: Path, name: str, umask: int) -> Exported:
        index = self._releases.index(name)
        try:
            return await self._repository.export(commit, folder, index, umask)
        except DamagedError:
            await self._repository.discard()
            await self._repository.bring(commit)
            await asyncio.to_thread(index.unlink, missing_ok=True)
            return await self._repository.export(commit, folder, index, umask)

    async def _left_behind(self, course: Course, live: Release) -> str:
        """What people did by hand to the live release: a switch leaves it there, so it is said."""
        found = await self._repository.touched(self._releases.path(live.name), self._releases.index(live.name))
        if found is None:
            return ""
        about = await asyncio.to_thread(self._releases.about, live.name)
        changed = sorted(path for path in found[0] - set(about.changed) if not self._shared(path))
        added = sorted(
            path for path in found[1] - set(about.added) if not self._shared(path) and not _MADE_BY_RUNNING.search(path)
        )
        if not changed and not added:
            return ""
        parts = [f"{what} by hand: {some(paths)}" for what, paths in (("changed", changed), ("added", added)) if paths]
        text = f"left behind in {live.name}: " + "; ".join(parts)
        course.remarks.append(text)
        return text

    def _shared(self, path: str) -> bool:
        return any(fits(path.rstrip("/"), shared) for shared in self._releases.source.shared)

    async def install(self, course: Course, name: str, commit: str, live: Release | None) -> None:
        """The install steps in their order, and the release is complete.

        Raises:
            SetbackError: a step failed, or there is no space.
        """
        done = {}
        steps = await self._let_in(name)
        for number, step in enumerate(course.service.install):
            done[digest(step)] = await self._step(course, steps, number, step, name, commit, live)
        try:
            if steps.abroad:
                await asyncio.to_thread(self._releases.seal, name)
                await self._repository.look_again(self._releases.path(name), self._releases.index(name))
            made = await self._repository.touched(self._releases.path(name), self._releases.index(name))
            changed, added = made or (frozenset(), frozenset())
            about = About(done, tuple(sorted(changed)), tuple(sorted(added)))
            await asyncio.to_thread(self._releases.complete, name, about)
        except (ReleaseError, RemoteError) as error:
            raise SetbackError(describe(error)) from error

    async def _let_in(self, name: str) -> Steps:
        steps = await self.runner()
        try:
            if steps.abroad:
                await asyncio.to_thread(self._releases.let_in, name)
        except ReleaseError as error:
            raise SetbackError(describe(error)) from error
        return steps

    async def runner(self) -> Steps:
        """Who runs the steps.

        Raises:
            SetbackError: nobody may, or it cannot be told.
        """
        try:
            return await self._steps()
        except ErrandError as error:
            raise SetbackError(describe(error)) from error

    async def _step(
        self,
        course: Course,
        steps: Steps,
        number: int,
        step: InstallStep,
        name: str,
        commit: str,
        live: Release | None,
    ) -> str:
        folder = self._releases.path(name) / step.directory
        async with course.step(shown(step)) as doing:
            output = self.output(course, number, step)
            doing.output = str(output)
            kept = await self._reuse.reusable(step, commit, live) if live is not None else None
            if live is not None and kept and await self._reuse.take_over(steps, kept, step, live, folder, output):
                doing.output = ""
                doing.note = f"{changed_names(step)} unchanged since {live.commit[:10]}: reused {', '.join(kept)}"
                return "reused"
            await self.run(course, doing, steps, step, commit, self._releases.path(name), output)
            if live is not None and kept is not None:
                what = " or ".join(step.keep or TAKEN_OVER)
                doing.note = f"run though {changed_names(step)} is unchanged: {live.commit[:10]} has no {what} to reuse"
            return "ran"

    def output(self, course: Course, number: int, step: InstallStep) -> Path:
        """The file that keeps what a step prints; `number` counts from 0."""
        return self._output / str(course.value.id) / f"{number + 1}-{_slug(step.run[0])}.log"

    async def run(
        self, course: Course, doing: Doing, steps: Steps, step: InstallStep, commit: str, release: Path, output: Path
    ) -> None:
        """Run one install step in a release's folder, shown as what is being done.

        Raises:
            SetbackError: it failed, or there is no space.
        """
        doing.output = str(output)
        await course.say(doing, "")
        extra = {
            **course.service.environment,
            "OPSBOT_SERVICE": course.service.name,
            "OPSBOT_COMMIT": commit,
            "OPSBOT_RELEASE": str(release),
            MARK: self._mark,
        }
        folder = release / step.directory
        result = await steps.run(step.run, directory=folder, extra=extra, timeout=step.timeout, output=output)
        doing.tail = result.tail if not result.ok else ""
        if not result.ok:
            raise await self._failed(step, result)

    async def _failed(self, step: InstallStep, result: StepResult) -> SetbackError:
        if result.no_space:
            where = await asyncio.to_thread(file_system, self._releases.directory)
            return SetbackError(f"{step.run[0]}: no space left on {where}: {result.text}", tail=result.tail)
        return SetbackError(f"{shown(step)}: {result.text}", lasting=result.lasting, tail=result.tail)

    async def remove(self, name: str) -> bool:
        """Remove a release's folder; whether it is gone. What cannot be removed is left for the next time.

        Raises:
            ReleaseError: it is live.
        """
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
        result = await self._chores.remove(steps, path, output)
        await asyncio.to_thread(output.unlink, missing_ok=True)
        gone = await asyncio.to_thread(self._releases.discard, name, guarded=True)
        if not gone:
            log.warning("release %s is not gone: %s", name, result.tail or result.text)
        return gone

    async def unoccupied(self, names: Sequence[str]) -> list[str]:
        """Those of these releases that no process of the service works in; none where that cannot be told."""
        try:
            steps = await self._steps()
        except ErrandError as error:
            log.warning("whether releases are in use is not known: %s", error)
            return []
        if not names or not steps.abroad:
            return list(names)  # `Releases.surplus` has looked
        folders = [self._releases.path(name) for name in names]
        output = self._output / "occupied.log"
        result = await self._chores.occupied(steps, folders, output)
        busy = result.tail.split()
        if not result.ok or not all(number.isdecimal() for number in busy):
            log.warning("whether releases are in use is not known: %s", result.tail or result.text)
            return []
        return [name for number, name in enumerate(names) if str(number) not in busy]


def _setback(error: Exception) -> SetbackError:
    return SetbackError(describe(error), lasting=isinstance(error, UnsupportedTreeError))


def shown(step: InstallStep) -> str:
    """The command as people call it: where its program lies says nothing to them."""
    return " ".join([Path(step.run[0]).name, *step.run[1:]])


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(text).name)[:40] or "step"
