"""Many unrelated services become unwell at once: few messages, each alarm in one, and cards for what remains."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import Config
from opsbot.core.message import plain
from opsbot.core.model import Acknowledgement, Evidence, NotificationKind
from opsbot.core.storm import SETTLE
from opsbot.store import acks, deliveries, incident_repository, outbox, storms
from tests.cogs.world import Json, World, config_for, open_world, text_of
from tests.fixtures.waiting import passes, until

NAMES = tuple(f"s{number:02d}" for number in range(40))
MESSAGES = r"/channels/\d+/messages$"


def _with_many(config: Config) -> Config:
    return replace(config, services=config_for(config.path.parent, "", NAMES).services)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, changed=_with_many) as here:
        yield here


async def all_fail(world: World, names: tuple[str, ...] = NAMES) -> None:
    for name in names:
        await world.incident(name, f"cause of {name}")
    settled(world)


def settled(world: World) -> None:
    """Time passes until no alarm waits for more of them any more."""
    world.parts.shift += SETTLE
    world.feed.publish("notice")


def storm_of(world: World) -> Json:
    (found,) = (message for message in world.posted() if "at once" in text_of(message))
    return found


def cards(world: World) -> list[str]:
    return [text_of(message).split()[1] for message in world.posted() if "· #i" in text_of(message)]


async def later(world: World, minutes: float) -> None:
    world.parts.shift += timedelta(minutes=minutes)
    world.feed.publish("notice")
    await passes(0.5)  # the sender has looked, and what it is not to send would be sent
    await world.all_told(40)


def waking(world: World) -> int:
    return sum(not message["flags"] & 1 << 12 for message in world.posted())


async def test_the_first_are_told_by_themselves_and_the_rest_by_one_message_that_wakes_once(world: World) -> None:
    await world.start()
    await all_fail(world)
    await world.all_told(30)
    assert len(world.posted()) <= 11
    storm = storm_of(world)
    alone = cards(world)
    together = [name for name in NAMES if f"**{name}**" in text_of(storm)]
    assert sorted(alone + together) == list(NAMES), "each alarm once"
    assert f"🔴 {len(together)} services went down" in storm["content"]
    assert not storm["flags"] & 1 << 12
    assert len(await world.store.read(incident_repository.open_incidents)) == 40, "each is an incident of its own"
    assert not [one for one in world.standin.requests if one.status == 429]


async def test_what_came_together_and_went_is_said_by_that_message_and_needs_no_other(world: World) -> None:
    world.standin.faults.away()
    await all_fail(world)
    await world.start(wait=False)
    world.standin.faults.back()
    await world.all_told(30)
    assert cards(world) == [], "all of them waited"
    assert len(world.posted()) == 1
    await world.store.write(incident_repository.escalate, 3, plain("it did not help"), world.now(), Evidence())
    for name in NAMES[:20]:
        await world.recover(name)
    await world.cards_true()
    assert "Of 40 services that went down at once, 20 still are: s20, " in storm_of(world)["content"]
    for name in NAMES[20:]:
        await world.recover(name)
    await world.cards_true()
    assert storm_of(world)["content"] == "🟢 40 services were down at once. All have recovered."
    await later(world, 20)
    assert len(world.posted()) == 1
    rows = await world.store.read(lambda db: list(db.execute("SELECT gone FROM notices WHERE kind = 'storm'")))
    assert [row["gone"] for row in rows] == [1], "it is looked at no more"


async def test_a_storm_that_is_over_before_it_can_be_told_wakes_nobody(world: World) -> None:
    await world.start()
    world.standin.faults.away()
    await all_fail(world)
    await until(lambda: world.store.read(lambda db: list(db.execute("SELECT 1 FROM notices WHERE kind = 'storm'"))), 30)
    for name in NAMES:
        await world.recover(name)
    world.standin.faults.back()
    await world.all_told(40)
    assert "All have recovered" in storm_of(world)["content"]
    assert waking(world) == 0


async def test_the_few_that_remain_get_their_cards_which_wake_and_keep_their_calls(world: World) -> None:
    world.standin.faults.away()
    await all_fail(world)
    await world.start(wait=False)
    world.standin.faults.back()
    await world.all_told(30)
    for name in NAMES[3:]:
        await world.recover(name)
    await world.store.write(incident_repository.escalate, 1, plain("it did not help"), world.now(), Evidence())
    await world.cards_true()
    assert "1 needs attention." in storm_of(world)["content"]
    await later(world, 4)
    assert cards(world) == []
    by_then, begun = world.now() + timedelta(minutes=20), world.now() - timedelta(hours=1)
    assert await world.store.read(deliveries.undelivered, by_then, begun) is None, "nobody is unheard"
    await later(world, 2)
    assert cards(world) == ["s00", "s01", "s02"]
    assert waking(world) == 5, "the storm, three cards, one call"
    assert "-# already announced in a combined message" in world.posted()[1]["content"]
    assert len(world.thread(world.posted()[1])) > 1
    await world.recover("s01")
    await world.all_told()
    assert any("recovered after" in message["content"] for message in world.thread(world.posted()[2]))


async def test_killed_while_it_tells_of_a_storm_it_tells_each_once(world: World) -> None:
    world.standin.faults.away()
    await all_fail(world)
    world.standin.faults.answer("POST", MESSAGES, reset=True, after_store=True, times=1)
    await world.start(wait=False)
    world.standin.faults.back()
    await world.until(lambda: len(world.posted()) == 1)
    await world.kill()
    world.standin.store._nonces.clear()
    await world.start(wait=False)
    await world.all_told(30)
    assert len(world.posted()) == 1
    assert len(await world.store.read(storms.members, 81)) == 40


async def test_a_storm_that_discord_refuses_is_told_one_by_one(world: World) -> None:
    names = NAMES[:12]
    world.standin.faults.away()
    await all_fail(world, names)
    await world.start(wait=False)
    world.standin.faults.answer("POST", MESSAGES, status=400, body={"code": 50035, "message": "no"}, times=2)
    world.standin.faults.back()
    await world.until(lambda: len(cards(world)) == 12, 40)
    assert cards(world) == list(names)


async def test_a_silenced_service_is_in_no_storm(world: World) -> None:
    world.standin.faults.away()
    await all_fail(world)
    await world.engine.store.write(
        lambda db: db.execute("INSERT INTO silences VALUES ('s07', 'Mia', '', ?, ?, NULL)", (0, 2e10)).rowcount
    )
    await world.start(wait=False)
    world.standin.faults.back()
    await world.until(lambda: len(world.posted()) == 1, 30)
    assert "**s07**" not in text_of(storm_of(world))
    rows = await world.store.read(outbox.pending, world.now())
    assert [row for row in rows if row.kind is NotificationKind.INCIDENT] == []


async def test_all_of_a_storm_is_taken_with_one_button_and_its_message_says_by_whom(world: World) -> None:
    world.standin.faults.away()
    await all_fail(world)
    await world.start(wait=False)
    world.standin.faults.back()
    await world.all_told(30)
    await world.recover("s00")
    await world.store.write(acks.acknowledge, Acknowledgement(2, "somebody", "mine", world.now()))
    await world.cards_true()
    assert "👀 1 of them are acknowledged by somebody." in storm_of(world)["content"]

    refused = await world.person("viewer").click(storm_of(world), "Acknowledge all")
    assert (await refused.final())["content"].startswith("✋")
    form = await world.person("operator").click(storm_of(world), "Acknowledge all")
    assert form.modal is not None
    assert form.modal["title"] == "Acknowledge 38 incidents"
    slow = await world.person("deployer").click(storm_of(world), "Acknowledge all")
    answer = await world.person("operator").submit(form.modal, {"reason": "the *switch* is dead"})
    assert (await answer.final())["content"].startswith("38 incidents acknowledged. Reminders")
    await world.cards_true()
    card = storm_of(world)
    assert "👀 Acknowledged by operator, somebody." in card["content"]
    assert "👀 operator" in text_of(card)
    assert card["components"] == [], "there is nothing left to take"
    kept = await world.store.read(acks.acknowledgement, 40)
    assert kept is not None
    assert kept.reason == "the *switch* is dead"
    late = await world.person("deployer").submit(slow.modal, {"reason": "me too"})
    assert "Nothing of it is open and unacknowledged" in (await late.final())["content"]

    await world.store.write(acks.void, 40, plain("another check failed"), world.now())
    await world.cards_true()
    assert "Acknowledge all" in str(storm_of(world)["components"])
    again = Acknowledgement(40, "operator", "still at it", world.now())
    await world.store.write(acks.acknowledge, again)
    await world.cards_true()
    assert storm_of(world)["components"] == []


async def test_what_all_of_them_say_is_said_first(world: World) -> None:
    world.standin.faults.away()
    for name in NAMES[:20]:
        await world.incident(name, "check http: no connection to 10.0.0.7")
    settled(world)
    await world.start(wait=False)
    world.standin.faults.back()
    await world.all_told(30)
    assert storm_of(world)["content"].endswith("All have the same cause: check http: no connection to 10.0.0.7.")
