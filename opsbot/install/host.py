"""Commands that make the host apply or revert the installed files."""

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
"""Lower numbers belong to system users, see sysusers.d(5)."""
_IN_STATE = ("opsbot.lock", "opsbot.sqlite3")
"""Files that identify a folder as opsbot's state directory."""


class HostError(Exception):
    """A command failed; the message holds the command and its error output."""


def candidates(scope: Scope, home: Path) -> list[Path]:
    """List every path that this or an earlier install may have written."""
    if scope is Scope.USER:
        return [home / USER_UNITS / DAEMON.name]
    job_units = sorted(path for kind in (STEP, CHECK) for path in UNITS.glob(f"{kind}*.service"))
    return [DAEMON, RULE, SYSUSERS, TMPFILES, *job_units]


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        raise HostError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()[-2000:]}")


def take_note(scope: Scope, *, units: bool, new_rules: bool) -> None:
    """Create users and folders from the installed files and reload systemd's units.

    units: whether a unit file was written or removed. new_rules: whether polkit's rules folder was just created; polkit
    watches only folders present at its start.

    Raises:
        HostError: a command failed.
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
    return not RULE.parent.is_dir()


def is_active(scope: Scope) -> bool:
    return output(*_systemctl(scope), "is-active", "--quiet", DAEMON.name) is not None


def answers(scope: Scope) -> bool:
    """Whether systemd answers; a user instance does not from `su` or `sudo -u`."""
    return output(*_systemctl(scope), "show", "-p", "Version") is not None


def lingers(user: str) -> bool:
    """Whether the user's units run without a session (`loginctl enable-linger`)."""
    return (output("loginctl", "show-user", "-p", "Linger", "--value", "--", user) or "").strip() == "yes"


def stop(scope: Scope, going: list[FileChange]) -> None:
    """Disable and stop opsbot and its job units, not services. Raises HostError."""
    names = [change.path.name for change in going if change.path.suffix == ".service"]
    job_units = [name for name in names if name != DAEMON.name]
    if DAEMON.name in names:
        _run(*_systemctl(scope), "disable", "--now", DAEMON.name)
    if job_units:
        _run(*_systemctl(scope), "stop", *job_units)


def reload(scope: Scope, gone: list[FileChange]) -> None:
    """Reload systemd after units were removed. Raises HostError if that fails."""
    names = [change.path.name for change in gone if change.path.suffix == ".service"]
    _run(*_systemctl(scope), "daemon-reload")
    for name in names:
        output(*_systemctl(scope), "reset-failed", name)  # exits non-zero if the unit had not failed; harmless


def user_of(changes: list[FileChange]) -> str:
    """Return the user in install's sysusers file; "" without that file."""
    text = next((change.before for change in changes if change.path == SYSUSERS), "")
    match = re.search(r"^u (\S+) ", text, re.MULTILINE)
    return match[1] if match else ""


def state_of(changes: list[FileChange]) -> Path | None:
    """Return the state directory named in opsbot's own unit."""
    text = next((change.before for change in changes if change.path.name == DAEMON.name), "")
    match = re.search(r'^Environment="?HOME=(/[^"\n]+)"?$', text, re.MULTILINE)
    return Path(match[1]) if match else None


def remembered(state: Path | None, scope: Scope) -> tuple[Path | None, str]:
    """Find the state directory and its system user when no managed file is left.

    state: the directory from the configuration, None without a configuration.
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
    """Remove opsbot's state and its user; return the removed and the kept."""
    gone: list[str] = []
    left: list[str] = []
    caches = sorted(_CACHES.glob(f"{STEP}*")) if scope is Scope.SYSTEM else []  # CacheDirectory= of the job units
    for path in [*([state] if state is not None else []), *caches]:
        if path == state and not any((path / name).exists() for name in _IN_STATE):
            if path.exists():
                left.append(f"{path}: not recognised as opsbot's state; check it, then rm -r it")
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
