"""opsbot's own systemd unit, rendered from the configuration."""

from collections.abc import Sequence
from pathlib import Path

from opsbot.config import Config
from opsbot.install import needs
from opsbot.install.facts import InstallFacts
from opsbot.install.texts import command, optional, quote, text, with_keys

SETTINGS = Path("/etc/opsbot")
STATES = Path("/var/lib")
HANGUP = "/bin/kill -HUP $MAINPID"


def system_unit(config: Config, facts: InstallFacts) -> str:
    written = list(map(optional, needs.written(config)))
    state = config.state.directory
    within = state.is_relative_to(STATES) and state != STATES
    if not within:
        written.append(optional(state))
    values: dict[str, Sequence[str]] = {
        "User": [facts.user],
        "ExecStart": [_command("run", facts)],
        "ExecReload": [HANGUP, _command("check", facts)],
        "StateDirectory": [quote(state.relative_to(STATES))] if within else [],
        "StateDirectoryMode": ["0750"] if within else [],
        "Environment": [quote(f"HOME={state}"), "MALLOC_ARENA_MAX=2"],
        "LoadCredential": [quote(f"{name}:{SETTINGS / name}") for name in needs.credentials(config)],
        "ReadWritePaths": [" ".join(written)] if written else [],
    }
    if needs.at_home(config, facts.program, *facts.reaches):
        values["ProtectHome"] = ["read-only"]
    if needs.temporary(config):
        values["PrivateTmp"] = ["no"]
    return with_keys(text("opsbot.service"), values | (_WITH_CHILDREN if needs.supervised(config) else {}))


_WITH_CHILDREN: dict[str, Sequence[str]] = {
    # Children live in the unit's cgroup and sandbox and keep running while opsbot restarts.
    "KillMode": ["process"],
    "ProtectSystem": ["full"],
    "PrivateTmp": ["no"],  # systemd empties a private /tmp when opsbot stops
    "RemoveIPC": ["no"],  # systemd would remove the children's IPC objects when opsbot stops
    "MemoryDenyWriteExecute": [],
    "SystemCallFilter": ["@system-service"],
    "MemoryMax": [],
    "OOMPolicy": ["continue"],
    "TasksMax": [],
    "CPUWeight": [],
}
"""Overrides for the unit when opsbot itself supervises services."""


def user_unit(config: Config, facts: InstallFacts) -> str:
    folder = facts.config.parent
    values: dict[str, Sequence[str]] = {
        "ExecStart": [_command("run", facts)],
        "ExecReload": [HANGUP, _command("check", facts)],
        "LoadCredential": [quote(f"{name}:{folder / name}") for name in needs.credentials(config)],
        "EnvironmentFile": [optional(folder / "environment")],
        # Supervised services keep running while opsbot restarts.
        "KillMode": ["process" if needs.supervised(config) else "mixed"],
    }
    return with_keys(text("opsbot-user.service"), values)


def _command(verb: str, facts: InstallFacts) -> str:
    return command(facts.program, verb, "-c", facts.config)
