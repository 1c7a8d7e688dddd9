"""A deployment's card, which fills in as it goes, and the line that reports its end. Pure."""

from dataclasses import replace

import discord

from cogs.cards.common import TAIL, commit_lines, join, mark
from cogs.cards.links import compare_link
from cogs.cards.rendered import AMBER, BLUE, GREEN, GREY, RED, Button, RenderedMessage
from cogs.cards.status_cards import hold_line
from cogs.cards.style import to_markdown
from cogs.cards.text import code, escape, fence, moment
from opsbot.core.deployment import SHORT, TROUBLE, Deployment, DeploymentKind, DeploymentStep, Phase, commit_in
from opsbot.core.model import Notification
from opsbot.engine.cards import Around
from opsbot.formatting import duration
from opsbot.messages.deployments import deployment_status

_TAIL_ROOM = 1500

PATH = (
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
    Phase.ASIDE: "wait",
    Phase.SWITCHING: "switch",
    Phase.RESTARTING: "restart",
    Phase.VERIFYING: "verify",
    Phase.UNDOING: "roll back",
}
FAILED_IN = {
    Phase.FETCHING: "fetch",
    Phase.PREPARING: "preparation",
    Phase.INSTALLING: "installation",
    Phase.WAITING: "wait",
    Phase.SWITCHING: "switch",
    Phase.RESTARTING: "restart",
    Phase.VERIFYING: "verification",
}
COLOURS = {
    Phase.LIVE: GREEN,
    Phase.FAILED: RED,
    Phase.UNDONE: AMBER,
    Phase.STUCK: RED,
    Phase.SKIPPED: GREY,
    Phase.REPLACED: GREY,
    Phase.ASIDE: GREY,
}


def target(deployment: Deployment) -> str:
    return code(deployment.target or "the tracked branch", 60)


def _requested(deployment: Deployment) -> str:
    actor = deployment.actor
    if actor.automatic:
        return f"triggered by opsbot ({actor.origin})"
    return f"requested by {escape(actor.name, 60)} ({actor.origin})"


def _requested_first(deployment: Deployment) -> str:
    """The same at the beginning of a sentence."""
    text = _requested(deployment)
    return text[:1].upper() + text[1:]


def _took(deployment: Deployment) -> str:
    return duration((deployment.finished_at or deployment.updated_at) - deployment.created_at)


def _failed_step(deployment: Deployment) -> DeploymentStep | None:
    failed = [step for step in deployment.steps if step.ok is False and step.phase is not Phase.UNDOING]
    return failed[-1] if failed else None


def sentence(deployment: Deployment) -> str:
    """The whole card in one sentence."""
    service, to, number = escape(deployment.service), target(deployment), f"deployment {deployment.id}"
    where = FAILED_IN.get(deployment.failed_in) if deployment.failed_in else None
    failed = f"{where} of {to} failed" if where else f"{to} failed"
    note = to_markdown(deployment.note, 200).rstrip(".")
    match deployment.phase:
        case Phase.LIVE if deployment.kind is DeploymentKind.ROLLBACK:
            return f"↩️ {service} was rolled back to {to} after {_took(deployment)}, {_requested(deployment)}."
        case Phase.LIVE:
            return f"✅ {service} runs {to} after {_took(deployment)}, {_requested(deployment)}."
        case Phase.FAILED:
            return f"❌ {service}: {failed} ({number}); nothing live was changed.{_waits_on(deployment)}"
        case Phase.UNDONE:
            back = deployment.rolled_back_to
            sequel = f"rolled back to {code(commit_in(back)[:SHORT])}" if back else "the service is stopped"
            return f"↩️ {service}: {failed} ({number}); {sequel}."
        case Phase.STUCK:
            return f"🚨 {service}: {failed} ({number}), and so did the rollback. Needs attention."
        case Phase.ASIDE:
            return f"⏸️ {service}: {number} of {to} waits; {note} supersedes it once that is ready."
        case Phase.REPLACED:
            return f"⏭️ {service}: {number} of {to} was superseded by {note}."
        case Phase.SKIPPED:
            return f"⏭️ {service}: {number} of {to} was skipped: {note}.{_waits_on(deployment)}"
    doing = "Rolling back" if deployment.kind is DeploymentKind.ROLLBACK else "Deploying"
    return f"🔵 {doing} {service} to {to}: {deployment_status(deployment)}. {_requested_first(deployment)}."


def _waits_on(deployment: Deployment) -> str:
    waits = deployment.let_go_on
    return "" if waits is None else f" Deployment {waits}, which was ready before it, waits on."


def _step_line(step: DeploymentStep) -> str:
    took = f" {duration(step.ended_at - step.started_at)}" if step.ended_at else f", started {moment(step.started_at)}"
    sign = {True: "✓", False: "✗", None: "▶" if step.ended_at is None else "·"}[step.ok]
    # Why a step failed is shown below the list, in full.
    note = "" if not step.note or step.ok is False else f" · {to_markdown(step.note, 160)}"
    return f"{sign} {to_markdown(step.name, 80)}{took}{note}"


def _phases(deployment: Deployment) -> list[str]:
    lines = [_step_line(step) for step in deployment.steps]
    seen = {step.phase for step in deployment.steps}
    if deployment.finished or deployment.phase is Phase.UNDOING:
        return lines
    path = PATH if deployment.kind is DeploymentKind.DEPLOY else PATH[3:]
    if deployment.phase in NAMES and deployment.phase not in seen and deployment.phase is not Phase.PENDING:
        lines.append(f"▶ {NAMES[deployment.phase]}")
    # Seldom, so no part of the path: the switch is next.
    phase = Phase.INSTALLING if deployment.phase in {Phase.WAITING, Phase.ASIDE} else deployment.phase
    at = path.index(phase) if phase in path else -1
    return lines + [f"○ {NAMES[phase]}" for phase in path[at + 1 :] if phase not in seen]


def _from_to(deployment: Deployment, repository: str) -> str:
    before, after = deployment.commit_from, deployment.commit_to
    text = f"{code(before[:SHORT]) if before else 'nothing'} → {target(deployment)}"
    link = (
        compare_link(repository, before, after)
        if before and after and deployment.kind is DeploymentKind.DEPLOY
        else None
    )
    return f"{text} ([compare]({link}))" if link else text


def _what_next(deployment: Deployment, around: Around) -> list[str]:
    lines = []
    if deployment.phase is Phase.STUCK:
        lines.append(
            f"**Next:** check the service and its log, then Retry{' or Roll back' if around.can_roll_back else ''}."
        )
    elif deployment.phase is Phase.UNDONE and deployment.rolled_back_to is None:
        lines.append("**Next:** nothing runs until the next deploy.")
    if around.blocked is not None:
        commit, since = target(deployment), moment(around.blocked.at, "f")
        lines.append(
            f"**Next:** {commit} is blocked since it failed {since}: it is not deployed automatically. "
            "/resume lifts this, Retry tries it again."
        )
    hold = around.hold
    if hold is not None and not (around.blocked is not None and hold.waits == deployment.commit_to):
        lines.append(hold_line(hold))
    return lines


def deployment_card(deployment: Deployment, around: Around) -> RenderedMessage:
    """The card of a deployment, at whatever point it is."""
    verb = "rollback" if deployment.kind is DeploymentKind.ROLLBACK else "deployment"
    head = [f"**{_from_to(deployment, around.repository)}** on {escape(around.host, 60)}"]
    head.append(f"{_requested_first(deployment)} {moment(deployment.created_at)}")
    if deployment.reason:
        head.append(f"Reason: {to_markdown(deployment.reason, 200)}")
    if deployment.release_to:
        head.append(f"Release {code(deployment.release_to)}")
    blocks = ["\n".join(head), "\n".join(_phases(deployment))]
    if deployment.commits:
        commits = commit_lines(deployment.commits, deployment.commits_total, around.repository)
        blocks.append("\n".join(["**Commits**", *commits]))
    telling = blocks[:1]
    if deployment.phase in TROUBLE or (deployment.phase is Phase.UNDOING and deployment.note):
        telling += [*_evidence(deployment), "\n".join(_what_next(deployment, around))]
    elif deployment.phase is Phase.LIVE and around.hold is not None:
        # Why is what the card itself shows.
        telling.append(hold_line(replace(around.hold, reason=None)))
    blocks += telling[1:]
    return RenderedMessage(
        sentence(deployment),
        f"{deployment.service}: {verb} {deployment.id}",
        join(blocks, telling),
        COLOURS.get(deployment.phase, BLUE),
        mark("d", deployment.id, around.host),
        _deployment_buttons(deployment, around),
    )


def _evidence(deployment: Deployment) -> list[str]:
    step = _failed_step(deployment)
    tail = "" if step is None else fence(step.tail.splitlines()[-TAIL:], _TAIL_ROOM)
    return ["\n".join(part for part in (_why(deployment, step), tail) if part)]


def _why(deployment: Deployment, step: DeploymentStep | None) -> str:
    """The step, how long it ran, what was wrong, and what follows; the release that serves is in the sentence."""
    note = to_markdown(deployment.note, 900)
    if step is None:
        return f"**Why:** {note}" if note else ""
    ran = duration((step.ended_at or deployment.updated_at) - step.started_at)
    failed = f"**Why:** {to_markdown(step.name, 100)} failed after {ran}"
    return f"{failed}: {note}" if note else f"{failed}."


def _deployment_buttons(deployment: Deployment, around: Around) -> tuple[Button, ...]:
    service, ident = deployment.service, str(deployment.id)
    logs = Button("logs", "Logs", service, ident)
    if deployment.phase is Phase.WAITING:
        return (Button("now", "Now", service, ident, discord.ButtonStyle.primary), logs)
    retry = Button("retry", "Retry", service, ident, discord.ButtonStyle.primary)
    back = Button("rollback", "Roll back", service, ident, discord.ButtonStyle.danger)
    backs = (back,) if around.can_roll_back else ()
    if deployment.phase is Phase.LIVE:
        return (*backs, logs)
    if deployment.phase is Phase.STUCK:
        return (retry, *backs, logs)
    if deployment.phase in TROUBLE:
        return (retry, logs)
    return (logs,)


def outcome(notice: Notification, deployment: Deployment, around: Around) -> RenderedMessage:
    """The new message for a deployment that failed: an edit of its card notifies nobody."""
    total = deployment.commits_total
    lines = commit_lines(deployment.commits[:1], total, around.repository) if deployment.commits else []
    lines += [_why(deployment, _failed_step(deployment)), *_what_next(deployment, around)]
    return RenderedMessage(
        sentence(deployment),
        "",
        "\n".join(line for line in lines if line),
        COLOURS.get(deployment.phase, RED),
        mark("n", notice.id, around.host),
    )
