"""Everything that runs while opsbot is connected to Discord.

`run_bot` handles failures itself: if Discord is unavailable, the token is invalid or an intent is missing, it waits,
retries and reports by `on_state`, while the rest of opsbot keeps running. Writers of the ops channel outlive the
client, because each login creates a new client.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import discord
from discord.http import Route

import cogs.delivery.sender
from cogs.cards.text import escape
from cogs.delivery.board import StatusBoard
from cogs.delivery.card_editor import CardEditor
from cogs.delivery.channel import OpsChannel
from cogs.delivery.fallback_channel import FallbackChannel
from cogs.delivery.live_tails import LiveTails
from cogs.delivery.rate_budget import RateBudget
from cogs.delivery.self_test import DeliverySelfTest
from cogs.delivery.threads import Threads
from cogs.interactions.arguments import Clicks
from opsbot.bot.client import OpsBot
from opsbot.bot.connection import ConnectPace
from opsbot.bot.link import GatewayState, Link, OnState, Reporter
from opsbot.bot.login_loop import LoginLoop
from opsbot.config import Config
from opsbot.engine import Engine
from opsbot.redaction import Redactor

if TYPE_CHECKING:
    from opsbot.monitoring.discord_bots import DiscordBots

DISCORD = Route.BASE


def _ignore(_: GatewayState) -> None:
    return None


async def run_bot(
    engine: Engine,
    config: Config,
    token: str,
    *,
    on_state: OnState = _ignore,
    pace: ConnectPace = ConnectPace(),  # noqa: B008 - frozen
    channel_pace: cogs.delivery.sender.DeliveryPace = cogs.delivery.sender.DeliveryPace(),  # noqa: B008 - frozen
) -> None:
    """Stay connected to Discord until cancelled; no failure of Discord ends it.

    on_state: called on the event loop at each change of the connection; must not block.
    """
    # The only setting of discord.py for another server; the gateway's address is requested from it.
    Route.BASE = DISCORD if config.discord.api_url is None else config.discord.api_url.rstrip("/")
    # Messages escape underscores, so the escaped token must be redacted, too.
    redact = Redactor([token, escape(token, len(token) + 1)])
    discord_bots = engine.statuses.discord_bots
    presence_cache = discord_bots.presence_cache if discord_bots is not None else None
    reporter = _reporter(engine, discord_bots, on_state)
    logins = LoginLoop(token, reporter, pace, presence_cache)
    budget, ops_channel = RateBudget(channel_pace.limits), config.discord.ops_channel_id
    channel = OpsChannel(logins.client, ops_channel, redact, budget, engine.clock, reporter.rest)
    writers = _Writers(engine, channel, logins.client, channel_pace, reporter.problem)
    clicks = Clicks()

    def make() -> OpsBot:
        return OpsBot(
            engine,
            redact,
            clicks,
            reporter,
            pace,
            writers.on_available,
            writers.tails,
            writers.channel_changed,
            presence_cache,
        )

    async with asyncio.TaskGroup() as group:
        writers.begin(group)
        group.create_task(logins.report_latency(), name="latency")
        group.create_task(logins.stay(make), name="gateway")
        await writers.tails.run()  # awaited here so that it ends before the others


def _reporter(engine: Engine, discord_bots: "DiscordBots | None", on_state: OnState) -> Reporter:
    """Build a reporter that also feeds the outage detector and the presence cache."""
    if discord_bots is None:
        return Reporter(engine.clock, on_state)

    def report(state: GatewayState) -> None:
        discord_bots.outage_detector.gateway(
            up=state.connected and not state.unanswered, refused=state.link is Link.REFUSED
        )
        if discord_bots.presence_cache is not None and state.unanswered:
            discord_bots.presence_cache.lost()
        on_state(state)

    def rest(ok: bool) -> None:  # noqa: FBT001 - a callback's one argument
        discord_bots.outage_detector.rest(ok=ok)

    return Reporter(engine.clock, report, rest=rest)


class _Writers:
    def __init__(
        self,
        engine: Engine,
        channel: OpsChannel,
        client: Callable[[], discord.Client | None],
        pace: cogs.delivery.sender.DeliveryPace,
        problem: Callable[[str, str], None],
    ) -> None:
        threads = Threads(engine, channel, pace.closed, problem)
        fallback = FallbackChannel(engine, channel, client)
        self._sender = cogs.delivery.sender.Sender(engine, channel, pace, problem, threads, fallback)
        self._editor = CardEditor(engine, channel, pace, problem)
        self._board = StatusBoard(engine, channel, pace, problem)
        self._self_test = DeliverySelfTest(engine, channel, client, pace, problem, fallback, self.on_available)
        self.tails = LiveTails(engine, channel, pace)

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Start everything except the live tails in the group."""
        group.create_task(self._sender.run(), name="sender")
        group.create_task(self._editor.run(), name="editor")
        group.create_task(self._self_test.run(), name="delivery self-test")
        group.create_task(self._board.run(), name="board")

    def on_available(self) -> None:
        """Resume sending after Discord became available."""
        self._sender.nudge()
        self._editor.nudge()
        self._board.nudge()

    def channel_changed(self) -> None:
        """Re-test delivery after a change of the ops channel or its permissions."""
        self._self_test.changed()
        self._board.permitted()
