"""The verbs and their options. Tests compare docs/cli.md with this parser."""

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

from opsbot import __version__

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


def parser() -> argparse.ArgumentParser:
    """Build the parser of `opsbot`."""
    top = argparse.ArgumentParser(
        prog="opsbot",
        description=_wrapped(
            "Deploys, monitors, recovers and rolls back services on this host, controlled from a Discord channel. "
            "These verbs do the same from a terminal, with the same ranks, locks and audit log."
        ),
        epilog=EPILOG,
        formatter_class=_Format,
    )
    top.add_argument("--version", action="version", version=f"opsbot {__version__}")
    verbs = _Verbs(top.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs"))
    _own(verbs)
    _looking(verbs)
    _doing(verbs)
    return top


def _wrapped(text: str) -> str:
    """Wrap a description as argparse would.

    The formatter keeps line breaks for the epilog.
    """
    return textwrap.fill(text[:1].upper() + text[1:].strip(), min(shutil.get_terminal_size().columns, 100) - 2)


class _Verbs:
    """Adds verbs with shared options."""

    def __init__(self, group: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        self._group = group

    def plain(self, name: str, short: str, more: str = "") -> argparse.ArgumentParser:
        return self._group.add_parser(
            name, help=short, description=_wrapped(f"{short}. {more}"), formatter_class=_Format
        )

    def client(self, name: str, short: str, more: str = "") -> argparse.ArgumentParser:
        """Add a verb that calls the daemon."""
        verb = self.plain(name, short, more)
        _config(verb)
        verb.add_argument(
            "--socket", type=Path, metavar="PATH", help="the daemon's control socket (default: found by configuration)"
        )
        verb.add_argument("--json", action="store_true", help="print JSON, for scripts")
        return verb


def _config(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="the configuration (default: see opsbot --help)"
    )


def _service(verb: argparse.ArgumentParser, text: str = "the service; optional if there is only one") -> None:
    verb.add_argument("service", nargs="?", metavar="SERVICE", help=text)


def _reason(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--reason", metavar="TEXT", help="the reason, shown to others and kept in the audit log")


def _waiting(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--no-wait", action="store_true", help="return once it has started; `opsbot history` shows the result"
    )


def _own(verbs: _Verbs) -> None:
    demo = verbs.plain(
        "demo",
        "run the complete product on this machine, without a Discord account",
        "A local stand-in for Discord with a web page, a sample service in a git repository, and the real bot "
        "connected to it. Ctrl-C stops everything.",
    )
    demo.add_argument(
        "--port", type=_port, default=8765, metavar="N", help="port of the web page (default 8765; 0: any free port)"
    )
    run = verbs.plain(
        "run",
        "run the daemon: bot, checks, deploys, HTTP endpoint, control socket",
        "Stops on SIGTERM or Ctrl-C; services keep running.",
    )
    _config(run)
    check = verbs.plain(
        "check",
        "print every problem in the configuration",
        "Each as FILE:LINE: key: the problem, and a valid value.",
    )
    _config(check)
    doctor = verbs.plain(
        "doctor",
        "test everything the configuration relies on and suggest fixes",
        "Token, server, channel, permissions, units and their files, polkit, journal, repositories, folders, commands, "
        "ports. Changes nothing. Run it as opsbot's user. Exit code 1 if a check fails.",
    )
    _config(doctor)
    doctor.add_argument("--json", action="store_true", help="print JSON, for scripts")
    init = verbs.plain(
        "init",
        "ask a few questions and write a configuration",
        "Asks before it replaces an existing file. Finally prints the link that invites the bot with "
        "exactly the permissions it needs.",
    )
    init.add_argument(
        "-c",
        "--config",
        type=Path,
        default=Path("config.toml"),
        metavar="FILE",
        help="the file to write (default config.toml)",
    )
    _installing(verbs)


def _installing(verbs: _Verbs) -> None:
    install = verbs.plain(
        "install",
        "install opsbot's unit, permissions, user and folders",
        "For exactly the configured services. Shows the changes and asks; requires root. Files from earlier "
        "installs are updated, foreign files are never changed. Starts nothing.",
    )
    _config(install)
    install.add_argument("--dry-run", action="store_true", help="print the files without writing them; needs no root")
    install.add_argument(
        "--user", type=_user, default="opsbot", metavar="NAME", help="the user opsbot runs as (default opsbot)"
    )
    _yes(install)
    uninstall = verbs.plain(
        "uninstall",
        "undo install",
        "Stops opsbot and removes the installed files. Services keep running. Their folders, the configuration, "
        "and without --purge opsbot's state and user, are kept.",
    )
    _config(uninstall)
    uninstall.add_argument("--purge", action="store_true", help="also remove the state directory and opsbot's user")
    _yes(uninstall)


def _yes(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--yes", action="store_true", help="do not ask; manually edited files are kept")


def _looking(verbs: _Verbs) -> None:
    every = "one service (default: all)"
    status = verbs.client(
        "status",
        "the state of the services, why, and what happens next",
        "Exit code 1 when one is down, unstable or stopped, or when its state cannot be known. Without a daemon it "
        "shows what the daemon last knew, and says so.",
    )
    _service(status, every)
    health = verbs.client("health", "run the checks now and show their results", "Exit code 1 if one fails.")
    _service(health, every)
    logs = verbs.client("logs", "show log lines of a service, oldest first")
    _service(logs)
    logs.add_argument(
        "-n", "--lines", type=_count(10_000), default=50, metavar="N", help="the last N lines (default 50)"
    )
    logs.add_argument("--since", metavar="WHEN", help="lines since then: 10m, 2h, 7d, or 2026-11-24T10:30 (UTC)")
    logs.add_argument("--level", choices=["error", "warning", "info", "debug"], help="lines of at least this severity")
    logs.add_argument("--grep", metavar="RE", help="lines that match this regular expression, ignoring case")
    logs.add_argument("--this-run", action="store_true", help="only lines since the last start of the service")
    logs.add_argument("-f", "--follow", action="store_true", help="keep printing new lines until Ctrl-C")
    history = verbs.client("history", "show the latest deployments and incidents, newest first")
    _service(history, every)
    history.add_argument(
        "-n", "--limit", type=_count(1000), default=20, metavar="N", help="how many of each (default 20)"
    )
    verbs.client("windows", "show active maintenance windows and the next three")
    incidents = verbs.client(
        "incidents",
        "show the latest incidents, newest first",
        "With affected services, actions taken, and resolution. Exit code 1 if one is open.",
    )
    _service(incidents, "one service, or a subject of the host such as host:disk:/ (default: all)")
    incidents.add_argument("--open", action="store_true", help="only open incidents")
    incidents.add_argument(
        "-n", "--limit", type=_count(1000), default=20, metavar="N", help="how many at most (default 20)"
    )
    why = verbs.client(
        "why",
        "explain a service's status in one line",
        "Based on the store, the journal and deployments: what happened, after what, what was done, and when it "
        "recovered, with the evidence. Unknown facts are marked as such.",
    )
    _service(why)
    monitor = verbs.client(
        "monitor",
        "show a live dashboard in the terminal",
        "Services, checks, the host, running deploys, alerts; updated every second. q or Ctrl-C ends it. "
        "Printed once if the output is not a terminal.",
    )
    monitor.add_argument("--once", action="store_true", help="print it once")
    audit = verbs.client("audit", "show who requested what, and the result, newest first")
    _service(audit, every)
    audit.add_argument("--member", metavar="ID", help="only this user's requests: a Discord user id, or unix:NAME")
    audit.add_argument(
        "-n", "--limit", type=_count(1000), default=50, metavar="N", help="how many entries (default 50)"
    )


def _doing(verbs: _Verbs) -> None:
    restart = verbs.client(
        "restart",
        "restart a service",
        "Waits for its checks, up to its verify_timeout, and says what they saw. Exit code 1 when one fails or the "
        "process does not stay alive.",
    )
    _service(restart)
    restart.add_argument(
        "--no-wait", dest="wait", action="store_false", help="come back once its new process runs, before the checks"
    )
    deploy = verbs.client(
        "deploy",
        "deploy a branch, tag or commit",
        "Waits and prints each phase. A failed release is rolled back automatically. Exit code 0 if the service "
        "runs the requested commit.",
    )
    _service(deploy)
    deploy.add_argument("ref", nargs="?", metavar="REF", help="branch, tag or commit (default: the tracked branch)")
    _reason(deploy)
    _waiting(deploy)
    now = verbs.client(
        "now",
        "continue a waiting deploy immediately",
        "For a deploy or rollback that waits before it replaces the running release (a bot in a voice channel, a "
        "maintenance window). Waits and prints each phase.",
    )
    _service(now)
    _waiting(now)
    update = verbs.client(
        "update",
        "poll the repository now and deploy a new commit",
        "Waits and prints each phase. No new commit is a success (exit code 0).",
    )
    update.add_argument("services", nargs="*", metavar="SERVICE", help="these services (default: all with a source)")
    _waiting(update)
    rollback = verbs.client(
        "rollback",
        "roll back to a kept release",
        "Automatic deploys are then paused until a newer commit than the one rolled back, or until resume.",
    )
    _service(rollback)
    rollback.add_argument(
        "release", nargs="?", metavar="RELEASE", help="its name or commit (default: the previous good one)"
    )
    _reason(rollback)
    _waiting(rollback)
    notify = verbs.client(
        "notify",
        "test a notifier other than Discord",
        "Sends a test message and waits for the result. Exit code 1 if it was not accepted.",
    )
    notify.add_argument("notifier", metavar="NAME", help="the name in the configuration: [notifiers.NAME]")
    verbs.client(
        "reload",
        "reload the daemon's configuration",
        "Waits and prints the changes. An invalid file is rejected: its problems are printed and the old configuration "
        "stays in force. Running deployments finish first.",
    )
    hold = verbs.client("hold", "pause deploys of a service until resume")
    _service(hold)
    _reason(hold)
    resume = verbs.client("resume", "resume automatic deploys and end a silence")
    _service(resume)
    _reason(resume)
    ack = verbs.client(
        "ack",
        "acknowledge the open incident of a service",
        "Pauses reminders and escalation until it resolves or gets worse.",
    )
    _service(ack)
    ack.add_argument("--reason", required=True, metavar="TEXT", help="what you know, or what you will do")
    silence = verbs.client("silence", "silence alerts of a service for a while")
    _service(silence)
    silence.add_argument("--for", metavar="LENGTH", help="how long: 30m, 2h, 1d (default 1h)")
    _reason(silence)
