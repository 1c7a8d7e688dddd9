"""An acknowledgement counts for what was known when it was given: another service joins, and it is void."""

import re
from pathlib import Path

from opsbot.monitoring.reminders import ReminderScheduler
from opsbot.standin.state import ROLE_IDS
from tests.cogs.world import buttons_of, text_of
from tests.scenarios.channel import Scene, open_scene
from tests.watch.herd import service

SERVICES = (service("web", "api"), service("api"))


async def taken(scene: Scene, incident: int) -> None:
    person = scene.standin.member("Mia")
    response = await person.click(scene.card(incident), "Acknowledge")
    answer = await person.submit(response.modal, {"reason": "the disk is full"})
    assert "Acknowledged" in (await answer.final())["content"]
    await scene.told()


async def waits(scene: Scene, minutes: int) -> None:
    """Time passes, and the pager looks as it goes by."""
    reminder_scheduler = ReminderScheduler(scene.herd.alerts, scene.herd.store, scene.herd.feed, scene.herd.clock)
    for _ in range(minutes // 10):
        scene.herd.clock.pass_by(600)
        await reminder_scheduler.tick()
        await scene.told()


async def test_row_1_an_acknowledgement_is_void_once_another_service_joins(tmp_path: Path) -> None:
    async with open_scene(tmp_path, SERVICES) as scene:
        scene.standin.add_member("Mia", [ROLE_IDS["operator"]])
        await scene.run(10)
        scene.herd.fails("api")
        await scene.run(40)
        await taken(scene, 1)
        assert re.search(r"\*\*Acknowledged\*\* by Mia <t:\d+:t>: the disk is full", text_of(scene.card(1)))
        before = len(scene.posted())
        await waits(scene, 600)
        assert len(scene.posted()) == before, "nobody is reminded of what somebody has taken"
        scene.herd.fails("web")
        await scene.run(40)
        (worse,) = scene.posted()[before:]
        assert "got worse" in worse["content"]
        assert "web is not well because of it" in worse["content"]
        assert not worse["flags"] & 1 << 12, "it wakes people"
        card = scene.card(1)
        assert "Void since" in text_of(card)
        assert "web is not well because of it" in text_of(card)
        assert "Acknowledge" in buttons_of(card)
        assert any("the acknowledgement is void: web is not well because of it" in line for line in scene.thread(1))
        await waits(scene, 120)
        reminders = [text for text in scene.contents()[before + 1 :] if "nobody has acknowledged it" in text]
        assert len(reminders) == 2, "after half an hour, and an hour later"
        await taken(scene, 1)
        reminded = len(scene.posted())
        await waits(scene, 600)
        assert len(scene.posted()) == reminded
