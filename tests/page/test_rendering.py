"""What the page makes of messages."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.page.sample import ADA, ALICE, BOT, DEPLOYS, GENERAL, HOSTILE, NOEL, OLLI, OPS, PEOPLE, ROLES, button
from tests.page.sample_server import SampleServer

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one browser for all of them


def sent(server: SampleServer, text: str) -> dict[str, object]:
    return next(m for m in server.sample.messages[OPS] if text in m["content"])


async def test_hostile_text_runs_nothing_and_makes_no_element(page: Page, server: SampleServer) -> None:
    evil = '"><img src=x onerror="window.hacked=6">'
    await server.say(
        BOT,
        evil,
        embeds=[
            {
                "title": evil,
                "description": HOSTILE,
                "url": "javascript:window.hacked=7",
                "author": {"name": evil, "url": "javascript:window.hacked=8"},
                "fields": [{"name": evil, "value": HOSTILE}],
                "footer": {"text": evil},
                "image": {"url": "javascript:window.hacked=9"},
            }
        ],
        components=[
            {
                "type": 1,
                "components": [
                    button(evil, evil),
                    {"type": 2, "style": 5, "label": evil, "url": "javascript:window.hacked=10"},
                ],
            }
        ],
    )
    await server.emit("PANEL_NOTE", {"text": evil, "level": "error", "at": datetime.now(UTC).isoformat()})
    server.sample.channels[DEPLOYS]["topic"] = evil
    await server.emit("CHANNEL_UPDATE", {**server.sample.channels[DEPLOYS], "name": evil})
    await expect(page.get_by_test_id("panel-log")).to_contain_text(evil)
    found = await page.evaluate("""() => ({
        hacked: window.hacked,
        made: document.querySelectorAll('.message script, .message iframe, [onerror], [onload]').length,
        links: [...document.querySelectorAll('a[href]')].map((a) => a.href).filter((url) => !/^https?:/.test(url)),
    })""")
    assert found == {"hacked": None, "made": 0, "links": []}
    hostile = page.get_by_test_id(f"message-{sent(server, 'onerror')['id']}")
    await expect(hostile).to_contain_text('<img src=x onerror="window.hacked=1"><script>window.hacked=2</script>')
    await expect(hostile).to_contain_text("[https://bank.example](https://evil.example)")
    await expect(hostile).to_contain_text("<@999>")


async def test_a_reply_shows_what_it_answers_as_it_stands_now(page: Page, server: SampleServer) -> None:
    asked = sent(server, "Is the api slow")
    answer = page.get_by_test_id(f"message-{sent(server, 'Looks fine here')['id']}")
    await expect(answer.locator(".reply-text")).to_contain_text("Is the api slow")
    await server.edit(asked, content="Is the web slow for anyone else?")
    await expect(answer.locator(".reply-text")).to_contain_text("Is the web slow")


async def test_no_part_of_the_page_hands_text_to_an_html_or_script_parser() -> None:
    page = Path(__file__).parents[2] / "opsbot" / "standin" / "page"
    parsers = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc"
    )
    modules = [*page.glob("*.js"), page / "index.html"]
    assert len(modules) > 20
    assert [path.name for path in modules if parsers.search(path.read_text())] == []


async def test_every_address_the_page_loads_is_on_its_own_server(page: Page, server: SampleServer) -> None:
    loaded = await page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
    assert len(loaded) > 20
    assert [url for url in loaded if not url.startswith(server.url)] == []


async def test_markdown_looks_as_discord_shows_it(page: Page, server: SampleServer) -> None:
    text = page.get_by_test_id(f"message-{sent(server, '# Deploy notes')['id']}").locator(".content")
    await expect(text.locator(".md-h1")).to_have_text("Deploy notes")
    await expect(text.locator("strong").first).to_have_text("bold")
    await expect(text.locator("em").first).to_have_text("italic")
    await expect(text.locator("u")).to_have_text("underline")
    await expect(text.locator("s")).to_have_text("gone")
    await expect(text.locator("em strong, strong em")).to_have_text("both")
    await expect(text.locator("blockquote .mention")).to_have_text(["@Olli", "@operator", "#general"])
    await expect(text.locator("ul ul li")).to_have_text("nested")
    await expect(text.locator("ol li")).to_have_text(["one", "two"])
    await expect(text.get_by_role("link", name="masked")).to_have_attribute("href", "https://example.com/a")
    await expect(text.get_by_role("link", name="https://example.com/b?x=(1)", exact=True)).to_be_visible()
    await expect(text).to_contain_text("unknown <@123>.")
    await expect(text.locator(".hl-add")).to_have_text("+ new line")
    await expect(text.locator(".subtext")).to_have_text("small print")


async def test_escapes_and_words_with_underscores_stay_as_written(page: Page, server: SampleServer) -> None:
    text = page.get_by_test_id(f"message-{sent(server, 'a second line')['id']}")
    await expect(text).to_contain_text("*not bold* snake_case_name")
    await expect(text.locator(".edited")).to_have_text("(edited)")


async def test_a_spoiler_opens_on_a_click_and_stays_open_through_an_edit(page: Page, server: SampleServer) -> None:
    made = await server.say(PEOPLE[OLLI], "||secret|| one")
    spoiler = page.get_by_test_id(f"message-{made['id']}").locator(".spoiler")
    await expect(spoiler.locator(".spoiler-text")).to_be_hidden()
    await spoiler.click()
    await server.edit(made, content="||secret|| two")
    await expect(page.get_by_test_id(f"message-{made['id']}")).to_contain_text("two")
    await expect(spoiler.locator(".spoiler-text")).to_be_visible()


async def test_ansi_colours_reach_the_code_block(page: Page, server: SampleServer) -> None:
    block = page.get_by_test_id(f"message-{sent(server, 'Checks of')['id']}").locator("pre")
    await expect(block.locator(".ansi-31")).to_have_text("FAIL")
    await expect(block.locator(".ansi-37.ansi-41")).to_have_text(" hung ")
    await expect(block.locator(".ansi-1.ansi-32")).to_have_text("OK  ")
    await expect(block).not_to_contain_text("\x1b")


async def test_messages_group_by_author_and_time(page: Page, server: SampleServer) -> None:
    first = await server.say(PEOPLE[OLLI], "one")
    second = await server.say(PEOPLE[OLLI], "two")
    third = await server.say(PEOPLE[ALICE], "three")
    await expect(page.get_by_test_id(f"message-{first['id']}").locator(".message-head")).to_contain_text("Olli")
    await expect(page.get_by_test_id(f"message-{second['id']}").locator(".message-head")).to_have_count(0)
    await expect(page.get_by_test_id(f"message-{third['id']}").locator(".message-head")).to_contain_text("Alice")
    await server.emit("MESSAGE_DELETE", {"id": first["id"], "channel_id": OPS})
    await expect(page.get_by_test_id(f"message-{first['id']}")).to_have_count(0)
    await expect(page.get_by_test_id(f"message-{second['id']}").locator(".message-head")).to_contain_text("Olli")


async def test_an_app_message_carries_its_badge_its_command_and_its_bell(page: Page, server: SampleServer) -> None:
    live = page.get_by_test_id(f"message-{sent(server, 'is live')['id']}")
    await expect(live.locator(".message-head .app-tag")).to_have_text("APP")
    await expect(live.locator(".message-context")).to_contain_text("Alice")
    await expect(live.locator(".command-name")).to_have_text("deploy")
    silent = page.get_by_test_id(f"message-{sent(server, 'Checks of')['id']}")
    await expect(silent.get_by_role("img", name="silent")).to_be_visible()
    await expect(silent.get_by_role("img", name="Pinned")).to_have_count(0)
    await server.edit(sent(server, "Checks of"), pinned=True)
    await expect(silent.get_by_role("img", name="Pinned")).to_be_visible()


async def test_an_embed_shows_all_its_parts(page: Page, server: SampleServer) -> None:
    embed = page.get_by_test_id(f"message-{sent(server, 'is down')['id']}").locator(".embed")
    await expect(embed.locator(".embed-title a")).to_have_attribute("href", "http://example.com/incidents/7")
    await expect(embed.locator(".embed-field")).to_have_count(4)
    columns = await embed.locator(".embed-field").evaluate_all("(all) => all.map((f) => f.style.gridColumn)")
    assert columns == ["1 / 5", "5 / 9", "9 / 13", "1 / 13"]
    assert await embed.locator(".embed-image img").evaluate("(i) => i.decode().then(() => i.naturalWidth)") == 400
    assert await embed.evaluate("(e) => getComputedStyle(e).borderLeftColor") == "rgb(237, 66, 69)"
    await expect(embed.locator(".embed-footer")).to_contain_text("host ops-1")
    # the picture of the embed is not shown a second time below it
    await expect(page.get_by_test_id(f"message-{sent(server, 'is down')['id']}").locator(".attachments")).to_have_count(
        0
    )


async def test_a_text_file_is_previewed_unfolded_and_downloaded(page: Page, server: SampleServer) -> None:
    file = page.get_by_test_id(f"message-{sent(server, 'Everything of')['id']}").locator(".text-file")
    await expect(file.locator(".text-preview")).to_contain_text("request 5 ")
    await expect(file.locator(".text-preview")).not_to_contain_text("request 30 ")
    await file.get_by_role("button", name="Expand").click()
    await expect(file.locator(".text-preview")).to_contain_text("request 30 ")
    await expect(file.get_by_role("link", name="Download api.log")).to_have_attribute("download", "api.log")


async def test_layout_components_show_text_pictures_files_and_buttons(page: Page) -> None:
    board = page.locator(".v2-container")
    await expect(board.locator(".md-h2")).to_have_text("Services")
    await expect(board.locator(".v2-section")).to_have_count(2)
    await expect(board.locator(".v2-gallery img")).to_have_count(2)
    await expect(board.locator(".text-file .file-name")).to_have_text("api.log")
    await expect(board.get_by_role("button", name="Refresh")).to_be_visible()
    assert await board.get_by_role("separator").count() == 1


async def test_a_message_that_pings_me_is_highlighted_and_one_that_only_names_me_is_not(
    page: Page, server: SampleServer
) -> None:
    mine = await server.say(PEOPLE[OLLI], f"<@&{ROLES['admin']}> look", mention_roles=[ROLES["admin"]])
    quiet = await server.say(BOT, f"<@&{ROLES['admin']}> said <@{ADA}>")
    pinged = page.locator(".pinged")
    await expect(page.get_by_test_id(f"message-{mine['id']}").and_(pinged)).to_have_count(1)
    await expect(page.get_by_test_id(f"message-{quiet['id']}")).to_contain_text("@Ada")
    await expect(page.get_by_test_id(f"message-{quiet['id']}").and_(pinged)).to_have_count(0)


async def test_relative_times_age_by_themselves_and_tell_the_full_time(page: Page, server: SampleServer) -> None:
    await page.clock.install(time=datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC))
    await page.reload()
    await page.wait_for_selector("body.ready")
    then = int(datetime(2026, 11, 24, 11, 59, 30, tzinfo=UTC).timestamp())
    made = await server.say(BOT, f"<t:{then}:R> <t:{then}:T> <t:{then}:D> <t:{then}:f> <t:{then}:F> <t:9999999999999>")
    times = page.get_by_test_id(f"message-{made['id']}").locator(".timestamp")
    await expect(times).to_have_count(5)
    await expect(times.nth(1)).to_have_text("11:59:30\u202fAM")
    await expect(times.nth(2)).to_have_text("November 24, 2026")
    await expect(times.nth(4)).to_have_text("Tuesday, November 24, 2026 at 11:59\u202fAM")
    await page.clock.run_for(30_000)
    await expect(times.nth(0)).to_have_text("1 minute ago")
    await page.clock.run_for(3_600_000)
    await expect(times.nth(0)).to_have_text("1 hour ago")
    await times.nth(0).hover()
    await expect(page.get_by_role("tooltip")).to_have_text("Tuesday, November 24, 2026 at 11:59\u202fAM")


async def test_a_live_edit_does_not_move_what_the_reader_looks_at(page: Page, server: SampleServer) -> None:
    above = sent(server, "# Deploy notes")
    anchor = page.get_by_test_id(f"message-{sent(server, 'Is the api slow')['id']}")
    await page.locator(".scroller").evaluate("(s) => s.scrollTop = 900")
    await expect(page.get_by_test_id("jump-to-present")).to_be_visible()
    before = await anchor.bounding_box()
    await server.edit(above, content="short now")
    await expect(page.get_by_test_id(f"message-{above['id']}")).to_contain_text("short now")
    after = await anchor.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 1


async def test_new_messages_scroll_only_for_a_reader_at_the_end(page: Page, server: SampleServer) -> None:
    made = await server.say(PEOPLE[OLLI], "at the end")
    await expect(page.get_by_test_id(f"message-{made['id']}")).to_be_in_viewport()
    await page.locator(".scroller").evaluate("(s) => s.scrollTop = 100")
    await expect(page.get_by_test_id("jump-to-present")).to_contain_text("older messages")
    late = await server.say(PEOPLE[OLLI], "while reading above")
    await expect(page.get_by_test_id("jump-to-present")).to_contain_text("1 new message")
    await expect(page.get_by_test_id(f"message-{late['id']}")).not_to_be_in_viewport()
    await page.get_by_test_id("jump-to-present").click()
    await expect(page.get_by_test_id(f"message-{late['id']}")).to_be_in_viewport()
    await expect(page.locator(".divider.new")).to_be_visible()


async def test_a_reader_at_the_end_stays_there_when_a_message_grows_before_the_scrolling_is_told(
    page: Page, server: SampleServer
) -> None:
    await page.locator(".scroller").evaluate("(s) => s.scrollTop -= 20")
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    await page.locator(".scroller").evaluate(
        "(s) => { s.scrollTop = s.scrollHeight; s.querySelector('.message-list').style.paddingBottom = '600px'; }"
    )
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    await expect(page.get_by_test_id("jump-to-present")).to_be_hidden()
    made = await server.say(PEOPLE[OLLI], "after it grew")
    await page.locator(".message-list").evaluate("(list) => list.style.paddingBottom = ''")
    await expect(page.get_by_test_id(f"message-{made['id']}")).to_be_in_viewport()


async def test_a_thread_opens_from_its_message_and_shows_what_is_said_in_it(page: Page, server: SampleServer) -> None:
    alert = sent(server, "is down")
    chip = page.get_by_test_id(f"thread-{alert['id']}")
    await expect(chip).to_contain_text("2 Messages")
    await expect(chip).to_contain_text("Looking at the database now")
    await chip.click()
    await expect(page.locator(".message-list")).to_contain_text("Restarted api (attempt 1 of 3).")
    said = await server.say(BOT, "api is back", channel=alert["id"])
    await expect(page.get_by_test_id(f"message-{said['id']}")).to_be_visible()
    await page.locator(".header-parent").click()
    await expect(chip).to_contain_text("api is back")


async def test_an_unread_channel_is_marked_until_it_is_opened(page: Page, server: SampleServer) -> None:
    await server.say(PEOPLE[OLLI], f"<@{ADA}>", channel=GENERAL, mentions=[PEOPLE[ADA]])
    row = page.get_by_test_id(f"channel-{GENERAL}")
    await expect(row.locator(".badge")).to_have_text("1")
    await row.click()
    await expect(row.locator(".badge")).to_have_count(0)
    await expect(page.locator(".divider.new")).to_be_visible()


async def test_typing_is_shown_and_ends_with_the_message(page: Page, server: SampleServer) -> None:
    await server.emit("TYPING_START", {"channel_id": OPS, "user_id": OLLI})
    await server.emit("TYPING_START", {"channel_id": OPS, "user_id": ALICE})
    await expect(page.locator(".typing")).to_have_text("Olli and Alice are typing…")
    await server.say(PEOPLE[OLLI], "done")
    await expect(page.locator(".typing")).to_have_text("Alice is typing…")


async def test_presence_and_roles_move_a_member_in_the_list(page: Page, server: SampleServer) -> None:
    groups = page.locator(".member-group")
    await expect(groups).to_have_text(
        ["opsbot — 1", "admin — 1", "deployer — 1", "operator — 1", "viewer — 1", "Offline — 1"]
    )
    await server.emit("PRESENCE", {"user_id": NOEL, "status": "online"})
    await server.emit("MEMBER_UPDATE", {**server.sample.members[OLLI], "roles": [ROLES["admin"]]})
    await expect(groups).to_have_text(["opsbot — 1", "admin — 2", "deployer — 1", "viewer — 1", "Online — 1"])
