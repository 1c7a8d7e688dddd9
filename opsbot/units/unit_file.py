"""Parser for systemd units: the fragment, then its drop-ins.

Each setting with its file and line.

Syntax: systemd.syntax(7). Precedence of files: systemd.unit(5). Values are kept as written, including specifiers.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Zµμ]*)\s*")
_SECONDS = {
    "": 1.0,
    **dict.fromkeys(("us", "usec", "µs", "μs"), 1e-6),
    **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
    **dict.fromkeys(("M", "month", "months"), 2629800.0),
    **dict.fromkeys(("y", "year", "years"), 31557600.0),
}
"""systemd.time(7), "Parsing Time Spans"."""
_NO_RESET = frozenset(
    {"Wants", "Requires", "Requisite", "BindsTo", "PartOf", "Upholds", "After", "Before", "Conflicts"}
)
"""Dependencies cannot be reset by an empty assignment (systemd.unit(5))."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One assignment. line: from 1; the first line of a continued value."""

    unit: str
    section: str
    key: str
    value: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class UnitText:
    """One file of a unit."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class UnitFile:
    """All settings of a unit in systemd's order, and where each section begins."""

    name: str
    settings: tuple[Setting, ...] = ()
    sections: dict[str, tuple[str, int]] = field(default_factory=dict)

    def last(self, section: str, key: str) -> Setting | None:
        """Return the effective assignment of a single-valued key; None if unset or reset."""
        found = next((s for s in reversed(self.settings) if (s.section, s.key) == (section, key)), None)
        return found if found is not None and found.value else None

    def every(self, section: str, key: str) -> list[Setting]:
        """Return the effective assignments of a list key: those after the last empty one."""
        found: list[Setting] = []
        for setting in self.settings:
            if (setting.section, setting.key) != (section, key):
                continue
            if setting.value:
                found.append(setting)
            elif key not in _NO_RESET:
                found.clear()
        return found

    def items(self, section: str, key: str) -> list[tuple[str, Setting]]:
        """Return the words of a list key, each with its assignment."""
        return [(word, setting) for setting in self.every(section, key) for word in split(setting.value)]

    def where(self, section: str) -> tuple[str, int]:
        """Return the file and line to report for a key that is missing from the section."""
        known = self.sections.get(section)
        if known is not None:
            return known
        return (self.settings[0].path if self.settings else self.name), 1


def parse(name: str, files: Iterable[UnitText]) -> UnitFile:
    """Parse a unit's files: the fragment, then the drop-ins. Never raises."""
    settings: list[Setting] = []
    sections: dict[str, tuple[str, int]] = {}
    for file in files:
        section = ""
        for line, text in logical_lines(file.text):
            if text.startswith("[") and text.endswith("]"):
                section = text[1:-1]
                sections.setdefault(section, (file.path, line))
                continue
            key, equals, value = text.partition("=")
            if equals and section:
                settings.append(Setting(name, section, key.strip(), value.strip(), file.path, line))
    return UnitFile(name, tuple(settings), sections)


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines without comments, continuations joined, with the first's number."""
    begun, parts = 0, list[str]()
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip(" \t\r")
        # A comment between continuation lines is skipped and does not end the value.
        if line.startswith(("#", ";")) or (not parts and line in {"", "\\"}):
            continue
        if not parts:
            begun = number
        if (len(line) - len(line.rstrip("\\"))) % 2:
            parts.append(line[:-1])
            continue
        parts.append(line)
        whole = " ".join(parts).strip()
        parts.clear()
        if whole:
            yield begun, whole
    if parts and (whole := " ".join(parts).strip()):
        yield begun, whole


def split(value: str) -> list[str]:
    """Split a value into words; at spaces if its quotes are unbalanced."""
    try:
        return shlex.split(value, comments=False)
    except ValueError:
        return value.split()


def yes(value: str) -> bool:
    return value.lower() in {"1", "yes", "y", "true", "t", "on"}


def seconds(value: str) -> float | None:
    """Convert a time span (systemd.time(7)), including infinity; None if invalid."""
    text = value.strip()
    if text == "infinity":
        return float("inf")
    total, at = 0.0, 0
    while at < len(text):
        match = _SPAN.match(text, at)
        if match is None or match[2] not in _SECONDS:
            return None
        total += float(match[1]) * _SECONDS[match[2]]
        at = match.end()
    return total if text else None


def program(value: str) -> Sequence[str]:
    """Return the words of ExecStart= without prefix characters (systemd.service(5))."""
    return split(value.lstrip("@-:+!|"))
