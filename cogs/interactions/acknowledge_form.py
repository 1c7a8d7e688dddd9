"""Acknowledge incidents by a form that asks for the reason.

The form's custom id holds everything, `ops:1:ack:SERVICE:iNUMBER` like the button (`nNUMBER`: all of a storm), so it
survives restarts of opsbot. The rank is checked when it is submitted.
"""

import logging

import discord

from cogs.cards.rendered import RenderedMessage, refusal, say
from cogs.cards.text import escape, moment
from cogs.interactions.answer import CONNECTION, respond
from cogs.interactions.arguments import actor_of, bot_of
from cogs.interactions.views import TEMPLATE
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused
from opsbot.core.model import Effect
from opsbot.core.subjects import subject_name, subject_title
from opsbot.engine import Engine

log = logging.getLogger(__name__)

REASON = 300
FORM_SECONDS = 900.0
"""discord.py forgets the form after this time; opsbot still handles it."""


def _form(custom_id: str, name: str) -> discord.ui.Modal:
    form = discord.ui.Modal(title=f"Acknowledge {name}"[:45], custom_id=custom_id, timeout=FORM_SECONDS)
    form.add_item(
        discord.ui.TextInput[discord.ui.Modal](
            label="What do you know, or what will you do?",
            custom_id="reason",
            placeholder="Looking at it; the disk is full",
            max_length=REASON,
        )
    )
    return form


async def ask_why(engine: Engine, interaction: discord.Interaction, service: str, ident: str) -> None:
    """Open the form, or explain why the user may not or need not acknowledge."""
    number = int(ident[1:]) if ident[1:].isdecimal() else 0
    subject, over = "", ""
    if ident.startswith("n"):
        service, unacknowledged = "", (await engine.queries.storm(number)).unacknowledged
        name = f"{len(unacknowledged)} incidents"
        over = "" if unacknowledged else "All incidents of this alert storm are resolved or acknowledged."
    elif (incident := await engine.queries.incident(number)) is None:
        name, over = "", "This incident is no longer in the database."
    else:
        name, subject = subject_name(incident.service), incident.service
        if incident.closed_at is not None:
            over = f"{escape(subject_title(subject))}: the incident was resolved {moment(incident.closed_at)}."
    if not over and engine.access.allows(actor_of(interaction), Action.ACK):
        await _open(interaction, _form(f"ops:1:ack:{service}:{ident}", name))
        return

    async def work(actor: Actor) -> RenderedMessage:
        refused = await engine.access.admit(actor, Action.ACK, service or None, f"button {ident}")
        if refused is not None:
            return refusal(refused)
        await engine.access.note(actor, Action.ACK, subject, "button", f"nothing done: {over}", Effect.NONE)
        return say(over)

    await respond(interaction, Action.ACK, work, service=service or None)


async def _open(interaction: discord.Interaction, form: discord.ui.Modal) -> None:
    if not bot_of(interaction).clicks.first(interaction.id):
        return
    try:
        await interaction.response.send_modal(form)
    except (discord.HTTPException, *CONNECTION) as error:
        log.info("the form to acknowledge could not be shown: %r", error)


async def submitted(engine: Engine, interaction: discord.Interaction, custom_id: str) -> bool:
    """Handle a submitted form; False if it is not one of these."""
    match = TEMPLATE.fullmatch(custom_id)
    if match is None or match["action"] != "ack" or not match["ident"][1:].isdecimal():
        return False
    service, number = match["service"], int(match["ident"][1:])
    reason = _written(dict(interaction.data or {}).get("components"))

    async def work(actor: Actor) -> RenderedMessage:
        if match["ident"].startswith("n"):
            count = await engine.acknowledgements.take_storm(actor, number, reason)
            if isinstance(count, Refused):
                return refusal(count)
            what, each = ("Acknowledged", "it") if count == 1 else (f"{count} incidents acknowledged", "each")
        else:
            done = await engine.acknowledgements.take(actor, service or None, reason, number)
            if isinstance(done, Refused):
                return refusal(done)
            what, each = "Acknowledged", "it"
        return say(f"{what}. Reminders and escalation are paused until {each} resolves or gets worse.")

    await respond(interaction, Action.ACK, work, service=service or None)
    return True


def _written(components: object) -> str:
    """Find the text input's value anywhere in the form's rows or labels."""
    for item in components if isinstance(components, list) else []:
        if not isinstance(item, dict):
            continue
        if item.get("custom_id") == "reason":
            return str(item.get("value") or "")
        inner = item.get("components") or ([item["component"]] if "component" in item else [])
        if found := _written(inner):
            return found
    return ""
