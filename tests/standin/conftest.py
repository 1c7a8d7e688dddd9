import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import discord
import pytest
import yarl
from discord import app_commands

from opsbot.standin import Standin


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as running:
        yield running


class Confirm(discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=r"v1:confirm:(?P<what>\w+)"):
    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(discord.ui.Button(label=f"Confirm {what}", custom_id=f"v1:confirm:{what}"))

    @classmethod
    async def from_custom_id(cls, _i: object, _item: object, match: object) -> "Confirm":
        return cls(match["what"])  # type: ignore[index]

    async def callback(self, interaction: discord.Interaction) -> None:
        await interaction.response.edit_message(content=f"confirmed {self.what}", view=None)


class Why(discord.ui.Modal, title="Why?"):
    reason: discord.ui.TextInput["Why"] = discord.ui.TextInput(label="Reason", custom_id="reason", min_length=3)

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message(f"because {self.reason.value}", ephemeral=True)


class Bot(discord.Client):
    """A real discord.py client with a few commands."""

    def __init__(self, standin: Standin, intents: discord.Intents) -> None:
        super().__init__(
            intents=intents, allowed_mentions=discord.AllowedMentions.none(), guild_ready_timeout=0.01,
            max_ratelimit_timeout=30,
        )
        self.standin = standin
        self.tree = app_commands.CommandTree(self)
        self.ran: list[str] = []
        self.resumed = 0
        self.went_wrong: list[BaseException] = []
        self.gate = asyncio.Event()
        self.gate.set()
        add_commands(self)

    async def setup_hook(self) -> None:
        self.add_dynamic_items(Confirm)
        await self.tree.sync(guild=discord.Object(self.standin.guild_id))

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
        return [app_commands.Choice(name=n, value=n) for n in ("api", "worker") if n.startswith(current)]

    @bot.tree.command(name="restart", description="Asks back", guild=guild)
    async def restart(interaction: discord.Interaction, service: str) -> None:
        view = discord.ui.View(timeout=None)
        view.add_item(Confirm(service))
        await interaction.response.send_message(f"Restart {service}?", view=view)

    @bot.tree.command(name="hold", description="Opens a form", guild=guild)
    async def hold(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Why())

    @bot.tree.command(name="slow", description="Answers when let", guild=guild)
    async def slow(interaction: discord.Interaction) -> None:
        bot.ran.append("slow")
        await bot.gate.wait()
        try:
            await interaction.response.send_message("late")
        except discord.HTTPException as error:
            bot.went_wrong.append(error)

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
            bot.went_wrong.append(error)


@contextlib.contextmanager
def pointed_at(standin: Standin) -> Iterator[None]:
    before = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    discord.http.Route.BASE = standin.api_url
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(standin.gateway_url)
    try:
        yield
    finally:
        discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = before


@pytest.fixture
async def start_bot(standin: Standin) -> AsyncIterator[Callable[..., Awaitable[Bot]]]:
    logging.getLogger("discord").setLevel(logging.CRITICAL)
    started: list[tuple[Bot, asyncio.Task[None]]] = []

    async def start(intents: discord.Intents | None = None) -> Bot:
        bot = Bot(standin, intents or discord.Intents(guilds=True))
        task = asyncio.create_task(bot.start(standin.token))
        started.append((bot, task))
        await asyncio.wait(
            [task, waiting := asyncio.create_task(_ready(bot))], return_when=asyncio.FIRST_COMPLETED, timeout=10
        )
        if task.done():
            waiting.cancel()
            task.result()
        return bot

    with pointed_at(standin):
        yield start
        for bot, task in started:
            await bot.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _ready(bot: Bot) -> None:
    while bot._ready is discord.utils.MISSING:
        await asyncio.sleep(0.005)
    await bot.wait_until_ready()


@pytest.fixture
async def bot(start_bot: Callable[..., Awaitable[Bot]]) -> Bot:
    return await start_bot()
