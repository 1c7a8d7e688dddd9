"""Handlers of all buttons.

A press calls the engine like a command, with the user's current rank.

A button may be outdated when it is pressed, so each handler first checks that its action still applies.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

import discord

from cogs.cards.log_cards import logs
from cogs.cards.rendered import Button, RenderedMessage, refusal, say
from cogs.cards.status_cards import against_advice
from cogs.cards.text import code, escape, moment
from cogs.delivery.live_tails import LiveTails
from cogs.deploy import begun
from cogs.interactions.acknowledge_form import ask_why
from cogs.interactions.answer import Interim, respond
from cogs.interactions.arguments import Clicks, bot_of
from cogs.interactions.restart_answer import restarted
from opsbot.core.access import Action, Actor
from opsbot.core.deploy_codes import OutcomeCode
from opsbot.core.deployment import Deployment, DeploymentKind, Refused, Release, no_earlier_release
from opsbot.core.message import message
from opsbot.core.model import Effect, Live
from opsbot.engine import Engine
from opsbot.services.port import LogQuery

CONFIRM = timedelta(seconds=60)
LOG_LINES = 50
HOUR = timedelta(hours=1)

Press = Callable[[Engine, Actor, str, str], Awaitable[RenderedMessage | Interim]]


async def _nothing(engine: Engine, actor: Actor, action: Action, service: str, text: str) -> RenderedMessage:
    """Report to the user and the audit log that nothing was done."""
    await engine.door.note(actor, action, service, "button", f"nothing done: {text}", Effect.NONE)
    return say(text)


async def _logs(engine: Engine, actor: Actor, service: str, _: str) -> RenderedMessage:
    lines = await engine.logs.lines(actor, service, LogQuery(LOG_LINES))
    return refusal(lines) if isinstance(lines, Refused) else logs(service, lines)


async def _restart(clicks: Clicks, engine: Engine, actor: Actor, service: str, ident: str) -> RenderedMessage | Interim:
    refused = await engine.door.admit(actor, Action.RESTART, service, "button")
    if refused:
        return refusal(refused)
    incident = await engine.look.incident(int(ident[1:])) if ident[1:].isdecimal() else None
    if incident is not None and incident.closed_at is not None:
        since = moment(incident.closed_at)
        text = f"{escape(service)}: the incident was resolved {since}. To restart it anyway, use /restart."
        return await _nothing(engine, actor, Action.RESTART, service, text)
    before = clicks.before(f"restart:{service}", actor.name)
    if before is not None:
        text = f"{escape(service)} was just restarted by {escape(before)}."
        return await _nothing(engine, actor, Action.RESTART, service, text)
    against = await engine.services.advice(service)
    state = await engine.services.restart(actor, service)
    if isinstance(state, Refused):
        clicks.failed(f"restart:{service}")
        return refusal(state)
    return restarted(engine, actor, service, state, "was restarted", against_advice(against))


async def _silence(engine: Engine, actor: Actor, service: str, _: str) -> RenderedMessage:
    silence = await engine.services.silence(actor, service, HOUR, "button")
    if isinstance(silence, Refused):
        return refusal(silence)
    return say(f"No alerts of {escape(service)} until {moment(silence.until, 't')}.")


async def _deploy(engine: Engine, actor: Actor, service: str, ident: str) -> RenderedMessage:
    return await begun(engine, await engine.releases.deploy(actor, service, ident or None, "button"))


async def _retry(engine: Engine, actor: Actor, service: str, ident: str) -> RenderedMessage:
    refused = await engine.door.admit(actor, Action.DEPLOY, service, f"retry {ident}")
    if refused:
        return refusal(refused)
    wanted = await engine.look.deployment(int(ident)) if ident.isdecimal() else None
    if wanted is None or wanted.service != service:
        text = "This deployment is no longer in the database. Use /deploy."
        return await _nothing(engine, actor, Action.DEPLOY, service, text)
    latest = await engine.releases.latest(service)
    if latest is not None and latest.id != wanted.id:
        text = f"Deployment {latest.id} of {escape(service)} is newer. Use /deploy to deploy again."
        return await _nothing(engine, actor, Action.DEPLOY, service, text)
    reason = message(OutcomeCode.RETRY_OF, deployment=wanted.id)
    if wanted.kind is DeploymentKind.ROLLBACK:
        return await begun(engine, await engine.releases.rollback(actor, service, wanted.release_to, reason))
    return await begun(engine, await engine.releases.deploy(actor, service, wanted.ref, reason))


async def _now(engine: Engine, actor: Actor, service: str, ident: str) -> RenderedMessage:
    refused = await engine.door.admit(actor, Action.NOW, service, ident)
    if refused:
        return refusal(refused)
    if not ident.isdecimal():
        return await _nothing(engine, actor, Action.NOW, service, "This button belongs to no deployment.")
    hurried = await engine.releases.now(actor, service, int(ident))
    if isinstance(hurried, Refused):
        return refusal(hurried)
    return say(f"Deployment {ident} of {escape(service)} continues now.")


async def _stop(
    tails: LiveTails, message: discord.Message | None, engine: Engine, actor: Actor, service: str, ident: str
) -> RenderedMessage:
    refused = await engine.door.admit(actor, Action.LOGS, service, "stop the tail")
    if refused:
        return refusal(refused)
    if tails.stop(service, ident, actor):
        await engine.door.note(actor, Action.LOGS, service, "stop the tail", "stopped")
        return say(f"Live tail of {escape(service)} stopped.")
    if message is not None:
        await tails.remove_button(message, service)
    return await _nothing(engine, actor, Action.LOGS, service, f"Live tail of {escape(service)} has already ended.")


# Roll back: needs confirmation, and only the confirmed release is rolled back


async def _plan(engine: Engine, service: str) -> tuple[Live, Release] | Refused:
    live, target = await engine.releases.live_and_earlier(service)
    if live is None or target is None:
        return no_earlier_release(service)
    return live, target


def _digest(live: Live, target: Release) -> str:
    return hashlib.sha256(f"{live.service}\n{live.release}\n{target.name}".encode()).hexdigest()[:14]


async def _rollback(engine: Engine, actor: Actor, service: str, ident: str) -> RenderedMessage:
    refused = await engine.door.admit(actor, Action.ROLLBACK, service, f"button {ident}")
    if refused:
        return refusal(refused)
    plan = await _plan(engine, service)
    if isinstance(plan, Refused):
        await engine.door.note(actor, Action.ROLLBACK, service, "button", plan)
        return refusal(plan)
    live, target = plan
    over = await _over(engine, service, ident, live)
    if over:
        return await _nothing(engine, actor, Action.ROLLBACK, service, over)
    expires = int((datetime.now(UTC) + CONFIRM).timestamp())
    name = f"{expires}.{_digest(live, target)}"
    asked = f"asked to confirm {target.name}"
    await engine.door.note(actor, Action.ROLLBACK, service, f"button {ident}", asked, Effect.NONE)
    return RenderedMessage(
        f"Roll {escape(service)} back from {code(live.release)} to {code(target.name)} "
        f"({escape(target.title, 80) or code(target.commit[:10])})? This confirmation expires <t:{expires}:R>.",
        buttons=(
            Button("yes", "Confirm", service, name, discord.ButtonStyle.danger),
            Button("no", "Cancel", service, name),
        ),
    )


async def _over(engine: Engine, service: str, ident: str, live: Live) -> str:
    """Return why the button's rollback no longer applies; "" if it does."""
    if ident.isdecimal():
        deployment: Deployment | None = await engine.look.deployment(int(ident))
        if deployment is not None and deployment.live_at is not None and live.deployment != deployment.id:
            return f"{escape(service)} no longer runs deployment {ident}; it runs {code(live.release)}. Use /rollback."
    elif ident[1:].isdecimal():
        incident = await engine.look.incident(int(ident[1:]))
        if incident is not None and incident.closed_at is not None:
            since = moment(incident.closed_at)
            return f"{escape(service)}: the incident was resolved {since}. To roll back anyway, use /rollback."
    return ""


async def _yes(engine: Engine, actor: Actor, service: str, ident: str) -> RenderedMessage:
    refused = await engine.door.admit(actor, Action.ROLLBACK, service, "confirmation")
    if refused:
        return refusal(refused)
    expires, _, digest = ident.partition(".")
    if not expires.isdecimal() or datetime.now(UTC).timestamp() > int(expires):
        text = "This confirmation has expired; nothing was rolled back. Press Roll back again."
        return await _nothing(engine, actor, Action.ROLLBACK, service, text)
    plan = await _plan(engine, service)
    if isinstance(plan, Refused):
        await engine.door.note(actor, Action.ROLLBACK, service, "button", plan)
        return refusal(plan)
    live, target = plan
    if _digest(live, target) != digest:
        text = f"{escape(service)} runs {code(live.release)} now; nothing was rolled back. Press Roll back again."
        return await _nothing(engine, actor, Action.ROLLBACK, service, text)
    return await begun(engine, await engine.releases.rollback(actor, service, target.name, "button"))


async def _no(engine: Engine, actor: Actor, service: str, _: str) -> RenderedMessage:
    refused = await engine.door.admit(actor, Action.ROLLBACK, service, "confirmation")
    if refused:
        return refusal(refused)
    return await _nothing(engine, actor, Action.ROLLBACK, service, f"{escape(service)} was not rolled back.")


PRESSES: Mapping[str, tuple[Action, Press]] = {
    "logs": (Action.LOGS, _logs),
    "silence": (Action.SILENCE, _silence),
    "deploy": (Action.DEPLOY, _deploy),
    "retry": (Action.DEPLOY, _retry),
    "now": (Action.NOW, _now),
    "rollback": (Action.ROLLBACK, _rollback),
    "yes": (Action.ROLLBACK, _yes),
    "no": (Action.ROLLBACK, _no),
}
ANSWERS = frozenset({"yes", "no"})
"""Buttons of a private confirmation: the answer replaces the message and removes its buttons."""


async def press(engine: Engine, interaction: discord.Interaction, action: str, service: str, ident: str) -> None:
    """Handle a pressed button."""
    restart: Press = partial(_restart, bot_of(interaction).clicks)
    stop: Press = partial(_stop, bot_of(interaction).tails, interaction.message)
    presses = {**PRESSES, "restart": (Action.RESTART, restart), "stop": (Action.LOGS, stop)}
    if action == "ack":
        await ask_why(engine, interaction, service, ident)
        return
    if action not in presses:
        await outdated(interaction)
        return
    stands_for, deed = presses[action]

    async def work(actor: Actor) -> RenderedMessage | Interim:
        return await deed(engine, actor, service, ident)

    await respond(interaction, stands_for, work, service=service, update=action in ANSWERS)


async def outdated(interaction: discord.Interaction) -> None:
    """Answer a button of another version."""

    async def work(_: Actor) -> RenderedMessage:
        return say("This button is from another version of opsbot. Use the command instead.")

    await respond(interaction, Action.STATUS, work)
