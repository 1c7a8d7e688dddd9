"""`/metrics` in Prometheus' text format. Labels are names from the configuration, and where file systems are
mounted, so their number is bounded.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from opsbot.web.facts import Sample, WebSources

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FAMILIES: Mapping[str, tuple[str, str]] = {
    "up": ("1 while opsbot answers.", ""),
    "build_info": ("The version that runs.", "version"),
    "start_time_seconds": ("When opsbot started.", ""),
    "outbox_waiting": ("Notifications not sent to Discord yet.", ""),
    "outbox_oldest_seconds": ("How long the oldest of them waits.", ""),
    "gateway_connected": ("1 while connected to Discord.", ""),
    "heartbeat_timestamp_seconds": ("When the external dead man's switch last received a ping.", ""),
    "notifications_waiting": ("Messages not sent yet by a notifier other than Discord.", "notifier"),
    "gateway_latency_seconds": ("Heartbeat to its answer.", ""),
    "service_state": ("1 at the state of the service.", "service state"),
    # Names of earlier versions: derived from the state.
    "service_up": ("Earlier name: 1 when the service is healthy or degraded.", "service"),
    "service_verdict": ("Earlier name: up, down or unknown, by its state.", "service verdict"),
    "service_running": ("1 when its manager says it runs.", "service"),
    "check_up": ("1 when the check passes.", "service check"),
    "check_duration_seconds": ("How long its last run took.", "service check"),
    "service_resident_memory_bytes": (
        "Its unit's memory, or that of its processes where it has no control group.",
        "service",
    ),
    "service_cpu_seconds": (
        "CPU its unit has used, or its main process where it has no control group.",
        "service",
    ),
    "service_tasks": ("Processes and threads of its unit.", "service"),
    "last_deploy_timestamp_seconds": ("When a deployment last went live.", "service"),
    "incidents_open": ("1 while the service has an open incident.", "service"),
    "service_held": ("1 while automatic deploys are held.", "service"),
    "source_failing": ("1 while its repository does not answer.", "service"),
    "host_figure": ("A figure of the host that is watched, in its check's unit.", "what"),
    "host_threshold": ("Where it begins to be bad.", "what"),
    "host_used_up_seconds": ("Until it is used up at this rate, where that can be foretold.", "what"),
    "certificate_expiry_timestamp_seconds": ("When a server's certificate expires.", "server"),
    "service_memory_growth_bytes_per_second": ("How fast its memory grows steadily; 0 where it does not.", "service"),
    "deployments_total": ("Deployments by how they ended.", "service outcome"),
    "notifications_total": ("Messages to notifiers beside Discord.", "notifier outcome"),
    "heartbeat_failures_total": ("Heartbeats the switch did not hear.", ""),
    "recoveries_total": ("Restarts that recovery made, and those of its manager while it was down.", "service"),
    "poll_failures_total": ("Polls the repository did not answer.", "service"),
    "loop_failures_total": ("Runs of a loop that failed.", "loop"),
    "faults_total": ("Faults that it met and went on from; its log has each.", "module"),
}
"""Help text and labels. Names ending in `_total` count since this process started; the others are gauges."""


async def metrics(sources: WebSources, _request: web.Request) -> web.Response:
    samples = await sources.samples()
    # In a thread: the import, and opsbot's own figures, read files.
    text = await asyncio.to_thread(_text, samples)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


def _text(samples: Sequence[Sample]) -> bytes:
    # Imported at the first scrape: it costs memory, and not everybody scrapes.
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest  # noqa: PLC0415

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(LiveCollector(samples))
    return generate_latest(registry)


class LiveCollector:
    """Hands samples to prometheus_client, which asks for them with `collect`."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - see `_text`

        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
            name: (CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily)(
                f"opsbot_{name}", text, labels=labels.split()
            )
            for name, (text, labels) in FAMILIES.items()
        }
        for name, labels, value in self._samples:
            if value is not None:
                families[name].add_metric(labels, value)
        yield from families.values()
