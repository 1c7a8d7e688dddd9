"""A service's log on disk: lines with their times, in parts by day and size.

A part is `2026-11-24.0001.log`, packed `2026-11-24.0001.log.gz`; names sort by age. A line is its time (UTC, to the
millisecond), a mark and the text: `|` a line of the service, `+` the rest of a line longer than 16 KiB, `*` a note of
opsbot, such as `* run ID` where a run or a part begins.
"""

import gzip
import os
import shutil
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

PART_AT_MOST = 8 * 1024 * 1024
PARTS_AT_LEAST = 8
"""At most an eighth of a log is dropped at once."""
LINE, MORE, NOTE = "|", "+", "*"


def stamp(at: datetime) -> str:
    """The time as written before each line: always 24 characters."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"


class ProcessLog:
    """Writes the log in one folder. Blocks: call it in a thread, from one at a time."""

    def __init__(self, directory: Path, keep: timedelta, size: int) -> None:
        """Keep lines for `keep`, and no more than `size` bytes on disk."""
        self.directory = directory
        self._keep = keep
        self._size = size
        self._most = max(4096, min(PART_AT_MOST, size // PARTS_AT_LEAST))
        self._name = ""
        self._fd = -1
        self._length = 0

    @property
    def position(self) -> tuple[str, int]:
        """The current part and its length: where the next line is written."""
        return self._name, self._length

    def open(self, position: tuple[str, int] | None) -> None:
        """Continue at a position; lines after it are dropped. Raises OSError.

        Those are of an opsbot that died before it stored its position.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        for half in self.directory.glob("*.gz.new"):
            half.unlink()
        found = parts(self.directory)
        if position is not None and position[0]:
            for part in [part for part in found if part.name.removesuffix(".gz") > position[0]]:
                part.unlink()
                found.remove(part)
        if found and found[-1].suffix == ".log":
            self._take(found.pop().name)
            if position is not None and position[0] == self._name and position[1] < self._length:
                os.ftruncate(self._fd, position[1])
                self._length = position[1]
        for part in found:
            if part.suffix == ".log":
                _pack(part)

    def _take(self, name: str) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = os.open(self.directory / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._name = name
        self._length = os.fstat(self._fd).st_size

    def due(self, at: datetime) -> bool:
        """Whether the next line needs a new part."""
        return self._length >= self._most or not self._name.startswith(at.astimezone(UTC).date().isoformat())

    def turn(self, at: datetime) -> Path | None:
        """Begin a part; return the previous one, to `pack` once no position refers to it."""
        day = at.astimezone(UTC).date().isoformat()
        before = self._name
        found = parts(self.directory)
        last = found[-1].name if found else ""
        # A clock that was set back must not put a new part before older ones.
        day = max(day, last[: len(day)])
        number = int(last[len(day) + 1 :].split(".")[0]) + 1 if last.startswith(day) else 0
        self._take(f"{day}.{number:04}.log")
        return self.directory / before if before else None

    def write(self, lines: bytes) -> None:
        """Append whole lines, all or none. Raises OSError if the disk is full or broken."""
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self._length)
            raise
        self._length += len(lines)

    def pack(self, part: Path, now: datetime) -> None:
        """Pack a previous part, and drop parts beyond the limits of age and size."""
        _pack(part)
        self.prune(now)

    def prune(self, now: datetime) -> None:
        """Drop parts beyond the limits of age and size, never the current one."""
        oldest = now - self._keep
        found = [part for part in parts(self.directory) if part.name != self._name]
        total = self._length + sum(part.stat().st_size for part in found)
        for part in found:
            day = datetime.combine(date.fromisoformat(part.name[:10]) + timedelta(days=1), time(), UTC)
            size = part.stat().st_size
            if day > oldest and total <= self._size:
                break
            part.unlink()
            total -= size

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def parts(directory: Path) -> list[Path]:
    """The log's parts, oldest first, each once."""
    found: dict[str, Path] = {}
    for path in sorted(directory.glob("*.log*")):
        if path.suffix in {".gz", ".log"}:
            found.setdefault(path.name.removesuffix(".gz"), path)
    return list(found.values())


def _pack(part: Path) -> None:
    new = part.with_name(part.name + ".gz.new")
    with part.open("rb") as source, gzip.open(new, "wb", compresslevel=5) as target:
        shutil.copyfileobj(source, target, 256 * 1024)
    new.replace(part.with_name(part.name + ".gz"))
    part.unlink()
