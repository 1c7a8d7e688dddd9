"""What a trap in a unit's files is, and what is known of the host when it is looked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from opsbot.units.unit_file import Setting, UnitFile


class Severity(StrEnum):
    """How much it matters."""

    TRAP = "trap"
    """It will bite: the service cannot start, is killed, or opsbot's work on it comes to nothing."""
    NOTE = "note"
    """Worth knowing; nothing breaks by it alone."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One finding. `what`: what will happen. `mend`: what to write instead."""

    unit: str
    severity: Severity
    path: str
    line: int
    key: str
    what: str
    fix: str

    def __str__(self) -> str:
        """`PATH:LINE: KEY=: what will happen. The mend.`."""
        return f"{self.path}:{self.line}: {self.key}=: {self.what}. {self.fix}."


@dataclass(frozen=True, slots=True)
class LintFacts:
    """What the text alone does not tell.

    source: where the service's releases are kept, "" where it has none. missing: of the paths of `paths_of`, those that
    are not there. interpreters: the program a script among them names in its first line. memory: of the host, bytes.
    user: it is a unit of a user's own systemd.
    """

    source: str = ""
    missing: frozenset[str] = frozenset()
    interpreters: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    user: bool = False


def at(unit: UnitFile, setting: Setting, what: str, fix: str, severity: Severity = Severity.TRAP) -> LintFinding:
    """A trap at the line of a setting."""
    return LintFinding(unit.name, severity, setting.path, setting.line, setting.key, what, fix)


def lacks(
    unit: UnitFile, section: str, key: str, what: str, fix: str, severity: Severity = Severity.NOTE
) -> LintFinding:
    """A note, or a trap, at the head of the section that lacks a key."""
    path, line = unit.where(section)
    return LintFinding(unit.name, severity, path, line, key, what, fix)


def value(unit: UnitFile, key: str, default: str = "") -> str:
    """What counts of a key of [Service] that takes one value."""
    found = unit.last("Service", key)
    return found.value if found is not None else default


def bare(path: str) -> str:
    """A path without the marks that systemd takes before it, and without a slash at its end."""
    rest = path.lstrip("-+").lstrip(":")
    return rest.rstrip("/") or rest[:1]


def within(path: str, folder: str) -> bool:
    """Whether the path is the folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
