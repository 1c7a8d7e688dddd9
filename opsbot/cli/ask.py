"""The verbs that ask the daemon, and those of them that can answer without one.

Most ask one endpoint and print what it answers: they are declared in `VERBS`. The others have a function each.
"""

import json
import re
import select
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from opsbot.cli import FAILED, FINE, REFUSED, USAGE, show
from opsbot.cli.config_location import ConfigLocation, UsageError, locate
from opsbot.cli.show import Screen
from opsbot.cli.terminal import Paint, plain, terminal_width, to_stderr, wants_colour
from opsbot.cli.wait import Progress, reloaded, wait
from opsbot.control import endpoints
from opsbot.control.client import AnswerError, Client, DaemonUnreachableError
from opsbot.control.endpoints import Endpoint
from opsbot.control.shapes import NotifyReply, Restarted, StatusReply, UpdateReply, encode
from opsbot.core.deployment import SHORT

if TYPE_CHECKING:
    from argparse import Namespace

    from opsbot.core.deployment import Deployment

T = TypeVar("T")

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
OFFLINE = "the daemon is not running; this is what it last knew"
BY_FILE = "the daemon is not running; this is what the configuration says"


def code_of(error: AnswerError) -> int:
    return _CODES.get(error.why, REFUSED)


class CliSession:
    """One run of a verb: where to ask, and how to print."""

    def __init__(self, args: "Namespace") -> None:
        """Find the daemon.

        Raises:
            UsageError: no configuration is known.
        """
        self.args = args
        self.place: ConfigLocation = locate(args)
        self.client = Client(self.place.socket)

    def screen(self) -> Screen:
        return Screen(Paint(on=wants_colour(sys.stdout) and not self.args.json), self.now(), terminal_width())

    def now(self) -> datetime:
        return datetime.now(UTC)

    def json(self, value: object) -> None:
        """Print JSON. ASCII only: it holds untrusted text, and terminals obey some letters beyond it."""
        sys.stdout.write(json.dumps(encode(value), indent=2) + "\n")

    def print(self, value: T, lines: Callable[[T, Screen], list[str]]) -> None:
        if self.args.json:
            self.json(value)
            return
        # A write a line: unbuffered (PYTHONUNBUFFERED), a large one that the reader cuts short raises nothing.
        sys.stdout.writelines(f"{line}\n" for line in lines(value, self.screen()))

    def options(self, endpoint: Endpoint[Any]) -> dict[str, object]:
        """The parameters of an endpoint, from the verb's options of the same names."""
        given = vars(self.args)
        return {name: given[name] for name in endpoint.parameters if given.get(name) is not None}

    def ask(self, endpoint: Endpoint[T], offline: str = "") -> T:
        """What the daemon answers to the verb's options.

        offline: the warning beside an answer from store and host where no daemon answers; without it
        DaemonUnreachableError is raised.
        """
        try:
            return self.client.ask(endpoint, **self.options(endpoint))
        except DaemonUnreachableError as error:
            if not offline:
                raise
            found = self.last_known(endpoint, error)
            to_stderr(offline)
            return found

    def last_known(self, endpoint: Endpoint[T], failure: DaemonUnreachableError) -> T:
        """The answer from the store and the host; raises `failure` if they have none."""
        if self.place.config is None:
            raise failure
        from opsbot.cli.offline import LastKnown, NotAllowedError, UnreadableError  # noqa: PLC0415 - the way that starts slower

        try:
            return LastKnown(self.place.config).answer(endpoint, self.options(endpoint))
        except UnreadableError as error:
            raise DaemonUnreachableError(f"{failure}, and what it last knew cannot be read: {error}") from failure
        except NotAllowedError as refusal:
            raise AnswerError("no-rank", str(refusal)) from failure


@dataclass(frozen=True, slots=True)
class CliVerb(Generic[T]):
    """A verb that asks once and prints the answer. is_fine: whether the exit code is 0.

    offline: see `CliSession.ask`.
    """

    endpoint: Endpoint[T]
    lines: Callable[[T, Screen], list[str]]
    is_fine: Callable[[T], bool] = lambda _: True
    offline: str = ""

    def run(self, session: CliSession) -> int:
        answer = session.ask(self.endpoint, self.offline)
        session.print(answer, self.lines)
        return FINE if self.is_fine(answer) else FAILED


def _passes(reply: StatusReply) -> bool:
    return reply.healthy and all(check.ok is not False for one in reply.services for check in one.checks)


def _restarted(reply: Restarted, _: Screen) -> list[str]:
    state = f"{reply.state.activity}, pid {reply.state.pid}" if reply.state.pid else str(reply.state.activity)
    if reply.verified is False:
        return [f"{plain(reply.service)} restarted, but verification failed: {show.said(reply.seen)} (now {state})"]
    return [f"{plain(reply.service)} restarted: {state}" + (f"; {show.said(reply.seen)}" if reply.seen else "")]


def _is_up(reply: Restarted) -> bool:
    return reply.verified is not False and reply.state.activity in {"running", "starting"}


def _tried(reply: NotifyReply, _: Screen) -> list[str]:
    words = "took the message" if reply.ok else f"did not take it: {plain(reply.failure)}"
    return [f"{plain(reply.notifier)} {words}{' (it may have arrived all the same)' if reply.doubt else ''}"]


VERBS: Mapping[str, CliVerb[Any]] = {
    "status": CliVerb(endpoints.STATUS, show.status, attrgetter("healthy"), OFFLINE),
    "health": CliVerb(endpoints.HEALTH, show.health, _passes),
    "history": CliVerb(endpoints.HISTORY, show.history, offline=OFFLINE),
    "incidents": CliVerb(
        endpoints.INCIDENTS, show.incidents, lambda reply: all(one.closed_at for one in reply.incidents), OFFLINE
    ),
    "why": CliVerb(endpoints.WHY, show.why, offline=OFFLINE),
    "audit": CliVerb(endpoints.AUDIT, show.audit, offline=OFFLINE),
    "windows": CliVerb(endpoints.WINDOWS, show.windows, offline=BY_FILE),
    "notify": CliVerb(endpoints.NOTIFY, _tried, attrgetter("ok")),
    "restart": CliVerb(endpoints.RESTART, _restarted, _is_up),
    "hold": CliVerb(endpoints.HOLD, lambda one, _: [f"{plain(one.service)} is held: no deploys until `opsbot resume`"]),
    "resume": CliVerb(
        endpoints.RESUME,
        lambda one, _: [
            f"{plain(one.service)} {'is resumed' if one.was_held else 'was neither paused nor silenced'}",
            *(f"{commit[:SHORT]} may be deployed automatically again" for commit in one.unblocked),
        ],
    ),
    "ack": CliVerb(
        endpoints.ACK,
        lambda one, _: [f"{plain(one.service)}: incident {one.value.incident} is yours: no reminders, no escalation"],
    ),
    "silence": CliVerb(
        endpoints.SILENCE, lambda one, _: [f"{plain(one.service)} is silenced until {show.stamp(one.until)} UTC"]
    ),
}


def run(args: "Namespace") -> int:
    session = CliSession(args)
    if args.verb in VERBS:
        return VERBS[args.verb].run(session)
    if args.verb in _FOLLOWED:
        return _see_through(session, session.ask(_FOLLOWED[args.verb]))
    return _OTHERS[args.verb](session)


def _logs(session: CliSession) -> int:
    if session.args.follow:
        return _follow_logs(session)
    reply = session.ask(endpoints.LOGS, OFFLINE)
    session.print(reply, show.logs)
    if not reply.lines and not session.args.json:
        to_stderr("opsbot: no line fits")
    return FINE


def _follow_logs(session: CliSession) -> int:
    pattern = re.compile(session.args.grep, re.IGNORECASE) if session.args.grep else None
    endpoint = endpoints.LOGS_FOLLOW
    paint = session.screen().paint
    for line in session.client.follow(endpoint, when_quiet=_still_read, **session.options(endpoint)):
        if pattern is not None and not pattern.search(line.text):
            continue
        sys.stdout.write((json.dumps(encode(line)) if session.args.json else show.log_line(line, paint)) + "\n")
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


def _monitor(session: CliSession) -> int:
    from opsbot.cli.monitor import print_once, watch  # noqa: PLC0415 - for this verb alone

    if session.args.json or session.args.once or not sys.stdout.isatty():
        snapshot = session.ask(endpoints.MONITOR, OFFLINE)
        (session.json if session.args.json else print_once)(snapshot)
        return FINE if snapshot.healthy else FAILED
    gone = DaemonUnreachableError(f"the daemon does not answer at {session.client.path}")
    return watch(session.client, lambda: session.last_known(endpoints.MONITOR, gone), session.now)


def _see_through(session: CliSession, begun: "Deployment") -> int:
    if session.args.no_wait:
        session.print(begun, lambda one, _: [show.deployment_title(one)])
        return FINE
    end = _followed(session, begun)
    if session.args.json:
        session.json(end)
    return FINE if end.ok else FAILED


def _followed(session: CliSession, begun: "Deployment") -> "Deployment":
    # With --json the result alone belongs on the standard output.
    out = sys.stderr if session.args.json else sys.stdout
    progress = Progress(out, Paint(on=wants_colour(out)), session.now)
    try:
        return wait(session.client.follow_deployment(begun.id), progress)
    except KeyboardInterrupt:
        out.write("\n")
        to_stderr(f"deployment {begun.id} goes on without you; `opsbot history` shows how it ended")
        raise
    except DaemonUnreachableError as error:
        text = f"{error} while deployment {begun.id} was under way; its next start finishes or undoes it"
        raise DaemonUnreachableError(text) from error


def _update(session: CliSession) -> int:
    names = session.args.services
    if not names:
        names = [one.service for one in session.client.ask(endpoints.STATUS).services if one.source is not None]
        if not names:
            raise UsageError("no service has a source to update from")
    worst, found = FINE, []
    for name in names:
        try:
            reply = session.client.ask(endpoints.UPDATE, service=name)
        except AnswerError as error:
            to_stderr(plain(str(error)))
            worst = max(worst, code_of(error))
            continue
        code, reply = _updated(session, reply)
        found.append(reply)
        worst = max(worst, code)
    if session.args.json:
        session.json(found)
    return worst


def _updated(session: CliSession, reply: UpdateReply) -> tuple[int, UpdateReply]:
    """The exit code, and the answer with how its deployment ended."""
    if reply.deployment is None or session.args.no_wait:
        if not session.args.json:
            print(f"{plain(reply.service)}: {show.said(reply.text).removeprefix(reply.service + ': ')}")
        return {"failed": FAILED, "noted": REFUSED, "waiting": REFUSED}.get(reply.outcome, FINE), reply
    end = _followed(session, reply.deployment)
    return FINE if end.ok else FAILED, replace(reply, deployment=end)


def _reload(session: CliSession) -> int:
    reply = reloaded(session.client, session.ask(endpoints.RELOAD).wish)
    session.print(reply, lambda one, _: [plain(one.text), *(f"  {plain(line)}" for line in one.lines)])
    return FINE if reply.ok else FAILED


_FOLLOWED: "Mapping[str, Endpoint[Deployment]]" = {
    "deploy": endpoints.DEPLOY,
    "now": endpoints.NOW,
    "rollback": endpoints.ROLLBACK,
}
"""Verbs that begin a deployment, and wait for its end."""
_OTHERS = {"logs": _logs, "monitor": _monitor, "update": _update, "reload": _reload}
