"""/incidents and /why: what is wrong, what was, and why."""

import discord
from discord import app_commands
from discord.ext import commands

from cogs.cards.history_cards import incidents, why
from cogs.interactions.answer import show
from cogs.interactions.arguments import choose_service
from opsbot.core.subjects import is_host


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
        await show(
            interaction,
            lambda engine, actor: engine.queries.incidents(actor, service, still_open=open),
            lambda found: incidents(found, service, still_open=open),
            service=None if service is not None and is_host(service) else service,
        )

    @app_commands.command(description="Why a service stands as it does, in one line")
    @app_commands.describe(service="Which service")
    @app_commands.autocomplete(service=choose_service)
    async def why(self, interaction: discord.Interaction, service: str) -> None:
        await show(
            interaction,
            lambda engine, actor: engine.queries.why(actor, service),
            lambda found: why(service, found),
            service=service,
        )
