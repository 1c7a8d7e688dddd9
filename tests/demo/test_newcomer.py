"""What a newcomer does on the demo's page: push, break, kill, roll back; the channel tells it all. In this order."""

import re

import pytest
from playwright.async_api import Locator, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="module")


def messages(page: Page, text: str | re.Pattern[str]) -> Locator:
    return page.locator('[data-testid^="message-"]').filter(has_text=text)


async def press(page: Page, button: str) -> None:
    await page.get_by_test_id(f"panel-{button}").click()


async def test_the_first_release_is_deployed_without_an_alert(page: Page) -> None:
    card = messages(page, "hello: deployment 1")
    await expect(card).to_contain_text("all 3 checks passed for 5 s", timeout=30_000)
    await expect(card).to_contain_text("✅ hello runs")
    await expect(messages(page, "is DOWN")).to_have_count(0)


async def test_a_good_commit_is_deployed_and_its_card_fills_in(page: Page) -> None:
    await press(page, "push-good")
    card = messages(page, "hello: deployment 2")
    await expect(card).to_contain_text("🔵 Deploying hello")
    await expect(card).to_contain_text("✅ hello runs", timeout=30_000)
    await expect(card).to_contain_text("build.py")
    await expect(card).to_contain_text("reused vendor")
    await expect(card).not_to_contain_text("/bin/python")


async def test_a_commit_that_dies_at_its_start_is_undone_with_the_reason(page: Page) -> None:
    await press(page, "push-syntax")
    card = messages(page, "hello: deployment 3")
    await expect(card.first).to_contain_text("hello: verification of", timeout=30_000)
    await expect(card.first).to_contain_text("SyntaxError: invalid syntax")
    await expect(card.first).to_contain_text("is blocked since it failed")
    await expect(card.first.get_by_role("button", name="Retry")).to_be_visible()
    outcome = messages(page, re.compile("↩️ hello: verification of .* failed"))
    await expect(outcome.last).to_contain_text("rolled back to")


async def test_a_killed_service_is_back_within_seconds_and_both_are_told(page: Page) -> None:
    await press(page, "kill")
    await expect(messages(page, "process died (killed by SIGKILL)").first).to_be_visible()
    card = messages(page, "hello was down for").first
    await expect(card).to_contain_text("started again", timeout=30_000)
    await card.locator(".thread-chip").click()
    end = messages(page, "hello recovered after").last
    await expect(end).to_contain_text("started again", timeout=30_000)
    await expect(messages(page, "process died (killed by SIGKILL)").first).to_be_visible()
    await page.locator('[data-testid^="channel-"]').filter(has_text="ops").first.click()


async def test_a_release_is_rolled_back_by_a_button_that_asks_once_more(page: Page) -> None:
    card = messages(page, "hello: deployment 2")
    await card.get_by_role("button", name="Roll back").click()
    question = messages(page, re.compile(r"Roll hello back from .* to "))
    await expect(question).to_contain_text("Only you can see this", timeout=15_000)
    await question.get_by_role("button", name="Confirm").click()
    done = messages(page, "hello: rollback 4")
    await expect(done).to_contain_text("hello was rolled back to", timeout=30_000)
    await expect(done).to_contain_text("requested by Aiko")


async def test_a_member_without_a_rank_is_refused_in_private(page: Page) -> None:
    await page.get_by_test_id("member-switcher").click()
    await page.get_by_test_id("act-as-eve").click()
    eve = page.locator('[data-testid^="member-"]').filter(has_text="Eve").last
    await expect(eve).to_contain_text("acting as this member")
    await messages(page, "hello: rollback 4").get_by_role("button", name="Logs").click()
    refusal = messages(page, "✋").last
    await expect(refusal).to_contain_text("Only you can see this", timeout=15_000)
