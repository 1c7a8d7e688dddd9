"""Register the slash commands once per login, with retries."""

import asyncio
import logging
from typing import TYPE_CHECKING

import discord
from discord.app_commands import CommandTree

from opsbot.bot.connection import LOST, ConnectPace
from opsbot.bot.link import Reporter

if TYPE_CHECKING:
    from opsbot.bot.client import OpsBot

log = logging.getLogger(__name__)

SYNC_SECONDS = 60.0
CANNOT_REGISTER = (
    "the slash commands cannot be registered: invite the bot to the configured guild with the scopes bot and "
    "applications.commands"
)


class Registration:
    """Registers one client's commands in the configured guild."""

    def __init__(self, tree: CommandTree["OpsBot"], guild_id: int, reporter: Reporter, pace: ConnectPace) -> None:
        self._tree = tree
        self._guild = discord.Object(guild_id)
        self._reporter = reporter
        self._pace = pace
        self._task: asyncio.Task[None] | None = None
        self._over = False

    def begin(self) -> None:
        """Start registering in the background, unless already started.

        Called after connecting, so that an unavailable Discord does not prevent the bot from starting.
        """
        if self._task is None and not self._over:
            self._task = asyncio.create_task(self._run(), name="register commands")

    def end(self) -> None:
        self._over = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        failures = 0
        while not self._over:
            try:
                async with asyncio.timeout(SYNC_SECONDS):
                    await self._tree.sync(guild=self._guild)
            except (discord.Forbidden, discord.NotFound) as error:
                self._reporter.problem("commands", CANNOT_REGISTER)
                log.warning("%s: %s", CANNOT_REGISTER, error)
                await asyncio.sleep(self._pace.refused)
            except LOST as error:
                failures += 1
                log.warning("registering the slash commands failed, retrying later: %r", error)
                await asyncio.sleep(max(self._pace.wait(failures), 0.1))
            else:
                self._reporter.problem("commands", "")
                log.info("slash commands registered")
                return
