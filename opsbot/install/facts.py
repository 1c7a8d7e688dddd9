"""Facts about the host: users of the units, polkit version, user database."""

import grp
import pwd
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from opsbot.config import Config, Scope

_SECONDS = 30
_POLKITDS = ("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd", "/usr/lib/polkit-1/polkit/polkitd")
_RULES_SINCE = 106
"""polkit 0.106 introduced JavaScript rules; Debian up to 11 and Ubuntu 22.04 have 0.105. 121 followed 0.120."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as systemd has loaded it."""

    name: str
    found: bool = False
    user: str = "root"
    group: str = ""
    dynamic: bool = False
    fragment: str = ""
    """The unit file's path."""
    known_user: bool = True
    """Whether the user and the group exist."""
    primary: str = ""
    """The unit's primary name, which polkit checks; differs from `name` if that is an alias."""
    load: str = "not-found"
    """systemd's LoadState if the unit was not found: not-found, masked, bad-setting, error."""


@dataclass(frozen=True, slots=True)
class Polkit:
    """Whether polkit is installed, and its version; None if it does not report one."""

    present: bool = False
    version: str | None = None

    @property
    def takes_rules(self) -> bool:
        if self.version is None:
            return self.present
        parts = [int(part) for part in re.findall(r"\d+", self.version)]
        return bool(parts) and (parts[0] > 0 or (len(parts) > 1 and parts[1] >= _RULES_SINCE))


@dataclass(frozen=True, slots=True)
class InstallFacts:
    """Everything a plan needs besides the configuration."""

    user: str
    """The user opsbot runs as."""
    group: str
    """The primary group of that user."""
    home: Path
    """Home directory of the caller; used for a user's own units."""
    config: Path
    """The configuration's absolute path."""
    program: Path
    """The `opsbot` command, an absolute path."""
    python: Path
    """The interpreter it runs in, an absolute path."""
    reaches: tuple[Path, ...] = ()
    """Targets of `program` and `python` after following symbolic links."""
    loose: tuple[Path, ...] = ()
    """Those of the two that a user other than root could replace."""
    polkit: Polkit = field(default_factory=Polkit)
    units: Mapping[str, Unit] = field(default_factory=dict)
    runs_systemd: bool = True
    """Whether systemd is PID 1."""


def gather(config: Config, user: str) -> InstallFacts:
    """Query the host. user: whom opsbot will run as; unused in user scope."""
    python = Path(sys.executable)
    program = python.parent / "opsbot"
    system = config.systemd.scope is Scope.SYSTEM
    names = [unit for service in config.services.values() for unit in service.units]
    return InstallFacts(
        user=user,
        group=primary_group(user) or user,
        home=Path.home(),
        config=config.path.absolute(),
        program=program,
        python=python,
        reaches=(program.resolve(), python.resolve()),
        loose=tuple(path for path in (program, python.resolve()) if system and _others_may_write(path)),
        polkit=polkit() if system else Polkit(),
        units=units(names) if system else {},
        runs_systemd=Path("/run/systemd/system").is_dir(),  # sd_booted(3)
    )


def _others_may_write(path: Path) -> bool:
    """Whether a user other than root can write or replace the file."""
    for each in (path, *path.parents):
        try:
            found = each.stat()
        except OSError:
            continue
        sticky = each != path and found.st_mode & stat.S_ISVTX
        if found.st_uid != 0 or (found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky):
            return True
    return False


def output(*command: str) -> str | None:
    """Return a command's standard output; None if it fails or is not installed."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def polkit() -> Polkit:
    said = output("pkaction", "--version")
    found = re.search(r"version (\d+(?:\.\d+)?)", said or "")
    present = found is not None or any(Path(path).exists() for path in _POLKITDS)
    return Polkit(present, found[1] if found else None)


def units(names: Iterable[str]) -> dict[str, Unit]:
    """Query each unit's properties; without systemd, all are reported as not found."""
    return {name: _unit(name) for name in names}


def _unit(name: str) -> Unit:
    said = output(
        "systemctl", "show", "--no-pager", "-p", "Id,LoadState,User,Group,DynamicUser,FragmentPath", "--", name
    )
    values = dict(line.split("=", 1) for line in (said or "").splitlines() if "=" in line)
    load = values.get("LoadState", "not-found")
    if load != "loaded":
        return Unit(name, load=load)
    user = values.get("User") or "root"
    dynamic = values.get("DynamicUser") == "yes"
    named, wanted = user_name(user), values.get("Group", "")
    group = group_name(wanted) if wanted else primary_group(named or "")
    return Unit(
        name,
        found=True,
        user=named or user,
        group=group or "",
        dynamic=dynamic,
        fragment=values.get("FragmentPath", ""),
        known_user=named is not None and group is not None,
        primary=values.get("Id", ""),
        load=load,
    )


def user_name(user: str) -> str | None:
    """Resolve a user name or number to the name; None if there is no such user."""
    with suppress(KeyError):
        return (pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)).pw_name
    return None


def group_name(group: str) -> str | None:
    """Resolve a group name or number to the name; None if there is no such group."""
    with suppress(KeyError):
        return (grp.getgrgid(int(group)) if group.isdecimal() else grp.getgrnam(group)).gr_name
    return None


def primary_group(user: str) -> str | None:
    with suppress(KeyError):
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    return None
