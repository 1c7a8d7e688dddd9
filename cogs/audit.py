"""/audit: who did what."""

import discord
from discord import app_commands
from discord.ext import commands

from cogs.cards.history_cards import audit
from cogs.cards.rendered import RenderedMessage, refusal
from cogs.interactions.answer import respond
from cogs.interactions.arguments import choose_service, engine_of
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused


class AuditCog(commands.Cog):
    """The audit log."""

    @app_commands.command(description="Who did what, when, from where, and what came of it")
    @app_commands.describe(service="Only this service", member="Only what this member did")
    @app_commands.autocomplete(service=choose_service)
    async def audit(
        self, interaction: discord.Interaction, service: str | None = None, member: discord.User | None = None
    ) -> None:
        """Show the audit log, privately."""

        async def work(actor: Actor) -> RenderedMessage:
            found = await engine_of(interaction).look.audit(actor, service, None if member is None else str(member.id))
            return refusal(found) if isinstance(found, Refused) else audit(found)

        await respond(interaction, Action.AUDIT, work, service=service)
