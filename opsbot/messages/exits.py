"""Texts of how a run of a service ended."""

from collections.abc import Mapping

from opsbot.core.exits import ExitCode
from opsbot.core.message import Param
from opsbot.messages.text import Text

_SETUP = {
    200: "CHDIR: its WorkingDirectory= does not exist, or is hidden by ProtectHome=",
    203: "EXEC: its command does not exist, or is not executable",
    216: "GROUP: its Group= does not exist",
    217: "USER: its User= does not exist",
    226: "NAMESPACE: a path that it names (ReadWritePaths= for one) does not exist",
    238: "STATE_DIRECTORY",
    243: "CREDENTIALS",
}


def _setup_failed(params: Mapping[str, Param]) -> str:
    status = params.get("status")
    known = _SETUP.get(status) if isinstance(status, int) else None
    return f"exit {{status}} ({known})" if known else "exit {status}"


TEXTS: Mapping[str, Text] = {
    ExitCode.STATUS: "exit {status}",
    ExitCode.SIGNAL: "killed by {signal}",
    ExitCode.UNKNOWN_SIGNAL: "killed by signal {number}",
    ExitCode.SETUP_FAILED: _setup_failed,
    ExitCode.OUT_OF_MEMORY: "out of memory",
    ExitCode.WATCHDOG: "it did not answer systemd's watchdog in time (WatchdogSec=)",
    ExitCode.TIMEOUT: "it exceeded its own time limit (TimeoutStartSec=, TimeoutStopSec=)",
    ExitCode.START_LIMIT: "it was started too often in too short a time (StartLimitBurst=)",
    ExitCode.RESOURCES: ("systemd could not set it up: a file of EnvironmentFile= or a credential may be missing"),
    ExitCode.PROTOCOL: "it did not report READY=1 as Type=notify requires, or wrote no PID file",
    ExitCode.CONDITION: "its ExecCondition= was not met",
    ExitCode.RESULT: "{result}",
    ExitCode.BECAUSE: "{exit}: {why}",
    ExitCode.UNKNOWN: "ended, cause unknown",
    ExitCode.UNSEEN: "ended while opsbot was not running",
    ExitCode.RESTARTED_UNSEEN: "cause unknown: it was restarted before opsbot saw the end",
    ExitCode.HOST_RESTARTED: "the host was restarted",
    ExitCode.UNIT_NOT_FOUND: "the unit does not exist",
    ExitCode.UNIT_INVALID: (
        "systemd does not load its unit file because of a mistake in it: systemctl status names the line"
    ),
    ExitCode.UNIT_UNREADABLE: "its unit file cannot be read: systemctl status says why",
    ExitCode.START_FAILED: "{error}",
    ExitCode.STOP_FAILED: "{error}",
    ExitCode.STATE_UNAVAILABLE: "state unknown: {error}",
    ExitCode.OF_UNIT: "{unit}: {exit}",
    ExitCode.UNITS: "{exits:clauses}",
}
