"""Discord-aware health: what recovery and deploys go by where a service is a Discord bot.

Put together only from what is configured: `discord_bot = true` brings the login budget and the triage, `kind =
"presence"` and `[services.X.drain]` the sightings. Where none of it is, there is nothing here.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from opsbot.config import CheckKind, Config, Service
from opsbot.core.inhibitors import Inhibitor, Inhibitors, first_reason
from opsbot.core.login_budget import LoginStarts
from opsbot.core.message import Message
from opsbot.core.outage import Outage
from opsbot.monitoring.login_budget import LoginBudget
from opsbot.monitoring.outage_detector import OutageDetector
from opsbot.monitoring.outage_inhibitors import OutageInhibitors, VoiceInhibitors
from opsbot.monitoring.presence_cache import PresenceCache
from opsbot.monitoring.service_monitor import ServiceMonitor
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ServiceManager
from opsbot.store import Store

log = logging.getLogger(__name__)

LOOK = timedelta(minutes=1)
"""How often the runs of bots are looked at for starts that no event told of."""


def bots(config: Config) -> dict[str, Service]:
    """The services that log in to Discord."""
    return {name: service for name, service in config.services.items() if service.discord_bot}


def presence_cache_of(config: Config, clock: Callable[[], datetime]) -> PresenceCache | None:
    """The table of presences and voice channels; None where nothing asks for it."""
    services = config.services.values()
    presences = {check.user for one in services for check in one.checks if check.kind is CheckKind.PRESENCE}
    voices = {one.drain.user for one in services if one.drain is not None and one.drain.voice}
    return PresenceCache(config.discord.guild_id, presences, voices, clock) if presences or voices else None


class DiscordBots:
    """The parts, and which inhibitor is asked where."""

    def __init__(
        self,
        services: Mapping[str, Service],
        store: Store,
        feed: ChangeNotifier,
        managers: Mapping[str, ServiceManager],
        clock: Callable[[], datetime],
        presence_cache: PresenceCache | None,
    ) -> None:
        """`services`: those that are Discord bots. Listens to their managers."""
        self._services = services
        self._store = store
        self._managers = managers
        self._clock = clock
        self._looked_at: datetime | None = None
        self._watcher: ServiceMonitor | None = None
        self._ended: list[Outage] = []
        self._keeping: list[Inhibitor] = []
        self.presence_cache = presence_cache
        self.outage_detector = OutageDetector(store, feed, clock)
        self.logins = LoginBudget(services, store, feed, managers, clock)

    def join(self, watcher: ServiceMonitor, inhibitors: Inhibitors) -> None:
        """Put the inhibitors where they are asked."""
        self._watcher = watcher
        excuses = OutageInhibitors(self.outage_detector, watcher.watched, self._managers, self._store, self._clock)
        if self._services:
            inhibitors.spent.append(self.logins.spent)
            inhibitors.restarts += [excuses.restart, self.logins.slow]
            inhibitors.starts.append(self.held)
            inhibitors.last_steps.append(excuses.last_step)
            inhibitors.swings.append(excuses.replace)
            self._keeping = [self.logins.spent, self.logins.slow, excuses.start]
            self.outage_detector.on_end(self._ended.append)
        if self.presence_cache is not None and self.presence_cache.voices:
            drains = VoiceInhibitors(self.presence_cache, watcher.watched, self._managers, self._store, self._clock)
            inhibitors.restarts.append(drains.restart)
            inhibitors.swings.append(drains.swing)

    async def held(self, service: str) -> Message | None:
        """Why opsbot's own supervisor does not start a service again yet; None where it may."""
        return await first_reason(self._keeping, service)

    async def open(self) -> None:
        """Count what was started while opsbot was away."""
        await self.logins.open()

    async def close(self) -> None:
        """Count no more."""
        await self.logins.close()

    async def tick(self) -> None:
        """Judge Discord anew, and look now and then at what runs."""
        await self.outage_detector.tick()
        if self._ended:
            outages, self._ended = self._ended, []
            await self._back(outages)
        now = self._clock()
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at < LOOK:
            self._looked_at = now
            await self.logins.look()

    async def _back(self, outages: Iterable[Outage]) -> None:
        for outage in outages:
            if self._watcher is not None:
                await self._watcher.discord_back(self._services, outage.began, outage.ended or self._clock())

    # What front ends show

    async def starts(self, service: str) -> tuple[LoginStarts, int] | None:
        """The starts of the last 24 hours and the limit; None for a service that is no Discord bot."""
        found = self._services.get(service)
        return None if found is None else (await self.logins.starts(service), found.login_limit)

    def away(self, service: str) -> datetime | None:
        """Since when Discord is away, where that is of interest for the service."""
        return self.outage_detector.away if service in self._services else None
