"""A real discord.py client with a few commands, for the tests of the stand-in."""

import asyncio
import re
from collections.abc import Callable

import discord
from discord import app_commands

from opsbot.standin import Standin


class Confirm(discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=r"v1:confirm:(?P<what>\w+)"):
    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(discord.ui.Button(label=f"Confirm {what}", custom_id=f"v1:confirm:{what}"))

    @classmethod
    async def from_custom_id(
        cls, _: discord.Interaction, _item: discord.ui.Item[discord.ui.View], match: re.Match[str]
    ) -> "Confirm":
        return cls(match["what"])

    async def callback(self, interaction: discord.Interaction) -> None:
        await interaction.response.edit_message(content=f"confirmed {self.what}", view=None)


class Menu(discord.ui.Select[discord.ui.View]):
    def __init__(self) -> None:
        options = [discord.SelectOption(label=value.upper(), value=value) for value in "ab"]
        super().__init__(custom_id="menu", options=options)

    async def callback(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content=f"picked {self.values[0]}", view=None)


class Why(discord.ui.Modal, title="Why?"):
    reason: discord.ui.TextInput["Why"] = discord.ui.TextInput(label="Reason", custom_id="reason", min_length=3)

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message(f"because {self.reason.value}", ephemeral=True)


class Bot(discord.Client):
    """A real discord.py client with a few commands."""

    def __init__(self, standin: Standin, intents: discord.Intents) -> None:
        super().__init__(
            intents=intents,
            allowed_mentions=discord.AllowedMentions.none(),
            guild_ready_timeout=0.01,
            max_ratelimit_timeout=30,
        )
        self.standin = standin
        self.tree = app_commands.CommandTree(self)
        self.ran: list[str] = []
        self.resumed = 0
        self.went_wrong: list[discord.HTTPException] = []
        self.wronged = asyncio.Event()
        self.last: discord.Interaction | None = None
        self.complete_when_let = False
        self.ready_once = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        add_commands(self)
        add_wrong_commands(self)

    async def setup_hook(self) -> None:
        self.add_dynamic_items(Confirm)
        await self.tree.sync(guild=discord.Object(self.standin.guild_id))

    async def on_ready(self) -> None:
        self.ready_once.set()

    async def until(self, so: Callable[[], bool], timeout: float = 5) -> None:
        """Wait for something that only discord.py knows."""
        async with asyncio.timeout(timeout):
            while not so():
                await asyncio.sleep(0.01)  # between two looks

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        self.last = interaction

    def note(self, error: discord.HTTPException) -> None:
        self.went_wrong.append(error)
        self.wronged.set()

    async def trouble(self) -> discord.HTTPException:
        """The first refusal a command met."""
        async with asyncio.timeout(5):
            await self.wronged.wait()
        return self.went_wrong[0]

    async def on_resumed(self) -> None:
        self.resumed += 1

    @property
    def ops(self) -> discord.TextChannel:
        channel = self.get_channel(self.standin.ops_channel_id)
        assert isinstance(channel, discord.TextChannel)
        return channel


def add_commands(bot: Bot) -> None:
    guild = discord.Object(bot.standin.guild_id)

    @bot.tree.command(name="status", description="Quick answer", guild=guild)
    async def status(interaction: discord.Interaction) -> None:
        bot.ran.append("status")
        await interaction.response.send_message("all well", ephemeral=True)

    @bot.tree.command(name="deploy", description="Deploys", guild=guild)
    @app_commands.describe(service="which", ref="what")
    async def deploy(interaction: discord.Interaction, service: str, ref: str = "main") -> None:
        await interaction.response.defer()
        bot.ran.append(f"deploy {service} {ref}")
        await bot.gate.wait()
        await interaction.followup.send(f"deployed {service} at {ref}", ephemeral=True)
        await interaction.followup.send("only for you", ephemeral=True)

    @deploy.autocomplete("service")
    async def services(_: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        if bot.complete_when_let:
            await bot.gate.wait()
        return [app_commands.Choice(name=n, value=n) for n in ("api", "worker") if n.startswith(current)]

    @bot.tree.command(name="restart", description="Asks back", guild=guild)
    async def restart(interaction: discord.Interaction, service: str) -> None:
        view = discord.ui.View(timeout=None)
        view.add_item(Confirm(service))
        await interaction.response.send_message(f"Restart {service}?", view=view)

    @bot.tree.command(name="ask", description="Asks back quietly", guild=guild)
    async def ask(interaction: discord.Interaction) -> None:
        view = discord.ui.View(timeout=None)
        view.add_item(Confirm("quietly"))
        await interaction.response.send_message("Sure?", view=view, ephemeral=True)

    @bot.tree.command(name="pick", description="Offers a choice", guild=guild)
    async def pick(interaction: discord.Interaction) -> None:
        view = discord.ui.View()
        view.add_item(Menu())
        await interaction.response.send_message("Which?", view=view)

    @bot.tree.command(name="hold", description="Opens a form", guild=guild)
    async def hold(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Why())


def add_wrong_commands(bot: Bot) -> None:
    guild = discord.Object(bot.standin.guild_id)

    @bot.tree.command(name="slow", description="Answers when let", guild=guild)
    async def slow(interaction: discord.Interaction) -> None:
        bot.ran.append("slow")
        await bot.gate.wait()
        try:
            await interaction.response.send_message("late")
        except discord.HTTPException as error:
            bot.note(error)

    @bot.tree.command(name="twice", description="Answers twice", guild=guild)
    async def twice(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("one")
        adapter = discord.webhook.async_.async_context.get()
        params = discord.webhook.async_.interaction_message_response_params(type=4, content="two")
        try:
            await adapter.create_interaction_response(
                interaction.id, interaction.token, session=interaction._session, params=params
            )
        except discord.HTTPException as error:
            bot.note(error)
