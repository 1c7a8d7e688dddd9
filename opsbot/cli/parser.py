"""The verbs and their options, as one table. Tests compare docs/cli.md with it."""

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from opsbot import __version__

SUMMARY = (
    "Deploys, monitors, recovers and rolls back services on this host, controlled from a Discord channel. "
    "These verbs do the same from a terminal, with the same ranks, locks and audit log."
)
EPILOG = """\
exit codes:
  0  success
  1  something is unhealthy, or the operation failed
  2  a mistake in the command or in the configuration
  3  the daemon does not answer
  4  refused (your role, another deploy, a hold)

The configuration is FILE of -c, else $OPSBOT_CONFIG, ./config.toml, ~/.config/opsbot/config.toml,
/etc/opsbot/config.toml.
SERVICE is optional if only one service is configured. See also `opsbot VERB --help`.
"""

_PORT_MOST = 65535


class _Format(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > _PORT_MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; use 0 to {_PORT_MOST} (0: any free port)")
    return int(text)


def _count(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {most}")
        return int(text)

    return number


def _user(text: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", text) or text == "root":
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid user for opsbot; for example: opsbot")
    return text


Option = tuple[tuple[str, ...], dict[str, Any]]
"""The arguments of `add_argument`."""


def _option(*names: str, **how: Any) -> Option:
    return names, how


def _flag(name: str, text: str, *others: str, **how: Any) -> Option:
    return (name, *others), {"action": "store_true", "help": text, **how}


def _limit(default: int, text: str) -> Option:
    return _option("-n", "--limit", type=_count(1000), default=default, metavar="N", help=f"{text} (default {default})")


def _service(text: str) -> Option:
    return _option("service", nargs="?", metavar="SERVICE", help=text)


_CONFIG = _option("-c", "--config", type=Path, metavar="FILE", help="the configuration (default: see opsbot --help)")
_JSON = _flag("--json", "print JSON, for scripts")
_SOCKET = "the daemon's control socket (default: found by configuration)"
_DAEMON = (_CONFIG, _option("--socket", type=Path, metavar="PATH", help=_SOCKET), _JSON)
_SERVICE, _SERVICES = _service("the service; optional if there is only one"), _service("one service (default: all)")
_SUBJECT = _service("one service, or a subject of the host such as host:disk:/ (default: all)")
_REASON = _option("--reason", metavar="TEXT", help="the reason, shown to others and kept in the audit log")
_NO_WAIT = _flag("--no-wait", "return once it has started; `opsbot history` shows the result")
_NO_CHECKS = _flag(
    "--no-wait", "come back once its new process runs, before the checks", dest="wait", action="store_false"
)
_YES = _flag("--yes", "do not ask; manually edited files are kept")
_LOGS = (
    _option("-n", "--lines", type=_count(10_000), default=50, metavar="N", help="the last N lines (default 50)"),
    _option("--since", metavar="WHEN", help="lines since then: 10m, 2h, 7d, or 2026-11-24T10:30 (UTC)"),
    _option("--level", choices=["error", "warning", "info", "debug"], help="lines of at least this severity"),
    _option("--grep", metavar="RE", help="lines that match this regular expression, ignoring case"),
    _flag("--this-run", "only lines since the last start of the service"),
    _flag("-f", "keep printing new lines until Ctrl-C", "--follow"),
)
_PORT = _option(
    "--port", type=_port, default=8765, metavar="N", help="port of the web page (default 8765; 0: any free port)"
)
_USER = _option("--user", type=_user, default="opsbot", metavar="NAME", help="the user opsbot runs as (default opsbot)")
_REF = _option("ref", nargs="?", metavar="REF", help="branch, tag or commit (default: the tracked branch)")
_KNOWN = _option("--reason", required=True, metavar="TEXT", help="what you know, or what you will do")
_MEMBER = _option("--member", metavar="ID", help="only this user's requests: a Discord user id, or unix:NAME")
_RELEASE = _option("release", nargs="?", metavar="RELEASE", help="its name or commit (default: the previous good one)")
_NOTIFIER = _option("notifier", metavar="NAME", help="the name in the configuration: [notifiers.NAME]")
_UPDATED = _option("services", nargs="*", metavar="SERVICE", help="these services (default: all with a source)")
_WRITTEN = {"type": Path, "default": Path("config.toml"), "metavar": "FILE"}

VERBS: Mapping[str, tuple[str, Sequence[Option]]] = {
    "demo": ("run the complete product on this machine, without a Discord account", [_PORT]),
    "run": ("run the daemon: bot, checks, deploys, HTTP endpoint, control socket", [_CONFIG]),
    "check": ("print every problem in the configuration", [_CONFIG]),
    "doctor": ("test everything the configuration relies on and suggest fixes", [_CONFIG, _JSON]),
    "init": (
        "ask a few questions and write a configuration",
        [_option("-c", "--config", help="the file to write (default config.toml)", **_WRITTEN)],
    ),
    "install": (
        "install opsbot's unit, permissions, user and folders",
        [_CONFIG, _flag("--dry-run", "print the files without writing them; needs no root"), _USER, _YES],
    ),
    "uninstall": (
        "undo install",
        [_CONFIG, _flag("--purge", "also remove the state directory and opsbot's user"), _YES],
    ),
    "status": ("the state of the services, why, and what happens next", [*_DAEMON, _SERVICES]),
    "health": ("run the checks now and show their results", [*_DAEMON, _SERVICES]),
    "logs": ("show log lines of a service, oldest first", [*_DAEMON, _SERVICE, *_LOGS]),
    "history": (
        "show the latest deployments and incidents, newest first",
        [*_DAEMON, _SERVICES, _limit(20, "how many of each")],
    ),
    "windows": ("show active maintenance windows and the next three", _DAEMON),
    "incidents": (
        "show the latest incidents, newest first",
        [*_DAEMON, _SUBJECT, _flag("--open", "only open incidents"), _limit(20, "how many at most")],
    ),
    "why": ("explain a service's status in one line", [*_DAEMON, _SERVICE]),
    "monitor": ("show a live dashboard in the terminal", [*_DAEMON, _flag("--once", "print it once")]),
    "audit": (
        "show who requested what, and the result, newest first",
        [*_DAEMON, _SERVICES, _MEMBER, _limit(50, "how many entries")],
    ),
    "restart": ("restart a service", [*_DAEMON, _SERVICE, _NO_CHECKS]),
    "deploy": ("deploy a branch, tag or commit", [*_DAEMON, _SERVICE, _REF, _REASON, _NO_WAIT]),
    "now": ("continue a waiting deploy immediately", [*_DAEMON, _SERVICE, _NO_WAIT]),
    "update": ("poll the repository now and deploy a new commit", [*_DAEMON, _UPDATED, _NO_WAIT]),
    "rollback": ("roll back to a kept release", [*_DAEMON, _SERVICE, _RELEASE, _REASON, _NO_WAIT]),
    "notify": ("test a notifier other than Discord", [*_DAEMON, _NOTIFIER]),
    "reload": ("reload the daemon's configuration", _DAEMON),
    "hold": ("pause deploys of a service until resume", [*_DAEMON, _SERVICE, _REASON]),
    "resume": ("resume automatic deploys and end a silence", [*_DAEMON, _SERVICE, _REASON]),
    "ack": ("acknowledge the open incident of a service", [*_DAEMON, _SERVICE, _KNOWN]),
    "silence": (
        "silence alerts of a service for a while",
        [*_DAEMON, _SERVICE, _option("--for", metavar="LENGTH", help="how long: 30m, 2h, 1d (default 1h)"), _REASON],
    ),
}
_MORE = {
    "demo": "A local stand-in for Discord with a web page, a sample service in a git repository, and the real bot "
    "connected to it. Ctrl-C stops everything.",
    "run": "Stops on SIGTERM or Ctrl-C; services keep running.",
    "check": "Each as FILE:LINE: key: the problem, and a valid value.",
    "doctor": "Token, server, channel, permissions, units and their files, polkit, journal, repositories, folders, "
    "commands, ports. Changes nothing. Run it as opsbot's user. Exit code 1 if a check fails.",
    "init": "Asks before it replaces an existing file. Finally prints the link that invites the bot with exactly the "
    "permissions it needs.",
    "install": "For exactly the configured services. Shows the changes and asks; requires root. Files from earlier "
    "installs are updated, foreign files are never changed. Starts nothing.",
    "uninstall": "Stops opsbot and removes the installed files. Services keep running. Their folders, the "
    "configuration, and without --purge opsbot's state and user, are kept.",
    "status": "Exit code 1 when one is down, unstable or stopped, or when its state cannot be known. Without a daemon "
    "it shows what the daemon last knew, and says so.",
    "health": "Exit code 1 if one fails.",
    "incidents": "With affected services, actions taken, and resolution. Exit code 1 if one is open.",
    "why": "Based on the store, the journal and deployments: what happened, after what, what was done, and when it "
    "recovered, with the evidence. Unknown facts are marked as such.",
    "monitor": "Services, checks, the host, running deploys, alerts; updated every second. q or Ctrl-C ends it. "
    "Printed once if the output is not a terminal.",
    "restart": "Waits for its checks, up to its verify_timeout, and says what they saw. Exit code 1 when one fails or "
    "the process does not stay alive.",
    "deploy": "Waits and prints each phase. A failed release is rolled back automatically. Exit code 0 if the service "
    "runs the requested commit.",
    "now": "For a deploy or rollback that waits before it replaces the running release (a bot in a voice channel, a "
    "maintenance window). Waits and prints each phase.",
    "update": "Waits and prints each phase. No new commit is a success (exit code 0).",
    "rollback": "Automatic deploys are then paused until a newer commit than the one rolled back, or until resume.",
    "notify": "Sends a test message and waits for the result. Exit code 1 if it was not accepted.",
    "reload": "Waits and prints the changes. An invalid file is rejected: its problems are printed and the old "
    "configuration stays in force. Running deployments finish first.",
    "ack": "Pauses reminders and escalation until it resolves or gets worse.",
}
"""The rest of a verb's description."""


def parser(verb: str = "") -> argparse.ArgumentParser:
    """Build the parser of `opsbot`. verb: the only one to build; all of them if it is none."""
    top = argparse.ArgumentParser(prog="opsbot", description=_wrapped(SUMMARY), epilog=EPILOG, formatter_class=_Format)
    top.add_argument("--version", action="version", version=f"opsbot {__version__}")
    group = top.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    for name in [verb] if verb in VERBS else VERBS:
        short, options = VERBS[name]
        text = _wrapped(f"{short}. {_MORE.get(name, '')}")
        built = group.add_parser(name, help=short, description=text, formatter_class=_Format)
        for names, how in options:
            built.add_argument(*names, **how)
    return top


def _wrapped(text: str) -> str:
    """Wrap a description as argparse would.

    The formatter keeps line breaks for the epilog.
    """
    return textwrap.fill(text[:1].upper() + text[1:].strip(), min(shutil.get_terminal_size().columns, 100) - 2)
