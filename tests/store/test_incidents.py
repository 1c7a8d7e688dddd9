"""Incidents that hang together: folded ones, dependents, flapping; and a database that knew of none of it."""

import sqlite3
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

from opsbot.core.flapping import Flaps
from opsbot.core.health import CheckHealth, ProbeCode, ProbeResult, Verdict
from opsbot.core.incident import Resolution
from opsbot.core.message import message, plain
from opsbot.core.model import Dependent, Evidence, Incident, NotificationKind
from opsbot.store import Store, incident_queries, incident_repository, outbox

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def draft(service: str, seconds: float = 0, **more: object) -> Incident:
    return Incident(0, service, plain(f"{service} failed"), at(seconds), Evidence(), **more)  # type: ignore[arg-type]


async def test_a_childs_incident_is_folded_in_the_transaction_that_opens_its_roots(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        child = await store.write(incident_repository.open_incident, draft("api"))
        (card,) = await store.read(outbox.pending, NOW)
        await store.write(outbox.trying, card.id, NOW)
        await store.write(outbox.mark_sent, card.id, NOW, channel=1, message=2, shown=0)
        root = await store.write(incident_repository.open_incident, draft("postgres", 5), at(6), ("api", "web"))
        assert root.dependents == (Dependent("api", plain("api failed"), at(0)),)
        folded = await store.read(incident_repository.incident, child.id)
        assert folded is not None
        assert (folded.part_of, folded.closed_at, folded.resolution) == (
            root.id,
            at(6),
            message(Resolution.PART_OF, incident=root.id),
        )
        kinds = [notice.kind for notice in await store.read(outbox.pending, NOW)]
        assert kinds == [NotificationKind.INCIDENT], "the root's card alone: nothing is over"
        assert [card.subject for card in await store.read(outbox.stale_cards)] == [child.id]


async def test_a_childs_incident_that_was_not_told_yet_is_never_told(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        await store.write(incident_repository.open_incident, draft("api"))
        root = await store.write(incident_repository.open_incident, draft("postgres", 5), at(6), ("api",))
        assert [notice.subject for notice in await store.read(outbox.pending, NOW)] == [root.id]


async def test_a_dependent_keeps_the_time_of_its_first_failure(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        root = await store.write(incident_repository.open_incident, draft("postgres"))
        await store.write(incident_repository.put_dependents, root.id, [Dependent("api", plain("no answer"), at(3))])
        await store.write(
            incident_repository.put_dependents, root.id, [Dependent("api", plain("no answer"), at(3), at(9))]
        )
        await store.write(
            incident_repository.put_dependents, root.id, [Dependent("api", plain("answered 500"), at(12))]
        )
        found = await store.read(incident_repository.incident, root.id)
        assert found is not None
        assert found.dependents == (Dependent("api", plain("answered 500"), at(3)),)
        assert found.revision == 3
        assert [each.id for each in await store.read(incident_queries.concerning, "api")] == [root.id]
        assert await store.read(incident_queries.concerning, "ap") == []


async def test_what_flaps_goes_on_in_one_incident(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        first = await store.write(incident_repository.open_incident, draft("api"))
        flaps = Flaps((), at(-60), 6, at(9))
        flapping = await store.write(incident_queries.begin_flapping, draft("api", -60, flaps=flaps), at(9))
        assert flapping.id != first.id
        assert flapping.flaps == flaps
        kinds = [notice.kind for notice in await store.read(outbox.pending, NOW)]
        assert kinds == [NotificationKind.INCIDENT, NotificationKind.INCIDENT], "no end is told between them"
        more = await store.write(
            incident_queries.flap, flapping.id, Flaps((), at(-60), 7, at(20)), at(20), timedelta(seconds=3)
        )
        assert more is not None
        assert (more.flaps.count, more.revision) == (7, 1)


async def test_changes_are_openings_and_ends_but_not_what_was_folded(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        await store.write(incident_repository.open_incident, draft("api", 1))
        await store.write(incident_repository.close_incident, "api", plain("by itself"), at(2))
        await store.write(incident_repository.open_incident, draft("api", 3))
        await store.write(incident_repository.open_incident, draft("postgres", 4), at(5), ("api",))
        assert await store.read(incident_queries.changes, NOW) == {"api": (at(1), at(2)), "postgres": (at(4),)}


async def test_the_last_sign_of_life_is_kept(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        assert await store.read(incident_queries.last_alive) is None
        await store.write(incident_queries.alive, at(1))
        await store.write(incident_queries.alive, at(61))
        assert await store.read(incident_queries.last_alive) == at(61)


async def test_the_last_results_of_a_check_are_kept(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        last = ProbeResult(False, message(ProbeCode.PROCESS_GONE, pid=7), at(2))
        health = CheckHealth(Verdict.DOWN, at(0), -1, at(2), last, (1 << 50) - 1, at(0))
        await store.write(incident_repository.save_health, "api", "http", health)
        kept = (await store.read(incident_repository.healths))["api", "http"]
        assert (kept.recent, kept.failing_since, kept.verdict) == (health.recent, at(0), Verdict.DOWN)


async def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    sql = (resources.files("opsbot.store") / "migrations" / "0001_first.sql").read_text()
    db = sqlite3.connect(path)
    db.executescript(sql + "\nPRAGMA user_version = 1;")
    db.execute("INSERT INTO incidents (service, cause, opened_at, evidence) VALUES ('api', 'died', 1.0, '{}')")
    db.execute("INSERT INTO health (service, name, verdict) VALUES ('api', 'http', 'down')")
    db.commit()
    db.close()
    async with Store(path) as store:
        old = (await store.read(incident_repository.open_incidents))["api"]
        assert (old.cause, old.dependents, old.flaps, old.part_of) == (plain("died"), (), Flaps(), None)
        assert (await store.read(incident_repository.healths))["api", "http"].recent == 1
        closed = await store.write(incident_repository.close_incident, "api", plain("by itself"), NOW)
        assert closed is not None
