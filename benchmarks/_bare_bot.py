"""The least that discord.py can do: one command that defers, one autocompletion that offers nothing. A baseline.

`python -m benchmarks._bare_bot API_URL GATEWAY_URL GUILD`, the token in BARE_BOT_TOKEN.
"""

import os
import sys

import discord
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route


class Bare(discord.Client):
    """Registers the command of the guild."""

    def __init__(self, guild: int) -> None:
        super().__init__(intents=discord.Intents(guilds=True))
        self.tree = app_commands.CommandTree(self)
        self._guild = discord.Object(guild)

    async def setup_hook(self) -> None:
        self.tree.add_command(empty, guild=self._guild)
        await self.tree.sync(guild=self._guild)


async def nothing(_: discord.Interaction, __: str) -> list[app_commands.Choice[str]]:
    """No choices."""
    return []


@app_commands.command(description="Defers")
@app_commands.autocomplete(word=nothing)
async def empty(interaction: discord.Interaction, word: str | None = None) -> None:
    """Only say that an answer follows."""
    del word
    await interaction.response.defer(ephemeral=True, thinking=True)


if __name__ == "__main__":
    Route.BASE = sys.argv[1]
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(sys.argv[2])
    Bare(int(sys.argv[3])).run(os.environ["BARE_BOT_TOKEN"], log_handler=None)
