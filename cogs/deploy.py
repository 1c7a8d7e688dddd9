"""/deploy, /rollback, /hold, /resume. The deployment itself is shown on its card, see `cogs.delivery.sender`."""

import asyncio
from contextlib import suppress

import discord
from discord import app_commands
from discord.ext import commands

from cogs.cards.rendered import RenderedMessage, refusal, say
from cogs.cards.status_cards import hold_line
from cogs.cards.text import code, escape
from cogs.interactions.answer import respond, show
from cogs.interactions.arguments import choose_release, choose_service, engine_of
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import SHORT, Deployment, Refused
from opsbot.core.model import NotificationKind
from opsbot.engine import Engine
from opsbot.engine.services import Resumed

CARD_SECONDS = 2.0
REASON = app_commands.Range[str, 1, 300]


async def begun(engine: Engine, answer: Deployment | Refused) -> RenderedMessage:
    """What to say of a deployment that began, with a link to its card; or why it did not."""
    if isinstance(answer, Refused):
        where = await _card(engine, answer.deployment) if answer.deployment is not None else ""
        shown = refusal(answer)
        return say(f"{shown.content} {where}".rstrip())
    where = await _posted(engine, answer.id) or "its card follows in the ops channel"
    return say(f"Deployment {answer.id} of {escape(answer.service)} started: {where}")


async def _posted(engine: Engine, number: int) -> str:
    """The link to a card that is being posted just now; empty where that takes long."""
    with engine.feed.subscribe() as changes, suppress(TimeoutError):
        async with asyncio.timeout(CARD_SECONDS):
            while not (link := await _card(engine, number)):
                await changes.wait(CARD_SECONDS)
            return link
    return ""


async def _card(engine: Engine, number: int) -> str:
    card = await engine.outbox.card(NotificationKind.DEPLOYMENT, number)
    discord_config = engine.config.discord
    channel = f"https://discord.com/channels/{discord_config.guild_id}/{discord_config.ops_channel_id}"
    return f"{channel}/{card.message_id}" if card is not None and card.message_id is not None else ""


class DeployCog(commands.Cog):
    """What changes the release a service runs."""

    @app_commands.command(description="Deploy a service: the tracked branch, or a branch, tag or commit")
    @app_commands.describe(service="Which service", ref="Branch, tag or commit; the tracked branch where empty")
    @app_commands.autocomplete(service=choose_service)
    async def deploy(
        self, interaction: discord.Interaction, service: str, ref: app_commands.Range[str, 1, 200] | None = None
    ) -> None:
        async def work(actor: Actor) -> RenderedMessage:
            engine = engine_of(interaction)
            return await begun(engine, await engine.releases.deploy(actor, service, ref))

        await respond(interaction, Action.DEPLOY, work, service=service)

    @app_commands.command(description="Return a service to a kept release")
    @app_commands.describe(service="Which service", release="Which release; the previous good one where empty")
    @app_commands.autocomplete(service=choose_service, release=choose_release)
    async def rollback(
        self, interaction: discord.Interaction, service: str, release: app_commands.Range[str, 1, 100] | None = None
    ) -> None:
        async def work(actor: Actor) -> RenderedMessage:
            engine = engine_of(interaction)
            return await begun(engine, await engine.releases.rollback(actor, service, release))

        await respond(interaction, Action.ROLLBACK, work, service=service)

    @app_commands.command(description="Pause deploys of a service until it is resumed")
    @app_commands.describe(service="Which service", reason="Why, for the others")
    @app_commands.autocomplete(service=choose_service)
    async def hold(self, interaction: discord.Interaction, service: str, reason: REASON | None = None) -> None:
        await show(
            interaction,
            lambda engine, actor: engine.services.hold(actor, service, reason or ""),
            lambda held: say(f"{escape(service)}: {hold_line(held)}"),
            service=service,
            public=True,
        )

    @app_commands.command(description="Resume deploys and alerts of a service; unblocks commits that failed")
    @app_commands.describe(service="Which service", reason="Why, for the audit log")
    @app_commands.autocomplete(service=choose_service)
    async def resume(self, interaction: discord.Interaction, service: str, reason: REASON | None = None) -> None:
        def card(resumed: Resumed) -> RenderedMessage:
            what = "was resumed" if resumed else "was neither paused nor silenced; recovery may try again"
            commits = ", ".join(code(commit[:SHORT]) for commit in resumed.commits)
            lifted = f" {commits} may be deployed automatically again." if commits else ""
            return say(f"▶️ {escape(service)} {what}.{lifted}")

        await show(
            interaction,
            lambda engine, actor: engine.services.resume(actor, service, reason or ""),
            card,
            service=service,
            public=True,
        )
