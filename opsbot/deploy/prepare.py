"""Prepares a release beside the live one: exports the commit, links what is shared, runs the install steps.

Nothing here touches what is live. A step whose `when_changed` files are the same, by content, as those of the live
release takes over what it made there instead of running again. A virtual environment (`.venv`) is taken over only where
`keep` names it: the paths inside it are rewritten then, as far as Python itself writes them.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from opsbot.config import InstallStep
from opsbot.core.deployment import Release
from opsbot.core.patterns import fits
from opsbot.deploy.course import Course, Doing, SetbackError
from opsbot.deploy.disk import file_system, remove
from opsbot.deploy.occupants import MARK
from opsbot.deploy.releases import About, ReleaseError, Releases
from opsbot.deploy.steps import StepResult, environment, run_step
from opsbot.source.remote import RemoteError
from opsbot.source.repo import DamagedError, Exported, Repository, UnsupportedTreeError

TAKEN_OVER = ("node_modules", "vendor")
"""What a step is taken to make where its `keep` says nothing."""
SHOWN_PATHS = 8
COPY_LIMIT = timedelta(minutes=10)
REWRITTEN_MOST = 1024 * 1024
_MADE_BY_RUNNING = re.compile(r"(?:^|/)__pycache__/|\.py[co]$")


class Preparation:
    """How the releases of one service are made."""

    def __init__(self, repository: Repository, releases: Releases, output: Path, mark: str) -> None:
        """`output` is the folder for what the steps print; `mark` see `opsbot.deploy.occupants`."""
        self._repository = repository
        self._releases = releases
        self._output = output
        self._mark = mark

    async def export(self, course: Course, name: str, commit: str, live: Release | None) -> None:
        """The commit's files and the shared paths, in the folder of a new release.

        Raises:
            SetbackError: it cannot be made.
        """
        async with course.step("prepare the release") as doing:
            try:
                await asyncio.to_thread(self._releases.room, live.name if live else None)
                if live is not None:
                    doing.note = await self._left_behind(course, live)
                folder = await asyncio.to_thread(self._releases.begin, name)
                exported = await self._export(commit, folder, name)
                remarks = await asyncio.to_thread(self._releases.share, name)
                await self._repository.keep(name, commit)
            except (ReleaseError, UnsupportedTreeError, RemoteError, DamagedError) as error:
                raise _setback(error) from error
            if exported.lfs:
                remarks.append(
                    "files kept in Git LFS came as pointers: add an install step `git lfs pull`, or keep them elsewhere"
                )
            course.remarks += remarks
            doing.note = "; ".join([f"{exported.files} files", *remarks, *([doing.note] if doing.note else [])])

    async def _export(self, commit: str, folder: Path, name: str) -> Exported:
        index = self._releases.index(name)
        try:
            return await self._repository.export(commit, folder, index)
        except DamagedError:
            await self._repository.discard()
            await self._repository.bring(commit)
            await asyncio.to_thread(index.unlink, missing_ok=True)
            return await self._repository.export(commit, folder, index)

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
        parts = [f"{what} by hand: {_some(paths)}" for what, paths in (("changed", changed), ("added", added)) if paths]
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
        for number, step in enumerate(course.service.install):
            done[digest(step)] = await self._step(course, number, step, name, commit, live)
        try:
            made = await self._repository.touched(self._releases.path(name), self._releases.index(name))
            changed, added = made or (frozenset(), frozenset())
            about = About(done, tuple(sorted(changed)), tuple(sorted(added)))
            await asyncio.to_thread(self._releases.complete, name, about)
        except ReleaseError as error:
            raise SetbackError(str(error)) from error

    async def _step(
        self, course: Course, number: int, step: InstallStep, name: str, commit: str, live: Release | None
    ) -> str:
        folder = self._releases.path(name) / step.directory
        async with course.step(shown(step)) as doing:
            output = self.output(course, number, step)
            doing.output = str(output)
            kept = await self._reusable(step, commit, live) if live is not None else ()
            if live is not None and kept and await self._take_over(kept, step, live, folder, output):
                doing.output = ""
                doing.note = f"{changed_names(step)} unchanged since {live.commit[:10]}: reused {', '.join(kept)}"
                return "reused"
            await self.run(course, doing, step, commit, self._releases.path(name), output)
            return "ran"

    def output(self, course: Course, number: int, step: InstallStep) -> Path:
        """The file that keeps what a step prints; `number` counts from 0."""
        return self._output / str(course.value.id) / f"{number + 1}-{_slug(step.run[0])}.log"

    async def run(
        self, course: Course, doing: Doing, step: InstallStep, commit: str, release: Path, output: Path
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
        result = await run_step(
            step.run, directory=release / step.directory, env=environment(extra), timeout=step.timeout, output=output
        )
        doing.tail = result.tail if not result.ok else ""
        if not result.ok:
            raise await self._failed(step, result)

    async def _failed(self, step: InstallStep, result: StepResult) -> SetbackError:
        if result.no_space:
            where = await asyncio.to_thread(file_system, self._releases.directory)
            return SetbackError(f"{step.run[0]}: no space left on {where}: {result.text}", tail=result.tail)
        return SetbackError(f"{shown(step)}: {result.text}", lasting=result.lasting, tail=result.tail)

    # Taking over from the live release

    async def _reusable(self, step: InstallStep, commit: str, live: Release) -> tuple[str, ...]:
        """What of this step can be taken over from the live release; nothing where it must run."""
        if not step.when_changed:
            return ()
        about = await asyncio.to_thread(self._releases.about, live.name)
        if digest(step) not in about.steps:
            return ()
        before, after = await self._repository.tree(live.commit), await self._repository.tree(commit)
        if before is None or after is None:
            return ()
        wanted = picked(after, step.when_changed)
        if not wanted or wanted != picked(before, step.when_changed):
            return ()
        return await asyncio.to_thread(self._present, step, live)

    def _present(self, step: InstallStep, live: Release) -> tuple[str, ...]:
        folder = self._releases.path(live.name) / step.directory
        names = step.keep or tuple(name for name in TAKEN_OVER if (folder / name).is_dir())
        # All that is named, or nothing: a half is not what the step made.
        return names if all((folder / name).exists() for name in names) else ()

    async def _take_over(
        self, names: Sequence[str], step: InstallStep, live: Release, folder: Path, output: Path
    ) -> bool:
        """Copy it (by hard links the live service would write into the new release); whether that went well."""
        source = self._releases.path(live.name) / step.directory
        for name in names:
            if not await asyncio.to_thread(_clear, folder / name):
                return False
            result = await run_step(
                ["cp", "-a", "--reflink=auto", "--", str(source / name), str(folder / name)],
                directory=self._releases.folder,
                env=environment({MARK: self._mark}),
                timeout=COPY_LIMIT,
                output=output,
            )
            if result.no_space:
                where = await asyncio.to_thread(file_system, self._releases.directory)
                raise SetbackError(f"no space left on {where}", tail=result.tail)
            if not result.ok:
                await asyncio.to_thread(_clear, folder / name)
                return False
            await asyncio.to_thread(_move_environment, folder / name, source / name)
        return True


def _setback(error: Exception) -> SetbackError:
    return SetbackError(str(error), lasting=isinstance(error, UnsupportedTreeError))


def _clear(place: Path) -> bool:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.is_file():
        place.unlink()
    return remove(place)


def _move_environment(folder: Path, before: Path) -> None:
    """Rewrite the paths in a copied virtual environment: in scripts, pyvenv.cfg, .pth files and editable installs."""
    if not (folder / "pyvenv.cfg").is_file():
        return
    patterns = (
        *("pyvenv.cfg", "bin/*", "lib/python*/site-packages/*.pth", "lib/python*/site-packages/__editable__*"),
        "lib/python*/site-packages/*.dist-info/direct_url.json",
    )
    # The release's own path, not only the environment's: an editable install points to the source beside it.
    old, new = (_release_path(path) for path in (before, folder))
    for path in (found for pattern in patterns for found in folder.glob(pattern)):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > REWRITTEN_MOST:
            continue
        content = path.read_bytes()
        if old in content:
            path.write_bytes(content.replace(old, new))


def _release_path(path: Path) -> bytes:
    parts = path.parts
    at = len(parts) - 1 - parts[::-1].index("releases")
    return str(Path(*parts[: at + 2])).encode()


def picked(tree: Mapping[str, str], patterns: Sequence[str]) -> dict[str, str]:
    """The files of a tree that patterns name, and the ids of their contents."""
    return {path: content for path, content in tree.items() if any(fits(path, pattern) for pattern in patterns)}


def digest(step: InstallStep) -> str:
    """How a step is configured: one that is configured otherwise is another step."""
    told = json.dumps([step.run, step.directory, step.keep, step.when_changed])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def shown(step: InstallStep) -> str:
    """The command as people call it: where its program lies says nothing to them."""
    return " ".join([Path(step.run[0]).name, *step.run[1:]])


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(text).name)[:40] or "step"


def changed_names(step: InstallStep) -> str:
    """The files a step goes by, as they are shown."""
    return _some([Path(pattern).name if "*" not in pattern else pattern for pattern in step.when_changed])


def _some(paths: Sequence[str]) -> str:
    more = len(paths) - SHOWN_PATHS
    return ", ".join(paths[:SHOWN_PATHS]) + (f" and {more} more" if more > 0 else "")
