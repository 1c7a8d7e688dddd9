"""An incident's card, its escalation by recovery, and its resolution. Pure."""

from collections.abc import Sequence
from datetime import datetime

import discord

from cogs.cards.common import TAIL, join, mark
from cogs.cards.history_cards import deployment_line
from cogs.cards.rendered import AMBER, GREEN, GREY, RED, Button, RenderedMessage
from cogs.cards.status_cards import silence_line
from cogs.cards.style import to_markdown
from cogs.cards.text import code, escape, fence, fit, moment, one_line
from opsbot.core.incident import IncidentEvent, IncidentEventKind, Resolution, exit_of
from opsbot.core.message import message
from opsbot.core.model import ADVICE, Acknowledgement, Incident, Notification
from opsbot.core.subjects import is_host, subject_title
from opsbot.engine.cards import Around
from opsbot.formatting import between, duration
from opsbot.messages import render

EVENTS = 10
FEW = 8
"""So many services are named in a sentence; more are counted."""
_LOG_ROOM = 1300


def incident_buttons(
    incident: Incident, acknowledged: Acknowledgement | None, *, can_roll_back: bool = True
) -> tuple[Button, ...]:
    """What can be done about it now; of the host's own troubles: acknowledge.

    can_roll_back: there is an earlier good release.
    """
    of_host = is_host(incident.service)
    service, ident = "" if of_host else incident.service, f"i{incident.id}"
    logs = Button("logs", "Logs", service, ident)
    if incident.closed_at is not None:
        return () if of_host else (logs,)
    taken = acknowledged is not None and acknowledged.void_at is None
    take = () if taken else (Button("ack", "Acknowledge", service, ident, discord.ButtonStyle.success),)
    if of_host:
        return take
    back = Button("rollback", "Roll back", service, ident, discord.ButtonStyle.danger)
    return (
        *take,
        Button("silence", "Silence 1 h", service, ident),
        Button("restart", "Restart", service, ident, discord.ButtonStyle.primary),
        *((back,) if can_roll_back else ()),
        logs,
    )


def headed(incident: Incident) -> str:
    """Whom a sentence about it begins with."""
    return escape(subject_title(incident.service), 100)


def _changes(incident: Incident) -> str:
    flaps = incident.flaps
    begin, end = flaps.since or incident.opened_at, incident.closed_at or flaps.last or incident.opened_at
    return f"{flaps.count} changes in {between(begin, end)}"


def _with_it(incident: Incident) -> str:
    """Which others are down because of it."""
    return f" Also down because of it: {_few(down)}." if (down := incident.down_dependents) else ""


def _few(services: Sequence[str]) -> str:
    return ", ".join(escape(one, 40) for one in services) if len(services) <= FEW else f"{len(services)} services"


def _who_has_it(incident: Incident, around: Around) -> str:
    """Who acknowledged it, when and why; until when it is silenced."""
    lines = []
    taken = around.acknowledged
    if taken is not None:
        who = f"{escape(taken.actor, 60)} {moment(taken.at, 't')}: {escape(taken.reason, 200)}"
        if taken.void_at is None:
            lines.append(f"👀 **Acknowledged** by {who}")
        else:
            lines.append(
                f"⚠️ Acknowledged by {who}. Cleared {moment(taken.void_at, 't')}: {to_markdown(taken.void_why, 150)}"
            )
    elif incident.closed_at is None:
        lines.append("👀 Nobody has acknowledged it yet.")
    if around.silence is not None and incident.closed_at is None:
        lines.append(silence_line(around.silence))
    if around.thread is not None:
        lines.append(f"🧵 Timeline: <#{around.thread}>")
    return "\n".join(lines)


def said_of(incident: Incident, most: int = 200) -> str:
    """What is wrong with its subject: "api is DOWN: exit 1", "The host's disk /: 95 % full"."""
    name, cause = headed(incident), to_markdown(incident.cause, most)
    if is_host(incident.service):
        return f"{name}: {cause}"
    if incident.flaps.flapping:
        return f"{name} is flapping, {_changes(incident)}: {cause}"
    return f"{name} is DOWN: {cause}"


def _stop(text: str) -> str:
    return text.rstrip(".") + "."


def incident_sentence(incident: Incident) -> str:
    """The incident in one sentence: the state, the cause, what recovery does."""
    if incident.part_of is not None:
        what = _stop(f"↪️ {headed(incident)} was down: {to_markdown(incident.cause, 200)}")
        return f"{what} This is part of incident {incident.part_of}."
    if incident.closed_at is not None:
        return _stop(f"{_resolved(incident, incident.closed_at)}: {to_markdown(incident.cause, 200)}")
    sign = "🟠" if incident.flaps.flapping else "🔴"
    return f"{sign} {said_of(incident)} since {moment(incident.opened_at, 't')}.{_doing(incident)}{_with_it(incident)}"


def _doing(incident: Incident) -> str:
    if incident.called_at is not None:
        return " Needs attention."
    latest = incident.events[-1] if incident.events else None
    if latest is None or latest.kind not in {IncidentEventKind.RESTARTING, IncidentEventKind.ROLLING_BACK}:
        return ""
    text = to_markdown(latest.message, 60)
    return f" {text[:1].upper()}{text[1:]}."


def _resolved(incident: Incident, closed: datetime) -> str:
    """What it was, once it is over."""
    name, down = headed(incident), duration(incident.downtime(closed))
    if (other := _not_recovered(incident, down)) is not None:
        return other
    if incident.flaps.count:
        return f"🟢 {name} was flapping, {_changes(incident)}, downtime {down}"
    return f"🟢 {name} {'needed attention' if is_host(incident.service) else 'was down'} for {down}"


def well_again(incident: Incident) -> str:
    name, down = headed(incident), duration(incident.downtime(incident.closed_at or incident.opened_at))
    text = _not_recovered(incident, down)
    if text is None and incident.flaps.count:
        text = f"🟢 {name} is stable again after {_changes(incident)}, downtime {down}"
    elif text is None:
        text = f"🟢 {name}: resolved after {down}" if is_host(incident.service) else f"🟢 {name} recovered after {down}"
    how = f": {to_markdown(incident.resolution, 120)}" if incident.resolution is not None else ""
    return _stop(f"{text}{how}")


def _not_recovered(incident: Incident, down: str) -> str | None:
    """What became of one that ended though its subject did not recover; None where it did."""
    code = "" if incident.resolution is None else incident.resolution.code
    match code:
        case Resolution.STOPPED:
            return f"⚪ {headed(incident)} was stopped while it was down, after {down}"
        case Resolution.NOT_CONFIGURED | Resolution.NOT_WATCHED:
            return f"⚪ {headed(incident)} was down for {down}"
    return None


def _proof(incident: Incident, around: Around, *, taken: bool = True) -> list[str]:
    """What is known of it. taken: also who has it, where that is kept up to date."""
    evidence = incident.evidence
    lines = [f"• {escape(name, 60)}: {to_markdown(seen, 150)}" for name, seen in evidence.checks if name != ADVICE]
    lines += [f"　↳ and so {escape(name, 60)}: {to_markdown(seen, 150)}" for name, seen in evidence.consequences]
    if evidence.exit is not None and evidence.exit != exit_of(incident.cause):
        lines.append(f"• process: {to_markdown(evidence.exit, 150)}")
    began, host = incident.opened_at, escape(around.host, 60)
    if incident.closed_at is None:
        facts = f"Since {moment(began, 'T')} ({moment(began)}) on {host}"
    else:
        facts = f"{moment(began, 'D')}, {moment(began, 'T')} to {moment(incident.closed_at, 'T')} on {host}"
    if incident.flaps.count:
        facts += f", {incident.flaps.count} changes, the last {moment(incident.flaps.last or began)}"
    if incident.closed_at is not None:
        if not is_host(incident.service):
            facts += f"\n**Downtime:** {duration(incident.downtime(incident.closed_at))}"
        if incident.resolution is not None:
            facts += f"\n**Resolved:** {to_markdown(incident.resolution, 150)}"
    seen = "**Seen**\n" + fit(lines, 900) if lines else ""
    blocks = [facts, _who_has_it(incident, around) if taken else "", seen, _dependents(incident)]
    if is_host(incident.service):
        return [*blocks, _advice(incident)]
    return [*blocks, _last_deploy(around)]


def _advice(incident: Incident) -> str:
    """What can be done about it; what stands between backticks is a key or a command."""
    said = next((text for name, text in incident.evidence.checks if name == ADVICE), None)
    if said is None or incident.closed_at is not None:
        return ""
    pieces = one_line(render(said), 500).split("`")
    shown = (code(piece) if number % 2 else _around_code(piece) for number, piece in enumerate(pieces))
    return f"**What can be done:** {''.join(shown)}"


def _around_code(text: str) -> str:
    """Escaped, with the spaces that part it from what stands beside it."""
    before, after = " " * text.startswith(" "), " " * (text.endswith(" ") and len(text) > 1)
    return f"{before}{escape(text, 500)}{after}"


def _last_deploy(around: Around) -> str:
    previous = around.previous
    last = (
        f"**Last deploy:** {deployment_line(previous)}" if previous is not None else "**Last deploy:** none by opsbot"
    )
    if previous is not None and previous.commits:
        last += f"\n{escape(previous.commits[0].title, 80)} · {escape(previous.commits[0].author, 30)}"
    return last


def _dependents(incident: Incident) -> str:
    ordered = sorted(incident.dependents, key=lambda one: one.well_at is not None)
    still = "" if incident.closed_at is None else ", still down at its end"
    lines = [
        f"{'•' if one.well_at is None else '✓'} {escape(one.service, 60)}: {to_markdown(one.cause, 80)} "
        f"{moment(one.failed_at, 'T')}" + (f" to {moment(one.well_at, 'T')}" if one.well_at is not None else still)
        for one in ordered
    ]
    return "**Also down because of it**\n" + fit(lines, 900) if lines else ""


def _next(incident: Incident, around: Around) -> str:
    """What opsbot will do about it by itself."""
    ladder, known = around.recovery, incident.recovery
    if incident.called_at is not None:
        rolls = ", rolls back" if around.can_roll_back else ""
        return f"nothing by itself, until somebody restarts{rolls} or resumes it."
    if incident.flaps.flapping:
        return "changes are only counted here, until it is stable."
    if ladder is None or is_host(incident.service):
        return "nothing by itself."
    tried = len(known.restarts)
    left = max(ladder.attempts - tried, 0) if ladder.restart else 0
    many = f"{left}{' more' if tried else ''} restart{'s' if left != 1 else ''}"
    steps = [many if left == 1 and tried else f"up to {many}"] if left else []
    if around.undoable and not known.rolled_back:
        steps.append("a rollback, since it began soon after a release")
    how = ", if it does not recover" if tried else ""
    return ", then ".join([*steps, "escalation"]) + f"{how}."


def _colour(incident: Incident) -> int:
    if incident.part_of is not None:
        return GREY
    if incident.closed_at is not None:
        return GREEN
    return AMBER if incident.flaps.flapping else RED


def _line(event: IncidentEvent) -> str:
    return f"{moment(event.at, 'T')} {to_markdown(event.message, 200)}"


def _timeline(incident: Incident) -> str:
    listed = [event for event in incident.events if event.listed]
    if len(listed) > EVENTS:
        lines = [_line(listed[0]), f"… {len(listed) - EVENTS} more", *map(_line, listed[-EVENTS + 1 :])]
    else:
        lines = list(map(_line, listed))
    return "**Timeline**\n" + "\n".join(lines) if lines else ""


def incident_card(incident: Incident, around: Around) -> RenderedMessage:
    over, of_host = incident.closed_at is not None, is_host(incident.service)
    last_words = fence(incident.evidence.log[-TAIL:], _LOG_ROOM)
    blocks = [
        *_proof(incident, around),
        _timeline(incident),
        "" if over else f"**Next:** {_next(incident, around)}",
        f"**{'Who uses it' if of_host else 'Its last lines'}**\n{last_words}" if last_words else "",
    ]
    return RenderedMessage(
        incident_sentence(incident),
        _title(incident),
        join(blocks),
        _colour(incident),
        mark("i", incident.id, around.host),
        incident_buttons(incident, around.acknowledged, can_roll_back=around.can_roll_back),
    )


def _title(incident: Incident) -> str:
    """Plain text: Discord shows no markup there."""
    name = subject_title(incident.service)
    if incident.part_of is not None:
        return f"{name}: part of incident {incident.part_of}"
    if incident.closed_at is not None:
        if incident.flaps.count:
            return f"{name} was flapping: {incident.flaps.count} changes"
        return f"{name} was down for {duration(incident.downtime(incident.closed_at))}"
    if incident.flaps.flapping:
        return f"{name} is flapping"
    return f"{name} needs attention" if is_host(incident.service) else f"{name} is DOWN"


def call(notice: Notification, incident: Incident, around: Around) -> RenderedMessage:
    """Recovery gave up: a message of its own below the card, edited when somebody has it and when it is resolved."""
    escalated = message(IncidentEventKind.ESCALATED, why=notice.said)
    because = f"{to_markdown(escalated, 200).rstrip('.')} ({to_markdown(incident.cause, 200)})"
    if incident.closed_at is not None:
        return _call_over(notice, incident, incident.closed_at, around, because)
    last_words = fence(incident.evidence.log[-TAIL:], _LOG_ROOM)
    blocks = [
        *_proof(incident, around, taken=False),
        _timeline(incident),
        f"**Next:** {_next(incident, around)}",
        f"**Its last lines**\n{last_words}" if last_words else "",
    ]
    return RenderedMessage(
        f"🚨 {headed(incident)} needs attention: {because}.",
        f"{subject_title(incident.service)} needs attention",
        join(blocks),
        RED,
        mark("n", notice.id, around.host),
        incident_buttons(incident, around.acknowledged, can_roll_back=around.can_roll_back),
    )


def _call_over(
    notice: Notification, incident: Incident, closed: datetime, around: Around, because: str
) -> RenderedMessage:
    """The incident is over: nobody is needed any more, and nobody is to get up for it."""
    late = ", and posted only now" if notice.told_at is None else ""
    return RenderedMessage(
        f"⚪ {headed(incident)} needed attention: {because}. {_end_of(incident)} at {moment(closed, 't')}.",
        f"{subject_title(incident.service)} needed attention",
        f"Escalated at {moment(notice.at, 'T')}{late}. Nothing is left to do.",
        GREEN,
        mark("n", notice.id, around.host),
    )


def _end_of(incident: Incident) -> str:
    code = "" if incident.resolution is None else incident.resolution.code
    return "Stopped" if code == Resolution.STOPPED else "Resolved"


def recovered(notice: Notification, incident: Incident, around: Around) -> RenderedMessage:
    """An incident is over: how long, what it was, what ended it; how those are that failed because of it."""
    closed = incident.closed_at or notice.at
    began, ended = moment(incident.opened_at, "T"), moment(closed, "T")
    lines = [f"{began} to {ended}: {to_markdown(incident.first_cause, 200)}"]
    if incident.cause != incident.first_cause:
        lines.append(f"**Last cause:** {to_markdown(incident.cause, 200)}")
    if incident.down_dependents:
        lines.append(f"Still down: {_few(incident.down_dependents)}. What stays so gets an incident of its own.")
    elif incident.dependents:
        lines.append(f"Recovered with it: {_few([one.service for one in incident.dependents])}.")
    taken = around.acknowledged
    if taken is not None and taken.void_at is None:
        lines.append(f"Acknowledged by {escape(taken.actor, 60)}: {escape(taken.reason, 200)}")
    return RenderedMessage(well_again(incident), "", "\n".join(lines), GREEN, mark("n", notice.id, around.host))
