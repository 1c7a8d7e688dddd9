"""Units as systemd has loaded them, and lint findings in their files.

`systemctl show` reports which files count (fragment and drop-ins, in order); they are read where they lie, so that each
line number is true. `systemctl cat` would print them into one text.
"""

import asyncio
import errno
import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from opsbot.config import Scope
from opsbot.host.figures import host_figures
from opsbot.services.brief_command import CommandError, ask
from opsbot.units.finding import LintFacts, LintFinding, within
from opsbot.units.lint import lint_unit
from opsbot.units.path_rules import HOMES, paths_of
from opsbot.units.unit_file import UnitFile, UnitText, parse

SECONDS = 10.0
FILE_MOST = 1024 * 1024
_PROPERTIES = (
    "Id,Names,LoadState,LoadError,ActiveState,SubState,Result,UnitFileState,NeedDaemonReload,FragmentPath,DropInPaths,"
    "User,Group,WorkingDirectory,Type,MainPID,DynamicUser"
)
_OTHERWISE_INSIDE = (*HOMES, "/tmp", "/var/tmp", "/dev", "/proc")  # noqa: S108 - looked at, never written
"""Paths that look different from inside a hardened unit, such as opsbot's own."""


@dataclass(frozen=True, slots=True)
class LoadedUnit:
    """One unit. The properties are those of systemctl(1), "show", as text."""

    name: str
    properties: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.properties.get(name, "")

    @property
    def files(self) -> list[str]:
        """The fragment and the drop-ins, in the order in which they apply."""
        try:
            drop_ins = shlex.split(self["DropInPaths"])
        except ValueError:
            drop_ins = self["DropInPaths"].split()
        return [path for path in (self["FragmentPath"], *drop_ins) if path]


def systemctl(scope: Scope, *words: str) -> list[str]:
    return ["systemctl", "--user" if scope is Scope.USER else "--system", "--no-pager", "--no-ask-password", *words]


async def loaded(units: Sequence[str], scope: Scope) -> dict[str, LoadedUnit]:
    """The units by the requested names; LoadState may be `not-found`.

    Raises:
        CommandError: systemd does not answer.
    """
    if not units:
        return {}
    answer = await ask(systemctl(scope, "show", f"--property={_PROPERTIES}", "--", *units), SECONDS)
    blocks = [block for block in answer.out.split("\n\n") if block.strip()]
    if answer.status != 0 or len(blocks) != len(units):
        said = answer.err.strip().splitlines()
        raise CommandError(said[0][:300] if said else f"systemctl ended with status {answer.status}")
    return {
        unit: LoadedUnit(unit, dict(line.partition("=")[::2] for line in block.strip().split("\n")))
        for unit, block in zip(units, blocks, strict=True)
    }


async def lint_units(units: Mapping[str, str], scope: Scope) -> list[LintFinding]:
    """Lint findings of units, given with their directory of releases, "" for none."""
    known = await loaded(list(units), scope)
    return await asyncio.to_thread(_findings, known, units, scope)


def _findings(known: Mapping[str, LoadedUnit], units: Mapping[str, str], scope: Scope) -> list[LintFinding]:
    found: list[LintFinding] = []
    memory = host_figures().memory_total
    for name, unit in known.items():
        text = read(unit)
        if text.settings:
            found += lint_unit(text, facts(text, units[name], memory, scope))
    return found


def read(unit: LoadedUnit) -> UnitFile:
    """The unit's files, parsed; unreadable ones are left out. Blocks."""
    return parse(unit.name, [text for path in unit.files if (text := _text(path)) is not None])


def _text(path: str) -> UnitText | None:
    try:
        with Path(path).open("rb") as file:
            return UnitText(path, file.read(FILE_MOST).decode(errors="replace"))
    except OSError:
        return None


def facts(unit: UnitFile, source: str, memory: int | None, scope: Scope) -> LintFacts:
    """LintFacts about the paths that the unit names. Blocks."""
    paths = paths_of(unit)
    inside = "INVOCATION_ID" in os.environ  # systemd.exec(5): this process belongs to a unit
    judged = [path for path in paths if not inside or not any(within(path, one) for one in _OTHERWISE_INSIDE)]
    return LintFacts(
        source=source,
        missing=frozenset(path for path in judged if _is_missing(path)),
        interpreters={path: found for path in paths if (found := _interpreter(path))},
        memory=memory,
        user=scope is Scope.USER,
    )


def _is_missing(path: str) -> bool:
    try:
        Path(path).stat()
    except OSError as error:
        return error.errno in {errno.ENOENT, errno.ENOTDIR}
    return False


def _interpreter(path: str) -> str:
    """The program named by a script's first line, also by way of `env`; "" otherwise."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return ""
        with Path(path).open("rb") as file:
            first = file.readline(256)
    except OSError:
        return ""
    if not first.startswith(b"#!"):
        return ""
    words = [word for word in first[2:].decode(errors="replace").split() if not word.startswith("-")]
    if words and words[0].endswith("/env"):
        words = words[1:]
    return words[0] if words else ""
