"""An incident's card, its call for a human, and the word that it is over. Pure."""

import re
from dataclasses import replace
from datetime import timedelta

import discord

from cogs.cards.common import TAIL, Around, join, mark
from cogs.cards.history_cards import deployment_line
from cogs.cards.rendered import AMBER, GREEN, GREY, RED, Button, RenderedMessage
from cogs.cards.status_cards import silence_line
from cogs.cards.text import code, escape, fence, fit, moment, one_line, told
from opsbot.core.model import ADVICE, Acknowledgement, Incident, Notification
from opsbot.core.subjects import is_host, subject_name, subject_title
from opsbot.formatting import duration

DEEDS = 10
FEW = 8
"""So many services are named in a sentence; more are counted."""
_LOG_ROOM = 1300


def incident_buttons(
    incident: Incident, acknowledged: Acknowledgement | None, *, deployed: bool = True
) -> tuple[Button, ...]:
    """What can be done about it now; of the host's own troubles: acknowledge.

    deployed: opsbot deploys the service; else there is nothing to roll back to.
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
        *((back,) if deployed else ()),
        logs,
    )


def _named(incident: Incident) -> str:
    return escape(subject_name(incident.service), 100)


def headed(incident: Incident) -> str:
    """Whom a sentence about it begins with."""
    return escape(subject_title(incident.service), 100)


def _changes(incident: Incident) -> str:
    flaps = incident.flaps
    length = (incident.closed_at or flaps.last or incident.opened_at) - (flaps.since or incident.opened_at)
    return f"{flaps.count} changes in {duration(max(length, timedelta(0)))}"


def _with_it(incident: Incident) -> str:
    """How many others are not well because of it."""
    count = sum(one.well_at is None for one in incident.dependents)
    if not count:
        return ""
    names = ", ".join(escape(one.service, 40) for one in incident.dependents if one.well_at is None)
    if count > FEW:
        names = f"{count} services"
    return f" Also not well because of it: {names}."


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
                f"⚠️ Acknowledged by {who}. Void since {moment(taken.void_at, 't')}: {escape(taken.void_why, 150)}"
            )
    elif incident.closed_at is None:
        lines.append("👀 Nobody has acknowledged it yet.")
    if around.silence is not None and incident.closed_at is None:
        lines.append(silence_line(around.silence))
    if around.thread is not None:
        lines.append(f"🧵 Timeline: <#{around.thread}>")
    return "\n".join(lines)


def incident_sentence(incident: Incident) -> str:
    """The incident in one sentence."""
    name, cause = headed(incident), escape(incident.cause, 200)
    if incident.part_of is not None:
        return f"↪️ {name} was not well: {cause}. This is part of incident {incident.part_of}.".replace("..", ".")
    if incident.closed_at is not None:
        lasted = duration(incident.closed_at - incident.opened_at)
        return f"🟢 {name} was not well for {lasted}: {cause}."
    called = " A human is needed." if incident.called_at is not None else ""
    if incident.flaps.flapping:
        return f"🟠 {name} is flapping, {_changes(incident)}: {cause}.{called}{_with_it(incident)}".replace("..", ".")
    return f"🔴 {name} is not well: {cause}.{called}{_with_it(incident)}".replace("..", ".")


def well_again(incident: Incident) -> str:
    """Its end in one sentence."""
    lasted = duration((incident.closed_at or incident.opened_at) - incident.opened_at)
    how = f": {escape(incident.ended_by, 120)}" if incident.ended_by else ""
    return f"🟢 {headed(incident)} is well again after {lasted}{how}."


def _proof(incident: Incident, around: Around, *, taken: bool = True) -> list[str]:
    """What is known of it. taken: also who has it, where that is kept up to date."""
    evidence = incident.evidence
    lines = [f"• {escape(name, 60)}: {escape(seen, 150)}" for name, seen in evidence.checks if name != ADVICE]
    lines += [f"　↳ so too {escape(name, 60)}: {escape(seen, 150)}" for name, seen in evidence.consequences]
    if evidence.exit and evidence.exit not in incident.cause:
        lines.append(f"• process: {escape(evidence.exit, 150)}")
    began, host = incident.opened_at, escape(around.host, 60)
    if incident.closed_at is None:
        facts = f"Since {moment(began, 'T')} ({moment(began)}) on {host}"
    else:
        facts = f"{moment(began, 'D')}, {moment(began, 'T')} to {moment(incident.closed_at, 'T')} on {host}"
    if incident.flaps.count:
        facts += f", {incident.flaps.count} changes, the last {moment(incident.flaps.last or began)}"
    if incident.closed_at is not None and incident.ended_by:
        facts += f"\n**Ended by:** {escape(incident.ended_by, 150)}"
    seen = "**Seen**\n" + fit(lines, 900) if lines else ""
    blocks = [facts, _who_has_it(incident, around) if taken else "", seen, _dependents(incident)]
    if is_host(incident.service):
        return [*blocks, _advice(incident)]
    return [*blocks, _last_deploy(around)]


def _advice(incident: Incident) -> str:
    """What can be done about it; what stands between backticks is a key or a command."""
    said = next((text for name, text in incident.evidence.checks if name == ADVICE), "")
    if not said or incident.closed_at is not None:
        return ""
    pieces = one_line(said, 500).split("`")
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
    """What is not well because of it; those that still are not come first."""
    ordered = sorted(incident.dependents, key=lambda one: one.well_at is not None)
    still = "" if incident.closed_at is None else ", not well yet at its end"
    lines = [
        f"{'•' if one.well_at is None else '✓'} {escape(one.service, 60)}: {escape(one.cause, 80)} "
        f"{moment(one.failed_at, 'T')}" + (f" to {moment(one.well_at, 'T')}" if one.well_at is not None else still)
        for one in ordered
    ]
    return "**Also not well because of it**\n" + fit(lines, 900) if lines else ""


def _next(incident: Incident, around: Around) -> str:
    """What opsbot will do about it by itself."""
    ladder = around.recovery
    if incident.called_at is not None:
        rolls = ", rolls back" if around.repository else ""
        return f"nothing by itself, until somebody restarts{rolls} or resumes it."
    if incident.flaps.flapping:
        return "ups and downs are only counted here, until it is calm."
    if ladder is None or is_host(incident.service):
        return "nothing by itself."
    tried = _restarts(incident)
    left = max(ladder.attempts - tried, 0) if ladder.restart else 0
    many = f"{left}{' more' if tried else ''} restart{'s' if left != 1 else ''}"
    steps = [many if left == 1 and tried else f"up to {many}"] if left else []
    if around.undoable and not any(deed.text.startswith("rolling back") for deed in incident.deeds):
        steps.append("a rollback, since it began soon after a release")
    how = ", if it does not get well" if tried else ""
    return ", then ".join([*steps, "a call for a human"]) + f"{how}."


_RESTART = re.compile(r"restart (\d+) of \d+")
_AFRESH = ("restarted by ", "recovery resumed", "what kept recovery back")


def _restarts(incident: Incident) -> int:
    """How many of recovery's restarts are spent, since a person last had a hand in it."""
    for deed in reversed(incident.deeds):
        if found := _RESTART.match(deed.text):
            return int(found[1])
        if deed.text.startswith(_AFRESH):
            return 0
    return 0


def _colour(incident: Incident) -> int:
    if incident.part_of is not None:
        return GREY
    if incident.closed_at is not None:
        return GREEN
    return AMBER if incident.flaps.flapping else RED


def incident_card(incident: Incident, around: Around) -> RenderedMessage:
    """The card of an incident, from alarm to end."""
    over, of_host = incident.closed_at is not None, is_host(incident.service)
    deeds = [f"{moment(deed.at, 'T')} {told(deed.text, 200)}" for deed in incident.deeds[-DEEDS:]]
    last_words = fence(incident.evidence.log[-TAIL:], _LOG_ROOM)
    blocks = [
        *_proof(incident, around),
        "**Done**\n" + "\n".join(deeds) if deeds else "",
        "" if over else f"**Next:** {_next(incident, around)}",
        f"**{'Who uses it' if of_host else 'Its last lines'}**\n{last_words}" if last_words else "",
    ]
    name = subject_title(incident.service)
    lasted = duration((incident.closed_at or incident.opened_at) - incident.opened_at)
    if incident.part_of is not None:
        title = f"{name}: part of incident {incident.part_of}"
    elif over:
        title = f"{name} was not well for {lasted}"
    else:
        title = f"{name} is flapping" if incident.flaps.flapping else f"{name} is not well"
    return RenderedMessage(
        incident_sentence(incident),
        title,
        join(blocks),
        _colour(incident),
        mark("i", incident.id, around.host),
        incident_buttons(incident, around.acknowledged, deployed=bool(around.repository)),
    )


def call(notice: Notification, incident: Incident, around: Around) -> RenderedMessage:
    """A human is needed: a message of its own, below the card. It is not edited: nothing in it may become untrue."""
    why = escape(str(notice.body.get("why", "")), 200).rstrip(".")
    cause = escape(incident.cause, 200)
    if incident.closed_at is not None:
        return _late_call(notice, incident, around, f"{f': {why}' if why else ''} ({cause})")
    deeds = [f"{moment(deed.at, 'T')} {told(deed.text, 200)}" for deed in incident.deeds[-DEEDS:]]
    last_words = fence(incident.evidence.log[-TAIL:], _LOG_ROOM)
    blocks = [
        *_proof(replace(incident, closed_at=None), around, taken=False),
        "**Done**\n" + "\n".join(deeds) if deeds else "",
        f"**Next:** {_next(replace(incident, called_at=notice.at), around)}",
        f"**Its last lines**\n{last_words}" if last_words else "",
    ]
    return RenderedMessage(
        f"🚨 A human is needed for {_named(incident)}{f': {why}' if why else ''} ({cause}).",
        f"{subject_title(incident.service)}: opsbot can do no more by itself",
        join(blocks),
        RED,
        mark("n", notice.id, around.host),
        incident_buttons(incident, around.acknowledged, deployed=bool(around.repository)),
    )


def _late_call(notice: Notification, incident: Incident, around: Around, because: str) -> RenderedMessage:
    """It comes so late that it is over: nobody is needed any more, and nobody is to get up for it."""
    over = moment(incident.closed_at or notice.at, "t")
    return RenderedMessage(
        f"⚪ A human was needed for {_named(incident)}{because}. It is well again since {over}.",
        f"{subject_title(incident.service)}: well again since opsbot could do no more by itself",
        f"Called for at {moment(notice.at, 'T')}, and told only now. Nobody is needed any more.",
        GREEN,
        mark("n", notice.id, around.host),
    )


def recovered(notice: Notification, incident: Incident, around: Around) -> RenderedMessage:
    """An incident is over: how long, what it was, what ended it; what stands with those that failed because of it."""
    closed = incident.closed_at or notice.at
    lines = [f"{moment(incident.opened_at, 'T')} to {moment(closed, 'T')}: {escape(incident.cause, 200)}"]
    if incident.ended_by:
        lines.append(f"**Ended by:** {escape(incident.ended_by, 200)}")
    still = [escape(one.service, 40) for one in incident.dependents if one.well_at is None]
    if still:
        few = ", ".join(still) if len(still) <= FEW else f"{len(still)} services"
        lines.append(f"Not well yet: {few}. What stays so gets an incident of its own.")
    elif incident.dependents:
        names = [escape(one.service, 40) for one in incident.dependents]
        few = ", ".join(names) if len(names) <= FEW else f"{len(names)} services"
        lines.append(f"Well again with it: {few}.")
    taken = around.acknowledged
    if taken is not None and taken.void_at is None:
        lines.append(f"Acknowledged by {escape(taken.actor, 60)}: {escape(taken.reason, 200)}")
    return RenderedMessage(well_again(incident), "", "\n".join(lines), GREEN, mark("n", notice.id, around.host))
