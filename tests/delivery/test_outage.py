"""After a long outage: one digest of what came and went, cards of what is open, each thing told once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from opsbot.core.message import plain
from opsbot.core.model import Evidence, Notification, NotificationKind
from opsbot.store import incident_repository, outbox
from tests.cogs.world import BRISK, World, text_of
from tests.fixtures.waiting import passes, until

MANY = r"/channels/\d+/messages$"


PATIENT = replace(BRISK, retry_first=5.0, retry_most=5.0)
"""After the first failure the sender rests until the gateway is back: whatever a test does meanwhile is one outage."""


async def outage(world: World, *, incidents: int, minutes: int = 60) -> None:
    """Discord is away while so many incidents come and go; `worker` stays in trouble, and a human is called."""
    # An hour passes for Discord, too: what it is given is looked for by when it was sent.
    world.standin.state.clock = lambda: world.now().timestamp()
    world.standin.faults.away()
    await world.incident("worker", "disk is full")
    if world.bot is not None:
        await until(lambda: world.store.read(_failed), 10)
    await world.store.write(incident_repository.escalate, 1, plain("restarts did not help"), world.now(), Evidence())
    for number in range(incidents):
        await world.incident(cause=f"http: answered {500 + number}")
        await world.engine.announce("api", plain(f"word {number}"), level="warning", key=f"w{number}")
        await world.recover()
        world.parts.shift += timedelta(minutes=minutes / incidents)
    world.parts.shift += timedelta(minutes=6)


def _failed(db: Any) -> bool:
    return bool(db.execute("SELECT count(*) FROM notices WHERE failure != ''").fetchone()[0])


def _untold(db: Any) -> list[Notification]:
    rows = db.execute("SELECT * FROM notices WHERE told_at IS NULL AND dropped IS NULL")
    return [outbox.notice(row) for row in rows]


async def test_what_came_and_went_is_one_digest_and_what_is_open_has_its_card(world: World) -> None:
    await world.start(channel_pace=PATIENT)
    await outage(world, incidents=8)
    world.standin.faults.back()
    await world.all_told(20)
    digest, *rest = sorted(world.posted(), key=lambda m: "came and went" not in m["content"])
    assert "8 incidents came and went and 8 other things happened" in digest["content"]
    for number in range(8):
        assert text_of(digest).count(f"answered {500 + number}") == 1
        assert text_of(digest).count(f"word {number}") == 1
    assert digest["flags"] & 1 << 12, "what is over wakes nobody"
    assert len(rest) == 2
    assert "worker is DOWN" in rest[0]["content"]
    assert "worker needs attention" in rest[1]["content"]
    assert int(digest["id"]) < int(rest[1]["id"])
    assert await world.store.read(_untold) == []


async def test_few_are_told_one_by_one(world: World) -> None:
    await world.start(channel_pace=PATIENT)
    await outage(world, incidents=3)
    world.standin.faults.back()
    await world.all_told(20)
    assert not any("came and went" in message["content"] for message in world.posted())


async def test_a_digest_whose_answer_was_lost_is_there_once_also_after_a_kill(world: World) -> None:
    await world.start()
    await outage(world, incidents=8)
    await world.kill()
    world.standin.faults.back()
    world.standin.faults.answer("POST", MANY, reset=True, after_store=True, times=1)
    await world.start(wait=False)
    await world.until(lambda: any("came and went" in m["content"] for m in world.posted()))
    await world.kill()
    world.standin.store._nonces.clear()
    await world.start()
    await world.all_told(20)
    assert len([m for m in world.posted() if "came and went" in m["content"]]) == 1


async def test_a_digest_of_very_many_has_all_of_them_in_a_file(world: World) -> None:
    await world.start(channel_pace=PATIENT)
    await outage(world, incidents=120)
    world.standin.faults.back()
    await world.all_told(30)
    digest = next(m for m in world.posted() if "came and went" in m["content"])
    assert [each["filename"] for each in digest["attachments"]] == ["while-away.txt"]
    assert len(text_of(digest)) < 6000
    assert len(world.posted()) <= 4


async def test_a_digest_that_discord_refuses_is_told_one_by_one(world: World) -> None:
    await world.start(channel_pace=PATIENT)
    await outage(world, incidents=6)
    world.standin.faults.back()
    world.standin.faults.answer("POST", MANY, status=400, body={"code": 50035, "message": "no"}, times=2)
    await world.all_told(40)
    said = [text_of(m) for m in world.posted()]
    assert [sum(f"word {number}" in text for text in said) for number in range(6)] == [1] * 6


async def test_a_deleted_channel_is_said_elsewhere_once_also_after_a_restart(world: World) -> None:
    await world.start()
    world.standin.remove_channel(world.standin.ops_channel_id)
    await world.incident()
    told = await world.standin.wait_for_message(lambda m: "cannot write to its channel" in m["content"])
    assert "api" not in told["content"], "other people read there"
    await world.kill()
    await world.start()
    await passes(1.0)
    general = int(told["channel_id"])
    assert len(world.standin.messages(general)) == 1


async def test_the_end_of_an_outage_is_not_told_before_its_alarm_in_any_place(world: World) -> None:
    await world.start()
    world.standin.faults.away()
    for service in ("api", "worker"):
        await world.incident(service)
    for service in ("worker", "api"):
        await world.recover(service)
    await world.incident("api", "again")
    world.standin.faults.back()
    await world.all_told(20)
    for number in (1, 2):
        card = await world.store.read(outbox.card, NotificationKind.INCIDENT, number)
        assert card is not None
        end = next(m for m in world.standin.messages(card.message_id) if "recovered after" in m["content"])
        assert int(end["id"]) > (card.message_id or 0)
