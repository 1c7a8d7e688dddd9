"""Release folders: made beside the live one, switched to by one rename, pruned.

    DIRECTORY/releases/20261124T120000Z-4f2a91c3d0/         one release, at this path from its first file on
    DIRECTORY/releases/.20261124T120000Z-4f2a91c3d0.part   exists while the folder is not complete
    DIRECTORY/releases/.about/NAME.index, NAME.json    what was exported, and how its install steps went
    DIRECTORY/current -> releases/NAME
    DIRECTORY/shared/                                  linked into each release

A release is made at its final path, not renamed into it: a Python virtual environment, or a native module that was
built, contains the path. A folder counts as a release only when its `.part` is gone and the ledger knows it.

Everything here blocks: call it in a thread.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opsbot.config import Source
from opsbot.core.deploy_codes import FailureCode
from opsbot.core.message import Message, MessageError, message
from opsbot.deploy import shared_permissions
from opsbot.deploy.sharing import Shared, SharingError
from opsbot.errand.removal import remove_own
from opsbot.filesystem.disk import file_system, is_full, remove, sync_file_system, sync_folder, used
from opsbot.filesystem.processes_in_folder import processes_in

MARGIN = 100 * 1024 * 1024
"""Bytes that must be free beside the size of one more release."""
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
        """Let the service's user write in a release that was begun closed; `complete` ends that."""
        with _disk_errors(self.directory):
            shared_permissions.open_to_group(self.path(name))

    def seal(self, name: str) -> None:
        with _disk_errors(self.directory):
            shared_permissions.seal(self.path(name))

    def room(self, live: str | None) -> None:
        """See that one more release like the live one fits, and that it can be switched to."""
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
        """Link the shared paths into a new release; remarks for people. See `opsbot.deploy.sharing`."""
        with _disk_errors(self.directory):
            try:
                return Shared(self.shared, self.source.shared).link(self.path(name), guarded=guarded)
            except SharingError as error:
                raise ReleaseError(error.message) from error

    def complete(self, name: str, about: About) -> None:
        """All of it is there: on the disk, should the power fail now, and not marked any more."""
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
        """Releases begun and not completed, and folders of ours that the ledger does not know."""
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
    """What an OSError means for a release."""
    if is_full(error):
        return ReleaseError(message(FailureCode.NO_SPACE, where=file_system(directory)))
    path = str(error.filename or directory)
    return ReleaseError(message(FailureCode.FILE_ERROR, path=path, error=error.strerror))
