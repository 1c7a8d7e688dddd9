"""Probes: one look at a service, and what it saw. None raises, none waits longer than its check's timeout."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from opsbot.config import Check, CheckKind, Service
from opsbot.core.health import ProbeResult
from opsbot.formatting import clip, duration, size
from opsbot.probes import command, http
from opsbot.probes.listening import Listener, PortTable, local
from opsbot.probes.memory import resident
from opsbot.probes.vitals import Vitals
from opsbot.services.errands import Errands
from opsbot.services.port import Activity, ManagerError, ServiceState

log = logging.getLogger(__name__)

Look = tuple[Service, Check, ServiceState]
Seen = tuple[bool, str]
Presence = Callable[[int], tuple[bool | None, str]]
"""Whether the bot with this user id is seen online, None where nobody can tell; and in words."""

_SEEN_AT_MOST = 200


def _now() -> datetime:
    return datetime.now(UTC)


class Prober:
    """Looks at services. `close` it when done."""

    def __init__(
        self,
        clock: Callable[[], datetime] = _now,
        errands: Errands | None = None,
        presence: Presence | None = None,
    ) -> None:
        """Nothing is looked at yet. errands: runs the commands of services that run as another user.

        presence: asked for a bot's presence.
        """
        self._errands = errands
        self._clock = clock
        self._presence = presence
        self._vitals = Vitals()
        self._ports: PortTable | None = None
        self._ports_refused = False
        self._targets: dict[tuple[str, str], tuple[Check, http.Target]] = {}

    async def tick(self, looks: Sequence[Look]) -> list[ProbeResult]:
        """Look at all of these at once, none waiting for another; the results in the same order."""
        results = [self.quick(*look) for look in looks]
        slow = [at for at, result in enumerate(results) if result is None]
        for at, result in zip(slow, await asyncio.gather(*(self.patient(*looks[at]) for at in slow)), strict=True):
            results[at] = result
        return [result for result in results if result is not None]

    async def probe(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        """One look. It never raises, but for its own cancellation."""
        return self.quick(service, check, state) or await self.patient(service, check, state)

    def together(self, service: Service, checks: Sequence[Check], state: ServiceState) -> list[ProbeResult | None]:
        """`quick` of checks that are run in one go: they look at a process once."""
        self._vitals.shared = {}
        try:
            return [self.quick(service, check, state) for check in checks]
        finally:
            self._vitals.shared = None

    def quick(self, service: Service, check: Check, state: ServiceState) -> ProbeResult | None:
        """The result, if it can be had without waiting; None where `patient` has to be asked for it."""
        if check.kind is CheckKind.HTTP or check.kind is CheckKind.COMMAND:
            return None
        at, began = self._clock(), time.perf_counter()
        if check.kind is CheckKind.PRESENCE:
            online, words = self._presence(check.user) if self._presence else (None, "cannot be asked: no Discord here")
            return ProbeResult(bool(online), words, at, time.perf_counter() - began, known=online is not None)
        try:
            seen = self._at_once(service, check, state)
        except Exception as error:  # noqa: BLE001 - the edge, see `_fault`
            seen = _fault(service, check, error)
        return None if seen is None else _result(seen, at, began)

    async def patient(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        """One look that may have to wait, at most for the check's timeout."""
        at, began = self._clock(), time.perf_counter()
        try:
            seen = await self._waiting(service, check, state, began)
        except TimeoutError:
            seen = False, _too_long(check)
        except Exception as error:  # noqa: BLE001 - the edge, see `_fault`
            seen = _fault(service, check, error)
        return _result(seen, at, began)

    def close(self) -> None:
        """Close what is kept open between looks."""
        self._vitals.close()
        if self._ports is not None:
            self._ports.close()
            self._ports = None

    # Without waiting

    def _at_once(self, service: Service, check: Check, state: ServiceState) -> Seen | None:
        """The result, if the kernel or the manager can be asked for it directly.

        A check of one unit is about that one; one of the service as a whole, where it is several, about each of them.
        """
        if check.unit:
            state = state.of(check.unit)
        if check.kind is CheckKind.PROCESS:
            if not state.parts and not check.memory_max:
                return self._process(service, check.unit, state)
            seen = [self._process(service, name, one) for name, one in _each(state, check.unit)]
            bad = next((each for each in seen if not each[0]), None)
            # To measure it takes a hundred times as long as to see that it lives: not on the event loop.
            return bad or (None if check.memory_max else (True, "; ".join(words for _, words in seen)))
        if check.kind is CheckKind.UNIT:
            standing = _each(state, check.unit)
            down = [(name, one) for name, one in standing if one.activity is not Activity.RUNNING]
            if not down:
                return True, str(Activity.RUNNING)
            return False, "; ".join(f"{name}: {_words(one)}" if name else _words(one) for name, one in down)
        if check.kind is CheckKind.TCP:
            addresses = local(check.host)
            listening = self._listening(addresses, check.port) if addresses else None
            if listening is None:
                return None
            ok, seen_there = listening
            # Of several units it is not known which one has the port.
            pid = None if state.parts else state.pid
            if ok and pid and self._vitals.look(f"{service.name}/{check.unit}", state.run, pid).frozen:
                # The kernel goes on taking connections for a process that will never hear of them.
                return False, f"{seen_there}, but process {pid} is frozen by a signal (SIGSTOP)"
            return ok, seen_there
        return None

    def _process(self, service: Service, unit: str, state: ServiceState) -> Seen:
        who = f"{unit}: " if unit else ""
        if state.pid is None:
            return False, f"{who}{_words(state)}"
        vital = self._vitals.look(f"{service.name}/{unit}", state.run, state.pid)
        return vital.ok, f"{who}{vital.seen}"

    def _listening(self, addresses: Sequence[bytes], port: int) -> Seen | None:
        """Whether somebody listens; None where the kernel may not be asked (systemd's RestrictAddressFamilies)."""
        if self._ports_refused:
            return None
        try:
            if self._ports is None:
                self._ports = PortTable()
            if self._ports.taken(addresses[0], port):
                return True, f"port {port} is listened on"
            return _listening(self._ports.listeners(port), addresses, port)
        except BlockingIOError:
            return None
        except OSError as error:
            log.info("listening ports are tried by connecting: %s", error)
            self._ports_refused = True
            return None

    # Waiting

    async def _waiting(self, service: Service, check: Check, state: ServiceState, began: float) -> Seen:
        if check.kind is CheckKind.HTTP:
            return await self._http(service, check, began)
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
            return False, str(error)
        return ran.ok, f"{ran.exit}: {ran.last}" if ran.last else ran.exit

    async def _http(self, service: Service, check: Check, began: float) -> Seen:
        try:
            answer = await http.ask(self._target(service, check), check.method, check.timeout.total_seconds())
        except http.NoAnswerError as error:
            return False, str(error)
        took = duration(time.perf_counter() - began)
        return _judge(check, answer, f"answered {answer.status} in {took}")

    def _target(self, service: Service, check: Check) -> http.Target:
        known = self._targets.get((service.name, check.name))
        if known is None or known[0] is not check:
            known = self._targets[service.name, check.name] = (check, http.target(check))
        return known[1]


def _each(state: ServiceState, unit: str) -> Sequence[tuple[str, ServiceState]]:
    """The units that a check is about, by name; "" for a service that is one.

    Of several, one that a person stopped is left out while others are to run: the service lives on without it.
    """
    meant = tuple((name, part) for name, part in state.parts if not part.stopped_by_hand)
    return meant or state.parts or ((unit, state),)


def _within(memory_max: int, pids: Sequence[int]) -> Seen:
    taken = sum(resident(pid) for pid in pids)
    named = f"process {pids[0]}" if len(pids) == 1 else f"processes {', '.join(map(str, pids))}"
    one = len(pids) == 1
    if taken > memory_max:
        children = f"{named} and {'its' if one else 'their'} children take {size(taken)} of memory"
        return False, f"{children}, more than {size(memory_max)}"
    return True, f"{named} {'runs' if one else 'run'}, {size(taken)} of memory"


def _result(seen: Seen, at: datetime, began: float) -> ProbeResult:
    return ProbeResult(seen[0], clip(seen[1], _SEEN_AT_MOST), at, time.perf_counter() - began)


def _fault(service: Service, check: Check, error: Exception) -> Seen:
    """A fault in one check must neither stop the others nor pass for a healthy service."""
    log.error("the check %s of %s failed by itself", check.name, service.name, exc_info=error)
    return False, f"the check itself failed: {type(error).__name__}: {error}"


def _judge(check: Check, answer: http.Answer, words: str) -> Seen:
    if not any(low <= answer.status <= high for low, high in check.status):
        return False, words
    for name, pattern in check.expect_headers.items():
        value = answer.headers.get(name.lower())
        if value is None:
            return False, f"{words}, without the header {name}"
        if re.search(pattern, value) is None:
            return False, f"{words}, but its header {name} is {clip(value, 60)!r}, not {pattern!r}"
    if check.expect_body and re.search(check.expect_body, answer.body.decode("utf-8", "replace")) is None:
        return False, f"{words}, but its body does not contain {clip(check.expect_body, 60)!r}"
    return True, words


def _listening(listeners: Sequence[Listener], addresses: Sequence[bytes], port: int) -> Seen:
    found = [one for one in listeners if any(map(one.takes, addresses))]
    if not found:
        return False, f"nobody listens on port {port}"
    if all(one.full for one in found):
        return False, f"port {port} is listened on, but {found[0].waiting} connections wait to be accepted"
    return True, f"port {port} is listened on"


async def _connect(host: str, port: int) -> Seen:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False, "connection refused"
    except OSError as error:
        return False, f"no connection: {error.strerror or error}"
    del reader
    itself = writer.get_extra_info("sockname") == writer.get_extra_info("peername")
    writer.transport.abort()
    if itself:
        return False, "connection refused"
    return True, f"port {port} takes connections"


def _words(state: ServiceState) -> str:
    words = str(state.activity)
    if state.activity in {Activity.FAILED, Activity.RETRYING} and state.exit:
        return f"{words}: {state.exit}"
    return words


def _too_long(check: Check) -> str:
    within = duration(check.timeout)
    if check.kind is CheckKind.COMMAND:
        return f"not finished within {within}"
    where = f" from {urlsplit(check.url).netloc.rpartition('@')[2]}" if check.kind is CheckKind.HTTP else ""
    return f"no answer{where} within {within}"
