"""/status, /health, /windows and /history: looking, for whoever may."""

import asyncio

import discord
from discord import app_commands
from discord.ext import commands

from cogs.cards.chart import with_chart
from cogs.cards.history_cards import history
from cogs.cards.rendered import RenderedMessage, refusal
from cogs.cards.status_cards import details, health, overview
from cogs.cards.window_cards import windows
from cogs.interactions.answer import respond
from cogs.interactions.arguments import choose_service, engine_of
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused


class StatusCog(commands.Cog):
    """Commands that show the status."""

    @app_commands.command(description="The status of the services and the host")
    @app_commands.describe(service="Only this service, in detail")
    @app_commands.autocomplete(service=choose_service)
    async def status(self, interaction: discord.Interaction, service: str | None = None) -> None:
        """Show what is known now."""

        async def work(actor: Actor) -> RenderedMessage:
            engine = engine_of(interaction)
            statuses = await engine.look.status(actor, service)
            if isinstance(statuses, Refused):
                return refusal(statuses)
            if service is not None:
                shown = details(statuses[0], engine.measured.growth.get(service))
                return await with_chart(shown, await engine.look.memory(service))
            return overview(
                statuses, await asyncio.to_thread(engine.standings.host), engine.host, await engine.look.proof()
            )

        await respond(interaction, Action.STATUS, work, service=service)

    @app_commands.command(description="Run the checks now and show what they see")
    @app_commands.describe(service="Only this service")
    @app_commands.autocomplete(service=choose_service)
    async def health(self, interaction: discord.Interaction, service: str | None = None) -> None:
        """Run the checks."""

        async def work(actor: Actor) -> RenderedMessage:
            statuses = await engine_of(interaction).look.health(actor, service)
            return refusal(statuses) if isinstance(statuses, Refused) else health(statuses)

        await respond(interaction, Action.HEALTH, work, service=service)

    @app_commands.command(description="The maintenance windows: those that are open, and the next ones")
    async def windows(self, interaction: discord.Interaction) -> None:
        """Show when nobody is woken, or nothing deployed."""

        async def work(actor: Actor) -> RenderedMessage:
            found = await engine_of(interaction).look.maintenance(actor)
            return refusal(found) if isinstance(found, Refused) else windows(found)

        await respond(interaction, Action.WINDOWS, work)

    @app_commands.command(description="The latest deployments and incidents")
    @app_commands.describe(service="Only this service")
    @app_commands.autocomplete(service=choose_service)
    async def history(self, interaction: discord.Interaction, service: str | None = None) -> None:
        """Show what happened."""

        async def work(actor: Actor) -> RenderedMessage:
            found = await engine_of(interaction).look.history(actor, service)
            return refusal(found) if isinstance(found, Refused) else history(*found, service)

        await respond(interaction, Action.HISTORY, work, service=service)
