"""The message about many services that went down at once. Pure."""

from collections.abc import Sequence

import discord

from cogs.cards.common import mark
from cogs.cards.rendered import AMBER, DESCRIPTION, GREEN, RED, Button, RenderedMessage
from cogs.cards.style import to_markdown
from cogs.cards.text import escape, fit, moment, one_line
from opsbot.core.incident import without_counts
from opsbot.core.message import Message
from opsbot.core.model import Acknowledgement, Incident, Notification, Storm
from opsbot.messages import render

SUCCESS = discord.ButtonStyle.success
NAMED = 8
"""Services named in the sentence."""
ALL_LISTED = "\n`/incidents` has them all, and the file beside this message those at its beginning."


def storm(notice: Notification, seen: Storm, host: str) -> RenderedMessage:
    """How many, which, and how they stand now; those that are unwell first."""
    incidents = seen.incidents
    open_ones = [one for one in incidents if one.closed_at is None]
    called = sum(one.called_at is not None for one in open_ones)
    over = (one for one in incidents if one.closed_at is not None)
    one_has_all = not seen.unacknowledged and len({taken.actor for taken in seen.taken.values()}) == 1
    taken = {} if one_has_all else seen.taken  # the sentence says it
    same = _common(open_ones) is not None
    lines = [_line(one, taken.get(one.id), with_cause=not same) for one in (*open_ones, *over)]
    text, file = fit(lines, DESCRIPTION), None
    if text != "\n".join(lines):
        text = fit(lines, DESCRIPTION - len(ALL_LISTED)) + ALL_LISTED
        file = ("unwell.txt", "\n".join(_plain(one) for one in incidents).encode())
    colour = RED if open_ones else GREEN
    if open_ones and len(open_ones) * 2 < len(incidents):
        colour = AMBER
    return RenderedMessage(
        _sentence(incidents, open_ones, called) + _taken(seen),
        f"{host}: {len(incidents)} services down at once",
        text,
        colour,
        mark("n", notice.id, host),
        buttons=(Button("ack", "Acknowledge all", "", f"n{notice.id}", SUCCESS),) if seen.unacknowledged else (),
        file=file,
    )


def _sentence(incidents: Sequence[Incident], open_ones: Sequence[Incident], called: int) -> str:
    if not open_ones:
        return f"🟢 {len(incidents)} services were down at once. All have recovered."
    names = ", ".join(escape(one.service, 40) for one in open_ones[:NAMED])
    more = f" and {len(open_ones) - NAMED} more" if len(open_ones) > NAMED else ""
    text = f"🔴 {len(incidents)} services went down within 1 minute: {names}{more}."
    if len(open_ones) < len(incidents):
        text = f"🔴 Of {len(incidents)} services that went down at once, {len(open_ones)} still are: {names}{more}."
    human = f" {called} {'needs' if called == 1 else 'need'} attention." if called else ""
    cause = _common(open_ones)
    if cause is not None:
        return f"{text}{human} All have the same cause: {to_markdown(cause, 200)}."
    return f"{text}{human} Check first what they have in common: the host, the network, a deploy."


def _common(open_ones: Sequence[Incident]) -> Message | None:
    """The cause of all of them, where it is one."""
    causes = {without_counts(one.cause) for one in open_ones}
    return causes.pop() if len(causes) == 1 and len(open_ones) > 1 else None


def _taken(seen: Storm) -> str:
    """Who is on it, where all of it that is open is taken; and how much, where only some is."""
    names = sorted({one.actor for one in seen.taken.values()})
    if not names:
        return ""
    who = ", ".join(escape(name, 40) for name in names[:NAMED])
    if seen.unacknowledged:
        return f" 👀 {len(seen.taken)} of them are acknowledged by {who}."
    reasons = {one.reason for one in seen.taken.values()}
    return f" 👀 Acknowledged by {who}" + (f": {escape(reasons.pop(), 300)}" if len(reasons) == 1 else ".")


def _line(one: Incident, taken: Acknowledgement | None, *, with_cause: bool) -> str:
    cause = f": {to_markdown(one.cause, 60)}" if with_cause else ""
    if one.part_of is not None:
        return f"↪️ **{escape(one.service, 60)}** is part of incident {one.part_of}"
    if one.closed_at is not None:
        return f"🟢 **{escape(one.service, 60)}** until {moment(one.closed_at, 't')}{cause}"
    sign = "🚨" if one.called_at is not None else "🔴"
    on_it = f" · 👀 {escape(taken.actor, 40)}" if taken is not None else ""
    return f"{sign} **{escape(one.service, 60)}** {moment(one.opened_at, 'R')}{cause}{on_it}"


def _plain(one: Incident) -> str:
    at = f"{one.opened_at:%Y-%m-%d %H:%M:%S} UTC"
    return one_line(f"{at} incident {one.id} of {one.service}: {render(one.cause)}", 1000)
