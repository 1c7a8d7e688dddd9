"""What units wrote, and what systemd said of them, from the journal."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import ExitStack, aclosing, closing
from datetime import UTC, datetime, timedelta

from opsbot.config import Scope
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.journal_entry import Wording, matches, stop_matches, texts, wanted_fields
from opsbot.services.journalctl import Reading, following, searches
from opsbot.services.log_levels import LEVELS, at_least
from opsbot.services.log_reader import LINES_AT_MOST
from opsbot.services.pattern_search import PatternSearch
from opsbot.services.port import LogLine, LogQuery, ManagerError

TIME_LIMIT = 10.0
"""Seconds for one reading. journalctl gives about 60 000 lines a second to look through."""
LOOK_BACK = timedelta(days=7)
"""How far a search for a level or a pattern goes back where no time is given: as far as the supervisor keeps logs."""
TEXT_AT_MOST = 16 * 1024 * 1024
"""Characters kept of one answer: of more, the oldest lines are left out."""
READERS_AT_MOST = 4
TRIES = 5
_RESTART_SECONDS = 0.5


def _now() -> datetime:
    return datetime.now(UTC)


class Journal:
    """Reads the journal of one systemd: the system's, or the one of the user opsbot runs as."""

    def __init__(self, scope: Scope, clock: Callable[[], datetime] = _now) -> None:
        self._scope = scope
        self._clock = clock
        self._fields = f"--output-fields={wanted_fields(scope)}"
        self._readers = asyncio.Semaphore(READERS_AT_MOST)
        self._searches: bool | None = None

    async def lines(self, units: Sequence[str], query: LogQuery, runs: Sequence[str] = ()) -> list[LogLine]:
        """The last lines of these units that fit the query, oldest first.

        runs: the invocation ids that are meant by `this_run`. A level means lines as grave or graver; a line that names
        no level counts as info.

        Raises:
            ManagerError: the level or the pattern is none, the journal cannot be read, or it takes too long.
        """
        if query.level is not None and query.level not in LEVELS:
            raise ManagerError(message(ManagerCode.UNKNOWN_LEVEL, level=query.level, levels=tuple(LEVELS)))
        if not units or query.lines <= 0 or (query.this_run and not runs):
            return []
        return await self._aside(lambda reading: self._read(reading, units, query, runs if query.this_run else ()))

    async def was_stopped(self, unit: str, invocation: str) -> bool:
        """Whether systemd began to stop this run of the unit, because it was told to; one that ends by itself is not.

        A restart and the end of the host stop a run, too.

        Raises:
            ManagerError: the journal cannot be read.
        """

        def look(reading: Reading) -> list[LogLine]:
            wording = Wording(self._scope, parts=False)
            options = ["--lines=1", self._fields]
            with closing(reading.entries(options, stop_matches(self._scope, unit, invocation))) as batches:
                return [line for batch in batches for entry in batch for line in wording.lines(entry)]

        return bool(await self._aside(look))

    def follow(self, units: Sequence[str]) -> AsyncIterator[LogLine]:
        """Lines as they are written, from the moment of this call on, until the iterator is closed.

        journald wakes who follows every 250 ms at most. None is lost: a slow reader gets them later.

        Raises:
            ManagerError: the journal cannot be read.
        """
        # Not "the last 0 lines": of a unit that has never written any, journalctl then misses the first ones.
        return self._follow(tuple(units), f"--since={_stamp(self._clock())}")

    async def _aside(self, work: Callable[[Reading], list[LogLine]]) -> list[LogLine]:
        async with self._readers:
            reading = Reading(self._scope, time.monotonic() + TIME_LIMIT)
            try:
                return await asyncio.to_thread(work, reading)
            except asyncio.CancelledError:
                reading.stop()
                raise

    def _read(self, reading: Reading, units: Sequence[str], query: LogQuery, runs: Sequence[str]) -> list[LogLine]:
        """Newest first, until there are enough. Blocks."""
        wanted, wording = min(query.lines, LINES_AT_MOST), Wording(self._scope, parts=len(units) > 1)
        found: list[LogLine] = []
        size = 0
        with ExitStack() as stack:
            search = stack.enter_context(PatternSearch(query.grep, reading.until)) if query.grep else None
            reading.search = search
            options = [*self._options(query, wanted), self._fields]
            batches = stack.enter_context(closing(reading.entries(options, matches(self._scope, units, runs))))
            for batch in batches:
                pieces = [(entry, text) for entry in batch for text in reversed(texts(entry))]
                if search is not None:
                    pieces = search.fitting(pieces, lambda piece: piece[1])
                lines = [wording.line(*piece) for piece in pieces]
                if query.level is not None:
                    level = query.level
                    lines = [line for line in lines if at_least(line.level, level)]
                found += lines
                size += sum(len(line.text) for line in lines)
                if len(found) >= wanted or size > TEXT_AT_MOST:
                    break
        return found[:wanted][::-1]

    def _options(self, query: LogQuery, wanted: int) -> list[str]:
        options = ["--reverse"]
        searching = query.level is not None or query.grep is not None
        since = query.since or (self._clock() - LOOK_BACK if searching else None)
        if since is not None:
            options.append(f"--since={_stamp(since)}")
        if not searching:
            options.append(f"--lines={wanted}")
        elif query.grep is not None and _is_text(query.grep) and self._can_search():
            # Five times as fast; what it finds is looked through all the same. Never a pattern: that could take hours.
            options += [f"--grep={query.grep}", "--case-sensitive=no"]
        return options

    def _can_search(self) -> bool:
        if self._searches is None:
            self._searches = searches()
        return self._searches

    async def _follow(self, units: tuple[str, ...], place: str) -> AsyncGenerator[LogLine, None]:
        await self.lines(units, LogQuery(lines=1))  # who may not read it is told so, and not left waiting
        wording, wanted = Wording(self._scope, parts=len(units) > 1), matches(self._scope, units)
        tries = 0
        while True:
            options = ["--lines=all", place, self._fields]
            async with aclosing(following(options, wanted, self._scope)) as batches:
                async for batch in batches:
                    for entry in batch:
                        for line in wording.lines(entry):
                            yield line
                        place = f"--after-cursor={entry[b'__CURSOR'].decode()}"
                    tries = 0
            # It was ended by somebody else: go on where it was.
            tries += 1
            if tries >= TRIES:
                raise ManagerError(message(ManagerCode.JOURNALCTL_ENDS), retry=True)
            await asyncio.sleep(_RESTART_SECONDS * tries)


def _is_text(pattern: str) -> bool:
    """Whether journalctl finds the same with it."""
    return PatternSearch.is_plain(pattern) and pattern.isascii() and pattern.isprintable()


def _stamp(at: datetime) -> str:
    """A time as `--since=` takes it: seconds since 1970, to the microsecond (systemd.time(7))."""
    whole = max(at - datetime(1970, 1, 1, tzinfo=UTC), timedelta(0))
    return f"@{whole // timedelta(seconds=1)}.{whole.microseconds:06d}"
