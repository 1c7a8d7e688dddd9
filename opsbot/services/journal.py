"""What units wrote, and what systemd said of them, from the journal."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from opsbot.config import Scope
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.brief_command import CommandError, ask
from opsbot.services.journal_entry import Wording, matches, stop_matches, texts, wanted_fields
from opsbot.services.journal_export import Entry
from opsbot.services.journalctl import read_entries
from opsbot.services.log_levels import at_least, checked_level
from opsbot.services.log_reader import LINES_AT_MOST
from opsbot.services.pattern_search import PatternSearch
from opsbot.services.port import LogLine, LogQuery, ManagerError

TIME_LIMIT = 10.0
"""Seconds for one reading. journalctl gives about 60 000 lines a second to look through."""
LOOK_BACK = timedelta(days=7)
"""How far a search for a level or a pattern goes back by default: as long as the supervisor keeps logs."""
TEXT_AT_MOST = 16 * 1024 * 1024
"""Characters kept of one answer; beyond that the oldest lines are omitted."""
READERS_AT_MOST = 4
TRIES = 5
_RESTART_SECONDS = 0.5
_VERSION_SECONDS = 5.0


class Journal:
    """Reads the journal of the system, or of the user that opsbot runs as."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._fields = f"--output-fields={wanted_fields(scope)}"
        self._readers = asyncio.Semaphore(READERS_AT_MOST)
        self._searches: bool | None = None

    async def lines(self, units: Sequence[str], query: LogQuery, runs: Sequence[str] = ()) -> list[LogLine]:
        """The last lines of these units that match the query, oldest first.

        runs: the invocation ids meant by `this_run`. A level means lines of at least that severity; a line without a
        level counts as info.

        Raises:
            ManagerError: the level or the pattern is invalid, the journal cannot be read, or it takes too long.
        """
        level = checked_level(query.level)
        if not units or query.lines <= 0 or (query.this_run and not runs):
            return []
        wanted, wording = min(query.lines, LINES_AT_MOST), Wording(self._scope, parts=len(units) > 1)
        selected = matches(self._scope, units, runs if query.this_run else ())
        found: list[LogLine] = []
        size = 0
        async with self._readers:
            until = asyncio.get_running_loop().time() + TIME_LIMIT
            search = PatternSearch(query.grep, until) if query.grep else None
            try:
                options = [*await self._options(query, wanted), self._fields]
                async with aclosing(read_entries(options, selected, self._scope, until)) as batches:
                    async for batch in batches:
                        lines = await asyncio.to_thread(_newest_first, batch, wording, level, search)
                        found += lines
                        size += sum(len(line.text) for line in lines)
                        if len(found) >= wanted or size > TEXT_AT_MOST:
                            break
            finally:
                if search is not None:
                    await asyncio.to_thread(search.close)
        return found[:wanted][::-1]

    async def was_stopped(self, unit: str, invocation: str) -> bool:
        """Whether a job stopped this run, for example a restart or the host's shutdown."""
        selected = stop_matches(self._scope, unit, invocation)
        async with self._readers:
            until = asyncio.get_running_loop().time() + TIME_LIMIT
            async with aclosing(read_entries(["--lines=1", self._fields], selected, self._scope, until)) as batches:
                found = [texts(entry) async for batch in batches for entry in batch]
        return any(found)

    def follow(self, units: Sequence[str]) -> AsyncIterator[LogLine]:
        """Lines as they are written, from this call on, until the iterator is closed.

        journald notifies followers at most every 250 ms. A slow reader gets lines later and loses none.
        """
        # Not "the last 0 lines": of a unit that has never written any, journalctl then misses the first ones.
        return self._follow(units, f"--since={_stamp(datetime.now(UTC))}")

    async def _options(self, query: LogQuery, wanted: int) -> list[str]:
        options = ["--reverse"]
        searching = query.level is not None or query.grep is not None
        since = query.since or (datetime.now(UTC) - LOOK_BACK if searching else None)
        if since is not None:
            options.append(f"--since={_stamp(since)}")
        if not searching:
            options.append(f"--lines={wanted}")
        elif query.grep is not None and _is_text(query.grep) and await self._can_search():
            # Five times as fast; its results are searched again. Never a pattern: that could take hours.
            options += [f"--grep={query.grep}", "--case-sensitive=no"]
        return options

    async def _can_search(self) -> bool:
        """Whether this journalctl can search (it may be built without PCRE2)."""
        if self._searches is None:
            try:
                self._searches = "+PCRE2" in (await ask(["journalctl", "--version"], _VERSION_SECONDS)).out
            except CommandError:
                self._searches = False
        return self._searches

    async def _follow(self, units: Sequence[str], position: str) -> AsyncGenerator[LogLine, None]:
        await self.lines(units, LogQuery(lines=1))  # raises if the journal is not readable
        wording, wanted = Wording(self._scope, parts=len(units) > 1), matches(self._scope, units)
        tries = 0
        while True:
            options = ["--follow", "--lines=all", position, self._fields]
            async with aclosing(read_entries(options, wanted, self._scope)) as batches:
                async for batch in batches:
                    for entry in batch:
                        for line in wording.lines(entry):
                            yield line
                        position = f"--after-cursor={entry[b'__CURSOR'].decode()}"
                    tries = 0
            # Another process ended it: continue from its position.
            tries += 1
            if tries >= TRIES:
                raise ManagerError(message(ManagerCode.JOURNALCTL_ENDS), retry=True)
            await asyncio.sleep(_RESTART_SECONDS * tries)


def _newest_first(
    batch: Sequence[Entry], wording: Wording, level: str | None, search: PatternSearch | None
) -> list[LogLine]:
    """The matching lines of entries in reverse order. Blocks."""
    pieces = [(entry, text) for entry in batch for text in reversed(texts(entry))]
    if search is not None:
        pieces = search.fitting(pieces, lambda piece: piece[1])
    lines = [wording.line(*piece) for piece in pieces]
    return lines if level is None else [line for line in lines if at_least(line.level, level)]


def _is_text(pattern: str) -> bool:
    """Whether journalctl finds the same with it."""
    return PatternSearch.is_plain(pattern) and pattern.isascii() and pattern.isprintable()


def _stamp(at: datetime) -> str:
    """A time for `--since=`: seconds since 1970, to the microsecond (systemd.time(7))."""
    whole = max(at - datetime(1970, 1, 1, tzinfo=UTC), timedelta(0))
    return f"@{whole // timedelta(seconds=1)}.{whole.microseconds:06d}"
