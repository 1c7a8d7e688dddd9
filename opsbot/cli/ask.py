"""The verbs that ask the daemon, and those of them that can answer without one."""

import argparse
import json
import re
import select
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opsbot.cli import show as cli_show
from opsbot.cli.client import AnswerError, Client, DaemonUnreachableError
from opsbot.cli.config_location import ConfigLocation, UsageError, locate
from opsbot.cli.terminal import Paint, plain, terminal_width, to_stderr, wants_colour
from opsbot.cli.wait import Progress, seen_to, wait

if TYPE_CHECKING:
    from opsbot.cli.offline import LastKnown
    from opsbot.control.shapes import DeploymentReply, StateReply

FINE, UNHEALTHY, USAGE, NO_ANSWER, REFUSED = 0, 1, 2, 3, 4
FAILED = UNHEALTHY

_CODES = {
    "unknown-service": USAGE,
    "unknown-deployment": USAGE,
    "bad-input": USAGE,
    "bad-ref": USAGE,
    "no-source": USAGE,
    "no-release": USAGE,
    "not-ready": FAILED,
    "error": FAILED,
    "http": FAILED,
    "already-live": FINE,
}
LONG = 600.0
"""Seconds for what the daemon answers only once it is done: a restart, checks, a slow remote."""

OFFLINE = "the daemon is not running; this is what it last knew"
BY_FILE = "the daemon is not running; this is what the configuration says"


def code_of(error: AnswerError) -> int:
    """The exit code that goes with a refusal."""
    return _CODES.get(error.why, REFUSED)


class CliSession:
    """One run of a verb: where to ask, and how to print."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Find the daemon.

        Raises:
            UsageError: no configuration is known.
        """
        self.args = args
        self.place: ConfigLocation = locate(args)
        self.client = Client(self.place.socket)
        self.paint = Paint(on=wants_colour(sys.stdout) and not args.json)

    def now(self) -> datetime:
        """The time ages are counted to."""
        return datetime.now(UTC)

    def lines(self, lines: list[str]) -> None:
        """Print lines."""
        # A write a line: unbuffered (PYTHONUNBUFFERED), a large one that the reader cuts short tells nobody.
        sys.stdout.writelines(f"{line}\n" for line in lines)

    def json(self, value: object) -> None:
        """Print JSON. ASCII only: it holds untrusted text, and terminals obey some letters beyond it."""
        sys.stdout.write(json.dumps(value, indent=2) + "\n")

    def show(self, value: Any, lines: Callable[[], list[str]]) -> None:
        """Print it as was asked for."""
        if self.args.json:
            self.json(value)
        else:
            self.lines(lines())

    def or_last_known(self, ask: Callable[[], Any], offline: "Callable[[LastKnown], Any]", word: str = OFFLINE) -> Any:
        """What the daemon answers; where none does, what the store and the host tell, and a word that it is so."""
        try:
            return ask()
        except DaemonUnreachableError as error:
            if self.place.config is None:
                raise
            from opsbot.cli.offline import LastKnown, NotAllowedError, UnreadableError  # noqa: PLC0415 - the way that starts slower

            try:
                found = offline(LastKnown(self.place.config))
            except UnreadableError as unreadable:
                raise DaemonUnreachableError(f"{error}, and what it last knew cannot be told: {unreadable}") from error
            except NotAllowedError as refusal:
                raise AnswerError("no-rank", str(refusal)) from error
            to_stderr(word)
            return found


# Looking


def status(args: argparse.Namespace) -> int:
    """`opsbot status`."""
    session = CliSession(args)
    reply = session.or_last_known(
        lambda: session.client.ask("GET", "status", service=args.service), lambda known: known.status(args.service)
    )
    session.show(reply, lambda: cli_show.status(reply, session.paint, session.now(), terminal_width()))
    return FINE if reply["healthy"] else UNHEALTHY


def health(args: argparse.Namespace) -> int:
    """`opsbot health`."""
    session = CliSession(args)
    reply = session.client.ask("POST", "health", timeout=LONG, service=args.service)
    session.show(reply, lambda: cli_show.health(reply, session.paint, session.now()))
    failing = any(check["ok"] is False for one in reply["services"] for check in one["checks"])
    return FINE if reply["healthy"] and not failing else UNHEALTHY


def history(args: argparse.Namespace) -> int:
    """`opsbot history`."""
    session = CliSession(args)
    reply = session.or_last_known(
        lambda: session.client.ask("GET", "history", service=args.service, limit=int(args.limit)),
        lambda known: known.history(args.service, int(args.limit)),
    )
    session.show(reply, lambda: cli_show.history(reply, session.paint, session.now(), terminal_width()))
    return FINE


def incidents(args: argparse.Namespace) -> int:
    """`opsbot incidents`."""
    session = CliSession(args)
    asked = {"service": args.service, "open": "true" if args.open else None, "limit": int(args.limit)}
    reply = session.or_last_known(
        lambda: session.client.ask("GET", "incidents", **asked),
        lambda known: known.incidents(args.service, int(args.limit), still_open=args.open),
    )
    session.show(reply, lambda: cli_show.incidents(reply, session.paint, session.now()))
    return UNHEALTHY if any(one["closed_at"] is None for one in reply["incidents"]) else FINE


def why(args: argparse.Namespace) -> int:
    """`opsbot why`."""
    session = CliSession(args)
    reply = session.or_last_known(
        lambda: session.client.ask("GET", "why", timeout=60.0, service=args.service),
        lambda known: known.why(args.service),
    )
    session.show(reply, lambda: cli_show.why(reply, session.paint))
    return FINE


def audit(args: argparse.Namespace) -> int:
    """`opsbot audit`."""
    session = CliSession(args)
    reply = session.or_last_known(
        lambda: session.client.ask("GET", "audit", service=args.service, member=args.member, limit=int(args.limit)),
        lambda known: known.audit(args.service, args.member, int(args.limit)),
    )
    session.show(reply, lambda: cli_show.audit(reply, session.paint))
    return FINE


def notify(args: argparse.Namespace) -> int:
    """`opsbot notify`."""
    session = CliSession(args)
    reply = session.client.ask("POST", "notify", timeout=LONG, notifier=args.notifier)
    words = "took the message" if reply["ok"] else f"did not take it: {plain(reply['failure'])}"
    doubt = " (it may have arrived all the same)" if reply["doubt"] else ""
    session.show(reply, lambda: [f"{plain(reply['notifier'])} {words}{doubt}"])
    return FINE if reply["ok"] else FAILED


def windows(args: argparse.Namespace) -> int:
    """`opsbot windows`."""
    session = CliSession(args)
    reply = session.or_last_known(lambda: session.client.ask("GET", "windows"), lambda known: known.windows(), BY_FILE)
    session.show(reply, lambda: cli_show.windows(reply, session.now()))
    return FINE


def logs(args: argparse.Namespace) -> int:
    """`opsbot logs`."""
    session = CliSession(args)
    asked = {
        "service": args.service,
        "lines": int(args.lines),
        "since": args.since,
        "level": args.level,
        "grep": args.grep,
        "this_run": args.this_run or None,
    }
    if args.follow:
        return _follow_logs(session, asked)
    reply = session.or_last_known(
        lambda: session.client.ask("GET", "logs", timeout=60.0, **asked), lambda known: known.logs(asked)
    )
    session.show(reply, lambda: [cli_show.log_line(line, session.paint) for line in reply["lines"]])
    if not reply["lines"] and not args.json:
        to_stderr("opsbot: no line fits")
    return FINE


def _follow_logs(session: CliSession, asked: dict[str, object]) -> int:
    pattern = re.compile(session.args.grep, re.IGNORECASE) if session.args.grep else None
    for line in session.client.follow("logs/follow", when_quiet=_still_read, **asked):
        if pattern is not None and not pattern.search(line["text"]):
            continue
        text = json.dumps(line) if session.args.json else cli_show.log_line(line, session.paint)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    raise DaemonUnreachableError(f"the daemon at {session.client.path} went away")


def _still_read() -> None:
    """Whoever read the output may be gone, which else is noticed at the next line only.

    Raises:
        BrokenPipeError: so it is.
    """
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLERR)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise BrokenPipeError


def monitor(args: argparse.Namespace) -> int:
    """`opsbot monitor`."""
    session = CliSession(args)
    if args.json or args.once or not sys.stdout.isatty():
        snapshot = session.or_last_known(lambda: session.client.ask("GET", "monitor"), lambda known: known.snapshot())
        if args.json:
            session.json(snapshot)
        else:
            from opsbot.cli.monitor import print_once  # noqa: PLC0415 - rich is slow to load

            print_once(snapshot)
        return FINE if snapshot["healthy"] else UNHEALTHY
    from opsbot.cli.monitor import watch  # noqa: PLC0415 - likewise

    return watch(session.client, lambda: _last_known_snapshot(session), session.now)


def _last_known_snapshot(session: CliSession) -> Any:
    if session.place.config is None:
        raise DaemonUnreachableError(f"the daemon does not answer at {session.client.path}")
    from opsbot.cli.offline import LastKnown, UnreadableError  # noqa: PLC0415 - the way that starts slower

    try:
        return LastKnown(session.place.config).snapshot()
    except UnreadableError as error:
        raise DaemonUnreachableError(f"the daemon does not answer at {session.client.path}; {error}") from error


# Doing


def restart(args: argparse.Namespace) -> int:
    """`opsbot restart`."""
    session = CliSession(args)
    reply = session.client.ask("POST", "restart", timeout=LONG, service=args.service)
    state: StateReply = reply["state"]
    pid = f", pid {state['pid']}" if state["pid"] else ""
    session.show(reply, lambda: [f"{plain(reply['service'])} restarted: {state['activity']}{pid}"])
    return FINE if state["activity"] in {"running", "starting"} else FAILED


def deploy(args: argparse.Namespace) -> int:
    """`opsbot deploy`."""
    session = CliSession(args)
    begun = session.client.ask("POST", "deploy", timeout=LONG, service=args.service, ref=args.ref, reason=args.reason)
    return _see_through(session, begun)


def now(args: argparse.Namespace) -> int:
    """`opsbot now`."""
    session = CliSession(args)
    return _see_through(session, session.client.ask("POST", "now", service=args.service))


def rollback(args: argparse.Namespace) -> int:
    """`opsbot rollback`."""
    session = CliSession(args)
    begun = session.client.ask(
        "POST", "rollback", timeout=LONG, service=args.service, release=args.release, reason=args.reason
    )
    return _see_through(session, begun)


def _see_through(session: CliSession, begun: "DeploymentReply") -> int:
    """Follow a deployment to its end, unless told not to wait."""
    if session.args.no_wait:
        session.show(begun, lambda: [cli_show.deployment_title(begun)])
        return FINE
    # With --json the result alone belongs on the standard output.
    out = sys.stderr if session.args.json else sys.stdout
    progress = Progress(out, Paint(on=wants_colour(out)), session.now)
    try:
        end = wait(session.client.follow_deployment(begun["id"]), progress)
    except KeyboardInterrupt:
        out.write("\n")
        to_stderr(f"deployment {begun['id']} goes on without you; `opsbot history` tells how it ended")
        raise
    except DaemonUnreachableError as error:
        text = f"{error} while deployment {begun['id']} was under way; its next start finishes or undoes it"
        raise DaemonUnreachableError(text) from error
    if session.args.json:
        session.json(end)
    return FINE if end["ok"] else FAILED


def update(args: argparse.Namespace) -> int:
    """`opsbot update`."""
    session = CliSession(args)
    names = args.services
    if not names:
        standing = session.client.ask("GET", "status")["services"]
        names = [one["service"] for one in standing if one["source"] is not None]
        if not names:
            raise UsageError("no service has a source to update from")
    worst, found = FINE, []
    for name in names:
        try:
            reply = session.client.ask("POST", "update", timeout=LONG, service=name)
        except AnswerError as error:
            to_stderr(plain(str(error)))
            worst = max(worst, code_of(error))
            continue
        found.append(reply)
        worst = max(worst, _updated(session, reply))
    if args.json:
        session.json(found)
    return worst


def _updated(session: CliSession, reply: Any) -> int:
    begun: DeploymentReply | None = reply["deployment"]
    if begun is None or session.args.no_wait:
        if not session.args.json:
            session.lines([f"{plain(reply['service'])}: {plain(reply['text']).removeprefix(reply['service'] + ': ')}"])
        return {"failed": FAILED, "noted": REFUSED, "waiting": REFUSED}.get(reply["outcome"], FINE)
    out = sys.stderr if session.args.json else sys.stdout
    end = wait(session.client.follow_deployment(begun["id"]), Progress(out, Paint(on=wants_colour(out)), session.now))
    reply["deployment"] = end
    return FINE if end["ok"] else FAILED


def hold(args: argparse.Namespace) -> int:
    """`opsbot hold`."""
    session = CliSession(args)
    reply = session.client.ask("POST", "hold", service=args.service, reason=args.reason)
    session.show(reply, lambda: [f"{plain(reply['service'])} is held: no deploys until `opsbot resume`"])
    return FINE


def resume(args: argparse.Namespace) -> int:
    """`opsbot resume`."""
    session = CliSession(args)
    reply = session.client.ask("POST", "resume", service=args.service, reason=args.reason)
    words = "is resumed" if reply["was_held"] else "was neither held nor silenced"
    session.show(reply, lambda: [f"{plain(reply['service'])} {words}"])
    return FINE


def ack(args: argparse.Namespace) -> int:
    """`opsbot ack`."""
    session = CliSession(args)
    reply = session.client.ask("POST", "ack", service=args.service, reason=args.reason)
    text = f"{plain(reply['service'])}: incident {reply['incident']} is yours: no reminders, no escalation"
    session.show(reply, lambda: [text])
    return FINE


def silence(args: argparse.Namespace) -> int:
    """`opsbot silence`."""
    session = CliSession(args)
    values = {"service": args.service, "for": args.length, "reason": args.reason}
    reply = session.client.ask("POST", "silence", **values)
    session.show(reply, lambda: [f"{plain(reply['service'])} is silenced until {cli_show.stamp(reply['until'])} UTC"])
    return FINE


def reload(args: argparse.Namespace) -> int:
    """`opsbot reload`."""
    session = CliSession(args)
    wish: int = session.client.ask("POST", "reload")["wish"]
    reply = seen_to(session.client, wish)
    session.show(reply, lambda: [plain(reply["text"]), *(f"  {plain(line)}" for line in reply["lines"])])
    return FINE if reply["ok"] else FAILED
