"""Everything writes at once, within Discord's limits: it refuses nothing, and alarms come before the rest."""

import asyncio

from cogs.delivery import sender
from cogs.delivery.rate_budget import WriteLimits
from opsbot.core.deployment import Phase
from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.message import plain
from opsbot.standin.ratelimit import LIMIT, OLD_EDITS, OLD_PERIOD, PERIOD
from opsbot.store import incident_repository
from tests.cogs.world import LIMITS, World, commits, text_of

FAST = sender.DeliveryPace(
    retry_first=0.02, retry_most=0.2, look=0.3, card=0.02, tail=0.03, test_first=0.1, limits=LIMITS
)


def test_what_is_asked_of_discord_in_production_is_within_what_it_takes() -> None:
    ours = WriteLimits()
    assert (ours.send.most, ours.edit.most, ours.edit_old.most) == (LIMIT, LIMIT, OLD_EDITS)
    assert min(ours.send.seconds, ours.edit.seconds) > PERIOD
    assert ours.edit_old.seconds > OLD_PERIOD


def refused(world: World) -> list[str]:
    return [f"{one.method} {one.path}" for one in world.standin.requests if one.status == 429]


async def test_a_thread_that_fills_holds_up_no_alarm(world: World) -> None:
    await world.start(channel_pace=FAST)
    incident = await world.incident()
    await world.all_told()
    for number in range(12):
        await world.store.write(
            incident_repository.add_event,
            incident.id,
            event(IncidentEventKind.NOTE, world.now(), text=f"deed {number}"),
        )
    await world.recover()
    (card,) = world.posted()
    await world.until(lambda: len(world.thread(card)) > 2)
    await world.incident("worker", "the next alarm")
    await world.standin.wait_for_message(lambda message: "the next alarm" in message["content"])
    assert len(world.thread(card)) < 12, "it did not wait for the lines before it"
    await world.all_told(30)
    said = [message["content"].split("> ")[-1] for message in world.thread(card)[2:]]
    assert said[:-1] == [f"deed {number}" for number in range(12)]
    assert "recovered after" in said[-1], "what is said in a thread keeps its order"
    assert refused(world) == []


async def test_cards_lines_tails_and_the_probe_together_are_never_refused(world: World) -> None:
    await world.start(channel_pace=FAST)
    for service in ("api", "worker"):
        response = await world.person("operator").run("logs", service=service, follow=True)
        await response.final()
    value = await world.deployment(phase=Phase.FETCHING)
    incident = await world.incident("worker")
    for number in range(40):
        for service in ("api", "worker"):
            world.manager.write(f"line {number}", service=service)
        value = await world.change(value, phase=Phase.FETCHING, commits=commits(f"title {number}"))
        if number % 4 == 0:
            await world.store.write(
                incident_repository.add_event,
                incident.id,
                event(IncidentEventKind.NOTE, world.now(), text=f"deed {number}"),
            )
            await world.engine.announce("api", plain(f"word {number}"), level="warning", key=f"w{number}")
        await asyncio.sleep(0.02)  # changes go on while it tells of them: that is the load
    await world.all_told(60)
    await world.until(lambda: any("title 39" in text_of(message) for message in world.posted()), 20)
    await world.cards_true()
    await world.until(lambda: sum("line 39" in message["content"] for message in world.posted()) == 2, 20)
    assert refused(world) == []
