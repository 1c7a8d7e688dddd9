"""The messages of the ops channel: a deployment's card, an incident's card, and the notices beside them. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import discord

from cogs._forge import commit_link, compare_link
from cogs._render import (
    AMBER,
    BLUE,
    DESCRIPTION,
    GREEN,
    GREY,
    RED,
    Button,
    Shown,
    deployment_line,
    hold_line,
    silence_line,
)
from cogs._text import code, escape, fence, fit, moment, one_line, told
from opsbot.core.deployment import Commit, Deployment, Hold, Kind, Phase, Step
from opsbot.core.model import ADVICE, Acknowledgement, Incident, Notice, Silence
from opsbot.core.recovery import Ladder
from opsbot.core.subjects import heading, is_host, words
from opsbot.core.updates import Because
from opsbot.store.ledger import TROUBLE
from opsbot.words import duration

TAIL = 15
COMMITS = 10
DEEDS = 10
FEW = 8
"""So many services are named in a sentence; more are counted."""
_TAIL_ROOM, _LOG_ROOM = 1500, 1300

STORY = (
    Phase.FETCHING,
    Phase.PREPARING,
    Phase.INSTALLING,
    Phase.SWITCHING,
    Phase.RESTARTING,
    Phase.VERIFYING,
)
NAMES = {
    Phase.PENDING: "begin",
    Phase.FETCHING: "fetch",
    Phase.PREPARING: "prepare",
    Phase.INSTALLING: "install",
    Phase.WAITING: "wait",
    Phase.SWITCHING: "switch",
    Phase.RESTARTING: "restart",
    Phase.VERIFYING: "verify",
    Phase.UNDOING: "undo",
}
COLOURS = {
    Phase.LIVE: GREEN,
    Phase.FAILED: RED,
    Phase.UNDONE: AMBER,
    Phase.STUCK: RED,
    Phase.SKIPPED: GREY,
    Phase.REPLACED: GREY,
}


@dataclass(frozen=True, slots=True)
class Around:
    """What stands beside a deployment or an incident, gathered beforehand.

    quarantined: the deployment's commit is in quarantine. previous: the deployment an incident's release came with.
    undoable: recovery would roll back to the release before, if restarts do not help.
    """

    host: str
    repository: str = ""
    quarantined: bool = False
    hold: Hold | None = None
    previous: Deployment | None = None
    acknowledged: Acknowledgement | None = None
    silence: Silence | None = None
    thread: int | None = None
    recovery: Ladder | None = None
    undoable: bool = False


def mark(letter: str, number: int, host: str) -> str:
    """The footer: where it is from, and the mark by which the message is found again."""
    return f"{host} · #{letter}{number}"


def late(sent_after: float, why: str) -> str:
    """A line for a message that comes long after what it tells of; empty where it is in time."""
    minutes = round(sent_after / 60)
    if minutes < 1:
        return ""
    return f"\n-# sent {duration(60.0 * minutes)} late{f': {why}' if why else ''}"


# Deployments


def target(deployment: Deployment) -> str:
    """What it brings: the commit, the release or the ref."""
    if deployment.commit_to:
        return code(deployment.commit_to[:10])
    return code(deployment.release_to or deployment.ref or "the tracked branch", 60)


def _asked(deployment: Deployment) -> str:
    actor = deployment.actor
    if actor.automatic:
        return f"opsbot ({actor.origin})"
    return f"{escape(actor.name, 60)} ({actor.origin})"


def _took(deployment: Deployment) -> str:
    return duration((deployment.finished_at or deployment.updated_at) - deployment.created_at)


def _failed_step(deployment: Deployment) -> Step | None:
    failed = [step for step in deployment.steps if step.ok is False and step.phase is not Phase.UNDOING]
    return failed[-1] if failed else None


def sentence(deployment: Deployment) -> str:
    """The whole card in one sentence."""
    service, to = escape(deployment.service), target(deployment)
    where = NAMES.get(deployment.failed_in, "") if deployment.failed_in else ""
    failed = f"failed in {where}" if where and deployment.failed_in is not Phase.PENDING else "failed"
    match deployment.phase:
        case Phase.LIVE if deployment.kind is Kind.ROLLBACK:
            return f"↩️ {service} is back at {to} after {_took(deployment)}, rolled back by {_asked(deployment)}."
        case Phase.LIVE:
            return f"✅ {service} runs {to} after {_took(deployment)}, asked by {_asked(deployment)}."
        case Phase.FAILED:
            return f"❌ {service}: deployment {deployment.id} of {to} {failed}; nothing live was changed."
        case Phase.UNDONE:
            return f"↩️ {service}: deployment {deployment.id} of {to} {failed} and was undone; {_serving(deployment)}."
        case Phase.STUCK:
            return (
                f"🚨 {service}: deployment {deployment.id} of {to} {failed} and could not be undone. A human is needed."
            )
        case Phase.REPLACED:
            return f"⏭️ {service}: deployment {deployment.id} of {to} was {escape(deployment.note, 300)}"
        case Phase.SKIPPED if deployment.failed_in is Phase.WAITING:
            return f"⏭️ {service}: deployment {deployment.id} of {to} was not done: {escape(deployment.note, 300)}"
        case Phase.SKIPPED:
            return f"⏭️ {service}: deployment {deployment.id} was not needed."
    doing = "Rolling back" if deployment.kind is Kind.ROLLBACK else "Deploying"
    return f"🔵 {doing} {service} to {to}: {deployment.phase}. Asked by {_asked(deployment)}."


def _serving(deployment: Deployment) -> str:
    """What serves after it was undone."""
    if deployment.release_from is None:
        return "there was none before it"
    if deployment.commit_from and deployment.note.endswith(_back_on(deployment)):
        return f"{code(deployment.commit_from[:10])} serves again"
    return "a release before it serves again"


def _back_on(deployment: Deployment) -> str:
    return f" Back on {deployment.release_from}."


def _short(deployment: Deployment, text: str) -> str:
    """The text with its releases named by their commits, as everywhere on the card."""
    for release, commit in (
        (deployment.release_to, deployment.commit_to),
        (deployment.release_from, deployment.commit_from),
    ):
        if release and commit:
            text = text.replace(release, commit[:10])
    return text


def _step_line(deployment: Deployment, step: Step) -> str:
    took = f" {duration(step.ended_at - step.started_at)}" if step.ended_at else f", begun {moment(step.started_at)}"
    sign = {True: "✓", False: "✗", None: "▶" if step.ended_at is None else "·"}[step.ok]
    # Why a step failed stands below the list, in full; a commit that its name tells already is not told again.
    known = not step.note or step.ok is False or step.name.endswith(f" {step.note}")
    note = "" if known else f" · {told(_short(deployment, step.note), 160)}"
    return f"{sign} {escape(_short(deployment, step.name), 80)}{took}{note}"


def _phases(deployment: Deployment) -> list[str]:
    """Each step with its time; then what is still to come."""
    lines = [_step_line(deployment, step) for step in deployment.steps]
    seen = {step.phase for step in deployment.steps}
    if deployment.finished or deployment.phase is Phase.UNDOING:
        return lines
    story = STORY if deployment.kind is Kind.DEPLOY else STORY[3:]
    if deployment.phase in NAMES and deployment.phase not in seen and deployment.phase is not Phase.PENDING:
        lines.append(f"▶ {NAMES[deployment.phase]}")
    # Seldom, so no part of the story: it stands where the switch is next.
    phase = Phase.INSTALLING if deployment.phase is Phase.WAITING else deployment.phase
    at = story.index(phase) if phase in story else -1
    return lines + [f"○ {NAMES[phase]}" for phase in story[at + 1 :] if phase not in seen]


def commit_lines(commits: Sequence[Commit], total: int, repository: str) -> list[str]:
    """A line a commit, linked where the forge is known."""
    lines = []
    for commit in commits[:COMMITS]:
        link = commit_link(repository, commit.id)
        name = f"[`{commit.id[:7]}`]({link})" if link else code(commit.id[:7])
        lines.append(f"{name} {escape(commit.title, 72)} · {escape(commit.author, 30)}")
    more = max(total, len(commits)) - min(len(commits), COMMITS)
    return [*lines, f"+{more} more"] if more > 0 else lines


def _from_to(deployment: Deployment, repository: str) -> str:
    before, after = deployment.commit_from, deployment.commit_to
    text = f"{code(before[:10]) if before else 'nothing'} → {target(deployment)}"
    link = compare_link(repository, before, after) if before and after and deployment.kind is Kind.DEPLOY else None
    return f"{text} ([compare]({link}))" if link else text


def _what_next(deployment: Deployment, around: Around) -> list[str]:
    lines = []
    if deployment.phase is Phase.STUCK:
        lines.append(
            "**Next:** nothing by itself. Look at the service and the log; Retry or Roll back when it can work."
        )
    elif deployment.phase is Phase.UNDONE and deployment.release_from is None:
        lines.append("**Next:** nothing runs until the next deploy.")
    if around.quarantined and deployment.commit_to:
        commit = code(deployment.commit_to[:10])
        lines.append(f"**Next:** {commit} is quarantined: only a newer commit is deployed by itself.")
    hold = around.hold
    if hold is not None and not (around.quarantined and hold.waits == deployment.commit_to):
        lines.append(hold_line(hold))
    return lines


def deployment_card(deployment: Deployment, around: Around) -> Shown:
    """The card of a deployment, at whatever point it is."""
    verb = "rollback" if deployment.kind is Kind.ROLLBACK else "deployment"
    head = [f"**{_from_to(deployment, around.repository)}** on {escape(around.host, 60)}"]
    head.append(f"Asked by {_asked(deployment)} {moment(deployment.created_at)}")
    if deployment.reason:
        head.append(f"Reason: {escape(deployment.reason, 200)}")
    if deployment.release_to:
        head.append(f"Release {code(deployment.release_to)}")
    blocks = ["\n".join(head), "\n".join(_phases(deployment))]
    if deployment.commits:
        commits = commit_lines(deployment.commits, deployment.commits_total, around.repository)
        blocks.append("\n".join(["**Commits**", *commits]))
    telling = blocks[:1]
    if deployment.phase in TROUBLE or (deployment.phase is Phase.UNDOING and deployment.note):
        telling += [*_evidence(deployment), "\n".join(_what_next(deployment, around))]
    elif deployment.phase is Phase.SKIPPED and deployment.failed_in is None and deployment.note:
        telling.append(escape(deployment.note, 300))
    elif deployment.phase is Phase.LIVE and around.hold is not None:
        # Why is what the card itself tells.
        telling.append(hold_line(replace(around.hold, reason="")))
    blocks += telling[1:]
    return Shown(
        sentence(deployment),
        f"{deployment.service}: {verb} {deployment.id}",
        _join(blocks, telling),
        COLOURS.get(deployment.phase, BLUE),
        mark("d", deployment.id, around.host),
        _deployment_buttons(deployment),
    )


def _join(blocks: Sequence[str], telling: Sequence[str] = ()) -> str:
    """Blocks one below the other. Those that tell most are kept whole; the others share what room is left, by lines."""
    left = DESCRIPTION - sum(len(block) + 2 for block in telling)
    kept = []
    for block in blocks:
        if not block:
            continue
        shown = block
        if block not in telling:
            shown = (
                block if len(block) + 2 <= left else ("" if block.endswith("```") else fit(block.splitlines(), left))
            )
            left -= len(shown) + 2
        if shown:
            kept.append(shown)
    return "\n\n".join(kept)


def _evidence(deployment: Deployment) -> list[str]:
    step = _failed_step(deployment)
    tail = "" if step is None else fence(step.tail.splitlines()[-TAIL:], _TAIL_ROOM)
    return ["\n".join(part for part in (_why(deployment, step), tail) if part)]


def _why(deployment: Deployment, step: Step | None) -> str:
    """The step, how long it ran, and what was wrong; that the release before is back stands elsewhere."""
    note = _short(deployment, deployment.note.removesuffix(_back_on(deployment)))
    if step is None:
        return f"**Why:** {escape(note)}" if note else ""
    ran = duration((step.ended_at or deployment.updated_at) - step.started_at)
    failed = f"**Why:** {escape(_short(deployment, step.name), 100)} failed after {ran}"
    note = note.removeprefix(f"{step.name}: ")
    return f"{failed}: {escape(note)}" if note else f"{failed}."


def _deployment_buttons(deployment: Deployment) -> tuple[Button, ...]:
    service, ident = deployment.service, str(deployment.id)
    logs = Button("logs", "Logs", service, ident)
    if deployment.phase is Phase.WAITING:
        return (Button("now", "Now", service, ident, discord.ButtonStyle.primary), logs)
    if deployment.phase is Phase.LIVE:
        back = Button("rollback", "Roll back", service, ident, discord.ButtonStyle.danger)
        return (back, logs) if deployment.commit_from or deployment.release_from else (logs,)
    if deployment.phase is Phase.STUCK:
        back = Button("rollback", "Roll back", service, ident, discord.ButtonStyle.danger)
        return (Button("retry", "Retry", service, ident, discord.ButtonStyle.primary), back, logs)
    if deployment.phase in TROUBLE:
        return (Button("retry", "Retry", service, ident, discord.ButtonStyle.primary), logs)
    return (logs,)


def outcome(notice: Notice, deployment: Deployment, around: Around) -> Shown:
    """The new message for a deployment that went wrong: an edit of its card notifies nobody."""
    total = deployment.commits_total
    lines = commit_lines(deployment.commits[:1], total, around.repository) if deployment.commits else []
    lines += [_why(deployment, _failed_step(deployment)), *_what_next(deployment, around)]
    return Shown(
        sentence(deployment),
        "",
        "\n".join(line for line in lines if line),
        COLOURS.get(deployment.phase, RED),
        mark("n", notice.id, around.host),
    )


# Incidents


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
    return escape(words(incident.service), 100)


def headed(incident: Incident) -> str:
    """Whom a sentence about it begins with."""
    return escape(heading(incident.service), 100)


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


def incident_card(incident: Incident, around: Around) -> Shown:
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
    name = heading(incident.service)
    lasted = duration((incident.closed_at or incident.opened_at) - incident.opened_at)
    if incident.part_of is not None:
        title = f"{name}: part of incident {incident.part_of}"
    elif over:
        title = f"{name} was not well for {lasted}"
    else:
        title = f"{name} is flapping" if incident.flaps.flapping else f"{name} is not well"
    return Shown(
        incident_sentence(incident),
        title,
        _join(blocks),
        _colour(incident),
        mark("i", incident.id, around.host),
        incident_buttons(incident, around.acknowledged, deployed=bool(around.repository)),
    )


def call(notice: Notice, incident: Incident, around: Around) -> Shown:
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
    return Shown(
        f"🚨 A human is needed for {_named(incident)}{f': {why}' if why else ''} ({cause}).",
        f"{heading(incident.service)}: opsbot can do no more by itself",
        _join(blocks),
        RED,
        mark("n", notice.id, around.host),
        incident_buttons(incident, around.acknowledged, deployed=bool(around.repository)),
    )


def _late_call(notice: Notice, incident: Incident, around: Around, because: str) -> Shown:
    """It comes so late that it is over: nobody is needed any more, and nobody is to get up for it."""
    over = moment(incident.closed_at or notice.at, "t")
    return Shown(
        f"⚪ A human was needed for {_named(incident)}{because}. It is well again since {over}.",
        f"{heading(incident.service)}: well again since opsbot could do no more by itself",
        f"Called for at {moment(notice.at, 'T')}, and told only now. Nobody is needed any more.",
        GREEN,
        mark("n", notice.id, around.host),
    )


def recovered(notice: Notice, incident: Incident, around: Around) -> Shown:
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
    return Shown(well_again(incident), "", "\n".join(lines), GREEN, mark("n", notice.id, around.host))


# Plain notices

_LINES_ROOM = 3500
LEVELS = {"info": (BLUE, "ℹ️"), "warning": (AMBER, "⚠️"), "error": (RED, "❗")}


def word(notice: Notice, host: str) -> Shown:
    """A plain sentence; of a repository also since when."""
    body = notice.body
    level = str(body.get("level", "warning" if body.get("ok") is False else "info"))
    colour, sign = LEVELS.get(level, LEVELS["info"])
    since = body.get("since")
    at = datetime.fromtimestamp(float(since), UTC) if isinstance(since, int | float) else notice.at
    lines = body.get("lines")
    block = fence([str(each) for each in lines], _LINES_ROOM) + "\n" if isinstance(lines, list) else ""
    return Shown(
        f"{sign} {told(str(body.get('text', '')), 900)}",
        "",
        block + (f"{escape(notice.service)} · {moment(at, 'f')}" if notice.service else moment(at, "f")),
        colour,
        mark("n", notice.id, host),
    )


def update(notice: Notice, around: Around) -> Shown:
    """A new commit that is not deployed by itself, with a button that does."""
    body = notice.body
    commits = _commits(body.get("commits"))
    total = body.get("total")
    lines = commit_lines(commits, total if isinstance(total, int) else len(commits), around.repository)
    commit = str(body.get("commit", ""))
    buttons = (Button("deploy", "Deploy", notice.service, commit[:20], discord.ButtonStyle.primary),) if commit else ()
    return Shown(
        f"🆕 {told(str(body.get('text', '')), 900)}",
        f"{notice.service}: a new commit" + (" needs a look" if body.get("why") == Because.NEEDS_LOOK else ""),
        fit(lines, DESCRIPTION) or code(commit[:10]),
        BLUE,
        mark("n", notice.id, around.host),
        buttons,
    )


def _commits(rows: object) -> list[Commit]:
    found = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            at = datetime.fromtimestamp(float(row.get("at", 0)), UTC)
            found.append(Commit(str(row.get("id", "")), str(row.get("title", "")), str(row.get("author", "")), at))
    return found
