"""A storm stays one message, or few: 200 services under one root, and 500 that flap."""

from datetime import timedelta
from pathlib import Path

from opsbot.config import Alerts, Check, CheckKind
from opsbot.core.health import CheckPolicy
from opsbot.standin.state import ROLE_IDS
from opsbot.store import incident_repository, storms
from tests.cogs.world import text_of
from tests.scenarios.channel import Scene, open_scene
from tests.watch.herd import open_herd, service

CHILDREN = 200
FLAPPING = 500
SLOW = Check("tcp", CheckKind.TCP, timedelta(seconds=30), policy=CheckPolicy(fall=3))


async def test_two_hundred_services_under_one_root_are_one_message(tmp_path: Path) -> None:
    names = [f"s{number}" for number in range(CHILDREN)]
    services = [*(service(name, "postgres") for name in names), service("postgres", checks=(SLOW,))]
    async with open_scene(tmp_path, services) as scene:
        await scene.run(35)
        scene.herd.fails("postgres", *names)
        await scene.run(60)
        posted = [text for text in scene.contents() if "needs attention: automatic" not in text]
        (card,) = posted
        assert card.startswith("🔴 postgres is DOWN: TCP check: no answer (3 of 3 failed) since <t:")
        assert card.endswith(". Needs attention. Also down because of it: 200 services.")
        scene.herd.mends()
        await scene.run(70)
        assert len(scene.contents()) == 2, "the alarm and the call for the root"
        assert scene.ending(1) == scene.thread(1)[-1]
        assert len(scene.thread(1)) < 50, "of many the card alone tells"
        incident = await scene.herd.latest("postgres")
        assert len(incident.dependents) == CHILDREN
        assert all(one.well_at is not None for one in incident.dependents)
        assert scene.requests("PATCH") < 40


async def test_five_hundred_flapping_checks_say_one_thing_each_and_seldom_edit(tmp_path: Path) -> None:
    services = [service(f"s{number}") for number in range(FLAPPING)]
    async with open_herd(tmp_path, services, Alerts()) as herd:

        def by_turns(second: int) -> None:
            herd.sight.failing = dict.fromkeys(herd.services, "no answer") if second // 5 % 2 else {}

        await herd.run(180, by_turns, step=5)
        told = await herd.told()
        assert sorted(told) == sorted(f"incident s{number}" for number in range(FLAPPING))
        revisions = sum(one.revision for one in (await herd.store.read(incident_repository.open_incidents)).values())
        assert revisions < FLAPPING * 10, "counts are written down seldom, not at each look"


async def test_five_hundred_that_flap_are_few_messages_and_people_are_answered_meanwhile(tmp_path: Path) -> None:
    services = [service(f"s{number}") for number in range(FLAPPING)]
    async with open_scene(tmp_path, services) as scene:
        scene.standin.add_member("Mia", [ROLE_IDS["viewer"]])

        def by_turns(second: int) -> None:
            scene.herd.sight.failing = dict.fromkeys(scene.herd.services, "no answer") if second // 5 % 2 else {}

        await scene.herd.run(180, by_turns, step=5)
        opened = await scene.herd.store.read(incident_repository.open_incidents)
        assert len(opened) == FLAPPING
        answer = await (await scene.standin.member("Mia").run("incidents")).final()
        assert "s499" in text_of(answer), "each is an incident of its own"
        await scene.herd.run(30, by_turns, step=5)
        await scene.told()
        alone = sum("· #i" in text_of(message) for message in scene.posted())
        together = [await scene.herd.store.read(storms.members, number) for number in await _storms(scene)]
        assert alone + sum(len(members) for members in together) == FLAPPING
        assert len(scene.posted()) <= 12
        assert not [one for one in scene.standin.requests if one.status == 429]


async def _storms(scene: Scene) -> list[int]:
    return await scene.herd.store.read(
        lambda db: [row["id"] for row in db.execute("SELECT id FROM notices WHERE kind = 'storm'")]
    )
