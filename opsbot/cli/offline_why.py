"""`opsbot why` without a daemon: from what the store, systemd and the logs still contain."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Concatenate, ParamSpec, TypeVar

from opsbot.control import replies
from opsbot.control.shapes import WhyReply
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.core.root_cause import find_root_cause
from opsbot.monitoring.root_cause import facts
from opsbot.services.port import LogLine, LogQuery, ManagerError, ServiceState

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Known:
    """The store, the state of the service, and its log. lines: blocks, and may run another event loop."""

    db: sqlite3.Connection
    found: ServiceState
    lines: Callable[[LogQuery], Sequence[LogLine]]

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await asyncio.to_thread(query, self.db, *args, **kwargs)

    async def state(self, service: str) -> ServiceState:
        del service
        return self.found

    async def logs(self, service: str, query: LogQuery) -> Sequence[LogLine]:
        try:
            return await asyncio.to_thread(self.lines, query)
        except OSError as error:
            raise ManagerError(message(ManagerCode.LOG_UNREADABLE, service=service, reason=str(error))) from error


def why(
    db: sqlite3.Connection,
    service: str,
    state: ServiceState,
    lines: Callable[[LogQuery], Sequence[LogLine]],
    redact: Callable[[str], str],
) -> WhyReply:
    known = _Known(db, state, lines)
    found = asyncio.run(facts(known, known, service, datetime.now(UTC), redact))
    return replies.why(find_root_cause(found), service)
