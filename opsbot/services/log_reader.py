"""Reads a service's log from its end, in bounded time and memory."""

import gzip
import mmap
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path

from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.log_levels import at_least, checked_level, level_of
from opsbot.services.pattern_search import PatternSearch
from opsbot.services.port import LogLine, LogQuery, ManagerError
from opsbot.services.process_log import NOTE, parts, stamp

LINES_AT_MOST = 10_000
TIME_LIMIT = 5.0
_TIME_LENGTH = 24
_TEXT_AT = _TIME_LENGTH + 3
_BATCH = 2000
_RUN_MARK = f" {NOTE} run ".encode()

Bytes = bytes | mmap.mmap
Entry = tuple[str, str, str]
"""A line during a search: its time as written (which sorts correctly), its text and its run."""


def read(directory: Path, query: LogQuery, run: str | None) -> list[LogLine]:
    """The last lines that match the query, oldest first. Blocks.

    run: the one that `this_run` means. A level means lines of at least that severity; a line without a level counts as
    info.

    Raises:
        ManagerError: the level or the pattern is invalid, or it takes too long.
    """
    level = checked_level(query.level)
    until = time.monotonic() + TIME_LIMIT
    wanted = min(max(query.lines, 0), LINES_AT_MOST)
    with ExitStack() as stack:
        search = stack.enter_context(closing(PatternSearch(query.grep, until))) if query.grep else None
        found: list[Entry] = []
        for batch in _batches(_backwards(directory, query, run), until):
            entries = batch
            if level is not None:
                entries = [entry for entry in entries if at_least(level_of(entry[1]), level)]
            found += entries if search is None else search.fitting(entries, lambda entry: entry[1])
            if len(found) >= wanted:
                break
    lines = (_line(entry) for entry in reversed(found[:wanted]))
    return [line for line in lines if line is not None]


def _line(entry: Entry) -> LogLine | None:
    at, text, run = entry
    try:
        return LogLine(datetime.fromisoformat(at), text, level_of(text), run)
    except ValueError:
        return None  # a line cut off by a power cut


def _batches(lines: Iterator[Entry], until: float) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 64  # most queries are about a few lines at the end
    for line in lines:
        batch.append(line)
        if len(batch) >= size:
            yield batch
            batch, size = [], _BATCH
            if time.monotonic() > until:
                raise ManagerError(message(ManagerCode.LOG_TIMEOUT, within=timedelta(seconds=TIME_LIMIT)), retry=True)
    if batch:
        yield batch


def _backwards(directory: Path, query: LogQuery, run: str | None) -> Iterator[Entry]:
    """Lines, newest first, as far back as the query allows."""
    since = None if query.since is None else stamp(query.since)
    for part in reversed(parts(directory)):
        data = _content(part)
        for entry in _of_part(data) if data is not None else ():
            if (since is not None and entry[0] < since) or (query.this_run and entry[2] != run):
                return
            yield entry


def _content(part: Path) -> Bytes | None:
    """The contents of a part; None when it was deleted meanwhile, or is empty."""
    packed = part.with_name(part.name + ".gz")
    try:
        if part.suffix == ".gz":
            return gzip.decompress(part.read_bytes())
        with part.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        # Packed between the listing and now.
        return _content(packed) if part.suffix != ".gz" and packed.exists() else None
    except (ValueError, EOFError, OSError, zlib.error):
        return None  # empty, or cut off by a power cut: the other parts are still readable


def _of_part(data: Bytes) -> Iterator[Entry]:
    end = data.rfind(b"\n")
    run: str | None = None
    while end > 0:
        start = data.rfind(b"\n", 0, end) + 1
        line = data[start:end].decode("utf-8", "replace")
        end = start - 1
        mark, text = line[_TIME_LENGTH + 1 : _TIME_LENGTH + 2], line[_TEXT_AT:]
        if mark == NOTE:
            if text.startswith("run "):
                run = None  # lines before it belong to another run
            continue
        if run is None:
            run = _run_before(data, start)
        yield line[:_TIME_LENGTH], text, run


def _run_before(data: Bytes, end: int) -> str:
    """The run named by the last mark before `end`, which no service can imitate."""
    mark = re.compile(rb"\S{%d}%s(\S+)\n" % (_TIME_LENGTH, re.escape(_RUN_MARK)))
    while (at := data.rfind(_RUN_MARK, 0, end)) >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        found = mark.match(data, start)
        if found is not None and at - start == _TIME_LENGTH:
            return found[1].decode("ascii", "replace")
        end = at
    return ""
