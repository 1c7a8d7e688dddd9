"""Runs jobs as a service's user by systemd units, without root.

Each systemd service with a source has two, `opsbot-step-NAME.service` and `opsbot-check-NAME.service`: plain oneshot
units that `opsbot install` writes, with the User= of the service's unit. opsbot writes a job into the folder that the
unit reads (`opsbot.errand`), and has systemd start it.
"""

import asyncio
import grp
import logging
import os
import pwd
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from opsbot.config import Scope, Service
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import Message, message
from opsbot.errand.job import BEGUN, NOT_STARTED, NOT_TAKEN, REFUSED, encoded
from opsbot.runtime.tasks import cancel_all
from opsbot.services.pipes import pump
from opsbot.services.run_as import Ended, ErrandError, Slot
from opsbot.services.systemd.bus import BusError, JobResult, SystemdBus, Verb
from opsbot.services.systemd.job_folder import Ends, JobFolder
from opsbot.services.systemd.names import SERVICE

log = logging.getLogger(__name__)

UMASK = 0o007
"""The service's group, which opsbot is in, may change what jobs create, so opsbot can remove most of it."""
STOP = timedelta(seconds=20)
"""A stop: longer than the TimeoutStopSec= of the units."""
STOP_TRIES = 30
"""Attempts to stop a unit, a second apart, while the bus is disconnected."""
READ_CWD = timedelta(seconds=10)
"""Time limit for reading a process's working directory."""
MARGIN = timedelta(seconds=60)
LAST_WORDS_SECONDS = 1.0
_EXITED = 1
"""CLD_EXITED of `ExecMainCode` (waitid(2)); higher values mean a signal."""
_SYSTEMD_STATUS = range(200, 260)
"""Exit statuses of systemd itself when it cannot set up a process (systemd.exec(5))."""
_OVER = {"inactive", "failed"}


def unit_name(service: str, slot: Slot) -> str:
    return f"opsbot-{slot}-{service}.service"


@dataclass(frozen=True, slots=True)
class Account:
    """Who a unit runs as, in numbers."""

    uid: int
    gid: int


class _Stream:
    """The pipe's output without its first bytes: whether the command was started."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self.begun = False
        self.reason = b""
        self._first = self._nothing_yet = True

    def take(self, chunk: bytes) -> None:
        if self._first:
            self._first = False
            self.begun = chunk.startswith(BEGUN)
            chunk = chunk.removeprefix(BEGUN)
        if chunk and self._nothing_yet:
            self._nothing_yet = False
            if chunk.startswith(REFUSED):
                self.reason = chunk.removeprefix(REFUSED)[:500]
        if chunk:
            self._take(chunk)


class UnitErrands:
    """Implements `opsbot.services.run_as.Errands`."""

    def __init__(self, bus: SystemdBus, services: Mapping[str, Service]) -> None:
        self._bus = bus
        self._services = services
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ending: set[asyncio.Task[None]] = set()

    # Who runs it

    async def abroad(self, service: Service) -> bool:
        if not service.manager.capabilities.has_units or service.source is None or self._bus.scope is Scope.USER:
            return False
        try:
            return (await self._account(service)).uid != os.geteuid()
        except BusError as error:
            raise ErrandError(error.message, retry=error.retry) from error

    async def _account(self, service: Service) -> Account:
        accounts = {unit: await self._of_unit(unit) for unit in service.units}
        first = accounts[service.unit]
        for unit, account in accounts.items():
            if account.uid == 0 and os.geteuid() != 0:
                raise ErrandError(message(ManagerCode.RUNS_AS_ROOT, unit=unit))
            if account != first:
                raise ErrandError(message(ManagerCode.DIFFERENT_USERS, unit=service.unit, other=unit))
        return first

    async def _of_unit(self, unit: str) -> Account:
        loaded = await self._bus.get(unit, "LoadState")
        if loaded != "loaded":
            raise ErrandError(message(ManagerCode.UNIT_NOT_LOADED, unit=unit, state=str(loaded)))
        if await self._bus.get(unit, "DynamicUser", SERVICE):
            raise ErrandError(message(ManagerCode.DYNAMIC_USER, unit=unit))
        user, group = await self._bus.get(unit, "User", SERVICE), await self._bus.get(unit, "Group", SERVICE)
        try:
            return await asyncio.to_thread(_numbers, user, group)
        except KeyError as error:
            raise ErrandError(message(ManagerCode.NO_SUCH_USER, unit=unit, reason=str(error.args[0]))) from error

    async def _ready(self, service: Service, unit: str) -> Account:
        """Ensure that the job unit exists, has the right user and does not run."""
        account = await self._account(service)
        if await self._bus.get(unit, "LoadState") == "not-found":
            raise ErrandError(message(ManagerCode.HELPER_MISSING, unit=unit, service=service.name))
        if await self._of_unit(unit) != account:
            raise ErrandError(message(ManagerCode.HELPER_OTHER_USER, unit=unit, other=service.unit))
        if await self._stop(unit):
            log.warning("%s was left running; ended it", unit)
        return account

    async def _stop(self, unit: str) -> bool:
        """Stop a unit; return whether it ran."""
        runs = await self._bus.get(unit, "ActiveState") not in _OVER
        if runs:
            await self._bus.job(Verb.STOP, unit, within=STOP)
        return runs

    # Running it

    async def run(
        self,
        service: Service,
        slot: Slot,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        within: timedelta,
        take: Callable[[bytes], None],
    ) -> Ended:
        if service.source is None:
            raise ErrandError(message(ManagerCode.NO_SOURCE, service=service.name))
        unit = unit_name(service.name, slot)
        job = encoded(command, str(directory), environment, UMASK)
        async with self._locks[unit]:
            try:
                account = await self._ready(service, unit)
                folder = JobFolder(service.source.directory, slot)
                ends = await _put(folder, job, account.gid)
                try:
                    return await self._attend(unit, ends, _Stream(take), within)
                finally:
                    await asyncio.shield(asyncio.to_thread(folder.clear))
            except BusError as error:
                raise _errand_error(unit, error) from error

    async def _attend(self, unit: str, ends: Ends, stream: _Stream, within: timedelta) -> Ended:
        reading = asyncio.create_task(pump(ends.reading, stream.take))
        ends.reading = -1  # closed by the task
        late = False
        result = JobResult.UNKNOWN
        try:
            try:
                async with asyncio.timeout(within.total_seconds()):
                    result = await self._bus.job(Verb.START, unit, within=within + MARGIN)
                    # The job ends before the processes that the command left behind.
                    await self._over(unit)
            except TimeoutError:
                late = True
        finally:
            await self._stopped(unit)
            ends.close()
            await asyncio.wait([reading], timeout=LAST_WORDS_SECONDS)
            await cancel_all(reading)
        about = await self._bus.properties(unit, SERVICE)
        failed = await self._bus.get(unit, "ActiveState") == "failed"
        if failed:
            with suppress(BusError):  # only so that it is not listed as failed
                await self._bus.reset_failed(unit)
        return Ended(late=True) if late else _judged(unit, result, about, stream, failed=failed)

    async def _over(self, unit: str) -> None:
        pause = 0.01
        while await self._bus.get(unit, "ActiveState") not in _OVER:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.2)

    async def _stopped(self, unit: str) -> None:
        """Stop it, however often this is cancelled."""
        ending = asyncio.create_task(self._end(unit), name=f"end {unit}")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        await asyncio.shield(ending)

    async def _end(self, unit: str) -> None:
        for _ in range(STOP_TRIES):
            try:
                await self._stop(unit)
            except BusError as error:
                log.warning("%s could not be stopped: %s", unit, error)
                if not error.retry:
                    return
                await asyncio.sleep(1)
            else:
                return

    async def end_left(self) -> int:
        ended = 0
        for service in self._services.values():
            if not service.manager.capabilities.has_units or service.source is None:
                continue
            for slot in Slot:
                unit = unit_name(service.name, slot)
                try:
                    ended += await self._stop(unit)
                except BusError as error:
                    log.warning("cannot check whether %s was left running: %s", unit, error)
        return ended

    async def cwd_of(self, service: str, pid: int) -> Path | None:
        """See `Errands.cwd_of`; None if opsbot itself could read it (proc_pid_cwd(5))."""
        configured = self._services[service]
        said = bytearray()
        try:
            if not await self.abroad(configured):
                return None
            ended = await self.run(
                configured,
                Slot.CHECK,
                ["readlink", "--", f"/proc/{pid}/cwd"],
                directory=Path("/"),
                environment={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
                within=READ_CWD,
                take=said.extend,
            )
        except ErrandError as error:
            log.warning("the working directory of process %d of %s is not readable: %s", pid, service, error)
            return None
        found = os.fsdecode(bytes(said).removesuffix(b"\n"))
        return Path(found) if ended == Ended() and found.startswith("/") else None


def _numbers(user: str, group: str) -> Account:
    """The account of User= and Group=: names or numbers, "" if unset."""
    if not user:
        return Account(0, 0 if not group else grp.getgrnam(group).gr_gid)
    entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    if not group:
        return Account(entry.pw_uid, entry.pw_gid)
    return Account(entry.pw_uid, int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid)


def _errand_error(unit: str, error: BusError) -> ErrandError:
    if error.denied:
        return ErrandError(message(ManagerCode.HELPER_NOT_AUTHORIZED, unit=unit, error=error.message))
    return ErrandError(message(ManagerCode.HELPER_FAILED, unit=unit, error=error.message), retry=error.retry)


async def _put(folder: JobFolder, job: bytes, group: int) -> Ends:
    putting = asyncio.create_task(asyncio.to_thread(folder.put, job, group))
    try:
        return await asyncio.shield(putting)
    except asyncio.CancelledError:
        # The thread cannot be cancelled.
        putting.add_done_callback(_close)
        raise


def _close(putting: "asyncio.Task[Ends]") -> None:
    if not putting.cancelled() and putting.exception() is None:
        putting.result().close()


def _judged(unit: str, result: JobResult, about: Mapping[str, Any], stream: _Stream, *, failed: bool) -> Ended:
    code, status = about["ExecMainCode"], about["ExecMainStatus"]
    if stream.reason and status == NOT_STARTED:
        return Ended(NOT_STARTED, refused=stream.reason.decode(errors="replace").strip())
    if not stream.begun:
        raise ErrandError(message(ManagerCode.HELPER_NOT_BEGUN, unit=unit, why=_why(code, status, about)))
    if not failed:
        # Stopped by somebody else, it is inactive as after its end: only the job result differs.
        return Ended(signal=15) if result is JobResult.CANCELED else Ended()
    if about["Result"] == "oom-kill":
        return Ended(signal=9)
    if code != _EXITED:
        return Ended(signal=status)
    return Ended(status)


def _why(code: int, status: int, about: Mapping[str, Any]) -> Message:
    if status == NOT_TAKEN:
        return message(ManagerCode.JOB_NOT_TAKEN)
    if code == _EXITED and status in _SYSTEMD_STATUS:
        return message(ManagerCode.SETUP_STATUS, status=status)
    return message(ManagerCode.HELPER_RESULT, result=str(about["Result"]), status=status)
