"""All that the dashboard shows, gathered at most once a second however many watch."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opsbot.control import replies
from opsbot.control.shapes import Gateway, HostReply, NoticeReply, Ping, Snapshot
from opsbot.core.model import Notification
from opsbot.store import ledger, outbox

if TYPE_CHECKING:
    from opsbot.engine import Engine

DEPLOYMENTS = 8
ALERTS = 8
FRESH = timedelta(milliseconds=900)


def troubles(notices: Iterable[Notification]) -> list[Notification]:
    """The latest notices about trouble; how deployments ended stands in a list of its own."""
    return [notice for notice in notices if notice.kind not in {"deployment", "outcome"}][:ALERTS]


class Snapshots:
    """Gathers snapshots for the dashboards that watch."""

    def __init__(
        self, engine: "Engine", clock: Callable[[], datetime], ping: Ping, gateway: Callable[[], GatewaySource] | None
    ) -> None:
        """Nothing is gathered yet."""
        self._engine = engine
        self._clock = clock
        self._ping = ping
        self._gateway = gateway
        self._last: tuple[datetime, Snapshot] | None = None
        self._gathering = asyncio.Lock()

    async def latest(self) -> Snapshot:
        """A snapshot less than a second old."""
        async with self._gathering:
            now = self._clock()
            if self._last is None or not timedelta(0) <= now - self._last[0] < FRESH:
                self._last = (now, await self._gather(now))
            return self._last[1]

    async def _gather(self, now: datetime) -> Snapshot:
        engine = self._engine
        services = [replies.service_reply(one) for one in await engine.standings.of(list(engine.config.services))]
        host = await asyncio.to_thread(engine.standings.host)
        recent = await engine.store.read(ledger.deployments, None, DEPLOYMENTS)
        return Snapshot(
            now,
            self._ping,
            HostReply(engine.config.host or socket.gethostname(), host),
            services,
            recent,
            [await self._alert(notice) for notice in troubles(await engine.look.alerts(ALERTS * 4))],
            await self._gateway_reply(),
        )

    async def _alert(self, notice: Notification) -> NoticeReply:
        incident = None
        if notice.subject is not None and notice.kind in {"incident", "recovered", "call"}:
            incident = await self._engine.look.incident(notice.subject)
        return replies.notice_reply(notice, incident)

    async def _gateway_reply(self) -> GatewaySource | None:
        if self._gateway is None:
            return None
        waiting, _ = await self._engine.store.read(outbox.waiting, self._engine.clock())
        return replace(self._gateway(), waiting=waiting)
