"""What releases share: `DIRECTORY/shared/PATH`, linked into each at PATH.

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


def link_shared(shared: Path, wanted: PurePosixPath, release: Path, *, guarded: bool) -> list[Message]:
    """Link a shared path into a release; remarks. guarded: others write in `shared`."""
    store, place = shared / wanted, release / wanted
    if not place.parent.resolve().is_relative_to(release.resolve()):
        raise _error(FailureCode.SHARED_LINK_OUTSIDE, wanted, folder=str(wanted.parent))
    there, remarks = (_kept_guarded if guarded else _kept)(shared, release, wanted)
    if not there:
        return remarks
    if place.is_dir() and not place.is_symlink():
        remove(place)
    else:
        place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.relpath(store, place.parent.resolve()))
    return remarks


def _kept(shared: Path, release: Path, wanted: PurePosixPath) -> tuple[bool, list[Message]]:
    """See that it is in `shared`; whether it is, and remarks."""
    store, place = shared / wanted, release / wanted
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


def _kept_guarded(shared: Path, release: Path, wanted: PurePosixPath) -> tuple[bool, list[Message]]:
    """The same if the service's user may have put links into `shared`."""
    try:
        moved = shared_permissions.keep_shared(shared, release, wanted)
        if moved is not False:
            return True, [_remark(RemarkCode.SHARED_FROM_COMMIT, wanted)] if moved else []
        if "." in wanted.name:
            return False, [_remark(RemarkCode.SHARED_MISSING, shared / wanted)]
        shared_permissions.make_shared(shared, wanted)
    except shared_permissions.LedAstrayError as error:
        raise _error(FailureCode.SHARED_NOT_A_FOLDER, wanted, link=str(error.path)) from error
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise _error(FailureCode.SHARED_OTHER_FILE_SYSTEM, wanted, folder=str(shared)) from error
    return True, [_remark(RemarkCode.SHARED_MADE, wanted)]


def _remark(code: RemarkCode, path: PurePath) -> Message:
    return message(code, path=str(path))


def _error(code: FailureCode, wanted: PurePosixPath, **where: str) -> SharingError:
    return SharingError(message(code, path=str(wanted), **where))
