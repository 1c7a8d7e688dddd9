import io
import re
from typing import Any

import aiohttp
import discord
import pytest

from opsbot.standin import PermissionBit, Standin
from tests.standin.client import Bot
from tests.standin.conftest import Rest


async def test_a_wrong_token_is_unauthorized_and_an_unmodelled_route_is_recorded() -> None:
    async with Standin() as standin, aiohttp.ClientSession() as session:
        rest = Rest(standin, session)
        assert (await rest("GET", "/users/@me", token="wrong"))["status"] == 401
        assert rest.headers["Content-Type"] == "application/json"
        found = await rest("GET", f"/guilds/{standin.guild_id}/bans")
        assert found == {"message": "404: Not Found", "code": 0, "status": 404}
        assert (await rest("DELETE", "/users/@me"))["status"] == 404
        routes = [f"GET /api/v10/guilds/{standin.guild_id}/bans", "DELETE /api/v10/users/@me"]
        assert standin.unknown_routes == routes
        assert next((r.method, r.path, r.status) for r in standin.requests) == ("GET", "/users/@me", 401)


async def test_what_does_not_exist_is_unknown_by_its_own_code(standin: Standin, rest: Rest) -> None:
    codes = {
        "/channels/5": 10003,
        f"{rest.ops}/messages/5": 10008,
        "/users/5": 10013,
        "/guilds/5": 10004,
        f"/guilds/{standin.guild_id}/members/5": 10007,
        "/applications/5/commands": 10002,
        "/webhooks/5/x/messages/5": 10015,
        f"/webhooks/{standin.application_id}/x/messages/5": 50027,
        "/channels/x": 50035,
    }
    for path, code in codes.items():
        assert (await rest("GET", path))["code"] == code, path


async def test_missing_permissions_and_missing_access_have_their_own_codes(standin: Standin, rest: Rest) -> None:
    me, ops = standin.bot_user_id, standin.ops_channel_id
    sent = await rest.send(content="mine")
    theirs = await standin.member("Owner").say("theirs")
    standin.set_permissions(me, ops, deny=PermissionBit.EMBED_LINKS)
    assert (await rest.send(embeds=[{"title": "t"}]))["code"] == 50013
    assert (await rest.send(content="x"))["status"] == 200
    standin.set_permissions(me, ops, deny=PermissionBit.READ_MESSAGE_HISTORY)
    assert await rest("GET", f"{rest.ops}/messages") == []
    assert (await rest("GET", f"{rest.ops}/messages/{sent['id']}"))["code"] == 50013
    assert (await rest("DELETE", f"{rest.ops}/messages/{theirs['id']}"))["code"] == 50013
    assert (await rest.edit(theirs, content="x"))["code"] == 50005
    standin.set_permissions(me, ops, deny=PermissionBit.VIEW_CHANNEL)
    assert (await rest.send(content="x"))["code"] == 50001
    assert (await rest("GET", rest.ops))["code"] == 50001
    standin.set_permissions(me, ops)
    standin.set_permissions(standin.guild_id, ops, deny=PermissionBit.SEND_MESSAGES)
    assert (await rest.send(content="x"))["code"] == 50013
    standin.set_permissions(me, ops, allow=PermissionBit.SEND_MESSAGES)
    assert (await rest.send(content="x"))["status"] == 200


async def test_history_is_paged_like_discords(standin: Standin, bot: Bot) -> None:
    standin.limits.enabled = False
    for n in range(7):
        await bot.ops.send(str(n))
    ids = [int(m["id"]) for m in standin.messages(standin.ops_channel_id)]

    async def page(**keys: Any) -> str:
        return "".join([m.content async for m in bot.ops.history(**keys)])

    assert await page(limit=3) == "654"
    assert await page(limit=3, before=discord.Object(ids[3])) == "210"
    assert await page(limit=3, after=discord.Object(ids[3])) == "456"
    assert await page(limit=3, around=discord.Object(ids[3])) in ("432", "234")


async def test_the_same_nonce_gives_the_same_message(standin: Standin, rest: Rest) -> None:
    first = await rest.send(content="once", nonce="alert-1", enforce_nonce=True)
    again = await rest.send(content="twice", nonce="alert-1", enforce_nonce=True)
    assert again["id"] == first["id"]
    assert again["content"] == "once"
    loose = await rest.send(content="thrice", nonce="alert-1")
    assert loose["id"] != first["id"]
    assert len(standin.messages()) == 2


async def test_files_go_up_and_come_down_again(standin: Standin, bot: Bot) -> None:
    standin.limits.enabled = False
    png = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (640).to_bytes(4, "big") + (480).to_bytes(4, "big") + b"\0" * 20
    embed = discord.Embed(title="chart").set_image(url="attachment://chart.png")
    log = discord.File(io.BytesIO(b"line\n"), "x.log", description="the log")
    files = [log, discord.File(io.BytesIO(png), "chart.png")]
    sent = await bot.ops.send("files", files=files, embed=embed)
    assert [a.filename for a in sent.attachments] == ["x.log"]
    assert sent.attachments[0].description == "the log"
    assert await sent.attachments[0].read() == b"line\n"
    assert sent.embeds[0].image.url is not None
    assert (sent.embeds[0].image.width, sent.embeds[0].image.height) == (640, 480)
    edited = await sent.edit(attachments=[])
    assert edited.attachments == []
    added = await sent.edit(attachments=[discord.File(io.BytesIO(b"<script>"), "evil.html")])
    async with aiohttp.ClientSession() as session, session.get(added.attachments[0].url) as response:
        assert response.content_type == "application/octet-stream"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_files_too_big_or_too_many_are_refused(standin: Standin, bot: Bot) -> None:
    standin.limits.enabled = False
    with pytest.raises(discord.HTTPException) as big:
        await bot.ops.send(file=discord.File(io.BytesIO(b"x" * (10 * 1024 * 1024 + 1)), "big"))
    assert (big.value.status, big.value.code) == (413, 40005)
    with pytest.raises(discord.HTTPException) as many:
        await bot.ops.send(files=[discord.File(io.BytesIO(b"x"), f"{n}") for n in range(11)])
    assert many.value.status == 400
    standin.set_permissions(standin.bot_user_id, standin.ops_channel_id, deny=PermissionBit.ATTACH_FILES)
    with pytest.raises(discord.Forbidden):
        await bot.ops.send(file=discord.File(io.BytesIO(b"x"), "x"))
    assert standin.messages() == []


async def test_an_embed_that_shows_a_file_that_was_not_sent_is_refused(rest: Rest) -> None:
    found = await rest.send(embeds=[{"title": "t", "image": {"url": "attachment://nothing.png"}}])
    assert found["code"] == 50035


async def test_five_messages_in_five_seconds_then_429_with_the_headers_discord_sends(
    standin: Standin, rest: Rest
) -> None:
    for left in (4, 3, 2, 1, 0):
        sent = await rest.send(content="x")
        assert rest.headers["X-RateLimit-Remaining"] == str(left)
    over = await rest.send(content="x")
    assert over["status"] == 429
    assert 0 < over["retry_after"] <= 5
    assert rest.headers["Via"]
    assert (await rest.edit(sent, content="edits have their own"))["status"] == 200
    other = await rest("POST", f"/channels/{standin.general_channel_id}/messages", {"content": "and channels"})
    assert other["status"] == 200
    assert len(standin.messages(standin.ops_channel_id)) == 5


async def test_the_fourth_edit_of_messages_older_than_an_hour_is_refused_without_a_header(
    standin: Standin, rest: Rest
) -> None:
    old = [await rest.send(content="x") for _ in range(2)]
    for message in old:
        standin.faults.age_message(message["id"], 3601)
    for n in range(3):
        assert (await rest.edit(old[n % 2], content=str(n)))["status"] == 200
    over = await rest.edit(old[0], content="over")
    assert (over["status"], over["code"]) == (429, 30046)
    assert 0 < over["retry_after"] <= 6
    assert "X-RateLimit-Remaining" not in rest.headers
    assert rest.headers["Via"]


async def test_a_channel_is_renamed_twice_in_ten_minutes_and_no_more(standin: Standin, rest: Rest) -> None:
    standin.set_permissions(standin.bot_user_id, standin.ops_channel_id, allow=PermissionBit.MANAGE_CHANNELS)
    for name in ("one", "two"):
        assert (await rest("PATCH", rest.ops, {"name": name}))["name"] == name
    third = await rest("PATCH", rest.ops, {"topic": "three"})
    assert third["status"] == 429
    assert third["retry_after"] > 590
    assert standin.invalid_requests == 1


async def test_pins_are_listed_and_announced(standin: Standin, bot: Bot) -> None:
    sent = await bot.ops.send("board")
    await sent.pin()
    pins = [message.id async for message in bot.ops.pins()]
    assert pins == [sent.id]
    assert standin.messages()[-1]["type"] == 6
    await sent.unpin()
    assert [message.id async for message in bot.ops.pins()] == []
    standin.set_permissions(standin.bot_user_id, standin.ops_channel_id, deny=PermissionBit.PIN_MESSAGES)
    with pytest.raises(discord.Forbidden):
        await sent.pin()


async def test_a_thread_from_a_message_has_its_id_and_there_is_only_one(standin: Standin, bot: Bot) -> None:
    sent = await bot.ops.send("incident")
    thread = await sent.create_thread(name="details")
    assert thread.id == sent.id
    with pytest.raises(discord.HTTPException) as second:
        await sent.create_thread(name="again")
    assert second.value.code == 160004
    inside = await thread.send("line")
    assert standin.messages(thread.id)[-1]["content"] == "line"
    assert standin.message(sent.id)["thread"]["id"] == str(sent.id)
    await thread.edit(archived=True)
    with pytest.raises(discord.HTTPException) as closed:
        await inside.edit(content="later")
    assert closed.value.code == 50083
    with pytest.raises(discord.HTTPException, match="50083"):
        await thread.edit(name="renamed")
    assert standin.message(sent.id)["thread"]["thread_metadata"]["archived"]
    await thread.send("wakes it up")
    assert not standin.state.channel(thread.id).archived


async def test_a_bare_thread_is_private_unless_told_otherwise(standin: Standin, rest: Rest) -> None:
    made = await rest("POST", f"{rest.ops}/threads", {"name": "t"})
    assert (made["status"], made["type"]) == (201, 12)
    assert standin.messages() == []
    public = await rest("POST", f"{rest.ops}/threads", {"name": "t", "type": 11})
    assert public["type"] == 11
    assert [m["type"] for m in standin.messages(standin.ops_channel_id)] == [18]
    assert (await rest("POST", f"{rest.ops}/threads", {"name": "x" * 101}))["code"] == 50035
    assert (await rest("POST", f"{rest.ops}/threads", {"name": "t", "auto_archive_duration": 5}))["code"] == 50035
    me, ops = standin.bot_user_id, standin.ops_channel_id
    standin.set_permissions(me, ops, deny=PermissionBit.SEND_MESSAGES_IN_THREADS | PermissionBit.CREATE_PUBLIC_THREADS)
    assert (await rest("POST", f"/channels/{public['id']}/messages", {"content": "x"}))["code"] == 50013
    assert (await rest("POST", f"{rest.ops}/threads", {"name": "t", "type": 11}))["code"] == 50013


async def test_locking_a_thread_needs_manage_threads(standin: Standin, rest: Rest) -> None:
    made = await rest("POST", f"{rest.ops}/threads", {"name": "t", "type": 11})
    path = f"/channels/{made['id']}"
    assert (await rest("PATCH", path, {"locked": True}))["code"] == 50013
    standin.set_permissions(standin.bot_user_id, standin.ops_channel_id, allow=PermissionBit.MANAGE_THREADS)
    assert (await rest("PATCH", path, {"locked": True, "archived": True}))["thread_metadata"]["locked"]
    archived = await rest("GET", f"{rest.ops}/threads/archived/public")
    assert [thread["id"] for thread in archived["threads"]] == [made["id"]]
    assert (await rest("GET", f"/guilds/{standin.guild_id}/threads/active"))["threads"] == []


async def test_thread_members_come_and_go(standin: Standin, bot: Bot) -> None:
    thread = await bot.ops.create_thread(name="t", type=discord.ChannelType.public_thread)
    ada = standin.add_member("Ada")
    await thread.add_user(discord.Object(ada))
    assert ada in standin.state.channel(thread.id).members
    await thread.leave()
    assert standin.bot_user_id not in standin.state.channel(thread.id).members
    assert (await thread.fetch_member(ada)).id == ada


async def test_reactions_replies_typing_and_deletion(standin: Standin, bot: Bot) -> None:
    theirs = await standin.member("Owner").say("hello")
    message = await bot.ops.fetch_message(int(theirs["id"]))
    await message.add_reaction("✅")
    assert standin.message(message.id)["reactions"][0]["me"]
    await message.remove_reaction("✅", discord.Object(standin.bot_user_id))
    with pytest.raises(discord.HTTPException):
        await message.add_reaction("nope")
    reply = await message.reply("yes", mention_author=True)
    assert [user.id for user in reply.mentions] == [standin.owner_id]
    quiet = await message.reply("yes")
    assert quiet.mentions == []
    async with bot.ops.typing():
        pass
    await reply.delete()
    with pytest.raises(discord.NotFound) as gone:
        await reply.edit(content="x")
    assert gone.value.code == 10008
    standin.remove_channel(standin.ops_channel_id)
    with pytest.raises(discord.NotFound) as lost:
        await quiet.edit(content="x")
    assert lost.value.code == 10003


async def test_an_edit_makes_a_new_dict_and_wakes_whoever_waits(standin: Standin, bot: Bot) -> None:
    sent = await bot.ops.send("before")
    before = standin.message(sent.id)
    await sent.edit(content="after")
    found = await standin.wait_for_message(lambda m: m["content"] == "after", 1)
    assert (before["content"], found["id"]) == ("before", before["id"])
    assert found["edited_timestamp"] is not None
    with pytest.raises(TimeoutError):
        await standin.wait_for_message(lambda m: re.match("never", m["content"]) is not None, 0.05)
