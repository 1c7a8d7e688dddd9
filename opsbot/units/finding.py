"""Lint findings of unit files, and the facts about the host that the linter uses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from opsbot.units.unit_file import Setting, UnitFile


class Severity(StrEnum):
    """Severity of a finding."""

    TRAP = "trap"
    """Error: the service cannot start, is killed, or opsbot's actions have no effect."""
    NOTE = "note"
    """Worth knowing; breaks nothing by itself."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One finding. `what`: the effect. `fix`: the setting to use instead."""

    unit: str
    severity: Severity
    path: str
    line: int
    key: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.key}=: {self.what}. {self.fix}."


@dataclass(frozen=True, slots=True)
class LintFacts:
    """Facts that the unit file's text does not contain.

    source: folder of the service's releases, "" without one. missing: those of the paths of `paths_of` that do not
    exist. interpreters: programs named in the first line of scripts among them. memory: of the host, in bytes. user:
    whether the unit belongs to a user's systemd instance.
    """

    source: str = ""
    missing: frozenset[str] = frozenset()
    interpreters: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    user: bool = False


def at(setting: Setting, what: str, fix: str, severity: Severity = Severity.TRAP) -> LintFinding:
    return LintFinding(setting.unit, severity, setting.path, setting.line, setting.key, what, fix)


def lacks(unit: UnitFile, key: str, what: str, fix: str, severity: Severity = Severity.NOTE) -> LintFinding:
    """Create a finding at the head of [Service], which lacks a key."""
    path, line = unit.where("Service")
    return LintFinding(unit.name, severity, path, line, key, what, fix)


def value(unit: UnitFile, key: str, default: str = "") -> str:
    """Return the effective value of a single-valued key of [Service]."""
    found = unit.last("Service", key)
    return found.value if found is not None else default


def bare(path: str) -> str:
    """Return a path without systemd's prefix characters and trailing slash."""
    rest = path.lstrip("-+").lstrip(":")
    return rest.rstrip("/") or rest[:1]


def within(path: str, folder: str) -> bool:
    """Whether the path is the folder or inside it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
