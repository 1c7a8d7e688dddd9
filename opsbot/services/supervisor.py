"""A ServiceManager that runs services as children of opsbot, which outlive it."""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

from opsbot.config import Service
from opsbot.core.inhibitors import Inhibitor
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services import run_record
from opsbot.services.backoff import Backoff
from opsbot.services.port import LogLine, LogQuery, ManagerError, ServiceEvent, ServiceState
from opsbot.services.process_supervisor import ProcessSupervisor
from opsbot.services.processes import by_run, find
from opsbot.services.spool_watch import SpoolWatcher

log = logging.getLogger(__name__)

_FORKED_SECONDS = 2.0


def _now() -> datetime:
    return datetime.now(UTC)


class Supervisor:
    """Implements `opsbot.services.port.ServiceManager` for `manager = "process"`."""

    def __init__(
        self,
        services: Mapping[str, Service],
        directory: Path,
        clock: Callable[[], datetime] = _now,
        *,
        backoff: Backoff | None = None,
        resume: bool = True,
        inhibitor: Inhibitor | None = None,
    ) -> None:
        """Take the services; none is started before it is asked for.

        directory: holds a folder for each service with its record, its spool and its log. resume: `open` restarts
        services that should run and do not, except those that were given up, which wait for a reboot of the host.
        inhibitor: asked before a service that died is restarted.
        """
        self._services = dict(services)
        self._directory = directory
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._resume = resume
        self._listeners: list[Callable[[ServiceEvent], None]] = []
        self._supervised: dict[str, ProcessSupervisor] = {}
        self._inhibitor = inhibitor or _no_reason
        self._spools: SpoolWatcher | None = None
        self._draining: set[asyncio.Task[None]] = set()
        self._lock = -1

    async def open(self) -> None:
        """Adopt running processes, end what is left of earlier runs, and restart what should run and does not.

        Raises:
            ManagerError: another opsbot supervises from this directory, or it cannot be used.
        """
        self._lock = await asyncio.to_thread(_take, self._directory)
        self._spools = SpoolWatcher(self._grown)
        runs = await asyncio.to_thread(by_run)
        self._supervised = {
            name: ProcessSupervisor(
                service, self._directory / name, self._clock, self._backoff, self._spools, self._notify, self._inhibitor
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
        if self._draining:
            await asyncio.wait(self._draining)
        self._supervised = {}
        if self._spools is not None:
            self._spools.close()
            self._spools = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def listen(self, listener: Callable[[ServiceEvent], None]) -> None:
        """Call `listener`, on the event loop, for each event from now on. It must not block."""
        self._listeners.append(listener)

    async def start(self, service: str) -> ServiceState:
        """Start the service if it does not run; return once its process runs.

        Raises:
            ManagerError: it cannot be started.
        """
        return await self._of(service).start()

    async def stop(self, service: str) -> ServiceState:
        """Send SIGTERM and, after the stop timeout, SIGKILL to all its processes; return once none is left.

        Raises:
            ManagerError: a process survives SIGKILL.
        """
        return await self._of(service).stop()

    async def restart(self, service: str, part: str | None = None) -> ServiceState:
        """Stop the service and start it in what is now its live release; return once its new process runs.

        Raises:
            ManagerError: it cannot be stopped or started, or a part is named.
        """
        if part is not None:
            raise ManagerError(message(ManagerCode.NO_PARTS, service=service, part=part))
        return await self._of(service).restart()

    def parts(self, service: str) -> tuple[str, ...]:
        """None: a service here is one process and its children."""
        self._of(service)
        return ()

    async def state(self, service: str, *, anew: bool = False) -> ServiceState:
        """The state of the service. It is always current: the service is a child of opsbot."""
        del anew
        return self._of(service).state

    async def logs(self, service: str, query: LogQuery) -> list[LogLine]:
        """Lines the service wrote, oldest first, up to the most recent.

        Raises:
            ManagerError: the pattern is invalid, or the search takes too long.
        """
        supervised = self._of(service)
        return await supervised.log_writer.lines(query, supervised.state.run)

    async def follow(self, service: str) -> AsyncIterator[LogLine]:
        """Lines as they are written, from now on. A slow reader loses the oldest; the log has them all."""
        async with aclosing(self._of(service).log_writer.follow()) as lines:
            async for line in lines:
                yield line

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

    def _notify(self, event: ServiceEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                # A listener's fault must not prevent a restart.
                log.exception("a listener failed on %s", event)

    def _grown(self, services: set[str]) -> None:
        for service in services:
            if service in self._supervised:
                task = asyncio.create_task(self._supervised[service].log_writer.drain())
                self._draining.add(task)
                task.add_done_callback(self._draining.discard)


async def _no_reason(_: str) -> None:
    return None


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _take(directory: Path) -> int:
    """Lock the directory. The kernel releases the lock when this process ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(directory / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ManagerError(
            message(ManagerCode.DIRECTORY_UNUSABLE, directory=str(directory), reason=error.strerror or str(error))
        ) from error
    until = time.monotonic() + _FORKED_SECONDS
    while not _lock(fd):
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
        # A process that is killed while it forks leaves the lock to its child until that calls exec.
        if time.monotonic() > until or (holder.isdigit() and find(int(holder)) is not None):
            os.close(fd)
            raise ManagerError(message(ManagerCode.SUPERVISED_ELSEWHERE, pid=holder, directory=str(directory)))
        time.sleep(0.02)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
