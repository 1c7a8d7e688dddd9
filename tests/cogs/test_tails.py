"""A live tail: it shows new lines, is edited within Discord's limits, and ends whatever happens."""

import asyncio
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from cogs.delivery import live_tails
from opsbot.core.message import plain
from opsbot.services.port import ManagerError
from opsbot.store import audit
from tests.cogs.world import BRISK, Json, World, buttons_of
from tests.fixtures.waiting import passes

EDIT = r"/channels/\d+/messages/\d+"


async def begin(world: World, service: str = "api", who: str = "operator", **options: Any) -> Json:
    """Begin a tail; its message."""
    response = await world.person(who).run("logs", service=service, follow=True, **options)
    answer = (await response.final())["content"]
    assert response.ephemeral
    assert "started in the ops channel" in answer, answer
    return world.standin.message(answer.rsplit("/", 1)[1])


def now(world: World, message: Json) -> Json:
    return world.standin.message(message["id"])


async def until_shown(world: World, message: Json, text: str) -> Json:
    await world.until(lambda: text in now(world, message)["content"])
    return now(world, message)


async def test_it_shows_the_last_lines_and_those_that_come_in_one_message(world: World) -> None:
    for n in range(30):
        world.manager.write(f"old {n}")
    message = await begin(world)
    assert message["channel_id"] == str(world.standin.ops_channel_id)
    assert "old 29" in message["content"]
    assert "old 9\n" not in message["content"], "twenty lines, and no more"
    assert buttons_of(message) == ["Stop"]
    world.manager.write("new ``` @everyone \x1b[31mred")
    shown = await until_shown(world, message, "red")
    assert "old 29" in shown["content"]
    assert shown["content"].count("```") == 2, "it cannot leave its code block"
    assert not shown["mention_everyone"]
    assert len(world.posted()) == 1
    entries = await world.store.read(audit.entries, "api", None, 10)
    assert "following" in [entry.result for entry in entries]


async def test_it_is_edited_no_more_often_than_its_pace_and_ends_with_the_last_line(world: World) -> None:
    await world.kill()
    await world.start(channel_pace=replace(BRISK, tail=0.5))
    message = await begin(world)
    before = edits(world)
    for n in range(100):
        world.manager.write(f"n {n} {'x' * 300}")
        await asyncio.sleep(0.015)  # lines come faster than the tail may be edited
    await until_shown(world, message, "n 99 ")
    assert 1 < edits(world) - before <= 4, "a hundred lines in 1.5 s, and an edit each 0.5 s"
    assert len(now(world, message)["content"]) <= 2000


def edits(world: World) -> int:
    return sum(request.method == "PATCH" and "/messages/" in request.path for request in world.standin.requests)


async def test_nothing_is_edited_while_nothing_is_written(world: World) -> None:
    world.manager.write("quiet")
    await begin(world)
    before = edits(world)
    await passes(0.6)
    assert edits(world) == before


async def test_stop_ends_it_and_says_who(world: World) -> None:
    world.manager.write("a line")
    message = await begin(world)
    response = await world.person("deployer").click(message, "Stop")
    assert "stopped" in (await response.final())["content"]
    assert response.ephemeral
    shown = await until_shown(world, message, "has ended: stopped by deployer")
    assert "a line" in shown["content"]
    assert buttons_of(shown) == []
    await world.until(lambda: not world.manager.followers)
    await begin(world)


async def test_it_ends_by_itself_after_its_time(world: World) -> None:
    await world.kill()
    await world.start(channel_pace=replace(BRISK, tail_most=0.5))
    shown = await until_shown(world, await begin(world), "has ended: its time limit was reached")
    assert buttons_of(shown) == []
    await world.until(lambda: not world.manager.followers)


async def test_it_ends_when_opsbot_stops_and_says_so(world: World) -> None:
    message = await begin(world)
    world.manager.write("last words")
    await world.kill()
    shown = now(world, message)
    assert "has ended: opsbot is stopping" in shown["content"]
    assert "last words" in shown["content"]
    assert buttons_of(shown) == []
    assert not world.manager.followers


async def test_one_that_a_dead_opsbot_left_is_ended_by_its_button(world: World) -> None:
    world.manager.write("a line")
    message = await begin(world)
    world.standin.faults.answer("PATCH", EDIT, reset=True, times=100)
    await world.kill()
    world.standin.faults.clear()
    assert buttons_of(now(world, message)) == ["Stop"]
    await world.start()
    response = await world.person("operator").click(message, "Stop")
    assert "has already ended" in (await response.final())["content"]
    shown = now(world, message)
    assert "this live tail has ended" in shown["content"]
    assert "a line" in shown["content"]
    assert buttons_of(shown) == []


async def test_one_a_service_and_few_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    message = await begin(world)
    again = await world.person("admin").run("logs", service="api", follow=True)
    assert (
        f"already has a live tail. https://discord.com/channels/{world.standin.guild_id}"
        in (await again.final())["content"]
    )
    assert message["id"] in again.content
    monkeypatch.setattr(live_tails, "AT_MOST", 1)
    other = await world.person("admin").run("logs", service="worker", follow=True)
    assert "Limit of 1 live tail reached" in (await other.final())["content"]
    assert len(world.posted()) == 1


async def test_it_ends_when_its_service_is_taken_out_of_the_configuration(world: World) -> None:
    message = await begin(world)
    services = {name: service for name, service in world.config.services.items() if name != "api"}
    world.engine.config = replace(world.config, services=MappingProxyType(services))
    world.manager.write("a line")
    await until_shown(world, message, "has ended: the service is no longer configured")


async def test_it_says_so_when_the_log_cannot_be_followed(world: World) -> None:
    world.manager.follow_error = ManagerError(plain("the *journal* cannot be read"))
    response = await world.person("operator").run("logs", service="api", follow=True)
    await response.final()
    shown = await world.standin.wait_for_message(lambda m: "following the log failed" in m["content"])
    assert r"the \*journal\* cannot be read" in shown["content"]


async def test_it_takes_up_again_when_discord_was_away(world: World) -> None:
    message = await begin(world)
    world.standin.faults.answer("PATCH", EDIT, reset=True, times=4)
    world.manager.write("meanwhile")
    await until_shown(world, message, "meanwhile")
    assert buttons_of(now(world, message)) == ["Stop"]


async def test_a_deleted_message_ends_it(world: World) -> None:
    message = await begin(world)
    world.standin.delete_message(message["id"])
    world.manager.write("a line")
    await world.until(lambda: not world.manager.followers)


async def test_a_channel_that_cannot_be_written_to_is_said_to_the_one_who_asked(world: World) -> None:
    path = rf"/channels/{world.standin.ops_channel_id}/messages"
    world.standin.faults.answer("POST", path, status=403, body={"code": 50013, "message": "Missing Permissions"})
    response = await world.person("operator").run("logs", service="api", follow=True)
    assert "cannot be posted in the ops channel: Missing Permissions" in (await response.final())["content"]
    await world.until(lambda: not world.manager.followers)
    await begin(world)


async def test_since_and_grep_do_not_go_with_it_and_a_level_does(world: World) -> None:
    response = await world.person("operator").run("logs", service="api", follow=True, grep="x")
    assert "leave out since and grep" in (await response.final())["content"]
    message = await begin(world, level="error")
    world.manager.write("all is well", "info")
    world.manager.write("all is lost", "error")
    assert "all is well" not in (await until_shown(world, message, "all is lost"))["content"]


async def test_an_alert_is_not_held_up_by_tails(world: World) -> None:
    message = await begin(world)
    for n in range(50):
        world.manager.write(f"n {n}")
    await world.incident()
    card = await world.standin.wait_for_message(lambda m: "#i1" in str(m["embeds"]))
    await world.recover()
    await world.until(lambda: "was down" in str(world.standin.message(card["id"])) or "well" in str(now(world, card)))
    await until_shown(world, message, "n 49")
