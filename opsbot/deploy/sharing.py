"""What is shared between releases: `DIRECTORY/shared/PATH`, linked into each release at PATH.

What is not in `shared/` yet is taken from the release, if the commit has it; else an empty folder is made. A file (a
name with a dot in it) cannot be invented: it is left out, and reported as missing.

Everything here blocks: call it in a thread.
"""

import errno
import os
import shutil
from pathlib import Path, PurePath, PurePosixPath

from opsbot.core.deploy_codes import FailureCode, RemarkCode
from opsbot.core.message import Message, MessageError, message
from opsbot.deploy import shared_permissions
from opsbot.filesystem.disk import remove


class SharingError(MessageError):
    """A shared path cannot be linked; the message says why."""


class Shared:
    """The shared paths of one service."""

    def __init__(self, shared: Path, wanted: tuple[str, ...]) -> None:
        self._shared = shared
        self._wanted = wanted

    def link(self, release: Path, *, guarded: bool) -> list[Message]:
        """Link them into a release; remarks. guarded: another user writes in `shared/`."""
        remarks: list[Message] = []
        for wanted in self._wanted:
            remarks += self._link(release, PurePosixPath(wanted), guarded=guarded)
        return remarks

    def _link(self, release: Path, wanted: PurePosixPath, *, guarded: bool) -> list[Message]:
        store, place = self._shared / wanted, release / wanted
        if not place.parent.resolve().is_relative_to(release.resolve()):
            raise _error(FailureCode.SHARED_LINK_OUTSIDE, wanted, folder=str(wanted.parent))
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

    def _kept(self, release: Path, wanted: PurePosixPath) -> tuple[bool, list[Message]]:
        """See that it is in `shared/`; whether it is, and remarks."""
        store, place = self._shared / wanted, release / wanted
        if os.path.lexists(store):
            return True, []
        store.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place):
            shutil.move(place, store)
            return True, [_remark(RemarkCode.SHARED_FROM_COMMIT, wanted)]
        if "." in wanted.name:
            return False, [_remark(RemarkCode.SHARED_MISSING, store)]
        store.mkdir()
        return True, [_remark(RemarkCode.SHARED_MADE, wanted)]

    def _kept_guarded(self, release: Path, wanted: PurePosixPath) -> tuple[bool, list[Message]]:
        """The same where the service's user may have put links and other things in `shared/`."""
        try:
            stood = shared_permissions.keep_shared(self._shared, release, wanted)
            if stood is not False:
                return True, [_remark(RemarkCode.SHARED_FROM_COMMIT, wanted)] if stood else []
            if "." in wanted.name:
                return False, [_remark(RemarkCode.SHARED_MISSING, self._shared / wanted)]
            shared_permissions.make_shared(self._shared, wanted)
        except shared_permissions.LedAstrayError as error:
            raise _error(FailureCode.SHARED_NOT_A_FOLDER, wanted, link=str(error.path)) from error
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            raise _error(FailureCode.SHARED_OTHER_FILE_SYSTEM, wanted, folder=str(self._shared)) from error
        return True, [_remark(RemarkCode.SHARED_MADE, wanted)]


def _remark(code: RemarkCode, path: PurePath) -> Message:
    return message(code, path=str(path))


def _error(code: FailureCode, wanted: PurePosixPath, **where: str) -> SharingError:
    return SharingError(message(code, path=str(wanted), **where))
