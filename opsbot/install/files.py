"""Compare, write and remove the files that `opsbot install` manages.

Each file starts with a marker line that names the configuration and holds a digest of the rest. The marker
distinguishes managed files from foreign ones and reveals manual changes. Writes are atomic.
"""

import difflib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_MARK = re.compile(r"(?:#|//) Written by opsbot install from (?P<source>.*) \[(?P<digest>[0-9a-f]{32})\]")
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that must exist; `text` excludes the marker line."""

    path: Path
    text: str
    source: Path
    """The configuration it was rendered from."""

    @property
    def whole(self) -> str:
        sign = "//" if self.path.suffix == ".rules" else "#"
        return f"{sign} Written by opsbot install from {self.source} [{_digest(self.text)}]\n{self.text}"


class FileState(StrEnum):
    """How the existing file relates to the wanted one."""

    NEW = "new"
    SAME = "same"
    OLD = "changed"
    """Written by an earlier install and unmodified since."""
    EDITED = "edited by hand"
    """Written by an earlier install and modified since."""
    FOREIGN = "not written by opsbot"
    GONE = "no longer needed"
    """Written by an earlier install, unmodified, and no longer needed by the configuration."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file before and after the change. `after` is "" if the file is removed."""

    path: Path
    state: FileState
    before: str
    after: str

    def diff(self) -> Iterator[str]:
        before, after = self.before.splitlines(), self.after.splitlines()
        name = str(self.path)
        old, new = (name if self.before else "/dev/null"), (name if self.after else "/dev/null")
        return difflib.unified_diff(before, after, old, new, lineterm="")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def written_by_install(text: str) -> bool | None:
    """Whether a managed file is unmodified; None if the file is not managed."""
    first, _, rest = text.partition("\n")
    match = _MARK.fullmatch(first)
    return None if match is None else match["digest"] == _digest(rest)


def compared(wanted: Wanted) -> FileChange:
    before = _read(wanted.path)
    if before is None:
        return FileChange(wanted.path, FileState.NEW, "", wanted.whole)
    ours = written_by_install(before)
    state = FileState.FOREIGN if ours is None else FileState.OLD if ours else FileState.EDITED
    if before == wanted.whole:
        state = FileState.SAME if _mode(wanted.path) == _MODE else FileState.OLD
    return FileChange(wanted.path, state, before, wanted.whole)


def left_over(candidates: list[Path]) -> list[FileChange]:
    """Select the managed files among the candidates, as removals."""
    found = []
    for path in candidates:
        before = _read(path)
        ours = None if before is None else written_by_install(before)
        if before is not None and ours is not None:
            found.append(FileChange(path, FileState.GONE if ours else FileState.EDITED, before, ""))
    return found


def _read(path: Path) -> str | None:
    """Read a file; None if missing, "" if it is not a regular file."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return None


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def carry_out(change: FileChange) -> None:
    """Write or remove the file. Raises OSError if that fails."""
    if not change.after:
        change.path.unlink(missing_ok=True)
        return
    change.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    # A name that neither systemd nor polkit reads, in case the host crashes here.
    handle, name = tempfile.mkstemp(prefix=".opsbot-install-", suffix=".new", dir=change.path.parent)
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(change.after)
            file.flush()
            os.fchmod(file.fileno(), _MODE)
            os.fsync(file.fileno())
        new.replace(change.path)
    finally:
        new.unlink(missing_ok=True)
