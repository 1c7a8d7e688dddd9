"""Puts checked values together as `opsbot.config` holds them. Defaults are those of its classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opsbot.config import Check, CheckKind, Config, ManagerKind, Secret
from opsbot.config_file.schema import ROOT, Form, Table, table_for
from opsbot.core.recovery import RecoveryPolicy

Values = Mapping[str, Any]

PRESENCE_FALL = 10
"""A late and weak sign has to hold for five minutes, at the default interval, before it counts."""


def build(path: Path, tree: Values) -> Config:
    """The configuration. `tree` has passed every rule."""
    services = {name: _completed(values) for name, values in tree["services"].items()}
    return Config(path=path, **_arguments(ROOT, {**tree, "services": services}))


def _arguments(table: Table, values: Values) -> dict[str, Any]:
    made: dict[str, Any] = {}
    inline: dict[tuple[str, type], dict[str, Any]] = {}
    for key in table.keys:
        if key.name not in values:
            continue
        value = values[key.name]
        if key.part:
            made[key.field] = Secret(**{key.part: value})
        elif key.inline:
            inline.setdefault(key.inline, {})[key.field] = value
        elif key.field == "listen":
            made["host"], made["port"] = value
        elif key.field == "unit" and table.of is not Check:
            made["units"] = (value,)
        else:
            made[key.field] = value
    made |= {field: of(**given) for (field, of), given in inline.items()}
    for each in table.tables:
        if each.form is Form.NAMED:
            named = values.get(each.name, {}).items()
            made[each.name] = {name: each.of(name=name, **_arguments(each, inner)) for name, inner in named}
        elif each.form is Form.ARRAY:
            made[each.name] = tuple(each.of(**_arguments(each, inner)) for inner in values.get(each.name, ()))
        elif each.name in values or not each.optional:
            made[each.name] = each.of(**_arguments(each, values.get(each.name, {})))
    return made


def _completed(service: Values) -> dict[str, Any]:
    """The values of a service with what follows from others where it is not given."""
    made = dict(service)
    kind = CheckKind.UNIT if service["manager"] is ManagerKind.SYSTEMD else CheckKind.PROCESS
    made["checks"] = _checks(service.get("checks") or [{"kind": kind}])
    backoff = service.get("recovery", {}).get("backoff")
    if backoff is not None and backoff > RecoveryPolicy().backoff_max:
        made["recovery"] = {"backoff_max": backoff, **service["recovery"]}
    return made


def _checks(checks: Sequence[Values]) -> list[dict[str, Any]]:
    """Each with a name, and with a timeout no longer than its interval."""
    taken = {check["name"] for check in checks if "name" in check}
    most = table_for(Check).key("timeout").default
    made = []
    for check in checks:
        given = dict(check)
        if "name" not in given:
            given["name"] = _free_name(given["kind"], taken)
            taken.add(given["name"])
        if given["kind"] is CheckKind.PRESENCE:
            given.setdefault("fall", PRESENCE_FALL)
        if "timeout" not in given and given.get("interval", most) < most:
            given["timeout"] = given["interval"]
        made.append(given)
    return made


def _free_name(kind: CheckKind, taken: set[str]) -> str:
    if str(kind) not in taken:
        return str(kind)
    number = 2
    while f"{kind}-{number}" in taken:
        number += 1
    return f"{kind}-{number}"
