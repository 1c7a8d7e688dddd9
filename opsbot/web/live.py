"""Collect the data for the routes from the running parts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from opsbot import __version__
from opsbot.core.deployment import ENDS, Deployment
from opsbot.core.gauge import HOST
from opsbot.deploy.poll import Poller
from opsbot.engine import Engine
from opsbot.engine.status import ServiceStatus
from opsbot.formatting import duration
from opsbot.monitoring.leak_monitor import Growth
from opsbot.runtime.scheduler import Scheduler
from opsbot.services.port import Activity
from opsbot.store import StoreError, incident_repository, outbox
from opsbot.web.facts import CheckFigures, Figures, HeartbeatStatus, HostGauge, ServiceFigures

Gateway = Callable[[], tuple[bool, float | None, str]]
"""Whether the gateway is connected, its latency in seconds, and a problem that needs a person ("" for none)."""


class LiveSources:
    """Implements `opsbot.web.facts.WebSources` with the daemon's parts."""

    def __init__(
        self,
        engine: Engine,
        poller: Poller,
        loops: Scheduler,
        gateway: Gateway,
        started: datetime,
        beats: HeartbeatStatus | None = None,
        faults: Mapping[str, int] | None = None,
    ) -> None:
        """Start counting deployments.

        faults: unexpected errors by module (`opsbot.runtime.error_counter`).
        """
        self._engine = engine
        self._poller = poller
        self._loops = loops
        self._gateway = gateway
        self._started = started
        self._beats = beats
        self._faults: Mapping[str, int] = {} if faults is None else faults
        # From zero: Prometheus sees no increase in a series that starts at one.
        deployed = [name for name, service in engine.config.services.items() if service.source is not None]
        self._ended = Counter({(name, str(phase)): 0 for name in deployed for phase in sorted(ENDS)})
        engine.deployer.on_finish(self._count)

    def _count(self, deployment: Deployment) -> None:
        self._ended[deployment.service, str(deployment.phase)] += 1

    def stuck(self) -> Sequence[str]:
        now = self._engine.clock()
        late = []
        for name in self._loops.stuck():
            pulse = self._loops.job_health[name]
            last = pulse.ended or pulse.begun
            late.append(f"periodic job {name} last finished {f'{duration(now - last)} ago' if last else 'never'}")
        return late

    async def unready(self) -> Sequence[str]:
        reasons = list(self.stuck())
        try:
            await self._engine.store.read(outbox.waiting, self._engine.clock())
        except StoreError as error:
            reasons.append(str(error))
        connected, _, problem = self._gateway()
        if not connected:
            reasons.append(problem or "not connected to Discord")
        elif problem:
            reasons.append(problem)
        return reasons

    async def states(self) -> Mapping[str, str]:
        try:
            statuses, _ = await self._engine.standings.health()
        except StoreError:
            return {}  # among the reasons of `unready`
        return {name: str(status.health.state) for name, status in statuses.items()}

    async def figures(self) -> Figures:
        engine = self._engine
        waiting, oldest = await engine.store.read(outbox.waiting, engine.clock())
        connected, latency, _ = self._gateway()
        recoveries = {}
        for name in engine.config.services:
            recoveries[name] = len(await engine.store.read(incident_repository.recoveries, name, self._started))
        notifiers = await engine.notifiers.figures() if engine.notifiers is not None else ()
        return Figures(
            heartbeat_at=self._beats.last_sent if self._beats else None,
            heartbeat_failures_total=self._beats.failures if self._beats else 0,
            notifications_total={
                (each.name, how): count
                for each in notifiers
                for how, count in (("sent", each.sent), ("failed", each.failed))
            },
            notifications_waiting={each.name: each.waiting for each in notifiers},
            version=__version__,
            started_at=self._started,
            services=tuple(_service(one) for one in await engine.standings.of(list(engine.config.services))),
            deployments_total=dict(self._ended),
            recoveries_total=recoveries,
            poll_failures_total=dict(self._poller.failures),
            loop_failures_total={name: pulse.failures for name, pulse in self._loops.job_health.items()},
            faults_total=dict(self._faults),
            outbox_waiting=waiting,
            outbox_oldest=(engine.clock() - oldest).total_seconds() if oldest else 0.0,
            gateway_connected=connected,
            gateway_latency=latency,
            host=tuple(
                HostGauge(
                    gauge.subject.removeprefix(HOST),
                    gauge.value,
                    gauge.threshold.bad,
                    gauge.ahead.likely if gauge.ahead is not None else None,
                )
                for gauge in engine.standings.gauges()
            ),
            certificates=dict(engine.measured.certificates),
            growth={name: _rate(growth) for name, growth in engine.measured.growth.items()},
        )


def _service(status: ServiceStatus) -> ServiceFigures:
    return ServiceFigures(
        status.service,
        status.health,
        running=status.state.activity is Activity.RUNNING,
        checks=tuple(
            CheckFigures(check, health.verdict, health.last.took if health.last else 0.0)
            for check, health in status.checks
        ),
        memory=status.figures.memory if status.figures else None,
        cpu=status.figures.cpu_seconds if status.figures else None,
        tasks=status.figures.tasks if status.figures else None,
        deployed_at=status.live.since if status.live else None,
        incident=status.incident is not None,
        held=status.hold is not None,
        source_failing=status.source is not None and status.source.failing_since is not None,
    )


def _rate(growth: Growth) -> float:
    return growth.judgement.trend.rate if growth.judgement.trend is not None else 0.0
