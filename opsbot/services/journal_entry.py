"""What the journal has of a unit, as log lines; see systemd.journal-fields(7)."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from opsbot.config import Scope
from opsbot.services.journal_export import Entry
from opsbot.services.log_levels import LEVELS, level_of
from opsbot.services.port import LogLine

STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
"""The MESSAGE_ID of "Stopping ...": a stop job has begun (SD_MESSAGE_UNIT_STOPPING, sd-messages.h)."""
_PRIORITIES = {b"4": "warning", b"5": "info", b"6": "info", b"7": "debug"} | dict.fromkeys(
    (b"0", b"1", b"2", b"3"), "error"
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


@dataclass(frozen=True, slots=True)
class _Fields:
    """Fields with the unit and its run, in lines of service, systemd and journald."""

    service: tuple[str, str]
    systemd: tuple[str, str]
    journald: str


_FIELDS = {
    Scope.SYSTEM: _Fields(
        ("_SYSTEMD_UNIT", "_SYSTEMD_INVOCATION_ID"), ("UNIT", "INVOCATION_ID"), "OBJECT_SYSTEMD_UNIT"
    ),
    Scope.USER: _Fields(
        ("_SYSTEMD_USER_UNIT", "_SYSTEMD_INVOCATION_ID"),
        ("USER_UNIT", "USER_INVOCATION_ID"),
        "OBJECT_SYSTEMD_USER_UNIT",
    ),
}


def wanted_fields(scope: Scope) -> str:
    """For `--output-fields=`; times and the cursor always come."""
    fields = _FIELDS[scope]
    names = ("MESSAGE", "PRIORITY", "_TRANSPORT", "_LINE_BREAK", "_PID", *fields.service, *fields.systemd)
    return ",".join((*names, fields.journald))


def matches(scope: Scope, units: Sequence[str], runs: Sequence[str] = ()) -> list[str]:
    """journalctl's arguments for all lines of these units and about them.

    Uses only fields that a service cannot write itself, or together with one that proves systemd as the author;
    otherwise any user could forge systemd's messages. Not `-u`, which takes patterns, and not `--user`, which finds
    nothing for a user whose id is below 1000: their lines are in the system's file.
    """
    fields, mine = _FIELDS[scope], [f"_UID={os.getuid()}"]
    from_service = mine if scope is Scope.USER else []
    from_systemd = [*mine, "_SYSTEMD_USER_UNIT=init.scope"] if scope is Scope.USER else ["_PID=1"]
    found = []
    for trusted, (unit, run) in ((from_service, fields.service), (from_systemd, fields.systemd)):
        found += [*trusted, *(f"{unit}={name}" for name in units), *(f"{run}={one}" for one in runs), "+"]
    owner = [f"OBJECT_UID={os.getuid()}"] if scope is Scope.USER else []
    of_run = [f"OBJECT_SYSTEMD_INVOCATION_ID={one}" for one in runs]
    return [*found, "_TRANSPORT=driver", *owner, *(f"{fields.journald}={name}" for name in units), *of_run]


def stop_matches(scope: Scope, unit: str, run: str) -> list[str]:
    """journalctl's arguments for systemd's message that it stops this run."""
    name, invocation = _FIELDS[scope].systemd
    trusted = f"_UID={os.getuid()}" if scope is Scope.USER else "_PID=1"
    return [trusted, f"MESSAGE_ID={STOPPING}", f"{name}={unit}", f"{invocation}={run}"]


class Wording:
    """Converts entries to log lines."""

    def __init__(self, scope: Scope, *, parts: bool) -> None:
        """parts: whether each line is to name its unit."""
        fields = _FIELDS[scope]
        self._user = scope is Scope.USER
        self._service = (fields.service[0].encode(), fields.service[1].encode())
        self._systemd = (fields.systemd[0].encode(), fields.systemd[1].encode())
        self._journald = fields.journald.encode()
        self._parts = parts

    def lines(self, entry: Entry) -> list[LogLine]:
        """One for each line of its message; none for an entry that has no message."""
        return [self.line(entry, text) for text in texts(entry)]

    def line(self, entry: Entry, text: str) -> LogLine:
        manager = self._by_manager(entry)
        unit_field, run_field = self._systemd if manager else self._service
        part = ""
        if self._parts:
            part = (entry.get(unit_field) or entry.get(self._journald, b"")).decode("utf-8", "replace")
        at = datetime.fromtimestamp(int(entry[b"__REALTIME_TIMESTAMP"]) / 1e6, UTC)
        run = entry.get(run_field, b"").decode("ascii", "replace")
        return LogLine(at, text, _level(entry, text, manager=manager), run, part, manager)

    def _by_manager(self, entry: Entry) -> bool:
        if entry.get(b"_TRANSPORT") == b"driver":
            return True
        if self._user:
            return entry.get(b"_SYSTEMD_USER_UNIT") == b"init.scope"
        return entry.get(b"_PID") == b"1"


def texts(entry: Entry) -> list[str]:
    message = entry.get(b"MESSAGE")
    if message is None or not entry.get(b"__REALTIME_TIMESTAMP", b"").isdigit():
        return []
    text = message.decode("utf-8", "replace")
    if entry.get(b"_LINE_BREAK") == b"line-max":
        text += "…"  # it goes on in the next entry
    return text.split("\n")


def _level(entry: Entry, text: str, *, manager: bool) -> str:
    """The more severe of the entry's priority and the level in its text.

    journald gives 6 (info) to everything that a service prints, so that priority alone is meaningless.
    """
    priority = entry.get(b"PRIORITY", b"")
    by_priority = _PRIORITIES.get(priority, "")
    if manager:
        return by_priority
    if priority == b"6" and entry.get(b"_TRANSPORT") == b"stdout":
        by_priority = ""
    said = level_of(_COLOUR.sub("", text) if "\x1b" in text else text)
    return max(by_priority, said, key=lambda level: LEVELS.index(level) if level else -1)
