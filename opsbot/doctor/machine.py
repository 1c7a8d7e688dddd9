"""Check the host: Python, packages, git, memory, state directory, daemon."""

import asyncio
import fcntl
import grp
import json
import os
import platform
import pwd
import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from opsbot.config import Config, Scope
from opsbot.control.client import AnswerError, Client, DaemonUnreachableError
from opsbot.control.endpoints import PING
from opsbot.control.unix_path import MOST
from opsbot.core.access import Rank
from opsbot.doctor.findings import Area, Finding, Subject
from opsbot.doctor.owners import installing, user_name
from opsbot.doctor.room import room
from opsbot.formatting import size
from opsbot.host.figures import host_figures
from opsbot.services.brief_command import CommandError, ask
from opsbot.store import StoreError, open_readonly

GIT_LEAST = (2, 31)
"""First version that reads GIT_CONFIG_COUNT (git-config(1)), which passes tokens to git."""
_HOST, _STATE = Subject(Area.HOST), Subject(Area.STATE)
LITTLE = 96 * 1024**2
"""opsbot itself may use 64 MiB."""
_NEED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*(?P<wanted>[^;]*)(?P<marker>;.*)?")
_BOUND = re.compile(r"(>=|<=|==|!=|~=|<|>)\s*([0-9][0-9.]*)")


async def host(config: Config) -> list[Finding]:
    """Check Python, its packages, git, memory and local ranks."""
    parts = await asyncio.to_thread(lambda: ([*_python()], [_memory(), *_local_ranks(config)]))
    return [*parts[0], await _git(config), *parts[1]]


def _python() -> Iterator[Finding]:
    try:
        needs = metadata.requires("opsbot") or []
        wanted = metadata.metadata("opsbot")["Requires-Python"] or ">=3.11"
    except metadata.PackageNotFoundError:
        yield _HOST.warn("packages", "opsbot is not installed as a package here", "pip install --no-deps .")
        return
    version = platform.python_version()
    if fits(version, wanted):
        yield _HOST.passed("Python", version)
    else:
        yield _HOST.fail("Python", f"{version}; opsbot needs {wanted}", "Install a newer Python and opsbot with it")
    wrong = [text for need in needs if (text := _wrong(need))]
    if wrong:
        fix = "pip install --require-hashes -r requirements/runtime.txt, in opsbot's virtual environment"
        yield _HOST.fail("packages", "; ".join(wrong), fix)
    else:
        yield _HOST.passed("packages", f"opsbot {metadata.version('opsbot')} with all {len(needs)} requirements")


def _wrong(need: str) -> str:
    match = _NEED.match(need)
    if match is None or match["marker"]:
        return ""
    try:
        version = metadata.version(match["name"])
    except metadata.PackageNotFoundError:
        return f"{match['name']} is missing"
    return "" if fits(version, match["wanted"]) else f"{match['name']} {version}, required {match['wanted'].strip()}"


def fits(version: str, wanted: str) -> bool:
    """Whether a version satisfies bounds such as `>=3.11,<4`."""
    found = _numbers(version)
    for sign, bound in _BOUND.findall(wanted):
        other = _numbers(bound)
        length = max(len(found), len(other))
        have, limit = (tuple([*each, *[0] * length][:length]) for each in (found, other))
        holds = {
            ">=": have >= limit,
            "<=": have <= limit,
            "==": have == limit,
            "!=": have != limit,
            "<": have < limit,
            ">": have > limit,
            "~=": have >= limit and found[: len(other) - 1] == other[:-1],
        }
        if not holds[sign]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else (0,)


async def _git(config: Config) -> Finding:
    if not any(service.source for service in config.services.values()):
        return _HOST.skip("git", "no service has a source")
    try:
        answer = await ask(["git", "version"], 10.0)
    except CommandError as error:
        return _HOST.fail("git", str(error), "apt-get install git, or dnf install git")
    version = answer.out.removeprefix("git version ").strip()
    least = ".".join(map(str, GIT_LEAST))
    if _numbers(version) < GIT_LEAST:
        return _HOST.fail("git", f"{version}; opsbot needs {least}", "Install a newer git")
    return _HOST.passed("git", version)


def _memory() -> Finding:
    figures = host_figures()
    total, left = figures.memory_total, figures.memory_available
    if total is None or left is None:
        return _HOST.skip("memory", "not reported by this host")
    text = f"{size(left)} of {size(total)} available"
    if left < LITTLE:
        return _HOST.warn("memory", text, "Add memory or swap (fallocate -l 1G /swapfile), or stop what uses it")
    return _HOST.passed("memory", text)


def _local_ranks(config: Config) -> Iterator[Finding]:
    for rank in Rank:
        for name in sorted(getattr(config.roles, rank.name.lower(), ())):
            kind, _, local = name.partition(":")
            if kind != "unix" or local.lstrip("@").startswith("#"):
                continue
            try:
                _ = grp.getgrnam(local[1:]) if local.startswith("@") else pwd.getpwnam(local)
            except KeyError:
                what = f"group {local[1:]}" if local.startswith("@") else f"user {local}"
                fix = f"Create it, or remove {name} from roles.{rank.name.lower()}"
                yield _HOST.warn("local ranks", f"{what} does not exist on this host", fix)


async def state(config: Config, control: Path, command: str) -> list[Finding]:
    """Check the state directory, the database and the daemon.

    control: path of the daemon's socket. command: the command line that runs the doctor.
    """
    found = await asyncio.to_thread(_directory, config, command)
    found += await asyncio.to_thread(_as_root, config, command)
    found += await asyncio.to_thread(_database, config)
    if len(os.fsencode(config.state.socket)) > MOST:
        text = f"{config.state.socket} is longer than {MOST} bytes: opsbot can connect to it, other programs cannot"
        found.append(_STATE.warn("control socket", text, "Choose a shorter state.directory"))
    found.append(await asyncio.to_thread(_daemon, config, control))
    return found


def _directory(config: Config, command: str) -> list[Finding]:
    path = config.state.directory
    user = user_name(os.geteuid())
    make = f"install -d -m 0750 -o {user} {shlex.quote(str(path))}"
    if config.systemd.scope is Scope.SYSTEM and path.is_relative_to("/var/lib"):
        make = f"{installing(config)}, and systemctl start opsbot"
    try:
        owner = path.stat().st_uid
    except FileNotFoundError:
        if os.access(next(p for p in path.parents if p.exists()), os.W_OK):
            return [_STATE.passed("state directory", f"{path} does not exist yet; opsbot creates it")]
        return [_STATE.fail("state directory", f"{path} does not exist, and {user} may not create it", make)]
    except OSError as error:
        return [_STATE.fail("state directory", f"{path}: {error.strerror}", f"sudo -u OWNER {command}")]
    found = _other_user(owner, command)
    try:
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"x")
    except OSError as error:
        fix = f"chown -R {user} {shlex.quote(str(path))}, or run the doctor as its owner: {_as(owner, command)}"
        return [*found, _STATE.fail("state directory", f"{path} is not writable: {error.strerror}", fix)]
    return [*found, _STATE.passed("state directory", f"{path} is writable"), room(_STATE, path)]


def _as_root(config: Config, command: str) -> list[Finding]:
    """Warn that results found as root say little about opsbot's own user."""
    with suppress(KeyError):
        if os.geteuid() == 0 and not config.state.directory.exists():
            return _other_user(pwd.getpwnam("opsbot").pw_uid, command)
    return []


def _other_user(owner: int, command: str) -> list[Finding]:
    """Warn if the doctor's permissions are not those of the daemon's user."""
    if owner == os.geteuid():
        return []
    seen = f"permissions were tested as {user_name(os.geteuid())}; opsbot runs as {user_name(owner)}"
    return [_STATE.warn("user", seen, _as(owner, command))]


def _as(owner: int, command: str) -> str:
    runner = "runuser" if os.geteuid() == 0 else "sudo"
    return f"{runner} -u {user_name(owner)} -- {command}"


def _database(config: Config) -> list[Finding]:
    path = config.state.database
    with suppress(OSError):
        if not path.exists():
            return [_STATE.passed("database", "does not exist yet; opsbot creates it")]
    try:
        open_readonly(path).close()
    except StoreError as error:
        fix = "Run the doctor as opsbot's user; opsbot sets a damaged file aside"
        return [_STATE.fail("database", str(error), fix)]
    return [_STATE.passed("database", f"{path} is readable")]


def _daemon(config: Config, control: Path) -> Finding:
    holder = _holder(config.state.directory / "opsbot.lock")
    try:
        answer = Client(control).ask(PING)
    except (DaemonUnreachableError, AnswerError) as error:
        if holder is not None:
            seen = f"opsbot runs on {config.state.directory} ({holder}), but {control} does not answer"
            return _STATE.fail("daemon", seen, "journalctl -u opsbot -n 50; then systemctl restart opsbot")
        if isinstance(error.__cause__, PermissionError):
            return _STATE.skip("daemon", f"{control} is not accessible for this user")
        return _STATE.warn("daemon", "not running", "systemctl start opsbot, or opsbot run")
    if answer.state_directory != str(config.state.directory):
        seen = f"the opsbot at {control} uses {answer.state_directory}"
        return _STATE.warn("daemon", seen, "Pass its configuration with -c, or start an opsbot for this one")
    return _STATE.passed("daemon", f"version {answer.version} runs, pid {answer.pid}")


def _holder(lock: Path) -> str | None:
    """Return who holds the lock; None if nobody does or the holder is unknown."""
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(ValueError, KeyError, TypeError):
            return f"pid {json.loads(os.pread(file, 4096, 0))['pid']}"
        return "unknown process"
    finally:
        os.close(file)
    return None
