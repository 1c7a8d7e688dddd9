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
from cogs.interactions.answer import respond, show
from cogs.interactions.arguments import choose_service, engine_of
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused


class StatusCog(commands.Cog):
    """Commands that show the status."""

    @app_commands.command(description="The status of the services and the host")
    @app_commands.describe(service="Only this service, in detail")
    @app_commands.autocomplete(service=choose_service)
    async def status(self, interaction: discord.Interaction, service: str | None = None) -> None:
        async def work(actor: Actor) -> RenderedMessage:
            engine = engine_of(interaction)
            statuses = await engine.queries.status(actor, service)
            if isinstance(statuses, Refused):
                return refusal(statuses)
            if service is not None:
                shown = details(statuses[0], engine.measured.growth.get(service))
                return await with_chart(shown, await engine.queries.memory(service))
            return overview(
                statuses,
                await asyncio.to_thread(engine.statuses.host),
                engine.host,
                await engine.outbox.delivery_test(),
            )

        await respond(interaction, Action.STATUS, work, service=service)

    @app_commands.command(description="Run the checks now and show what they see")
    @app_commands.describe(service="Only this service")
    @app_commands.autocomplete(service=choose_service)
    async def health(self, interaction: discord.Interaction, service: str | None = None) -> None:
        await show(interaction, lambda engine, actor: engine.queries.health(actor, service), health, service=service)

    @app_commands.command(description="The maintenance windows: those that are open, and the next ones")
    async def windows(self, interaction: discord.Interaction) -> None:
        await show(interaction, lambda engine, actor: engine.queries.maintenance(actor), windows)

    @app_commands.command(description="The latest deployments and incidents")
    @app_commands.describe(service="Only this service")
    @app_commands.autocomplete(service=choose_service)
    async def history(self, interaction: discord.Interaction, service: str | None = None) -> None:
        await show(
            interaction,
            lambda engine, actor: engine.queries.history(actor, service),
            lambda found: history(*found, service),
            service=service,
        )
