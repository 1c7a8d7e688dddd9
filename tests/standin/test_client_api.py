import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import discord
import pytest
import yarl

from opsbot.standin import PanelButton, PermissionBit, Standin
from tests.standin.client import Bot
from tests.standin.conftest import Rest, StartBot


class Page:
    """A page in the browser, without the browser."""

    def __init__(self, standin: Standin, session: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.standin, self.session, self.ws = standin, session, ws
        self.snapshot: dict[str, Any] = {}

    async def next(self, name: str) -> Any:
        """The data of the next frame of that name."""
        async with asyncio.timeout(5):
            while True:
                frame = await self.ws.receive_json()
                if frame["t"] == name:
                    return frame["d"]

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        async with self.session.post(f"{self.standin.url}/client/{path}", json=body) as response:
            return response.status, await response.json() if response.status != 204 else None

    async def act(self, kind: int, data: object, message: Any = None, member: int | None = None) -> tuple[int, Any]:
        return await self.post(
            "interactions",
            {
                "member_id": str(member or self.standin.owner_id),
                "channel_id": str(self.standin.ops_channel_id),
                "nonce": f"n{kind}",
                "type": kind,
                "data": data,
                "message_id": message["id"] if message else None,
            },
        )


@asynccontextmanager
async def open_page(standin: Standin, member: int | None = None) -> AsyncIterator[Page]:
    async with aiohttp.ClientSession() as session:
        url = f"{standin.url}/client/ws?member={member or standin.owner_id}"
        async with session.ws_connect(url, headers={"Origin": standin.url}) as ws:
            page = Page(standin, session, ws)
            page.snapshot = await page.next("SNAPSHOT")
            yield page


@pytest.fixture
async def page(standin: Standin) -> AsyncIterator[Page]:
    async with open_page(standin) as opened:
        yield opened


async def test_the_snapshot_has_all_the_page_needs(standin: Standin, rest: Rest) -> None:
    await rest.send(content="before")
    async with open_page(standin) as page:
        found = page.snapshot
    assert set(found) >= {
        "guild",
        "me",
        "members",
        "roles",
        "channels",
        "commands",
        "messages",
        "application",
        "panel",
        "connected",
    }
    assert [m["content"] for m in found["messages"][str(standin.ops_channel_id)]] == ["before"]
    assert found["me"]["username"] == "owner"
    assert not found["connected"]
    assert {c["name"] for c in found["channels"]} == {"Operations", "ops", "general"}


async def test_messages_edits_and_deletions_reach_the_page(standin: Standin, page: Page, rest: Rest) -> None:
    sent = await rest.send(content="one")
    assert (await page.next("MESSAGE_CREATE"))["content"] == "one"
    await rest.edit(sent, content="two")
    assert (await page.next("MESSAGE_UPDATE"))["content"] == "two"
    await rest("POST", f"{rest.ops}/typing")
    assert (await page.next("TYPING_START"))["user_id"] == str(standin.bot_user_id)
    await rest("DELETE", f"{rest.ops}/messages/{sent['id']}")
    gone = await page.next("MESSAGE_DELETE")
    assert (gone["id"], gone["channel_id"]) == (sent["id"], str(standin.ops_channel_id))


async def test_a_command_from_the_page_is_deferred_filled_and_private_parts_stay_private(
    standin: Standin, start_bot: StartBot
) -> None:
    ada = standin.add_member("Ada")
    async with open_page(standin) as mine, open_page(standin, ada) as other:
        bot = await start_bot()
        assert any(c["name"] == "deploy" for c in await mine.next("COMMANDS_UPDATE"))
        assert (await mine.next("CONNECTION"))["connected"]
        bot.gate.clear()
        options = [{"name": "service", "type": 3, "value": "api"}]
        assert (await mine.act(2, {"name": "deploy", "options": options}))[0] == 204
        deferred = await mine.next("INTERACTION_DEFERRED")
        assert (deferred["nonce"], deferred["ephemeral"]) == ("n2", False)
        await mine.next("INTERACTION_SUCCESS")
        bot.gate.set()
        assert (await mine.next("MESSAGE_UPDATE"))["content"] == "deployed api at main"
        assert (await mine.next("EPHEMERAL"))["content"] == "only for you"
        await standin.member("Owner").say("last")
        seen = []
        while True:
            frame = await other.ws.receive_json()
            if frame["t"] == "MESSAGE_CREATE" and frame["d"]["content"] == "last":
                break
            seen.append(frame["t"])
        assert "MESSAGE_UPDATE" in seen
        assert not {"EPHEMERAL", "INTERACTION_SUCCESS", "INTERACTION_DEFERRED"}.intersection(seen)


async def test_a_person_completes_opens_a_form_and_presses_a_button(page: Page, bot: Bot) -> None:
    typed = [{"name": "service", "type": 3, "value": "w", "focused": True}]
    assert (await page.act(4, {"name": "deploy", "options": typed}))[0] == 204
    found = await page.next("AUTOCOMPLETE")
    assert (found["nonce"], found["choices"]) == ("n4", [{"name": "worker", "value": "worker"}])
    await page.act(2, {"name": "hold", "options": []})
    modal = (await page.next("MODAL"))["modal"]
    assert modal["title"] == "Why?"
    filled = [{"type": 1, "components": [{"type": 4, "custom_id": "reason", "value": "because"}]}]
    assert (await page.act(5, {"custom_id": modal["custom_id"], "components": filled}))[0] == 204
    assert (await page.next("EPHEMERAL"))["content"] == "because because"
    await page.act(2, {"name": "restart", "options": [{"name": "service", "type": 3, "value": "api"}]})
    message = await page.next("MESSAGE_CREATE")
    click = {"custom_id": "v1:confirm:api", "component_type": 2}
    assert (await page.act(3, click, message))[0] == 204
    assert (await page.next("MESSAGE_UPDATE"))["content"] == "confirmed api"
    status, refusal = await page.act(3, click, message)
    assert (status, refusal["message"]) == (400, "This component is no longer on the message.")
    assert bot.went_wrong == []


async def test_nobody_answers_and_the_page_is_told_why(page: Page) -> None:
    standin = page.standin
    standin.state.guild_commands.upsert({"name": "x", "description": "d"}, standin.state.ids(), 0)
    standin.interactions.deadline = 0.1
    assert (await page.act(2, {"name": "x"}))[0] == 204
    failure = await page.next("INTERACTION_FAILURE")
    assert (failure["nonce"], failure["reason"]) == ("n2", "The application did not respond")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"type": 2},
        {"type": 9, "member_id": "1"},
        {"type": 2, "member_id": "x", "channel_id": "y", "data": {}},
    ],
)
async def test_a_malformed_action_is_a_400(page: Page, body: object) -> None:
    status, found = await page.post("interactions", body)
    assert status == 400
    assert found["message"]


async def test_people_speak_join_and_change_roles(standin: Standin, page: Page) -> None:
    status, ada = await page.post("members", {"name": "Ada", "roles": [str(standin.roles["viewer"])]})
    assert (status, ada["roles"]) == (200, [str(standin.roles["viewer"])])
    assert (await page.next("MEMBER_UPDATE"))["user"]["global_name"] == "Ada"
    status, _ = await page.post(f"members/{ada['user']['id']}/roles", {"roles": [str(standin.roles["admin"])]})
    assert status == 204
    assert (await page.next("MEMBER_UPDATE"))["roles"] == [str(standin.roles["admin"])]
    channel = str(standin.ops_channel_id)
    status, said = await page.post("messages", {"member_id": ada["user"]["id"], "channel_id": channel, "content": "hi"})
    assert (status, said["author"]["username"]) == (200, "ada")
    status, refused = await page.post(
        "messages", {"member_id": ada["user"]["id"], "channel_id": channel, "content": "x" * 2001}
    )
    assert (status, refused["code"]) == (400, 50035)
    assert (await page.post("members/5/roles", {"roles": []}))[0] == 404


async def test_a_page_sees_only_the_channels_its_member_sees(standin: Standin) -> None:
    ada = standin.add_member("Ada")
    hidden = standin.add_channel("hidden")
    standin.set_permissions(standin.guild_id, hidden, deny=PermissionBit.VIEW_CHANNEL)
    async with open_page(standin, ada) as page:
        assert "hidden" not in [c["name"] for c in page.snapshot["channels"]]
        await standin.member("Owner").say("unseen", channel_id=hidden)
        await standin.member("Owner").say("seen")
        assert (await page.next("MESSAGE_CREATE"))["content"] == "seen"


async def test_commands_hidden_by_default_permissions_are_hidden_but_can_be_run(standin: Standin, rest: Rest) -> None:
    path = f"/applications/{standin.application_id}/guilds/{standin.guild_id}/commands"
    await rest("PUT", path, [{"name": "audit", "description": "d", "default_member_permissions": "0"}])
    ada = standin.add_member("Ada")
    async with open_page(standin, ada) as page:
        assert page.snapshot["commands"] == []
        assert (await page.act(2, {"name": "audit"}, member=ada))[0] == 204
    async with open_page(standin) as owners:
        assert [c["name"] for c in owners.snapshot["commands"]] == ["audit"]


async def test_panel_buttons_run_once_at_a_time_and_say_what_came_of_it(standin: Standin, page: Page) -> None:
    gate = asyncio.Event()

    async def push(what: str = "good") -> str:
        await gate.wait()
        return f"pushed a {what} commit"

    async def fail() -> str:
        raise RuntimeError("no repository")

    standin.panel = [
        PanelButton("push", "Commits", "Push", "pushes", danger=False, action=push),
        PanelButton("fail", "Commits", "Fail", "fails", danger=True, action=fail),
    ]
    assert [b["id"] for b in await page.next("PANEL")] == ["push", "fail"]
    first = asyncio.create_task(page.post("panel/push", {"what": "bad"}))
    assert (await page.next("PANEL"))[0]["disabled"]
    assert (await page.post("panel/push", {}))[0] == 409
    gate.set()
    assert await first == (200, {"ok": True, "text": "pushed a bad commit"})
    assert not (await page.next("PANEL"))[0]["disabled"]
    assert (await page.next("PANEL_NOTE"))["level"] == "info"
    assert await page.post("panel/fail", {}) == (200, {"ok": False, "text": "no repository"})
    assert (await page.next("PANEL_NOTE"))["text"] == "no repository"
    assert (await page.post("panel/nothing", {}))[0] == 404


async def test_discord_away_is_shown_and_the_pages_socket_lives_on(standin: Standin, page: Page, bot: Bot) -> None:
    standin.faults.away()
    while not (await page.next("CONNECTION"))["away"]:
        pass
    await standin.member("Owner").say("still here")
    assert (await page.next("MESSAGE_CREATE"))["content"] == "still here"
    standin.faults.back()
    while not (await page.next("CONNECTION"))["connected"]:
        pass
    assert isinstance(bot.user, discord.ClientUser)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:bad"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/client/ws?member=1", "/client/messages", "/attachments/1/2/x"])
async def test_another_origin_or_host_is_refused(standin: Standin, headers: dict[str, str], path: str) -> None:
    method = "POST" if path == "/client/messages" else "GET"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, standin.url + path, headers=headers) as response,
    ):
        assert response.status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/static/nothing.js",
        "/static/",
        "/static/%00",
        "/static/" + "x" * 300,
    ],
)
async def test_nothing_outside_the_pages_folder_is_served(standin: Standin, path: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(yarl.URL(standin.url + path, encoded=True)) as response:
        assert response.status == 404


async def test_the_pages_files_are_served_with_their_types(standin: Standin) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{standin.url}/") as response:
            assert (response.status, response.content_type) == (200, "text/html")
            assert response.headers["Cache-Control"] == "no-cache"
        async with session.get(f"{standin.url}/static/style.css") as response:
            assert (response.status, response.content_type) == (200, "text/css")
