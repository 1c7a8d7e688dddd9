"""A restart of opsbot: only real transitions are told, those that happened meanwhile included (complaints: duplicate
storms, missed recoveries, and blanket suppression, which is no better).
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from opsbot.core.incident import IncidentEventKind
from opsbot.store import incident_queries, incident_repository
from tests.fixtures.said import done, said
from tests.watch.herd import open_herd, service

TREE = (service("web", "api"), service("api", "postgres"), service("postgres"), service("mail"))


async def test_what_was_down_and_is_down_is_not_told_again(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        herd.fails("postgres", "api", "web", "mail")
        await herd.run(40)
        before = await herd.told()
        await herd.again(600)
        await herd.run(120)
        assert await herd.told() == before
        assert {one.service for one in (await herd.incident("postgres")).dependents} == {"api", "web"}


async def test_what_became_well_meanwhile_is_told_with_when_it_was_started(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(70)
        herd.fails("mail")
        await herd.run(40)
        herd.mends()
        at = herd.clock() + timedelta(seconds=200)
        herd.shepherd.states["mail"] = replace(await herd.shepherd.state("mail"), run="2", started_at=at)
        await herd.again(600)
        await herd.run(20)
        assert (await herd.told())[-1] == "recovered mail"
        over = await herd.latest("mail")
        assert said(over.resolution) == "started while opsbot was not running"
        assert (IncidentEventKind.STARTED_UNSEEN, at) in [(each.kind, each.at) for each in over.events]


async def test_what_an_opsbot_before_did_in_vain_is_not_said_to_have_ended_it(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(70)
        herd.fails("mail")
        await herd.run(40)
        assert (await herd.incident("mail")).called_at is not None
        await herd.again(30)
        herd.mends()
        await herd.run(20)
        assert said((await herd.latest("mail")).resolution) == "what opsbot tried did not help; it recovered later"


async def test_what_went_down_meanwhile_is_told_and_says_that_nobody_was_looking(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(70)
        herd.fails("mail")
        await herd.again(600)
        await herd.run(20)
        assert (await herd.told())[0] == "incident mail"
        (deed, *_) = done(await herd.incident("mail"))
        assert deed.startswith("opsbot was not running for 10 m")
        assert deed.endswith("before it saw this: it may have begun then")


async def test_after_a_start_without_trouble_nothing_is_said(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(70)
        await herd.again(3600)
        await herd.run(120)
        assert await herd.told() == []


async def test_a_child_is_listed_on_and_told_to_be_well_after_a_restart(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        herd.fails("postgres", "api")
        await herd.run(30)
        await herd.again()
        assert herd.watcher.because_of("api") == "postgres"
        herd.mends("api")
        await herd.run(20)
        (one,) = (await herd.incident("postgres")).dependents
        assert one.well_at is not None


async def test_what_was_judged_down_but_never_told_is_judged_again(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        herd.fails("mail")
        await herd.run(20)
        await herd.store.write(forget_incidents)
        await herd.again()
        await herd.run(20)
        assert "incident mail" in await herd.told()


def forget_incidents(db: object) -> None:
    """As if opsbot had been killed after it wrote the verdict and before it opened the incident."""
    db.execute("DELETE FROM incidents")  # type: ignore[attr-defined]
    db.execute("DELETE FROM notices")  # type: ignore[attr-defined]


async def test_the_incident_of_a_service_that_is_not_configured_any_more_ends(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        herd.fails("mail")
        await herd.run(20)
        del herd.services["mail"]
        await herd.again()
        over = await herd.latest("mail")
        assert said(over.resolution) == "no longer configured"


async def test_a_recovery_never_comes_before_its_alarm(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        for _ in range(2):
            herd.fails("mail", "postgres")
            await herd.run(20)
            await herd.again(30)
            herd.mends()
            await herd.run(20)
        told = await herd.told()
        for name in ("mail", "postgres"):
            mine = [each for each in told if each.endswith(name) and not each.startswith("call")]
            assert mine == [f"incident {name}", f"recovered {name}"] * 2
        assert await herd.store.read(incident_queries.last_alive) is not None
        assert await herd.store.read(incident_repository.open_incidents) == {}
