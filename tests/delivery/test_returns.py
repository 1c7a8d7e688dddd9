"""opsbot that is cut short again and again, over hours: what is one message, what is another, when it is an alarm.

Played with real kills in `scenarios/test_returns.py`.
"""

from datetime import timedelta

from opsbot.core.message import plain
from opsbot.core.subjects import OPSBOT
from opsbot.daemon import crash_loop
from opsbot.messages import render
from opsbot.store import incident_repository, outbox
from tests.cogs.world import World, text_of

MINUTE = timedelta(minutes=1)


async def back(world: World, times: int = 1, every: timedelta = timedelta(0)) -> None:
    """opsbot comes back so often; the clock moves before each time."""
    for _ in range(times):
        world.parts.shift += every
        await crash_loop.announce_unclean_exit(world.engine, "pid 7, running since <t:1766000000:f>")


def backs(world: World) -> list[str]:
    return [message["content"] for message in world.posted() if "back" in message["content"]]


async def said(world: World, words: str) -> None:
    await world.until(lambda: any(words in text for text in backs(world)))


async def test_returns_within_an_hour_of_the_first_are_edited_into_its_message_and_wake_nobody(world: World) -> None:
    await world.start()
    await back(world)
    await said(world, "opsbot is back. The one before (pid 7, running since <t:1766000000:f>) was killed or crashed")
    await back(world, every=50 * MINUTE)
    await said(world, "came back 2 times since <t:")
    assert len(backs(world)) == 1
    await back(world, every=50 * MINUTE)
    await world.until(lambda: len(backs(world)) == 2)
    assert backs(world)[1].startswith("ℹ️ opsbot is back."), "an hour later it is news again"
    assert await world.store.read(incident_repository.open_incidents) == {}


async def test_three_within_an_hour_are_an_incident_though_an_hour_of_messages_ends_between_them(world: World) -> None:
    await world.start()
    await back(world)
    await back(world, 3, every=25 * MINUTE)
    await world.all_told()
    (incident,) = (await world.store.read(incident_repository.open_incidents)).values()
    assert incident.service == OPSBOT
    assert render(incident.cause) == "ended 3 times within 50 m without being stopped"
    (card,) = [message for message in world.posted() if "opsbot itself" in message["content"]]
    assert card["content"].startswith("🔴 opsbot itself: ended 3 times within 50 m")
    assert "`journalctl -u opsbot` shows why each one ended" in text_of(card)


async def test_while_the_incident_is_open_all_returns_are_one_message_and_calm_ends_it(world: World) -> None:
    await world.start()
    await back(world, 200, every=2 * MINUTE)
    await said(world, "came back 200 times since <t:")
    assert len(backs(world)) == 1
    world.parts.shift += 29 * MINUTE
    await crash_loop.resolve_when_stable(world.engine)
    assert OPSBOT in await world.store.read(incident_repository.open_incidents)
    world.parts.shift += 2 * MINUTE
    await crash_loop.resolve_when_stable(world.engine)
    assert await world.store.read(incident_repository.open_incidents) == {}
    await world.until(lambda: any("opsbot itself needed attention for" in text_of(each) for each in world.posted()))
    await crash_loop.resolve_when_stable(world.engine)  # nothing to end


async def test_a_deleted_message_is_posted_anew_and_goes_on_to_count(world: World) -> None:
    await world.start()
    await back(world, 2, every=MINUTE)
    await said(world, "came back 2 times")
    (message,) = world.posted()
    world.standin.delete_message(message["id"])
    await back(world, every=MINUTE)
    await said(world, "came back 3 times")
    await world.all_told()
    assert len(backs(world)) == 1
    assert OPSBOT in await world.store.read(incident_repository.open_incidents)


async def test_those_told_before_this_version_are_left_as_they_are(world: World) -> None:
    await world.engine.announce("", plain("opsbot is back. The one before (…) was killed"), key="cut-short:pid 3")
    await back(world)
    first, second = await world.store.read(outbox.pending, world.now())
    assert first.key == "cut-short:pid 3"
    assert second.body["count"] == 1
