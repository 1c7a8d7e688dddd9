"""opsbot's own unit, from the configuration."""

from collections.abc import Sequence
from pathlib import Path

from opsbot.config import Config
from opsbot.install import needs
from opsbot.install.facts import InstallFacts
from opsbot.install.texts import command, optional, text, with_keys, word

SETTINGS = Path("/etc/opsbot")
STATES = Path("/var/lib")
HANGUP = "/bin/kill -HUP $MAINPID"


def system_unit(config: Config, facts: InstallFacts) -> str:
    """opsbot.service, for the host's own systemd."""
    written = list(map(optional, needs.written(config)))
    state = config.state.directory
    within = state.is_relative_to(STATES) and state != STATES
    if not within:
        written.append(optional(state))
    values: dict[str, Sequence[str]] = {
        "User": [facts.user],
        "ExecStart": [_command("run", facts)],
        "ExecReload": [HANGUP, _command("check", facts)],
        "StateDirectory": [word(state.relative_to(STATES))] if within else [],
        "StateDirectoryMode": ["0750"] if within else [],
        "Environment": [word(f"HOME={state}"), "MALLOC_ARENA_MAX=2"],
        "LoadCredential": [word(f"{name}:{SETTINGS / name}") for name in needs.credentials(config)],
        "ReadWritePaths": [" ".join(written)] if written else [],
    }
    if needs.at_home(config, facts.program, *facts.reaches):
        values["ProtectHome"] = ["read-only"]
    if needs.temporary(config):
        values["PrivateTmp"] = ["no"]
    return with_keys(text("opsbot.service"), values | (_WITH_CHILDREN if needs.supervised(config) else {}))


_WITH_CHILDREN: dict[str, Sequence[str]] = {
    # They are in the unit's cgroup and sandbox, and go on running while opsbot is restarted.
    "KillMode": ["process"],
    "ProtectSystem": ["full"],
    "PrivateTmp": ["no"],  # systemd empties it when opsbot stops
    "RemoveIPC": ["no"],  # likewise
    "MemoryDenyWriteExecute": [],
    "SystemCallFilter": ["@system-service"],
    "MemoryMax": [],
    "OOMPolicy": ["continue"],
    "TasksMax": [],
    "CPUWeight": [],
}
"""What changes where opsbot itself supervises services."""


def user_unit(config: Config, facts: InstallFacts) -> str:
    """opsbot.service among a user's own units."""
    folder = facts.config.parent
    values: dict[str, Sequence[str]] = {
        "ExecStart": [_command("run", facts)],
        "ExecReload": [HANGUP, _command("check", facts)],
        "LoadCredential": [word(f"{name}:{folder / name}") for name in needs.credentials(config)],
        "EnvironmentFile": [optional(folder / "environment")],
        # Services it supervises go on running while opsbot is restarted.
        "KillMode": ["process" if needs.supervised(config) else "mixed"],
    }
    return with_keys(text("opsbot-user.service"), values)


def _command(verb: str, facts: InstallFacts) -> str:
    return command(facts.program, verb, "-c", facts.config)
