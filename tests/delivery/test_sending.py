"""What is in the outbox reaches the channel exactly once, however often Discord goes away and opsbot dies."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from opsbot.core.deployment import Phase
from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.message import plain
from opsbot.core.model import Evidence, NotificationKind, Silence
from opsbot.store import incident_repository, outbox
from tests.cogs.world import BRISK, Json, World, buttons_of, text_of
from tests.fixtures.waiting import passes

MESSAGES = r"/channels/\d+/messages$"


def contents(world: World) -> list[str]:
    return [message["content"] for message in world.posted()]


async def test_an_alarm_is_a_card_and_its_end_stands_in_its_thread(world: World) -> None:
    await world.live("api", "r1", "r2")
    await world.start()
    await world.incident()
    card = await world.standin.wait_for_message(lambda m: "api is DOWN" in m["content"])
    assert buttons_of(card) == ["Acknowledge", "Silence 1 h", "Restart", "Roll back", "Logs"]
    assert "answered 500" in text_of(card)
    assert "bang" in text_of(card)
    await world.recover()
    end = await world.standin.wait_for_message(lambda m: "recovered after" in m["content"], channel_id=int(card["id"]))
    assert "api recovered after" in end["content"]
    assert "restarted by opsbot" in end["content"]
    assert not card["flags"] & 1 << 12
    await world.standin.wait_for_message(lambda m: m["id"] == card["id"] and buttons_of(m) == ["Logs"])
    assert len(world.posted()) == 1


async def test_without_the_right_to_make_threads_the_end_is_a_silent_reply(world: World) -> None:
    world.standin.set_permissions(world.standin.bot_user_id, world.standin.ops_channel_id, deny=1 << 35)
    await world.start()
    await world.incident()
    await world.recover()
    reply = await world.standin.wait_for_message(lambda m: m["type"] == 19)
    assert "api recovered after" in reply["content"]
    assert reply["flags"] & 1 << 12, "the end of a trouble wakes nobody"
    await world.all_told()
    assert len(world.posted()) == 2
    assert "threads" in world.states[-1].problem


async def test_what_came_and_went_while_discord_was_away_is_told_in_order_and_says_how_late(world: World) -> None:
    await world.start()
    world.standin.faults.away()
    await world.incident()
    await world.engine.announce("worker", plain("a word between"), level="warning")
    await world.recover()
    world.parts.shift = timedelta(minutes=14)
    await passes(0.5)
    assert world.posted() == []
    world.standin.faults.back()
    await world.all_told()
    first, second = world.posted()
    assert "#i1" in text_of(first)
    assert "a word between" in second["content"]
    _, opened, third = world.thread(first)
    assert "http: answered 500" in opened["content"]
    assert "recovered after" in third["content"]
    assert all("sent 14 m late: Discord was away" in m["content"] for m in (second, third))
    assert "sent 14 m" in first["content"]


async def test_an_answer_lost_after_the_message_was_stored_gives_one_message(world: World) -> None:
    await world.start()
    world.standin.faults.answer("POST", MESSAGES, reset=True, after_store=True)
    await world.incident()
    await world.all_told()
    assert len(world.posted()) == 1


async def test_a_503_and_a_500_after_the_message_was_stored_give_one_message(world: World) -> None:
    await world.start()
    world.standin.faults.answer("POST", MESSAGES, status=503, after_store=True)
    world.standin.faults.answer("POST", MESSAGES, status=500, after_store=True)
    await world.incident()
    await world.all_told()
    assert len(world.posted()) == 1


async def test_opsbot_killed_between_sending_and_writing_it_down_does_not_send_it_again(world: World) -> None:
    await world.start()
    world.standin.faults.delay(MESSAGES, 0.0)
    await world.incident()
    await world.all_told()
    await world.kill()
    await world.store.write(_never_written_down)
    world.standin.store._nonces.clear()  # the nonce of minutes ago is forgotten: only the channel's history can tell
    await world.start()
    await world.all_told()
    assert len(world.posted()) == 1
    told = await world.store.read(outbox.card, NotificationKind.INCIDENT, 1)
    assert told is not None
    assert str(told.message_id) == world.posted()[0]["id"]


def _never_written_down(db: Any) -> None:
    db.execute("UPDATE notices SET told_at = NULL, message_id = NULL, channel_id = NULL, shown = -1")


async def test_opsbot_killed_before_sending_sends_it_at_the_next_start(world: World) -> None:
    await world.start()
    world.standin.faults.delay(MESSAGES, 5.0, method="POST")
    await world.incident()
    await passes(0.2)  # it is in the middle of sending
    await world.kill()
    world.standin.faults.clear()
    assert (await world.store.read(outbox.waiting))[0] == 2, "the card, and the first line of its thread"
    await world.start()
    await world.all_told()
    assert len(world.posted()) == 1


async def test_killed_again_and_again_while_it_sends_it_tells_each_notice_once(world: World) -> None:
    for number in range(12):
        await world.engine.announce("api", plain(f"word {number}"), level="warning", key=f"w{number}")
    for round_number in range(8):
        world.standin.faults.answer("POST", MESSAGES, reset=True, after_store=True)
        await world.start(wait=False)
        await asyncio.sleep(0.15 + 0.03 * round_number)  # killed at another moment each time
        await world.kill()
    world.standin.faults.clear()
    await world.start()
    await world.all_told()
    assert [text.split("\n")[0] for text in contents(world)] == [f"⚠️ word {number}" for number in range(12)]


async def test_a_refused_message_is_sent_as_its_sentence_and_does_not_hold_up_the_next(world: World) -> None:
    await world.start()
    world.standin.faults.answer("POST", MESSAGES, status=400, body={"code": 50035, "message": "Invalid Form Body"})
    await world.engine.announce("api", plain("first"), level="warning")
    await world.engine.announce("api", plain("second"), level="warning")
    await world.all_told()
    first, second = world.posted()
    assert "first" in first["content"]
    assert first["embeds"] == []
    assert "· #n1" in first["content"]
    assert "second" in second["content"]


async def test_what_discord_never_takes_is_given_up_with_the_reason_kept(world: World) -> None:
    await world.start()
    world.standin.faults.answer(
        "POST", MESSAGES, status=400, body={"code": 50035, "message": "Invalid Form Body"}, times=2
    )
    await world.engine.announce("api", plain("first"), level="warning")
    await world.engine.announce("api", plain("second"), level="warning")
    await world.all_told()
    assert ["second" in text for text in contents(world)] == [True]
    assert "50035" in await world.store.read(_dropped)


def _dropped(db: Any) -> str:
    return str(db.execute("SELECT dropped FROM notices WHERE dropped IS NOT NULL").fetchone()["dropped"])


async def test_a_forbidden_channel_is_reported_and_asked_seldom_until_it_is_mended(world: World) -> None:
    channel = world.standin.ops_channel_id
    world.standin.set_permissions(world.standin.bot_user_id, channel, deny=1 << 11)
    await world.start()
    await world.incident()
    await world.until(lambda: "is not writable" in world.states[-1].problem)
    await passes(1.0)
    tries = [r for r in world.standin.requests if r.method == "POST" and r.path.endswith(f"/{channel}/messages")]
    assert 2 <= len(tries) <= 6
    world.standin.set_permissions(world.standin.bot_user_id, channel, allow=1 << 11)
    await world.all_told()
    await world.until(lambda: world.states[-1].problem == "")
    assert len(world.posted()) == 1


async def test_a_rate_limit_delays_and_keeps_the_order(world: World) -> None:
    await world.start()
    world.standin.faults.rate_limit(MESSAGES, 0.3, times=2, method="POST")
    for number in range(3):
        await world.engine.announce("api", plain(f"word {number}"), level="warning", key=f"w{number}")
    await world.all_told()
    assert [text.split("\n")[0] for text in contents(world)] == [f"⚠️ word {number}" for number in range(3)]


async def test_a_silenced_alarm_comes_when_the_silence_ends_and_deployments_do_not_wait(world: World) -> None:
    await world.start()
    until = world.now() + timedelta(seconds=0.7)
    await world.store.write(incident_repository.put_silence, Silence("api", "Mia", "", world.now(), until))
    await world.incident()
    await world.deployment()
    await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    assert len(world.posted()) == 1
    said = f"-# was silenced until <t:{int(until.timestamp())}:f>"
    card = await world.standin.wait_for_message(lambda m: "#i1" in text_of(m) and said in m["content"])
    await world.store.write(
        incident_repository.add_event, 1, event(IncidentEventKind.NOTE, world.now(), text="a deed after it")
    )
    world.feed.publish("incident", 1)
    edited = await world.standin.wait_for_message(lambda m: m["id"] == card["id"] and "a deed after it" in text_of(m))
    assert said in edited["content"]


async def test_a_deployment_that_went_wrong_is_told_in_a_message_of_its_own_and_one_that_went_well_is_not(
    world: World,
) -> None:
    await world.start()
    good = await world.deployment(service="worker")
    await world.change(good, phase=Phase.LIVE, live_at=world.now())
    bad = await world.deployment(release_from="r1")
    await world.change(bad, phase=Phase.UNDONE, failed_in=Phase.VERIFYING, note=plain("answered 500"))
    reply = await world.standin.wait_for_message(lambda m: m["type"] == 19)
    await world.all_told()
    assert "api: verification of" in reply["content"]
    assert len(world.posted()) == 3


async def test_a_human_is_called_in_a_message_of_its_own(world: World) -> None:
    await world.start()
    opened = await world.incident()
    await world.store.write(
        incident_repository.escalate, opened.id, plain("3 restarts did not help"), world.now(), Evidence()
    )
    world.feed.publish("notice")
    reply = await world.standin.wait_for_message(lambda m: m["type"] == 19)
    assert (
        "api needs attention: automatic recovery gave up: 3 restarts did not help (http: answered 500)."
        in reply["content"]
    )
    assert not reply["flags"] & 1 << 12
    assert "Restart" in buttons_of(reply)


async def test_an_update_can_be_deployed_from_its_notice(world: World) -> None:
    await world.start()
    commit = {"id": "a" * 40, "title": "Better", "author": "Ada", "at": 0}
    body: dict[str, object] = {"text": "api: a new commit", "commit": "a" * 40, "commits": [commit], "total": 3}
    await world.store.write(outbox.put, "u", NotificationKind.UPDATE, "api", world.now(), body=body)
    world.feed.publish("notice")
    message = await world.standin.wait_for_message(lambda m: "a new commit" in m["content"])
    assert "Better" in text_of(message)
    assert "+2 more" in text_of(message)
    answer = await world.person("deployer").click(message, "Deploy")
    assert "started" in (await answer.final())["content"]


def _saying(words: str) -> Callable[[Json], bool]:
    return lambda message: words in message["content"]


async def test_an_alarm_wakes_the_sender_and_waits_for_no_look_at_the_outbox(world: World) -> None:
    await world.start(channel_pace=replace(BRISK, look=3600))
    for number in range(5):
        await world.engine.announce("api", plain(f"word {number}"), level="error", key=f"w{number}")
        await world.standin.wait_for_message(_saying(f"word {number}"))


async def test_a_message_of_an_earlier_database_is_not_taken_for_this_one(world: World) -> None:
    await world.start()
    await world.incident()
    await world.all_told()
    await world.kill()
    await world.store.write(lambda db: db.execute("DELETE FROM notices").rowcount)
    await world.store.write(lambda db: db.execute("DELETE FROM sqlite_sequence WHERE name = 'notices'").rowcount)
    await world.start(channel_pace=BRISK)
    await world.engine.announce("api", plain("another"), level="warning")
    await world.all_told()
    assert len(world.posted()) == 2


async def _failed_with(world: World, text: str) -> None:
    """Until the first notification's last attempt failed with this text."""
    async with asyncio.timeout(30):
        while text not in await world.store.read(
            lambda db: db.execute("SELECT failure FROM notices WHERE told_at IS NULL ORDER BY id").fetchone()[0]
        ):
            await asyncio.sleep(0.01)  # between two looks


async def test_a_ban_by_cloudflare_is_waited_out_as_long_as_it_asks(world: World) -> None:
    """A new alert and a returned connection start a round early, but no request is sent during the ban."""
    await world.start(channel_pace=BRISK)
    world.standin.faults.answer(
        "POST", MESSAGES, status=429, body="<html>banned</html>", headers={"Retry-After": "300"}
    )
    await world.engine.announce("api", plain("first"), level="warning")
    await _failed_with(world, "too many requests")
    sent = len(world.standin.requests)
    await world.engine.announce("api", plain("second"), level="warning")
    world.standin.faults.drop_gateway(resumable=False)
    await _failed_with(world, "bans this host")
    assert [r.path for r in world.standin.requests[sent:] if "/messages" in r.path] == []


async def test_a_message_is_sent_once_the_ban_is_over(world: World) -> None:
    await world.start()
    world.standin.faults.answer("POST", MESSAGES, status=429, body="<html>banned</html>", headers={"Retry-After": "1"})
    await world.engine.announce("api", plain("first"), level="warning")
    await world.all_told()
    assert len([r for r in world.standin.requests if r.method == "POST" and r.status == 429]) == 1
