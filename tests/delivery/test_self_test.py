"""The alert path is proven: when, how, and what is said where it does not work."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cogs.delivery import sender
from opsbot.core.model import DeliveryTest
from opsbot.standin.state import BOT_ROLE_ID
from opsbot.store import channel_state
from tests.cogs.world import BRISK, World, text_of
from tests.fixtures.waiting import passes

if TYPE_CHECKING:
    from collections.abc import Callable

SEND = 1 << 11
SOON = sender.DeliveryPace(
    retry_first=0.02, retry_most=0.2, closed=0.3, look=0.2, card=0.05, test_first=0.0, test_settle=0.05
)


async def proof(world: World) -> DeliveryTest | None:
    return await world.store.read(channel_state.delivery_test, world.standin.ops_channel_id)


async def proven(world: World, after: datetime | None = None) -> DeliveryTest:
    """The next proof that went well."""
    async with asyncio.timeout(10):
        while True:
            now = await proof(world)
            if now is not None and now.proven_at is not None and (after is None or now.proven_at > after):
                return now
            await asyncio.sleep(0.02)  # between two looks


def probes(world: World) -> list[str]:
    return [
        request.method
        for request in world.standin.requests
        if "/messages" in request.path and request.method in {"POST", "PATCH", "DELETE"}
    ]


async def test_at_the_start_a_silent_message_is_posted_edited_and_deleted(world: World) -> None:
    await world.start(channel_pace=SOON)
    value = await proven(world)
    assert value.failure == ""
    assert probes(world) == ["POST", "PATCH", "DELETE"]
    assert world.posted() == []
    response = await world.person("viewer").run("status")
    assert "alert path last proven <t:" in text_of(await response.final())


async def test_it_is_proven_again_after_a_week_and_not_before(world: World) -> None:
    await world.start(channel_pace=SOON)
    first = await proven(world)
    world.parts.shift = timedelta(days=6)
    await passes(0.5)
    assert len(probes(world)) == 3
    world.parts.shift = timedelta(days=7, seconds=5)
    await proven(world, first.proven_at)
    assert probes(world) == ["POST", "PATCH", "DELETE"] * 2


async def test_it_is_proven_anew_when_the_channel_a_role_or_its_own_roles_change(world: World) -> None:
    await world.start(channel_pace=SOON)
    last = await proven(world)
    bot, channel = world.standin.bot_user_id, world.standin.ops_channel_id
    extra = world.standin.add_role("extra")
    changes: tuple[Callable[[], None], ...] = (
        lambda: world.standin.set_permissions(world.standin.roles["viewer"], channel, allow=SEND),
        lambda: world.standin.set_role_permissions(extra, 1 << 10),
        lambda: world.standin.set_roles(bot, [BOT_ROLE_ID, extra]),
    )
    for change in changes:
        change()
        last = await proven(world, last.proven_at)


async def test_a_lost_permission_is_known_before_the_next_alarm_named_and_said_elsewhere_once(world: World) -> None:
    await world.start(channel_pace=SOON)
    good = await proven(world)
    bot, channel = world.standin.bot_user_id, world.standin.ops_channel_id
    world.standin.set_permissions(bot, channel, deny=SEND)
    await world.until(lambda: "alert delivery does not work" in world.states[-1].problem)
    assert "Send Messages" in world.states[-1].problem
    general = next(c.id for c in world.standin.state.channels.values() if c.name == "general")
    told = await world.standin.wait_for_message(lambda m: "cannot write to its channel" in m["content"])
    assert told["channel_id"] == str(general)
    response = await world.person("viewer").run("status")
    assert "⚠️ alert path last proven" in text_of(await response.final())
    world.standin.set_permissions(bot, channel, allow=SEND)
    await proven(world, good.proven_at)
    await world.until(lambda: world.states[-1].problem == "")
    assert len(world.standin.messages(general)) == 1


async def test_what_waited_for_the_channel_comes_as_soon_as_it_is_mended(world: World) -> None:
    await world.start(channel_pace=replace(SOON, closed=600.0))
    await proven(world)
    bot, channel = world.standin.bot_user_id, world.standin.ops_channel_id
    world.standin.set_permissions(bot, channel, deny=SEND)
    await world.incident()
    await world.standin.wait_for_message(lambda m: "cannot write to its channel" in m["content"])
    assert world.posted() == []
    world.standin.set_permissions(bot, channel, allow=SEND)
    await world.standin.wait_for_message(lambda m: m["content"].startswith("🔴 api is DOWN"))


async def test_a_deleted_channel_is_known_before_the_next_alarm_and_said_elsewhere(world: World) -> None:
    await world.start(channel_pace=SOON)
    await proven(world)
    general = next(c.id for c in world.standin.state.channels.values() if c.name == "general")
    world.standin.remove_channel(world.standin.ops_channel_id)
    told = await world.standin.wait_for_message(
        lambda m: "cannot write to its channel" in m["content"], channel_id=general
    )
    assert told["channel_id"] == str(general)
    response = await world.person("viewer").run("status", channel_id=general)
    assert "⚠️ alert path last proven" in text_of(await response.final())


async def test_a_missing_right_that_is_not_needed_to_write_is_named_too(world: World) -> None:
    world.standin.set_permissions(world.standin.bot_user_id, world.standin.ops_channel_id, deny=1 << 35)
    await world.start(channel_pace=SOON)
    value = await proven(world)
    assert value.failure == "missing: Create Public Threads"
    await world.until(lambda: "in the ops channel: Create Public Threads" in world.states[-1].problem)


async def test_a_probe_that_opsbot_left_behind_is_taken_away(world: World) -> None:
    await world.start(channel_pace=SOON)
    world.standin.faults.answer("DELETE", r"/messages/\d+$", status=503, times=100)
    await world.until(lambda: len(world.posted()) == 1)
    await world.until(lambda: world.posted()[0]["edited_timestamp"])
    await world.kill()
    world.standin.faults.clear()
    await world.start(channel_pace=SOON)
    await proven(world)
    assert world.posted() == []


async def test_discord_being_away_is_no_failure_of_the_path(world: World) -> None:
    await world.start(channel_pace=BRISK)
    await world.kill()
    world.standin.faults.answer("POST", r"/messages$", status=503, times=3)
    await world.start(channel_pace=SOON)
    value = await proven(world)
    assert value.failure == ""
