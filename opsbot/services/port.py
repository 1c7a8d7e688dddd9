"""What opsbot asks of whatever keeps a service running: systemd, or its own supervisor."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from opsbot.core.message import Message, MessageError
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
    "spoken",
]


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service at one moment.

    run: changes with every start (systemd's invocation id). restarts: starts the manager made by itself since the last
    asked for. exit: how the last run ended, a message of `opsbot.core.exits`; None while it runs, or where there was no
    run. release: the release folder the main process was started in, resolved from its working directory, None where
    unknown.

    parts: where several units are one service, how each of them stands, by its name in the configured order; the rest
    is then what holds of all of them: the least well activity, a run that changes when any of theirs does, a release
    only where all are in the same one. Empty for a service that is one process or one unit.
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
    """It failed, and the manager leaves it so, but has not tried as often as recovery may: a restart can help."""
    parts: tuple[tuple[str, "ServiceState"], ...] = ()
    groups: tuple[str, ...] = ()
    """The control groups that its processes live in (`/system.slice/web.service`), where it has some of its own."""

    def of(self, part: str) -> "ServiceState":
        """How one of its parts stands; the whole where no part is named, or it has none of that name."""
        return dict(self.parts).get(part, self) if part else self


class Happening(StrEnum):
    """What can happen to a service without opsbot asking for it, and the answers to what it asked."""

    STARTED = "started"
    DIED = "died"
    GAVE_UP = "gave-up"
    BARRED = "barred"
    """Nothing can start it until a person mends the host, and it does not run: its unit is not there, for one."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """Something happened to a service; `state` is how it stands afterwards. `asked`: opsbot had asked for it.

    part: which of its parts it happened to; "" where it is one.
    """

    service: str
    what: Happening
    at: datetime
    state: ServiceState
    asked: bool = False
    part: str = ""


class ManagerError(MessageError):
    """The manager could not do it; the message says why, mostly one of `ManagerCode`.

    retry: whether trying again later is worth it. barred: nothing of the service was started at all, and no release of
    it could be, until a person fixes the host.
    """

    def __init__(self, message: Message, *, retry: bool = False, barred: bool = False) -> None:
        super().__init__(message)
        self.retry = retry
        self.barred = barred


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line a service wrote. `text` is untrusted. `level`: error, warning, info, debug, or "" where unknown.

    part: which of the service's units, "" where it is one. manager: the service did not write it, its manager said it
    of the service ("Main process exited", "Scheduled restart job", "Suppressed 200 messages").
    """

    at: datetime
    text: str
    level: str = ""
    run: str = ""
    part: str = ""
    manager: bool = False


def spoken(lines: Sequence[LogLine]) -> list[LogLine]:
    """What the service wrote itself; where it wrote nothing, what its manager said of it."""
    return [line for line in lines if not line.manager] or list(lines)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines: the last `lines` of those that fit all that is given.

    `grep` is a regular expression, ignoring case. `level`: that one or graver. `this_run`: only since the last start.
    """

    lines: int = 50
    since: datetime | None = None
    level: str | None = None
    grep: str | None = None
    this_run: bool = False


class ServiceManager(Protocol):
    """Starts, stops and watches services. Names are opsbot's service names.

    All methods but `state` raise ManagerError when the manager cannot do it, and each has a time limit of its own.
    """

    async def open(self) -> None:
        """Begin watching; find what runs already. Services are not started by this."""

    async def close(self) -> None:
        """Stop watching. Services go on running."""

    def listen(self, listener: Callable[[ServiceEvent], None]) -> None:
        """Call `listener`, on the event loop, for each event from now on. It must not block."""

    async def start(self, service: str) -> ServiceState:
        """Start it if it does not run; returns once its process is running."""

    async def stop(self, service: str) -> ServiceState:
        """Stop it, process group and all; returns once nothing of it is left."""

    async def restart(self, service: str, part: str | None = None) -> ServiceState:
        """Stop and start it, in what is now its live release; returns once its new process is running.

        part: only this one of its `parts`; None restarts all, one after the other.
        """

    def parts(self, service: str) -> tuple[str, ...]:
        """What a deploy restarts one after the other, in this order: the names of its units, () where it is one."""

    async def state(self, service: str, *, anew: bool = False) -> ServiceState:
        """How it stands now, by the last that its manager told.

        anew: it is asked, where what it tells comes a moment late: before something is done to a service that somebody
        else may just be stopping. That may raise ManagerError.
        """

    async def logs(self, service: str, query: LogQuery) -> list[LogLine]:
        """Lines the service wrote, and what its manager said of it, oldest first. Bounded in time and memory."""

    def follow(self, service: str) -> AsyncIterator[LogLine]:
        """Lines as they are written, from now on, until the iterator is closed."""
