"""The bot: logs in, stays connected, registers its commands, and sends what the outbox holds.

`run_bot` looks after itself: with Discord away, a bad token or a missing intent it waits, tries again and says so by
`on_state`, while the rest of opsbot goes on. The sender and the editor of the ops channel live beside the client, not
in it: a client is made anew for each log-in.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import discord
from discord import app_commands
from discord.ext import commands
from discord.http import Route

import cogs.alerts
from cogs._acks import submitted
from cogs._answer import respond
from cogs._args import Clicks
from cogs._board import Boards
from cogs._budget import Budget
from cogs._channel import OpsChannel
from cogs._editor import Editor
from cogs._elsewhere import Elsewhere
from cogs._presses import outdated, press
from cogs._proof import Prover
from cogs._render import Shown, say
from cogs._tails import Tails
from cogs._text import escape
from cogs._threads import Threads
from cogs._views import PREFIX, TEMPLATE, OpsButton
from cogs.audit import Audit
from cogs.control import Control
from cogs.deploy import Deploy
from cogs.incidents import Incidents
from cogs.logs import Logs
from cogs.status import Status
from opsbot.config import Config
from opsbot.core.access import Action, Actor
from opsbot.discord_clock import clock_trace
from opsbot.discord_connection import LOST, Pace, PatientBot
from opsbot.discord_sightings import PRESENCE_REFUSED, feed_sightings, intents_for
from opsbot.engine import Engine
from opsbot.redaction import Redactor
from opsbot.watch.sightings import Sightings

log = logging.getLogger(__name__)

COGS: tuple[Callable[[], commands.Cog], ...] = (Status, Incidents, Logs, Control, Deploy, Audit)
DISCORD = Route.BASE
LOGIN_SECONDS = 60.0
CLOSE_SECONDS = 4.0
AUTHENTICATION_FAILED = 4004
BAD_TOKEN = "Discord refuses the bot's token: put a valid one where the configuration says"  # noqa: S105 - no token
LATENCY_SECONDS = 15.0
LATE_SECONDS = 10.0
"""A heartbeat that is not answered for so long most likely never will be: the connection is a zombie."""
CANNOT_REGISTER = (
    "the slash commands cannot be registered: invite the bot to the configured guild with the scopes bot and "
    "applications.commands"
)


class Link(StrEnum):
    """How it stands with Discord."""

    CONNECTING = "connecting"
    """Not connected since the start."""
    CONNECTED = "connected"
    AWAY = "away"
    """The connection was lost; it is resumed."""
    REFUSED = "refused"
    """Discord refuses the token or an intent: a person has to mend it."""


@dataclass(frozen=True, slots=True)
class GatewayState:
    """The connection at one moment.

    since: when the link became this. latency: seconds from a heartbeat to its answer, None while unknown. problem: what
    a person has to mend about the connection or the ops channel, "" where nothing. unanswered: Discord does not answer
    the heartbeats of a connection that looks whole; discord.py closes it about a minute later.
    """

    link: Link
    since: datetime
    latency: float | None = None
    problem: str = ""
    unanswered: bool = False

    @property
    def connected(self) -> bool:
        """Whether events arrive."""
        return self.link is Link.CONNECTED


OnState = Callable[[GatewayState], None]


def _unheard(_: bool) -> None:  # noqa: FBT001 - a callback's one argument
    return None


@dataclass(slots=True)
class Reporter:
    """Keeps the state and tells each change of it."""

    clock: Callable[[], datetime]
    tell: OnState
    state: GatewayState = field(init=False)
    problems: dict[str, str] = field(default_factory=dict)
    rest: Callable[[bool], None] = _unheard
    """Told of each request by which REST shows itself there or away."""

    def __post_init__(self) -> None:
        """Begin, and say so."""
        self.state = GatewayState(Link.CONNECTING, self.clock())
        self.tell(self.state)

    def _change(self, state: GatewayState) -> None:
        if state != self.state:
            self.state = state
            self.tell(state)

    def link(self, link: Link, latency: float | None = None, *, unanswered: bool = False) -> None:
        """The link is now this."""
        if link is Link.AWAY and self.state.link is Link.CONNECTING:
            link = Link.CONNECTING
        since = self.state.since if link is self.state.link else self.clock()
        self._change(replace(self.state, link=link, since=since, latency=latency, unanswered=unanswered))

    def problem(self, about: str, text: str) -> None:
        """What a person has to mend; "" when it is mended."""
        self.problems[about] = text
        self._change(replace(self.state, problem="; ".join(filter(None, self.problems.values()))))


class OpsTree(app_commands.CommandTree["OpsBot"]):
    """The slash commands; says something sensible where a command is none of ours."""

    async def on_error(self, interaction: discord.Interaction["OpsBot"], error: app_commands.AppCommandError) -> None:
        """A command of another version, or options it lacks. What goes wrong inside a command is answered there."""
        if isinstance(error, app_commands.CommandInvokeError):
            log.error("a command failed outside its work", exc_info=error)
        else:
            log.warning("a command could not be understood: %s", error)

        async def work(_: Actor) -> Shown:
            return say(
                f"This did not work: {escape(str(error), 200)} Commands change with opsbot's version: try again."
            )

        await respond(interaction, Action.STATUS, work)


class OpsBot(PatientBot):
    """The client of one log-in.

    GUILDS alone is needed: who asks comes with each interaction. Presences (privileged) and voice states are asked for
    only where a check or a drain goes by them.
    """

    def __init__(
        self,
        engine: Engine,
        redact: Redactor,
        clicks: Clicks,
        reporter: Reporter,
        pace: Pace,
        awake: Callable[[], None],
        tails: Tails,
        path_changed: Callable[[], None],
        sightings: Sightings | None = None,
    ) -> None:
        """Make the client; nothing is connected.

        awake: called whenever Discord is known to be there again. path_changed: when the ops channel has changed, or
        what opsbot may do in it. sightings: kept true from the gateway's events.
        """
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            tree_cls=OpsTree,
            intents=intents_for(sightings),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            guild_ready_timeout=1.0,
            max_ratelimit_timeout=30.0,
            http_trace=clock_trace(engine.drift, engine.clock),
        )
        self.engine = engine
        self.redact = redact
        self.clicks = clicks
        self.tails = tails
        self.reporter = reporter
        self.pace = pace
        self.on_trouble = lambda text: reporter.problem("gateway", text)
        self.on_rest = reporter.rest
        self._awake = awake
        self._path_changed = path_changed
        self._registering: asyncio.Task[None] | None = None
        self._sightings = sightings
        if sightings is not None:
            feed_sightings(self, sightings)

    async def setup_hook(self) -> None:
        """Commands and buttons, known before the first event comes. Nothing here asks Discord."""
        self.add_dynamic_items(OpsButton)
        guild = discord.Object(self.engine.config.discord.guild_id)
        for cog in COGS:
            await self.add_cog(cog(), guild=guild)

    async def on_connect(self) -> None:
        """A new session."""
        self._connected()
        if self._registering is None:
            # Once a log-in, and after the connection: Discord being away must not keep the bot from starting.
            self._registering = asyncio.create_task(self._register(), name="register commands")

    async def on_guild_role_update(self, before: discord.Role, after: discord.Role) -> None:
        """A role may do more or less; opsbot may hold it. All these events come with the intent GUILDS."""
        if before.permissions != after.permissions:
            self._path_changed()

    async def on_guild_channel_update(self, _: discord.abc.GuildChannel, after: discord.abc.GuildChannel) -> None:
        """The ops channel, or the category whose permissions it may share."""
        ops = after.guild.get_channel(self.engine.config.discord.ops_channel_id)
        if ops is None or after.id in {ops.id, ops.category_id}:
            self._path_changed()

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """Perhaps the ops channel."""
        if channel.id == self.engine.config.discord.ops_channel_id:
            self._path_changed()

    async def on_member_update(self, _: discord.Member, after: discord.Member) -> None:
        """opsbot itself has other roles: of other members nothing is told without a privileged intent."""
        if self.user is not None and after.id == self.user.id:
            self._path_changed()

    async def on_resumed(self) -> None:
        """The old session goes on; what was missed has been replayed."""
        if self._sightings is not None:
            self._sightings.resumed()
        self._connected()

    async def on_disconnect(self) -> None:
        """The connection is lost, or a try to connect failed."""
        if self._sightings is not None:
            self._sightings.lost()
        if not self.is_closed():
            self.reporter.link(Link.AWAY)

    def _connected(self) -> None:
        self.reporter.problem("gateway", "")
        self.reporter.link(Link.CONNECTED, self.heartbeat_seconds())
        self._awake()

    def heartbeat_seconds(self) -> float | None:
        """The latency, None while it is not known (NaN before the first heartbeat was answered)."""
        latency = self.latency
        return latency if latency == latency and latency != float("inf") else None  # noqa: PLR0124 - NaN

    async def _register(self) -> None:
        guild = discord.Object(self.engine.config.discord.guild_id)
        failures = 0
        while not self.is_closed():
            try:
                async with asyncio.timeout(LOGIN_SECONDS):
                    await self.tree.sync(guild=guild)
            except (discord.Forbidden, discord.NotFound) as error:
                self.reporter.problem("commands", CANNOT_REGISTER)
                log.warning("%s: %s", CANNOT_REGISTER, error)
                await asyncio.sleep(self.pace.refused)
            except LOST as error:
                failures += 1
                log.warning("the slash commands could not be registered, again later: %r", error)
                await asyncio.sleep(max(self.pace.wait(failures), 0.1))
            else:
                self.reporter.problem("commands", "")
                log.info("the slash commands are registered")
                return

    async def pressed(self, interaction: discord.Interaction, action: str, service: str, ident: str) -> None:
        """A button of ours was pressed."""
        await press(self.engine, interaction, action, service, ident)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Forms that were sent, and buttons that look like ours and fit no template: of another version of opsbot.

        discord.py knows a form only while the process lives that has shown it, and drops it after; so all come here.
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
        """End the session, within seconds."""
        if self._registering is not None:
            self._registering.cancel()
        await super().close()


@dataclass(slots=True)
class _Current:
    """The client that is logged in at the moment."""

    bot: OpsBot | None = None

    def get(self) -> OpsBot | None:
        return self.bot


def _ignore(_: GatewayState) -> None:
    return None


async def run_bot(
    engine: Engine,
    config: Config,
    token: str,
    *,
    on_state: OnState = _ignore,
    pace: Pace = Pace(),  # noqa: B008 - frozen
    channel_pace: cogs.alerts.Pace = cogs.alerts.Pace(),  # noqa: B008 - frozen
) -> None:
    """Be on Discord until cancelled; nothing that Discord does ends it.

    on_state: told each change of the connection, on the event loop; it must not block.
    """
    # The one switch discord.py has for another server; the gateway's address is asked of it.
    Route.BASE = DISCORD if config.discord.api_url is None else config.discord.api_url.rstrip("/")
    # A token in a text we send would have its underscores escaped.
    redact = Redactor([token, escape(token, len(token) + 1)])
    aware = engine.standings.aware
    sightings = aware.sightings if aware is not None else None

    def tell(state: GatewayState) -> None:
        if aware is not None:
            aware.triage.gateway(up=state.connected and not state.unanswered, refused=state.link is Link.REFUSED)
        if sightings is not None and state.unanswered:
            sightings.lost()
        on_state(state)

    def rest(ok: bool) -> None:  # noqa: FBT001 - a callback's one argument
        if aware is not None:
            aware.triage.rest(ok=ok)

    reporter = Reporter(engine.clock, tell, rest=rest)
    current = _Current()
    budget = Budget(channel_pace.limits)
    channel = OpsChannel(current.get, config.discord.ops_channel_id, redact, budget, engine.clock)
    channel.on_rest = rest
    threads = Threads(engine, channel, channel_pace.closed, reporter.problem)
    elsewhere = Elsewhere(engine, channel, current.get)
    sender = cogs.alerts.Sender(engine, channel, channel_pace, reporter.problem, threads, elsewhere)
    editor = Editor(engine, channel, channel_pace, reporter.problem)
    board = Boards(engine, channel, channel_pace, reporter.problem)

    def awake() -> None:
        sender.nudge()
        editor.nudge()
        board.nudge()

    prover = Prover(engine, channel, current.get, channel_pace, reporter.problem, elsewhere, awake)
    clicks = Clicks()
    tails = Tails(engine, channel, channel_pace)

    def path_changed() -> None:
        prover.changed()
        board.permitted()

    def make() -> OpsBot:
        return OpsBot(engine, redact, clicks, reporter, pace, awake, tails, path_changed, sightings)

    async with asyncio.TaskGroup() as group:
        group.create_task(sender.run(), name="sender")
        group.create_task(editor.run(), name="editor")
        group.create_task(prover.run(), name="prover")
        group.create_task(board.run(), name="board")
        group.create_task(_report_latency(current, reporter), name="latency")
        group.create_task(_stay(make, token, current, reporter, pace, sightings), name="gateway")
        await tails.run()  # in here, so that it ends before the others do


async def _report_latency(current: _Current, reporter: Reporter) -> None:
    while True:
        await asyncio.sleep(LATENCY_SECONDS)
        if current.bot is not None and reporter.state.connected:
            bot = current.bot
            reporter.link(Link.CONNECTED, bot.heartbeat_seconds(), unanswered=bot.unanswered_seconds() > LATE_SECONDS)


async def _stay(
    make: Callable[[], OpsBot],
    token: str,
    current: _Current,
    reporter: Reporter,
    pace: Pace,
    sightings: Sightings | None,
) -> None:
    """Log in and stay connected, with a new client after each end."""
    failures = 0
    while True:
        bot = make()
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                await bot.login(token)
            failures, current.bot = 0, bot
            reporter.rest(True)  # noqa: FBT003 - see Reporter.rest
            bot._awake()  # noqa: SLF001 - REST answers from here on, the gateway is not needed to send
            await bot.connect()
            wait = pace.wait(1)
        except discord.LoginFailure:
            wait = _refused(reporter, pace, BAD_TOKEN)
        except discord.PrivilegedIntentsRequired:
            if sightings is not None and sightings.presences and not sightings.refused:
                wait = _without_presences(reporter, sightings)
            else:
                wait = _refused(
                    reporter, pace, "Discord refuses an intent (4014), though opsbot needs no privileged one"
                )
        except discord.ConnectionClosed as error:
            bad_token = error.code == AUTHENTICATION_FAILED
            wait = _refused(
                reporter, pace, BAD_TOKEN if bad_token else f"the gateway refuses this bot: code {error.code}"
            )
        except LOST as error:
            failures += 1
            wait = max(pace.wait(failures), 0.05)
            reporter.link(Link.AWAY)
            reporter.rest(False)  # noqa: FBT003 - see Reporter.rest
            log.warning("Discord is away, the next log-in in %.1f s: %r", wait, error)
        except Exception:
            # The edge: a mistake in the library or in here must not leave opsbot without its channel for ever.
            failures += 1
            wait = max(pace.wait(failures + 2), 1.0)
            reporter.link(Link.AWAY)
            log.exception("the connection to Discord failed; a new one in %.1f s", wait)
        finally:
            current.bot = None
            await _close(bot)
        await asyncio.sleep(wait)


def _without_presences(reporter: Reporter, sightings: Sightings) -> float:
    """The presences are what is refused: opsbot goes on without them, and the checks that need them say so."""
    log.error("%s", PRESENCE_REFUSED)
    sightings.refused = PRESENCE_REFUSED
    reporter.problem("presence", PRESENCE_REFUSED)
    return 0.0


def _refused(reporter: Reporter, pace: Pace, text: str) -> float:
    log.error("%s; trying again in %.0f s", text, pace.refused)
    reporter.problem("gateway", text)
    reporter.link(Link.REFUSED)
    return pace.refused


async def _close(bot: OpsBot) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await bot.close()
    except (TimeoutError, *LOST) as error:
        log.info("the connection to Discord did not end in time: %r", error)
        with suppress(TimeoutError, *LOST):
            async with asyncio.timeout(1):
                await bot.http.close()
