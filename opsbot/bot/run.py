"""What goes on for as long as opsbot is to be on Discord.

`run_bot` looks after itself: with Discord away, a bad token or a missing intent it waits, tries again and says so by
`on_state`, while the rest of opsbot goes on. What writes in the ops channel lives beside the client, not in it: a
client is made anew for each log-in.
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
    """Be on Discord until cancelled; nothing that Discord does ends it.

    on_state: told each change of the connection, on the event loop; it must not block.
    """
    # The one switch discord.py has for another server; the gateway's address is asked of it.
    Route.BASE = DISCORD if config.discord.api_url is None else config.discord.api_url.rstrip("/")
    # A token in a text we send would have its underscores escaped.
    redact = Redactor([token, escape(token, len(token) + 1)])
    discord_bots = engine.standings.discord_bots
    presence_cache = discord_bots.presence_cache if discord_bots is not None else None
    reporter = _reporter(engine, discord_bots, on_state)
    logins = LoginLoop(token, reporter, pace, presence_cache)
    channel = OpsChannel(
        logins.client, config.discord.ops_channel_id, redact, RateBudget(channel_pace.limits), engine.clock
    )
    channel.on_rest = reporter.rest
    writers = _Writers(engine, channel, logins.client, channel_pace, reporter.problem)
    clicks = Clicks()

    def make() -> OpsBot:
        return OpsBot(
            engine, redact, clicks, reporter, pace, writers.awake, writers.tails, writers.path_changed, presence_cache
        )

    async with asyncio.TaskGroup() as group:
        writers.begin(group)
        group.create_task(logins.report_latency(), name="latency")
        group.create_task(logins.stay(make), name="gateway")
        await writers.tails.run()  # in here, so that it ends before the others do


def _reporter(engine: Engine, discord_bots: "DiscordBots | None", on_state: OnState) -> Reporter:
    """Tells `on_state`, and those who judge by opsbot's own connection whether Discord is away."""
    if discord_bots is None:
        return Reporter(engine.clock, on_state)

    def tell(state: GatewayState) -> None:
        discord_bots.outage_detector.gateway(
            up=state.connected and not state.unanswered, refused=state.link is Link.REFUSED
        )
        if discord_bots.presence_cache is not None and state.unanswered:
            discord_bots.presence_cache.lost()
        on_state(state)

    def rest(ok: bool) -> None:  # noqa: FBT001 - a callback's one argument
        discord_bots.outage_detector.rest(ok=ok)

    return Reporter(engine.clock, tell, rest=rest)


class _Writers:
    """All that writes in the ops channel by itself: the sender, the editor, the board, the proof, live tails."""

    def __init__(
        self,
        engine: Engine,
        channel: OpsChannel,
        client: Callable[[], discord.Client | None],
        pace: cogs.delivery.sender.DeliveryPace,
        problem: Callable[[str, str], None],
    ) -> None:
        threads = Threads(engine, channel, pace.closed, problem)
        elsewhere = FallbackChannel(engine, channel, client)
        self._sender = cogs.delivery.sender.Sender(engine, channel, pace, problem, threads, elsewhere)
        self._editor = CardEditor(engine, channel, pace, problem)
        self._board = StatusBoard(engine, channel, pace, problem)
        self._prover = DeliverySelfTest(engine, channel, client, pace, problem, elsewhere, self.awake)
        self.tails = LiveTails(engine, channel, pace)

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Have all but the tails run in the group."""
        group.create_task(self._sender.run(), name="sender")
        group.create_task(self._editor.run(), name="editor")
        group.create_task(self._prover.run(), name="prover")
        group.create_task(self._board.run(), name="board")

    def awake(self) -> None:
        """Discord is known to be there again."""
        self._sender.nudge()
        self._editor.nudge()
        self._board.nudge()

    def path_changed(self) -> None:
        """The ops channel has changed, or what opsbot may do in it."""
        self._prover.changed()
        self._board.permitted()
