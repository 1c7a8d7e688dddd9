"""How the services and the host stand at one moment: what `/status`, the board, the dashboard and the metrics show."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from opsbot.config import Config
from opsbot.core.deployment import Deployment, Hold, Phase, Release
from opsbot.core.health import CheckHealth, Verdict
from opsbot.core.model import Acknowledgement, Incident, Live, Silence, SourceState
from opsbot.core.subjects import is_host
from opsbot.core.windows import Span, active
from opsbot.host.figures import HostFigures, host_figures
from opsbot.host.processes import ProcessFigures, service_figures
from opsbot.monitoring import ServiceMonitor
from opsbot.services.port import Activity, ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, boards

if TYPE_CHECKING:
    from opsbot.core.gauge import Gauge
    from opsbot.monitoring.discord_bots import DiscordBots

HOST_FRESH = 0.5
"""Seconds that the host's figures are good for: CPU "since the last look" says little when many look at once."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """Everything `/status` shows of one service."""

    service: str
    state: ServiceState
    verdict: Verdict
    checks: tuple[tuple[str, CheckHealth], ...]
    figures: ProcessFigures | None = None
    live: Live | None = None
    release: Release | None = None
    deploying: Deployment | None = None
    last_deployment: Deployment | None = None
    hold: Hold | None = None
    silence: Silence | None = None
    incident: Incident | None = None
    source: SourceState | None = None
    auto: bool = False
    because_of: str = ""
    """The service in whose incident this one is listed as not well."""
    waits: str = ""
    """What its recovery or its deployment waits for, in words; times in it are Discord's `<t:…>`."""
    logins: tuple[int, int] | None = None
    """Of a Discord bot: its starts in the last 24 hours, and how many logins Discord allows."""
    discord_away: datetime | None = None
    """Of a Discord bot: since when Discord is away, None while it is not."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What the board shows: how each service stands, without its figures, and what is wrong with the host.

    taken: who has acknowledged which incident, and cards: the message of its card, both by the incident's id. open:
    the maintenance windows of this moment.
    """

    services: tuple[ServiceStatus, ...]
    host: tuple[Incident, ...]
    taken: Mapping[int, Acknowledgement]
    cards: Mapping[int, int]
    open: tuple[Span, ...]
    gauges: tuple["Gauge", ...]


class StatusReader:
    """Reads how things stand. It asks nobody's rank: that is for those who show it."""

    def __init__(
        self,
        config: Config,
        store: Store,
        managers: Mapping[str, ServiceManager],
        watcher: ServiceMonitor,
        clock: Callable[[], datetime],
        gauges: "Callable[[], Sequence[Gauge]]" = tuple,
        discord_bots: "DiscordBots | None" = None,
    ) -> None:
        """gauges: the figures of the host that are watched, as last measured.

        aware: what goes by Discord; None where no service is a Discord bot.
        """
        self._config = config
        self._store = store
        self._managers = managers
        self._watcher = watcher
        self._clock = clock
        self._host: tuple[float, HostFigures | None] = 0.0, None
        self.gauges = gauges
        self.discord_bots = discord_bots

    async def of(self, services: Sequence[str]) -> list[ServiceStatus]:
        """How these stand, with what they use: the store is read and the processes are looked at once for all."""
        kept, incidents = await self._store.read(boards.kept_of, services, self._clock())
        standing = [await self._standing(name, kept[name], incidents) for name in services]
        figures = await asyncio.to_thread(_figures, [one.state for one in standing])
        return [
            await self._with_details(one, kept[one.service], used) for one, used in zip(standing, figures, strict=True)
        ]

    async def _with_details(
        self, status: ServiceStatus, kept: boards.StoredStatus, figures: ProcessFigures | None
    ) -> ServiceStatus:
        source = self._config.services[status.service].source
        starts = await self.discord_bots.starts(status.service) if self.discord_bots is not None else None
        return replace(
            status,
            checks=tuple(self._watcher.healths(status.service).items()),
            figures=figures,
            last_deployment=kept.latest,
            source=kept.source if source else None,
            auto=source.auto if source else False,
            logins=None if starts is None else (starts[0].count, starts[1]),
        )

    async def overview(self) -> Overview:
        """How all of it stands; for the board, which asks often."""
        now, channel = self._clock(), self._config.discord.ops_channel_id
        found = await self._store.read(boards.read_board, self._config.services, channel, now)
        return Overview(
            tuple([await self._standing(name, kept, found.incidents) for name, kept in found.services.items()]),
            tuple(one for subject, one in found.incidents.items() if is_host(subject)),
            found.taken,
            found.cards,
            tuple(active(self._config.windows, now)),
            tuple(self.gauges()),
        )

    async def _standing(
        self, service: str, kept: boards.StoredStatus, incidents: Mapping[str, Incident]
    ) -> ServiceStatus:
        deploying = kept.latest if kept.latest is not None and not kept.latest.finished else None
        return ServiceStatus(
            service,
            await self._state(service),
            self._watcher.verdict(service),
            (),
            live=kept.live,
            release=kept.release,
            deploying=deploying,
            hold=kept.hold,
            silence=kept.silence,
            incident=incidents.get(service),
            because_of=self._watcher.because_of(service),
            waits=self._watcher.waits(service) or _waiting_for(deploying),
            discord_away=self.discord_bots.away(service) if self.discord_bots is not None else None,
        )

    async def _state(self, service: str) -> ServiceState:
        try:
            return await self._managers[service].state(service)
        except ManagerError as error:
            return ServiceState(Activity.FAILED, exit=str(error))

    def host(self) -> HostFigures:
        """CPU, memory and disk of this host; the disks are those the services and the store live on."""
        at, figures = self._host
        if figures is None or time.monotonic() - at > HOST_FRESH:
            sources = [service.source for service in self._config.services.values() if service.source]
            paths = {self._config.state.directory, *(source.directory for source in sources)}
            figures = host_figures([path for path in sorted(paths) if path.exists()])
            self._host = time.monotonic(), figures
        return figures


def _figures(states: Sequence[ServiceState]) -> list[ProcessFigures | None]:
    return [
        None if state.pid is None else service_figures(state.pid, state.groups, state.started_at) for state in states
    ]


def _waiting_for(deployment: Deployment | None) -> str:
    if deployment is None or deployment.phase is not Phase.WAITING or not deployment.steps:
        return ""
    last = deployment.steps[-1]
    return last.note if last.phase is Phase.WAITING else ""
