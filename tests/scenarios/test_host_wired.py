"""The host's watch as the daemon wires it: the real host, the real casebook."""

from datetime import timedelta
from pathlib import Path

from opsbot.daemon.wiring import open_engine
from opsbot.store import incident_repository
from tests.fixtures.puppets import Clock
from tests.fixtures.said import said
from tests.watch.test_host import config_of


async def test_a_real_disk_over_its_threshold_is_an_incident_until_it_is_not_watched(tmp_path: Path) -> None:
    clock, at_once = Clock(), {"sustained": timedelta(0), "settled": timedelta(0), "memory_available": 0, "inodes": 0}
    async with open_engine(config_of(tmp_path, disk=1, **at_once), clock) as parts:
        await parts.host.tick()
        clock.pass_by(60)
        await parts.host.tick()
        found = await parts.engine.store.read(incident_repository.open_incidents)
        assert found
        assert all(
            subject.startswith("host:disk:/") and "% full" in said(each.cause) for subject, each in found.items()
        )
        assert all("used" in said(dict(each.evidence.checks)[f"disk {s[10:]}"]) for s, each in found.items())
        assert {gauge.subject for gauge in parts.engine.statuses.gauges()} >= set(found)
    async with open_engine(config_of(tmp_path, disk=0, **at_once), clock) as parts:
        await parts.host.tick()
        assert await parts.engine.store.read(incident_repository.open_incidents) == {}
        incidents = await parts.engine.store.read(incident_repository.incidents, None)
        assert {said(each.resolution) for each in incidents} == {"no longer watched"}
