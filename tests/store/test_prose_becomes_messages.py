"""What earlier versions wrote in prose is kept as legacy text, shown unchanged."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from opsbot.core.message import plain
from opsbot.core.model import Effect
from opsbot.store import Store, audit, incident_repository, ledger
from opsbot.store.database import _migrations

STEPS = [
    ["npm ci", "installing", 1.0, 2.0, True, "3 files", "tail", "out"],
    ["verify", "verifying", 2.0, 3.0, False, "", "", ""],
]


def as_version_11_left_it(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for number, sql in _migrations():
            if number < 12:
                db.executescript(f"{sql}\nPRAGMA user_version = {number};")
        db.execute(
            """INSERT INTO deployments (service, kind, phase, origin, actor_id, actor_name, reason, steps, note,
                                        created_at, updated_at, finished_at)
               VALUES ('api', 'deploy', 'undone', 'discord', '1', 'ada', 'friday', ?, 'Back on r1.', 1, 3, 3)""",
            (json.dumps(STEPS),),
        )
        db.execute("INSERT INTO quarantine VALUES ('api', 'c1', 'it died', 3)")
        db.execute("INSERT INTO holds VALUES ('api', 'ada', 'a freeze', 3, NULL)")
        db.execute("INSERT INTO sources (service, failing_since, failure) VALUES ('api', 3, 'no such host')")
        for action, result in (("deploy", "deployment 1"), ("deploy", "refused: busy"), ("restart", "nothing done: x")):
            db.execute(
                """INSERT INTO audit (at, origin, actor_id, actor_name, action, service, detail, allowed, result)
                   VALUES (1, 'discord', '1', 'ada', ?, 'api', '', 1, ?)""",
                (action, result),
            )


async def test_prose_of_earlier_versions_is_kept_as_it_was(tmp_path: Path) -> None:
    await asyncio.to_thread(as_version_11_left_it, tmp_path / "s.db")
    async with Store(tmp_path / "s.db") as store:
        found = await store.read(ledger.deployment, 1)
        assert found is not None
        assert (found.note, found.reason) == (plain("Back on r1."), plain("friday"))
        first, second = found.steps
        assert (first.name, first.note, first.ok) == (plain("npm ci"), plain("3 files"), True)
        assert (second.name, second.note, second.ok) == (plain("verify"), None, False)
        assert (await store.read(ledger.quarantined, "api"))["c1"].reason == plain("it died")
        hold = await store.read(ledger.hold, "api")
        assert hold is not None
        assert hold.reason == plain("a freeze")
        assert (await store.read(incident_repository.source, "api")).failure == plain("no such host")
        entries = await store.read(audit.entries)
        assert [each.effect for each in reversed(entries)] == [Effect.DONE, Effect.REFUSED, Effect.NONE]
