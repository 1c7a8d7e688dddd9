"""The files of the folder `systemd/`, and the few ways in which they are filled in.

Each is valid as it stands, for one example service; a key's value is replaced where the configuration says another.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_PACKED = Path(__file__).parent / "data"
_CHECKOUT = Path(__file__).parents[2] / "systemd"
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=~-]+")
_KEY = re.compile(r"([A-Z][A-Za-z]*)=")


class TextError(ValueError):
    """A name that no systemd file can hold; the text says which, and why."""


def folder() -> Path:
    """Where the files are: beside this module in an installed package, in `systemd/` of a checkout."""
    return _PACKED if _PACKED.is_dir() else _CHECKOUT


def text(name: str) -> str:
    """The file of this name."""
    return (folder() / name).read_text()


def opening(name: str) -> str:
    """The comment that the file of this name begins with, line breaks included."""
    lines = text(name).splitlines(keepends=True)
    return "".join(line for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


def with_keys(unit: str, values: Mapping[str, Sequence[str]]) -> str:
    """The unit file with other values: all lines of such a key become one for each value, where the first one stood.

    Without a value they go, and so does the comment right above them.

    Raises:
        KeyError: the unit file has no such key.
    """
    left = dict(values)
    seen: set[str] = set()
    out: list[str] = []
    for line in unit.splitlines():
        key = match[1] if (match := _KEY.match(line)) else ""
        if key not in values:
            out.append(line)
            continue
        if key in seen:
            continue
        seen.add(key)
        if not left.pop(key):
            while out and out[-1].startswith("#"):
                out.pop()
        out += [f"{key}={value}" for value in values[key]]
    if left:
        raise KeyError(", ".join(left))
    return "\n".join(out) + "\n"


def with_variables(rule: str, values: Mapping[str, object]) -> str:
    """The polkit rule with other values behind `var NAME =`. Strings, and arrays of them, are encoded as JSON in ASCII.

    That is JavaScript too, whatever stands in them: the quotes, the backslashes and the line separators are escaped.
    """
    for name, value in values.items():
        match = re.search(rf"^    var {name} = (.*);$", rule, re.MULTILINE)
        if match is None:
            raise KeyError(name)
        rule = rule[: match.start(1)] + json.dumps(value) + rule[match.end(1) :]
    return rule


def word(value: object) -> str:
    """A path or a word as systemd.syntax(7) and systemd.unit(5) want it: quoted where it must be, no specifier in it.

    Raises:
        TextError: it holds a control character, which cannot stand in there.
    """
    string = str(value)
    if any(ord(letter) < ord(" ") or ord(letter) == 127 for letter in string):  # noqa: PLR2004 - DEL
        raise TextError(f"{string!r} holds a control character and cannot stand in a systemd file")
    escaped = string.replace("%", "%%")
    if _PLAIN.fullmatch(escaped):
        return escaped
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'


def words(values: Iterable[object]) -> str:
    """Several of them on one line."""
    return " ".join(map(word, values))


def command(program: Path, *arguments: object) -> str:
    """A command line for ExecStart=, where a `$` in an argument would begin a variable (systemd.service(5)).

    Raises:
        TextError: systemd takes no program of that name.
    """
    if any(letter in str(program) for letter in "\"'\\"):
        raise TextError(f"{program} has a quote or a backslash in its path, and systemd starts no such program")
    return words((program, *(str(value).replace("$", "$$") for value in arguments)))


def optional(path: object) -> str:
    """A path that need not exist, for ReadWritePaths= and its kin: the `-` stands within the quotes."""
    return word(f"-{path}")
