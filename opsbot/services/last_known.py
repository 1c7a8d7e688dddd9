"""The state and the log of a service while no daemon runs. Blocks."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opsbot.config import Config, ManagerKind, Service
from opsbot.core.exits import ExitCode
from opsbot.core.message import message
from opsbot.services import run_record
from opsbot.services.log_reader import read
from opsbot.services.port import Activity, LogLine, LogQuery, ManagerError, ServiceState

if TYPE_CHECKING:
    from opsbot.services.journal import Journal


def last_state(config: Config, service: Service) -> ServiceState:
    if service.manager is ManagerKind.SYSTEMD:
        from opsbot.services.systemd.offline import query_state  # noqa: PLC0415 - not every host has D-Bus

        try:
            return query_state(service, config.systemd.scope, config.state.directory / "units.json")
        except ManagerError as error:
            return ServiceState(Activity.STOPPED, exit=message(ExitCode.STATE_UNAVAILABLE, error=error.message))
    record = run_record.load(config.state.services / service.name)
    if record is None:
        return ServiceState(Activity.STOPPED)
    process = record.main()
    failed = Activity.FAILED if record.gave_up or record.wanted else Activity.STOPPED
    return ServiceState(
        Activity.RUNNING if process else failed,
        pid=process.pid if process else None,
        started_at=record.began,
        restarts=record.restarts,
        exit=record.exit,
        stopped_by_hand=record.by_hand,
    )


def log_lines(config: Config, service: Service, query: LogQuery) -> list[LogLine]:
    """Lines of the service, and of its manager about it.

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
    """Their lines; `this_run` means the run of each unit's last line."""
    latest = [await journal.lines([unit], LogQuery(lines=1)) for unit in units] if query.this_run else []
    return await journal.lines(units, query, [line.run for lines in latest for line in lines if line.run])
