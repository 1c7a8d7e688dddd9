"""Probes of services. A probe never raises, and never takes longer than its check's timeout."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from urllib.parse import urlsplit

from opsbot.config import Check, CheckKind, Service
from opsbot.core.health import ProbeCode, ProbeResult
from opsbot.core.message import Message, message
from opsbot.formatting import clip
from opsbot.probes import command, http
from opsbot.probes.listening import Listener, PortTable, local
from opsbot.probes.memory import resident
from opsbot.probes.vitals import Vitals
from opsbot.runtime.ticks import utc_now
from opsbot.services.port import Activity, ManagerError, ServiceState
from opsbot.services.run_as import Errands

log = logging.getLogger(__name__)

Seen = tuple[bool, Message]
Presence = Callable[[int], tuple[bool | None, Message]]
"""Whether the bot with this user id is online, None where that is unknown; and what was seen."""

_TEXT_AT_MOST = 200
_SHORT_AT_MOST = 60
_NO_DISCORD = message(ProbeCode.NO_DISCORD)
_RUNNING = message(ProbeCode.ACTIVITY, activity=Activity.RUNNING)
_REFUSED = message(ProbeCode.CONNECTION_REFUSED)


class Prober:
    """Runs the probes of checks. `close` it when done."""

    def __init__(
        self,
        clock: Callable[[], datetime] = utc_now,
        errands: Errands | None = None,
        presence: Presence | None = None,
    ) -> None:
        """errands: runs the commands of services that run as another user. presence: a bot's presence."""
        self._errands = errands
        self._clock = clock
        self._presence = presence
        self._vitals = Vitals()
        self._ports: PortTable | None = None
        self._ports_refused = False
        self._targets: dict[tuple[str, str], tuple[Check, http.Target]] = {}

    async def probe(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        """Run one probe. It raises nothing but its own cancellation."""
        return self.quick(service, check, state) or await self.patient(service, check, state)

    def together(self, service: Service, checks: Sequence[Check], state: ServiceState) -> list[ProbeResult | None]:
        """`quick` for checks that run together: each process is read once."""
        self._vitals.shared = {}
        try:
            return [self.quick(service, check, state) for check in checks]
        finally:
            self._vitals.shared = None

    def quick(self, service: Service, check: Check, state: ServiceState) -> ProbeResult | None:
        """The result if it is available without waiting; None where `patient` is needed."""
        if check.kind is CheckKind.HTTP or check.kind is CheckKind.COMMAND:
            return None
        at, began = self._clock(), time.perf_counter()
        if check.kind is CheckKind.PRESENCE:
            online, seen_there = self._presence(check.user) if self._presence else (None, _NO_DISCORD)
            return ProbeResult(bool(online), seen_there, at, time.perf_counter() - began, known=online is not None)
        try:
            seen = self._at_once(service, check, state)
        except Exception as error:  # noqa: BLE001 - the edge, see `_fault`
            seen = _fault(service, check, error)
        return None if seen is None else _result(seen, at, began)

    async def patient(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        """Run a probe that may have to wait, at most for the check's timeout."""
        at, began = self._clock(), time.perf_counter()
        try:
            seen = await self._waiting(service, check, state)
        except TimeoutError:
            seen = False, _too_long(check)
        except Exception as error:  # noqa: BLE001 - the edge, see `_fault`
            seen = _fault(service, check, error)
        return _result(seen, at, began)

    def close(self) -> None:
        """Close what is kept open between probes."""
        self._vitals.close()
        if self._ports is not None:
            self._ports.close()
            self._ports = None

    # Without waiting

    def _at_once(self, service: Service, check: Check, state: ServiceState) -> Seen | None:
        """The result if the kernel or the manager knows it; None otherwise.

        A check of one unit is about that unit; one of a service with several units is about each of them.
        """
        if check.unit:
            state = state.of(check.unit)
        if check.kind is CheckKind.PROCESS:
            if not state.parts and not check.memory_max:
                return self._process(service, check.unit, state)
            seen = [self._process(service, name, one) for name, one in _each(state, check.unit)]
            bad = next((each for each in seen if not each[0]), None)
            # Measuring memory takes a hundred times as long as the rest: not on the event loop.
            return bad or (None if check.memory_max else (True, _together([words for _, words in seen])))
        if check.kind is CheckKind.UNIT:
            standing = _each(state, check.unit)
            down = [(name, one) for name, one in standing if one.activity is not Activity.RUNNING]
            if not down:
                return True, _RUNNING
            return False, _together([_of_unit(name, _activity(one)) for name, one in down])
        if check.kind is CheckKind.TCP:
            addresses = local(check.host)
            listening = self._listening(addresses, check.port) if addresses else None
            if listening is None:
                return None
            ok = listening[0]
            # With several units it is unknown which one has the port.
            pid = None if state.parts else state.pid
            if ok and pid and self._vitals.read(f"{service.name}/{check.unit}", state.run, pid).frozen:
                # The kernel accepts connections for a process that does not run.
                return False, message(ProbeCode.PORT_FROZEN, port=check.port, pid=pid)
            return listening
        return None

    def _process(self, service: Service, unit: str, state: ServiceState) -> Seen:
        if state.pid is None:
            return False, _of_unit(unit, _activity(state))
        vital = self._vitals.read(f"{service.name}/{unit}", state.run, state.pid)
        return vital.ok, _of_unit(unit, vital.seen)

    def _listening(self, addresses: Sequence[bytes], port: int) -> Seen | None:
        """Whether the port is open; None where netlink is not allowed (systemd's RestrictAddressFamilies=)."""
        if self._ports_refused:
            return None
        try:
            if self._ports is None:
                self._ports = PortTable()
            if self._ports.taken(addresses[0], port):
                return True, _open_port(port)
            return _listening(self._ports.listeners(port), addresses, port)
        except BlockingIOError:
            return None
        except OSError as error:
            log.info("open ports are checked by connecting: %s", error)
            self._ports_refused = True
            return None

    # Waiting

    async def _waiting(self, service: Service, check: Check, state: ServiceState) -> Seen:
        if check.kind is CheckKind.HTTP:
            return await self._http(service, check)
        async with asyncio.timeout(check.timeout.total_seconds()):
            return await self._other(service, check, state)

    async def _other(self, service: Service, check: Check, state: ServiceState) -> Seen:
        state = state.of(check.unit)
        if check.kind is CheckKind.PROCESS and check.memory_max and state.pid:
            pids = [one.pid for _, one in _each(state, check.unit) if one.pid]
            return await asyncio.to_thread(_within, check.memory_max, pids)
        if check.kind is CheckKind.TCP:
            return await _connect(check.host, check.port)
        try:
            errands = self._errands
            if errands is not None and await errands.abroad(service):
                ran = await command.run_abroad(errands, service, check)
            else:
                ran = await command.run(service, check)
        except (command.CannotRunError, ManagerError) as error:
            return False, error.message
        if not ran.last:
            return ran.ok, message(ProbeCode.COMMAND_EXITED, exit=ran.exit)
        return ran.ok, message(ProbeCode.COMMAND_PRINTED, exit=ran.exit, last=clip(ran.last, _TEXT_AT_MOST))

    async def _http(self, service: Service, check: Check) -> Seen:
        try:
            answer = await http.ask(self._target(service, check), check.method, check.timeout.total_seconds())
        except http.NoAnswerError as error:
            return False, error.message
        return _judge(check, answer)

    def _target(self, service: Service, check: Check) -> http.Target:
        known = self._targets.get((service.name, check.name))
        if known is None or known[0] is not check:
            known = self._targets[service.name, check.name] = (check, http.target(check))
        return known[1]


def _each(state: ServiceState, unit: str) -> Sequence[tuple[str, ServiceState]]:
    """The units that a check is about, by name; "" for a service without units.

    A unit that a person stopped is left out while others should run: the service runs without it.
    """
    meant = tuple((name, part) for name, part in state.parts if not part.stopped_by_hand)
    return meant or state.parts or ((unit, state),)


def _within(memory_max: int, pids: Sequence[int]) -> Seen:
    used = sum(resident(pid) for pid in pids)
    if used > memory_max:
        return False, message(ProbeCode.MEMORY_ABOVE_LIMIT, pids=tuple(pids), used=used, limit=memory_max)
    return True, message(ProbeCode.MEMORY_USED, pids=tuple(pids), used=used)


def _result(seen: Seen, at: datetime, began: float) -> ProbeResult:
    return ProbeResult(seen[0], seen[1], at, time.perf_counter() - began)


def _fault(service: Service, check: Check, error: Exception) -> Seen:
    """A fault in one check must not stop the others, nor pass for a healthy service."""
    log.error("the check %s of %s failed by itself", check.name, service.name, exc_info=error)
    text = clip(f"{type(error).__name__}: {error}", _TEXT_AT_MOST)
    return False, message(ProbeCode.CHECK_FAILED_ITSELF, error=text)


@lru_cache(256)
def _status(status: int) -> Message:
    return message(ProbeCode.HTTP_STATUS, status=status)


@lru_cache(1024)
def _open_port(port: int) -> Message:
    return message(ProbeCode.PORT_OPEN, port=port)


def _judge(check: Check, answer: http.Answer) -> Seen:
    status = answer.status
    if not any(low <= status <= high for low, high in check.status):
        expected = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in check.status)
        return False, message(ProbeCode.HTTP_UNEXPECTED_STATUS, status=status, expected=expected)
    for name, pattern in check.expect_headers.items():
        value = answer.headers.get(name.lower())
        if value is None:
            return False, message(ProbeCode.HTTP_HEADER_MISSING, status=status, header=name)
        if re.search(pattern, value) is None:
            shown = clip(value, _SHORT_AT_MOST)
            return False, message(
                ProbeCode.HTTP_HEADER_DIFFERS, status=status, header=name, value=shown, pattern=pattern
            )
    if check.expect_body and re.search(check.expect_body, answer.body.decode("utf-8", "replace")) is None:
        pattern = clip(check.expect_body, _SHORT_AT_MOST)
        return False, message(ProbeCode.HTTP_BODY_LACKS, status=status, pattern=pattern)
    return True, _status(status)


def _listening(listeners: Sequence[Listener], addresses: Sequence[bytes], port: int) -> Seen:
    found = [one for one in listeners if any(map(one.takes, addresses))]
    if not found:
        return False, message(ProbeCode.PORT_CLOSED, port=port)
    if all(one.full for one in found):
        return False, message(ProbeCode.PORT_BACKLOG_FULL, port=port, waiting=found[0].waiting)
    return True, _open_port(port)


async def _connect(host: str, port: int) -> Seen:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False, _REFUSED
    except OSError as error:
        return False, message(ProbeCode.CONNECTION_FAILED, reason=error.strerror or str(error))
    del reader
    itself = writer.get_extra_info("sockname") == writer.get_extra_info("peername")
    writer.transport.abort()
    if itself:
        return False, _REFUSED
    return True, message(ProbeCode.PORT_ACCEPTS, port=port)


def _together(seen: Sequence[Message]) -> Message:
    return seen[0] if len(seen) == 1 else message(ProbeCode.UNITS, seen=tuple(seen))


def _of_unit(unit: str, seen: Message) -> Message:
    return message(ProbeCode.OF_UNIT, unit=unit, seen=seen) if unit else seen


def _activity(state: ServiceState) -> Message:
    if state.activity in {Activity.FAILED, Activity.RETRYING} and state.exit:
        return message(ProbeCode.ACTIVITY_AFTER_EXIT, activity=state.activity, exit=state.exit)
    return message(ProbeCode.ACTIVITY, activity=state.activity)


def _too_long(check: Check) -> Message:
    if check.kind is CheckKind.COMMAND:
        return message(ProbeCode.COMMAND_TIMED_OUT, within=check.timeout)
    if check.kind is CheckKind.HTTP:
        address = urlsplit(check.url).netloc.rpartition("@")[2]
        return message(ProbeCode.NO_ANSWER_FROM, address=address, within=check.timeout)
    return message(ProbeCode.NO_ANSWER, within=check.timeout)
