"""Acknowledge: a form that asks why; what stops by it, what it shows, and when it does not count any more."""

from typing import Any

from opsbot.core.message import plain
from opsbot.core.model import Acknowledgement, Evidence, NotificationKind
from opsbot.store import acks, incident_repository, outbox
from tests.cogs.world import Json, World, buttons_of, text_of
from tests.delivery.test_threads import deed, lines, opened


def fault(world: World) -> Any:
    return world.standin.faults


async def found(world: World, number: int = 1) -> Acknowledgement | None:
    return await world.store.read(acks.acknowledgement, number)


async def taken(world: World, card: Json, *, rank: str = "operator", why: str = "the disk is full") -> Any:
    response = await world.person(rank).click(card, "Acknowledge")
    answer = await world.person(rank).submit(response.modal, {"reason": why})
    return await answer.final()


async def test_the_button_asks_why_and_the_card_and_the_thread_show_who_when_and_why(world: World) -> None:
    await world.live("api", "r1", "r2")
    await world.start()
    card = await opened(world)
    response = await world.person("operator").click(card, "Acknowledge")
    assert response.first_response_seconds is not None
    assert response.first_response_seconds < 1.0
    answer = await world.person("operator").submit(response.modal, {"reason": "the disk is *full*"})
    assert "Acknowledged. Reminders" in (await answer.final())["content"]
    shown = await world.standin.wait_for_message(lambda m: "**Acknowledged** by operator" in text_of(m))
    assert "the disk is \\*full\\*" in text_of(shown)
    assert buttons_of(shown) == ["Silence 1 h", "Restart", "Roll back", "Logs"]
    await world.all_told()
    assert lines(world, card)[-1] == "acknowledged by operator: the disk is \\*full\\*"


async def test_a_form_sent_after_opsbot_was_restarted_acknowledges(world: World) -> None:
    await world.start()
    card = await opened(world)
    response = await world.person("operator").click(card, "Acknowledge")
    await world.kill()
    await world.start()
    answer = await world.person("operator").submit(response.modal, {"reason": "on it"})
    assert "Acknowledged. Reminders" in (await answer.final())["content"]
    assert (await found(world)) is not None


async def test_the_rank_counts_that_is_held_when_the_form_is_sent(world: World) -> None:
    await world.start()
    card = await opened(world)
    response = await world.person("operator").click(card, "Acknowledge")
    world.standin.set_roles(world.people["operator"], [])
    answer = await world.person("operator").submit(response.modal, {"reason": "on it"})
    assert "You may not use ack" in (await answer.final())["content"]
    assert await found(world) is None


async def test_who_lacks_the_rank_gets_no_form(world: World) -> None:
    await world.start()
    card = await opened(world)
    for rank in ("viewer", "nobody"):
        response = await world.person(rank).click(card, "Acknowledge")
        assert response.modal is None
        assert "You may not use ack" in (await response.final())["content"]


async def test_a_form_and_a_button_of_an_incident_that_is_over_answer_politely(world: World) -> None:
    await world.start()
    card = await opened(world)
    response = await world.person("operator").click(card, "Acknowledge")
    fault(world).answer("PATCH", rf"/messages/{card['id']}$", status=503, times=50)
    await world.recover()
    answer = await world.person("operator").submit(response.modal, {"reason": "on it"})
    assert "no open incident" in (await answer.final())["content"]
    late = await world.person("operator").click(card, "Acknowledge")
    assert "the incident was resolved" in (await late.final())["content"]


async def test_it_is_void_when_another_check_goes_down_and_everybody_is_told(world: World) -> None:
    await world.start()
    card = await opened(world)
    await taken(world, card)
    await deed(world, 1, "check tcp is down too: refused", worse=True)
    told = await world.standin.wait_for_message(lambda m: "got worse" in m["content"] and m["type"] == 19)
    assert "check tcp is down too" in told["content"]
    assert not told["flags"] & 1 << 12
    assert buttons_of(told) == ["Acknowledge"]
    shown = await world.standin.wait_for_message(lambda m: "Cleared <t:" in text_of(m))
    assert "Acknowledge" in buttons_of(shown)


async def test_a_call_for_a_human_makes_it_void_and_is_the_one_message(world: World) -> None:
    await world.start()
    card = await opened(world)
    await taken(world, card)
    await world.store.write(incident_repository.escalate, 1, plain("3 restarts did not help"), world.now(), Evidence())
    world.feed.publish("notice")
    await world.all_told()
    value = await found(world)
    assert value is not None
    assert value.void_at is not None
    assert len(world.posted()) == 2


async def test_it_ends_with_the_incident_and_the_next_one_has_none(world: World) -> None:
    await world.start()
    card = await opened(world)
    await taken(world, card)
    await world.recover()
    await opened(world)
    assert await found(world, 2) is None
    end = next(m for m in world.thread(card) if "recovered after" in m["content"])
    assert "Acknowledged by operator: the disk is full" in text_of(end)


async def test_an_acknowledgement_that_comes_first_drops_the_reminder_that_waits(world: World) -> None:
    await world.start()
    card = await opened(world)
    fault(world).away()
    await world.store.write(
        outbox.put, "r", NotificationKind.REMINDER, "api", world.now(), subject=1, body={"count": 1}
    )
    assert await world.store.write(acks.acknowledge, Acknowledgement(1, "Mia", "on it", world.now()))
    fault(world).back()
    world.feed.publish("notice")
    await world.all_told()
    assert [message["id"] for message in world.posted()] == [card["id"]]
