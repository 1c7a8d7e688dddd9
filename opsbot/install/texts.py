"""Templates from the folder `systemd/` and the functions that fill them in.

Each template is a valid file for an example service; only the values of single keys are replaced.
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
    """A value that a systemd file cannot hold; the message says which and why."""


def folder() -> Path:
    """Return the template folder: in the package, or `systemd/` in a checkout."""
    return _PACKED if _PACKED.is_dir() else _CHECKOUT


def text(name: str) -> str:
    return (folder() / name).read_text()


def opening(name: str) -> str:
    """Return the leading comment of a template, line breaks included."""
    lines = text(name).splitlines(keepends=True)
    return "".join(line for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


def with_keys(unit: str, values: Mapping[str, Sequence[str]]) -> str:
    """Replace keys of a unit file, one line per value at the first one's position.

    Without values the lines are removed together with the comment directly above them.

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
    """Replace the values after `var NAME =` in the polkit rule by ASCII JSON.

    JSON in ASCII is valid JavaScript for any content: quotes, backslashes and line separators are escaped.
    """
    for name, value in values.items():
        match = re.search(rf"^    var {name} = (.*);$", rule, re.MULTILINE)
        if match is None:
            raise KeyError(name)
        rule = rule[: match.start(1)] + json.dumps(value) + rule[match.end(1) :]
    return rule


def quote(value: object) -> str:
    """Quote a path or word for a unit file (systemd.syntax(7)); escape specifiers.

    Raises:
        TextError: it contains a control character, which a unit file cannot hold.
    """
    string = str(value)
    if any(ord(letter) < ord(" ") or ord(letter) == 127 for letter in string):  # noqa: PLR2004 - DEL
        raise TextError(f"{string!r} contains a control character, which a systemd file cannot hold")
    escaped = string.replace("%", "%%")
    if _PLAIN.fullmatch(escaped):
        return escaped
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'


def quote_all(values: Iterable[object]) -> str:
    return " ".join(map(quote, values))


def command(program: Path, *arguments: object) -> str:
    """Render a command line for ExecStart=; escape `$` (systemd.service(5)).

    Raises:
        TextError: the program's path contains characters that systemd does not accept.
    """
    if any(letter in str(program) for letter in "\"'\\"):
        raise TextError(f"{program} has a quote or a backslash in its path; systemd cannot start such a program")
    return quote_all((program, *(str(value).replace("$", "$$") for value in arguments)))


def optional(path: object) -> str:
    """Quote a path that may be missing, for ReadWritePaths= and similar."""
    return quote(f"-{path}")
