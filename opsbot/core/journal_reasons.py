"""Reasons in systemd's lines in the journal: why a unit ended or was stopped.

The words are those of systemd's own source (src/core/unit.c, service.c): "Failed with result 'oom-kill'.",
"A process of this unit has been killed by the OOM killer.", "Watchdog timeout (limit 30s)!",
"Start request repeated too quickly.", "Main process exited, code=killed, status=9/KILL", "Stopped …". The results are
those of systemd.exec(5), $SERVICE_RESULT. The gravest that is said wins: a result follows what led to it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from opsbot.core.message import Message, message
from opsbot.core.root_cause_codes import JournalReason

Said = tuple[datetime, str]
"""When systemd said it, and the line."""

_REASONS: Sequence[tuple[re.Pattern[str], JournalReason]] = (
    (re.compile(r"killed by the OOM killer|result 'oom-kill'"), JournalReason.OUT_OF_MEMORY),
    (re.compile(r"Watchdog timeout|result 'watchdog'"), JournalReason.WATCHDOG),
    (re.compile(r"code=dumped|result 'core-dump'"), JournalReason.CORE_DUMP),
    (re.compile(r"(?:start|reload) operation timed out|result 'timeout'"), JournalReason.TIMEOUT),
    (re.compile(r"result 'protocol'"), JournalReason.PROTOCOL),
    (re.compile(r"result 'resources'"), JournalReason.RESOURCES),
    (re.compile(r"Start request repeated too quickly|result 'start-limit-hit'"), JournalReason.START_LIMIT),
    (re.compile(r"result 'exec-condition'|result 'condition'"), JournalReason.CONDITION),
)
_EXITED = re.compile(r"Main process exited, code=(\w+), status=(\d+)(?:/(\w+))?")
_STOPPED = re.compile(r"^Stopp(?:ed|ing) ")

PATTERN = (
    r"OOM killer|Failed with result|Watchdog timeout|operation timed out|Start request repeated|Main process exited"
    r"|^Stopp(ed|ing) "
)
"""What a log is searched for, so that the lines of a service that writes much do not crowd these out."""


def reasons(said: Iterable[Said]) -> Iterator[Message]:
    """Each reason once, the one that explains most first."""
    lines = [text for _, text in said]
    for pattern, reason in _REASONS:
        if any(pattern.search(text) for text in lines):
            yield message(reason)
    found = next((found for text in lines if (found := _EXITED.search(text))), None)
    if found is not None:
        code, status, name = found.groups()
        exited = code == "exited"
        yield (
            message(JournalReason.EXITED, status=status)
            if exited
            else message(JournalReason.KILLED, status=status, signal=name)
        )


def stop(said: Iterable[Said]) -> datetime | None:
    """When its manager last stopped it on request; None where no line says so."""
    times = [at for at, text in said if _STOPPED.search(text)]
    return max(times) if times else None
