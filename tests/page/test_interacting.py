"""What a person does on the page, and what the server hears of it."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.page.sample import ADA, ALICE, BOT, NOEL, OPS, PEOPLE, ROLES
from tests.page.sample_server import SampleServer

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one browser for all of them


def bodies(server: SampleServer, kind: int) -> list[dict[str, Any]]:
    return [body for path, body in server.sent if path == "interactions" and body["type"] == kind]


def alert(server: SampleServer) -> str:
    return f"message-{next(m['id'] for m in server.sample.messages[OPS] if 'is down' in m['content'])}"


async def test_a_command_is_found_completed_and_run_by_keyboard_alone(page: Page, server: SampleServer) -> None:
    await page.keyboard.type("/dep")  # with nothing focused, typing goes to the composer
    picker = page.get_by_test_id("picker").locator("visible=true")
    await expect(picker.get_by_role("option")).to_have_count(1)
    await expect(picker.get_by_role("option").first).to_contain_text("/deploy")
    await page.keyboard.press("Tab")
    service = page.get_by_test_id("option-service")
    await expect(service).to_be_focused()
    await expect(picker.get_by_role("option")).to_have_text(["api", "voice-meeting-bot", "worker"])
    async with page.expect_request(lambda request: '"value":"o","focused":true' in (request.post_data or "")):
        await page.keyboard.type("o")
    await expect(picker.get_by_role("option")).to_have_text(["voice-meeting-bot", "worker"])
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(service).to_have_value("worker")
    await page.keyboard.press("Enter")
    await expect(page.locator(".thinking")).to_contain_text("opsbot is thinking…")
    await expect(page.locator(".message").last).to_contain_text("Deploying worker")
    await expect(page.locator(".thinking")).to_have_count(0)
    await expect(page.get_by_test_id("composer")).to_be_focused()
    (ran,) = bodies(server, 2)
    assert (ran["member_id"], ran["channel_id"]) == (ADA, OPS)
    assert ran["data"]["name"] == "deploy"
    assert ran["data"]["options"] == [{"name": "service", "type": 3, "value": "worker"}]
    asked = bodies(server, 4)[-1]
    assert asked["data"]["options"] == [{"name": "service", "type": 3, "value": "o", "focused": True}]


async def test_what_was_chosen_before_the_completion_came_stays_chosen(page: Page, server: SampleServer) -> None:
    server.delays["o"] = 0.6
    await page.get_by_test_id("composer").fill("/restart ")
    service = page.get_by_test_id("option-service")
    options = page.get_by_test_id("picker").locator("visible=true").get_by_role("option")
    await expect(options).to_have_text(["api", "voice-meeting-bot", "worker"])
    async with page.expect_response(
        lambda response: '"value":"o","focused":true' in (response.request.post_data or "")
    ):
        await service.press("o")
        await expect(options).to_have_text(["voice-meeting-bot", "worker"])
        await service.press("ArrowDown")
    await page.wait_for_timeout(800)
    await service.press("Enter")
    await expect(service).to_have_value("worker")


async def test_a_stale_completion_is_dropped(page: Page, server: SampleServer) -> None:
    server.delays[""] = 0.6
    await page.get_by_test_id("composer").fill("/restart ")
    await page.wait_for_timeout(50)
    await page.get_by_test_id("option-service").fill("work")
    options = page.get_by_test_id("picker").locator("visible=true").get_by_role("option")
    await expect(options).to_have_text(["worker"])
    await page.wait_for_timeout(700)
    await expect(options).to_have_text(["worker"])


async def test_optional_options_are_offered_and_checked_before_they_are_sent(page: Page, server: SampleServer) -> None:
    await page.get_by_test_id("composer").fill("/logs")
    await page.keyboard.press("Enter")
    await page.get_by_test_id("option-service").fill("api")
    await page.get_by_role("button", name="3 more options").click()
    await page.get_by_role("option", name="lines How many").click()
    lines = page.get_by_test_id("option-lines")
    await lines.fill("5000")
    await page.keyboard.press("Enter")
    error = page.locator(".picker-error")
    await expect(error).to_have_text("Enter a number between 1 and 1000")
    await lines.fill("many")
    await page.keyboard.press("Enter")
    await expect(error).to_have_text("Enter a whole number")
    assert bodies(server, 2) == []
    await lines.fill("50")
    await page.get_by_role("button", name="2 more options").click()
    await page.get_by_role("option", name="level Least level").click()
    await page.get_by_role("option", name="error", exact=True).click()
    await page.keyboard.press("Enter")
    await expect(page.locator(".private").last).to_contain_text("Private answer to logs")
    (ran,) = bodies(server, 2)
    assert ran["data"]["options"] == [
        {"name": "service", "type": 3, "value": "api"},
        {"name": "lines", "type": 4, "value": 50},
        {"name": "level", "type": 3, "value": "error"},
    ]


async def test_a_missing_required_option_is_named(page: Page, server: SampleServer) -> None:
    server.delays[""] = 5
    await page.get_by_test_id("composer").fill("/deploy ")
    await expect(page.get_by_test_id("option-service")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".picker-error")).to_have_text("This option is required. Specify a value")
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("composer")).to_have_value("")
    assert bodies(server, 2) == []


async def test_members_roles_channels_and_booleans_are_picked_from_lists(page: Page, server: SampleServer) -> None:
    await page.get_by_test_id("composer").fill("/audit ")
    for option, typed, shown in (
        ("member", "ali", "@Alice"),
        ("all", "tr", "True"),
        ("role", "oper", "@operator"),
        ("channel", "ops", "#ops"),
    ):
        if await page.locator(".more-options").evaluate("(b) => b !== document.activeElement"):
            await page.locator(".more-options").click()
        await page.get_by_role("option", name=option).first.click()
        await page.get_by_test_id(f"option-{option}").type(typed)
        await page.keyboard.press("Tab")
        await expect(page.get_by_test_id(f"option-{option}")).to_have_value(shown)
    await page.keyboard.press("Enter")
    await expect(page.locator(".private").last).to_contain_text("Private answer to audit")
    assert bodies(server, 2)[0]["data"]["options"] == [
        {"name": "member", "type": 6, "value": ALICE},
        {"name": "all", "type": 5, "value": True},
        {"name": "role", "type": 8, "value": ROLES["operator"]},
        {"name": "channel", "type": 7, "value": OPS},
    ]


async def test_a_subcommand_is_sent_inside_its_command(page: Page, server: SampleServer) -> None:
    await page.get_by_test_id("composer").fill("/release pin ")
    await page.get_by_test_id("option-id").fill("r1")
    await page.keyboard.press("Enter")
    await expect(page.locator(".private")).to_have_count(1)
    data = bodies(server, 2)[0]["data"]
    assert data["options"] == [{"name": "pin", "type": 1, "options": [{"name": "id", "type": 3, "value": "r1"}]}]


async def test_a_command_nobody_answers_says_so_to_its_sender_alone(page: Page, server: SampleServer) -> None:
    server.may_answer.clear()
    await page.get_by_test_id("composer").fill("/slow")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("echo-sending")).to_contain_text("Sending command…")
    server.may_answer.set()
    failed = page.get_by_test_id("echo-failed")
    await expect(failed).to_contain_text("The application did not respond")
    await expect(failed).to_contain_text("Only you can see this")
    await failed.get_by_role("button", name="Dismiss message").click()
    await expect(failed).to_have_count(0)


async def test_a_button_shows_it_is_waiting_and_then_the_changed_message(page: Page, server: SampleServer) -> None:
    server.may_answer.clear()
    shown = alert(server)
    message = page.get_by_test_id(shown)
    await message.get_by_role("button", name="Restart").click()
    await expect(message.get_by_role("button", name="Restart").locator(".dots")).to_be_visible()
    await expect(message.get_by_role("button", name="Silence")).to_be_disabled()
    server.may_answer.set()
    await expect(message).to_contain_text("Ada did it (once).")
    await expect(message.locator(".dots")).to_have_count(0)
    await expect(message.get_by_role("button", name="Silence")).to_be_enabled()
    (clicked,) = bodies(server, 3)
    assert clicked["data"] == {"custom_id": "ok", "component_type": 2}
    assert f"message-{clicked['message_id']}" == shown


async def test_a_click_that_fails_says_so_under_the_buttons(page: Page, server: SampleServer) -> None:
    message = page.get_by_test_id(alert(server))
    await message.get_by_role("button", name="Roll back").click()
    await expect(message.get_by_role("alert")).to_have_text("This interaction failed")
    await expect(message.get_by_role("button", name="Gone")).to_be_disabled()
    await expect(message.get_by_role("button", name="Runbook")).to_have_attribute("href", "https://example.com/runbook")


async def test_a_menu_is_chosen_by_keyboard(page: Page, server: SampleServer) -> None:
    message = page.get_by_test_id(alert(server))
    await message.get_by_role("combobox").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(message).to_contain_text("Ada did it (bot).")
    assert bodies(server, 3)[0]["data"] == {"custom_id": "pick", "component_type": 3, "values": ["bot"]}


async def test_a_modal_is_checked_submitted_and_answered(page: Page, server: SampleServer) -> None:
    await page.get_by_test_id(alert(server)).get_by_role("button", name="Silence").click()
    modal = page.get_by_test_id("modal")
    await expect(modal.get_by_role("heading", name="Silence api")).to_be_visible()
    await modal.get_by_role("button", name="Submit").click()
    await expect(modal.get_by_role("alert")).to_have_text("This field is required")
    await modal.get_by_test_id("input-for").fill("30m")
    await modal.get_by_label("Why").fill("lunch")
    await modal.get_by_role("combobox").click()
    await modal.get_by_role("option", name="Deploy news").click()
    await modal.get_by_label("Why").click()
    await modal.get_by_role("button", name="Submit").click()
    await expect(modal).to_have_count(0)
    await expect(page.locator(".private")).to_contain_text("Silenced for 30m.")
    (submitted,) = bodies(server, 5)
    assert submitted["data"] == {
        "custom_id": "silence:api",
        "components": [
            {"type": 1, "components": [{"type": 4, "custom_id": "for", "value": "30m"}]},
            {"type": 18, "component": {"type": 4, "custom_id": "reason", "value": "lunch"}},
            {"type": 18, "component": {"type": 3, "custom_id": "what", "values": ["alerts", "deploys"]}},
        ],
    }


async def test_escape_closes_a_modal_and_sends_nothing(page: Page, server: SampleServer) -> None:
    await page.get_by_test_id("composer").fill("/silence")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("modal")).to_be_visible()
    await expect(page.get_by_test_id("input-for")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("modal")).to_have_count(0)
    assert bodies(server, 5) == []


async def test_a_private_answer_is_edited_in_place_and_stays_dismissed(page: Page, server: SampleServer) -> None:
    private = server.sample.message(BOT, "Only for Ada", flags=64)
    await server.emit("EPHEMERAL", private, only=ADA)
    shown = page.get_by_test_id(f"message-{private['id']}")
    await expect(shown).to_contain_text("Only you can see this")
    await server.emit("EPHEMERAL_UPDATE", {**private, "content": "Changed"}, only=ADA)
    await expect(shown).to_contain_text("Changed")
    await shown.get_by_role("button", name="Dismiss message").click()
    await server.emit("EPHEMERAL_UPDATE", {**private, "content": "Again"}, only=ADA)
    await expect(shown).to_have_count(0)


async def test_another_member_is_acted_as_and_sees_no_private_answer(page: Page, server: SampleServer) -> None:
    await server.emit("EPHEMERAL", server.sample.message(BOT, "Only for Ada", flags=64), only=ADA)
    await expect(page.locator(".private")).to_have_count(1)
    switcher = page.get_by_test_id("member-switcher")
    await expect(switcher).to_contain_text("admin")
    await switcher.click()
    await page.get_by_test_id("act-as-noel").click()
    await expect(switcher).to_contain_text("Noel")
    await expect(switcher).to_contain_text("no role")
    await expect(page.locator(".private")).to_have_count(0)
    await page.reload()
    await expect(switcher).to_contain_text("no role")
    await page.get_by_test_id("composer").fill("hello")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message").last).to_contain_text("hello")
    assert server.sent[-1] == ("messages", {"member_id": NOEL, "channel_id": OPS, "content": "hello"})


async def test_roles_are_given_from_the_menu(page: Page, server: SampleServer) -> None:
    await page.get_by_test_id("member-switcher").click()
    await page.get_by_test_id("act-as-noel").click()
    await expect(page.get_by_test_id("member-switcher")).to_contain_text("Noel")
    await page.get_by_test_id("member-switcher").click()
    await page.get_by_test_id("role-deployer").click()
    await expect(page.get_by_test_id("role-deployer")).to_have_attribute("aria-checked", "true")
    assert server.sent[-1] == (f"members/{NOEL}/roles", {"roles": [ROLES["deployer"]]})
    await expect(page.get_by_test_id("member-switcher")).to_contain_text("deployer")


async def test_the_panel_is_busy_until_it_was_done_and_says_so_once(page: Page, server: SampleServer) -> None:
    server.may_answer.clear()
    button = page.get_by_test_id("panel-kill")
    await button.click()
    await expect(button).to_have_attribute("aria-busy", "true")
    server.may_answer.set()
    await expect(button).not_to_have_attribute("aria-busy", "true")
    await expect(page.get_by_test_id("panel-log").get_by_role("listitem")).to_have_count(1)
    await expect(page.get_by_test_id("panel-log")).to_contain_text("Did kill")
    assert server.sent == [("panel/kill", {})]


async def test_a_bot_that_is_gone_and_discord_away_are_announced(page: Page, server: SampleServer) -> None:
    banner = page.get_by_test_id("banner")
    await expect(banner).to_be_hidden()
    await server.emit("CONNECTION", {"connected": False, "away": False})
    await expect(banner).to_contain_text("opsbot is not connected")
    await server.emit("CONNECTION", {"connected": False, "away": True})
    await expect(banner).to_contain_text("Discord is away")
    await server.emit("CONNECTION", {"connected": True, "away": False})
    await expect(banner).to_be_hidden()


async def test_a_lost_socket_comes_back_with_what_was_missed(page: Page, server: SampleServer) -> None:
    await page.locator(".scroller").evaluate("(s) => s.scrollTop = 300")
    await expect(page.locator(".md-h1", has_text="Deploy notes")).to_be_in_viewport()
    server.accepting = False
    await server.drop()
    await expect(page.get_by_test_id("banner")).to_contain_text("Connection to the stand-in lost")
    missed = server.sample.post(PEOPLE[ALICE], "said while you were away")
    server.accepting = True
    await expect(page.get_by_test_id(f"message-{missed['id']}")).to_have_count(1)
    await expect(page.get_by_test_id("banner")).to_be_hidden()
    # whoever was reading further up is still there
    await expect(page.locator(".md-h1", has_text="Deploy notes")).to_be_in_viewport()


async def test_on_a_phone_channels_and_panel_are_drawers(page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    await expect(page.locator(".panel")).not_to_be_in_viewport()
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    await page.get_by_role("button", name="Make things happen").click()
    await expect(page.get_by_test_id("panel-kill")).to_be_in_viewport()
    await page.get_by_role("button", name="Close the panel").click()
    await expect(page.locator(".panel")).not_to_be_in_viewport()
    await page.get_by_role("button", name="Channels").click()
    await page.locator(".channel", has_text="general").click()
    await expect(page.locator(".left")).not_to_be_in_viewport()
    await expect(page.locator(".header h2")).to_have_text("general")
