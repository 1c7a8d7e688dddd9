"""Discord away, at the start and later; refused tokens and intents; sessions that are used up."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from discord.gateway import KeepAliveHandler

from opsbot.bot.connection import ConnectPace
from opsbot.bot.link import Link
from tests.cogs.world import QUICK, World, open_world, text_of
from tests.fixtures.waiting import passes


@pytest.fixture
async def own_port(tmp_path: Path) -> AsyncIterator[World]:
    """Discord's side on a port of its own, so that connections can be refused."""
    async with open_world(tmp_path, api_port=0) as opened:
        yield opened


async def works(world: World, seconds: float = 10.0) -> None:
    await world.standin.wait_connected(seconds)
    await world.until(lambda: world.states and world.states[-1].connected, seconds)
    await world.until(lambda: len(world.standin.commands) >= 11, seconds)
    response = await world.person("viewer").run("status")
    assert "api" in text_of(await response.final())


async def test_refused_at_the_start_it_comes_when_discord_does_and_tells_what_waited(own_port: World) -> None:
    own_port.standin.faults.away(hard=True)
    await own_port.start(wait=False)
    await own_port.incident()
    await passes(0.8)
    assert own_port.bot is not None
    assert not own_port.bot.done()
    assert own_port.states[-1].link is Link.CONNECTING
    own_port.standin.faults.back()
    await works(own_port)
    await own_port.standin.wait_for_message(lambda m: "#i1" in text_of(m))


@pytest.mark.parametrize("path", ["/users/@me$", "/oauth2/applications/@me$", "/gateway/bot$", "/commands$"])
@pytest.mark.parametrize("fault", ["reset", "503"])
async def test_a_start_is_finished_whichever_of_its_requests_fails(world: World, path: str, fault: str) -> None:
    world.standin.faults.answer("*", path, times=3, reset=fault == "reset")
    await world.start(wait=False)
    await works(world)


async def test_a_gateway_that_resets_at_the_start_is_asked_again(world: World) -> None:
    world.standin.faults.refuse_gateway(0.6)
    await world.start(wait=False)
    await works(world)


async def test_a_cut_connection_is_resumed_at_once_in_the_same_session(world: World) -> None:
    await world.start()
    starts = world.standin.gateway.starts
    for _ in range(3):
        world.standin.faults.drop_gateway()
        await world.until(lambda: world.standin.connected)
        await passes(0.3)
    assert world.standin.gateway.starts == starts
    await works(world)


async def test_a_session_that_discord_forgot_is_begun_anew(world: World) -> None:
    await world.start()
    world.standin.faults.drop_gateway(resumable=False)
    await world.until(lambda: world.standin.gateway.starts == 2)
    await works(world)


async def test_op_7_is_followed_by_a_resume(world: World) -> None:
    await world.start()
    world.standin.faults.drop_gateway(reconnect_op=True)
    await passes(0.3)  # discord.py reconnects by itself meanwhile
    await works(world)
    assert world.standin.gateway.starts == 1


async def test_after_an_outage_opsbot_is_back_within_the_longest_wait(world: World) -> None:
    pace = ConnectPace(retry_first=0.05, retry_most=0.8, identify=0.0, invalidated=0.02, healthy=0.2)
    await world.start(pace=pace)
    world.standin.faults.away()
    await world.until(lambda: world.link is Link.AWAY)
    # discord.py itself would have reached waits of up to 2^10 s after so many failures.
    await passes(2.0)
    async with asyncio.timeout(30):
        world.standin.faults.back()
        await works(world)


def test_no_number_of_failures_makes_it_wait_longer_than_a_quarter_of_a_minute() -> None:
    pace = ConnectPace()
    assert max(pace.wait(failures) for failures in range(2000)) <= 15.0
    assert pace.wait(1) <= 0.5
    # In the worst case a try has just begun that hangs, and the next comes after the longest wait.
    assert pace.connect + pace.retry_most < 60.0


async def test_a_server_that_accepts_and_hangs_up_does_not_make_it_spin(world: World) -> None:
    await world.start(pace=ConnectPace(retry_first=0.2, retry_most=0.4, identify=0.0, healthy=5.0))
    world.standin.faults.refuse_gateway()
    before = len(world.standin.requests)
    await passes(1.5)  # an outage has to last for its retries to be counted
    world.standin.faults.accept_gateway()
    await world.until(lambda: world.standin.connected)
    assert len(world.standin.requests) - before < 20


async def test_a_held_gateway_is_given_up_in_time(world: World) -> None:
    await world.start(pace=ConnectPace(retry_first=0.05, retry_most=0.2, identify=0.0, connect=0.4))
    world.standin.faults.hold_gateway()
    await passes(1.2)  # some heartbeats stay unanswered meanwhile
    world.standin.faults.release()
    await works(world)


async def test_a_bad_token_is_named_and_tried_again_seldom(world: World) -> None:
    await world.start(wait=False, token="no-such-token")
    await world.until(lambda: world.link is Link.REFUSED)
    assert "token" in world.states[-1].problem
    await passes(0.7)
    assert world.bot is not None
    assert not world.bot.done()
    assert len([request for request in world.standin.requests if request.path.endswith("/users/@me")]) <= 5
    assert ConnectPace().refused == 300.0


async def test_a_token_that_only_the_gateway_refuses_is_named_too(world: World) -> None:
    world.standin.gateway.token = "another"
    await world.start(wait=False)
    await world.until(lambda: world.link is Link.REFUSED)
    assert "token" in world.states[-1].problem
    world.standin.gateway.token = world.standin.token
    await works(world)
    assert world.states[-1].problem == ""


async def test_a_heartbeat_is_stamped_before_it_is_sent(world: World) -> None:
    await world.start()
    (keeper,) = [thread for thread in threading.enumerate() if isinstance(thread, KeepAliveHandler)]
    await world.until(lambda: keeper.latency != float("inf"))
    keeper._last_send -= 3600  # the heartbeat before
    before = keeper._last_ack
    await keeper.ws.send_heartbeat(keeper.get_payload())
    await world.until(lambda: keeper._last_ack != before)
    assert keeper.latency < 3600


async def test_no_privileged_intent_is_asked_for(world: World) -> None:
    await world.start()
    (session,) = world.standin.gateway.sessions.values()
    assert session.intents == 1


async def test_used_up_session_starts_are_waited_for(world: World) -> None:
    limit = {"total": 1000, "remaining": 0, "reset_after": 1000, "max_concurrency": 1}
    body = {"url": world.standin.gateway_url, "shards": 1, "session_start_limit": limit}
    world.standin.faults.answer("GET", "/gateway/bot$", status=200, body=body)
    began = asyncio.get_running_loop().time()
    await world.start(wait=False)
    await world.until(lambda: world.states and "session starts" in world.states[-1].problem)
    await works(world)
    assert asyncio.get_running_loop().time() - began >= 1.0


async def test_two_identifies_are_five_seconds_apart(world: World) -> None:
    await world.start(pace=ConnectPace(retry_first=0.02, identify=1.0, invalidated=0.02))
    began = asyncio.get_running_loop().time()
    world.standin.faults.drop_gateway(resumable=False)
    await world.until(lambda: world.standin.gateway.starts == 2)
    assert asyncio.get_running_loop().time() - began > 0.9
    assert ConnectPace().identify == 5.0


async def test_the_end_comes_within_seconds_and_leaves_no_connection(world: World) -> None:
    await world.start()
    async with asyncio.timeout(60):
        await world.kill()
    await world.until(lambda: not world.standin.gateway.connections)


async def test_it_ends_in_time_while_discord_is_away(world: World) -> None:
    await world.start(pace=QUICK)
    world.standin.faults.away()
    await passes(0.3)  # an outage has to last for its retries to be counted
    async with asyncio.timeout(60):
        await world.kill()


async def test_the_token_is_in_no_log_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    await world.start()
    world.standin.faults.drop_gateway()
    await passes(0.3)
    assert world.standin.token not in "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith(("opsbot", "cogs"))
    )


async def test_a_connection_whose_heartbeats_are_not_answered_is_told_and_so_is_its_mending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsbot.bot.login_loop.LATENCY_SECONDS", 0.1)
    monkeypatch.setattr("opsbot.bot.login_loop.LATE_SECONDS", 0.8)
    async with open_world(tmp_path, heartbeat_seconds=0.3) as world:
        await world.start()
        await passes(1.5)
        assert not any(state.unanswered for state in world.states)
        world.standin.faults.mute_gateway()
        await world.until(lambda: world.states[-1].unanswered)
        assert world.states[-1].connected
        world.standin.faults.mute_gateway(mute=False)
        await world.until(lambda: not world.states[-1].unanswered)
        assert world.states[-1].connected
