"""The commands that make the host take note of what was written, and those that undo it."""

import pwd
import re
import shutil
import subprocess
from pathlib import Path

from opsbot.config import Scope
from opsbot.install.facts import output
from opsbot.install.files import FileChange
from opsbot.install.plan import CHECK, DAEMON, RULE, STEP, SYSUSERS, TMPFILES, UNITS, USER_UNITS

_SECONDS = 120
_CACHES = Path("/var/cache")
_STATE = Path("/var/lib/opsbot")
_PEOPLE_FROM = 1000
"""Numbers below are those of system users, see sysusers.d(5)."""
_IN_STATE = ("opsbot.lock", "opsbot.sqlite3")
"""What shows that a folder is a state directory of opsbot's."""


class HostError(Exception):
    """A command failed; the text says which, and what it said."""


def candidates(scope: Scope, home: Path) -> list[Path]:
    """Every file that install may have written, for this configuration or an earlier one."""
    if scope is Scope.USER:
        return [home / USER_UNITS / DAEMON.name]
    errands = sorted(path for kind in (STEP, CHECK) for path in UNITS.glob(f"{kind}*.service"))
    return [DAEMON, RULE, SYSUSERS, TMPFILES, *errands]


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        raise HostError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()[-2000:]}")


def take_note(scope: Scope, *, units: bool, new_rules: bool) -> None:
    """Make users and folders as the files say; have the units read again where `units` changed.

    Args:
        scope: whose systemd.
        units: a unit was written or removed.
        new_rules: the folder of polkit's rules has just been made: polkit watches only what was there at its start.

    Raises:
        HostError: one of the commands failed.
    """
    if scope is Scope.SYSTEM:
        _run("systemd-sysusers", str(SYSUSERS))
        _run("systemd-tmpfiles", "--create", str(TMPFILES))
        if new_rules:
            _run("systemctl", "try-restart", "polkit.service")
    if units:
        _run(*_systemctl(scope), "daemon-reload")


def _systemctl(scope: Scope) -> list[str]:
    return ["systemctl", "--user"] if scope is Scope.USER else ["systemctl"]


def lacks_rules_folder() -> bool:
    """Whether the folder of polkit's rules is still to be made."""
    return not RULE.parent.is_dir()


def is_active(scope: Scope) -> bool:
    """Whether opsbot.service runs."""
    return output(*_systemctl(scope), "is-active", "--quiet", DAEMON.name) is not None


def answers(scope: Scope) -> bool:
    """Whether that systemd can be asked at all. A user's own cannot from `su` or `sudo -u`: they bring no session."""
    return output(*_systemctl(scope), "show", "-p", "Version") is not None


def lingers(user: str) -> bool:
    """Whether the user's units run without that user being logged in."""
    return (output("loginctl", "show-user", "-p", "Linger", "--value", "--", user) or "").strip() == "yes"


def stop(scope: Scope, going: list[FileChange]) -> None:
    """Stop opsbot and its errands, and have it started no more. Nothing else is stopped.

    Raises:
        HostError: systemd would not.
    """
    names = [change.path.name for change in going if change.path.suffix == ".service"]
    errands = [name for name in names if name != DAEMON.name]
    if DAEMON.name in names:
        _run(*_systemctl(scope), "disable", "--now", DAEMON.name)
    if errands:
        _run(*_systemctl(scope), "stop", *errands)


def reload(scope: Scope, gone: list[FileChange]) -> None:
    """Have the units read again after some were removed.

    Raises:
        HostError: systemd would not.
    """
    names = [change.path.name for change in gone if change.path.suffix == ".service"]
    _run(*_systemctl(scope), "daemon-reload")
    for name in names:
        output(*_systemctl(scope), "reset-failed", name)  # fails where it had not failed, which is fine


def user_of(changes: list[FileChange]) -> str:
    """The user that install made, as its own file says; "" where it is not among these."""
    text = next((change.before for change in changes if change.path == SYSUSERS), "")
    match = re.search(r"^u (\S+) ", text, re.MULTILINE)
    return match[1] if match else ""


def state_of(changes: list[FileChange]) -> Path | None:
    """The state directory, as opsbot's own unit says."""
    text = next((change.before for change in changes if change.path.name == DAEMON.name), "")
    match = re.search(r'^Environment="?HOME=(/[^"\n]+)"?$', text, re.MULTILINE)
    return Path(match[1]) if match else None


def remembered(state: Path | None, scope: Scope) -> tuple[Path | None, str]:
    """Where no file of install's is left: the state directory where it is opsbot's, and the system user that owns it.

    state: the one of the configuration; None where there is none.
    """
    state = state or (_STATE if scope is Scope.SYSTEM else None)
    if state is None or not any((state / name).exists() for name in _IN_STATE):
        return None, ""
    owner = state.stat().st_uid
    if scope is not Scope.SYSTEM or not 0 < owner < _PEOPLE_FROM:
        return state, ""
    try:
        return state, pwd.getpwuid(owner).pw_name
    except KeyError:
        return state, ""


def purge(state: Path | None, user: str, scope: Scope = Scope.SYSTEM) -> tuple[list[str], list[str]]:
    """Remove what opsbot kept, and its user; what is gone, and what is left with the reason."""
    gone: list[str] = []
    left: list[str] = []
    caches = sorted(_CACHES.glob(f"{STEP}*")) if scope is Scope.SYSTEM else []  # of the system's errand units
    for path in [*([state] if state is not None else []), *caches]:
        if path == state and not any((path / name).exists() for name in _IN_STATE):
            if path.exists():
                left.append(f"{path}: it does not look like opsbot's state; look, and rm -r it")
            continue
        try:
            shutil.rmtree(path)
        except OSError as error:
            left.append(f"{path}: {error.strerror}")
        else:
            gone.append(str(path))
    if user:
        try:
            _run("userdel", user)
        except HostError as error:
            left.append(f"the user {user}: {error}")
        else:
            gone.append(f"the user {user}")
    return gone, left
