"""The state and the log of a service while no daemon runs: looked up on the host. Blocks."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opsbot.config import Config, ManagerKind, Service
from opsbot.services import run_record
from opsbot.services.log_reader import read
from opsbot.services.port import Activity, LogLine, LogQuery, ManagerError, ServiceState
from opsbot.services.systemd import systemctl

if TYPE_CHECKING:
    from opsbot.services.journal import Journal


def last_state(config: Config, service: Service) -> ServiceState:
    """The state of a service now, as far as its manager tells it to anybody, and the daemon wrote it down."""
    if service.manager is ManagerKind.SYSTEMD:
        try:
            return systemctl.query_state(service, config.systemd.scope, config.state.directory / "units.json")
        except ManagerError as error:
            return systemctl.unknown(error)
    record = run_record.load(config.state.services / service.name)
    if record is None:
        return ServiceState(Activity.STOPPED)
    process = record.main()
    if process is not None:
        activity = Activity.RUNNING
    elif record.gave_up:
        activity = Activity.FAILED
    else:
        activity = Activity.FAILED if record.wanted else Activity.STOPPED
    return ServiceState(
        activity,
        pid=process.pid if process else None,
        started_at=record.began,
        restarts=record.restarts,
        exit=record.exit,
        stopped_by_hand=record.by_hand,
    )


def log_lines(config: Config, service: Service, query: LogQuery) -> list[LogLine]:
    """Lines that the service wrote, and its manager of it.

    Raises:
        ManagerError: the log cannot be read, the pattern is invalid, or it takes too long.
        OSError: the log cannot be read.
    """
    if service.manager is ManagerKind.SYSTEMD:
        from opsbot.services.journal import Journal  # noqa: PLC0415 - not every host has one

        return asyncio.run(_of_units(Journal(config.systemd.scope), service.units, query))
    folder = config.state.services / service.name
    record = run_record.load(folder)
    return read(folder / "log", query, record.run if record else None)


async def _of_units(journal: "Journal", units: Sequence[str], query: LogQuery) -> list[LogLine]:
    """Their lines; the run meant by `this_run` is that of the last line each has."""
    latest = [await journal.lines([unit], LogQuery(lines=1)) for unit in units] if query.this_run else []
    return await journal.lines(units, query, [line.run for lines in latest for line in lines if line.run])
