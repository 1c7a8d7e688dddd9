"""The board: one message, kept true, whatever is killed, deleted, moved or refused."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opsbot.config import Config
from opsbot.core.access import Actor, Origin
from opsbot.store import boards
from tests.cogs.world import BRISK, Json, World, open_world, text_of
from tests.fixtures.waiting import passes, until

if TYPE_CHECKING:
    from opsbot.core.model import Board

MANY, PIN, ONE = r"/channels/\d+/messages$", r"/messages/pins/\d+$", r"/messages/\d+$"
SILENT = 1 << 12
SEND, PIN_MESSAGES = 1 << 11, 1 << 51
EAGER = replace(BRISK, closed=0.2, look=0.1)
"""A minute between two edits, of the clock that the test moves."""


def shown(config: Config) -> Config:
    return replace(config, discord=replace(config.discord, board=True))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, changed=shown) as opened:
        yield opened


def the_boards(world: World, channel: int | None = None) -> list[Json]:
    messages = world.standin.messages(channel or world.standin.ops_channel_id)
    return [message for message in messages if text_of(message).endswith("· #board")]


async def posted(world: World, true: Callable[[Json], object] = lambda _: True) -> Json:
    """The one board, once it is like that and the store knows it."""
    kept: list[Board] = []

    async def look() -> bool:
        kept[:] = await world.store.read(boards.boards)
        found = the_boards(world)
        known = len(found) == 1 and len(kept) == 1 and str(kept[0].message) == found[0]["id"]
        return known and bool(true(found[0])) and (true is not pinned or kept[0].pinned)

    await until(look, 10)
    (board,) = the_boards(world)
    return board


def pinned(message: Json) -> bool:
    return bool(message["pinned"])


def says(words: str) -> Callable[[Json], bool]:
    return lambda message: words in text_of(message)


def later(world: World, seconds: float = 61) -> None:
    world.parts.shift += timedelta(seconds=seconds)


async def test_it_is_posted_silently_pinned_and_nothing_else_is_left_in_the_channel(world: World) -> None:
    await world.live("api", "r1", "r2")
    await world.start(channel_pace=EAGER)
    board = await posted(world, pinned)
    await world.until(lambda: len(world.posted()) == 1)
    assert board["flags"] & SILENT
    assert (board["mentions"], board["mention_roles"], board["mention_everyone"]) == ([], [], False)
    assert board["content"] == "🟢 2 services, all healthy."
    text = text_of(board)
    assert "🟢 **api** · `0000000` live <t:" in text
    assert "🖥️ **blue**" in text
    assert "last change <t:" in text


async def test_what_is_wrong_is_on_it_first_with_who_has_it_and_where_its_card_is(world: World) -> None:
    await world.start(channel_pace=EAGER)
    await posted(world)
    incident = await world.incident("worker", "http: answered <@1> 500")
    card = await world.standin.wait_for_message(lambda message: "#i1" in text_of(message))
    await world.engine.acknowledgements.take(_mia(world), "worker", "on it", incident.id)
    later(world)
    board = await posted(world, says("acknowledged by"))
    first = board["embeds"][0]["description"].split("\n")[0]
    assert first.startswith("🔴 **worker** down since <t:")
    assert "👀 acknowledged by Mia" in first
    assert f"/{card['id']})" in first
    assert "<@1>" not in first
    assert board["content"] == "🔴 1 of 2 services down: worker."
    assert board["mentions"] == []


def _mia(world: World) -> Actor:
    return Actor(
        Origin.DISCORD, str(world.people["operator"]), "Mia", frozenset({str(world.standin.roles["operator"])})
    )


async def test_edits_are_a_minute_apart_and_none_is_made_where_nothing_changed(world: World) -> None:
    await world.start(channel_pace=EAGER)
    board = await posted(world, pinned)
    await world.incident("api")
    await world.all_told()
    await passes(0.4)
    assert the_boards(world) == [board], "it was posted a moment ago"
    later(world)
    edited = await posted(world, says("1 of 2 services down"))
    for _ in range(5):
        await world.recover("api")
        await world.incident("api", "again")
        await asyncio.sleep(0.05)  # changes come one after the other
    await world.all_told()
    await passes(0.3)
    assert the_boards(world) == [edited]
    later(world)
    last = await posted(world, says("again"))
    later(world, 3600)
    await passes(0.4)
    assert the_boards(world) == [last], "time passes by itself in the client"


async def test_a_restart_posts_nothing_and_edits_nothing_while_all_is_as_it_was(world: World) -> None:
    await world.start(channel_pace=EAGER)
    board = await posted(world, pinned)
    for _ in range(2):
        await world.kill()
        later(world, 600)
        await world.start(channel_pace=EAGER)
        await passes(0.3)
    assert world.posted() == [board]


async def test_killed_before_it_knows_that_it_was_posted_it_finds_its_board(world: World) -> None:
    world.standin.faults.answer("POST", MANY, reset=True, after_store=True, times=1)
    await world.start(channel_pace=replace(EAGER, retry_first=60, retry_most=60))
    await world.until(lambda: len(the_boards(world)) == 1)
    await world.kill()
    (kept,) = await world.store.read(boards.boards)
    assert kept.message is None
    world.standin.store._nonces.clear()  # as minutes later
    await world.start(channel_pace=EAGER)
    await posted(world, pinned)
    assert len(world.posted()) == 1


@pytest.mark.real_time
async def test_killed_at_any_moment_there_is_one_board(world: World) -> None:
    """A process of its own, with SIGKILL, at moments spread over its first steps."""
    for number in range(6):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.delivery.child", str(world.config.path.parent), world.standin.api_url),
            *(world.standin.token, "board"),
        )
        try:
            world.standin.faults.delay(r"/messages", 0.03, times=100)
            if number == 0:
                await world.until(lambda: the_boards(world), 20)
            else:
                await world.standin.wait_connected(20)
                await asyncio.sleep(0.02 * number)  # killed at another moment each time
        finally:
            child.kill()
            await child.wait()
        world.standin.faults.clear()
        world.standin.store._nonces.clear()
    await world.start(channel_pace=EAGER)
    await posted(world, pinned)


async def test_a_deleted_board_is_posted_anew(world: World) -> None:
    await world.start(channel_pace=replace(EAGER, board_look=0.1))
    before = await posted(world, pinned)
    world.standin.delete_message(before["id"])
    after = await posted(world, pinned)
    assert after["id"] != before["id"]


async def test_deleted_while_opsbot_was_away_it_is_posted_anew(world: World) -> None:
    await world.start(channel_pace=EAGER)
    before = await posted(world, pinned)
    await world.kill()
    world.standin.delete_message(before["id"])
    await world.start(channel_pace=EAGER)
    await posted(world, lambda message: message["pinned"] and message["id"] != before["id"])


async def test_in_another_channel_it_is_posted_there_and_taken_from_here(tmp_path: Path) -> None:
    moved: list[int] = []

    def there(config: Config) -> Config:
        return replace(config, discord=replace(config.discord, board=True, ops_channel_id=moved[0]))

    async with open_world(tmp_path, changed=shown) as world:
        await world.start(channel_pace=EAGER)
        await posted(world, pinned)
        await world.kill()
        old = world.standin.ops_channel_id
        moved.append(world.standin.add_channel("ops-2"))
        world.engine.config = world.config = there(world.config)
        await world.start(channel_pace=EAGER)
        await world.until(lambda: the_boards(world, moved[0]) and not the_boards(world, old))


async def test_switched_off_it_is_taken_away(world: World) -> None:
    await world.start(channel_pace=EAGER)
    await posted(world, pinned)
    await world.kill()
    world.engine.config = replace(world.config, discord=replace(world.config.discord, board=False))
    await world.start(channel_pace=EAGER)
    await world.until(lambda: world.posted() == [])
    async with asyncio.timeout(10):  # it is forgotten once it is taken away
        while await world.store.read(boards.boards):
            await asyncio.sleep(0.01)  # between two looks


@pytest.mark.parametrize("may_pin", [True, False])
async def test_a_new_store_takes_up_the_board_that_is_there(world: World, *, may_pin: bool) -> None:
    if not may_pin:
        world.standin.set_permissions(world.standin.bot_user_id, world.standin.ops_channel_id, deny=PIN_MESSAGES)
    await world.start(channel_pace=EAGER)
    first = await posted(world, pinned if may_pin else lambda _: True)
    await world.kill()
    await world.store.write(boards.forget, world.standin.ops_channel_id)
    await world.start(channel_pace=EAGER)
    again = await posted(world)
    assert again["id"] == first["id"]


async def test_of_two_that_are_pinned_one_is_left(world: World) -> None:
    await world.start(channel_pace=EAGER)
    await posted(world, pinned)
    await world.kill()
    await world.store.write(boards.forget, world.standin.ops_channel_id)
    store, ops = world.standin.store, world.standin.state.channels[world.standin.ops_channel_id]
    embed = {"description": "from another database", "footer": {"text": "blue · #board"}}
    second = store.send(ops, world.standin.state.bot, {"content": "", "embeds": [embed]}, [])
    store.pin(ops, int(second["id"]), pinned=True)
    await world.start(channel_pace=EAGER)
    await posted(world)
    later(world)
    await posted(world, says("all healthy"))


async def test_without_the_right_to_pin_it_works_unpinned_and_is_pinned_once_it_may(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bot, channel = world.standin.bot_user_id, world.standin.ops_channel_id
    world.standin.set_permissions(bot, channel, deny=PIN_MESSAGES)
    await world.start(channel_pace=EAGER)
    await posted(world)
    await world.incident("api")
    later(world)
    board = await posted(world, says("services down"))
    await passes(0.3)
    assert not board["pinned"]
    said = [one for one in caplog.records if "grant Pin Messages" in one.getMessage()]
    assert len(said) == 1
    assert world.states[-1].problem == ""
    world.standin.set_permissions(bot, channel, allow=PIN_MESSAGES)
    await posted(world, pinned)


async def test_a_pin_that_somebody_takes_away_is_not_put_back(world: World) -> None:
    await world.start(channel_pace=EAGER)
    board = await posted(world, pinned)
    ops = world.standin.state.channels[world.standin.ops_channel_id]
    world.standin.store.pin(ops, int(board["id"]), pinned=False)
    await world.kill()
    await world.incident("api")
    later(world)
    await world.start(channel_pace=EAGER)
    board = await posted(world, says("services down"))
    assert not board["pinned"]


async def test_alarms_go_before_it(world: World) -> None:
    incident = await world.incident("api")
    await world.start(channel_pace=EAGER)
    await posted(world)
    card, board, *_ = world.posted()
    assert text_of(card).endswith(f"· #i{incident.id}")
    assert text_of(board).endswith("· #board")


async def test_a_storm_is_one_edit(world: World) -> None:
    await world.start(channel_pace=EAGER)
    await posted(world, pinned)
    edits = len([one for one in world.standin.requests if one.method == "PATCH"])
    for number in range(10):
        await world.incident("api", f"cause {number}")
        await world.recover("api")
    await world.incident("api", "the last")
    later(world)
    await world.all_told(60)
    board = await posted(world, says("the last"))
    mine = [one for one in world.standin.requests if one.method == "PATCH" and one.path.endswith(board["id"])]
    assert edits == 0
    assert len(mine) == 1


async def test_a_closed_channel_and_discord_away_are_waited_out(world: World) -> None:
    bot, channel = world.standin.bot_user_id, world.standin.ops_channel_id
    world.standin.set_permissions(bot, channel, deny=SEND)
    await world.start(channel_pace=EAGER)
    await passes(0.3)
    assert world.posted() == []
    world.standin.set_permissions(bot, channel, allow=SEND)
    world.standin.faults.answer("POST", MANY, status=503, after_store=True, times=2)
    await posted(world, pinned)
    world.standin.faults.answer("PATCH", ONE, status=503, after_store=True, times=1)
    await world.incident("api")
    later(world)
    await posted(world, says("services down"))
    assert len(the_boards(world)) == 1
