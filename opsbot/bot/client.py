"""The client of one login: events and their handlers."""

import logging
from collections.abc import Callable, Mapping

import discord
from discord import app_commands
from discord.ext import commands

from cogs.audit import AuditCog
from cogs.cards.rendered import RenderedMessage, say
from cogs.cards.text import escape
from cogs.control import ControlCog
from cogs.delivery.live_tails import LiveTails
from cogs.deploy import DeployCog
from cogs.incidents import IncidentsCog
from cogs.interactions.acknowledge_form import submitted
from cogs.interactions.answer import respond
from cogs.interactions.arguments import Clicks
from cogs.interactions.button_handlers import outdated, press
from cogs.interactions.views import PREFIX, TEMPLATE, OpsButton
from cogs.logs import LogsCog
from cogs.status import StatusCog
from opsbot.bot.clock import clock_trace
from opsbot.bot.connection import ConnectPace, PatientBot
from opsbot.bot.link import Link, Reporter
from opsbot.bot.presence_events import feed_presence_cache, intents_for
from opsbot.bot.registration import Registration
from opsbot.core.access import Action, Actor
from opsbot.engine import Engine
from opsbot.monitoring.presence_cache import PresenceCache
from opsbot.redaction import Redactor

log = logging.getLogger(__name__)

COGS: tuple[Callable[[], commands.Cog], ...] = (StatusCog, IncidentsCog, LogsCog, ControlCog, DeployCog, AuditCog)


class OpsTree(app_commands.CommandTree["OpsBot"]):
    """Command tree that answers unknown or changed commands with a helpful message."""

    async def on_error(self, interaction: discord.Interaction["OpsBot"], error: app_commands.AppCommandError) -> None:
        """Handle a command of another version or with missing options.

        Commands handle their own errors.
        """
        if isinstance(error, app_commands.CommandInvokeError):
            log.error("a command failed outside its handler", exc_info=error)
        else:
            log.warning("a command was not understood: %s", error)

        async def work(_: Actor) -> RenderedMessage:
            return say(
                f"Command failed: {escape(str(error), 200)} Commands may change with opsbot's version; try again."
            )

        await respond(interaction, Action.STATUS, work)


class OpsBot(PatientBot):
    """The client of one login.

    Only the GUILDS intent is required: interactions carry their user. Presences (privileged) and voice states are
    requested only if a check or a drain uses them.
    """

    def __init__(
        self,
        engine: Engine,
        redact: Redactor,
        clicks: Clicks,
        reporter: Reporter,
        pace: ConnectPace,
        on_available: Callable[[], None],
        tails: LiveTails,
        channel_changed: Callable[[], None],
        presence_cache: PresenceCache | None = None,
    ) -> None:
        """Create the client; nothing is connected yet.

        on_available: called whenever Discord becomes available. channel_changed: called when the ops channel or
        opsbot's permissions in it change. presence_cache: updated from gateway events.
        """
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            tree_cls=OpsTree,
            intents=intents_for(presence_cache),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            guild_ready_timeout=1.0,
            max_ratelimit_timeout=30.0,
            http_trace=clock_trace(engine.measured.drift, engine.clock),
        )
        self.engine = engine
        self.redact = redact
        self.clicks = clicks
        self.tails = tails
        self.reporter = reporter
        self.pace = pace
        self.on_available = on_available
        self.on_problem = lambda text: reporter.problem("gateway", text)
        self.on_rest = reporter.rest
        self._channel_changed = channel_changed
        self._registration = Registration(self.tree, engine.config.discord.guild_id, reporter, pace)
        self._presence_cache = presence_cache
        if presence_cache is not None:
            feed_presence_cache(self, presence_cache)

    async def setup_hook(self) -> None:
        """Register cogs and buttons before the first event. Sends no request to Discord."""
        self.add_dynamic_items(OpsButton)
        guild = discord.Object(self.engine.config.discord.guild_id)
        for cog in COGS:
            await self.add_cog(cog(), guild=guild)

    async def on_connect(self) -> None:
        self._connected()
        self._registration.begin()

    async def on_guild_role_update(self, before: discord.Role, after: discord.Role) -> None:
        """Re-test permissions after a role's permissions changed.

        GUILDS delivers all these events.
        """
        if before.permissions != after.permissions:
            self._channel_changed()

    async def on_guild_channel_update(self, _: discord.abc.GuildChannel, after: discord.abc.GuildChannel) -> None:
        """Re-test permissions if the ops channel or its category changed."""
        ops = after.guild.get_channel(self.engine.config.discord.ops_channel_id)
        if ops is None or after.id in {ops.id, ops.category_id}:
            self._channel_changed()

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """Re-test permissions if the ops channel was deleted."""
        if channel.id == self.engine.config.discord.ops_channel_id:
            self._channel_changed()

    async def on_member_update(self, _: discord.Member, after: discord.Member) -> None:
        """Re-test permissions if opsbot's own roles changed.

        Other members need a privileged intent.
        """
        if self.user is not None and after.id == self.user.id:
            self._channel_changed()

    async def on_resumed(self) -> None:
        """Handle a resumed session; missed events have been replayed."""
        if self._presence_cache is not None:
            self._presence_cache.resumed()
        self._connected()

    async def on_disconnect(self) -> None:
        if self._presence_cache is not None:
            self._presence_cache.lost()
        if not self.is_closed():
            self.reporter.link(Link.AWAY)

    def _connected(self) -> None:
        self.reporter.problem("gateway", "")
        self.reporter.link(Link.CONNECTED, self.heartbeat_seconds())
        self.on_available()

    def heartbeat_seconds(self) -> float | None:
        """The latency.

        None while unknown (NaN before the first heartbeat acknowledgement).
        """
        latency = self.latency
        return latency if latency == latency and latency != float("inf") else None  # noqa: PLR0124 - NaN

    async def pressed(self, interaction: discord.Interaction, action: str, service: str, ident: str) -> None:
        await press(interaction, action, service, ident)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Handle submitted forms, and buttons with opsbot's prefix from another version.

        discord.py dispatches a form only in the process that showed it, and only once, so all forms are handled here.
        """
        data: Mapping[str, object] = dict(interaction.data or {})
        custom_id = str(data.get("custom_id", ""))
        if not custom_id.startswith(PREFIX):
            return
        if interaction.type is discord.InteractionType.modal_submit:
            if not await submitted(self.engine, interaction, custom_id):
                await outdated(interaction)
        elif interaction.type is discord.InteractionType.component and not TEMPLATE.fullmatch(custom_id):
            await outdated(interaction)

    async def close(self) -> None:
        """End the session within seconds."""
        self._registration.end()
        await super().close()
