"""What an outage of Discord excuses, and what a voice channel full of people holds up.

An outage explains a check that goes by the bot's own connection: `presence`, and `http` and `command`, behind which
most often is "am I connected?". It does not explain a dead or frozen process, a closed port, or memory: those are
the service's own. So one that runs and fails only what is explained is left alone until Discord is back, and a little
longer; one that died is started again, for it may have died of something else and do other work, but ever more seldom;
and neither is rolled back or escalated before Discord is back to show whether it helped.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from opsbot.config import CheckKind, Drain
from opsbot.core.health import Verdict
from opsbot.core.inhibitors import InhibitorCode
from opsbot.core.message import Message, message
from opsbot.core.outage import AFTERMATH, dead_spacing
from opsbot.deploy.waiting import waiting_since
from opsbot.monitoring.monitored_service import MonitoredService
from opsbot.monitoring.outage_detector import OutageDetector
from opsbot.monitoring.presence_cache import PresenceCache, VoiceCompany
from opsbot.services.port import Activity, ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, discord_history

EXPLAINED = frozenset({CheckKind.PRESENCE, CheckKind.HTTP, CheckKind.COMMAND})
BLIND = timedelta(minutes=1)
"""How long a deploy waits to learn whether the bot sits in a voice channel, where opsbot itself is not connected."""


async def _state(manager: ServiceManager, name: str) -> ServiceState | None:
    try:
        return await manager.state(name)
    except ManagerError:
        return None


class OutageInhibitors:
    """What an outage of Discord keeps recovery and deploys from."""

    def __init__(
        self,
        outage_detector: OutageDetector,
        watched: Mapping[str, MonitoredService],
        managers: Mapping[str, ServiceManager],
        store: Store,
        clock: Callable[[], datetime],
    ) -> None:
        self._outage_detector = outage_detector
        self._watched = watched
        self._managers = managers
        self._store = store
        self._clock = clock

    def _shadowed(self, name: str) -> Message | None:
        """What is wrong with Discord; None where that excuses nothing."""
        outage = self._outage_detector.outage
        if outage is None or not self._watched[name].service.discord_bot or not outage.shadows(self._clock()):
            return None
        if outage.ended is None:
            return message(InhibitorCode.DISCORD_AWAY, since=outage.began)
        return message(InhibitorCode.DISCORD_BACK, since=outage.ended, until=outage.ended + AFTERMATH)

    def _doubted(self, name: str) -> Message | None:
        """That it is not known yet whether Discord is away: a bot fails as fast as opsbot sees it."""
        since = self._outage_detector.doubt
        if since is None or not self._watched[name].service.discord_bot:
            return None
        return message(InhibitorCode.DISCORD_DOUBTED, since=since)

    def _explained(self, name: str) -> bool:
        """Whether all that is wrong with a running service can be Discord's."""
        watched = self._watched[name]
        down = {check.kind for check in watched.checks.down()}
        return bool(down) and down <= EXPLAINED

    async def restart(self, name: str) -> Message | None:
        """Why recovery does not restart it now."""
        said = self._shadowed(name) or self._doubted(name)
        state = await _state(self._managers[name], name) if said else None
        if said is None or state is None:
            return None
        if state.activity is Activity.RUNNING and self._explained(name):
            return said
        return await self.start(name)

    async def start(self, name: str) -> Message | None:
        """Why one that died, or fails what Discord does not explain, is not started again yet."""
        outage, now = self._outage_detector.outage, self._clock()
        said = self._shadowed(name)
        if said is None or outage is None or outage.ended is not None:
            return None
        tries = await self._store.read(discord_history.starts_after, name, outage.began)
        last = (await self._store.read(discord_history.starts, name, now)).last
        due = now if last is None else last + dead_spacing(tries)
        if last is None or not last <= now < due:
            return None
        return message(InhibitorCode.START_SPACED, since=outage.began, due=due)

    async def last_step(self, name: str) -> Message | None:
        """Why it is neither rolled back nor escalated."""
        said = self._shadowed(name)
        state = await _state(self._managers[name], name) if said else None
        if said is None or state is None:
            return None
        return said if state.activity is not Activity.RUNNING or self._explained(name) else None

    async def replace(self, name: str) -> Message | None:
        """Why no new release replaces it: its checks could not verify it."""
        outage = self._outage_detector.outage
        if outage is None or outage.ended is not None or not self._watched[name].service.discord_bot:
            return None
        return message(InhibitorCode.RELEASE_UNVERIFIABLE, since=outage.began)


class VoiceInhibitors:
    """What waits for a voice channel to empty."""

    def __init__(
        self,
        presence_cache: PresenceCache,
        watched: Mapping[str, MonitoredService],
        managers: Mapping[str, ServiceManager],
        store: Store,
        clock: Callable[[], datetime],
    ) -> None:
        self._presence_cache = presence_cache
        self._watched = watched
        self._managers = managers
        self._store = store
        self._clock = clock

    def _of(self, name: str) -> Drain | None:
        drain = self._watched[name].service.drain
        return drain if drain is not None and drain.voice else None

    async def swing(self, name: str) -> Message | None:
        """Why a deploy does not replace what runs now; None once nothing speaks against it, or the limit is reached."""
        drain, now = self._of(name), self._clock()
        if drain is None or not await self._well(name):
            return None
        since = await self._store.read(waiting_since, name) or now
        until = since + drain.limit
        if now >= until:
            return None
        lost = self._presence_cache.lost_at
        if lost is not None:
            blind = max(since, lost) + BLIND
            return message(InhibitorCode.VOICE_UNKNOWN) if now < min(blind, until) else None
        return _occupied(self._presence_cache.company(drain.user), until)

    async def restart(self, name: str) -> Message | None:
        """Why recovery does not restart one that works, and only takes too much memory."""
        drain, watched = self._of(name), self._watched[name]
        if drain is None or watched.incident is None or not _only_fat(watched):
            return None
        state = await _state(self._managers[name], name)
        until = watched.incident.opened_at + drain.limit
        if state is None or state.activity is not Activity.RUNNING or self._clock() >= until:
            return None
        return _occupied(self._presence_cache.company(drain.user), until)

    async def _well(self, name: str) -> bool:
        state, watched = await _state(self._managers[name], name), self._watched[name]
        down = any(health.verdict is Verdict.DOWN for health in watched.checks.healths.values())
        # What flaps has an incident until it is calm, and may work all the while: people sit with it.
        well = watched.incident is None or (watched.incidents.flapping.active and watched.incidents.flapping.healthy)
        return state is not None and state.activity is Activity.RUNNING and well and not down


def _only_fat(watched: MonitoredService) -> bool:
    bad = [c for c in watched.service.checks if watched.checks.healths[c.name].verdict is Verdict.DOWN]
    return bool(bad) and all(c.kind is CheckKind.PROCESS and c.memory_max is not None for c in bad)


def _occupied(company: VoiceCompany | None, until: datetime) -> Message | None:
    if company is None:
        return None
    return message(InhibitorCode.IN_VOICE, channel=company.channel, people=company.people, until=until)
