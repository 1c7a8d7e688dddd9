"""Where the configuration is, and the control socket of its daemon."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Namespace

SYSTEM = Path("/etc/opsbot/config.toml")
HERE = Path("config.toml")
OWN = Path(".config/opsbot/config.toml")
"""In a user's home: of an opsbot without root."""
DEFAULT_STATE = Path("/var/lib/opsbot")


class UsageError(Exception):
    """The command or the configuration is at fault; the message names it and a fix."""


@dataclass(frozen=True, slots=True)
class ConfigLocation:
    """The configuration file (None where only the socket is known) and the socket."""

    config: Path | None
    socket: Path


def config_path(args: "Namespace") -> Path:
    """Return the path of the configuration file.

    Raises:
        UsageError: none is named, and none exists in the default locations.
    """
    if args.config is not None:
        return Path(args.config)
    named = os.environ.get("OPSBOT_CONFIG")
    if named:
        return Path(named)
    if _is_there(HERE) and _is_ours(HERE):
        return HERE
    own = Path(os.path.expanduser("~")) / OWN  # noqa: PTH111 - Path.home() fails for a user without one
    for path in (own, SYSTEM):
        if _is_there(path):
            return path
    raise UsageError(
        f"no configuration: neither ./{HERE}, {own} nor {SYSTEM} is there. Name one with -c FILE; init writes one."
    )


def _is_there(path: Path) -> bool:
    """A file in a folder that is closed to this user counts: its daemon may be asked all the same."""
    try:
        return path.is_file()
    except PermissionError:
        return path == SYSTEM


def _is_ours(path: Path) -> bool:
    """Many programs call their file config.toml: one that can be read counts only with a table of opsbot's."""
    try:
        tables = _parse(path)
    except UsageError:
        return True
    return "discord" in tables or "services" in tables


def _parse(path: Path) -> dict[str, Any]:
    import tomli  # noqa: PLC0415 - only where it is needed: the command line starts fast

    try:
        return tomli.loads(path.read_bytes().decode())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {error}. `opsbot check -c {path}` lists all problems.") from error


def state_directory(path: Path) -> Path:
    """`[state] directory` of the configuration; nothing else in it needs to be right for asking the daemon.

    Raises:
        UsageError: the file cannot be read.
    """
    state = _parse(path).get("state")
    directory = state.get("directory") if isinstance(state, dict) else None
    return Path(directory) if isinstance(directory, str) and directory.startswith("/") else DEFAULT_STATE


def locate(args: "Namespace") -> ConfigLocation:
    """Where to ask.

    Raises:
        UsageError: neither a socket nor a configuration is known.
    """
    from opsbot.control.client import find  # noqa: PLC0415 - likewise

    if args.socket is not None:
        named = args.config or os.environ.get("OPSBOT_CONFIG")
        return ConfigLocation(Path(named) if named else None, args.socket)
    try:
        config = config_path(args)
        return ConfigLocation(config, find(state_directory(config)))
    except UsageError:
        # Who may not read the configuration may still ask the daemon in the usual place.
        usual = find(None)
        if args.config is None and usual.exists():
            return ConfigLocation(None, usual)
        raise
