"""What people complain of in tools of this kind, played from the first failure to the last message.

The watcher, the pager, the store and the bot are the real ones, Discord is the stand-in; a service, its checks and the
clock are set by the test. One test a complaint: acknowledging, lost notifications, edits that notify nobody, pings,
limits, floods.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from opsbot.config import Alerts, Check, CheckKind, ManagerKind, Service
from opsbot.core.exits import ExitCode
from opsbot.core.health import CheckPolicy
from opsbot.core.message import message
from opsbot.core.model import Live
from opsbot.core.recovery import RecoveryPolicy
from opsbot.engine import Engine
from opsbot.monitoring import ServiceMonitor
from opsbot.monitoring.reminders import ReminderScheduler
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import Activity, Happening, ServiceManager, ServiceState
from opsbot.standin import Standin
from opsbot.store import Store, ledger, outbox
from tests.cogs.world import (
    DEADLINE,
    LIMIT_SECONDS,
    RANKS,
    CalmManager,
    Parts,
    World,
    buttons_of,
    config_for,
    text_of,
    until_nothing_due,
)
from tests.fixtures.puppets import Clock, Eyes, Puppet, Yard

API = Service(
    "api",
    ManagerKind.PROCESS,
    command=("./api",),
    checks=(
        Check("http", CheckKind.HTTP, timedelta(seconds=5), policy=CheckPolicy(fall=3, rise=2)),
        Check("tcp", CheckKind.TCP, timedelta(seconds=5), policy=CheckPolicy(fall=3, rise=2)),
    ),
    startup_grace=timedelta(0),
    recovery=RecoveryPolicy(backoff=timedelta(seconds=10), roll_back=False),
)


@dataclass
class Play:
    """All of it, and time that passes when the test says so."""

    world: World
    clock: Clock
    eyes: Eyes
    puppet: Puppet
    watcher: ServiceMonitor
    reminder_scheduler: ReminderScheduler

    async def run(self, seconds: int, *, told: bool = True) -> None:
        """So many seconds pass, with a look at each; then everything is told, and every card is true."""
        for _ in range(seconds):
            self.clock.pass_by(1)
            await self.watcher.tick()
            while self.watcher.background.tasks:
                await self.settle()
            if self.clock.now.second % 5 == 0:
                await self.reminder_scheduler.tick()
            if told:
                await until_nothing_due(self.world.store, self.world.feed, self.clock)
        if told:
            await self.world.all_told()
            await self.world.cards_true()

    async def settle(self) -> None:
        """Until what the looks have begun is done."""
        await asyncio.wait(set(self.watcher.background.tasks))

    def cards(self) -> list[dict[str, Any]]:
        return [message for message in self.world.posted() if "· #i" in text_of(message)]

    def thread(self) -> list[str]:
        """The lines of the first incident's thread, without their times."""
        lines = self.world.thread(self.cards()[0])[1:]
        return [message["content"].split("\n")[0].split("> ")[-1] for message in lines]


@asynccontextmanager
async def open_play(folder: Path) -> AsyncIterator[Play]:
    clock = Clock()
    async with Standin(
        limit_seconds=LIMIT_SECONDS, interaction_deadline=DEADLINE, clock=lambda: clock().timestamp()
    ) as standin:
        config = replace(config_for(folder, standin.api_url), services={"api": API}, alerts=Alerts())
        async with Store(config.state.database) as store:
            puppet, eyes, yard = Puppet(clock), Eyes(clock), Yard(clock)
            manager = cast("ServiceManager", puppet)
            feed = ChangeNotifier()
            await store.write(ledger.set_live, Live("api", "r1", clock() - timedelta(days=1), None))
            watcher = ServiceMonitor(
                {"api": API}, store, feed, {"api": manager}, cast("Any", eyes), cast("Any", yard), clock
            )
            await watcher.open()
            engine = Engine(config, store, feed, {"api": manager}, cast("Any", yard), watcher, clock)
            parts = Parts(store, feed, CalmManager(), engine, clock=clock)
            world = World(standin, config, parts)
            world.people = {rank: standin.add_member(rank, [standin.roles[rank]]) for rank in RANKS}
            await world.start()
            play = Play(world, clock, eyes, puppet, watcher, ReminderScheduler(config.alerts, store, feed, clock))
            try:
                yield play
            finally:
                await world.kill()
                await watcher.close()


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Play]:
    async with open_play(tmp_path) as opened:
        yield opened


async def acknowledged(play: Play, why: str) -> None:
    person = play.world.person("operator")
    response = await person.click(play.cards()[0], "Acknowledge")
    await (await person.submit(response.modal, {"reason": why})).final()


async def test_an_alert_is_taken_gets_worse_is_called_for_and_clears_itself(play: Play) -> None:
    """Row 1: stop nagging, keep checking, who and why, void if worse, cleared on recovery."""
    await play.run(10)
    play.eyes.failing["http"] = "answered 500"
    await play.run(20)
    await acknowledged(play, "the disk is full")
    card = await play.world.standin.wait_for_message(lambda m: "**Acknowledged** by operator" in text_of(m))
    assert "Acknowledge" not in buttons_of(card)
    play.eyes.failing["tcp"] = "refused"
    await play.run(6)
    worse = [m for m in play.world.posted() if "got worse" in m["content"]]
    assert len(worse) == 1
    await play.run(60)
    assert any("needs attention" in m["content"] for m in play.world.posted())
    await acknowledged(play, "I restart the database")
    before = len(play.world.posted())
    for _ in range(20):
        play.clock.pass_by(1800)
        await play.reminder_scheduler.tick()
        await play.world.all_told()
    assert len(play.world.posted()) == before, "no reminder while somebody has it"
    play.eyes.failing.clear()
    await play.run(20)
    await play.world.standin.wait_for_message(lambda m: m["content"].startswith("🟢 api was down for"))
    lines = play.thread()
    assert "HTTP check: answered 500 (3 of 3 failed)" in lines
    assert "acknowledged by operator: the disk is full" in lines
    assert "TCP check is down: refused" in lines
    assert any("acknowledgement is cleared" in line for line in lines)
    assert any(line.startswith("HTTP check passes again") for line in lines)
    assert "recovered after" in lines[-1]
    assert lines.index("HTTP check: answered 500 (3 of 3 failed)") < lines.index("restarting (1 of 3)")


async def test_nothing_is_lost_while_discord_is_away_and_the_end_does_not_overtake_the_alarm(play: Play) -> None:
    """Row 2: the network was down at that very second."""
    await play.run(10)
    play.world.standin.faults.away()
    play.eyes.failing["http"] = "answered 500"
    await play.run(20, told=False)
    play.eyes.failing.clear()
    await play.run(240, told=False)
    play.world.standin.faults.back()
    await play.world.all_told(30)
    (card,) = play.cards()
    assert "sent 4 m" in card["content"]
    end = play.world.thread(card)[-1]
    assert "recovered after" in end["content"]
    assert int(end["id"]) > int(card["id"])


async def test_an_edit_wakes_nobody_so_the_change_of_state_is_a_new_line_in_the_thread(play: Play) -> None:
    """Row 6, and item 6: the incident is a thread, with people's own words left as they are."""
    await play.run(10)
    play.eyes.failing["http"] = "answered 500"
    await play.run(20)
    (card,) = play.cards()
    await play.world.person("viewer").say("it is the database again", channel_id=int(card["id"]))
    play.eyes.failing.clear()
    await play.run(20)
    lines = play.thread()
    assert "it is the database again" in lines
    assert "recovered after" in lines[-1]
    end = play.world.thread(card)[-1]
    assert not end["flags"] & 1 << 12, "who follows the thread hears of the end"
    assert len(play.world.posted()) == 1


async def test_a_success_is_silent_and_defaults_are_few(play: Play) -> None:
    """Row 24: a blip, and a day of health, are no message at all."""
    await play.run(60)
    play.eyes.failing["http"] = "answered 500"
    await play.run(9)
    play.eyes.failing.clear()
    await play.run(120)
    assert play.world.posted() == []


async def test_a_message_says_what_where_since_when_and_what_was_and_will_be_done(play: Play) -> None:
    """Row 23, and row 25: within Discord's limits, with a text line, whatever the service writes."""
    play.puppet.lines = ["x" * 3000] * 40 + ["@everyone <@&1> ``` https://evil.example"]
    await play.run(10)
    play.eyes.failing["http"] = "answered 500 " + "y" * 5000
    await play.run(20)
    (card,) = play.cards()
    text = text_of(card)
    assert len(card["content"]) <= 2000
    assert len(text) <= 6000
    assert card["content"].startswith("🔴 api is DOWN: HTTP check")
    for words in (
        "Since <t:",
        "on blue",
        "**Last deploy:**",
        "**Timeline**",
        "**Next:** up to 2 more restarts, then escalation",
        "#i1",
    ):
        assert words in text
    assert [ping for ping in play.world.standin.store.pings if ping.everyone or ping.roles or ping.users] == []


async def test_a_flood_of_changes_meets_no_rate_limit(play: Play) -> None:
    """Row 26: one sender, edits put together, alarms before lines of timelines."""
    await play.run(10)
    play.eyes.failing["http"] = "answered 500"
    await play.run(20)
    for number in range(12):
        play.puppet.happens(Happening.DIED, ServiceState(Activity.FAILED, exit=message(ExitCode.STATUS, status=number)))
        play.puppet.happens(Happening.STARTED, play.puppet._running())
    await play.run(3)
    refused = [request for request in play.world.standin.requests if request.status == 429]
    assert refused == []
    assert len(play.cards()) == 1
    assert (await play.world.store.read(outbox.waiting))[0] == 0


async def test_the_escalation_comes_once_and_reminders_grow(play: Play) -> None:
    """Item 18's other half: somebody is woken, and not every five minutes."""
    await play.run(10)
    play.eyes.failing["http"] = "answered 500"
    await play.run(80)
    told = len(play.world.posted())
    for _ in range(48):
        play.clock.pass_by(600)
        await play.reminder_scheduler.tick()
        await play.world.all_told()
    reminders = play.world.posted()[told:]
    assert len(reminders) == 4, "after 30 m, 1 h, 2 h and 4 h of 8 h"
    assert all("Not acknowledged after" in message["content"] for message in reminders)
