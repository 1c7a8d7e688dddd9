"""LeakMonitor: reports a service whose memory grows in the way of a leak. Once a run; it restarts nothing.

The shape is judged every ten minutes by `opsbot.core.leak`, and must be a leak three times in a row.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from opsbot.config import Config, Service
from opsbot.core.gauge import HOUR, in_about
from opsbot.core.leak import GrowthShape, LeakVerdict, judge
from opsbot.core.message import Message, message
from opsbot.core.notices import NoticeCode
from opsbot.formatting import size
from opsbot.host.figures import HostFigures
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ServiceState
from opsbot.store import Store, ledger, outbox, samples
from opsbot.store.samples import KEPT_FOR, Figure

log = logging.getLogger(__name__)

LOOK = timedelta(minutes=10)
IN_A_ROW = 3
YOUNG = timedelta(minutes=30)
"""A run of so few samples is judged in less time than a thread takes to be woken up."""
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """How much memory a service can come to take, in bytes, and what sets it."""

    size: float
    name: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """A run: since when, and its memory since then where it is young."""

    since: datetime
    points: list[tuple[float, float]] | None


@dataclass(frozen=True, slots=True)
class Growth:
    """How the memory of a service was last judged. since: when its run began."""

    judgement: LeakVerdict
    since: datetime
    limit: MemoryLimit | None


class LeakMonitor:
    """Judges every service whose `leak` is on."""

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: ChangeNotifier,
        clock: Callable[[], datetime],
        charted: Callable[["Growth", datetime], dict[str, object]] = lambda growth, now: {},  # noqa: ARG005
    ) -> None:
        """Nothing was judged yet. charted: what a notice keeps for its chart."""
        self._config = config
        self._store = store
        self._feed = feed
        self._clock = clock
        self._charted = charted
        self._looked: datetime | None = None
        self._row: dict[str, int] = {}
        self.growth: dict[str, Growth] = {}
        """By service, as last judged."""

    async def judge_all(self, states: Mapping[str, ServiceState], host: HostFigures, now: datetime) -> None:
        """Judge every service, where it is time to."""
        if self._looked is not None and timedelta(0) <= now - self._looked < LOOK:
            return
        self._looked = now
        running = {name: state for name, state in states.items() if state.run is not None and state.pid is not None}
        for name in set(self._config.services) - set(running):
            self.growth.pop(name, None)
            self._row.pop(name, None)
        runs = {name: (state.run or "", state.started_at or now) for name, state in running.items()}
        seen = await self._store.write(_seen, runs, now)
        for name, state in running.items():
            await self._judge(self._config.services[name], state, host, seen[name], now)

    async def _judge(
        self, service: Service, state: ServiceState, host: HostFigures, seen: "_Seen", now: datetime
    ) -> None:
        name, run = service.name, state.run or ""
        points = seen.points
        if points is None:
            points = await self._store.read(samples.points, name, Figure.MEMORY, max(seen.since, now - KEPT_FOR))
        within = self._config.host_checks.leak_within
        judged = partial(_judged, service, state, host, points, seen.since, within)
        growth = judged() if seen.points is not None else await asyncio.to_thread(judged)
        self.growth[name] = growth
        self._row[name] = self._row.get(name, 0) + 1 if growth.judgement.shape is GrowthShape.LEAKS else 0
        if service.leak and self._row[name] >= IN_A_ROW:
            await self._tell(name, run, self.growth[name], now)

    async def _tell(self, name: str, run: str, growth: Growth, now: datetime) -> None:
        said = await self._said(name, growth)
        if said is not None and await self._store.write(_tell, name, run, said, self._charted(growth, now), now):
            log.warning("%s", said)
            self._feed.publish("notice")

    async def _said(self, name: str, growth: Growth) -> Message | None:
        found = growth.judgement
        if found.trend is None or found.ahead is None or growth.limit is None:
            return None
        return message(
            NoticeCode.LEAK,
            service=name,
            rate=found.trend.rate * HOUR,
            seen=timedelta(seconds=round(found.trend.span / 600) * 600),
            before=found.trend.before,
            level=found.trend.level,
            origin=await self._origin(name, growth, datetime.fromtimestamp(found.trend.begun, UTC)),
            limit=growth.limit.size,
            limited_by=growth.limit.name,
            ahead=in_about(found.ahead),
        )

    async def _origin(self, name: str, growth: Growth, begun: datetime) -> Message:
        """Since when it grows: its start, with the deploy that came with it, or some time after."""
        live = await self._store.read(ledger.live, name)
        deployment = live.deployment if live is not None else None
        is_late = begun - growth.since > max(timedelta(hours=1), 0.1 * (self._clock() - growth.since))
        near = live is not None and abs(live.since - growth.since) < timedelta(minutes=10)
        if near and deployment is not None and not is_late:
            return message(NoticeCode.LEAK_SINCE_DEPLOYMENT, deployment=deployment)
        return message(NoticeCode.LEAK_SINCE_START, deployment=deployment, is_late=is_late)


def _seen(db: sqlite3.Connection, runs: Mapping[str, tuple[str, datetime]], now: datetime) -> dict[str, "_Seen"]:
    """Each run as it is known, in one go: after a start all of them are young."""
    found = {}
    for name, (run, started) in runs.items():
        since = samples.record_run(db, name, run, started)
        young = now - since < YOUNG
        found[name] = _Seen(since, samples.points(db, name, Figure.MEMORY, since) if young else None)
    return found


def _judged(
    service: Service,
    state: ServiceState,
    host: HostFigures,
    points: list[tuple[float, float]],
    since: datetime,
    within: timedelta,
) -> Growth:
    limit = limit_of(service, state, points[-1][1] if points else 0.0, host)
    most = None if limit is None else limit.size
    return Growth(judge(points, since.timestamp(), most, within.total_seconds()), since, limit)


def in_short(growth: Growth) -> str:
    """How the memory is judged, in a few words: "level", "grows 12 MiB an hour"; empty where it is not known yet."""
    found = growth.judgement
    match found.shape:
        case GrowthShape.UNKNOWN:
            return ""
        case GrowthShape.LEVEL | GrowthShape.LEVELS_OFF:
            return str(found.shape)
    return f"grows {size(found.trend.rate * HOUR)} an hour" if found.trend is not None else ""


def _tell(db: sqlite3.Connection, name: str, run: str, said: Message, chart: dict[str, object], now: datetime) -> bool:
    if not samples.claim_leak(db, name, run, now):
        return False
    return outbox.put_notice(db, f"leak:{name}:{run}", name, said, now, chart=chart)


def limit_of(service: Service, state: ServiceState, level: float, host: HostFigures) -> MemoryLimit | None:
    """What will end the growth: the least of the check's limit, the unit's and what the host has left. Blocks."""
    found = [
        MemoryLimit(check.memory_max, f"the limit of its {check.name} check")
        for check in service.checks
        if check.memory_max
    ]
    limits = [most for group in state.groups if (most := group_limit(group)) is not None]
    if limits:
        found.append(MemoryLimit(sum(limits), "the unit's MemoryMax="))
    if host.memory_available is not None:
        found.append(MemoryLimit(level + host.memory_available, "all that the host has left"))
    return min(found, key=lambda limit: limit.size, default=None)


def group_limit(group: str, cgroups: Path = _CGROUPS) -> int | None:
    """The least memory.max of a control group and those above it (cgroup v2)."""
    found = []
    folder = cgroups / group.lstrip("/")
    while folder != cgroups and folder.is_relative_to(cgroups):
        try:
            text = (folder / "memory.max").read_text().strip()
            if text.isdecimal():
                found.append(int(text))
        except OSError:
            pass
        folder = folder.parent
    return min(found, default=None)
