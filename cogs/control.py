"""/restart and /silence."""

import discord
from discord import app_commands
from discord.ext import commands

from cogs.cards.rendered import RenderedMessage, refusal, say
from cogs.cards.status_cards import against_advice, silence_line
from cogs.cards.text import escape
from cogs.interactions.answer import Interim, respond, show
from cogs.interactions.arguments import choose_service, engine_of, length_of
from cogs.interactions.restart_answer import restarted
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused
from opsbot.core.model import Silence
from opsbot.engine import Engine


class ControlCog(commands.Cog):
    """What is done to a running service."""

    @app_commands.command(description="Restart a service now")
    @app_commands.describe(service="Which service")
    @app_commands.autocomplete(service=choose_service)
    async def restart(self, interaction: discord.Interaction, service: str) -> None:
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
        wanted = length_of(length)

        async def ask(engine: Engine, actor: Actor) -> Silence | Refused:
            if isinstance(wanted, Refused):
                return await engine.access.reject(actor, Action.SILENCE, service, wanted)
            return await engine.services.silence(actor, service, wanted, reason or "")

        await show(
            interaction,
            ask,
            lambda silence: say(f"{escape(service)}: {silence_line(silence)}"),
            service=service,
            public=not isinstance(wanted, Refused),
        )
