"""Texts of probe results."""

from collections.abc import Mapping

from opsbot.core.health import ProbeCode
from opsbot.core.message import Param
from opsbot.messages.text import Text


def _memory(params: Mapping[str, Param]) -> str:
    pids = params.get("pids")
    several = isinstance(pids, tuple) and len(pids) > 1
    who = "processes {pids} and their children use" if several else "process {pids} and its children use"
    return f"{who} {{used:bytes}} of memory"


def _too_much_memory(params: Mapping[str, Param]) -> str:
    return f"{_memory(params)}, more than {{limit:bytes}}"


TEXTS: Mapping[str, Text] = {
    ProbeCode.ONLINE: "seen {status} in the server",
    ProbeCode.OFFLINE: "not seen online in the server",
    ProbeCode.PRESENCE_UNAVAILABLE: "unknown: {why}",
    ProbeCode.NO_DISCORD: "unknown: no connection to Discord is configured here",
    ProbeCode.DISCORD_LOST: "unknown: opsbot is not connected to Discord",
    ProbeCode.PROCESS_RUNNING: "process {pid} is running",
    ProbeCode.PROCESS_GONE: "process {pid} is gone",
    ProbeCode.PROCESS_ZOMBIE: "process {pid} is a zombie",
    ProbeCode.PROCESS_FROZEN: "process {pid} is frozen by a signal (SIGSTOP)",
    ProbeCode.MEMORY_USED: _memory,
    ProbeCode.MEMORY_ABOVE_LIMIT: _too_much_memory,
    ProbeCode.ACTIVITY: "{activity}",
    ProbeCode.ACTIVITY_AFTER_EXIT: "{activity}: {exit}",
    ProbeCode.OF_UNIT: "{unit}: {seen}",
    ProbeCode.UNITS: "{seen:clauses}",
    ProbeCode.PORT_OPEN: "port {port} is open",
    ProbeCode.PORT_ACCEPTS: "port {port} accepts connections",
    ProbeCode.PORT_CLOSED: "nothing listens on port {port}",
    ProbeCode.PORT_BACKLOG_FULL: "port {port} is open, but {waiting} connections wait to be accepted",
    ProbeCode.PORT_FROZEN: "port {port} is open, but process {pid} is frozen by a signal (SIGSTOP)",
    ProbeCode.CONNECTION_REFUSED: "connection refused",
    ProbeCode.CONNECTION_RESET: "connection reset",
    ProbeCode.CONNECTION_CLOSED: "connection closed without an answer",
    ProbeCode.CONNECTION_FAILED: "no connection: {reason}",
    ProbeCode.DNS_FAILED: "cannot resolve host {host}: {reason}",
    ProbeCode.CERTIFICATE_REJECTED: "certificate rejected: {reason}",
    ProbeCode.TLS_FAILED: "no TLS connection: {reason}",
    ProbeCode.NO_ANSWER: "no answer within {within}",
    ProbeCode.NO_ANSWER_FROM: "no answer from {address} within {within}",
    ProbeCode.HTTP_STATUS: "answered {status}",
    ProbeCode.HTTP_UNEXPECTED_STATUS: "answered {status}, expected {expected}",
    ProbeCode.HTTP_HEADER_MISSING: "answered {status} without the header {header}",
    ProbeCode.HTTP_HEADER_DIFFERS: "answered {status}, but header {header} is '{value}', expected '{pattern}'",
    ProbeCode.HTTP_BODY_LACKS: "answered {status}, but the body does not contain '{pattern}'",
    ProbeCode.HTTP_INVALID: "the answer is not HTTP",
    ProbeCode.HTTP_BROKEN: "the answer is malformed HTTP",
    ProbeCode.HTTP_HEAD_TOO_LONG: "the header of the answer is too long",
    ProbeCode.HTTP_CUT_OFF: "the answer was cut off",
    ProbeCode.COMMAND_EXITED: "{exit}",
    ProbeCode.COMMAND_PRINTED: "{exit}: {last}",
    ProbeCode.COMMAND_TIMED_OUT: "not finished within {within}",
    ProbeCode.COMMAND_NOT_STARTED: "{command} cannot be run in {directory}: {reason}",
    ProbeCode.COMMAND_REFUSED: "{reason}",
    ProbeCode.CHECK_FAILED_ITSELF: "the check itself failed: {error}",
}
