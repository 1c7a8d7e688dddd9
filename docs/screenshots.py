"""Regenerates the pictures of README and docs from the running demo: `make screenshots`. Needs Chromium.

It starts `opsbot demo`, presses its buttons as a newcomer would, and takes docs/demo.png (the whole page) and
docs/deploy-card.png; an incident from alarm to recovery: docs/incident-alarm.png, docs/incident-taken.png
(acknowledged), docs/incident-thread.png (its timeline, the whole page) and docs/incident-over.png; and docs/board.png.
For docs/storm.png fourteen services are needed at once: that one is of the real bot on the stand-in, as in the tests.
"""

import asyncio
import re
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from opsbot.config import Config

HERE = Path(__file__).parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
PATIENCE_MS = 60_000
START_SECONDS = 60
STOP_SECONDS = 15
BOARD_MS = 130_000
"""It is edited once a minute."""
LOOK: dict[str, Any] = {
    "viewport": {"width": 1440, "height": 900},
    "locale": "en-GB",
    "timezone_id": "UTC",
    "color_scheme": "dark",
}
SIZE_MOST = 300 * 1024
PICTURES = (
    "demo.png",
    "deploy-card.png",
    "incident-alarm.png",
    "incident-taken.png",
    "incident-thread.png",
    "incident-over.png",
    "board.png",
    "storm.png",
)
MANY = (
    *("api", "billing", "bot", "cache", "front", "mail", "media"),
    *("payments", "queue", "reports", "search", "sessions", "stats", "webhook"),
)


def messages(page: Page, text: str) -> Locator:
    """The channel's messages with this text."""
    return page.locator('[data-testid^="message-"]').filter(has_text=text)


async def play(page: Page) -> None:
    """A deploy, one that is undone, and a killed service that is back."""
    await expect(messages(page, "hello: deployment 1").first).to_contain_text("✅ hello runs", timeout=PATIENCE_MS)
    await page.get_by_test_id("panel-push-good").click()
    await expect(messages(page, "hello: deployment 2").first).to_contain_text("✅ hello runs", timeout=PATIENCE_MS)
    await page.get_by_test_id("panel-push-dies").click()
    await expect(messages(page, "hello: deployment 3").first).to_contain_text("rolled back to", timeout=PATIENCE_MS)
    await expect(messages(page, "↩️ hello: deployment 3 of").last).to_be_visible()
    await page.get_by_test_id("panel-kill").click()
    await expect(messages(page, "hello was down for").first).to_be_visible(timeout=PATIENCE_MS)


async def take(page: Page) -> None:
    """The pictures: the page at the foot of its channel, and the undone deploy."""
    await page.mouse.move(0, 0)
    await page.wait_for_timeout(500)
    await page.screenshot(path=HERE / "demo.png", animations="disabled")
    await picture(messages(page, "hello: deployment 3").first, "deploy-card.png")


async def incident(page: Page) -> None:
    """An incident from its alarm to its end: the service answers 500, Aiko takes it, opsbot restarts it."""
    await page.get_by_test_id("panel-500").click()
    card = messages(page, "· #i2").first
    await expect(card).to_contain_text("hello is DOWN", timeout=PATIENCE_MS)
    await expect(card.locator(".thread-chip")).to_be_visible(timeout=PATIENCE_MS)
    await picture(card, "incident-alarm.png")
    await card.get_by_role("button", name="Acknowledge").click()
    await page.get_by_test_id("input-reason").fill("I am on it: the database was moved this morning")
    await page.get_by_test_id("modal").get_by_role("button", name="Submit").click()
    await expect(card).to_contain_text("Acknowledged by Aiko", timeout=PATIENCE_MS)
    await picture(card, "incident-taken.png")
    await expect(card).to_contain_text("hello was down for", timeout=PATIENCE_MS)
    await picture(card, "incident-over.png")
    await card.locator(".thread-chip").click()
    await expect(messages(page, "hello recovered after").first).to_be_visible(timeout=PATIENCE_MS)
    await page.wait_for_timeout(500)
    await page.screenshot(path=HERE / "incident-thread.png", animations="disabled")


async def board(page: Page) -> None:
    """The board, pinned, while a deploy waits for the end of a meeting."""
    await page.get_by_test_id("panel-meeting").click()
    await page.get_by_test_id("panel-push-good").click()
    await page.get_by_role("button", name="ops", exact=True).first.click()
    await page.get_by_test_id("composer").wait_for()
    found = messages(page, "· #board").first
    await expect(found).to_contain_text("⏳", timeout=BOARD_MS)
    await expect(found).to_contain_text("% used", timeout=BOARD_MS)
    await picture(found, "board.png")


async def storm(browser: Browser) -> None:
    """Fourteen services that cannot reach their database."""
    sys.path.insert(0, str(HERE.parent))
    from tests.cogs.world import config_for, open_world  # noqa: PLC0415 - found by the line above

    def with_many(config: Config) -> Config:
        return replace(config, services=config_for(config.path.parent, "", MANY).services)

    with tempfile.TemporaryDirectory(prefix="opsbot-storm-") as folder:
        async with open_world(Path(folder), changed=with_many) as world:
            world.standin.faults.away()
            for name in MANY:
                await world.incident(name, "check http: no connection to 10.0.0.7:5432")
            await world.start(wait=False)
            world.standin.faults.back()
            await world.all_told(30)
            page = await browser.new_page(**LOOK)
            await page.goto(world.standin.url)
            await picture(messages(page, "became unwell within a short time").first, "storm.png")


async def picture(message: Locator, name: str) -> None:
    """One message alone."""
    await message.scroll_into_view_if_needed()
    await message.screenshot(path=HERE / name, animations="disabled")


async def address(demo: asyncio.subprocess.Process) -> str:
    """What the demo prints once all is up."""
    seen = b""
    while demo.stdout is not None and (line := await demo.stdout.readline()):
        seen += line
        if found := re.search(rb"http://127\.0\.0\.1:\d+", line):
            return found[0].decode()
    raise SystemExit(f"the demo did not start:\n{seen.decode(errors='replace')}")


async def main() -> int:
    """Take the pictures; 1 where one is too large for a README."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on this machine; on Debian or Ubuntu: apt-get install chromium")
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "opsbot", "demo", "--port", "0", stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            url = await address(demo)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            page = await browser.new_page(**LOOK)
            await page.goto(url)
            await page.get_by_test_id("composer").wait_for()
            await play(page)
            await take(page)
            await incident(page)
            await board(page)
            await storm(browser)
            await browser.close()
    finally:
        demo.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_SECONDS):
            await demo.wait()
    large = 0
    for name in PICTURES:
        size = (HERE / name).stat().st_size
        print(f"docs/{name}: {size // 1024} KiB")
        large += size > SIZE_MOST
    return 1 if large else 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
