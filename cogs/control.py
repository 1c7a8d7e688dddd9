"""/restart and /silence."""

import discord
from discord import app_commands
from discord.ext import commands

from cogs.cards.rendered import RenderedMessage, refusal, say
from cogs.cards.status_cards import against_advice, silence_line
from cogs.cards.text import escape
from cogs.interactions.answer import Interim, respond, wrongly_asked
from cogs.interactions.arguments import choose_service, engine_of, length_of
from cogs.interactions.restart_answer import restarted
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused


class ControlCog(commands.Cog):
    """What is done to a running service."""

    @app_commands.command(description="Restart a service now")
    @app_commands.describe(service="Which service")
    @app_commands.autocomplete(service=choose_service)
    async def restart(self, interaction: discord.Interaction, service: str) -> None:
        """Restart a service."""

        async def work(actor: Actor) -> RenderedMessage | Interim:
            engine = engine_of(interaction)
            against = await engine.services.advice(service)
            state = await engine.services.restart(actor, service)
            if isinstance(state, Refused):
                return refusal(state)
            what = f"was restarted by {escape(actor.name)}"
            return restarted(engine, actor, service, state, what, against_advice(against))

        await respond(interaction, Action.RESTART, work, service=service, public=True)

    @app_commands.command(description="No alerts of a service for a while; it is still watched and recovered")
    @app_commands.describe(
        service="Which service", length="For how long: 30m, 2h, 1d; an hour where empty", reason="Why"
    )
    @app_commands.rename(length="for")
    @app_commands.autocomplete(service=choose_service)
    async def silence(
        self,
        interaction: discord.Interaction,
        service: str,
        length: app_commands.Range[str, 1, 40] | None = None,
        reason: app_commands.Range[str, 1, 300] | None = None,
    ) -> None:
        """Silence a service."""
        wanted = length_of(length)

        async def work(actor: Actor) -> RenderedMessage:
            engine = engine_of(interaction)
            if isinstance(wanted, Refused):
                return await wrongly_asked(engine, actor, Action.SILENCE, service, wanted)
            silence = await engine.services.silence(actor, service, wanted, reason or "")
            return (
                refusal(silence) if isinstance(silence, Refused) else say(f"{escape(service)}: {silence_line(silence)}")
            )

        public = not isinstance(wanted, Refused)
        await respond(interaction, Action.SILENCE, work, service=service, public=public)
