"""A ServiceManager that runs services as children of opsbot, which outlive it."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from pathlib import Path

from opsbot.config import Service
from opsbot.core.inhibitors import Inhibitor
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.runtime.instance_lock import lock_file
from opsbot.runtime.tasks import BackgroundTasks
from opsbot.runtime.ticks import utc_now
from opsbot.services import run_record
from opsbot.services.backoff import Backoff
from opsbot.services.listeners import Listeners
from opsbot.services.port import LogLine, LogQuery, ManagerError, ServiceEvent, ServiceState
from opsbot.services.process_supervisor import ProcessSupervisor, unusable_directory
from opsbot.services.processes import by_run
from opsbot.services.spool_watch import SpoolWatcher

log = logging.getLogger(__name__)


class Supervisor:
    """Implements `opsbot.services.port.ServiceManager` for `manager = "process"`."""

    def __init__(
        self,
        services: Mapping[str, Service],
        directory: Path,
        clock: Callable[[], datetime] = utc_now,
        *,
        backoff: Backoff | None = None,
        resume: bool = True,
        inhibitor: Inhibitor | None = None,
    ) -> None:
        """directory: has a folder for each service: its record, spool and log.

        resume: `open` restarts services that should run and do not, except those that were given up, which wait for a
        reboot of the host. inhibitor: asked before a service that died is restarted.
        """
        self._services = dict(services)
        self._directory = directory
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._resume = resume
        self._listeners = Listeners[ServiceEvent]()
        self._supervised: dict[str, ProcessSupervisor] = {}
        self._inhibitor = inhibitor or _no_reason
        self._spools: SpoolWatcher | None = None
        self._draining = BackgroundTasks(log)
        self._lock = -1

    async def open(self) -> None:
        """Adopt running processes, end those of earlier runs, and resume services."""
        self._lock = await asyncio.to_thread(_take, self._directory)
        self._spools = SpoolWatcher(self._grown)
        runs = await asyncio.to_thread(by_run)
        self._supervised = {
            name: ProcessSupervisor(
                service,
                self._directory / name,
                self._clock,
                self._backoff,
                self._spools,
                self._listeners.notify,
                self._inhibitor,
            )
            for name, service in self._services.items()
        }
        await asyncio.to_thread(self._log_removed_services)
        try:
            await asyncio.gather(
                *(supervised.find(runs, resume=self._resume) for supervised in self._supervised.values())
            )
        except ManagerError:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what is under way and stop watching. The services keep running."""
        await asyncio.gather(*(supervised.leave() for supervised in self._supervised.values()))
        await asyncio.gather(*self._draining.tasks, return_exceptions=True)
        self._supervised = {}
        if self._spools is not None:
            self._spools.close()
            self._spools = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def listen(self, listener: Callable[[ServiceEvent], None]) -> None:
        self._listeners.add(listener)

    async def start(self, service: str) -> ServiceState:
        return await self._of(service).start()

    async def stop(self, service: str) -> ServiceState:
        """Send SIGTERM to all its processes, and SIGKILL after the stop timeout."""
        return await self._of(service).stop()

    async def restart(self, service: str, part: str | None = None) -> ServiceState:
        if part is not None:
            raise ManagerError(message(ManagerCode.NO_PARTS, service=service, part=part))
        return await self._of(service).restart()

    def parts(self, service: str) -> tuple[str, ...]:
        self._of(service)
        return ()

    async def state(self, service: str, *, refresh: bool = False) -> ServiceState:
        """Always current: the service is a child of opsbot."""
        del refresh
        return self._of(service).state

    async def logs(self, service: str, query: LogQuery) -> list[LogLine]:
        supervised = self._of(service)
        return await supervised.log_writer.lines(query, supervised.state.run)

    def follow(self, service: str) -> AsyncIterator[LogLine]:
        """See `ServiceManager.follow`. A slow reader loses the oldest lines."""
        return self._of(service).log_writer.follow()

    def _log_removed_services(self) -> None:
        """Log services that still run although they are no longer configured."""
        for folder in self._directory.iterdir():
            record = run_record.load(folder) if folder.is_dir() and folder.name not in self._services else None
            main = record.main() if record is not None else None
            if main is not None:
                log.warning("%s is no longer configured, but still runs as process %d", folder.name, main.pid)

    def _of(self, service: str) -> ProcessSupervisor:
        try:
            return self._supervised[service]
        except KeyError:
            raise ManagerError(message(ManagerCode.UNKNOWN_SERVICE, service=service)) from None

    def _grown(self, services: set[str]) -> None:
        for service in services:
            if service in self._supervised:
                self._draining.run(self._supervised[service].log_writer.drain(), f"log of {service}")


async def _no_reason(_: str) -> None:
    return None


def _take(directory: Path) -> int:
    """Lock the directory. The kernel releases the lock when this process ends."""
    path = directory / "supervisor.lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fd = lock_file(path)
    except BlockingIOError as error:
        why = message(ManagerCode.SUPERVISED_ELSEWHERE, pid=path.read_text().strip(), directory=str(directory))
        raise ManagerError(why) from error
    except OSError as error:
        raise unusable_directory(directory, error) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
