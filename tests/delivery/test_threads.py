"""The thread of an incident: its timeline in order, each line once, and what happens where there can be none."""

from typing import Any

import pytest

from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.message import plain
from opsbot.core.model import Evidence, NotificationKind
from opsbot.store import incident_repository, outbox
from tests.cogs.world import Json, World, text_of
from tests.fixtures.waiting import passes

THREADS = r"/messages/\d+/threads$"
MANY = r"/channels/\d+/messages$"


async def deed(world: World, number: int, text: str, **more: Any) -> None:
    note = event(IncidentEventKind.NOTE, world.now(), text=text)
    await world.store.write(incident_repository.add_event, number, note, **more)
    world.feed.publish("notice")
    world.feed.publish("incident", number)


async def opened(world: World, service: str = "api") -> Json:
    incident = await world.incident(service)
    card = await world.standin.wait_for_message(lambda m: f"#i{incident.id}" in text_of(m))
    await world.all_told()
    return card


def lines(world: World, card: Json) -> list[str]:
    return [message["content"].split("> ")[-1] for message in world.thread(card)[1:]]


async def test_the_timeline_is_written_in_order_each_line_once(world: World) -> None:
    await world.start()
    card = await opened(world)
    for number in range(3):
        await deed(world, 1, f"restart {number + 1} of 3")
    await deed(world, 1, "waits: it may be started <t:1772366400:R>")
    await world.recover()
    await world.all_told()
    assert "it may be started <t:1772366400:R>" in world.thread(card)[5]["content"]
    said = lines(world, card)
    assert said[:4] == ["http: answered 500", "restart 1 of 3", "restart 2 of 3", "restart 3 of 3"]
    assert "recovered after" in said[-1]
    assert len(world.posted()) == 1
    thread = world.standin.state.channels[int(card["id"])]
    assert thread.name == "api: http: answered 500"


async def test_an_answer_lost_after_a_line_was_stored_gives_one_line(world: World) -> None:
    await world.start()
    card = await opened(world)
    world.standin.faults.answer("POST", MANY, reset=True, after_store=True, times=3)
    for number in range(3):
        await deed(world, 1, f"deed {number}")
    await world.all_told()
    assert lines(world, card)[1:] == ["deed 0", "deed 1", "deed 2"]


async def test_equal_lines_of_one_second_in_doubt_are_each_told_once(world: World) -> None:
    await world.start()
    card = await opened(world)
    at = world.now()
    for _ in range(3):
        await world.store.write(outbox.line, 1, "api", event(IncidentEventKind.DIED, at))
    world.feed.publish("notice")
    await world.all_told()
    await world.kill()
    await world.store.write(_forget_lines)
    world.standin.store._nonces.clear()
    await world.start()
    await world.all_told()
    assert lines(world, card)[1:] == ["process died again"] * 3


def _forget_lines(db: Any) -> None:
    """As if it was killed after sending and before writing it down."""
    db.execute("UPDATE notices SET told_at = NULL, message_id = NULL WHERE kind = 'timeline'")


async def test_a_thread_whose_making_got_no_answer_is_made_once(world: World) -> None:
    await world.start()
    world.standin.faults.answer("POST", THREADS, status=503, after_store=True, times=2)
    card = await opened(world)
    assert lines(world, card) == ["http: answered 500"]


async def test_a_persons_own_thread_on_the_card_is_used(world: World) -> None:
    await world.start()
    world.standin.faults.answer("POST", THREADS, status=400, body={"code": 160004, "message": "there is one"})
    world.standin.state.listeners.append(lambda event: _as_a_person(world, event))
    card = await opened(world)
    assert lines(world, card) == ["http: answered 500"]


def _as_a_person(world: World, event: Any) -> None:
    if event.name == "MESSAGE_CREATE" and event.data["channel_id"] == str(world.standin.ops_channel_id):
        parent = world.standin.state.channels[world.standin.ops_channel_id]
        world.standin.store.start_thread(parent, {"name": "what is it?"}, message_id=int(event.data["id"]))


async def test_a_deleted_thread_is_made_anew_and_says_so(world: World) -> None:
    await world.start()
    card = await opened(world)
    world.standin.state.remove_channel(int(card["id"]))
    await deed(world, 1, "restart 1 of 3")
    await deed(world, 1, "restart 2 of 3")
    await world.all_told()
    (thread,) = world.standin.state.threads_of(world.standin.ops_channel_id)
    said = [message["content"].split("> ")[-1] for message in world.standin.messages(thread.id)]
    assert said == [
        "restart 1 of 3",
        "restart 2 of 3",
        "the thread before this one was deleted; the timeline continues here",
    ]
    await world.standin.wait_for_message(lambda m: f"<#{thread.id}>" in text_of(m))


async def test_a_deleted_card_of_an_open_incident_is_posted_anew_once_and_says_so(world: World) -> None:
    await world.start()
    card = await opened(world)
    world.standin.delete_message(card["id"])
    await deed(world, 1, "restart 1 of 3")
    again = await world.standin.wait_for_message(lambda m: "posted again" in m["content"])
    assert "#i1" in text_of(again)
    await world.recover()
    await world.all_told()
    await passes(0.2)
    assert [message["id"] for message in world.posted()] == [again["id"]]
    assert lines(world, card)[1] == "restart 1 of 3", "the thread outlives the card it was made from"


async def test_a_card_deleted_before_its_thread_was_made_gets_both_anew(world: World) -> None:
    await world.start()
    world.standin.faults.answer("POST", THREADS, status=404, body={"code": 10008, "message": "Unknown Message"})
    await world.incident()
    again = await world.standin.wait_for_message(lambda m: "posted again" in m["content"])
    await world.all_told()
    assert lines(world, again) == ["http: answered 500"]


async def test_an_archived_thread_is_opened_by_writing(world: World) -> None:
    await world.start()
    card = await opened(world)
    thread = world.standin.state.channels[int(card["id"])]
    thread.archived = True
    await deed(world, 1, "restart 1 of 3")
    await world.all_told()
    assert lines(world, card)[1] == "restart 1 of 3"
    assert not thread.archived


@pytest.mark.parametrize("archived", [False, True])
async def test_a_locked_thread_is_said_in_the_channel_once_and_the_end_comes_there(
    world: World, archived: bool
) -> None:
    await world.start()
    card = await opened(world)
    thread = world.standin.state.channels[int(card["id"])]
    thread.locked, thread.archived = True, archived
    await deed(world, 1, "restart 1 of 3")
    await deed(world, 1, "restart 2 of 3")
    await world.recover()
    await world.all_told()
    _, told, end = sorted(world.posted(), key=lambda m: "recovered after" in m["content"])
    assert "locked" in told["content"]
    assert end["type"] == 19
    assert len(world.thread(card)) == 2


async def test_a_line_does_not_keep_an_alarm_waiting(world: World) -> None:
    await world.start()
    await opened(world)
    for number in range(8):
        await world.store.write(
            outbox.line, 1, "api", event(IncidentEventKind.NOTE, world.now(), text=f"deed {number}")
        )
    await world.incident("worker")
    untold = await world.store.read(outbox.pending, world.now())
    assert untold[0].kind is NotificationKind.INCIDENT
    await world.standin.wait_for_message(lambda m: "worker is DOWN" in m["content"])
    await world.all_told(30)
    await world.standin.wait_for_message(lambda m: "deed 7" in m["content"], channel_id=None)


async def test_a_silenced_incident_writes_no_lines_before_its_card(world: World) -> None:
    await world.start()
    await world.engine.services.silence(_operator(world), "api")
    await world.incident()
    await deed(world, 1, "restart 1 of 3")
    assert (await world.store.read(outbox.waiting))[0] > 0
    assert await world.store.read(outbox.waiting, world.now()) == (0, None), "it does not wait for Discord"
    await world.recover()
    await passes(0.3)
    assert world.posted() == []
    assert (await world.store.read(outbox.waiting))[0] == 0, "what came and went in a silence is not told"


def _operator(world: World) -> Any:
    from opsbot.core.access import Actor, Origin  # noqa: PLC0415

    return Actor(Origin.DISCORD, "1", "Mia", frozenset({str(world.standin.roles["operator"])}))


async def test_a_call_for_a_human_that_comes_when_it_is_over_says_so_and_wakes_nobody(world: World) -> None:
    world.standin.faults.away()
    await world.incident("api")
    await world.store.write(incident_repository.escalate, 1, plain("it did not help"), world.now(), Evidence())
    await world.recover("api")
    await world.start(wait=False)
    world.standin.faults.back()
    await world.all_told(30)
    assert not [message for message in world.posted() if "🚨" in message["content"]]
    said = "api needed attention: automatic recovery gave up: it did not help"
    (late,) = (message for message in world.posted() if said in message["content"])
    assert "Resolved at <t:" in late["content"]
    assert late["flags"] & 1 << 12


async def test_an_alarm_that_comes_when_it_is_over_is_a_green_card_that_wakes_nobody(world: World) -> None:
    world.standin.faults.away()
    await world.incident("api")
    await world.incident("web")
    await world.recover("api")
    await world.start(wait=False)
    world.standin.faults.back()
    await world.all_told(30)
    over, lasting = (next(m for m in world.posted() if f"#i{number}" in text_of(m)) for number in (1, 2))
    assert over["flags"] & 1 << 12
    assert not lasting["flags"] & 1 << 12
