"""The verbs and their options. `--help` must be enough to live on; docs/cli.md is checked against this."""

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

from opsbot import __version__

EPILOG = """\
exit codes:
  0  fine
  1  something is unhealthy, or the operation failed
  2  a mistake in the command or in the configuration
  3  the daemon does not answer
  4  refused (your role, another deploy, a hold)

The configuration is FILE of -c, else $OPSBOT_CONFIG, ./config.toml, ~/.config/opsbot/config.toml,
/etc/opsbot/config.toml.
Where one service is configured, SERVICE may be left out. `opsbot VERB --help` tells more of each.
"""

_PORT_MOST = 65535


class _Format(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > _PORT_MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 0 to {_PORT_MOST} (0: any free one)")
    return int(text)


def _count(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {most}")
        return int(text)

    return number


def _user(text: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", text) or text == "root":
        raise argparse.ArgumentTypeError(f"{text!r} is no user opsbot could run as; for example opsbot")
    return text


def parser() -> argparse.ArgumentParser:
    """The parser of `opsbot`."""
    top = argparse.ArgumentParser(
        prog="opsbot",
        description=_wrapped(
            "Deploys, watches, recovers and rolls back the services beside it, from a Discord channel. "
            "These verbs do the same from a terminal: same ranks, same locks, same audit log."
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
    """A description, wrapped as argparse would; the formatter leaves line breaks alone for the sake of the epilog."""
    return textwrap.fill(text[:1].upper() + text[1:].strip(), min(shutil.get_terminal_size().columns, 100) - 2)


class _Verbs:
    """Adds verbs with the options that several have."""

    def __init__(self, group: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        self._group = group

    def plain(self, name: str, short: str, more: str = "") -> argparse.ArgumentParser:
        return self._group.add_parser(
            name, help=short, description=_wrapped(f"{short}. {more}"), formatter_class=_Format
        )

    def client(self, name: str, short: str, more: str = "") -> argparse.ArgumentParser:
        """A verb that asks the daemon."""
        verb = self.plain(name, short, more)
        _config(verb)
        verb.add_argument(
            "--socket", type=Path, metavar="PATH", help="the daemon's control socket, instead of finding it"
        )
        verb.add_argument("--json", action="store_true", help="print JSON, for scripts")
        return verb


def _config(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="the configuration (default: see opsbot --help)"
    )


def _service(verb: argparse.ArgumentParser, text: str = "the service; may be left out where there is one") -> None:
    verb.add_argument("service", nargs="?", metavar="SERVICE", help=text)


def _reason(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--reason", metavar="TEXT", help="why: shown to the others and kept in the audit log")


def _waiting(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--no-wait", action="store_true", help="come back once it has begun; `opsbot history` tells how it ended"
    )


def _own(verbs: _Verbs) -> None:
    demo = verbs.plain(
        "demo",
        "the whole product on this machine, with no Discord account",
        "A local stand-in for Discord with a web page, a sample service in a git repository, and the real bot "
        "connected to it. Ctrl-C ends it and leaves nothing running.",
    )
    demo.add_argument(
        "--port", type=_port, default=8765, metavar="N", help="of the web page (default 8765; 0: any free one)"
    )
    run = verbs.plain(
        "run",
        "the daemon: bot, checks, deploys, HTTP endpoint, control socket",
        "Stops on SIGTERM or Ctrl-C; the services go on running.",
    )
    _config(run)
    check = verbs.plain(
        "check",
        "print every problem in the configuration",
        "Each as FILE:LINE: key: what is wrong, and what would be right.",
    )
    _config(check)
    doctor = verbs.plain(
        "doctor",
        "try each thing the configuration relies on, and say what to do",
        "Token, server, channel, permissions, units and their files, polkit, journal, repositories, folders, commands, "
        "ports. Changes nothing. Run it as the user opsbot runs as. Exit code 1 when something fails.",
    )
    _config(doctor)
    doctor.add_argument("--json", action="store_true", help="print JSON, for scripts")
    init = verbs.plain(
        "init",
        "ask a few questions and write a configuration",
        "A file that is there is replaced only when that is agreed to. Ends with the link that invites the bot with "
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
        "write opsbot's unit, its rights, its user and its folders",
        "For exactly the services that are configured. Shows what changes and asks; takes root, this once. What it "
        "wrote before is brought up to date, what others wrote is never touched. Starts nothing.",
    )
    _config(install)
    install.add_argument("--dry-run", action="store_true", help="print the files and write none; needs no root")
    install.add_argument(
        "--user", type=_user, default="opsbot", metavar="NAME", help="who opsbot runs as (default opsbot)"
    )
    _yes(install)
    uninstall = verbs.plain(
        "uninstall",
        "undo install",
        "Stops opsbot and removes what install wrote. The services go on running. Their folders, the configuration, "
        "and without --purge what opsbot remembers and its user, are left.",
    )
    _config(uninstall)
    uninstall.add_argument(
        "--purge", action="store_true", help="also remove the state directory and the user that opsbot ran as"
    )
    _yes(uninstall)


def _yes(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--yes", action="store_true", help="do not ask; a file that was edited by hand is kept")


def _looking(verbs: _Verbs) -> None:
    every = "one service (default: all)"
    status = verbs.client(
        "status",
        "the state of the services, why, and what happens next",
        "Exit code 1 when one is down, unstable or stopped, or when its state cannot be known. Without a daemon it "
        "shows what the daemon last knew, and says so.",
    )
    _service(status, every)
    health = verbs.client("health", "run the checks now and show what they see", "Exit code 1 when one fails.")
    _service(health, every)
    logs = verbs.client("logs", "lines a service wrote, oldest first")
    _service(logs)
    logs.add_argument(
        "-n", "--lines", type=_count(10_000), default=50, metavar="N", help="the last N lines (default 50)"
    )
    logs.add_argument("--since", metavar="WHEN", help="no older than this: 10m, 2h, 7d, or 2026-11-24T10:30 (UTC)")
    logs.add_argument("--level", choices=["error", "warning", "info", "debug"], help="lines at least as grave as this")
    logs.add_argument("--grep", metavar="RE", help="lines in which this regular expression is found, ignoring case")
    logs.add_argument("--this-run", action="store_true", help="only lines since the service was last started")
    logs.add_argument(
        "-f", "--follow", action="store_true", help="then go on with each line as it is written, until Ctrl-C"
    )
    history = verbs.client("history", "the latest deployments and incidents, newest first")
    _service(history, every)
    history.add_argument(
        "-n", "--limit", type=_count(1000), default=20, metavar="N", help="how many of each (default 20)"
    )
    verbs.client("windows", "the maintenance windows: those that are open, and the next three")
    incidents = verbs.client(
        "incidents",
        "the latest incidents, newest first",
        "With what failed because of each, what was done, and how it ended. Exit code 1 when one is open.",
    )
    _service(incidents, "one service, or one thing of the host as host:disk:/ (default: all)")
    incidents.add_argument("--open", action="store_true", help="only those that are not over")
    incidents.add_argument(
        "-n", "--limit", type=_count(1000), default=20, metavar="N", help="how many at most (default 20)"
    )
    why = verbs.client(
        "why",
        "why a service stands as it does, in one line",
        "From the store, the journal and the deployments: what happened, after what, what was done, when it was well "
        "again; and what that rests on. What is not known is said to be so.",
    )
    _service(why)
    monitor = verbs.client(
        "monitor",
        "a live dashboard in the terminal",
        "Services, checks, the host, deploys under way, alerts; a second old at most. q or Ctrl-C ends it. "
        "Where the output is no terminal it is printed once.",
    )
    monitor.add_argument("--once", action="store_true", help="print it once")
    audit = verbs.client("audit", "who asked for what, and what came of it, newest first")
    _service(audit, every)
    audit.add_argument("--member", metavar="ID", help="only what this one did: a Discord user id, or unix:NAME")
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
        "Waits and prints each phase. A release that fails is undone by itself. Exit code 0 when the service runs "
        "what was asked for.",
    )
    _service(deploy)
    deploy.add_argument("ref", nargs="?", metavar="REF", help="branch, tag or commit (default: the tracked branch)")
    _reason(deploy)
    _waiting(deploy)
    now = verbs.client(
        "now",
        "end what the deploy of a service waits for",
        "A deploy or rollback that waits before it replaces what runs (a bot in a voice channel with people, a "
        "maintenance window) goes on at once. Waits and prints each phase.",
    )
    _service(now)
    _waiting(now)
    update = verbs.client(
        "update",
        "ask the remote now and deploy what is new",
        "Waits and prints each phase; nothing new is fine (exit code 0).",
    )
    update.add_argument(
        "services", nargs="*", metavar="SERVICE", help="these services (default: all that have a source)"
    )
    _waiting(update)
    rollback = verbs.client(
        "rollback",
        "return to a kept release",
        "Automatic deploys then wait for a commit newer than the one rolled back, or for resume.",
    )
    _service(rollback)
    rollback.add_argument(
        "release", nargs="?", metavar="RELEASE", help="its name or commit (default: the previous good one)"
    )
    _reason(rollback)
    _waiting(rollback)
    notify = verbs.client(
        "notify",
        "try a notifier beside Discord",
        "Sends a message that says it is a test, and waits for what comes of it. Exit code 1 when it was not taken.",
    )
    notify.add_argument("notifier", metavar="NAME", help="as it is called in the configuration: [notifiers.NAME]")
    verbs.client(
        "reload",
        "have the daemon read its configuration anew",
        "Waits and prints what it changes. A file with problems is not taken: each is printed, and the configuration "
        "before stays in force. Deployments under way come to their end first.",
    )
    hold = verbs.client("hold", "no deploys of a service until it is resumed")
    _service(hold)
    _reason(hold)
    resume = verbs.client("resume", "end a hold, the wait after a rollback, and a silence")
    _service(resume)
    _reason(resume)
    ack = verbs.client(
        "ack",
        "acknowledge the open incident of a service",
        "Stops reminders and escalation until it is over or gets worse.",
    )
    _service(ack)
    ack.add_argument("--reason", required=True, metavar="TEXT", help="why, or what you are going to do about it")
    silence = verbs.client("silence", "no alerts of a service for a while")
    _service(silence)
    silence.add_argument("--for", metavar="LENGTH", help="how long: 30m, 2h, 1d (default 1h)")
    _reason(silence)
