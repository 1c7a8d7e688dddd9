"""What the routes need to know, as a port: they read no store and know no engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from opsbot.core.health import Verdict


@dataclass(frozen=True, slots=True)
class CheckFigures:
    """One check. `took` is how long its last look took, in seconds."""

    name: str
    verdict: Verdict
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """One service. `memory` in bytes, `cpu` in seconds since its process started, both None where it has none.

    tasks: processes and threads, None where its manager has no control group for it.
    """

    service: str
    verdict: Verdict
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
    """How the heartbeat fared since the process started; outlives a reload. last_sent: the last that was heard."""

    started: bool = False
    last_sent: datetime | None = None
    sent: int = 0
    failures: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class HostGauge:
    """One figure of the host that is watched, in its check's unit. ahead: seconds until it is used up, if foretold."""

    subject: str
    value: float
    threshold: float
    ahead: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything `/metrics` shows, at one moment. What ends in `_total` counts since this process started.

    deployments: by service and how they ended. recoveries, poll_failures: by service. loop_failures: by loop.
    faults: by module, what was logged with a traceback.
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
    """Seconds the oldest untold notice waits."""
    heartbeat_at: datetime | None = None
    """When the outside dead-man's switch last heard that opsbot is there; None where there is none, or never."""
    heartbeat_failures_total: int = 0
    notifications_total: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By notifier and how it went: `sent` or `failed`."""
    notifications_waiting: Mapping[str, int] = field(default_factory=dict)
    """By notifier."""
    gateway_connected: bool = False
    gateway_latency: float | None = None
    """Seconds."""
    host: tuple[HostGauge, ...] = ()
    certificates: Mapping[str, datetime] = field(default_factory=dict)
    """When the certificate of each server expires."""
    growth: Mapping[str, float] = field(default_factory=dict)
    """By service, bytes a second that its memory grows steadily; 0 where it does not."""


class WebSources(Protocol):
    """Where the routes get what they show."""

    def stuck(self) -> Sequence[str]:
        """The loops that are overdue, each in words; none while all is well."""

    async def unready(self) -> Sequence[str]:
        """What is not up yet, or not any more, each in words; none when opsbot can do all its work."""

    async def figures(self) -> Figures:
        """What `/metrics` shows."""
