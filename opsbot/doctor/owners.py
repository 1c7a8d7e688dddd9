"""Numeric users and groups of opsbot and its services, which own the folders."""

import grp
import os
import pwd
import shlex
from dataclasses import dataclass
from pathlib import Path

from opsbot.config import Config, Scope, Service
from opsbot.services.unit_files import LoadedUnit


@dataclass(frozen=True, slots=True)
class Owners:
    """me: opsbot's user. uid, gid: the service's."""

    me: int
    uid: int
    gid: int

    @property
    def split(self) -> bool:
        """Whether opsbot and the service run as different users."""
        return self.me != self.uid


INSTALLED = Path("/etc/systemd/system/opsbot.service")


def installing(config: Config) -> str:
    """Return the command that prepares the host for this configuration."""
    return f"opsbot install -c {shlex.quote(str(config.path))} (as root)"


def install_creates_folders(config: Config, service: Service, who: "Owners") -> bool:
    """Whether `opsbot install` creates this service's folders; false in user scope."""
    if config.systemd.scope is Scope.USER:
        return False
    kept = service.manager.capabilities.has_units and who.split and who.uid > 0 and who.gid > 0
    return kept or INSTALLED.exists()


class NoSuchOwnerError(Exception):
    """The unit's user or group does not exist here, or the unit is not loaded."""


def opsbot_user(config: Config) -> int:
    """Return opsbot's user: the caller, for root the state directory's owner."""
    me = os.geteuid()
    if me == 0:
        try:
            return config.state.directory.stat().st_uid
        except OSError:
            return me
    return me


def owners(config: Config, service: Service, unit: LoadedUnit | None) -> Owners:
    """Return the users of opsbot and a service.

    Raises:
        NoSuchOwnerError: the unit's user does not exist, or systemd has not loaded the unit.
    """
    me = opsbot_user(config)
    if not service.manager.capabilities.has_units or config.systemd.scope is Scope.USER or unit is None:
        return Owners(me, me, first_group(me))
    if unit["LoadState"] != "loaded":
        # Masked or missing: without User= it would be taken for root and get wrong advice from `opsbot install`.
        raise NoSuchOwnerError(f"{unit.name} is {unit['LoadState']}")
    user, group = unit["User"] or "root", unit["Group"]
    if unit["DynamicUser"] == "yes":
        return Owners(me, -1, -1)
    try:
        uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise NoSuchOwnerError(f"user {user} does not exist on this host (217/USER)") from error
    try:
        named = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid if group else first_group(uid)
    except KeyError as error:
        raise NoSuchOwnerError(f"group {group} does not exist on this host (216/GROUP)") from error
    return Owners(me, uid, named)


def first_group(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def groups_of(uid: int) -> set[int]:
    """Return a user's groups: this process's for its own user, else the database's."""
    if uid == os.geteuid():
        return {*os.getgroups(), os.getegid()}
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return set()
    return set(os.getgrouplist(entry.pw_name, entry.pw_gid))


def user_name(uid: int) -> str:
    """Return a user's name, or the number if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Return a group's name, or the number if there is none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
