"""Counts the starts of services that are Discord bots, and keeps opsbot's own restarts within their login budget.

A start is counted when a new run is seen: by an event of the manager, once a minute, or at opsbot's start for what
happened while it was away. systemd's count of automatic restarts (NRestarts) says how many came in between. opsbot
cannot slow down systemd's Restart=, and stops no service by itself: it sends a warning.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from opsbot.config import Service
from opsbot.core.incident import ServiceNotice
from opsbot.core.inhibitors import InhibitorCode
from opsbot.core.login_budget import (
    SLOW_FROM,
    STOP_AT,
    LoginBudgetState,
    LoginStarts,
    LoginThreshold,
    allowance,
)
from opsbot.core.message import Message, message
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.runtime.tasks import BackgroundTasks
from opsbot.services.port import Activity, Happening, ManagerError, ServiceEvent, ServiceManager, ServiceState
from opsbot.store import Store, discord_history, outbox

log = logging.getLogger(__name__)


class LoginBudget:
    """The login budgets of the services with `discord_bot = true`."""

    def __init__(
        self,
        services: Mapping[str, Service],
        store: Store,
        feed: ChangeNotifier,
        managers: Mapping[str, ServiceManager],
        clock: Callable[[], datetime],
    ) -> None:
        """`services`: those that are Discord bots. Listens to their managers; counts nothing before `open`."""
        self._services = services
        self._store = store
        self._feed = feed
        self._managers = managers
        self._clock = clock
        self._open = False
        self.background = BackgroundTasks(log)
        for manager in {id(managers[name]): managers[name] for name in services}.values():
            manager.listen(self._heard)

    async def open(self) -> None:
        """Count what was started while opsbot was away, and count on from there."""
        self._open = True
        await self.count()

    async def close(self) -> None:
        """Count no more; what is being written is written."""
        self._open = False
        if self.background.tasks:
            await asyncio.wait(self.background.tasks)

    def _heard(self, event: ServiceEvent) -> None:
        if self._open and event.what is Happening.STARTED and event.service in self._services:
            self.background.run(self._saw(event.service, event.state), f"starts:{event.service}")

    async def count(self) -> None:
        """Count what runs, whatever was heard of it."""
        for name in self._services:
            try:
                await self._saw(name, await self._managers[name].state(name))
            except ManagerError as error:
                log.warning("%s: its starts cannot be counted now: %s", name, error)

    async def _saw(self, name: str, state: ServiceState) -> None:
        service, now = self._services[name], self._clock()
        # What asks before it restarts is slowed down by the budget.
        foreign = not service.manager.capabilities.asks_before_restarts
        parts = state.parts or (("", state),)
        runs: dict[str, LoginThreshold] = {
            part: LoginThreshold(one.run, one.restarts if foreign else 0)
            for part, one in parts
            if one.run and one.activity is not Activity.STOPPED
        }
        if not runs:
            return
        began = state.started_at
        at = began if began is not None and began < now else now
        started = await self._store.write(discord_history.record_runs, name, runs, at)
        if started:
            await self._warn(name, await self.starts(name), now)

    async def starts(self, name: str) -> LoginStarts:
        """The starts of the last 24 hours."""
        return await self._store.read(discord_history.starts, name, self._clock())

    async def _warn(self, name: str, starts: LoginStarts, now: datetime) -> None:
        """Say, once a day for each threshold, that a budget is being burnt by what opsbot cannot slow down."""
        service = self._services[name]
        crossed = [share for share in (STOP_AT, SLOW_FROM) if starts.count >= share * service.login_limit]
        if not crossed or not starts.by_manager:
            return
        spent = crossed[0] == STOP_AT
        notice = message(
            ServiceNotice.LOGINS,
            service=name,
            units=service.units,
            starts=starts.count,
            by_manager=starts.by_manager,
            limit=service.login_limit,
            spent=spent,
        )
        key, level = f"logins:{name}:{crossed[0]}:{now:%Y%m%d}", "error" if spent else "warning"
        await self._store.write(outbox.put_notice, key, name, notice, now, level)
        self._feed.publish("notice")

    # Inhibitors

    async def spent(self, name: str) -> Message | None:
        """Why no automatic start is made any more; None while there may be."""
        if name not in self._services:
            return None
        starts, limit = await self.starts(name), self._services[name].login_limit
        if allowance(starts, limit, self._clock()).standing is not LoginBudgetState.SPENT:
            return None
        return message(InhibitorCode.LOGINS_SPENT, starts=starts.count, by_manager=starts.by_manager, limit=limit)

    async def slow(self, name: str) -> Message | None:
        """Why an automatic start has to wait; None where it may be made now."""
        if name not in self._services:
            return None
        starts, limit = await self.starts(name), self._services[name].login_limit
        due = allowance(starts, limit, self._clock()).due
        if due is None:
            return None
        return message(InhibitorCode.LOGINS_LOW, starts=starts.count, limit=limit, due=due)
