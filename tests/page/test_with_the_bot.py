"""The page, the real stand-in and the unmodified discord.py together."""

import asyncio
import contextlib
import io
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import discord
import pytest
import pytest_asyncio
import yarl
from discord import app_commands
from playwright.async_api import Browser, Page, expect

from opsbot.standin import Standin
from opsbot.standin.panel import PanelButton
from tests.page.sample import png

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Reason(discord.ui.Modal, title="Hold api"):
    reason: discord.ui.TextInput["Reason"] = discord.ui.TextInput(label="Reason", custom_id="reason", min_length=3)

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message(f"Held: {self.reason.value}", ephemeral=True)


class Buttons(discord.ui.View):
    @discord.ui.button(label="Roll back", style=discord.ButtonStyle.danger, custom_id="back")
    async def back(self, interaction: discord.Interaction, _: discord.ui.Button["Buttons"]) -> None:
        await interaction.response.edit_message(content="Rolled back", view=None)

    @discord.ui.button(label="Hold", custom_id="hold")
    async def hold(self, interaction: discord.Interaction, _: discord.ui.Button["Buttons"]) -> None:
        await interaction.response.send_modal(Reason())


class Bot(discord.Client):
    """Three commands of the kinds opsbot has."""

    def __init__(self, standin: Standin) -> None:
        super().__init__(intents=discord.Intents(guilds=True), guild_ready_timeout=0.01)
        self.guild_id = standin.guild_id
        self.tree = app_commands.CommandTree(self)
        guild = discord.Object(standin.guild_id)
        self.finish = asyncio.Event()

        @self.tree.command(name="deploy", description="Deploy a service", guild=guild)
        async def deploy(
            interaction: discord.Interaction, service: str, lines: app_commands.Range[int, 1, 10] = 5
        ) -> None:
            await interaction.response.defer()
            await self.finish.wait()
            embed = discord.Embed(title="Deploy 1", description=f"{service}, {lines} lines", colour=0x57F287)
            embed.set_image(url="attachment://cpu.png")
            picture = discord.File(io.BytesIO(png(60, 20)), "cpu.png")
            await interaction.followup.send("Live", embed=embed, file=picture, view=Buttons(timeout=None))

        @deploy.autocomplete("service")
        async def services(_: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
            return [app_commands.Choice(name=n, value=n) for n in ("api", "worker") if current in n]

        @self.tree.command(name="logs", description="The log", guild=guild)
        async def logs(interaction: discord.Interaction) -> None:
            file = discord.File(io.BytesIO(b"first line\nERROR <b>bold</b>\n"), "api.log")
            await interaction.response.send_message("The log", file=file, ephemeral=True)

        @self.tree.command(name="mute", description="Never answers", guild=guild)
        async def mute(_: discord.Interaction) -> None:
            return

    async def setup_hook(self) -> None:
        await self.tree.sync(guild=discord.Object(self.guild_id))


@dataclass
class Stage:
    standin: Standin
    bot: Bot
    page: Page


@pytest_asyncio.fixture(loop_scope="module")
async def stage(browser: Browser) -> AsyncIterator[Stage]:
    logging.getLogger("discord").setLevel(logging.CRITICAL)
    async with Standin(interaction_deadline=1.0) as standin:
        standin.add_member("alice", [standin.roles["admin"]])
        standin.add_member("noel")
        before = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
        discord.http.Route.BASE = standin.api_url
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(standin.gateway_url)
        bot = Bot(standin)
        running = asyncio.create_task(bot.start(standin.token))
        page = await browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-US")
        page.set_default_timeout(5000)
        try:
            await standin.wait_connected()
            await page.goto(standin.url)
            await page.wait_for_selector("body.ready")
            yield Stage(standin, bot, page)
        finally:
            await page.close()
            await bot.close()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = before
        assert standin.unknown_routes == []


async def test_a_real_bot_is_commanded_clicked_and_filled_in_from_the_page(stage: Stage) -> None:
    page = stage.page
    await expect(page.get_by_test_id("member-switcher")).to_contain_text("alice")
    await page.get_by_test_id("composer").fill("/deploy ")
    picker = page.get_by_test_id("picker").locator("visible=true")
    await expect(picker.get_by_role("option")).to_have_text(["api", "worker"])
    await page.keyboard.type("work")
    await expect(picker.get_by_role("option")).to_have_text(["worker"])
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await expect(page.locator(".thinking")).to_have_text("opsbot is thinking…")
    stage.bot.finish.set()
    message = page.locator(".message").last
    await expect(message).to_contain_text("worker, 5 lines")
    assert await message.locator(".embed-image img").evaluate("(i) => i.decode().then(() => i.naturalWidth)") == 60
    await expect(message.locator(".message-context")).to_contain_text("alice used deploy")
    await expect(page.locator(".thinking")).to_have_count(0)

    await message.get_by_role("button", name="Hold").click()
    modal = page.get_by_test_id("modal")
    await modal.get_by_label("Reason").fill("lunch")
    await modal.get_by_role("button", name="Submit").click()
    await expect(page.locator(".private")).to_contain_text("Held: lunch")

    done = page.locator(".message", has_text="worker, 5 lines")
    await done.get_by_role("button", name="Roll back").click()
    await expect(done).to_contain_text("Rolled back")
    await expect(done.get_by_role("button", name="Roll back")).to_have_count(0)


async def test_a_private_file_of_a_real_bot_is_shown_as_text_to_one_member_only(stage: Stage) -> None:
    page = stage.page
    await page.get_by_test_id("composer").fill("/logs")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await expect(page.locator(".private .text-preview")).to_have_text("first line\nERROR <b>bold</b>")
    await page.get_by_test_id("member-switcher").click()
    await page.get_by_test_id("act-as-noel").click()
    await expect(page.get_by_test_id("member-switcher")).to_contain_text("no role")
    await expect(page.locator(".private")).to_have_count(0)


async def test_a_command_the_bot_leaves_unanswered_fails_after_the_deadline(stage: Stage) -> None:
    await stage.page.get_by_test_id("composer").fill("/mute")
    await stage.page.keyboard.press("Enter")
    await stage.page.keyboard.press("Enter")
    await expect(stage.page.get_by_test_id("echo-failed")).to_contain_text("The application did not respond")


async def test_a_panel_button_runs_its_action_once_and_its_failure_is_told(stage: Stage) -> None:
    async def kill() -> str:
        await asyncio.sleep(0.3)  # the page shows that it waits
        return "Killed pid 42"

    async def fail() -> str:
        raise RuntimeError("no service runs")

    stage.standin.panel = [
        PanelButton("kill", "Break", "Kill the process", "SIGKILL", danger=True, action=kill),
        PanelButton("fail", "Break", "Fail", "", danger=True, action=fail),
    ]
    log = stage.page.get_by_test_id("panel-log").get_by_role("listitem")
    await stage.page.get_by_test_id("panel-kill").click()
    await expect(stage.page.get_by_test_id("panel-kill")).to_be_disabled()
    await expect(log).to_have_count(1)
    await expect(log).to_contain_text("Killed pid 42")
    await expect(stage.page.get_by_test_id("panel-kill")).to_be_enabled()
    await stage.page.get_by_test_id("panel-fail").click()
    await expect(log).to_have_count(2)
    await expect(log.first).to_contain_text("no service runs")


async def test_a_bot_that_leaves_is_announced(stage: Stage) -> None:
    await expect(stage.page.get_by_test_id("banner")).to_be_hidden()
    await stage.bot.close()
    await expect(stage.page.get_by_test_id("banner")).to_contain_text("opsbot is not connected")
