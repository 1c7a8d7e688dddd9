"""Data that the routes show; routes access neither the store nor the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from opsbot.core.health import Verdict
from opsbot.core.status import ServiceHealth


@dataclass(frozen=True, slots=True)
class CheckFigures:
    """One check. `took`: duration of its last run in seconds."""

    name: str
    verdict: Verdict
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """One service.

    `memory` in bytes, `cpu` in seconds since its process started; None without a process.

    tasks: processes and threads, None without a control group.
    """

    service: str
    health: ServiceHealth
    running: bool = False
    checks: tuple[CheckFigures, ...] = ()
    memory: int | None = None
    cpu: float | None = None
    tasks: int | None = None
    deployed_at: datetime | None = None
    incident: bool = False
    held: bool = False
    source_failing: bool = False


@dataclass(slots=True)
class HeartbeatStatus:
    """Counts of the heartbeat since the process started, kept across reloads.

    last_sent: the last success.
    """

    started: bool = False
    last_sent: datetime | None = None
    sent: int = 0
    failures: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class HostGauge:
    """One monitored figure of the host, in its check's unit.

    ahead: predicted seconds until exhaustion, if any.
    """

    subject: str
    value: float
    threshold: float
    ahead: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything in `/metrics` at one moment.

    Names ending in `_total` count since this process started.

    deployments: by service and result. recoveries, poll_failures: by service. loop_failures: by periodic job.
    faults: by module, errors logged with a traceback.
    """

    version: str
    started_at: datetime
    services: tuple[ServiceFigures, ...] = ()
    deployments_total: Mapping[tuple[str, str], int] = field(default_factory=dict)
    recoveries_total: Mapping[str, int] = field(default_factory=dict)
    poll_failures_total: Mapping[str, int] = field(default_factory=dict)
    loop_failures_total: Mapping[str, int] = field(default_factory=dict)
    faults_total: Mapping[str, int] = field(default_factory=dict)
    outbox_waiting: int = 0
    outbox_oldest: float = 0.0
    """Seconds that the oldest unsent notification has been waiting."""
    heartbeat_at: datetime | None = None
    """When the dead-man's switch last received a ping; None without one, or if never."""
    heartbeat_failures_total: int = 0
    notifications_total: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By notifier and result: `sent` or `failed`."""
    notifications_waiting: Mapping[str, int] = field(default_factory=dict)
    """By notifier."""
    gateway_connected: bool = False
    gateway_latency: float | None = None
    """Seconds."""
    host: tuple[HostGauge, ...] = ()
    certificates: Mapping[str, datetime] = field(default_factory=dict)
    """When each server's certificate expires."""
    growth: Mapping[str, float] = field(default_factory=dict)
    """By service: bytes per second of steady memory growth; 0 without one."""


class WebSources(Protocol):
    """Source of the data that the routes show."""

    def stuck(self) -> Sequence[str]:
        """Return the overdue periodic jobs as text; empty while healthy."""

    async def unready(self) -> Sequence[str]:
        """Return the reasons why opsbot is not ready; empty when it is."""

    async def states(self) -> Mapping[str, str]:
        """The state of each service; empty where the store cannot be read."""

    async def figures(self) -> Figures:
        """Return everything in `/metrics`."""
