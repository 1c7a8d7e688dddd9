"""Who opsbot is and whom a service runs as, by number: what files must belong to."""

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
    """me: opsbot's user. uid, gid: the service's. split: they are not the same, so that steps run as the service's."""

    me: int
    uid: int
    gid: int

    @property
    def split(self) -> bool:
        """Whether opsbot and the service are two users."""
        return self.me != self.uid


INSTALLED = Path("/etc/systemd/system/opsbot.service")


def installing(config: Config) -> str:
    """The command that makes users, groups, folders, units and rights as this configuration needs them."""
    return f"opsbot install -c {shlex.quote(str(config.path))} (as root)"


def install_mends(config: Config, service: Service, who: "Owners") -> bool:
    """Whether `opsbot install` sees to the folders of this service: not where opsbot is a user's own program."""
    if config.systemd.scope is Scope.USER:
        return False
    kept = service.manager.capabilities.has_units and who.split and who.uid > 0 and who.gid > 0
    return kept or INSTALLED.exists()


class NoSuchOwnerError(Exception):
    """Whom a unit runs as is not known: it names a user or group that this host does not have, or cannot be read."""


def opsbot_user(config: Config) -> int:
    """opsbot's own user: who asks, or, where root asks for it, the owner of the state directory."""
    me = os.geteuid()
    if me == 0:
        try:
            return config.state.directory.stat().st_uid
        except OSError:
            return me
    return me


def owners(config: Config, service: Service, unit: LoadedUnit | None) -> Owners:
    """The users of a service.

    Raises:
        NoSuchOwnerError: its unit names one that is not there, or systemd has no unit to read it from.
    """
    me = opsbot_user(config)
    if not service.manager.capabilities.has_units or config.systemd.scope is Scope.USER or unit is None:
        return Owners(me, me, first_group(me))
    if unit["LoadState"] != "loaded":
        # Masked or missing: no User= would read as root, and `opsbot install` would be told to mend what is right.
        raise NoSuchOwnerError(f"{unit.name} is {unit['LoadState']}")
    user, group = unit["User"] or "root", unit["Group"]
    if unit["DynamicUser"] == "yes":
        return Owners(me, -1, -1)
    try:
        uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise NoSuchOwnerError(f"there is no user {user} on this host (217/USER)") from error
    try:
        named = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid if group else first_group(uid)
    except KeyError as error:
        raise NoSuchOwnerError(f"there is no group {group} on this host (216/GROUP)") from error
    return Owners(me, uid, named)


def first_group(uid: int) -> int:
    """A user's own group."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def groups_of(uid: int) -> set[int]:
    """The groups of a user: those this process holds where it is its own, else those of the user database."""
    if uid == os.geteuid():
        return {*os.getgroups(), os.getegid()}
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return set()
    return set(os.getgrouplist(entry.pw_name, entry.pw_gid))


def user_name(uid: int) -> str:
    """A user's name, its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """A group's name, its number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
