"""/logs: what a service wrote."""

import re
from typing import Literal

import discord
from discord import app_commands
from discord.ext import commands

from cogs._answer import respond, wrongly_asked
from cogs._args import choose_service, engine_of, since_of
from cogs._render import Shown, logs, refusal
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused, Why
from opsbot.services.port import LogQuery


class Logs(commands.Cog):
    """The services' output."""

    @app_commands.command(description="The last lines a service wrote")
    @app_commands.describe(
        service="Which service",
        lines="How many lines, 1 to 1000; 50 where empty",
        since="Only lines of the last 10m, 2h, 1d",
        level="Only lines of this level",
        grep="Only lines that match this regular expression, ignoring case",
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
    ) -> None:
        """Show the log, privately."""

        async def work(actor: Actor) -> Shown:
            engine = engine_of(interaction)
            after = since_of(since, engine.clock())
            wrong = after if isinstance(after, Refused) else _wrong_pattern(grep)
            if wrong is not None:
                return await wrongly_asked(engine, actor, Action.LOGS, service, wrong)
            start = None if isinstance(after, Refused) else after
            found = await engine.logs(actor, service, LogQuery(lines, start, level, grep))
            return refusal(found) if isinstance(found, Refused) else logs(service, found)

        await respond(interaction, Action.LOGS, work, service=service)


def _wrong_pattern(grep: str | None) -> Refused | None:
    try:
        re.compile(grep or "")
    except re.error as error:
        return Refused(Why.BAD_INPUT, f"{(grep or '')[:60]!r} is no regular expression: {error}.")
    return None
