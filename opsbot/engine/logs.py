"""The lines that services write, for who may read them: without known secrets, and each once."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace

from opsbot.core.access import Action, Actor
from opsbot.core.deployment import RefusalReason, Refused
from opsbot.core.message import message_of
from opsbot.engine.authorization import Authorization
from opsbot.services.log_levels import at_least
from opsbot.services.port import LogLine, LogQuery, ManagerError, ServiceManager


class LogQueries:
    """Reads the services' logs, and follows them."""

    def __init__(
        self, access: Authorization, managers: Mapping[str, ServiceManager], redact: Callable[[str], str]
    ) -> None:
        self._access = access
        self._managers = managers
        self._redact = redact

    async def lines(self, actor: Actor, service: str, query: LogQuery) -> list[LogLine] | Refused:
        """Lines a service wrote, oldest first."""
        refusal = await self._access.admit(actor, Action.LOGS, service, detail=_asked(query))
        if refusal:
            return refusal
        try:
            lines = await self._managers[service].logs(service, query)
        except ManagerError as error:
            return await self._access.refuse(
                actor, Action.LOGS, service, _asked(query), RefusalReason.BAD_INPUT, message_of(error)
            )
        await self._access.note(actor, Action.LOGS, service, _asked(query), f"{len(lines)} lines")
        return [self._clean(line) for line in lines]

    async def follow(self, actor: Actor, service: str) -> AsyncIterator[LogLine] | Refused:
        """Lines as a service writes them, until the iterator is closed."""
        refusal = await self._access.admit(actor, Action.LOGS, service, detail="follow")
        if refusal:
            return refusal
        await self._access.note(actor, Action.LOGS, service, "follow", "following")
        return self._each_clean(self._managers[service].follow(service))

    async def tail(self, actor: Actor, service: str, query: LogQuery) -> AsyncIterator[LogLine] | Refused:
        """The last lines that fit, then those that follow, until the iterator is closed; what both have comes once.

        Those that follow are sifted by level alone: a hostile pattern would take hours.
        """
        following = await self.follow(actor, service)
        if isinstance(following, Refused):
            return following
        before = await self.lines(actor, service, query)
        if isinstance(before, Refused):
            return before
        return _joined(before, following, query.level)

    async def _each_clean(self, lines: AsyncIterator[LogLine]) -> AsyncIterator[LogLine]:
        async with aclosing(lines):  # type: ignore[type-var]
            async for line in lines:
                yield self._clean(line)

    def _clean(self, line: LogLine) -> LogLine:
        return replace(line, text=self._redact(line.text))


async def _joined(
    before: list[LogLine], following: AsyncIterator[LogLine], level: str | None
) -> AsyncIterator[LogLine]:
    seen = Counter(before)
    last = before[-1].at if before else None
    async with aclosing(following):  # type: ignore[type-var]
        for line in before:
            yield line
        async for line in following:
            if last is not None and line.at <= last and seen[line] > 0:
                seen[line] -= 1
            elif level is None or at_least(line.level, level):
                yield line


def _asked(query: LogQuery) -> str:
    """A question for log lines, as the audit log keeps it."""
    words = [f"{query.lines} lines"]
    if query.since is not None:
        words.append(f"since {query.since:%Y-%m-%d %H:%M} UTC")
    if query.level is not None:
        words.append(f"level {query.level}")
    if query.grep is not None:
        words.append(f"matching {query.grep!r}")
    if query.this_run:
        words.append("this run")
    return ", ".join(words)
