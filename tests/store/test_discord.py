"""LoginStarts and outages in the store, and the way there from the first version of the database."""

import sqlite3
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

from opsbot.core.login_budget import LoginStarts, LoginThreshold
from opsbot.core.outage import Outage
from opsbot.store import Store, discord_history

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def first_version(path: Path) -> None:
    folder = resources.files("opsbot.store") / "migrations"
    (one,) = [entry for entry in folder.iterdir() if entry.name.startswith("0001")]
    with sqlite3.connect(path) as db:
        db.executescript(f"{one.read_text()}\nPRAGMA user_version = 1;")
        db.execute("INSERT INTO recoveries (service, at) VALUES ('api', 1.0)")
    db.close()


def count_recoveries(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM recoveries").fetchone()[0])


async def test_a_database_of_the_first_version_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path: Path) -> None:
    first_version(tmp_path / "s.db")
    async with Store(tmp_path / "s.db") as store:
        assert await store.read(count_recoveries) == 1
        assert await store.read(discord_history.starts, "api", NOW) == LoginStarts()
        assert await store.read(discord_history.last_outage) is None


async def test_the_starts_of_several_units_are_added_up(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        both = {"a@1.service": LoginThreshold("x", 0), "a@2.service": LoginThreshold("y", 0)}
        assert await store.write(discord_history.record_runs, "api", both, NOW - HOUR) == 2
        assert await store.write(discord_history.record_runs, "api", both, NOW - HOUR) == 0
        one = {**both, "a@2.service": LoginThreshold("z", 3)}
        assert await store.write(discord_history.record_runs, "api", one, NOW) == 3
        assert await store.read(discord_history.starts, "api", NOW) == LoginStarts(5, 3, NOW)
        assert await store.read(discord_history.starts_after, "api", NOW - HOUR / 2) == 3
        await store.write(discord_history.prune, NOW + timedelta(days=3), NOW)
        assert await store.read(discord_history.starts_after, "api", NOW - 9 * HOUR) == 0
        assert await store.write(discord_history.record_runs, "api", one, NOW + timedelta(days=3)) == 0  # still known


async def test_an_outage_is_kept_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        begun = Outage(NOW - 2 * HOUR)
        await store.write(discord_history.save_outage, begun)
        assert await store.read(discord_history.last_outage) == begun
        ended = Outage(begun.began, NOW - HOUR)
        await store.write(discord_history.save_outage, ended)
        assert await store.read(discord_history.last_outage) == ended
        assert await store.read(discord_history.outages, NOW - 3 * HOUR) == [ended]
        assert await store.read(discord_history.outages, NOW) == []
        await store.write(discord_history.prune, NOW, NOW)
        assert await store.read(discord_history.last_outage) is None
