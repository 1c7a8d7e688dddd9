"""Incidents of what is no service: they open, go on and end, without a ladder."""

from pathlib import Path

from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.message import plain
from opsbot.core.model import Evidence
from opsbot.core.subjects import is_host, subject_name
from tests.fixtures.said import done, said
from tests.watch.herd import open_herd, service

DISK = "host:disk:/"
FULL = plain("93 % full")


def test_subjects_in_words() -> None:
    assert [subject_name(each) for each in ("api", DISK, "host:memory", "host:cert:example.org")] == [
        "api",
        "the host's disk /",
        "the host's memory",
        "the host's cert example.org",
    ]
    assert is_host(DISK)
    assert not is_host("hostess")


async def test_an_incident_of_the_host_opens_goes_on_and_ends(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        book = herd.watcher.incident_manager
        await book.trouble(DISK, FULL, herd.clock(), evidence=Evidence((("disk", FULL),)))
        await book.trouble(DISK, plain("94 % full"), herd.clock())
        await book.timeline.note(DISK, event(IncidentEventKind.NOTE, herd.clock(), text="old logs were deleted"))
        await herd.run(120)
        incident = await herd.incident(DISK)
        assert (incident.cause, incident.evidence.checks) == (FULL, (("disk", FULL),))
        assert done(incident) == ["old logs were deleted"]
        await book.end(DISK, plain("88 % full"))
        await book.end(DISK, plain("88 % full"))
        assert await herd.told() == [f"incident {DISK}", f"recovered {DISK}"], "no ladder, no call"


async def test_an_incident_of_the_host_is_remembered_over_a_restart(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        await herd.watcher.incident_manager.trouble(DISK, FULL, herd.clock())
        await herd.again()
        await herd.watcher.incident_manager.trouble(DISK, FULL, herd.clock())
        assert await herd.told() == [f"incident {DISK}"]
        await herd.watcher.incident_manager.end(DISK, plain("88 % full"))
        assert said((await herd.latest(DISK)).resolution) == "88 % full"


async def test_the_host_flaps_too(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        book = herd.watcher.incident_manager
        for _ in range(8):
            await book.trouble(DISK, FULL, herd.clock())
            await herd.run(20)
            await book.end(DISK, plain("88 % full"))
            await herd.run(20)
        assert (await herd.incident(DISK)).flaps.flapping
        assert len(await herd.told()) == 6
        await herd.run(320)
        assert (await herd.latest(DISK)).closed_at is not None
