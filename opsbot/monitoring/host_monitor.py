"""HostMonitor: one ticker that measures the host and the services, keeps the samples, reports what is wrong.

A figure that stays bad opens an incident with the subject `host:WHAT`; one that stays well closes it. What was open
when opsbot stopped is neither raised again nor forgotten: the open incidents are what is held.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from opsbot.config import Config
from opsbot.core.gauge import HOST, Gauge, Users, filling
from opsbot.core.incident import IncidentCause, Resolution
from opsbot.core.message import Message, message, plain
from opsbot.core.model import ADVICE, Evidence
from opsbot.core.subjects import OPSBOT
from opsbot.core.threshold import GAP, ThresholdState, judge
from opsbot.formatting import size
from opsbot.host import top_processes
from opsbot.host.cgroups import retained_memory
from opsbot.host.clock_skew import ClockSkew
from opsbot.host.processes import ProcessFigures, ServiceMeter
from opsbot.monitoring.host_gauges import gauges
from opsbot.monitoring.host_incidents import HostIncidents
from opsbot.monitoring.host_meter import HostMeasurement, HostMeter
from opsbot.monitoring.leak_monitor import LeakMonitor
from opsbot.services.port import ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, incident_repository, samples
from opsbot.store.samples import Figure, Sample

if TYPE_CHECKING:
    from opsbot.core.trend import Forecast

log = logging.getLogger(__name__)

THIN = timedelta(hours=1)
TREND = timedelta(hours=24)
FORESEE = timedelta(minutes=5)
"""Between two looks at where the figures are heading."""
JOURNAL = Path("/var/log/journal")
UNITS_NAMED = 5
UNITS_ADVICE = "See why with `systemctl status UNIT`; `systemctl reset-failed UNIT` clears it."

FailedUnits = Callable[[], Awaitable[Sequence[str]]]


class HostMonitor:
    """Watches the host, and keeps the figures of all services."""

    def __init__(
        self,
        config: Config,
        store: Store,
        book: HostIncidents,
        managers: Mapping[str, ServiceManager],
        leaks: LeakMonitor,
        clock: Callable[[], datetime],
        *,
        measure: Callable[[], HostMeasurement] | None = None,
        failed_units: FailedUnits | None = None,
        drift: ClockSkew | None = None,
        meter: ServiceMeter | None = None,
    ) -> None:
        """measure: measures the host; `HostMeter` if None. failed_units: those of systemd.

        drift: the clock's difference to Discord's. meter: measures the services.
        """
        self._config = config
        self._checks = config.host_checks
        self._store = store
        self._book = book
        self._managers = managers
        self._leaks = leaks
        self._clock = clock
        self._measure = measure or HostMeter(watched_paths(config), clock=bool(self._checks.clock)).measure
        self._failed_units = failed_units
        self._drift = drift or ClockSkew()
        self._meter = meter or ServiceMeter()
        self._thresholds: dict[str, ThresholdState] | None = None
        self._ahead: dict[str, Forecast | None] = {}
        self._foreseen: datetime | None = None
        self._thinned: datetime | None = None
        self.gauges: tuple[Gauge, ...] = ()
        """As they were last measured: for `/metrics` and `/status`."""

    async def tick(self) -> None:
        """Measure everything once, keep it, and judge it."""
        now = self._clock()
        measured = self._with_drift(await asyncio.to_thread(self._measure), now)
        states = await self._states()
        figures = await asyncio.to_thread(self._figures_of, states)
        await self._store.write(_keep, now, [*_of_host(measured), *_of_services(figures)], states)
        await self._foresee(measured, now)
        await self._judge(measured, now)
        await self._leaks.judge_all(states, measured.host, now)
        if self._thinned is None or not timedelta(0) <= now - self._thinned < THIN:
            self._thinned = now
            await self._store.write(samples.thin, now)

    def _with_drift(self, measured: HostMeasurement, now: datetime) -> HostMeasurement:
        """The clock may be wrong by what the kernel reckons, and by its difference to Discord's."""
        told = [error for error in (measured.clock_error, self._drift.seconds(now)) if error is not None]
        return replace(measured, clock_error=max(told, default=None))

    async def _states(self) -> dict[str, ServiceState]:
        found = {}
        for name, manager in self._managers.items():
            with suppress(ManagerError):  # the watcher reports that
                found[name] = await manager.state(name)
        return found

    def _figures_of(self, states: Mapping[str, ServiceState]) -> dict[str, ProcessFigures]:
        found = {}
        for name, state in states.items():
            figures = self._meter.figures(state.pid, state.groups, state.started_at)
            if figures is not None:
                memory = retained_memory(state.groups)
                found[name] = figures if memory is None else replace(figures, memory=memory)
        return found

    async def _foresee(self, measured: HostMeasurement, now: datetime) -> None:
        """Where what fills up is heading. It changes slowly, and takes reading: not at each tick."""
        if self._foreseen is not None and timedelta(0) <= now - self._foreseen < FORESEE:
            return
        self._foreseen = now
        ahead: dict[str, Forecast | None] = {}
        limits: list[tuple[str, str, Figure, float, float]] = []
        for each in measured.file_systems:
            disk, inodes = f"{HOST}disk:{each.path}", f"{HOST}inodes:{each.path}"
            limits.append((disk, disk, Figure.USED, each.total, each.used))
            if each.inodes:
                limits.append((inodes, disk, Figure.INODES, each.inodes, each.inodes_used))
        host = measured.host
        if host.memory_total and host.memory_used is not None:
            limits.append((f"{HOST}memory", f"{HOST}memory", Figure.MEMORY, host.memory_total, host.memory_used))
        for subject, series, figure, limit, level in limits:
            points = await self._store.read(samples.points, series, figure, now - TREND)
            ahead[subject] = await asyncio.to_thread(filling, points, limit, level)
        self._ahead = ahead

    async def _judge(self, measured: HostMeasurement, now: datetime) -> None:
        thresholds = await self._remembered()
        found = tuple(gauges(self._checks, measured, self._ahead, lambda s: thresholds.get(s, ThresholdState()).bad))
        if not self.gauges:
            await self._forget_others({gauge.subject for gauge in found}, thresholds)
        self.gauges = found
        gap = max(GAP, 3 * self._checks.interval)
        for gauge in found:
            before = thresholds.get(gauge.subject, ThresholdState())
            after = judge(before, gauge.value, now, gauge.threshold, gap)
            if after.bad and not before.bad:
                await self._book.trouble(
                    gauge.subject, _cause(gauge), before.since or now, evidence=await self._evidence(gauge)
                )
            elif before.bad and not after.bad:
                await self._book.end(gauge.subject, message(Resolution.HOST, what=plain(gauge.words)))
            thresholds[gauge.subject] = after
        await self._judge_units(thresholds, now)

    async def _remembered(self) -> dict[str, ThresholdState]:
        if self._thresholds is None:
            incidents = await self._store.read(incident_repository.open_incidents)
            self._thresholds = {subject: ThresholdState(bad=True) for subject in incidents if subject.startswith(HOST)}
        return self._thresholds

    async def _forget_others(self, watched: set[str], thresholds: dict[str, ThresholdState]) -> None:
        """End what an earlier configuration watched, and this one does not."""
        elsewhere = (f"{HOST}cert:", f"{HOST}units", OPSBOT)
        for subject in [each for each in thresholds if each not in watched and not each.startswith(elsewhere)]:
            await self._book.end(subject, message(Resolution.NOT_WATCHED))
            del thresholds[subject]

    async def _evidence(self, gauge: Gauge) -> Evidence:
        said = await asyncio.to_thread(self._users, gauge.users)
        what = gauge.subject.removeprefix(HOST).replace(":", " ", 1)
        return Evidence(checks=((what, plain(gauge.words)), (ADVICE, plain(gauge.next_step))), log=tuple(said))

    def _users(self, whom: Users | None) -> list[str]:
        if whom is None:
            return []
        try:
            if whom.memory:
                return [f"{size(each.size):>9}  {each.name}" for each in top_processes.largest_processes()]
            if whom.disk:
                found = top_processes.fullest(known_folders(self._config), os.stat(whom.disk).st_dev)  # noqa: PTH116 - st_dev alone
                return [f"{'' if each.whole else 'at least '}{size(each.size):>9}  {each.name}" for each in found]
        except OSError as error:
            log.warning("who uses it cannot be found out: %s", error)
        return []

    async def _judge_units(self, thresholds: dict[str, ThresholdState], now: datetime) -> None:
        subject = f"{HOST}units"
        if self._failed_units is None or not self._checks.failed_units:
            if thresholds.pop(subject, ThresholdState()).bad:
                await self._book.end(subject, message(Resolution.NOT_WATCHED))
            return
        try:
            failed = await self._failed_units()
        except ManagerError as error:
            log.warning("systemd cannot be asked for failed units: %s", error)
            return
        was = thresholds.get(subject, ThresholdState()).bad
        thresholds[subject] = ThresholdState(bad=bool(failed), seen=now)
        if failed and not was:
            more = max(len(failed) - UNITS_NAMED, 0)
            cause = message(IncidentCause.UNITS_FAILED, units=tuple(failed[:UNITS_NAMED]), more=more)
            await self._book.trouble(subject, cause, now, evidence=Evidence(checks=((ADVICE, plain(UNITS_ADVICE)),)))
        elif was and not failed:
            await self._book.end(subject, message(Resolution.UNITS))


def _cause(gauge: Gauge) -> Message:
    return message(IncidentCause.HOST, what=plain(gauge.cause))


def watched_paths(config: Config) -> list[Path]:
    """Whose file systems are watched: the root, the state's, the services'."""
    sources = [service.source.directory for service in config.services.values() if service.source]
    return [Path("/"), config.state.directory, *sources]


def known_folders(config: Config) -> list[Path]:
    """The folders that opsbot knows of, those that tend to grow: releases, shared data, its own state, the journal."""
    folders = [config.state.directory, JOURNAL]
    for service in config.services.values():
        if service.source is not None:
            folders += [service.source.directory / "releases", service.source.directory / "shared"]
    return folders


def _of_services(figures: Mapping[str, ProcessFigures]) -> list[Sample]:
    found = []
    for name, each in figures.items():
        found += [Sample(name, Figure.MEMORY, each.memory), Sample(name, Figure.CPU, each.cpu * 10)]
        tasks = each.tasks or (each.threads + each.children if each.threads is not None else None)
        if tasks is not None:
            found.append(Sample(name, Figure.TASKS, tasks))
        if each.fds is not None:
            found.append(Sample(name, Figure.FDS, each.fds))
    return found


def _of_host(measured: HostMeasurement) -> list[Sample]:
    host, found = measured.host, []
    for each in measured.file_systems:
        subject = f"{HOST}disk:{each.path}"
        found += [Sample(subject, Figure.USED, each.used), Sample(subject, Figure.INODES, each.inodes_used)]
    if host.memory_used is not None:
        found.append(Sample(f"{HOST}memory", Figure.MEMORY, host.memory_used))
    if host.swap_used is not None:
        found.append(Sample(f"{HOST}memory", Figure.SWAP, host.swap_used))
    if host.cpu is not None:
        found.append(Sample(f"{HOST}cpu", Figure.CPU, host.cpu * 10 * host.cores))
    if measured.files is not None:
        found.append(Sample(f"{HOST}cpu", Figure.FDS, measured.files[0]))
    found.append(Sample(f"{HOST}cpu", Figure.LOAD, host.load[1] * 1000))
    return found


def _keep(db: sqlite3.Connection, now: datetime, batch: Sequence[Sample], states: Mapping[str, ServiceState]) -> None:
    """One transaction a tick: one wait for the disk."""
    samples.put(db, now, batch)
    for name, state in states.items():
        if state.run is not None:
            samples.record_run(db, name, state.run, state.started_at or now)
