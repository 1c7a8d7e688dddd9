"""Handlers of all buttons.

A press calls the engine like a command, with the user's current rank.

A button may be outdated when it is pressed, so each handler first checks that its action still applies.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import discord

from cogs.cards.log_cards import logs
from cogs.cards.rendered import Button, RenderedMessage, refusal, say
from cogs.cards.status_cards import against_advice
from cogs.cards.text import code, escape, moment
from cogs.deploy import begun
from cogs.interactions.acknowledge_form import ask_why
from cogs.interactions.answer import Interim, respond
from cogs.interactions.arguments import Bot, bot_of
from cogs.interactions.restart_answer import restarted
from opsbot.core.access import Action, Actor
from opsbot.core.deploy_codes import OutcomeCode
from opsbot.core.deployment import SHORT, DeploymentKind, Refused, Release, no_earlier_release
from opsbot.core.message import message
from opsbot.core.model import Effect, Incident, Live
from opsbot.engine import Engine
from opsbot.services.port import LogQuery

CONFIRM = timedelta(seconds=60)
LOG_LINES = 50
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ButtonPress:
    """A pressed button. message: what it belongs to. ident: see `cogs.interactions.views`."""

    bot: Bot
    message: discord.Message | None
    actor: Actor
    service: str
    ident: str

    @property
    def engine(self) -> Engine:
        return self.bot.engine

    @property
    def name(self) -> str:
        return escape(self.service)

    @property
    def number(self) -> int | None:
        """The deployment's number; None if the button has another ident."""
        return int(self.ident) if self.ident.isdecimal() else None

    async def incident(self) -> Incident | None:
        """The button's incident, if it belongs to a known one."""
        known = not self.ident.isdecimal() and self.ident[1:].isdecimal()
        return await self.engine.queries.incident(int(self.ident[1:])) if known else None


Handled = RenderedMessage | Interim | Refused | str
"""What came of a press. A text says why nothing was done, which is also recorded in the audit log."""


@dataclass(frozen=True, slots=True)
class ButtonHandler:
    """What a button does. admit: the detail to check its rank with first; None if the engine's action does it."""

    action: Action
    handle: Callable[[ButtonPress], Awaitable[Handled]]
    admit: str | None = None


async def _logs(press: ButtonPress) -> Handled:
    lines = await press.engine.logs.lines(press.actor, press.service, LogQuery(LOG_LINES))
    return lines if isinstance(lines, Refused) else logs(press.service, lines)


async def _restart(press: ButtonPress) -> Handled:
    engine, clicks, key = press.engine, press.bot.clicks, f"restart:{press.service}"
    incident = await press.incident()
    if incident is not None and incident.closed_at is not None:
        since = moment(incident.closed_at)
        return f"{press.name}: the incident was resolved {since}. To restart it anyway, use /restart."
    before = clicks.before(key, press.actor.name)
    if before is not None:
        return f"{press.name} was just restarted by {escape(before)}."
    against = await engine.services.advice(press.service)
    state = await engine.services.restart(press.actor, press.service)
    if isinstance(state, Refused):
        clicks.failed(key)
        return state
    return restarted(engine, press.actor, press.service, state, "was restarted", against_advice(against))


async def _silence(press: ButtonPress) -> Handled:
    silence = await press.engine.services.silence(press.actor, press.service, HOUR, "button")
    if isinstance(silence, Refused):
        return silence
    return say(f"No alerts of {press.name} until {moment(silence.until, 't')}.")


async def _deploy(press: ButtonPress) -> Handled:
    engine = press.engine
    return await begun(engine, await engine.releases.deploy(press.actor, press.service, press.ident or None, "button"))


async def _retry(press: ButtonPress) -> Handled:
    engine, service = press.engine, press.service
    wanted = await engine.queries.deployment(press.number) if press.number is not None else None
    if wanted is None or wanted.service != service:
        return "This deployment is no longer in the database. Use /deploy."
    latest = await engine.releases.latest(service)
    if latest is not None and latest.id != wanted.id:
        return f"Deployment {latest.id} of {press.name} is newer. Use /deploy to deploy again."
    reason = message(OutcomeCode.RETRY_OF, deployment=wanted.id)
    if wanted.kind is DeploymentKind.ROLLBACK:
        return await begun(engine, await engine.releases.rollback(press.actor, service, wanted.release_to, reason))
    return await begun(engine, await engine.releases.deploy(press.actor, service, wanted.ref, reason))


async def _now(press: ButtonPress) -> Handled:
    if press.number is None:
        return "This button belongs to no deployment."
    hurried = await press.engine.releases.now(press.actor, press.service, press.number)
    return hurried if isinstance(hurried, Refused) else say(f"Deployment {press.ident} of {press.name} continues now.")


async def _stop(press: ButtonPress) -> Handled:
    tails, service = press.bot.tails, press.service
    if tails.stop(service, press.ident, press.actor):
        await press.engine.access.note(press.actor, Action.LOGS, service, "stop the tail", "stopped")
        return say(f"Live tail of {press.name} stopped.")
    if press.message is not None:
        await tails.remove_button(press.message, service)
    return f"Live tail of {press.name} has already ended."


# Roll back: needs confirmation, and only the confirmed release is rolled back


async def _plan(press: ButtonPress) -> tuple[Live, Release] | Refused:
    live, target = await press.engine.releases.live_and_earlier(press.service)
    if live is not None and target is not None:
        return live, target
    refused = no_earlier_release(press.service)
    await press.engine.access.note(press.actor, Action.ROLLBACK, press.service, "button", refused)
    return refused


def _digest(live: Live, target: Release) -> str:
    return hashlib.sha256(f"{live.service}\n{live.release}\n{target.name}".encode()).hexdigest()[:14]


async def _rollback(press: ButtonPress) -> Handled:
    plan = await _plan(press)
    if isinstance(plan, Refused):
        return plan
    live, target = plan
    if over := await _over(press, live):
        return over
    expires = int((press.engine.clock() + CONFIRM).timestamp())
    ident = f"{expires}.{_digest(live, target)}"
    asked = f"asked to confirm {target.name}"
    await press.engine.access.note(
        press.actor, Action.ROLLBACK, press.service, f"button {press.ident}", asked, Effect.NONE
    )
    return RenderedMessage(
        f"Roll {press.name} back from {code(live.release)} to {code(target.name)} "
        f"({escape(target.title, 80) or code(target.commit[:SHORT])})? This confirmation expires <t:{expires}:R>.",
        buttons=(
            Button("yes", "Confirm", press.service, ident, discord.ButtonStyle.danger),
            Button("no", "Cancel", press.service, ident),
        ),
    )


async def _over(press: ButtonPress, live: Live) -> str:
    """Return why the button's rollback no longer applies; "" if it does."""
    if press.number is not None:
        deployment = await press.engine.queries.deployment(press.number)
        if deployment is not None and deployment.live_at is not None and live.deployment != deployment.id:
            runs = code(live.release)
            return f"{press.name} no longer runs deployment {press.ident}; it runs {runs}. Use /rollback."
    incident = await press.incident()
    if incident is not None and incident.closed_at is not None:
        since = moment(incident.closed_at)
        return f"{press.name}: the incident was resolved {since}. To roll back anyway, use /rollback."
    return ""


async def _yes(press: ButtonPress) -> Handled:
    expires, _, digest = press.ident.partition(".")
    if not expires.isdecimal() or press.engine.clock().timestamp() > int(expires):
        return "This confirmation has expired; nothing was rolled back. Press Roll back again."
    plan = await _plan(press)
    if isinstance(plan, Refused):
        return plan
    live, target = plan
    if _digest(live, target) != digest:
        return f"{press.name} runs {code(live.release)} now; nothing was rolled back. Press Roll back again."
    engine = press.engine
    return await begun(engine, await engine.releases.rollback(press.actor, press.service, target.name, "button"))


async def _no(press: ButtonPress) -> Handled:
    return f"{press.name} was not rolled back."


HANDLERS: Mapping[str, ButtonHandler] = {
    "logs": ButtonHandler(Action.LOGS, _logs),
    "stop": ButtonHandler(Action.LOGS, _stop, "stop the tail"),
    "restart": ButtonHandler(Action.RESTART, _restart, "button"),
    "silence": ButtonHandler(Action.SILENCE, _silence),
    "deploy": ButtonHandler(Action.DEPLOY, _deploy),
    "retry": ButtonHandler(Action.DEPLOY, _retry, "retry {ident}"),
    "now": ButtonHandler(Action.NOW, _now, "{ident}"),
    "rollback": ButtonHandler(Action.ROLLBACK, _rollback, "button {ident}"),
    "yes": ButtonHandler(Action.ROLLBACK, _yes, "confirmation"),
    "no": ButtonHandler(Action.ROLLBACK, _no, "confirmation"),
}
ANSWERS = frozenset({"yes", "no"})
"""Buttons of a private confirmation: the answer replaces the message and removes its buttons."""


async def carry_out(handler: ButtonHandler, press: ButtonPress) -> RenderedMessage | Interim:
    """Check the rank, run the handler, and return the answer."""
    access, result = press.engine.access, None
    if handler.admit is not None:
        detail = handler.admit.format(ident=press.ident)
        result = await access.admit(press.actor, handler.action, press.service, detail)
    found = result or await handler.handle(press)
    if isinstance(found, Refused):
        return refusal(found)
    if not isinstance(found, str):
        return found
    await access.note(press.actor, handler.action, press.service, "button", f"nothing done: {found}", Effect.NONE)
    return say(found)


async def press(interaction: discord.Interaction, action: str, service: str, ident: str) -> None:
    bot, handler = bot_of(interaction), HANDLERS.get(action)
    if action == "ack":
        await ask_why(bot.engine, interaction, service, ident)
        return
    if handler is None:
        await outdated(interaction)
        return

    async def work(actor: Actor) -> RenderedMessage | Interim:
        return await carry_out(handler, ButtonPress(bot, interaction.message, actor, service, ident))

    await respond(interaction, handler.action, work, service=service, update=action in ANSWERS)


async def outdated(interaction: discord.Interaction) -> None:
    """Answer a button of another version."""

    async def work(_: Actor) -> RenderedMessage:
        return say("This button is from another version of opsbot. Use the command instead.")

    await respond(interaction, Action.STATUS, work)
