"""A database that an earlier opsbot made is brought up to date, with all that is in it."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

from opsbot.core.model import NotificationKind
from opsbot.messages import render
from opsbot.store import Store, incident_repository, mutes, outbox

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def first(path: Path) -> None:
    """As the first version made it, with a silence, an incident and its untold alarm."""
    sql = (resources.files("opsbot.store") / "migrations" / "0001_first.sql").read_text()
    at = NOW.timestamp()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(f"BEGIN;{sql}PRAGMA user_version = 1;COMMIT;")
        db.execute("INSERT INTO silences VALUES ('api', 'ann', '', ?, ?)", (at, at + 60))
        db.execute("INSERT INTO health VALUES ('api', 'web', 'down', ?, 'answered 500 {at}', ?)", (at, at))
        db.execute("INSERT INTO health VALUES ('api', 'new', 'unknown', NULL, '', NULL)")
        db.execute("INSERT INTO incidents (service, cause, opened_at) VALUES ('api', 'gone', ?)", (at,))
        db.execute(
            "INSERT INTO notices (key, kind, service, subject, at) VALUES ('incident:1', 'incident', 'api', 1, ?)",
            (at,),
        )


async def test_silences_and_alarms_of_the_first_version_are_kept(tmp_path: Path) -> None:
    first(tmp_path / "s.db")
    async with Store(tmp_path / "s.db") as store:
        assert await store.read(outbox.pending, NOW) == []
        later = NOW + timedelta(seconds=61)
        assert [notice.kind for notice in await store.read(outbox.pending, later)] == [NotificationKind.INCIDENT]
        assert await store.read(mutes.silenced_until, "api", NOW, later) == NOW + timedelta(seconds=60)
        assert await store.read(incident_repository.silence, "api", later) is None


async def test_what_a_check_saw_is_shown_in_the_words_of_the_earlier_version(tmp_path: Path) -> None:
    first(tmp_path / "s.db")
    async with Store(tmp_path / "s.db") as store:
        kept = await store.read(incident_repository.healths)

    last = kept["api", "web"].last
    assert last is not None
    assert render(last.seen) == "answered 500 {at}"
    assert kept["api", "new"].last is None
