"""How a run of a service ended, as messages."""

import os
import signal
from collections.abc import Sequence

from opsbot.core.message import Message, MessageCode, message


class ExitCode(MessageCode):
    """How a run ended, or why none began."""

    STATUS = "exit.status"  # status: the exit status of the main process
    SIGNAL = "exit.signal"  # signal: its name ("SIGKILL")
    UNKNOWN_SIGNAL = "exit.unknown-signal"  # number
    SETUP_FAILED = "exit.setup-failed"
    """status: by which systemd says that the program was never reached (systemd.exec(5), process exit codes)."""
    OUT_OF_MEMORY = "exit.out-of-memory"
    WATCHDOG = "exit.watchdog"
    TIMEOUT = "exit.timeout"
    START_LIMIT = "exit.start-limit"
    RESOURCES = "exit.resources"
    PROTOCOL = "exit.protocol"
    CONDITION = "exit.condition"
    RESULT = "exit.result"  # result: systemd's word for it, one that this version does not know
    BECAUSE = "exit.because"  # exit: how the process ended; why: what systemd made of it; both messages of this list

    UNKNOWN = "exit.unknown"
    UNSEEN = "exit.unseen"  # opsbot was not running
    RESTARTED_UNSEEN = "exit.restarted-unseen"  # It was running again before opsbot saw the end
    HOST_RESTARTED = "exit.host-restarted"

    UNIT_NOT_FOUND = "exit.unit-not-found"
    UNIT_INVALID = "exit.unit-invalid"
    UNIT_UNREADABLE = "exit.unit-unreadable"
    START_FAILED = "exit.start-failed"  # error: the manager's error, a message
    STOP_FAILED = "exit.stop-failed"  # error: the manager's error, a message
    STATE_UNAVAILABLE = "exit.state-unavailable"  # error: why the manager cannot report the state, a message

    OF_UNIT = "exit.of-unit"  # unit; exit: a message
    UNITS = "exit.units"  # exits: one for each unit that has one, a tuple of messages


UNKNOWN = message(ExitCode.UNKNOWN)


def by_signal(number: int) -> Message:
    try:
        return message(ExitCode.SIGNAL, signal=signal.Signals(number).name)
    except ValueError:
        return message(ExitCode.UNKNOWN_SIGNAL, number=number)


def of_status(status: int | None) -> Message:
    """An end by its status as wait(2) gives it; None where it is unknown."""
    if status is None:
        return UNKNOWN
    if os.WIFEXITED(status):
        return message(ExitCode.STATUS, status=os.WEXITSTATUS(status))
    return by_signal(os.WTERMSIG(status))


def of_unit(unit: str, end: Message | None) -> Message | None:
    return None if end is None else message(ExitCode.OF_UNIT, unit=unit, exit=end)


def of_units(ends: Sequence[Message]) -> Message | None:
    return message(ExitCode.UNITS, exits=tuple(ends)) if len(ends) > 1 else next(iter(ends), None)
