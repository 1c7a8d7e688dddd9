"""Check release folders, their owners and free space, and configured programs.

If the service has its own user, all folders belong to opsbot, with the service's group inherited by new files:
2750 lets the service read, 2770 (shared/ and .errands) lets it write.
"""

import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from opsbot.config import CheckKind, Service, Strategy
from opsbot.doctor.findings import Area, Finding, Subject
from opsbot.doctor.owners import Owners, group_name, groups_of, user_name
from opsbot.doctor.room import room

READ, WRITE = 0o2750, 0o2770
LAYOUT = ((".", READ), ("releases", READ), ("shared", WRITE), (".errands", WRITE))
UNIT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of a unit that sets none (systemd.exec(5), "Environment Variables in Spawned Processes")."""


def folders(service: Service, owners: Owners, installs: str = "") -> list[Finding]:
    """Check the folders of a service's source.

    installs: the command that creates all of them, "" if there is none. Blocks.
    """
    source = service.source
    if source is None:
        return []
    top, about = source.directory, Subject(Area.FOLDERS, service.name)
    fix = installs or _make(top, READ, owners)
    found = list(_group(about, owners, installs))
    try:
        top.stat()
    except FileNotFoundError:
        return [*found, _absent(about, top, owners, installs)]
    except OSError as error:
        return [*found, about.fail(str(top), error.strerror or str(error), fix)]
    wrong = list(_layout(about, top, owners, installs))
    if not os.access(top, os.W_OK | os.X_OK):
        wrong.insert(0, about.fail(str(top), "is not writable", fix))
    if not wrong:
        found.append(about.passed(str(top), "is writable" + _said(owners)))
    found += wrong
    if source.strategy is Strategy.RELEASES:
        found.append(_current(about, top))
    return [*found, room(about, top)]


def _said(owners: Owners) -> str:
    return f" and readable by group {group_name(owners.gid)}" if owners.split else ""


def _make(path: Path, mode: int, owners: Owners) -> str:
    if not owners.split:
        return f"install -d -o {user_name(owners.me)} {shlex.quote(str(path))}"
    own = f"-o {user_name(owners.me)} -g {group_name(owners.gid)} -m {mode:o}"
    return f"install -d {own} {shlex.quote(str(path))}"


def _group(about: Subject, owners: Owners, installs: str) -> Iterator[Finding]:
    if not owners.split or owners.gid < 0 or owners.me == 0:
        return
    if owners.gid not in groups_of(owners.me):
        me, group = user_name(owners.me), group_name(owners.gid)
        seen = f"{me} is not in group {group}: it cannot give files to the service's user"
        fix = f"{installs or f'usermod -aG {group} {me}'}; systemctl restart opsbot"
        yield about.fail("group", seen, fix)


def _absent(about: Subject, top: Path, owners: Owners, installs: str) -> Finding:
    above = next(path for path in top.parents if path.exists())
    if os.access(above, os.W_OK | os.X_OK) and not owners.split:
        return about.passed(str(top), "does not exist yet; the first deploy creates it")
    seen = f"it does not exist, and {user_name(owners.me)} may not create it in {above}"
    if os.access(above, os.W_OK) and owners.split:
        seen = "it does not exist"
    return about.fail(str(top), seen, installs or _make(top, READ, owners))


def _layout(about: Subject, top: Path, owners: Owners, installs: str) -> Iterator[Finding]:
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
            wrong.append(f"is owned by {user_name(found.st_uid)}, not by {user_name(owners.me)}")
        if found.st_gid != owners.gid:
            wrong.append(f"has group {group_name(found.st_gid)}, not {group_name(owners.gid)}")
        if stat.S_IMODE(found.st_mode) != mode:
            wrong.append(f"has mode {stat.S_IMODE(found.st_mode):04o}, not {mode:04o}")
        if wrong:
            fix = installs or _make(path, mode, owners)
            yield about.warn(str(path), "; ".join(wrong), fix)


def _current(about: Subject, top: Path) -> Finding:
    link = top / "current"
    if not os.path.lexists(link):
        return about.skip("current", "no release is deployed yet", f"opsbot deploy {about.service}")
    if not link.is_symlink():
        seen = f"{link} is not a symbolic link; deploys cannot switch it"
        return about.fail("current", seen, f"mv {link} {link}.old; opsbot deploy {about.service}")
    if not link.exists():
        seen = f"{link} is dangling: {link.readlink()} does not exist"
        return about.fail("current", seen, f"opsbot deploy {about.service}")
    return about.passed("current", f"points to {link.resolve().name}")


def commands(service: Service, owners: Owners) -> list[Finding]:
    """Check the programs of install steps, `command` checks and the service itself.

    Blocks.
    """
    wanted: dict[str, str] = {}
    for number, step in enumerate(service.install, 1):
        wanted.setdefault(step.run[0], f"install step {number}")
    for check in service.checks:
        if check.kind is CheckKind.COMMAND:
            wanted.setdefault(check.run[0], f"check {check.name}")
    if service.command:
        wanted.setdefault(service.command[0], "the service's command")
    path = UNIT_PATH if owners.split else os.environ.get("PATH", UNIT_PATH)
    about = Subject(Area.COMMANDS, service.name)
    return [_command(about, program, use, path) for program, use in wanted.items()]


def _command(about: Subject, program: str, use: str, path: str) -> Finding:
    if "/" in program and not program.startswith("/"):
        return about.skip(program, f"{use}: part of the release")
    found = shutil.which(program, path=path)
    if found is not None:
        return about.passed(program, f"{use}: {found}")
    seen = f"{use}: {program} not found in {path}" if "/" not in program else f"{use}: {program} does not exist"
    fix = "Install it for all users (additions by a shell profile, such as nvm, do not apply), or write its full path"
    return about.fail(program, seen, fix)
