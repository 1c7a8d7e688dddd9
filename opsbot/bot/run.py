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

import cogs.alerts
from cogs._args import Clicks
from cogs._board import Boards
from cogs._budget import Budget
from cogs._channel import OpsChannel
from cogs._editor import Editor
from cogs._elsewhere import Elsewhere
from cogs._proof import Prover
from cogs._tails import Tails
from cogs._text import escape
from cogs._threads import Threads
from opsbot.bot.client import OpsBot
from opsbot.bot.connection import Pace
from opsbot.bot.link import GatewayState, Link, OnState, Reporter
from opsbot.bot.logins import Logins
from opsbot.config import Config
from opsbot.engine import Engine
from opsbot.redaction import Redactor

if TYPE_CHECKING:
    from opsbot.watch.aware import Aware

DISCORD = Route.BASE


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
    reporter = _reporter(engine, aware, on_state)
    logins = Logins(token, reporter, pace, sightings)
    channel = OpsChannel(
        logins.client, config.discord.ops_channel_id, redact, Budget(channel_pace.limits), engine.clock
    )
    channel.on_rest = reporter.rest
    writers = _Writers(engine, channel, logins.client, channel_pace, reporter.problem)
    clicks = Clicks()

    def make() -> OpsBot:
        return OpsBot(
            engine, redact, clicks, reporter, pace, writers.awake, writers.tails, writers.path_changed, sightings
        )

    async with asyncio.TaskGroup() as group:
        writers.begin(group)
        group.create_task(logins.report_latency(), name="latency")
        group.create_task(logins.stay(make), name="gateway")
        await writers.tails.run()  # in here, so that it ends before the others do


def _reporter(engine: Engine, aware: "Aware | None", on_state: OnState) -> Reporter:
    """Tells `on_state`, and those who judge by opsbot's own connection whether Discord is away."""
    if aware is None:
        return Reporter(engine.clock, on_state)

    def tell(state: GatewayState) -> None:
        aware.triage.gateway(up=state.connected and not state.unanswered, refused=state.link is Link.REFUSED)
        if aware.sightings is not None and state.unanswered:
            aware.sightings.lost()
        on_state(state)

    def rest(ok: bool) -> None:  # noqa: FBT001 - a callback's one argument
        aware.triage.rest(ok=ok)

    return Reporter(engine.clock, tell, rest=rest)


class _Writers:
    """All that writes in the ops channel by itself: the sender, the editor, the board, the proof, live tails."""

    def __init__(
        self,
        engine: Engine,
        channel: OpsChannel,
        client: Callable[[], discord.Client | None],
        pace: cogs.alerts.Pace,
        problem: Callable[[str, str], None],
    ) -> None:
        threads = Threads(engine, channel, pace.closed, problem)
        elsewhere = Elsewhere(engine, channel, client)
        self._sender = cogs.alerts.Sender(engine, channel, pace, problem, threads, elsewhere)
        self._editor = Editor(engine, channel, pace, problem)
        self._board = Boards(engine, channel, pace, problem)
        self._prover = Prover(engine, channel, client, pace, problem, elsewhere, self.awake)
        self.tails = Tails(engine, channel, pace)

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
