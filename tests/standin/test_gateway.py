import asyncio
import functools
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import discord
import pytest

from opsbot.standin import PermissionBit, Standin
from opsbot.standin.errors import ApiError
from opsbot.standin.state import Intent
from tests.fixtures.waiting import passes
from tests.standin.client import Bot
from tests.standin.conftest import Rest, StartBot, pointed_at


class Socket:
    """A bare gateway client."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def next(self, name: str | None = None) -> Any:
        """The next frame, or the data of the next event of that name."""
        async with asyncio.timeout(3):
            while True:
                frame = json.loads((await self.ws.receive()).data)
                if name is None:
                    return frame
                if frame["t"] == name:
                    return frame["d"]

    async def op(self, op: int, data: object = None) -> None:
        await self.ws.send_json({"op": op, "d": data})

    async def identify(self, token: str = "standin-token", intents: object = 1) -> None:  # noqa: S107 - no secret
        await self.op(2, {"token": token, "intents": intents, "properties": {}})

    async def close_code(self) -> int | None:
        async with asyncio.timeout(3):
            while not self.ws.closed:
                await self.ws.receive()
        return self.ws.close_code


@asynccontextmanager
async def connect(standin: Standin, query: str = "?v=10&encoding=json") -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{standin.gateway_url}/{query}") as ws:
        socket = Socket(ws)
        assert (await socket.next())["op"] == 10
        yield socket


@asynccontextmanager
async def ready(standin: Standin, intents: int = 1) -> AsyncIterator[tuple[Socket, Any]]:
    async with connect(standin) as socket:
        await socket.identify(intents=intents)
        yield socket, await socket.next("READY")


@pytest.mark.parametrize(
    ("token", "intents", "code"),
    [
        ("wrong", 1, 4004),
        ("standin-token", None, 4013),
        ("standin-token", 1 << 40, 4013),
        ("standin-token", True, 4013),
        ("standin-token", 1 | 1 << 1, 4014),
        ("standin-token", 1 << 15, 4014),
        ("standin-token", 1 << 8, 4014),
    ],
)
async def test_a_wrong_identify_closes_with_its_code(standin: Standin, token: str, intents: object, code: int) -> None:
    async with connect(standin) as socket:
        await socket.identify(token, intents)
        assert await socket.close_code() == code
    assert not standin.connected


async def test_a_privileged_intent_that_is_not_switched_on_ends_discord_py(start_bot: StartBot) -> None:
    with pytest.raises(discord.PrivilegedIntentsRequired):
        await start_bot(discord.Intents(guilds=True, members=True))


async def test_a_privileged_intent_that_is_switched_on_shows_all_members() -> None:
    async with Standin(privileged_intents=Intent.MEMBERS | Intent.PRESENCES) as standin:
        ada = standin.add_member("Ada")
        with pointed_at(standin):
            bot = Bot(standin, discord.Intents(guilds=True, members=True, presences=True))
            task = asyncio.create_task(bot.start(standin.token))
            await standin.wait_connected()
            await asyncio.wait_for(bot.ready_once.wait(), 5)
            guild = bot.get_guild(standin.guild_id)
            assert guild is not None
            member = guild.get_member(ada)
            assert member is not None
            assert member.status is discord.Status.online
            standin.set_presence(ada, "idle")
            await standin.member("Ada").say("hello")
            await passes(0.05)
            assert member.status.value == "idle"
            await bot.close()
            await task


async def test_out_of_order_payloads_close_with_their_codes(standin: Standin) -> None:
    async with connect(standin) as socket:
        await socket.op(3, {"status": "online"})
        assert await socket.close_code() == 4003
    async with connect(standin) as socket:
        await socket.ws.send_str("{not json")
        assert await socket.close_code() == 4002
    async with ready(standin) as (socket, _):
        await socket.identify()
        assert await socket.close_code() == 4005
    async with connect(standin) as socket:
        await socket.op(6, {"token": "wrong", "session_id": "x", "seq": 1})
        assert await socket.close_code() == 4004


async def test_an_unknown_opcode_closes_with_4001_and_is_recorded() -> None:
    async with Standin() as standin, ready(standin) as (socket, _):
        await socket.op(99)
        assert await socket.close_code() == 4001
        assert standin.unknown_routes == ["gateway op 99"]


async def test_more_than_120_payloads_a_minute_close_with_4008(standin: Standin) -> None:
    async with ready(standin) as (socket, _):
        for _ in range(121):
            await socket.op(1, None)
        assert await socket.close_code() == 4008


@pytest.mark.real_time  # heartbeats are a thread's in discord.py, so the stand-in times them by the host's clock
async def test_a_client_that_never_beats_is_timed_out() -> None:
    async with Standin(heartbeat_seconds=0.05) as standin, ready(standin) as (socket, _):
        assert await socket.close_code() == 4009


async def test_a_resume_replays_what_was_missed_in_order_then_says_resumed(standin: Standin) -> None:
    async with ready(standin, 1 | Intent.MESSAGES) as (socket, first):
        seq = (await socket.next())["s"]
        await socket.ws.close(code=4000)
    await standin.changes.wait(lambda: None if standin.connected else True, 2, "the loss")
    for text in ("one", "two"):
        await standin.member("Owner").say(text)
    async with connect(standin) as socket:
        await socket.op(6, {"token": standin.token, "session_id": first["session_id"], "seq": seq})
        frames = [await socket.next() for _ in range(3)]
    assert [frame["t"] for frame in frames] == ["MESSAGE_CREATE", "MESSAGE_CREATE", "RESUMED"]
    assert [frame["s"] for frame in frames] == [seq + 1, seq + 2, seq + 3]


async def test_a_session_ends_with_a_good_bye_and_cannot_be_resumed(standin: Standin) -> None:
    async with ready(standin) as (socket, first):
        await socket.ws.close(code=1000)
    await standin.changes.wait(lambda: None if standin.connected else True, 2, "the good-bye")
    async with connect(standin) as socket:
        await socket.op(6, {"token": standin.token, "session_id": first["session_id"], "seq": 2})
        assert await socket.next() == {"op": 9, "d": False, "s": None, "t": None}
    assert standin.state.bot.status == "offline"


async def test_a_sequence_from_the_future_closes_with_4007(standin: Standin) -> None:
    async with ready(standin) as (socket, first):
        await socket.ws.close(code=4000)
    async with connect(standin) as socket:
        await socket.op(6, {"token": standin.token, "session_id": first["session_id"], "seq": 999})
        assert await socket.close_code() == 4007


async def test_messages_of_others_are_empty_without_the_message_content_intent(standin: Standin) -> None:
    async with ready(standin, 1 | Intent.MESSAGES) as (socket, _):
        await standin.member("Owner").say("secret")
        assert (await socket.next("MESSAGE_CREATE"))["content"] == ""
        await standin.member("Owner").say(f"<@{standin.bot_user_id}> hello")
        assert (await socket.next("MESSAGE_CREATE"))["content"].endswith("hello")


async def test_events_come_only_to_those_who_asked_and_see_the_channel(standin: Standin, rest: Rest) -> None:
    hidden = standin.add_channel("hidden")
    standin.set_permissions(standin.bot_user_id, hidden, deny=PermissionBit.VIEW_CHANNEL)
    async with ready(standin, 1) as (none, _), ready(standin, 1 | Intent.MESSAGES) as (some, _):
        await standin.member("Owner").say("unseen", channel_id=hidden)
        sent = await rest.send(content="seen")
        assert (await some.next("MESSAGE_CREATE"))["id"] == sent["id"]
        standin.add_channel("later")
        assert (await none.next())["t"] == "GUILD_CREATE"
        assert (await none.next())["t"] == "CHANNEL_CREATE"


async def test_a_second_identify_within_the_interval_is_invalid() -> None:
    async with Standin(identify_interval=5) as standin, ready(standin), connect(standin) as socket:
        await socket.identify()
        assert (await socket.next())["op"] == 9


async def test_zlib_stream_is_one_stream(standin: Standin) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"{standin.gateway_url}/?v=10&encoding=json&compress=zlib-stream"
        async with session.ws_connect(url) as ws:
            unzip = zlib.decompressobj()
            assert json.loads(unzip.decompress((await ws.receive()).data))["op"] == 10
            await ws.send_json({"op": 1, "d": None})
            assert json.loads(unzip.decompress((await ws.receive()).data))["op"] == 11


def _resumed(bot: Bot, times: int) -> bool:
    return bot.resumed == times


async def test_discord_py_resumes_at_once_after_a_reset_and_after_op_7(standin: Standin, bot: Bot) -> None:
    for number, reconnect_op in enumerate((False, True), 1):
        standin.faults.drop_gateway(reconnect_op=reconnect_op)
        await bot.until(functools.partial(_resumed, bot, number))
        await standin.wait_connected(2)
    assert len(standin.gateway.sessions) == 1


async def test_discord_py_starts_anew_when_the_session_is_gone(standin: Standin, bot: Bot) -> None:
    standin.faults.drop_gateway(resumable=False)
    await standin.wait_connected(10)  # discord.py waits 5 s before a second IDENTIFY
    assert bot.resumed == 0
    assert standin.gateway.starts == 2


async def test_the_gateway_is_told_by_rest_with_what_is_left_of_the_identifies(standin: Standin, rest: Rest) -> None:
    async with ready(standin):
        found = await rest("GET", "/gateway/bot")
    assert found["url"] == standin.gateway_url
    assert found["session_start_limit"]["remaining"] == 999


async def test_voice_states_come_with_the_guild_and_as_they_change_to_who_asked(standin: Standin) -> None:
    room, bot = standin.add_voice_channel("meeting"), standin.add_bot("recorder")
    standin.set_voice(bot, room)
    async with ready(standin, 1) as (none, _), ready(standin, 1 | Intent.VOICE_STATES) as (some, _):
        unasked = await none.next("GUILD_CREATE")
        assert unasked["voice_states"] == []
        guild = await some.next("GUILD_CREATE")
        (state,) = guild["voice_states"]
        assert (state["user_id"], state["channel_id"]) == (str(bot), str(room))
        # As Discord has it: partial, without the member, who stands among the members instead.
        assert not {"guild_id", "member"} & set(state)
        assert [m["user"]["bot"] for m in guild["members"] if m["user"]["id"] == str(bot)] == [True]
        standin.set_voice(bot, None)
        change = await some.next("VOICE_STATE_UPDATE")
        assert change["channel_id"] is None
        assert change["member"]["user"]["bot"] is True
        standin.add_channel("later")
        assert (await none.next())["t"] == "CHANNEL_CREATE"


async def test_nobody_sits_in_a_text_channel(standin: Standin) -> None:
    with pytest.raises(ApiError):
        standin.set_voice(standin.owner_id, standin.ops_channel_id)


async def test_a_voice_channel_that_is_deleted_is_left_by_all(standin: Standin) -> None:
    room = standin.add_voice_channel("meeting")
    standin.set_voice(standin.owner_id, room)
    async with ready(standin, 1 | Intent.VOICE_STATES) as (socket, _):
        standin.remove_channel(room)
        assert (await socket.next("VOICE_STATE_UPDATE"))["channel_id"] is None
