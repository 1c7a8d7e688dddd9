"""A connection to systemd over D-Bus that reconnects by itself.

systemd sends signals to those who called `Subscribe`, on each connection. The end of a job is known by `JobRemoved`,
which may come before the answer that names the job; so the last ones are remembered.
"""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import count
from typing import Any

from dbus_fast import DBusFastError, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.unpack import unpack_variants

from opsbot.config import Scope
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import Message as Text
from opsbot.core.message import MessageError
from opsbot.core.message import message as text
from opsbot.runtime.tasks import cancel_all
from opsbot.services.listeners import Listeners
from opsbot.services.port import ManagerError
from opsbot.services.systemd.names import MANAGER, NO_JOB, PROPERTIES, ROOT, SYSTEMD, UNIT, unit_path

log = logging.getLogger(__name__)

CALL = timedelta(seconds=35)
"""A hanging polkit answers after 25 s."""
CONNECT = timedelta(seconds=10)
STALLED = 10.0
"""Seconds after which a refusal counts as polkit's failure (it ends a rule after 15 s), and the call is repeated."""
BACK_OFF = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts to connect."""
_REMEMBERED = 256
_OF_MANAGER = f"type='signal',sender='{SYSTEMD}',interface='{MANAGER}'"
_OF_UNIT = f"type='signal',sender='{SYSTEMD}',interface='{PROPERTIES}',member='PropertiesChanged'"
_MOST_MATCHES = 400
"""dbus-daemon allows a connection 512 (max_match_rules_per_connection in dbus-daemon(1))."""
_DENIED = {
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
}
_NO_REPLY = {"org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.TimedOut"}


class BusError(ManagerError):
    """A call failed. name: the D-Bus error; "" if there was no answer."""

    def __init__(self, message: Text, *, name: str = "", retry: bool = False) -> None:
        super().__init__(message, retry=retry)
        self.name = name

    @property
    def denied(self) -> bool:
        return self.name in _DENIED


class Verb(StrEnum):
    """What a job does to a unit: the methods of systemd's manager."""

    START = "StartUnit"
    STOP = "StopUnit"
    RESTART = "RestartUnit"

    @property
    def word(self) -> str:
        """The verb of `systemctl`."""
        return self.value.removesuffix("Unit").lower()


class JobResult(StrEnum):
    """How a job ended (`JobRemoved` in org.freedesktop.systemd1(5))."""

    DONE = "done"
    CANCELED = "canceled"
    TIMEOUT = "timeout"
    FAILED = "failed"
    DEPENDENCY = "dependency"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"
    """The connection was lost meanwhile; the job is finished."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal of systemd; variants are unpacked."""

    path: str
    interface: str
    member: str
    body: list[Any]


def address(scope: Scope) -> str:
    """The address of the system bus, or of the bus of opsbot's user (dbus-daemon(1))."""
    if scope is Scope.SYSTEM:
        return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/dbus/system_bus_socket")
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return os.environ.get("DBUS_SESSION_BUS_ADDRESS", f"unix:path={runtime}/bus")


class SystemdBus:
    """opsbot's connection. It reconnects by itself between `open` and `close`."""

    def __init__(self, scope: Scope = Scope.SYSTEM, at: str | None = None) -> None:
        self.scope = scope
        self._address = at or address(scope)
        self._bus: MessageBus | None = None
        self._gone: asyncio.Future[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._watched: set[str] = set()
        self._listeners = Listeners[Signal]()
        self._backs: list[Callable[[], Awaitable[None]]] = []
        self._up = asyncio.Event()
        self._waiting: dict[str, list[asyncio.Future[JobResult]]] = {}
        self._removed: OrderedDict[str, JobResult] = OrderedDict()

    # The connection

    @property
    def connected(self) -> bool:
        return self._up.is_set()

    def watch(self, units: Iterable[str]) -> None:
        """Listen to property changes of these units; to be called before `open`.

        Hundreds of other units would otherwise wake opsbot several times at each start and stop.
        """
        self._watched.update(units)

    def listen(self, listener: Callable[[Signal], None]) -> None:
        """Call `listener` on the event loop with each signal. It must not block.

        Signals: `JobRemoved` and `Reloading`, and `PropertiesChanged` of the units of `watch`.
        """
        self._listeners.add(listener)

    def on_back(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await it after each reconnection, to read state again: signals were missed."""
        self._backs.append(callback)

    async def open(self, timeout: timedelta = timedelta(0)) -> None:
        """Connect and subscribe; raise BusError if systemd is not reachable.

        timeout: how long to wait for a bus that does not exist yet.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout.total_seconds()
        for number in count():
            error = await self._try_to_connect()
            if error is None:
                break
            remedy = ManagerCode.START_DBUS if self.scope is Scope.SYSTEM else ManagerCode.ENABLE_LINGER
            why = text(
                ManagerCode.BUS_UNREACHABLE,
                scope=self.scope,
                reason=_reason(error),
                remedy=text(remedy, address=self._address),
            )
            if loop.time() >= until:
                raise BusError(why, retry=True) from error
            log.log(logging.DEBUG if number else logging.WARNING, "%s. Waiting for it", why)
            await _back_off(number)
        self._keeping = asyncio.create_task(self._keep(), name="systemd bus")

    async def close(self) -> None:
        if self._keeping is not None:
            await cancel_all(self._keeping)
            self._keeping = None
        await self._drop()

    async def _try_to_connect(self) -> Exception | None:
        try:
            async with asyncio.timeout(CONNECT.total_seconds()):
                await self._connect()
        except (OSError, EOFError, TimeoutError, DBusFastError, BusError) as error:
            await self._drop()
            return error
        return None

    async def _connect(self) -> None:
        bus = await MessageBus(bus_address=self._address).connect()
        self._bus = bus
        self._gone = asyncio.ensure_future(_end_of(bus))
        bus.add_message_handler(self._handle)
        for rule in self._rules():
            await self._ask(
                bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s", [rule]
            )
        await self._ask(bus, SYSTEMD, ROOT, MANAGER, "Subscribe", "", [])
        self._up.set()

    def _rules(self) -> list[str]:
        rules = [f"{_OF_MANAGER},member='{member}'" for member in ("JobRemoved", "Reloading")]
        if len(self._watched) > _MOST_MATCHES:
            return [*rules, f"{_OF_UNIT},path_namespace='{ROOT}/unit'"]
        return [*rules, *(f"{_OF_UNIT},path='{unit_path(unit)}'" for unit in sorted(self._watched))]

    async def _keep(self) -> None:
        while True:
            if self._gone is not None:
                await asyncio.wait({self._gone})
            log.warning("the connection to %s was lost", self._whose())
            await self._drop()
            await self._again()
            log.info("the connection to %s is back", self._whose())
            for back in self._backs:
                try:
                    await back()
                except Exception:
                    # A listener's fault must not end the connection.
                    log.exception("reading the state after a reconnection failed")

    async def _again(self) -> None:
        for number in count():
            await _back_off(number)
            error = await self._try_to_connect()
            if error is None:
                return
            log.debug("%s: %s", self._whose(), _reason(error))

    async def _drop(self) -> None:
        self._up.clear()
        bus, self._bus = self._bus, None
        for waiting in self._waiting.values():
            for future in waiting:
                if not future.done():
                    future.set_result(JobResult.UNKNOWN)
        self._waiting.clear()
        self._removed.clear()
        if bus is not None:
            bus.disconnect()
        if self._gone is not None:
            await asyncio.wait({self._gone}, timeout=1)
            self._gone = None

    def _whose(self) -> str:
        return "systemd" if self.scope is Scope.SYSTEM else "the user's systemd"

    # Signals

    def _handle(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL or message.interface not in {MANAGER, PROPERTIES}:
            return
        signal = Signal(
            message.path or "", message.interface or "", message.member or "", unpack_variants(message.body)
        )
        if signal.interface == MANAGER and signal.member == "JobRemoved":
            self._job_removed(signal.body[1], signal.body[3])
        self._listeners.notify(signal)

    def _job_removed(self, path: str, result: str) -> None:
        known = JobResult(result) if result in set(JobResult) else JobResult.FAILED
        self._removed[path] = known
        while len(self._removed) > _REMEMBERED:
            self._removed.popitem(last=False)
        for future in self._waiting.pop(path, ()):
            if not future.done():
                future.set_result(known)

    # Calls

    async def call(
        self,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        interface: str = MANAGER,
        path: str = ROOT,
        destination: str = SYSTEMD,
        within: timedelta = CALL,
    ) -> list[Any]:
        """Call a method, by default of systemd's manager; variants are unpacked.

        Raises:
            BusError: it was refused, it failed, or there is no connection. So do the methods below.
        """
        bus = self._bus
        if bus is None or not self.connected:
            raise BusError(text(ManagerCode.BUS_AWAY, scope=self.scope), retry=True)
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await self._ask(bus, destination, path, interface, member, signature, list(body))
        except TimeoutError as error:
            raise BusError(text(ManagerCode.BUS_NO_REPLY, scope=self.scope, within=within), retry=True) from error
        except (OSError, EOFError, DBusFastError) as error:
            why = text(ManagerCode.BUS_LOST_BECAUSE, scope=self.scope, reason=_reason(error))
            raise BusError(why, retry=True) from error

    async def _ask(
        self, bus: MessageBus, destination: str, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> list[Any]:
        message = Message(
            destination=destination, path=path, interface=interface, member=member, signature=signature, body=body
        )
        reply = await bus.call(message)
        if reply is None:
            raise BusError(text(ManagerCode.BUS_LOST, scope=self.scope), retry=True)
        if reply.message_type is MessageType.ERROR:
            name = reply.error_name or ""
            said = str(reply.body[0]) if reply.body else name
            raise BusError(text(ManagerCode.DBUS_ERROR, reason=said), name=name, retry=name in _NO_REPLY)
        found: list[Any] = unpack_variants(reply.body)
        return found

    async def properties(self, unit: str, interface: str = UNIT) -> dict[str, Any]:
        """All properties of a unit; systemd loads it for that."""
        answer = await self.call("GetAll", "s", [interface], interface=PROPERTIES, path=unit_path(unit))
        found: dict[str, Any] = answer[0]
        return found

    async def get(self, unit: str, name: str, interface: str = UNIT) -> Any:
        answer = await self.call("Get", "ss", [interface, name], interface=PROPERTIES, path=unit_path(unit))
        return answer[0]

    # Jobs

    async def job(self, verb: Verb, unit: str, *, within: timedelta) -> JobResult:
        """Start, stop or restart a unit, and wait for the end of the job.

        `done` means that the unit is ready only with Type=notify (and with exec, that the program was reached). Raises
        BusError also if the job takes longer than `within`; it continues.
        """
        began = asyncio.get_running_loop().time()
        try:
            return await self._job(verb, unit, within)
        except BusError as error:
            lasted = asyncio.get_running_loop().time() - began
            stalled = (error.denied and lasted > STALLED) or error.name in _NO_REPLY
            if not stalled:
                raise
            log.warning("%s of %s was refused after %.0f s (%s); retrying once", verb, unit, lasted, error)
            return await self._job(verb, unit, within)

    async def _job(self, verb: Verb, unit: str, within: timedelta) -> JobResult:
        try:
            async with asyncio.timeout(within.total_seconds()):
                path = str((await self.call(verb.value, "ss", [unit, "replace"]))[0])
                result = self._removed.get(path) or await self._job_end(path)
                if result is JobResult.UNKNOWN:
                    await self._job_gone(unit)
                return result
        except TimeoutError as error:
            why = text(ManagerCode.JOB_UNFINISHED, verb=verb.word, unit=unit, within=within)
            raise BusError(why, retry=True) from error

    async def _job_end(self, path: str) -> JobResult:
        future: asyncio.Future[JobResult] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(path, []).append(future)
        try:
            return await future
        finally:
            left = self._waiting.get(path)
            if left is not None:
                left.remove(future)
                if not left:
                    del self._waiting[path]

    async def _job_gone(self, unit: str) -> None:
        """Wait until the connection is back and the unit has no job."""
        while True:
            await self._up.wait()
            with suppress(BusError):
                if (await self.get(unit, "Job"))[1] == NO_JOB:
                    return
            await asyncio.sleep(0.2)

    async def reset_failed(self, unit: str) -> None:
        """Reset its failure and start counter, so that starts do not reach its limit."""
        await self.call("ResetFailedUnit", "s", [unit])


async def _back_off(attempt: int) -> None:
    await asyncio.sleep(BACK_OFF[min(attempt, len(BACK_OFF) - 1)])


async def _end_of(bus: MessageBus) -> None:
    try:
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    except (OSError, EOFError, DBusFastError) as error:
        log.info("the bus: %s", _reason(error))


def _reason(error: BaseException) -> str | Text:
    if isinstance(error, MessageError):
        return error.message
    if isinstance(error, TimeoutError):
        return text(ManagerCode.NO_ANSWER)
    if isinstance(error, EOFError):
        return text(ManagerCode.BUS_CLOSED)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
