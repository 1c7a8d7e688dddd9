"""Discord-aware health: what recovery and deploys go by where a service is a Discord bot.

Created only from what is configured: `discord_bot = true` brings the login budget and the outage detector, `kind =
"presence"` and `[services.X.drain]` the presence cache.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from opsbot.config import CheckKind, Config, Service
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.login_budget import LoginStarts
from opsbot.core.message import Message
from opsbot.monitoring.login_budget import LoginBudget
from opsbot.monitoring.outage_detector import OutageDetector
from opsbot.monitoring.outage_inhibitors import OutageInhibitors, VoiceInhibitors
from opsbot.monitoring.presence_cache import PresenceCache
from opsbot.monitoring.service_monitor import ServiceMonitor
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ServiceManager
from opsbot.store import Store

LOOK = timedelta(minutes=1)
"""How often starts are counted that no event reported."""


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
        watcher: ServiceMonitor,
        inhibitors: Inhibitors,
    ) -> None:
        """`services`: those that are Discord bots. Listens to their managers, and adds to the inhibitors."""
        self._services = services
        self._clock = clock
        self._looked_at: datetime | None = None
        self._watcher = watcher
        self.presence_cache = presence_cache
        self.outage_detector = OutageDetector(store, feed, clock)
        self.logins = LoginBudget(services, store, feed, managers, clock)
        outages = OutageInhibitors(self.outage_detector, watcher.watched, managers, store, clock)
        self._starts = [self.logins.spent, self.logins.slow, outages.start]
        if services:
            inhibitors.spent.append(self.logins.spent)
            inhibitors.restarts += [outages.restart, self.logins.slow]
            inhibitors.starts.append(self.start)
            inhibitors.last_steps.append(outages.last_step)
            inhibitors.swings.append(outages.replace)
        if presence_cache is not None and presence_cache.voices:
            voices = VoiceInhibitors(presence_cache, watcher.watched, managers, store, clock)
            inhibitors.restarts.append(voices.restart)
            inhibitors.swings.append(voices.swing)

    async def start(self, service: str) -> Message | None:
        """Why opsbot's own supervisor does not start a service again yet; None where it may."""
        return await first_reason(self._starts, service)

    async def open(self) -> None:
        """Count what was started while opsbot was away."""
        await self.logins.open()

    async def close(self) -> None:
        """Count no more."""
        await self.logins.close()

    async def tick(self) -> None:
        """Judge Discord again, and now and then count what runs."""
        outage = await self.outage_detector.tick()
        if outage is not None and self._services:
            await self._watcher.discord_back(self._services, outage.began, outage.ended or self._clock())
        now = self._clock()
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at < LOOK:
            self._looked_at = now
            await self.logins.count()

    # What front ends show

    async def starts(self, service: str) -> tuple[LoginStarts, int] | None:
        """The starts of the last 24 hours and the limit; None for a service that is no Discord bot."""
        found = self._services.get(service)
        return None if found is None else (await self.logins.starts(service), found.login_limit)

    def away(self, service: str) -> datetime | None:
        """Since when Discord is away, where that is of interest for the service."""
        return self.outage_detector.away if service in self._services else None
