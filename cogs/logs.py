"""/logs: what a service wrote."""

import re
from typing import Literal

import discord
from discord import app_commands
from discord.ext import commands

from cogs.cards.log_cards import logs
from cogs.cards.rendered import RenderedMessage, refusal
from cogs.interactions.answer import respond
from cogs.interactions.arguments import bot_of, choose_service, engine_of, since_of
from opsbot.core.access import Action, Actor
from opsbot.core.deploy_codes import RefusalCode
from opsbot.core.deployment import RefusalReason, Refused
from opsbot.core.message import message
from opsbot.services.port import LogQuery


class LogsCog(commands.Cog):
    """The services' output."""

    @app_commands.command(description="The last lines a service wrote")
    @app_commands.describe(
        service="Which service",
        lines="How many lines, 1 to 1000; 50 where empty",
        since="Only lines of the last 10m, 2h, 1d",
        level="Only lines at least this grave",
        grep="Only lines that match this regular expression, ignoring case",
        this_run="Only lines since the service was last started",
        follow="Show new lines in the ops channel as they come, for all to see, for ten minutes or until Stop",
    )
    @app_commands.autocomplete(service=choose_service)
    async def logs(
        self,
        interaction: discord.Interaction,
        service: str,
        lines: app_commands.Range[int, 1, 1000] = 50,
        since: app_commands.Range[str, 1, 40] | None = None,
        level: Literal["error", "warning", "info"] | None = None,
        grep: app_commands.Range[str, 1, 200] | None = None,
        this_run: bool = False,  # noqa: FBT001, FBT002 - an option of the command
        follow: bool = False,  # noqa: FBT001, FBT002 - likewise
    ) -> None:
        """Show the log, privately; or follow it, in the channel."""

        async def work(actor: Actor) -> RenderedMessage:
            engine = engine_of(interaction)
            after = since_of(since, engine.clock())
            wrong = after if isinstance(after, Refused) else _wrong_pattern(grep)
            if follow and (since is not None or grep is not None):
                wrong = Refused(RefusalReason.BAD_INPUT, message(RefusalCode.TAIL_OPTIONS))
            if wrong is not None:
                return refusal(await engine.access.reject(actor, Action.LOGS, service, wrong))
            start = None if isinstance(after, Refused) else after
            if follow:
                return await bot_of(interaction).tails.begin(actor, service, level, this_run=this_run)
            found = await engine.logs.lines(actor, service, LogQuery(lines, start, level, grep, this_run))
            return refusal(found) if isinstance(found, Refused) else logs(service, found)

        await respond(interaction, Action.LOGS, work, service=service)


def _wrong_pattern(grep: str | None) -> Refused | None:
    try:
        re.compile(grep or "")
    except re.error as error:
        return Refused(
            RefusalReason.BAD_INPUT, message(RefusalCode.BAD_PATTERN, pattern=(grep or "")[:60], error=str(error))
        )
    return None
