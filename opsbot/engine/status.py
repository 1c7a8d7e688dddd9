"""The status of the services and the host at one moment, for all that show it: `/status`, the board, the metrics."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from opsbot.config import Config, Service
from opsbot.core.deployment import Deployment, Hold, Release
from opsbot.core.exits import ExitCode
from opsbot.core.health import CheckHealth
from opsbot.core.message import Message, message
from opsbot.core.model import Acknowledgement, Incident, Live, Silence, SourceState
from opsbot.core.status import (
    CheckStatus,
    ServiceHealth,
    StatusFacts,
    UnitStatus,
    deployment_waits,
    derive_status,
    shown_checks,
)
from opsbot.core.subjects import is_host
from opsbot.core.windows import Span, active
from opsbot.host.figures import HostFigures, host_figures
from opsbot.host.processes import ProcessFigures, ServiceMeter
from opsbot.monitoring import ServiceMonitor
from opsbot.services.port import Activity, ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, boards, outbox

if TYPE_CHECKING:
    from opsbot.core.gauge import Gauge
    from opsbot.monitoring.discord_bots import DiscordBots

HOST_FRESH = 0.5
"""Seconds that the host's figures are good for: CPU "since the last look" says little when many look at once."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """Everything `/status` shows of one service.

    state: as its manager last reported it. checks: as far as they say something of the present run.
    """

    service: str
    state: ServiceState
    health: ServiceHealth
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
    """The service in whose incident this one is listed."""
    waits: str | Message = ""
    """What its recovery or its deployment waits for."""
    logins: tuple[int, int] | None = None
    """Of a Discord bot: its starts in the last 24 hours, and how many logins Discord allows."""
    discord_away: datetime | None = None
    """Of a Discord bot: since when Discord is away, None while it is not."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What the board shows: the status of each service, without its figures, and what is wrong with the host.

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
    """Reads the status of services. It checks no permissions: that is up to those who show it."""

    def __init__(
        self,
        config: Config,
        store: Store,
        managers: Mapping[str, ServiceManager],
        watcher: ServiceMonitor,
        clock: Callable[[], datetime],
        gauges: "Callable[[], Sequence[Gauge]]" = tuple,
        discord_bots: "DiscordBots | None" = None,
        meter: ServiceMeter | None = None,
    ) -> None:
        """gauges: the figures of the host that are watched, as last measured. meter: measures the services.

        discord_bots: None where no service is one.
        """
        self._config = config
        self._store = store
        self._managers = managers
        self._watcher = watcher
        self._clock = clock
        self._host: tuple[float, HostFigures | None] = 0.0, None
        self._meter = meter or ServiceMeter()
        self.gauges = gauges
        self.discord_bots = discord_bots

    async def of(self, services: Sequence[str]) -> list[ServiceStatus]:
        """The status of these, with what they use: one reading of the store and of the processes for all."""
        now = self._clock()
        kept, incidents = await self._store.read(boards.kept_of, services, now)
        statuses = [await self._status(name, kept[name], incidents, now) for name in services]
        figures = await asyncio.to_thread(self._figures, [one.state for one in statuses])
        return [
            await self._with_details(one, kept[one.service], used) for one, used in zip(statuses, figures, strict=True)
        ]

    def _figures(self, states: Sequence[ServiceState]) -> list[ProcessFigures | None]:
        return [self._meter.figures(state.pid, state.groups, state.started_at) for state in states]

    async def _with_details(
        self, status: ServiceStatus, kept: boards.StoredStatus, figures: ProcessFigures | None
    ) -> ServiceStatus:
        source = self._config.services[status.service].source
        starts = await self.discord_bots.starts(status.service) if self.discord_bots is not None else None
        return replace(
            status,
            figures=figures,
            last_deployment=kept.latest,
            source=kept.source if source else None,
            auto=source.auto if source else False,
            logins=None if starts is None else (starts[0].count, starts[1]),
        )

    async def overview(self) -> Overview:
        """The status of everything; for the board, which asks often."""
        now, channel = self._clock(), self._config.discord.ops_channel_id
        found = await self._store.read(boards.read_board, self._config.services, channel, now)
        return Overview(
            tuple([await self._status(name, kept, found.incidents, now) for name, kept in found.services.items()]),
            tuple(one for subject, one in found.incidents.items() if is_host(subject)),
            found.taken,
            found.cards,
            tuple(active(self._config.windows, now)),
            tuple(self.gauges()),
        )

    async def health(self) -> tuple[dict[str, ServiceStatus], int]:
        """The status of every service without its figures, and how many notifications wait for Discord."""
        now = self._clock()
        kept, incidents, waiting = await self._store.read(_for_line, tuple(self._config.services), now)
        return {name: await self._status(name, kept[name], incidents, now) for name in self._config.services}, waiting

    async def _status(
        self, service: str, kept: boards.StoredStatus, incidents: Mapping[str, Incident], now: datetime
    ) -> ServiceStatus:
        state, error = await self._state(service)
        return service_status(
            self._config.services[service],
            state,
            kept,
            incidents,
            self._watcher.healths(service),
            now,
            manager_error=error,
            because_of=self._watcher.because_of(service),
            waits=self._watcher.waits(service) or "",
            discord_away=self.discord_bots.away(service) if self.discord_bots is not None else None,
        )

    async def _state(self, service: str) -> tuple[ServiceState, str | Message]:
        """As its manager last reported it, and why it cannot be asked, "" where it can."""
        try:
            return await self._managers[service].state(service), ""
        except ManagerError as error:
            unavailable = message(ExitCode.STATE_UNAVAILABLE, error=error.message)
            return ServiceState(Activity.FAILED, exit=unavailable), error.message

    def host(self) -> HostFigures:
        """CPU, memory and disk of this host; the disks are those the services and the store live on."""
        at, figures = self._host
        if figures is None or time.monotonic() - at > HOST_FRESH:
            sources = [service.source for service in self._config.services.values() if service.source]
            paths = {self._config.state.directory, *(source.directory for source in sources)}
            figures = host_figures([path for path in sorted(paths) if path.exists()])
            self._host = time.monotonic(), figures
        return figures


def service_status(
    service: Service,
    state: ServiceState,
    kept: boards.StoredStatus,
    incidents: Mapping[str, Incident],
    healths: Mapping[str, CheckHealth],
    now: datetime,
    *,
    manager_error: str | Message = "",
    because_of: str = "",
    waits: str | Message = "",
    discord_away: datetime | None = None,
    is_running: bool = True,
) -> ServiceStatus:
    """The status of a service from all that is known of it.

    incidents: the open ones by subject. because_of: the service in whose incident this one is listed. waits: what its
    recovery waits for. is_running: whether opsbot is, and with it a deployment that has not ended.
    """
    deploying = kept.latest if kept.latest is not None and not kept.latest.finished else None
    facts = StatusFacts(
        now,
        () if manager_error else tuple(_unit(name, part) for name, part in state.parts or (("", state),)),
        manager_error,
        tuple(CheckStatus(each.name, healths.get(each.name, CheckHealth()), each.unit) for each in service.checks),
        service.startup_grace,
        service.source is not None,
        kept.live,
        kept.latest if is_running or deploying is None else None,
        incidents.get(service.name),
        because_of,
        _failed_at(service.name, incidents.get(because_of)),
        waits,
        kept.hold,
        kept.silence,
    )
    return ServiceStatus(
        service.name,
        state,
        derive_status(facts),
        shown_checks(facts),
        live=kept.live,
        release=kept.release,
        deploying=deploying,
        hold=kept.hold,
        silence=kept.silence,
        incident=facts.incident,
        because_of=because_of,
        waits=waits or deployment_waits(deploying),
        discord_away=discord_away,
    )


def _unit(name: str, state: ServiceState) -> UnitStatus:
    return UnitStatus(name, state.activity, state.stopped_by_hand, state.started_at, state.exit)


def _failed_at(service: str, root: Incident | None) -> datetime | None:
    """Since when a service is down that is listed in another's incident."""
    found = [one for one in root.dependents if one.service == service and one.well_at is None] if root else []
    return found[-1].failed_at if found else None


def _for_line(
    db: sqlite3.Connection, services: Sequence[str], now: datetime
) -> tuple[dict[str, boards.StoredStatus], dict[str, Incident], int]:
    return *boards.kept_of(db, services, now), outbox.waiting(db, now)[0]
