import asyncio

import aiohttp
import discord
import pytest

from opsbot.standin import Standin
from tests.fixtures.waiting import passes, until
from tests.standin.client import Bot
from tests.standin.conftest import Rest


async def test_a_lost_answer_after_the_message_was_stored_makes_no_second_one(standin: Standin, bot: Bot) -> None:
    standin.faults.answer("POST", r"/messages$", 502, after_store=True)
    sent = await bot.ops.send("once")  # discord.py tries again after 1 s, with the same nonce
    assert [m["id"] for m in standin.messages()] == [str(sent.id)]
    assert [r.status for r in standin.requests if r.path.endswith("/messages")] == [502, 200]


async def test_503_is_raised_at_once(standin: Standin, bot: Bot) -> None:
    standin.faults.answer("POST", r"/messages$", 503)
    with pytest.raises(discord.DiscordServerError):
        await bot.ops.send("lost")
    assert standin.messages() == []
    assert (await bot.ops.send("found")).content == "found"


async def test_a_reset_is_a_client_error_that_is_no_discord_exception(standin: Standin, bot: Bot) -> None:
    standin.faults.answer("POST", r"/messages$", reset=True)
    with pytest.raises(aiohttp.ClientError):
        await bot.ops.send("lost")
    standin.faults.answer("POST", r"/messages$", reset=True, after_store=True)
    with pytest.raises(aiohttp.ClientError):
        await bot.ops.send("stored")
    assert [m["content"] for m in standin.messages()] == ["stored"]


async def test_a_429_is_waited_for(standin: Standin, bot: Bot) -> None:
    standin.faults.rate_limit(r"/messages$", 0.2)
    began = asyncio.get_running_loop().time()
    await bot.ops.send("patient")
    assert asyncio.get_running_loop().time() - began >= 0.2


async def test_a_delay_delays(standin: Standin, rest: Rest) -> None:
    standin.faults.delay(r"/users/@me", 0.5)
    began = asyncio.get_running_loop().time()
    await rest("GET", "/users/@me")
    assert asyncio.get_running_loop().time() - began >= 0.5


async def test_idle_is_when_no_request_event_or_interaction_is_in_flight(standin: Standin, bot: Bot) -> None:
    await standin.wait_idle()
    standin.faults.delay(r"/messages$", 0.1)
    sending = asyncio.create_task(bot.ops.send("late"))
    await until(lambda: not standin.idle)
    assert standin.messages() == []
    await standin.wait_idle()
    assert [m["content"] for m in standin.messages()] == ["late"]
    await sending
    bot.gate.clear()
    running = asyncio.create_task(standin.member("Owner").run("slow"))
    await until(lambda: not standin.idle)
    with pytest.raises(TimeoutError):
        await standin.wait_idle(0.01)
    bot.gate.set()
    await running
    await standin.wait_idle()


async def test_a_deferral_whose_answer_was_lost_ends_in_40060_though_it_counts(standin: Standin, bot: Bot) -> None:
    standin.faults.answer("POST", r"/callback$", 500, after_store=True)
    response = await standin.member("Owner").run("slow")
    assert response.content == "late"
    assert (await bot.trouble()).code == 40060


async def test_away_resets_everything_and_back_ends_it(standin: Standin, rest: Rest, bot: Bot) -> None:
    standin.faults.away()
    with pytest.raises(aiohttp.ClientError):
        await rest("GET", "/users/@me")
    assert not standin.connected
    async with aiohttp.ClientSession() as session, session.get(f"{standin.url}/static/none") as page:
        assert page.status == 404  # alive, only no such file
    standin.faults.back()
    assert (await rest("GET", "/users/@me"))["status"] == 200
    await standin.wait_connected(10)
    assert bot.is_ready()


async def test_away_for_a_while_ends_by_itself(standin: Standin, rest: Rest) -> None:
    standin.faults.away(0.1)
    await passes(0.2)
    assert (await rest("GET", "/users/@me"))["status"] == 200


async def test_a_hard_absence_refuses_connections_while_the_page_lives() -> None:
    async with Standin(api_port=0) as standin, aiohttp.ClientSession() as session:
        rest = Rest(standin, session)
        assert (await rest("GET", "/users/@me"))["status"] == 200
        standin.faults.away(hard=True)
        async with aiohttp.ClientSession() as other:
            with pytest.raises(aiohttp.ClientConnectorError):
                await other.get(f"{standin.api_url}/users/@me")
            async with other.get(f"{standin.url}/static/nothing") as page:
                assert page.status == 404
        standin.faults.back()
        await passes(0.05)
        assert (await rest("GET", "/users/@me"))["status"] == 200


async def test_a_hard_absence_needs_a_port_of_its_own(standin: Standin) -> None:
    with pytest.raises(ValueError, match="api_port"):
        standin.faults.away(hard=True)
    assert not standin.faults.is_away


async def test_a_refused_gateway_lets_nobody_in_until_it_is_lifted(standin: Standin, bot: Bot) -> None:
    standin.faults.refuse_gateway(0.2)
    assert not standin.connected
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.ws_connect(standin.gateway_url):
            pass
    await standin.wait_connected(10)
    await bot.until(lambda: bot.resumed == 1)


async def test_a_port_in_use_is_an_error(standin: Standin) -> None:
    port = int(standin.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="in use"):
        await Standin(port=port).start()


async def test_nothing_is_left_when_it_stops() -> None:
    before = asyncio.all_tasks()
    async with Standin(api_port=0) as standin, aiohttp.ClientSession() as session:
        ws = await session.ws_connect(standin.gateway_url)
        page = await session.ws_connect(f"{standin.url}/client/ws?member={standin.owner_id}")
        await ws.receive()
        await page.receive()
    await passes(0.05)
    assert asyncio.all_tasks() == before
