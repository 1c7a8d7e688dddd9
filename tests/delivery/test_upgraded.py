"""A database that only the first version ever wrote to, amid everything: nothing of it is lost or told twice.

The rows are written as that version wrote them, by its own SQL, and not by functions of today's.
"""

import json
import sqlite3
import time
from contextlib import closing
from importlib import resources
from pathlib import Path

from opsbot.config import Config
from opsbot.core.deployment import Phase
from opsbot.core.message import plain
from opsbot.store import audit, incident_repository, ledger, outbox
from tests.cogs.world import World, open_world, text_of
from tests.fixtures.said import done

BAD, GOOD = "b" * 40, "a" * 40
STEPS = [["fetch main", "fetching", 0.0, 1.0, True, "", "", ""], ["verify", "verifying", 1.0, None, None, "", "", ""]]
EVIDENCE = {"checks": [["http", "answered 500"]], "exit": "exit status 3", "log": ["boom"]}


def as_the_first_version_left_it(path: Path) -> None:
    """One told deploy; one under way; a failed one whose end is untold; an untold alarm; a call that is untold."""
    at = time.time() - 60
    path.parent.mkdir(parents=True)
    sql = (resources.files("opsbot.store") / "migrations" / "0001_first.sql").read_text()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN;{sql}PRAGMA user_version = 1;COMMIT;")
        deployment = """INSERT INTO deployments (id, service, kind, phase, origin, actor_id, actor_name, commit_from,
            commit_to, release_from, release_to, steps, failed_in, note, created_at, updated_at, finished_at, live_at,
            revision) VALUES (?, ?, 'deploy', ?, 'discord', '7', 'mia', NULL, ?, NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
        steps = json.dumps(STEPS)
        db.execute(deployment, (1, "api", "live", GOOD, "r1", "[]", None, "", at, at, at, at, 3))
        db.execute(deployment, (2, "worker", "failed", BAD, "r2", "[]", "installing", "npm ci", at, at, at, None, 4))
        db.execute(deployment, (3, "api", "verifying", BAD, "r3", steps, None, "", at, at, None, None, 5))
        db.execute("INSERT INTO releases VALUES ('api', 'r1', ?, 'Say hello', ?, 1, 0)", (GOOD, at))
        db.execute("INSERT INTO live VALUES ('api', 'r1', ?, 1)", (at,))
        db.execute("INSERT INTO quarantine VALUES ('worker', ?, 'npm ci', ?)", (BAD, at))
        db.execute("INSERT INTO holds VALUES ('worker', 'mia', 'a freeze', ?, NULL)", (at,))
        db.execute("INSERT INTO health VALUES ('api', 'http', 'down', ?, 'answered 500', ?)", (at, at))
        db.execute("INSERT INTO sources (service, head, told) VALUES ('api', ?, 1)", (GOOD,))
        db.execute("INSERT INTO recoveries (service, at) VALUES ('api', ?)", (at,))
        db.execute("INSERT INTO audit VALUES (1, ?, 'cli', 'unix:mia', 'mia', 'deploy', 'api', '', 1, 'begun')", (at,))
        incident = """INSERT INTO incidents (id, service, cause, opened_at, closed_at, evidence, actions, deployment,
            called_at, ended_by, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
        deeds = json.dumps([[at, "restarted"]])
        known = json.dumps(EVIDENCE)
        db.execute(incident, (1, "worker", "check tcp: refused", at - 9, at, known, "[]", None, None, "restarted", 2))
        db.execute(incident, (2, "api", "check http: answered 500", at, None, known, deeds, 1, None, "", 1))
        db.execute(incident, (3, "worker", "check tcp: refused", at, None, known, deeds, None, at, "", 6))
        notice = """INSERT INTO notices (id, key, kind, service, subject, at, told_at, channel_id, message_id, shown,
            tried_at, tries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
        told, untold = (at, 1, 42, 99, at, 1), (None, None, None, -1, None, 0)
        for number, (key, kind, service, subject, how) in enumerate(
            [
                ("deployment:1", "deployment", "api", 1, told),
                ("deployment:2", "deployment", "worker", 2, told),
                ("incident:1", "incident", "worker", 1, told),
                ("recovered:1", "recovered", "worker", 1, told),
                ("incident:3", "incident", "worker", 3, told),
                ("outcome:2", "outcome", "worker", 2, untold),
                ("deployment:3", "deployment", "api", 3, untold),
                ("incident:2", "incident", "api", 2, untold),
                ("call:3", "call", "worker", 3, (None, None, None, -1, at, 1)),  # in doubt: killed while it was sent
            ],
            1,
        ):
            db.execute(notice, (number, key, kind, service, subject, at, *how))


def with_the_old_database(config: Config) -> Config:
    as_the_first_version_left_it(config.state.database)
    return config


def marks(world: World) -> list[str]:
    """What each message is about, oldest first; system messages (a thread was made) left out."""
    texts = [text_of(message) for message in world.posted() if message["type"] == 0]
    return [text.rpartition("· ")[2].strip() for text in texts]


async def test_all_of_it_is_there_and_each_untold_notice_is_told_once(tmp_path: Path) -> None:
    async with open_world(tmp_path, changed=with_the_old_database) as world:
        read = world.store.read
        under_way = await read(ledger.unfinished)
        assert [(each.id, each.phase, len(each.steps)) for each in under_way] == [(3, Phase.VERIFYING, 2)]
        assert [each.id for each in await read(ledger.deployments)] == [3, 2, 1]
        blocked = await read(ledger.quarantined, "worker")
        assert {commit: each.reason for commit, each in blocked.items()} == {BAD: plain("npm ci")}
        hold = await read(ledger.hold, "worker")
        assert hold is not None
        assert hold.reason == plain("a freeze")
        opened = await read(incident_repository.open_incidents)
        assert {name: each.id for name, each in opened.items()} == {"api": 2, "worker": 3}
        assert opened["api"].evidence.checks == (("http", plain("answered 500")),)
        assert done(opened["api"]) == ["restarted"]
        assert opened["worker"].called_at is not None
        assert [each.id for each in await read(incident_repository.incidents)] == [3, 2, 1]
        assert len(await read(audit.entries)) == 1
        await world.start()
        await world.all_told()
        # What is in doubt comes first, then all the rest in the order in which it happened.
        assert marks(world) == ["#n9", "#n6", "#d3", "#i2"]
        await world.kill()
        await world.start()
        await world.recover("api", "well again")
        await world.all_told()
        assert marks(world) == ["#n9", "#n6", "#d3", "#i2"]
        card = next(each for each in world.posted() if "#i2" in text_of(each))
        assert len([one for one in world.thread(card) if "recovered after" in text_of(one)]) == 1
        assert await read(outbox.pending, world.now()) == []
