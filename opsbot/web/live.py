"""Collect the data for the routes from the running parts."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from opsbot import __version__
from opsbot.core.deployment import ENDS, Deployment
from opsbot.core.gauge import HOST, Gauge
from opsbot.core.health import Verdict
from opsbot.core.status import HealthState
from opsbot.deploy.poll import Poller
from opsbot.engine import Engine
from opsbot.engine.status import ServiceStatus
from opsbot.formatting import duration
from opsbot.runtime.scheduler import Scheduler
from opsbot.services.port import Activity
from opsbot.store import StoreError, incident_repository, outbox
from opsbot.store.rows import maybe_seconds
from opsbot.web.facts import HeartbeatStatus, Sample

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
            statuses, _ = await self._engine.statuses.health()
        except StoreError:
            return {}  # among the reasons of `unready`
        return {name: str(status.health.state) for name, status in statuses.items()}

    async def samples(self) -> Sequence[Sample]:
        engine, beats = self._engine, self._beats
        waiting, oldest = await engine.store.read(outbox.waiting, engine.clock())
        connected, latency, _ = self._gateway()
        found: list[Sample] = [
            ("up", (), 1.0),
            ("build_info", (__version__,), 1.0),
            ("start_time_seconds", (), self._started.timestamp()),
            ("outbox_waiting", (), waiting),
            ("outbox_oldest_seconds", (), (engine.clock() - oldest).total_seconds() if oldest else 0.0),
            ("gateway_connected", (), connected),
            ("gateway_latency_seconds", (), latency),
            ("heartbeat_timestamp_seconds", (), maybe_seconds(beats.last_sent if beats else None)),
            ("heartbeat_failures_total", (), beats.failures if beats else 0),
        ]
        for name in engine.config.services:
            made = await engine.store.read(incident_repository.recoveries, name, self._started)
            found.append(("recoveries_total", (name,), len(made)))
        for status in await engine.statuses.of(list(engine.config.services)):
            found += service_samples(status)
        for gauge in engine.statuses.gauges():
            found += gauge_samples(gauge)
        for each in await engine.notifiers.figures() if engine.notifiers is not None else ():
            found.append(("notifications_total", (each.name, "sent"), each.sent))
            found.append(("notifications_total", (each.name, "failed"), each.failed))
            found.append(("notifications_waiting", (each.name,), each.waiting))
        for server, expires in engine.measured.certificates.items():
            found.append(("certificate_expiry_timestamp_seconds", (server,), maybe_seconds(expires)))
        for name, growth in engine.measured.growth.items():
            trend = growth.judgement.trend
            found.append(("service_memory_growth_bytes_per_second", (name,), trend.rate if trend else 0.0))
        found += [("deployments_total", labels, count) for labels, count in self._ended.items()]
        found += [("poll_failures_total", (name,), count) for name, count in self._poller.failures.items()]
        found += [("loop_failures_total", (name,), job.failures) for name, job in self._loops.job_health.items()]
        found += [("faults_total", (name,), count) for name, count in self._faults.items()]
        return found


def service_samples(status: ServiceStatus) -> Iterator[Sample]:
    name, figures, source = status.service, status.figures, status.source
    for state in HealthState:
        yield "service_state", (name, state), status.health.state is state
    for verdict in Verdict:
        yield "service_verdict", (name, verdict), status.health.verdict is verdict
    yield "service_up", (name,), status.health.verdict is Verdict.UP
    yield "service_running", (name,), status.state.activity is Activity.RUNNING
    for check, health in status.checks:
        yield "check_up", (name, check), health.verdict is Verdict.UP
        yield "check_duration_seconds", (name, check), health.last.took if health.last else 0.0
    yield "service_resident_memory_bytes", (name,), figures.memory if figures else None
    yield "service_cpu_seconds", (name,), figures.cpu_seconds if figures else None
    yield "service_tasks", (name,), figures.tasks if figures else None
    yield "last_deploy_timestamp_seconds", (name,), maybe_seconds(status.live.since if status.live else None)
    yield "incidents_open", (name,), status.incident is not None
    yield "service_held", (name,), status.hold is not None
    yield "source_failing", (name,), source is not None and source.failing_since is not None


def gauge_samples(gauge: Gauge) -> Iterator[Sample]:
    what = (gauge.subject.removeprefix(HOST),)
    yield "host_figure", what, gauge.value
    yield "host_threshold", what, gauge.threshold.bad
    yield "host_used_up_seconds", what, gauge.ahead.likely if gauge.ahead is not None else None
