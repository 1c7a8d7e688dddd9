"""Reads a service's log from its end, in bounded time and memory."""

import gzip
import mmap
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from opsbot.services.log_levels import LEVELS, at_least, level_of
from opsbot.services.pattern_search import PatternSearch
from opsbot.services.port import LogLine, LogQuery, ManagerError
from opsbot.services.process_log import NOTE, parts

LINES_AT_MOST = 10_000
TIME_LIMIT = 5.0
_TIME_LENGTH = 24
_TEXT_AT = _TIME_LENGTH + 3
_BATCH = 2000
_RUN_MARK = f" {NOTE} run ".encode()

Bytes = bytes | mmap.mmap


def read(directory: Path, query: LogQuery, run: str | None) -> list[LogLine]:
    """The last lines that fit the query, oldest first. `run`: which one is meant by `this_run`. Blocks.

    A level means lines as grave or graver; a line that names no level counts as info.

    Raises:
        ManagerError: the level or the pattern is none, or it takes too long.
    """
    if query.level is not None and query.level not in LEVELS:
        raise ManagerError(f"{query.level!r} is no level; there are: {', '.join(LEVELS)}")
    until = time.monotonic() + TIME_LIMIT
    wanted = min(max(query.lines, 0), LINES_AT_MOST)
    with ExitStack() as stack:
        search = stack.enter_context(PatternSearch(query.grep, until)) if query.grep else None
        found: list[LogLine] = []
        for batch in _batches(_backwards(directory, query, run), until):
            lines = batch
            if query.level is not None:
                lines = [line for line in lines if at_least(line.level, query.level)]
            if search is not None:
                lines = search.fitting(lines, lambda line: line.text)
            found += lines
            if len(found) >= wanted:
                break
    return found[:wanted][::-1]


def _batches(lines: Iterator[LogLine], until: float) -> Iterator[list[LogLine]]:
    batch: list[LogLine] = []
    size = 64  # most questions are about a few lines at the end
    for line in lines:
        batch.append(line)
        if len(batch) >= size:
            yield batch
            batch, size = [], _BATCH
            if time.monotonic() > until:
                raise ManagerError(f"reading the log took longer than {TIME_LIMIT:.0f} s; ask for less", retry=True)
    if batch:
        yield batch


def _backwards(directory: Path, query: LogQuery, run: str | None) -> Iterator[LogLine]:
    """Lines newest first, as far back as time and run allow."""
    for part in reversed(parts(directory)):
        with ExitStack() as stack:
            data = _content(part, stack.callback)
            if data is None:
                continue
            for line in _of_part(data):
                if query.since is not None and line.at < query.since:
                    return
                if query.this_run and line.run != run:
                    return
                yield line


def _content(part: Path, when_done: Callable[[Callable[[], None]], object]) -> Bytes | None:
    """What the part holds; None when it was dropped meanwhile or holds nothing."""
    packed = part.with_name(part.name + ".gz")
    try:
        if part.suffix == ".gz":
            return gzip.decompress(part.read_bytes())
        with part.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        when_done(mapped.close)
    except FileNotFoundError:
        # Packed between the listing and now.
        return _content(packed, when_done) if part.suffix != ".gz" and packed.exists() else None
    except (ValueError, EOFError, OSError, zlib.error):
        return None  # empty, or a part that a power cut left half written: the others are still worth reading
    return mapped


def _of_part(data: Bytes) -> Iterator[LogLine]:
    end = data.rfind(b"\n")
    run: str | None = None
    while end > 0:
        start = data.rfind(b"\n", 0, end) + 1
        line = data[start:end].decode("utf-8", "replace")
        end = start - 1
        mark, text = line[_TIME_LENGTH + 1 : _TIME_LENGTH + 2], line[_TEXT_AT:]
        if mark == NOTE:
            if text.startswith("run "):
                run = None  # lines before it are another run's
            continue
        if run is None:
            run = _run_before(data, start)
        try:
            at = datetime.strptime(line[: _TIME_LENGTH - 1], "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC)
        except ValueError:
            continue  # a line that a power cut left half written
        yield LogLine(at, text, level_of(text), run)


def _run_before(data: Bytes, end: int) -> str:
    """The run named by the last mark before `end`. A service's own text cannot pass for one: it stands behind ` | `."""
    mark = re.compile(rb"\S{%d}%s(\S+)\n" % (_TIME_LENGTH, re.escape(_RUN_MARK)))
    while (at := data.rfind(_RUN_MARK, 0, end)) >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        found = mark.match(data, start)
        if found is not None and at - start == _TIME_LENGTH:
            return found[1].decode("ascii", "replace")
        end = at
    return ""
