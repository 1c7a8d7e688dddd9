"""`/metrics` in Prometheus' text format. Labels are names from the configuration, and where file systems are
mounted, so their number is bounded.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from aiohttp import web

from opsbot.core.health import Verdict
from opsbot.core.status import HealthState
from opsbot.web.facts import Figures, WebSources

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Samples = list[tuple[tuple[str, ...], float]]


class Metrics:
    """The route. prometheus_client is imported at the first scrape: it costs memory, and not everybody scrapes."""

    def __init__(self, sources: WebSources) -> None:
        self._sources = sources

    async def metrics(self, _request: web.Request) -> web.Response:
        figures = await self._sources.figures()
        # In a thread: the import, and opsbot's own figures, read files.
        text = await asyncio.to_thread(_text, figures)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


def _text(figures: Figures) -> bytes:
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest  # noqa: PLC0415 - see Metrics

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(LiveCollector(figures))
    return generate_latest(registry)


class LiveCollector:
    """Hands figures to prometheus_client, which asks for them with `collect`."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - see Metrics

        for name, text, labels, samples in [
            *_own(self._figures),
            *_services(self._figures),
            *_host(self._figures),
        ]:
            gauge = GaugeMetricFamily(f"opsbot_{name}", text, labels=labels)
            for values, value in samples:
                gauge.add_metric(values, value)
            yield gauge
        for name, text, labels, samples in _counters(self._figures):
            counter = CounterMetricFamily(f"opsbot_{name}", text, labels=labels)
            for values, value in samples:
                counter.add_metric(values, value)
            yield counter


Family = tuple[str, str, tuple[str, ...], Samples]


def _own(figures: Figures) -> Iterator[Family]:
    yield "up", "1 while opsbot answers.", (), [((), 1.0)]
    yield "build_info", "The version that runs.", ("version",), [((figures.version,), 1.0)]
    yield "start_time_seconds", "When opsbot started.", (), [((), figures.started_at.timestamp())]
    yield "outbox_waiting", "Notices Discord was not told yet.", (), [((), figures.outbox_waiting)]
    yield "outbox_oldest_seconds", "How long the oldest of them waits.", (), [((), figures.outbox_oldest)]
    yield "gateway_connected", "1 while connected to Discord.", (), [((), float(figures.gateway_connected))]
    beat = figures.heartbeat_at
    heard: Samples = [] if beat is None else [((), beat.timestamp())]
    yield "heartbeat_timestamp_seconds", "When the outside dead-man's switch was last told.", (), heard
    waiting: Samples = [((name,), float(count)) for name, count in figures.notifications_waiting.items()]
    yield "notifications_waiting", "Messages a notifier beside Discord was not told yet.", ("notifier",), waiting
    latency = figures.gateway_latency
    yield "gateway_latency_seconds", "Heartbeat to its answer.", (), [] if latency is None else [((), latency)]


def _services(figures: Figures) -> Iterator[Family]:
    services = figures.services

    def each(value: Callable[[int], float | None]) -> Samples:
        found = ((one.service, value(number)) for number, one in enumerate(services))
        return [((name,), float(number)) for name, number in found if number is not None]

    one = ("service",)
    states: Samples = [((s.service, str(v)), float(s.health.state is v)) for s in services for v in HealthState]
    yield "service_state", "1 at the state of the service.", ("service", "state"), states
    # Names of earlier versions: derived from the state.
    up = each(lambda n: services[n].health.verdict is Verdict.UP)
    yield "service_up", "Earlier name: 1 when the service is healthy or degraded.", one, up
    verdicts: Samples = [((s.service, str(v)), float(s.health.verdict is v)) for s in services for v in Verdict]
    yield "service_verdict", "Earlier name: up, down or unknown, by its state.", ("service", "verdict"), verdicts
    yield "service_running", "1 when its manager says it runs.", one, each(lambda n: services[n].running)
    checks: Samples = [((s.service, c.name), float(c.verdict is Verdict.UP)) for s in services for c in s.checks]
    yield "check_up", "1 when the check passes.", ("service", "check"), checks
    took: Samples = [((s.service, c.name), c.took) for s in services for c in s.checks]
    yield "check_duration_seconds", "How long its last look took.", ("service", "check"), took
    memory = "Its unit's memory, or that of its processes where it has no control group."
    yield "service_resident_memory_bytes", memory, one, each(lambda n: services[n].memory)
    cpu = "CPU its unit has used, or its main process where it has no control group."
    yield "service_cpu_seconds", cpu, one, each(lambda n: services[n].cpu)
    yield "service_tasks", "Processes and threads of its unit.", one, each(lambda n: services[n].tasks)
    times = each(lambda n: at.timestamp() if (at := services[n].deployed_at) else None)
    yield "last_deploy_timestamp_seconds", "When a deployment last went live.", one, times
    yield "incidents_open", "1 while the service has an open incident.", one, each(lambda n: services[n].incident)
    yield "service_held", "1 while automatic deploys are held.", one, each(lambda n: services[n].held)
    yield "source_failing", "1 while its repository does not answer.", one, each(lambda n: services[n].source_failing)


def _host(figures: Figures) -> Iterator[Family]:
    what = ("what",)
    values: Samples = [((one.subject,), one.value) for one in figures.host]
    yield "host_figure", "A figure of the host that is watched, in its check's unit.", what, values
    bad: Samples = [((one.subject,), one.threshold) for one in figures.host]
    yield "host_threshold", "Where it begins to be bad.", what, bad
    ahead: Samples = [((one.subject,), one.ahead) for one in figures.host if one.ahead is not None]
    yield "host_used_up_seconds", "Until it is used up at this rate, where that can be foretold.", what, ahead
    expires: Samples = [((server,), at.timestamp()) for server, at in figures.certificates.items()]
    yield "certificate_expiry_timestamp_seconds", "When a server's certificate expires.", ("server",), expires
    growth: Samples = [((name,), rate) for name, rate in figures.growth.items()]
    name = "service_memory_growth_bytes_per_second"
    yield name, "How fast its memory grows steadily; 0 where it does not.", ("service",), growth


def _counters(figures: Figures) -> Iterator[Family]:
    ended: Samples = [(pair, float(count)) for pair, count in figures.deployments_total.items()]
    yield "deployments", "Deployments by how they ended.", ("service", "outcome"), ended
    told: Samples = [(pair, float(count)) for pair, count in figures.notifications_total.items()]
    yield "notifications", "Messages to notifiers beside Discord.", ("notifier", "outcome"), told
    failures = float(figures.heartbeat_failures_total)
    yield "heartbeat_failures", "Heartbeats the switch did not hear.", (), [((), failures)]
    for name, text, label, counts in (
        (
            "recoveries",
            "Restarts that recovery made, and those of its manager while it was not well.",
            "service",
            figures.recoveries_total,
        ),
        ("poll_failures", "Polls the repository did not answer.", "service", figures.poll_failures_total),
        ("loop_failures", "Runs of a loop that failed.", "loop", figures.loop_failures_total),
        ("faults", "Faults that it met and went on from; its log has each.", "module", figures.faults_total),
    ):
        yield name, text, (label,), [((key,), float(count)) for key, count in counts.items()]
