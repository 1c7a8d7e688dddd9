"""The files that install writes: told apart from those of others, compared, written at once or not at all.

Each begins with a line that says where it comes from, with a digest of the rest: a change by hand is seen.
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
    """A file there should be; `text` without its first line."""

    path: Path
    text: str
    source: Path
    """The configuration it follows from."""

    @property
    def whole(self) -> str:
        """The text with its first line."""
        sign = "//" if self.path.suffix == ".rules" else "#"
        return f"{sign} Written by opsbot install from {self.source} [{_digest(self.text)}]\n{self.text}"


class FileState(StrEnum):
    """How what is there relates to what should be."""

    NEW = "new"
    SAME = "same"
    OLD = "changed"
    """Written by an earlier install, as it left it."""
    EDITED = "edited by hand"
    """Written by an earlier install, and changed since."""
    FOREIGN = "not written by opsbot"
    GONE = "no longer needed"
    """Written by an earlier install, as it left it, for what is configured no more."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file, what there is and what there should be. `after` is "" where it goes."""

    path: Path
    standing: FileState
    before: str
    after: str

    def diff(self) -> Iterator[str]:
        """A unified diff, line by line."""
        before, after = self.before.splitlines(), self.after.splitlines()
        name = str(self.path)
        old, new = (name if self.before else "/dev/null"), (name if self.after else "/dev/null")
        return difflib.unified_diff(before, after, old, new, lineterm="")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def written_by_install(text: str) -> bool | None:
    """Whether the text is as install left it; False where it was changed since, None where it is not install's."""
    first, _, rest = text.partition("\n")
    match = _MARK.fullmatch(first)
    return None if match is None else match["digest"] == _digest(rest)


def source_of(text: str) -> str:
    """The configuration that a file of install's follows from; "" where it does not say."""
    match = _MARK.fullmatch(text.partition("\n")[0])
    return "" if match is None else match["source"]


def compared(wanted: Wanted) -> FileChange:
    """What is to be done about one file."""
    before = _read(wanted.path)
    if before is None:
        return FileChange(wanted.path, FileState.NEW, "", wanted.whole)
    ours = written_by_install(before)
    standing = FileState.FOREIGN if ours is None else FileState.OLD if ours else FileState.EDITED
    if before == wanted.whole:
        standing = FileState.SAME if _mode(wanted.path) == _MODE else FileState.OLD
    return FileChange(wanted.path, standing, before, wanted.whole)


def left_over(candidates: list[Path]) -> list[FileChange]:
    """Those of the files that install wrote and that should go."""
    found = []
    for path in candidates:
        before = _read(path)
        ours = None if before is None else written_by_install(before)
        if before is not None and ours is not None:
            found.append(FileChange(path, FileState.GONE if ours else FileState.EDITED, before, ""))
    return found


def _read(path: Path) -> str | None:
    """The text; None where there is no file. What is no plain file is nobody's but its maker's: "", never install's."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return None


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def carry_out(change: FileChange) -> None:
    """Write or remove the file.

    Raises:
        OSError: it cannot be.
    """
    if not change.after:
        change.path.unlink(missing_ok=True)
        return
    change.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    # No name that systemd or polkit would read, should this be the last thing the host does.
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
