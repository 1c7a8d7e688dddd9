"""Lines that services wrote, as messages: `/logs`, and a live tail. Pure."""

from collections.abc import Sequence

from cogs.cards.rendered import CONTENT, Button, RenderedMessage
from cogs.cards.text import escape, fence, log_line, moment
from opsbot.formatting import whose
from opsbot.services.port import LogLine

LINE = 400
"""A longer line is clipped in a code block."""
TAIL_LINE = 200
"""Shorter, so that a screen full of them fits into one message."""


def logs(service: str, lines: Sequence[LogLine]) -> RenderedMessage:
    """`/logs`: a code block where it fits, else a file."""
    if not lines:
        return RenderedMessage(f"{escape(service)}: no line fits.")
    count = "1 line" if len(lines) == 1 else f"{len(lines)} lines"
    content = f"{escape(service)}: {count}, {moment(lines[0].at, 'T')} to {moment(lines[-1].at, 'T')}"
    written = [_timed(line, 2000) for line in lines]
    block = fence(written, CONTENT - len(content) - 40)
    if block.count("\n") == len(written) + 1 and max(map(len, written)) <= LINE:
        return RenderedMessage(f"{content}; below in UTC.\n{block}")
    dated = "\n".join(f"{line.at.isoformat(timespec='milliseconds')} {_said(line, 8000)}" for line in lines)
    return RenderedMessage(f"{content}.", file=(f"{service}.log.txt", dated.encode()))


def tail(service: str, lines: Sequence[LogLine], heading: str, stop: str | None) -> RenderedMessage:
    """A live tail: its last lines as a code block under a heading of opsbot's own.

    stop: the number of a tail that goes on, None for one that has ended.
    """
    content = f"📜 **{escape(service)}** (times in UTC) {heading}"
    block = fence([_timed(line, TAIL_LINE) for line in lines], CONTENT - len(content) - 20)
    buttons = () if stop is None else (Button("stop", "Stop", service, stop),)
    return RenderedMessage(f"{content}\n{block or '-# No line yet.'}", buttons=buttons)


def _said(line: LogLine, most: int) -> str:
    return log_line(whose(line.part, manager=line.manager) + line.text, most)


def _timed(line: LogLine, most: int) -> str:
    return f"{line.at:%H:%M:%S} {_said(line, most)}"
