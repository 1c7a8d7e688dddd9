"""Reads `config.toml`: either a `Config`, or every problem in it, each with its line and what would be right.

config = load(Path("/etc/opsbot/config.toml"))      # raises ConfigError with all problems
problems = check(Path("/etc/opsbot/config.toml"))   # the same, as a list
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli

from opsbot.config import Config
from opsbot.config_file.build import build
from opsbot.config_file.kinds import quoted
from opsbot.config_file.leaks import redacted
from opsbot.config_file.lines import Path as KeyPath
from opsbot.config_file.lines import key_lines
from opsbot.config_file.reader import examine, stray_secrets

_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong. `line` counts from 1; 0 where the file itself is meant. `key` is "" where no key is."""

    file: Path
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        """`FILE:LINE: key: what is wrong, and what would be right`."""
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class ConfigError(Exception):
    """The file cannot be used. `problems` are all of them, by line; str() has one a line."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load(path: Path) -> Config:
    """The configuration in the file.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    problems, tree, document = _read(path)
    if problems:
        raise ConfigError(problems)
    return replace(build(path, tree), words=document)


def check(path: Path) -> list[Problem]:
    """Every problem in the file, by line; empty where it can be used. Reads nothing but the file."""
    return _read(path)[0]


def check_text(text: str, path: Path) -> list[Problem]:
    """Every problem in a text that would be the file at `path`."""
    return _examine(text, path)[0]


def problem_at(path: Path, key: KeyPath, said: str) -> Problem:
    """A problem with a key of the file that shows itself only against what is in force."""
    try:
        lines = key_lines(path.read_text())
    except (OSError, UnicodeDecodeError):
        return Problem(path, 0, dotted(key), said)
    return Problem(path, _line(lines, key), dotted(key), said)


_Read = tuple[list[Problem], dict[str, Any], dict[str, Any]]
"""Problems; the values where there are none; the document as it is written."""


def _read(path: Path) -> _Read:
    try:
        raw = path.read_bytes()
    except OSError as error:
        hint = "; `opsbot init` writes one" if isinstance(error, FileNotFoundError) else ""
        return [Problem(path, 0, "", f"cannot be read: {error.strerror}{hint}")], {}, {}
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return [Problem(path, line, "", "is not UTF-8 text; save the file as UTF-8")], {}, {}
    return _examine(text, path)


def _examine(text: str, path: Path) -> _Read:
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        faults = [(number, "", said) for number, said in stray_secrets(text, [])]
        faults.append(_syntax(error))
        return _problems(path, faults), {}, {}
    except (ValueError, RecursionError) as error:
        # Python's own limits: the digits of a number, the depth of a nest. They come without a place.
        return [Problem(path, 0, "", f"cannot be read as TOML: {_first_words(error)}")], {}, {}
    lines = key_lines(text)
    tree, found = examine(document)
    faults = [(_line(lines, where), dotted(where), said) for where, said in found.faults]
    faults += [(number, "", said) for number, said in stray_secrets(text, found.secrets)]
    return _problems(path, faults), tree, document


def _problems(path: Path, faults: list[tuple[int, str, str]]) -> list[Problem]:
    return sorted({Problem(path, *fault) for fault in faults})


def _line(lines: Mapping[KeyPath, int], where: KeyPath) -> int:
    """The line of the key, or of the nearest table around it."""
    return next((lines[where[:end]] for end in range(len(where), 0, -1) if where[:end] in lines), 1)


def _syntax(error: tomli.TOMLDecodeError) -> tuple[int, str, str]:
    """The line, the key if it is known, and what is wrong with the syntax."""
    said = redacted(error.msg)
    if said.startswith(("Cannot overwrite a value", "Cannot declare")):
        return error.lineno, _key_at(error.doc, error.lineno), "is defined twice; keep one of them"
    return error.lineno, "", f"column {error.colno}: not TOML: {said[:1].lower()}{said[1:]}"


def _first_words(error: Exception) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error).partition(":")[0]


def _key_at(text: str, number: int) -> str:
    """The key or table that begins on a line, by its looks alone: the document cannot be read."""
    *above, line = text.split("\n")[:number]
    if header := _HEADER.match(line):
        return redacted(header[1])
    table = next((match[1] + "." for each in reversed(above) if (match := _HEADER.match(each))), "")
    name, equals, _ = line.partition("=")
    return redacted(table + name.strip()) if equals else ""


def dotted(path: KeyPath) -> str:
    """The key as people write it: `services.bot.checks[1].url`. What looks like a secret in it is left out."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part + 1}]"
        else:
            plain = redacted(part)
            out += ("." if out else "") + (plain if _BARE.fullmatch(plain) else quoted(plain))
    return out
