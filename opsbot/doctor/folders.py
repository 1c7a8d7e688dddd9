"""Where releases are kept: the folders, whom they belong to, room for more; and the commands of steps and checks.

The layout of a service whose unit has a user of its own: everything opsbot's, with the service's group set on each new
file (2750: the service reads it; shared/ and .errands 2770: it writes there). As one user, it has only to be writable.
"""

import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from opsbot.config import CheckKind, Service, Strategy
from opsbot.doctor.findings import Area, Finding, fail, skip, warn, well
from opsbot.doctor.owners import Owners, group_name, groups_of, user_name
from opsbot.doctor.room import room

READ, WRITE = 0o2750, 0o2770
LAYOUT = ((".", READ), ("releases", READ), ("shared", WRITE), (".errands", WRITE))
UNIT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What a unit has as PATH where it sets none (systemd.exec(5), "Environment Variables in Spawned Processes")."""


def folders(service: Service, owners: Owners, installs: str = "") -> list[Finding]:
    """The folders of a service's source. installs: the command that makes all of them; "" where none does. Blocks."""
    source = service.source
    if source is None:
        return []
    top = source.directory
    mend = installs or _make(top, READ, owners)
    found = list(_group(service, owners, installs))
    try:
        top.stat()
    except FileNotFoundError:
        return [*found, _absent(service, top, owners, installs)]
    except OSError as error:
        return [
            *found,
            fail(Area.FOLDERS, str(top), error.strerror or str(error), mend, service.name),
        ]
    wrong = list(_layout(service, top, owners, installs))
    if not os.access(top, os.W_OK | os.X_OK):
        wrong.insert(0, fail(Area.FOLDERS, str(top), "cannot be written", mend, service.name))
    if not wrong:
        found.append(well(Area.FOLDERS, str(top), "can be written" + _said(owners), service.name))
    found += wrong
    if source.strategy is Strategy.RELEASES:
        found.append(_current(service, top))
    return [*found, room(Area.FOLDERS, top, service.name)]


def _said(owners: Owners) -> str:
    return f", and read by group {group_name(owners.gid)}" if owners.split else ""


def _make(path: Path, mode: int, owners: Owners) -> str:
    if not owners.split:
        return f"install -d -o {user_name(owners.me)} {shlex.quote(str(path))}"
    own = f"-o {user_name(owners.me)} -g {group_name(owners.gid)} -m {mode:o}"
    return f"install -d {own} {shlex.quote(str(path))}"


def _group(service: Service, owners: Owners, installs: str) -> Iterator[Finding]:
    if not owners.split or owners.gid < 0 or owners.me == 0:
        return
    if owners.gid not in groups_of(owners.me):
        me, group = user_name(owners.me), group_name(owners.gid)
        seen = f"{me} is not in group {group}: it cannot hand files to the service's user"
        mend = f"{installs or f'usermod -aG {group} {me}'}; systemctl restart opsbot"
        yield fail(Area.FOLDERS, "group", seen, mend, service.name)


def _absent(service: Service, top: Path, owners: Owners, installs: str) -> Finding:
    above = next(path for path in top.parents if path.exists())
    if os.access(above, os.W_OK | os.X_OK) and not owners.split:
        return well(Area.FOLDERS, str(top), "not there yet; the first deploy makes it", service.name)
    seen = f"it is not there, and {user_name(owners.me)} may not make it in {above}"
    if os.access(above, os.W_OK) and owners.split:
        seen = "it is not there"
    return fail(Area.FOLDERS, str(top), seen, installs or _make(top, READ, owners), service.name)


def _layout(service: Service, top: Path, owners: Owners, installs: str) -> Iterator[Finding]:
    if not owners.split or owners.gid < 0:
        return
    for name, mode in LAYOUT:
        path = top / name
        try:
            found = path.stat()
        except OSError:
            continue
        wrong = []
        if found.st_uid != owners.me:
            wrong.append(f"belongs to {user_name(found.st_uid)}, not to {user_name(owners.me)}")
        if found.st_gid != owners.gid:
            wrong.append(f"is of group {group_name(found.st_gid)}, not {group_name(owners.gid)}")
        if stat.S_IMODE(found.st_mode) != mode:
            wrong.append(f"has mode {stat.S_IMODE(found.st_mode):04o}, not {mode:04o}")
        if wrong:
            mend = installs or _make(path, mode, owners)
            yield warn(Area.FOLDERS, str(path), "; ".join(wrong), mend, service.name)


def _current(service: Service, top: Path) -> Finding:
    link = top / "current"
    if not os.path.lexists(link):
        return skip(Area.FOLDERS, "current", "nothing is deployed yet", service.name, f"opsbot deploy {service.name}")
    if not link.is_symlink():
        seen = f"{link} is no symbolic link: a deploy cannot switch it"
        return fail(Area.FOLDERS, "current", seen, f"mv {link} {link}.old; opsbot deploy {service.name}", service.name)
    if not link.exists():
        seen = f"{link} leads nowhere: {link.readlink()} is gone"
        return fail(Area.FOLDERS, "current", seen, f"opsbot deploy {service.name}", service.name)
    return well(Area.FOLDERS, "current", f"leads to {link.resolve().name}", service.name)


def commands(service: Service, owners: Owners) -> list[Finding]:
    """The programs of install steps, `command` checks and of the service itself, where they are looked for. Blocks."""
    wanted: dict[str, str] = {}
    for number, step in enumerate(service.install, 1):
        wanted.setdefault(step.run[0], f"install step {number}")
    for check in service.checks:
        if check.kind is CheckKind.COMMAND:
            wanted.setdefault(check.run[0], f"check {check.name}")
    if service.command:
        wanted.setdefault(service.command[0], "the service's command")
    path = UNIT_PATH if owners.split else os.environ.get("PATH", UNIT_PATH)
    return [_command(service, program, use, path) for program, use in wanted.items()]


def _command(service: Service, program: str, use: str, path: str) -> Finding:
    if "/" in program and not program.startswith("/"):
        return skip(Area.COMMANDS, program, f"{use}: comes with the release", service.name)
    found = shutil.which(program, path=path)
    if found is not None:
        return well(Area.COMMANDS, program, f"{use}: {found}", service.name)
    seen = f"{use}: there is no {program} in {path}" if "/" not in program else f"{use}: {program} is not there"
    mend = "Install it for all users (what a shell's profile adds, such as nvm, is not seen), or write its whole path"
    return fail(Area.COMMANDS, program, seen, mend, service.name)
