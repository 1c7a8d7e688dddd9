"""The port to what keeps services running: systemd, or opsbot's own supervisor."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from opsbot.core.exits import ExitCode
from opsbot.core.message import Message, MessageError, message
from opsbot.core.status import Activity

__all__ = [
    "Activity",
    "Happening",
    "LogLine",
    "LogQuery",
    "ManagerError",
    "ServiceEvent",
    "ServiceManager",
    "ServiceState",
    "known_or",
    "spoken",
]


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service at one moment.

    run: changes with every start (systemd's invocation id). restarts: automatic starts since the last requested one.
    exit: how the last run ended, a message of `opsbot.core.exits`; None while it runs, or if there was no run. release:
    the release folder the main process was started in, resolved from its working directory; None if unknown.

    parts: if the service has several units, the state of each by name, in the configured order. The other fields then
    combine them: the worst activity, a run that changes with any of theirs, a release only if it is the same for all.
    Empty for a service that is one process or one unit.
    """

    activity: Activity
    pid: int | None = None
    run: str | None = None
    started_at: datetime | None = None
    restarts: int = 0
    exit: Message | None = None
    stopped_by_hand: bool = False
    release: Path | None = None
    revivable: bool = False
    """It failed, and its manager has given up, but with fewer attempts than recovery may make: a restart can help."""
    parts: tuple[tuple[str, "ServiceState"], ...] = ()
    groups: tuple[str, ...] = ()
    """The control groups of its processes (`/system.slice/web.service`), if it has separate ones."""

    def of(self, part: str) -> "ServiceState":
        """The state of this part; of the whole if it has no such part."""
        return dict(self.parts).get(part, self) if part else self


class Happening(StrEnum):
    """What can happen to a service, requested by opsbot or not."""

    STARTED = "started"
    DIED = "died"
    GAVE_UP = "gave-up"
    BARRED = "barred"
    """It does not run, and cannot start before a person fixes the host, for example because its unit is missing."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """Something happened to a service.

    state: the state afterwards. asked: opsbot had requested it. part: the affected part; "" if it has none.
    """

    service: str
    what: Happening
    at: datetime
    state: ServiceState
    asked: bool = False
    part: str = ""


class ManagerError(MessageError):
    """The manager could not do it; the message says why, usually one of `ManagerCode`.

    retry: whether a later attempt may succeed. barred: nothing of the service was started, and no release of it can be,
    until a person fixes the host.
    """

    def __init__(self, message: Message, *, retry: bool = False, barred: bool = False) -> None:
        super().__init__(message)
        self.retry = retry
        self.barred = barred


async def known_or(asked: Awaitable[ServiceState], activity: Activity) -> ServiceState:
    """The state asked for; where its manager does not know it, one with this activity that says why."""
    try:
        return await asked
    except ManagerError as error:
        return ServiceState(activity, exit=message(ExitCode.STATE_UNAVAILABLE, error=error.message))


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log; its text is untrusted.

    level: error, warning, info, debug, or "" if unknown. part: the service's unit, "" if it has only one. manager: not
    written by the service, but by its manager about it ("Main process exited", "Scheduled restart job").
    """

    at: datetime
    text: str
    level: str = ""
    run: str = ""
    part: str = ""
    manager: bool = False


def spoken(lines: Sequence[LogLine]) -> list[LogLine]:
    """The lines of the service itself; if there are none, those of its manager."""
    return [line for line in lines if not line.manager] or list(lines)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Selects the last `lines` of those that match all criteria.

    `grep` is a regular expression, ignoring case. `level`: at least that severe. `this_run`: only since the last start.
    """

    lines: int = 50
    since: datetime | None = None
    level: str | None = None
    grep: str | None = None
    this_run: bool = False


class ServiceManager(Protocol):
    """Starts, stops and watches services. Names are opsbot's service names.

    Each method raises ManagerError if the manager cannot do it (`state` only with `refresh`), within a time limit.
    """

    async def open(self) -> None:
        """Begin watching; find what runs already. Services are not started by this."""

    async def close(self) -> None:
        """Stop watching. Services keep running."""

    def listen(self, listener: Callable[[ServiceEvent], None]) -> None:
        """Call it, on the event loop, for each event from now on. It must not block."""

    async def start(self, service: str) -> ServiceState:
        """Start it if it does not run; returns once its process is running."""

    async def stop(self, service: str) -> ServiceState:
        """Stop it with its process group; returns once none of its processes is left."""

    async def restart(self, service: str, part: str | None = None) -> ServiceState:
        """Restart it in its now live release; returns once its new process is running.

        part: only this one of its `parts`; None restarts all, one after the other.
        """

    def parts(self, service: str) -> tuple[str, ...]:
        """Its units in the order in which a deploy restarts them; () if it has only one."""

    async def state(self, service: str, *, refresh: bool = False) -> ServiceState:
        """Its state by the manager's last report.

        refresh: ask the manager, whose reports may be a moment late: for actions on a service that somebody else may be
        stopping.
        """

    async def logs(self, service: str, query: LogQuery) -> list[LogLine]:
        """Lines of the service, and of its manager about it, oldest first."""

    def follow(self, service: str) -> AsyncIterator[LogLine]:
        """Lines as they are written, from now on, until the iterator is closed."""
