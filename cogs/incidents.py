"""/incidents and /why: what is wrong, what was, and why."""

import discord
from discord import app_commands
from discord.ext import commands

from cogs.cards.history_cards import incidents, why
from cogs.cards.rendered import RenderedMessage, refusal
from cogs.interactions.answer import respond
from cogs.interactions.arguments import choose_service, engine_of
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused


class IncidentsCog(commands.Cog):
    """What is and was wrong."""

    @app_commands.command(description="The latest incidents, and what failed because of each")
    @app_commands.describe(service="Only this service", open="Only those that are not over")
    @app_commands.autocomplete(service=choose_service)
    async def incidents(
        self,
        interaction: discord.Interaction,
        service: str | None = None,
        open: bool = False,  # noqa: A002, FBT001, FBT002 - what members see
    ) -> None:
        """List incidents."""

        async def work(actor: Actor) -> RenderedMessage:
            found = await engine_of(interaction).look.incidents(actor, service, still_open=open)
            return refusal(found) if isinstance(found, Refused) else incidents(found, service, still_open=open)

        known = service is None or not service.startswith("host:")
        await respond(interaction, Action.INCIDENTS, work, service=service if known else None)

    @app_commands.command(description="Why a service stands as it does, in one line")
    @app_commands.describe(service="Which service")
    @app_commands.autocomplete(service=choose_service)
    async def why(self, interaction: discord.Interaction, service: str) -> None:
        """Explain."""

        async def work(actor: Actor) -> RenderedMessage:
            found = await engine_of(interaction).look.why(actor, service)
            return refusal(found) if isinstance(found, Refused) else why(service, found)

        await respond(interaction, Action.WHY, work, service=service)
