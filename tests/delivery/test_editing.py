"""Cards are kept true: few edits, always the last state, and none where Discord will not have them."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from cogs.cards.rendered import GREEN
from cogs.delivery import sender
from opsbot.core.deployment import Phase
from opsbot.core.message import plain
from opsbot.core.model import Evidence, NotificationKind
from opsbot.standin.plumbing import LoggedRequest
from opsbot.store import acks, incident_repository, outbox
from tests.cogs.world import BRISK, LIMITS, Json, World, buttons_of, commits, step, text_of
from tests.delivery.test_threads import opened
from tests.fixtures.waiting import passes

EDIT = r"/channels/\d+/messages/\d+$"


def edits(world: World) -> list[LoggedRequest]:
    return [request for request in world.standin.requests if request.method == "PATCH" and "/channels/" in request.path]


def _with_mark(mark: str) -> Callable[[Json], bool]:
    return lambda message: mark in text_of(message)


async def test_many_changes_become_few_edits_and_the_last_state_is_shown(world: World) -> None:
    await world.live("api", "r0", "r1")
    await world.start(channel_pace=sender.DeliveryPace(card=0.3, limits=LIMITS))
    value = await world.deployment(release_from="r0")
    await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    for phase in (Phase.FETCHING, Phase.PREPARING, Phase.INSTALLING, Phase.SWITCHING, Phase.RESTARTING):
        for number in range(6):
            value = await world.change(value, phase=phase, steps=(step(f"{phase} {number}", phase, ok=None),))
            await asyncio.sleep(0.01)  # changes come one after the other
    await world.change(value, phase=Phase.LIVE, live_at=world.now(), commit_to="b" * 40, steps=())
    await world.cards_true()
    (card,) = world.posted()
    assert "✅ api runs `bbbbbbb`" in card["content"]
    assert buttons_of(card) == ["Roll back", "Logs"]
    assert 2 <= len(edits(world)) <= 6
    assert all(request.status == 200 for request in edits(world))


async def test_edits_keep_to_discords_own_limits(world: World) -> None:
    await world.start(channel_pace=sender.DeliveryPace(card=0.02, limits=LIMITS))
    value = await world.deployment()
    await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    for number in range(40):
        value = await world.change(value, phase=Phase.FETCHING, commits=commits(f"title {number}"))
        await asyncio.sleep(0.05)  # more often than it may be edited
    await world.cards_true()
    assert [request.status for request in edits(world)] == [200] * len(edits(world))
    assert 3 <= len(edits(world)) < 40


async def test_edits_of_messages_older_than_an_hour_are_so_few_that_discord_refuses_none(world: World) -> None:
    await world.start(channel_pace=sender.DeliveryPace(card=0.02, limits=LIMITS))
    values = [await world.deployment("api"), await world.deployment("worker")]
    for number in (1, 2):
        card = await world.standin.wait_for_message(_with_mark(f"#d{number}"))
        world.standin.faults.age_message(card["id"], 7200)
    world.parts.shift = timedelta(hours=2)
    for number in range(4):
        for index, value in enumerate(values):
            values[index] = await world.change(value, phase=Phase.FETCHING, commits=commits(f"title {number}"))
        await asyncio.sleep(0.05)  # an edit each, not one for all four
    await world.cards_true()
    assert [request.status for request in edits(world)] == [200] * len(edits(world)), "in no header, so nobody waits"
    assert len(edits(world)) >= 4, "more than Discord takes at once"
    assert all("title 3" in text_of(message) for message in world.posted())


async def test_a_refused_edit_of_an_old_message_is_made_later(world: World) -> None:
    await world.start()
    world.standin.faults.answer(
        "PATCH",
        EDIT,
        status=429,
        times=1,
        headers={"Via": "1.1 google"},
        body={"message": "Maximum number of edits", "code": 30046, "retry_after": 0.3, "global": False},
    )
    value = await world.deployment()
    await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    await world.change(value, phase=Phase.FAILED, failed_in=Phase.FETCHING)
    await world.cards_true()
    assert "api: fetch of" in world.posted()[0]["content"]


async def test_a_deleted_card_is_left_alone(world: World) -> None:
    await world.start()
    value = await world.deployment()
    card = await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    world.standin.delete_message(card["id"])
    await world.change(value, phase=Phase.FETCHING)
    await world.cards_true()
    await world.change(value, revision=value.revision + 1, phase=Phase.PREPARING)
    await passes(0.3)
    assert len(edits(world)) == 1


async def test_a_card_that_may_not_be_edited_is_not_tried_again_and_again(world: World) -> None:
    await world.start()
    value = await world.deployment()
    await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    world.standin.faults.answer("PATCH", EDIT, status=403, times=50, body={"message": "Missing Access", "code": 50001})
    value = await world.change(value, phase=Phase.FETCHING)
    await passes(1.0)
    assert len(edits(world)) == 1
    world.standin.faults.clear()
    await world.change(value, phase=Phase.FAILED)
    await world.cards_true()


async def test_a_card_equal_to_what_it_shows_costs_no_request(world: World) -> None:
    await world.start()
    value = await world.deployment()
    await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    value = await world.change(value, phase=Phase.FETCHING)
    await world.cards_true()
    before = len(edits(world))
    await world.change(value)
    await world.cards_true()
    assert len(edits(world)) == before


async def test_the_next_process_brings_the_card_to_its_end(world: World) -> None:
    await world.start()
    value = await world.deployment()
    await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    await world.all_told()
    await world.kill()
    await world.change(value, phase=Phase.FAILED, failed_in=Phase.INSTALLING)
    await world.start()
    await world.cards_true()
    assert "api: installation of" in world.posted()[0]["content"]


async def test_an_alarm_does_not_wait_for_edits(world: World) -> None:
    await world.start()
    value = await world.deployment()
    await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    world.standin.faults.delay(EDIT, 3.0, method="PATCH")
    await world.change(value, phase=Phase.FETCHING)
    await passes(0.1)  # the edit is under way
    await world.incident("worker")
    await world.standin.wait_for_message(lambda m: "#i1" in text_of(m))
    assert world.posted()[0]["edited_timestamp"] is None


async def test_edits_wait_while_discord_is_away_and_end_with_the_last_state(world: World) -> None:
    await world.start()
    value = await world.deployment()
    await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    world.standin.faults.away()
    value = await world.change(value, phase=Phase.FETCHING)
    await passes(0.3)  # an edit fails meanwhile
    await world.change(value, phase=Phase.FAILED, failed_in=Phase.FETCHING)
    world.standin.faults.back()
    await world.cards_true()
    assert "api: fetch of" in world.posted()[0]["content"]


async def test_cards_of_a_channel_that_is_not_configured_any_more_are_left_alone(world: World) -> None:
    await world.start()
    value = await world.deployment()
    await world.standin.wait_for_message(lambda m: "#d1" in text_of(m))
    await world.all_told()
    await world.kill()
    await world.store.write(lambda db: db.execute("UPDATE notices SET channel_id = 5").rowcount)
    await world.start(channel_pace=BRISK)
    await world.change(value, phase=Phase.FETCHING)
    await world.cards_true()
    card = await world.store.read(outbox.card, NotificationKind.DEPLOYMENT, 1)
    assert card is not None
    assert edits(world) == []


async def test_what_was_posted_beside_a_card_is_edited_when_somebody_has_it_and_when_it_is_over(world: World) -> None:
    role = world.standin.add_role("on call", mentionable=True)
    await world.start()
    card = await opened(world)
    await world.store.write(incident_repository.escalate, 1, plain("3 restarts did not help"), world.now(), Evidence())
    await world.store.write(acks.page, acks.Rules((), timedelta(0), role), world.now())
    world.feed.publish("notice")
    await world.all_told()
    call = await world.standin.wait_for_message(lambda m: "🚨" in m["content"])
    ping = await world.standin.wait_for_message(lambda m: "📣" in m["content"])
    assert ["Acknowledge" in buttons_of(message) for message in (call, ping)] == [True, True]
    response = await world.person("operator").click(card, "Acknowledge")
    await (await world.person("operator").submit(response.modal, {"reason": "on it"})).final()
    await world.cards_true()
    posted = {message["id"]: message for message in world.posted()}
    assert ["Acknowledge" in buttons_of(posted[each["id"]]) for each in (call, ping)] == [False, False]
    await world.recover()
    await world.cards_true()
    posted = {message["id"]: message for message in world.posted()}
    for message in (posted[call["id"]], posted[ping["id"]]):
        assert "Resolved at <t:" in message["content"]
        assert buttons_of(message) == []
        assert message["embeds"][0]["color"] == GREEN
    assert len([ping for ping in world.standin.store.pings if ping.roles]) == 1, "an edit pings nobody"
