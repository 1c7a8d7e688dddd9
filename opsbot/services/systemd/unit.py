"""The properties of a unit. See org.freedesktop.systemd1(5) and systemd(1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from opsbot.core import exits
from opsbot.core.exits import ExitCode
from opsbot.core.message import Message, message
from opsbot.services.systemd.bus import SystemdBus
from opsbot.services.systemd.names import NO_JOB, SERVICE, UNIT

_INFINITY = 2**64 - 1
_LONGEST = timedelta(minutes=15)
"""Time limit of a job where the unit sets none."""
_EXITED, _KILLED, _DUMPED = 1, 2, 3
_BEFORE_EXEC = frozenset({200, 203, 216, 217, 226, 238, 243})
"""Exit statuses with which systemd says that the program was never reached (systemd.exec(5), process exit codes)."""
_UNLOADABLE = {
    "not-found": message(ExitCode.UNIT_NOT_FOUND),
    "bad-setting": message(ExitCode.UNIT_INVALID),
    "error": message(ExitCode.UNIT_UNREADABLE),
}
"""By LoadState, why the unit cannot start. Masked units are not among them: somebody masked them on purpose."""
_RESULTS = {
    "oom-kill": message(ExitCode.OUT_OF_MEMORY),
    "watchdog": message(ExitCode.WATCHDOG),
    "timeout": message(ExitCode.TIMEOUT),
    "start-limit-hit": message(ExitCode.START_LIMIT),
    "resources": message(ExitCode.RESOURCES),
    "protocol": message(ExitCode.PROTOCOL),
    "exec-condition": message(ExitCode.CONDITION),
}
"""By Result= of a service (org.freedesktop.systemd1(5)); the others say no more than how the process ended."""
_FAILED_ALONE = frozenset({"resources"})
"""Results of a start that reached no process: the process that ended last was of an earlier run."""


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """A service unit at one moment.

    load, active, sub: LoadState, ActiveState, SubState. job: whether it has one. run: the invocation id, 32 hex digits,
    "" before the first. ever_active: whether it was active since the boot. restarts: automatic ones since the last
    requested start. result, code, status: how the last run ended.
    """

    load: str = "loaded"
    active: str = "inactive"
    sub: str = "dead"
    job: bool = False
    run: str = ""
    ever_active: bool = False
    enabled: bool = False
    pid: int = 0
    restarts: int = 0
    result: str = "success"
    code: int = 0
    status: int = 0
    started_at: datetime | None = None
    working_directory: str = ""
    cgroup: str = ""
    """The path of its control group below the root of the hierarchy."""
    time_limit: timedelta = _LONGEST
    """How long it may take to stop and start by its own limits."""

    def changed(self, values: Mapping[str, Any]) -> "UnitFacts":
        """These facts with properties, as D-Bus has them, of a unit or a service."""
        found = {field: convert(values[key]) for key, (field, convert) in _PROPERTIES.items() if key in values}
        if values.get("ControlGroup"):
            found["cgroup"] = str(values["ControlGroup"])
        if limits := [_span(values[key]) for key in ("TimeoutStartUSec", "TimeoutStopUSec") if key in values]:
            found["time_limit"] = sum(limits, timedelta())
        return replace(self, **found)

    @property
    def alive(self) -> bool:
        """Whether it runs (or has finished, with RemainAfterExit=)."""
        return self.active in {"active", "reloading", "refreshing"}

    @property
    def unloadable(self) -> bool:
        """Whether it does not run and cannot start before its file is fixed."""
        return self.load in _UNLOADABLE and self.active in {"inactive", "failed"}

    @property
    def retrying(self) -> bool:
        """Whether systemd is about to restart it, which has several substates since 254."""
        return self.active == "activating" and "auto-restart" in self.sub

    @property
    def main_is_gone(self) -> bool:
        """Whether its main process has ended while systemd still ends its other processes."""
        return self.active == "deactivating" and not self.job and self.pid == 0 and self.code != 0

    def exit(self) -> Message | None:
        """How its last run ended, or why it is not loaded; None without a known failure."""
        if self.unloadable:
            return _UNLOADABLE[self.load]
        if self.code == _EXITED:
            kind = ExitCode.SETUP_FAILED if self.status in _BEFORE_EXEC else ExitCode.STATUS
            end = message(kind, status=self.status)
        elif self.code in {_KILLED, _DUMPED}:
            end = exits.by_signal(self.status)
        else:
            end = None
        if self.result == "success":
            return end
        why = _RESULTS.get(self.result)
        if why is None:
            return end or message(ExitCode.RESULT, result=self.result)
        if end is None or self.result in _FAILED_ALONE:
            return why
        return message(ExitCode.BECAUSE, exit=end, why=why)


def _moment(microseconds: int) -> datetime | None:
    if microseconds in {0, _INFINITY}:
        return None
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _span(microseconds: int) -> timedelta:
    return _LONGEST if microseconds == _INFINITY else min(timedelta(microseconds=microseconds), _LONGEST)


_PROPERTIES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "LoadState": ("load", str),
    "ActiveState": ("active", str),
    "SubState": ("sub", str),
    "Job": ("job", lambda job: job[1] != NO_JOB),
    "InvocationID": ("run", lambda run: bytes(run).hex()),
    "ActiveEnterTimestamp": ("ever_active", bool),
    "UnitFileState": ("enabled", lambda state: str(state).startswith(("enabled", "static", "generated"))),
    "MainPID": ("pid", int),
    "NRestarts": ("restarts", int),
    "ExecMainCode": ("code", int),
    "ExecMainStatus": ("status", int),
    "ExecMainStartTimestamp": ("started_at", _moment),
    "Result": ("result", str),
    "WorkingDirectory": ("working_directory", str),
}
"""By property: the field of `UnitFacts`, and its conversion."""


async def read_unit(bus: SystemdBus, unit: str) -> UnitFacts:
    """Ask systemd for the properties of a unit. Raises BusError."""
    facts = UnitFacts().changed(await bus.properties(unit, UNIT))
    return facts.changed(await bus.properties(unit, SERVICE)) if facts.load == "loaded" else facts
