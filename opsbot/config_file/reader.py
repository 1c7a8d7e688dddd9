"""Goes through a parsed document by the table of keys: values where they are right, faults where they are not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opsbot.config_file.kinds import WrongError, found, nearest
from opsbot.config_file.leaks import names_a_secret, secrets_in
from opsbot.config_file.lines import Path
from opsbot.config_file.names import SERVICE_NAME
from opsbot.config_file.rules import BROKEN, breaches
from opsbot.config_file.schema import ROOT, Form, Table, TableKey, header, walk

_NAMEABLE = {"token", "hook_secret"}


@dataclass(slots=True)
class Findings:
    """What was wrong, and the texts already reported as secrets."""

    faults: list[tuple[Path, str]] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    tainted: set[Path] = field(default_factory=set)

    def fault(self, where: Path, said: str) -> None:
        """Note a fault, except of what was reported as a secret already: no more is said of it."""
        if not any(where[:end] in self.tainted for end in range(1, len(where) + 1)):
            self.faults.append((where, said))


def examine(document: Mapping[str, Any]) -> tuple[dict[str, Any], Findings]:
    """The values by table and key, BROKEN where they are wrong, and everything that is wrong."""
    findings = Findings()
    _look_for_secrets(document, (), findings)
    tree = _table(ROOT, document, (), findings)
    for where, said in breaches(tree):
        findings.fault(where, said)
    return tree, findings


def stray_secrets(text: str, known: list[str]) -> list[tuple[int, str]]:
    """Lines that hold what looks like a secret and is not in a `known` text: in a comment, or where nothing parses."""
    return [
        (number, _advice(what, ()))
        for number, line in enumerate(text.split("\n"), 1)
        for what, secret in secrets_in(line)[:1]
        if line.lstrip().startswith("#") or not any(secret in each for each in known)
    ]


def _advice(what: str, where: Path) -> str:
    key = str(where[-1]) if where else ""
    if key in _NAMEABLE:
        place = f"name it by {key}_env or {key}_file instead"
    elif key == "url" and where[0] in {"notifiers", "heartbeat"}:
        place = "name it by url_env or url_file instead"
    elif key in {"url", "api_url"}:
        place = "leave it out of the address"
    elif "environment" in where:
        place = "put it into a file named by environment_file instead"
    elif "headers" in where:
        place = "a check cannot send secrets; ask an address that needs none, or use a command check"
    else:
        place = "name it by token_env or token_file instead"
    return f"{what} is written into the file; {place}, and revoke the secret: it has been exposed"


def _look_for_secrets(value: Any, where: Path, findings: Findings) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            place = (*where, key)
            if looks := secrets_in(key):
                _taint(place, looks[0][0], [key], findings)
            elif names_a_secret(key) and not isinstance(each, dict):
                _taint(place, "a secret", _texts(each), findings)
            else:
                _look_for_secrets(each, place, findings)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _look_for_secrets(each, (*where, index), findings)
    elif isinstance(value, str) and (looks := secrets_in(value)):
        _taint(where, looks[0][0], [value], findings)


def _taint(where: Path, what: str, texts: list[str], findings: Findings) -> None:
    findings.fault(where, _advice(what, where))
    findings.tainted.add(where)
    findings.secrets += texts


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


def _table(table: Table, value: Mapping[str, Any], where: Path, findings: Findings) -> dict[str, Any]:
    keys = {key.name: key for key in table.keys}
    inner = {each.name: each for each in table.tables}
    tree: dict[str, Any] = {}
    for name, each in value.items():
        place = (*where, name)
        if place in findings.tainted:
            tree[name] = BROKEN
        elif name in keys:
            tree[name] = _value(keys[name], each, place, findings)
        elif name in inner:
            tree[name] = _inner(inner[name], each, place, findings)
        else:
            findings.fault(place, _unknown(table, name))
    for key in table.keys:
        if key.required and key.name not in value:
            findings.fault(
                (*where, key.name), f"is missing; expected {key.kind.what}, for example {key.name} = {key.kind.example}"
            )
    for env, file in table.secrets():
        if env.name in value and file.name in value:
            findings.fault((*where, file.name), f"cannot be given together with {env.name}; keep one of the two")
        elif not env.declared.unset and not {env.field, env.name, file.name} & set(value):
            example = f"for example {env.name} = {env.kind.example}"
            said = f"is missing, and so is {file.name}; name where the secret is, {example}"
            findings.fault((*where, env.name), said)
    for each in table.tables:
        if each.required and each.name not in value:
            path = f"{each.name}.NAME" if each.form is Form.NAMED else each.name
            what = (each.of.__doc__ or "").partition("\n")[0].rstrip(".")
            findings.fault((*where, each.name), f"is missing; add {header(path, each)}: {what}")
    return tree


def _value(key: TableKey, value: Any, where: Path, findings: Findings) -> Any:
    try:
        return key.kind.read(value)
    except WrongError as error:
        for inside, said in error.faults:
            findings.fault((*where, *inside), said)
        return BROKEN


def _inner(table: Table, value: Any, where: Path, findings: Findings) -> Any:
    dotted = ".".join(str(part) for part in where) + (".NAME" if table.form is Form.NAMED else "")
    if table.form is Form.ARRAY:
        if isinstance(value, dict):
            findings.fault(where, f"found a table; there may be several: write [[{dotted}]] in double brackets")
            return BROKEN
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            findings.fault(where, f"found {found(value)}; expected tables, each beginning with [[{dotted}]]")
            return BROKEN
        return [_table(table, each, (*where, index), findings) for index, each in enumerate(value)]
    if not isinstance(value, dict):
        if isinstance(value, list) and value and isinstance(value[0], dict):
            findings.fault(where, f"found an array of tables; there is only one: write [{dotted}] in single brackets")
        else:
            findings.fault(where, f"found {found(value)}; expected a table, beginning with [{dotted}]")
        return BROKEN
    if table.form is Form.NAMED:
        return _named(table, value, where, findings)
    return _table(table, value, where, findings)


def _named(table: Table, value: Mapping[str, Any], where: Path, findings: Findings) -> Any:
    tree: dict[str, Any] = {}
    if not value:
        findings.fault(where, f"holds no {table.name.removesuffix('s')}; add [{table.name}.NAME]")
    for name, each in value.items():
        place = (*where, name)
        if place in findings.tainted:
            continue
        if not SERVICE_NAME.fullmatch(name):
            findings.fault(
                place,
                f"is not a name for a {table.name.removesuffix('s')}; 1 to 64 small letters, digits, '.', '_' and '-', "
                "beginning with a letter or digit, for example voice-meeting-bot",
            )
        if isinstance(each, dict):
            tree[name] = _table(table, each, place, findings)
        else:
            findings.fault(place, f"found {found(each)}; expected a table, beginning with [{table.name}.NAME]")
    return tree


def _unknown(table: Table, name: str) -> str:
    homes = [
        f"in {header(path, other)}" if path else "at the top of the file, before the first table"
        for path, other in walk(ROOT)
        if other is not table and name in other.names()
    ]
    guess = nearest(name, table.names())
    if homes and not guess:
        return f"does not belong here; it belongs {' or '.join(homes)}"
    if guess:
        return f"is not a known key{guess}"
    return f"is not a known key; known here are {', '.join(table.names())}"
