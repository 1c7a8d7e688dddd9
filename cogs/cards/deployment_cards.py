"""A deployment's card, which fills in as it goes, and the line that tells its end. Pure."""

from dataclasses import replace

import discord

from cogs.cards.common import TAIL, Around, commit_lines, join, mark
from cogs.cards.links import compare_link
from cogs.cards.rendered import AMBER, BLUE, GREEN, GREY, RED, Button, RenderedMessage
from cogs.cards.status_cards import hold_line
from cogs.cards.text import code, escape, fence, moment, told
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentStep, Phase
from opsbot.core.model import Notification
from opsbot.formatting import duration
from opsbot.store.ledger import TROUBLE

_TAIL_ROOM = 1500

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
    Phase.ASIDE: "wait",
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
    Phase.ASIDE: GREY,
}


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


def _failed_step(deployment: Deployment) -> DeploymentStep | None:
    failed = [step for step in deployment.steps if step.ok is False and step.phase is not Phase.UNDOING]
    return failed[-1] if failed else None


def sentence(deployment: Deployment) -> str:
    """The whole card in one sentence."""
    service, to = escape(deployment.service), target(deployment)
    where = NAMES.get(deployment.failed_in, "") if deployment.failed_in else ""
    failed = f"failed in {where}" if where and deployment.failed_in is not Phase.PENDING else "failed"
    match deployment.phase:
        case Phase.LIVE if deployment.kind is DeploymentKind.ROLLBACK:
            return f"↩️ {service} is back at {to} after {_took(deployment)}, rolled back by {_asked(deployment)}."
        case Phase.LIVE:
            return f"✅ {service} runs {to} after {_took(deployment)}, asked by {_asked(deployment)}."
        case Phase.FAILED:
            changed = f"nothing live was changed.{_goes_on(deployment)}"
            return f"❌ {service}: deployment {deployment.id} of {to} {failed}; {changed}"
        case Phase.UNDONE:
            return f"↩️ {service}: deployment {deployment.id} of {to} {failed} and was undone; {_serving(deployment)}."
        case Phase.STUCK:
            return (
                f"🚨 {service}: deployment {deployment.id} of {to} {failed} and could not be undone. A human is needed."
            )
        case Phase.ASIDE:
            return (
                f"⏸️ {service}: deployment {deployment.id} of {to} stands aside for {escape(deployment.note, 200)}. "
                "If that one fails before it is ready, this one goes on waiting."
            )
        case Phase.REPLACED:
            return f"⏭️ {service}: deployment {deployment.id} of {to} was {escape(deployment.note, 300)}"
        case Phase.SKIPPED if deployment.failed_in is Phase.WAITING:
            return f"⏭️ {service}: deployment {deployment.id} of {to} was not done: {escape(deployment.note, 300)}"
        case Phase.SKIPPED:
            return f"⏭️ {service}: deployment {deployment.id} was not needed.{_goes_on(deployment)}"
    doing = "Rolling back" if deployment.kind is DeploymentKind.ROLLBACK else "Deploying"
    return f"🔵 {doing} {service} to {to}: {deployment.phase}. Asked by {_asked(deployment)}."


def _goes_on(deployment: Deployment) -> str:
    waits = deployment.let_go_on
    return "" if waits is None else f" Deployment {waits}, which waited before it, goes on waiting."


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


def _step_line(deployment: Deployment, step: DeploymentStep) -> str:
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
    story = STORY if deployment.kind is DeploymentKind.DEPLOY else STORY[3:]
    if deployment.phase in NAMES and deployment.phase not in seen and deployment.phase is not Phase.PENDING:
        lines.append(f"▶ {NAMES[deployment.phase]}")
    # Seldom, so no part of the story: it stands where the switch is next.
    phase = Phase.INSTALLING if deployment.phase in {Phase.WAITING, Phase.ASIDE} else deployment.phase
    at = story.index(phase) if phase in story else -1
    return lines + [f"○ {NAMES[phase]}" for phase in story[at + 1 :] if phase not in seen]


def _from_to(deployment: Deployment, repository: str) -> str:
    before, after = deployment.commit_from, deployment.commit_to
    text = f"{code(before[:10]) if before else 'nothing'} → {target(deployment)}"
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


def deployment_card(deployment: Deployment, around: Around) -> RenderedMessage:
    """The card of a deployment, at whatever point it is."""
    verb = "rollback" if deployment.kind is DeploymentKind.ROLLBACK else "deployment"
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
    return RenderedMessage(
        sentence(deployment),
        f"{deployment.service}: {verb} {deployment.id}",
        join(blocks, telling),
        COLOURS.get(deployment.phase, BLUE),
        mark("d", deployment.id, around.host),
        _deployment_buttons(deployment),
    )


def _evidence(deployment: Deployment) -> list[str]:
    step = _failed_step(deployment)
    tail = "" if step is None else fence(step.tail.splitlines()[-TAIL:], _TAIL_ROOM)
    return ["\n".join(part for part in (_why(deployment, step), tail) if part)]


def _why(deployment: Deployment, step: DeploymentStep | None) -> str:
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


def outcome(notice: Notification, deployment: Deployment, around: Around) -> RenderedMessage:
    """The new message for a deployment that went wrong: an edit of its card notifies nobody."""
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
