"""The strategy "releases": folders beside the live one, switched to by a rename.

    DIRECTORY/releases/20261124T120000Z-4f2a91c3d0/         one release, at this path from its first file on
    DIRECTORY/releases/.20261124T120000Z-4f2a91c3d0.part   exists while the folder is not complete
    DIRECTORY/releases/.about/NAME.index, NAME.json    what was exported, and how its install steps went
    DIRECTORY/current -> releases/NAME
    DIRECTORY/shared/                                  linked into each release

A release is made at its final path, not renamed into it: a Python virtual environment, or a native module that was
built, contains the path. A folder counts as a release only when its `.part` is gone and the ledger knows it.

`Releases` has the folders; it blocks: call it in a thread. `ReleaseFolders` exports a commit into one, links what is
shared and runs the install steps; nothing there touches what is live. A step whose `when_changed` files are the same
as those of the live release reuses what it made there instead of running again (`opsbot.deploy.reuse`).

If the service runs as another user than opsbot, its code is installed as that user: the release is exported into a
folder that nobody else can enter, opened to the service's group for the steps, and sealed after them.
"""

import asyncio
import json
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from opsbot.config import InstallStep, Source
from opsbot.core.deploy_codes import FailureCode, NoteCode, RemarkCode, StepCode
from opsbot.core.deployment import Release
from opsbot.core.message import Message, MessageError, message
from opsbot.core.patterns import fits
from opsbot.deploy import shared_permissions
from opsbot.deploy.deployment_run import DeployFailure, DeploymentRun, RunningStep
from opsbot.deploy.reuse import TAKEN_OVER, Reuse, changed_names, digest, some
from opsbot.deploy.shared_permissions import OPEN_UMASK
from opsbot.deploy.sharing import SharingError, link_shared
from opsbot.deploy.steps import StepResult, Steps
from opsbot.errand.removal import remove_own
from opsbot.filesystem.disk import file_system, is_full, remove, sync_file_system, sync_folder, used
from opsbot.filesystem.processes_in_folder import processes_in
from opsbot.messages import render
from opsbot.services.port import Activity, ServiceState
from opsbot.services.run_as import ErrandError
from opsbot.source.repo import DamagedError, Exported, Repository

log = logging.getLogger(__name__)

MARGIN = 100 * 1024 * 1024
"""Bytes that must be free beside the size of one more release."""
_MADE_BY_RUNNING = re.compile(r"(?:^|/)__pycache__/|\.py[co]$")
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{10}(?:-\d+)?")


class ReleaseError(MessageError):
    """A release folder cannot be made or switched to; the message says why."""


@dataclass(frozen=True, slots=True)
class About:
    """What is stored about a release beside its folder.

    steps: a digest of how each install step is configured (a changed one is run again), and how it went.
    changed and added: what the install itself did to the exported files, so that it is not mistaken for a person's.
    """

    steps: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


class Releases:
    """The folders of one service. What cannot be done to them raises ReleaseError."""

    def __init__(self, source: Source, margin: int = MARGIN) -> None:
        self.source = source
        self.margin = margin
        self.directory = source.directory
        self.folder = source.directory / "releases"
        self.about_folder = self.folder / ".about"
        self.current = source.directory / "current"
        self.shared = source.directory / "shared"

    # Names

    def path(self, name: str) -> Path:
        return self.folder / name

    def index(self, name: str) -> Path:
        return self.about_folder / f"{name}.index"

    def _part(self, name: str) -> Path:
        return self.folder / f".{name}.part"

    def name(self, commit: str, now: datetime) -> str:
        """A new name: the time and the commit; numbered if that exists already."""
        plain = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{commit[:10]}"
        names = (plain if number == 1 else f"{plain}-{number}" for number in range(1, 1000))
        return next(name for name in names if not self.path(name).exists())

    # Making one

    def begin(self, name: str, *, closed: bool = False) -> Path:
        """Make an empty, incomplete release. closed: only opsbot can enter it for now."""
        with _disk_errors(self.directory):
            self.about_folder.mkdir(parents=True, exist_ok=True)
            self._part(name).touch()
            sync_folder(self.folder)
            path = self.path(name)
            path.mkdir(mode=0o700 if closed else 0o777)
            return path

    def let_in(self, name: str) -> None:
        """Let the service's user write in a release begun as closed, until `complete`."""
        with _disk_errors(self.directory):
            shared_permissions.open_to_group(self.path(name))

    def seal(self, name: str) -> None:
        with _disk_errors(self.directory):
            shared_permissions.seal(self.path(name))

    def room(self, live: str | None) -> None:
        """Check that one more release like the live one fits and can be switched to."""
        self._see_no_folder()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.check_space(used(self.path(live)) if live else 0)

    def check_space(self, size: int) -> None:
        """See that so many bytes fit, and the margin."""
        figures, needed = os.statvfs(self.directory), self.margin + size
        if figures.f_bavail * figures.f_frsize < needed:
            where = file_system(self.directory)
            raise ReleaseError(message(FailureCode.NOT_ENOUGH_SPACE, where=where, needed=needed))

    def share(self, name: str, *, guarded: bool = False) -> list[Message]:
        """Link the shared paths into a new release; remarks. See `opsbot.deploy.sharing`."""
        remarks: list[Message] = []
        with _disk_errors(self.directory):
            try:
                for wanted in map(PurePosixPath, self.source.shared):
                    remarks += link_shared(self.shared, wanted, self.path(name), guarded=guarded)
            except SharingError as error:
                raise ReleaseError(error.message) from error
        return remarks

    def complete(self, name: str, about: About) -> None:
        """Sync the release to disk, so that it survives a power cut, and unmark it."""
        with _disk_errors(self.directory):
            (self.about_folder / f"{name}.json").write_text(json.dumps(asdict(about)))
            sync_file_system(self.folder)
            self._part(name).unlink(missing_ok=True)
            sync_folder(self.folder)

    def about(self, name: str) -> About:
        try:
            found: dict[str, Any] = json.loads((self.about_folder / f"{name}.json").read_text())
            return About(dict(found["steps"]), tuple(found["changed"]), tuple(found["added"]))
        except (OSError, ValueError, KeyError, TypeError):
            return About()

    def stands(self, name: str | None) -> bool:
        return name is not None and self.path(name).is_dir() and not self._part(name).exists()

    def discard(self, name: str, *, guarded: bool = False) -> bool:
        """Remove a release and all that was stored about it; whether it is gone.

        What cannot be removed is left for the next time. guarded: another user may write in it meanwhile.
        """
        if self.live() == name:
            raise ReleaseError(message(FailureCode.RELEASE_LIVE, release=name))
        with suppress(OSError):  # on a full disk there may be no room for the mark
            if self.path(name).exists():
                self._part(name).touch()
        if not (remove_own if guarded else remove)(self.path(name)):
            return False
        for trace in (self.index(name), self.about_folder / f"{name}.json", self._part(name)):
            trace.unlink(missing_ok=True)
        self.index(name).with_suffix(".index.lock").unlink(missing_ok=True)
        return True

    # The switch

    def live(self) -> str | None:
        try:
            target = self.current.readlink()
        except OSError:
            return None
        return target.name if (self.directory / target).parent == self.folder else None

    def switch(self, name: str) -> None:
        """Point `current` at a release: one rename, so that there is no moment without it."""
        if not self.stands(name):
            raise ReleaseError(message(FailureCode.RELEASE_GONE, release=name))
        self._see_no_folder()
        fresh = self.directory / f".current.{os.getpid()}"
        with _disk_errors(self.directory):
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(Path("releases") / name)
            fresh.replace(self.current)
            sync_folder(self.directory)

    def _see_no_folder(self) -> None:
        if self.current.exists() and not self.current.is_symlink():
            raise ReleaseError(message(FailureCode.CURRENT_IS_FOLDER, path=str(self.current)))

    def take_away(self) -> None:
        """Remove the `current` link: there is no release to run."""
        with _disk_errors(self.directory):
            if self.current.is_symlink():
                self.current.unlink()
                sync_folder(self.directory)

    # Cleaning

    def surplus(self, good: Iterable[str], spared: Iterable[str], known: Iterable[str]) -> list[str]:
        """The known releases that can go.

        Kept are: the `keep` newest of `good` (given newest first), all of `spared`, the live one, and any that a
        process works in.
        """
        kept = {*list(good)[: self.source.keep], *spared, self.live()}
        going = [name for name in known if name not in kept]
        busy = processes_in([self.path(name) for name in going]) if going else {}
        return [name for name in going if not busy[self.path(name)]]

    def leftovers(self, known: Iterable[str]) -> list[str]:
        """Return incomplete releases, and folders that the store does not know."""
        if not self.folder.is_dir():
            return []
        entries = {entry.name for entry in self.folder.iterdir()}
        parts = {entry[1:-5] for entry in entries if entry.startswith(".") and entry.endswith(".part")}
        strange = {entry for entry in entries if _NAME.fullmatch(entry)} - set(known)
        return sorted((parts | strange) - {self.live()})

    def sweep_links(self) -> None:
        """Remove the half-made `current` links of a process that was killed."""
        for link in self.directory.glob(".current.*"):
            link.unlink(missing_ok=True)


@contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    """Turns an OSError into a ReleaseError that says which file system is full."""
    try:
        yield
    except OSError as error:
        raise release_error(error, directory) from error


def release_error(error: OSError, directory: Path) -> ReleaseError:
    if is_full(error):
        return ReleaseError(message(FailureCode.NO_SPACE, where=file_system(directory)))
    path = str(error.filename or directory)
    return ReleaseError(message(FailureCode.FILE_ERROR, path=path, error=error.strerror))


class ReleaseFolders:
    """How the releases of one service are made and activated.

    `InPlace` is the other strategy. Methods that are given a run raise MessageError if it cannot be done.
    """

    def __init__(
        self, repository: Repository, releases: Releases, output: Path, steps: Callable[[], Awaitable[Steps]]
    ) -> None:
        """output: folder for what steps print. steps: who runs them; raises ErrandError."""
        self._steps = steps
        self._repository = repository
        self._releases = releases
        self._output = output
        self._reuse = Reuse(repository, releases)

    async def recognise(self) -> None:
        """Take note of a release that a person activated: not here. Needs target's lock."""

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
        """Write the commit's files and shared paths, without changing what is live."""
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
        """Mention what people changed in the live release: a switch leaves it there."""
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
        """Return the releases that no process of the service uses; none if unknown."""
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
