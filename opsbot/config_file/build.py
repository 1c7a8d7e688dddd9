"""Puts checked values together as `opsbot.config` holds them. Defaults are those of its classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opsbot.config import (
    Alerts,
    Check,
    CheckKind,
    Cleanup,
    Config,
    Discord,
    Drain,
    HeartbeatConfig,
    HostChecks,
    Http,
    InstallStep,
    ManagerKind,
    Notifier,
    Secret,
    Service,
    Source,
    StateConfig,
    SystemdConfig,
)
from opsbot.config_file.keys import STATE
from opsbot.core.access import Ranks
from opsbot.core.health import CheckPolicy
from opsbot.core.recovery import RecoveryPolicy
from opsbot.core.windows import Window

Values = Mapping[str, Any]

PRESENCE_FALL = 10
"""A late and weak sign has to hold for five minutes, at the default interval, before it counts."""


def build(path: Path, tree: Values) -> Config:
    """The configuration. `tree` has passed every rule."""
    state = {key.name: STATE.default(key) for key in STATE.keys} | tree.get("state", {})
    http = {}
    if "listen" in tree.get("http", {}):
        host, port = tree["http"]["listen"]
        http = {"host": host, "port": port}
    beat = tree.get("heartbeat")
    top = {key: tree[key] for key in ("host",) if key in tree}
    return Config(
        path=path,
        discord=Discord(**_with_secrets(tree["discord"], "token")),
        roles=Ranks(**tree["roles"]),
        state=StateConfig(**state),
        http=Http(**http),
        systemd=SystemdConfig(**tree.get("systemd", {})),
        host_checks=HostChecks(**tree.get("host_checks", {})),
        alerts=Alerts(**tree.get("alerts", {})),
        services={name: _service(name, values) for name, values in tree["services"].items()},
        windows=tuple(Window(**window) for window in tree.get("windows", [])),
        notifiers={name: _notifier(name, values) for name, values in tree.get("notifiers", {}).items()},
        heartbeat=None if beat is None else HeartbeatConfig(**_with_secrets(beat, "url")),
        **top,
        **tree.get("limits", {}),
    )


def _with_secrets(values: Values, *names: str) -> dict[str, Any]:
    """The values with each `NAME_env` or `NAME_file` replaced by the Secret `NAME`."""
    out = dict(values)
    for name in names:
        env, file = out.pop(f"{name}_env", None), out.pop(f"{name}_file", None)
        if env is not None or file is not None:
            out[name] = Secret(env=env, file=file)
    return out


def _notifier(name: str, values: Values) -> Notifier:
    given = _with_secrets(values, "url")
    if "for" in given:
        given["told"] = given.pop("for")
    return Notifier(name=name, **given)


def _service(name: str, values: Values) -> Service:
    given = dict(values)
    checks = given.pop("checks", [])
    if "unit" in given:
        given["units"] = (given.pop("unit"),)
    if "source" in given:
        given["source"] = Source(**_with_secrets(given["source"], "token", "hook_secret"))
    if "install" in given:
        given["install"] = tuple(InstallStep(**step) for step in given["install"])
    if "cleanup" in given:
        given["cleanup"] = tuple(Cleanup(**each) for each in given["cleanup"])
    if "drain" in given:
        given["drain"] = Drain(**given["drain"])
    if "recovery" in given:
        given["recovery"] = _ladder(given["recovery"])
    if not checks:
        checks = [{"kind": CheckKind.UNIT if given["manager"] is ManagerKind.SYSTEMD else CheckKind.PROCESS}]
    return Service(name=name, checks=_checks(checks), **given)


def _ladder(values: Values) -> RecoveryPolicy:
    ladder = RecoveryPolicy(**values)
    if "backoff_max" in values or ladder.backoff <= ladder.backoff_max:
        return ladder
    return RecoveryPolicy(**{**values, "backoff_max": ladder.backoff})


def _checks(checks: Sequence[Values]) -> tuple[Check, ...]:
    taken = {check["name"] for check in checks if "name" in check}
    made = []
    for values in checks:
        given = dict(values)
        if "name" not in given:
            given["name"] = _free_name(given["kind"], taken)
            taken.add(given["name"])
        if given["kind"] is CheckKind.PRESENCE:
            given.setdefault("fall", PRESENCE_FALL)
        policy = CheckPolicy(**{key: given.pop(key) for key in ("fall", "rise", "of") if key in given})
        check = Check(policy=policy, **given)
        if "timeout" not in given and check.timeout > check.interval:
            check = Check(policy=policy, **given, timeout=check.interval)
        made.append(check)
    return tuple(made)


def _free_name(kind: CheckKind, taken: set[str]) -> str:
    if str(kind) not in taken:
        return str(kind)
    number = 2
    while f"{kind}-{number}" in taken:
        number += 1
    return f"{kind}-{number}"
