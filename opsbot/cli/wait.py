"""Waits for a deployment and prints a line for each step; on a terminal the last one is updated.

And for a reload, which takes the control socket away for a moment.
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TextIO

from opsbot.cli import show as cli_show
from opsbot.cli.terminal import Paint, terminal_width
from opsbot.control.client import AnswerError, Client, DaemonUnreachableError
from opsbot.control.endpoints import RELOADED
from opsbot.control.shapes import ReloadReply
from opsbot.core.deployment import Deployment

_GONE_SECONDS = 30.0
"""How long a daemon that went away is waited for."""


class Progress:
    """Prints a deployment as it goes. Steps that ended are printed once; the running one is rewritten on a terminal."""

    def __init__(self, out: TextIO, paint: Paint, clock: Callable[[], datetime]) -> None:
        self._out = out
        self._paint = paint
        self._clock = clock
        self._ended = 0
        self._titled = False
        self._commits = False
        self._open_line = False

    def _line(self, text: str) -> None:
        if self._open_line:
            self._out.write("\r\x1b[K")
            self._open_line = False
        self._out.write(text + "\n")

    def show(self, one: Deployment) -> None:
        now = self._clock()
        columns = terminal_width()
        if not self._titled:
            self._titled = True
            self._line(self._paint(cli_show.deployment_title(one), "bold"))
        if one.commits and not self._commits:
            self._commits = True
            self._line(f"  {cli_show.commits_words(one)}" + _more(one))
        steps = one.steps
        while self._ended < len(steps) and steps[self._ended].ended_at is not None:
            self._line(cli_show.step_line(steps[self._ended], self._paint, now, columns))
            self._ended += 1
        if one.finished:
            for line in cli_show.outcome(one, self._paint, now):
                self._line(line)
        elif self._out.isatty() and self._ended < len(steps):
            text = cli_show.step_line(steps[self._ended], self._paint, now, columns)
            self._out.write(f"\r\x1b[K{text}")
            self._open_line = True
        self._out.flush()


def _more(one: Deployment) -> str:
    more = one.commits_total - 1
    return f" (and {more} more)" if more > 0 else ""


def wait(changes: Iterable[Deployment], progress: Progress) -> Deployment:
    """Show each change until the deployment is finished; its last state."""
    last: Deployment | None = None
    for one in changes:
        last = one
        progress.show(one)
    if last is None:
        raise RuntimeError("a deployment was followed and none was seen")
    return last


def reloaded(client: Client, number: int) -> ReloadReply:
    """Wait for the result of a reload, during which the control socket is replaced.

    Raises:
        DaemonUnreachableError: the daemon has not been there for 30 s.
        AnswerError: it was restarted meanwhile, or the caller's rank is gone with the old configuration.
    """
    gone: float | None = None
    while True:
        try:
            reply = client.ask(RELOADED)
        except DaemonUnreachableError:
            gone = time.monotonic() if gone is None else gone
            if time.monotonic() - gone > _GONE_SECONDS:
                raise
        else:
            gone = None
            if reply.answered >= number:
                return reply
            if reply.asked < number:
                text = "opsbot was restarted meanwhile, and has read its configuration at that"
                raise AnswerError("not-ready", text)
        time.sleep(0.2)
