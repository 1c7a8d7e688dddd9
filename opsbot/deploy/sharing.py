"""What is shared between releases: `DIRECTORY/shared/PATH`, linked into each release at PATH.

What is not in `shared/` yet is taken over from the release, where the commit has it; else an empty folder is made. A
file (a name with a dot in it) cannot be made up: it is left out, and said to be missing.

Everything here blocks: call it in a thread.
"""

import errno
import os
import shutil
from pathlib import Path, PurePosixPath

from opsbot.deploy import shared_permissions
from opsbot.filesystem.disk import remove


class SharingError(Exception):
    """A shared path cannot be linked; the text says why."""


class Shared:
    """The shared paths of one service."""

    def __init__(self, shared: Path, wanted: tuple[str, ...]) -> None:
        """`shared` is the folder they are in; wanted: which."""
        self._shared = shared
        self._wanted = wanted

    def link(self, release: Path, *, guarded: bool) -> list[str]:
        """Link them into a new release; remarks for people.

        guarded: another user writes in `shared/`, so that no link is followed there.

        Raises:
            SharingError: one cannot be linked.
        """
        remarks = []
        for wanted in self._wanted:
            remarks += self._link(release, PurePosixPath(wanted), guarded=guarded)
        return remarks

    def _link(self, release: Path, wanted: PurePosixPath, *, guarded: bool) -> list[str]:
        store, place = self._shared / wanted, release / wanted
        if not place.parent.resolve().is_relative_to(release.resolve()):
            raise SharingError(f"{wanted.parent} is a link that leads out of the release: {wanted} cannot be shared")
        keep = self._kept_guarded if guarded else self._kept
        there, remarks = keep(release, wanted)
        if not there:
            return remarks
        if place.is_dir() and not place.is_symlink():
            remove(place)
        else:
            place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(store, place.parent.resolve()))
        return remarks

    def _kept(self, release: Path, wanted: PurePosixPath) -> tuple[bool, list[str]]:
        """See that it is in `shared/`; whether it is, and remarks."""
        store, place = self._shared / wanted, release / wanted
        if os.path.lexists(store):
            return True, []
        store.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place):
            shutil.move(place, store)
            return True, [_taken_over(wanted)]
        if "." in wanted.name:
            return False, [_missing(store)]
        store.mkdir()
        return True, [_made(wanted)]

    def _kept_guarded(self, release: Path, wanted: PurePosixPath) -> tuple[bool, list[str]]:
        """The same where the service's user may have put links and other things in `shared/`."""
        try:
            stood = shared_permissions.keep_shared(self._shared, release, wanted)
            if stood is not False:
                return True, [_taken_over(wanted)] if stood else []
            if "." in wanted.name:
                return False, [_missing(self._shared / wanted)]
            shared_permissions.make_shared(self._shared, wanted)
        except shared_permissions.LedAstrayError as error:
            raise SharingError(f"{wanted} cannot be shared: {error}; put a folder there") from error
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            raise SharingError(
                f"{self._shared} is on another file system: put {wanted} there yourself, as the service's user"
            ) from error
        return True, [_made(wanted)]


def _taken_over(wanted: PurePosixPath) -> str:
    return f"shared/{wanted} was made from the commit's own"


def _missing(store: Path) -> str:
    return f"{store} is missing: put it there, it is linked by the next deploy"


def _made(wanted: PurePosixPath) -> str:
    return f"shared/{wanted} was made, an empty folder"
