import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest

from opsbot.store import Store, samples
from opsbot.store.samples import Figure, Sample

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "s.db") as store:
        yield store


def fill(db: sqlite3.Connection, hours: int, services: int = 1) -> None:
    for minute in range(hours * 60):
        figures = (
            (Figure.MEMORY, 81_000_000 + minute % 7 * 1000),
            (Figure.CPU, minute % 50),
            (Figure.TASKS, 12),
            (Figure.FDS, 30),
        )
        each = [Sample(f"s{n}", figure, value) for n in range(services) for figure, value in figures]
        samples.put(db, BEGIN + minute * MINUTE, each)


async def test_what_was_measured_is_read_again(store: Store) -> None:
    await store.write(samples.put, BEGIN, [Sample("api", Figure.MEMORY, 1000.4), Sample("api", Figure.FDS, 9)])
    await store.write(samples.put, BEGIN + MINUTE, [Sample("api", Figure.MEMORY, 2000)])
    found = await store.read(samples.points, "api", Figure.MEMORY, BEGIN)
    assert found == [(BEGIN.timestamp(), 1000.0), (BEGIN.timestamp() + 60, 2000.0)]
    assert await store.read(samples.points, "api", Figure.MEMORY, BEGIN + MINUTE) == found[1:]


async def test_old_samples_are_thinned_to_their_minima_and_means_and_the_oldest_go(store: Store) -> None:
    await store.write(fill, 48)
    now = BEGIN + 2 * DAY
    await store.write(samples.thin, now)
    memory = await store.read(samples.points, "s0", Figure.MEMORY, BEGIN)
    assert len(memory) == 24 * 6 + 24 * 60
    assert {value for _, value in memory[:100]} == {81_000_000.0}
    assert await store.write(samples.thin, now) == len(memory) * 4
    cpu = await store.read(samples.points, "s0", Figure.CPU, BEGIN)
    assert cpu[0] == (BEGIN.timestamp(), 5.0)
    assert await store.write(samples.thin, BEGIN + 17 * DAY) == 0


async def test_a_day_of_four_figures_takes_little_room(store: Store) -> None:
    await store.write(fill, 24, 5)
    size = await store.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0] * 4096)
    assert size / (24 * 60 * 4 * 5) < 24


async def test_the_number_of_series_is_bounded(store: Store) -> None:
    many = [Sample(f"x{n}", Figure.FDS, 1) for n in range(samples.SERIES_AT_MOST + 50)]
    await store.write(samples.put, BEGIN, many)
    assert await store.read(lambda db: db.execute("SELECT count(*) FROM series").fetchone()[0]) == 2000


async def test_a_run_begins_when_it_was_first_seen(store: Store) -> None:
    assert await store.write(samples.record_run, "api", "r1", BEGIN) == BEGIN
    assert await store.write(samples.record_run, "api", "r1", BEGIN + MINUTE) == BEGIN
    assert await store.write(samples.record_run, "api", "r2", BEGIN + DAY) == BEGIN + DAY
    assert await store.read(samples.run_starts, "api", BEGIN) == [BEGIN, BEGIN + DAY]


async def test_a_leak_is_told_once_a_run(store: Store) -> None:
    assert await store.write(samples.claim_leak, "api", "r1", BEGIN)
    assert not await store.write(samples.claim_leak, "api", "r1", BEGIN)
    assert await store.write(samples.claim_leak, "api", "r2", BEGIN)


async def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    first = (resources.files("opsbot.store") / "migrations" / "0001_first.sql").read_text()
    with sqlite3.connect(path) as db:
        db.executescript(f"BEGIN;\n{first}\nPRAGMA user_version = 1;\nCOMMIT;")
        db.execute("INSERT INTO holds VALUES ('api', 'ben', 'why', 1.0, NULL)")
    db.close()
    async with Store(path) as store:
        await store.write(samples.put, BEGIN, [Sample("api", Figure.FDS, 1)])
        assert await store.read(lambda db: db.execute("SELECT actor FROM holds").fetchone()[0]) == "ben"
