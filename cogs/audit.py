"""/audit: who did what."""

import discord
from discord import app_commands
from discord.ext import commands

from cogs.cards.history_cards import audit
from cogs.interactions.answer import show
from cogs.interactions.arguments import choose_service


class AuditCog(commands.Cog):
    """The audit log."""

    @app_commands.command(description="Who did what, when, from where, and what came of it")
    @app_commands.describe(service="Only this service", member="Only what this member did")
    @app_commands.autocomplete(service=choose_service)
    async def audit(
        self, interaction: discord.Interaction, service: str | None = None, member: discord.User | None = None
    ) -> None:
        who = None if member is None else str(member.id)
        await show(interaction, lambda engine, actor: engine.queries.audit(actor, service, who), audit, service=service)
