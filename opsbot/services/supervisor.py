"""The supervisor: a ServiceManager whose services are opsbot's own children, and outlive it."""

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
from opsbot.services import run_record
from opsbot.services.keeper import Held, Keeper
from opsbot.services.patience import Patience
from opsbot.services.port import LogLine, LogQuery, ManagerError, ServiceEvent, ServiceState
from opsbot.services.processes import by_run, find
from opsbot.services.spool_watch import SpoolWatch

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
        patience: Patience | None = None,
        resume: bool = True,
    ) -> None:
        """`directory` holds a folder a service: its record, its spool and its log.

        resume: `open` starts a service again that was to run and does not; one that opsbot gave up is left alone until
        the host is restarted.
        """
        self._services = dict(services)
        self._directory = directory
        self._clock = clock
        self._patience = patience or Patience()
        self._resume = resume
        self._listeners: list[Callable[[ServiceEvent], None]] = []
        self._keepers: dict[str, Keeper] = {}
        self.held: Held = _free
        """Asked before a service that died is started again: why not yet, in words, or None."""
        self._spools: SpoolWatch | None = None
        self._draining: set[asyncio.Task[None]] = set()
        self._lock = -1

    async def open(self) -> None:
        """Adopt what runs already, end what is left of earlier runs, and start again what is to run and does not.

        Raises:
            ManagerError: another opsbot supervises from this directory, or it cannot be used.
        """
        self._lock = await asyncio.to_thread(_take, self._directory)
        self._spools = SpoolWatch(self._grown)
        runs = await asyncio.to_thread(by_run)
        self._keepers = {
            name: Keeper(
                service, self._directory / name, self._clock, self._patience, self._spools, self._tell, self._is_held
            )
            for name, service in self._services.items()
        }
        await asyncio.to_thread(self._tell_of_strays)
        try:
            await asyncio.gather(*(keeper.find(runs, resume=self._resume) for keeper in self._keepers.values()))
        except ManagerError:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop watching, once what is being done is done. The services go on running."""
        await asyncio.gather(*(keeper.leave() for keeper in self._keepers.values()))
        if self._draining:
            await asyncio.wait(self._draining)
        self._keepers = {}
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
        """Start it if it does not run; returns once its process is running.

        Raises:
            ManagerError: it cannot be started; the text says why.
        """
        return await self._keeper(service).start()

    async def stop(self, service: str) -> ServiceState:
        """SIGTERM, after its stop timeout SIGKILL, to all its processes; returns once none is left.

        Raises:
            ManagerError: a process outlives SIGKILL.
        """
        return await self._keeper(service).stop()

    async def restart(self, service: str, part: str | None = None) -> ServiceState:
        """Stop and start it, in what is now its live release; returns once its new process is running.

        Raises:
            ManagerError: it cannot be stopped or started, or is said to have parts; the text says why.
        """
        if part is not None:
            raise ManagerError(f"{service} is one process and has no part {part!r}")
        return await self._keeper(service).restart()

    def parts(self, service: str) -> tuple[str, ...]:
        """None: a service here is one process and what came of it."""
        self._keeper(service)
        return ()

    async def state(self, service: str, *, anew: bool = False) -> ServiceState:
        """How it stands now; it is opsbot's own child, of which everything is known at once."""
        del anew
        return self._keeper(service).state

    async def logs(self, service: str, query: LogQuery) -> list[LogLine]:
        """Lines the service wrote, oldest first, those it wrote a moment ago too.

        Raises:
            ManagerError: the pattern is none, or it takes too long.
        """
        keeper = self._keeper(service)
        return await keeper.transcript.lines(query, keeper.state.run)

    async def follow(self, service: str) -> AsyncIterator[LogLine]:
        """Lines as they are written, from now on. Who reads too slowly loses the oldest; the log has them all."""
        async with aclosing(self._keeper(service).transcript.follow()) as lines:
            async for line in lines:
                yield line

    def _tell_of_strays(self) -> None:
        """A service that was taken out of the configuration goes on running, but not in silence."""
        for folder in self._directory.iterdir():
            record = run_record.load(folder) if folder.is_dir() and folder.name not in self._services else None
            main = record.main() if record is not None else None
            if main is not None:
                log.warning("%s is not configured any more, but still runs as process %d", folder.name, main.pid)

    async def _is_held(self, service: str) -> str | None:
        return await self.held(service)

    def _keeper(self, service: str) -> Keeper:
        try:
            return self._keepers[service]
        except KeyError:
            raise ManagerError(f"no service {service!r} is supervised here") from None

    def _tell(self, event: ServiceEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                # The edge: a listener's fault must not keep the service from being started again.
                log.exception("a listener failed on %s", event)

    def _grown(self, services: set[str]) -> None:
        for service in services:
            if service in self._keepers:
                task = asyncio.create_task(self._keepers[service].transcript.drain())
                self._draining.add(task)
                task.add_done_callback(self._draining.discard)


async def _free(_: str) -> None:
    return None


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _take(directory: Path) -> int:
    """Lock the directory; the kernel gives it free when this process ends, however it ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(directory / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ManagerError(f"{directory} cannot be used: {error.strerror}") from error
    until = time.monotonic() + _FORKED_SECONDS
    while not _lock(fd):
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
        # One that was killed while it forked leaves the lock with the child, until that has become another program.
        if time.monotonic() > until or (holder.isdigit() and find(int(holder)) is not None):
            os.close(fd)
            raise ManagerError(f"another opsbot (pid {holder}) supervises from {directory}")
        time.sleep(0.02)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
