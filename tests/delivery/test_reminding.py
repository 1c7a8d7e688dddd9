"""Reminders and the escalation in the channel: who is woken, by what, and when no more."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import Alerts
from opsbot.core.message import plain
from opsbot.core.model import Acknowledgement, Silence
from opsbot.monitoring.reminders import ReminderScheduler
from opsbot.store import acks, incident_repository
from tests.cogs.world import World, open_world
from tests.delivery.test_threads import opened

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as here:
        yield here


def reminder_scheduler(world: World, role: int | None = None, also: Sequence[acks.Also] = ()) -> ReminderScheduler:
    return ReminderScheduler(replace(Alerts(), escalate_role=role), world.store, world.feed, world.now, also)


async def goes_by(world: World, minutes: float, page: ReminderScheduler, *, step: float = 1.0) -> None:
    """Time passes, and the pager looks as it goes by."""
    passed = 0.0
    while passed < minutes:
        world.parts.shift += step * MINUTE
        passed += step
        await page.tick()
        await world.all_told()


async def test_reminders_reply_to_the_card_with_growing_distance_and_end_with_the_incident(world: World) -> None:
    await world.start()
    card = await opened(world)
    await goes_by(world, 100, reminder_scheduler(world), step=10)
    _, first, second = world.posted()
    assert first["message_reference"]["message_id"] == card["id"]
    assert "api is DOWN: http: answered 500. Not acknowledged after 30 m." in first["content"]
    assert "after 1 h 30 m" in second["content"]
    assert not first["flags"] & 1 << 12
    await world.recover()
    await goes_by(world, 600, reminder_scheduler(world), step=60)
    assert len(world.posted()) == 3


async def test_after_a_start_what_is_open_is_looked_at_before_anybody_is_paged(world: World) -> None:
    await world.start()
    await opened(world)
    world.parts.shift += 60 * MINUTE
    page = reminder_scheduler(world)
    await page.tick()
    await world.all_told()
    assert len(world.posted()) == 1
    await goes_by(world, 1, page)
    assert len(world.posted()) == 2


async def test_an_acknowledgement_stops_reminders_and_escalation(world: World) -> None:
    role = world.standin.add_role("on call", mentionable=True)
    await world.start()
    await opened(world)
    await world.store.write(acks.acknowledge, Acknowledgement(1, "Mia", "on it", world.now()))
    await goes_by(world, 600, reminder_scheduler(world, role), step=60)
    assert len(world.posted()) == 1
    await world.store.write(acks.void, 1, plain("check tcp is down too"), world.now())
    await goes_by(world, 40, reminder_scheduler(world, role), step=10)
    assert len(world.posted()) == 4, "it got worse; the escalation; a reminder"


async def test_a_silence_stops_them_and_they_count_from_its_end(world: World) -> None:
    await world.start()
    await opened(world)
    until = world.now() + 120 * MINUTE
    await world.store.write(incident_repository.put_silence, Silence("api", "Mia", "", world.now(), until))
    await goes_by(world, 140, reminder_scheduler(world), step=20)
    assert len(world.posted()) == 1
    await goes_by(world, 20, reminder_scheduler(world), step=10)
    assert len(world.posted()) == 2


async def test_a_restart_of_opsbot_neither_repeats_nor_forgets(world: World) -> None:
    role = world.standin.add_role("on call", mentionable=True)
    await world.start()
    await opened(world)
    await goes_by(world, 60, reminder_scheduler(world, role), step=10)
    assert len(world.posted()) == 3
    await world.kill()
    await world.start()
    await goes_by(world, 20, reminder_scheduler(world, role), step=10)
    assert len(world.posted()) == 3
    await goes_by(world, 20, reminder_scheduler(world, role), step=10)
    assert len(world.posted()) == 4


async def test_the_escalation_pings_the_role_and_nobody_else_once(world: World) -> None:
    role = world.standin.add_role("on call", mentionable=True)
    await world.start()
    await world.incident(cause="@everyone <@&100000000000000024> http: answered 500")
    await world.standin.wait_for_message(lambda m: "is DOWN" in m["content"])
    await world.all_told()
    await goes_by(world, 20, reminder_scheduler(world, role), step=5)
    pings = [ping for ping in world.standin.store.pings if ping.roles or ping.everyone or ping.users]
    assert [(ping.roles, ping.everyone, ping.users) for ping in pings] == [((role,), False, ())]
    assert "📣" in world.posted()[-1]["content"]
    await goes_by(world, 10, reminder_scheduler(world, role), step=5)
    assert len([ping for ping in world.standin.store.pings if ping.roles]) == 1


async def test_a_role_that_cannot_be_pinged_is_a_problem_that_is_said(world: World) -> None:
    role = world.standin.add_role("on call", mentionable=False)
    for held in world.standin.state.roles.values():
        held.permissions &= ~(1 << 17)
    await world.start()
    await opened(world)
    await goes_by(world, 20, reminder_scheduler(world, role), step=20)
    await world.until(lambda: "cannot be pinged" in world.states[-1].problem)


async def test_while_discord_is_away_reminders_do_not_pile_up(world: World) -> None:
    await world.start()
    await opened(world)
    world.standin.faults.away()
    page = reminder_scheduler(world)
    for _ in range(20):
        world.parts.shift += 60 * MINUTE
        await page.tick()
    world.standin.faults.back()
    await world.all_told()
    assert len(world.posted()) == 2


async def test_what_else_escalates_is_done_in_the_same_transaction_once(world: World) -> None:
    await world.start()
    await opened(world)
    called: list[int] = []
    page = reminder_scheduler(world, also=[lambda _, number, __: called.append(number)])
    await goes_by(world, 40, page, step=10)
    assert called == [1]
