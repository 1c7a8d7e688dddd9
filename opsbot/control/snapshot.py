"""All that the dashboard shows, gathered at most once a second however many watch."""

import asyncio
import socket
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opsbot.control import replies
from opsbot.control.shapes import GatewayReply, HostReply, NotificationReply, PingReply, Snapshot
from opsbot.core.deployment import Deployment
from opsbot.store import incident_repository, ledger, outbox

if TYPE_CHECKING:
    from opsbot.engine import Engine

SHOWN = 8
"""Deployments, and notifications about incidents, at most."""
FRESH = timedelta(milliseconds=900)


def recent(db: sqlite3.Connection) -> tuple[list[Deployment], list[NotificationReply]]:
    notices = [one for one in outbox.recent(db, SHOWN * 4) if one.kind not in {"deployment", "outcome"}][:SHOWN]
    about = {one.id: one.subject for one in notices if one.kind in {"incident", "recovered", "call"} and one.subject}
    alerts = [
        replies.notification_reply(one, incident_repository.incident(db, about[one.id]) if one.id in about else None)
        for one in notices
    ]
    return ledger.deployments(db, None, SHOWN), alerts


class Snapshots:
    """Gathers snapshots for the dashboards that watch."""

    def __init__(
        self,
        engine: "Engine",
        clock: Callable[[], datetime],
        ping: PingReply,
        gateway: Callable[[], object] | None,
    ) -> None:
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
        services = [replies.service_reply(one) for one in await engine.statuses.of(list(engine.config.services))]
        host = await asyncio.to_thread(engine.statuses.host)
        reply = HostReply(engine.config.host or socket.gethostname(), host)
        found = await engine.store.read(recent)
        return Snapshot(now, self._ping, reply, services, *found, await self._gateway_reply())

    async def _gateway_reply(self) -> GatewayReply | None:
        if self._gateway is None:
            return None
        waiting, _ = await self._engine.store.read(outbox.waiting, self._engine.clock())
        return replies.like(GatewayReply, self._gateway(), waiting=waiting)
