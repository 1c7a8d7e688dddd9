"""Reasons in systemd's lines in the journal: why a unit ended or was stopped.

The words are those of systemd's own source (src/core/unit.c, service.c): "Failed with result 'oom-kill'.",
"A process of this unit has been killed by the OOM killer.", "Watchdog timeout (limit 30s)!",
"Start request repeated too quickly.", "Main process exited, code=killed, status=9/KILL", "Stopped …". The results are
those of systemd.exec(5), $SERVICE_RESULT. The gravest that is said wins: a result follows what led to it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

Said = tuple[datetime, str]
"""When systemd said it, and the line."""

_REASONS: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"killed by the OOM killer|result 'oom-kill'"), "the kernel killed it for lack of memory"),
    (re.compile(r"Watchdog timeout|result 'watchdog'"), "systemd's watchdog had not heard of it in time"),
    (re.compile(r"code=dumped|result 'core-dump'"), "it crashed and dumped its core"),
    (re.compile(r"(?:start|reload) operation timed out|result 'timeout'"), "it took too long to start or to stop"),
    (re.compile(r"result 'protocol'"), "it did not say that it is ready as its unit promises"),
    (re.compile(r"result 'resources'"), "systemd lacked something to start it"),
    (re.compile(r"Start request repeated too quickly|result 'start-limit-hit'"), "it was started too often too fast"),
    (re.compile(r"result 'exec-condition'|result 'condition'"), "a condition of its unit was not met"),
)
_EXITED = re.compile(r"Main process exited, code=(\w+), status=(\d+)(?:/(\w+))?")
_STOPPED = re.compile(r"^Stopp(?:ed|ing) ")

PATTERN = (
    r"OOM killer|Failed with result|Watchdog timeout|operation timed out|Start request repeated|Main process exited"
    r"|^Stopp(ed|ing) "
)
"""What a log is searched for, so that the lines of a service that writes much do not crowd these out."""


def reasons(said: Iterable[Said]) -> Iterator[tuple[datetime, str]]:
    """Each reason once, with when it was first said, the one that explains most first."""
    lines = list(said)
    for pattern, reason in _REASONS:
        for at, text in lines:
            if pattern.search(text):
                yield at, reason
                break
    for at, text in lines:
        if found := _EXITED.search(text):
            code, status, name = found.groups()
            if code == "exited":
                yield at, f"its process ended with status {status}"
            else:
                yield at, f"its process was killed by SIG{name}" if name else f"its process was killed ({status})"
            break


def stop(said: Iterable[Said]) -> datetime | None:
    """When its manager last stopped it on request; None where no line says so."""
    times = [at for at, text in said if _STOPPED.search(text)]
    return max(times) if times else None
