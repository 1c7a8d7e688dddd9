"""The store: one writer, one transaction a use case, nothing lost or doubled."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import (
    Commit,
    Deployment,
    DeploymentKind,
    DeploymentRequest,
    DeploymentStep,
    Hold,
    Phase,
    Quarantine,
    Release,
    advance,
)
from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.message import plain
from opsbot.core.model import Evidence, Incident, NotificationKind, Silence
from opsbot.messages.deployments import deployment_status
from opsbot.store import Store, StoreError, audit, incident_repository, ledger, open_readonly, outbox

MIGRATIONS = Path(__file__).parents[2] / "opsbot" / "store" / "migrations"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ALICE = Actor(Origin.DISCORD, "42", "alice")
REQUEST = DeploymentRequest("api", DeploymentKind.DEPLOY, ALICE, ref="main")


async def claimed(store: Store, service: str = "api") -> Deployment:
    found = await store.write(ledger.claim, replace(REQUEST, service=service), NOW)
    assert isinstance(found, Deployment)
    return found


def through(deployment: Deployment, *phases: Phase) -> Deployment:
    for phase in phases:
        deployment = advance(deployment, phase, NOW)
    return deployment


async def test_of_two_who_claim_one_service_only_one_gets_it(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store, Store(tmp_path / "s.db") as other:
        first, second = await asyncio.gather(
            store.write(ledger.claim, REQUEST, NOW), other.write(ledger.claim, REQUEST, NOW)
        )
        got = [found for found in (first, second) if isinstance(found, Deployment)]
        assert len(got) == 1
        assert got[0].id in {first, second} or first == got[0].id or second == got[0].id
        assert isinstance(await store.write(ledger.claim, replace(REQUEST, service="bot"), NOW), Deployment)


async def test_a_deployment_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        deployment = await claimed(store)
        step = DeploymentStep(
            plain("npm ci"), Phase.INSTALLING, NOW, NOW + timedelta(seconds=3), False, plain("n"), "t\n", "o"
        )
        commit = Commit("ab" * 20, "títle `x`", "Ann", NOW)
        changed = replace(advance(deployment, Phase.FETCHING, NOW), steps=(step,), commits=(commit,), commits_total=1)
        saved = await store.write(ledger.save, changed)
        assert await store.read(ledger.deployment, deployment.id) == saved
        assert saved.revision == deployment.revision + 1


async def test_who_holds_an_old_revision_cannot_save(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        deployment = await claimed(store)
        await store.write(ledger.save, advance(deployment, Phase.FETCHING, NOW))
        with pytest.raises(ledger.StaleError):
            await store.write(ledger.save, advance(deployment, Phase.FETCHING, NOW))


async def test_an_end_frees_the_service_for_the_next(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        first = await claimed(store)
        await store.write(ledger.conclude, advance(first, Phase.FAILED, NOW, plain("no")))
        assert (await claimed(store)).id > first.id


async def test_live_and_quarantine_and_hold_change_together_with_the_end(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        await store.write(ledger.add_release, "api", Release("r1", "c1", NOW, good=False))
        one = replace(
            through(await claimed(store), Phase.SWITCHING, Phase.RESTARTING, Phase.VERIFYING, Phase.LIVE),
            commit_to="c1",
        )
        await store.write(ledger.conclude, one, live="r1")
        live = await store.read(ledger.live, "api")
        assert live is not None
        assert live.release == "r1"
        assert (await store.read(ledger.releases, "api"))[0].good
        bad = through(await claimed(store), Phase.SWITCHING, Phase.UNDOING, Phase.UNDONE)
        hold = Hold("api", "opsbot", plain("undone"), NOW, waits="c2")
        await store.write(ledger.conclude, replace(bad, note=plain("500")), quarantined="c2", hold=hold)
        assert await store.read(ledger.quarantined, "api") == {"c2": Quarantine(plain("500"), bad.updated_at)}
        assert await store.read(ledger.hold, "api") == hold
        good = through(await claimed(store), Phase.SWITCHING, Phase.RESTARTING, Phase.VERIFYING, Phase.LIVE)
        await store.write(ledger.conclude, replace(good, commit_to="c2"), live="r1", lift=True)
        assert await store.read(ledger.quarantined, "api") == {}
        assert await store.read(ledger.hold, "api") is None


async def test_of_all_that_succeeded_one_is_live(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        for name in ("r1", "r2"):
            await store.write(ledger.add_release, "api", Release(name, name, NOW, good=False))
        for name in ("r1", "r2", "r1"):
            value = through(await claimed(store), Phase.SWITCHING, Phase.RESTARTING, Phase.VERIFYING, Phase.LIVE)
            await store.write(ledger.conclude, replace(value, release_to=name), live=name)
        failed = through(await claimed(store), Phase.SWITCHING, Phase.UNDOING, Phase.UNDONE)
        await store.write(ledger.conclude, replace(failed, release_to="r3"))
        found = await store.read(ledger.deployments, "api")
        assert [deployment_status(each) for each in found] == ["rolled back", "live", "succeeded", "succeeded"]


async def test_a_hold_set_by_hand_is_not_replaced_by_the_wait_after_a_rollback(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        by_hand = Hold("api", "alice", plain("freeze"), NOW)
        await store.write(ledger.put_hold, by_hand)
        await store.write(ledger.put_hold, Hold("api", "opsbot", plain("undone"), NOW, waits="c1"))
        assert await store.read(ledger.hold, "api") == by_hand


async def test_a_deployment_and_its_card_are_born_together(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        deployment = await claimed(store)
        (notice,) = await store.read(outbox.pending, NOW)
        assert (notice.kind, notice.subject) == (NotificationKind.DEPLOYMENT, deployment.id)


async def test_a_notice_is_kept_until_it_is_told_and_told_once(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        assert await store.write(outbox.put, "k", NotificationKind.WORD, "api", NOW, body={"text": "x"})
        assert not await store.write(outbox.put, "k", NotificationKind.WORD, "api", NOW, body={"text": "y"})
        (notice,) = await store.read(outbox.pending, NOW)
        assert await store.write(outbox.trying, notice.id, NOW)
        (again,) = await store.read(outbox.pending, NOW)
        assert again.tries == 1
        assert await store.write(outbox.mark_sent, notice.id, NOW, channel=1, message=2)
        assert not await store.write(outbox.mark_sent, notice.id, NOW, channel=1, message=3)
        assert await store.read(outbox.pending, NOW) == []


async def test_a_card_is_stale_while_its_subject_is_ahead_of_it(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        deployment = await claimed(store)
        (notice,) = await store.read(outbox.pending, NOW)
        await store.write(outbox.mark_sent, notice.id, NOW, channel=1, message=2, shown=deployment.revision)
        assert await store.read(outbox.stale_cards) == []
        saved = await store.write(ledger.save, advance(deployment, Phase.FETCHING, NOW))
        assert [card.id for card in await store.read(outbox.stale_cards)] == [notice.id]
        await store.write(outbox.mark_shown, notice.id, saved.revision)
        assert await store.read(outbox.stale_cards) == []


async def incident(store: Store) -> Incident:
    return await store.write(
        incident_repository.open_incident,
        Incident(0, "api", plain("died"), NOW, Evidence((("http", plain("500")),), plain("SIGKILL"), ("a",))),
    )


async def test_a_service_has_one_open_incident(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        assert (await incident(store)).id == (await incident(store)).id
        assert len(await store.read(outbox.pending, NOW)) == 1


async def test_an_incident_that_came_and_went_in_a_silence_is_not_told(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        await store.write(incident_repository.put_silence, Silence("api", "alice", "", NOW, NOW + timedelta(hours=1)))
        opened = await incident(store)
        await store.write(incident_repository.escalate, opened.id, plain("why"), NOW, Evidence())
        assert await store.read(outbox.pending, NOW) == []
        await store.write(incident_repository.close_incident, "api", plain("by itself"), NOW)
        assert await store.read(outbox.pending, NOW + timedelta(hours=2)) == []


async def test_an_incident_still_open_when_the_silence_ends_is_told(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        await store.write(incident_repository.put_silence, Silence("api", "alice", "", NOW, NOW + timedelta(hours=1)))
        await incident(store)
        assert len(await store.read(outbox.pending, NOW + timedelta(hours=2))) == 1


async def test_a_human_is_called_once_until_somebody_took_a_hand(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        opened = await incident(store)
        assert await store.write(incident_repository.escalate, opened.id, plain("why"), NOW, Evidence())
        assert not await store.write(incident_repository.escalate, opened.id, plain("why"), NOW, Evidence())
        await store.write(
            incident_repository.add_event, opened.id, event(IncidentEventKind.RESUMED_BY, NOW, actor="mia")
        )
        assert await store.write(
            incident_repository.escalate, opened.id, plain("why"), NOW + timedelta(minutes=1), Evidence()
        )


async def test_the_audit_log_cannot_be_rewritten(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        await store.write(audit.record, ALICE, "deploy", "api", NOW, allowed=False, result="refused")
        (entry,) = await store.read(audit.entries)
        assert (entry.actor_name, entry.allowed) == ("alice", False)

        def rewrite(db: sqlite3.Connection) -> None:
            db.execute("UPDATE audit SET allowed = 1")

        with pytest.raises(sqlite3.DatabaseError, match="append-only"):
            await store.write(rewrite)


async def test_a_cancelled_caller_leaves_no_half_transaction(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        for number in range(50):
            task = asyncio.create_task(store.write(outbox.put, f"k{number}", NotificationKind.WORD, "api", NOW))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await store.write(outbox.put, "last", NotificationKind.WORD, "api", NOW)
        assert len(await store.read(outbox.pending, NOW, 100)) == 51


async def test_what_raises_in_a_transaction_undoes_all_of_it(tmp_path: Path) -> None:
    def half(db: sqlite3.Connection) -> None:
        outbox.put(db, "k", NotificationKind.WORD, "api", NOW)
        raise RuntimeError("in the middle")

    async with Store(tmp_path / "s.db") as store:
        with pytest.raises(RuntimeError):
            await store.write(half)
        assert await store.read(outbox.pending, NOW) == []


async def test_a_file_from_a_newer_opsbot_is_refused_with_the_mend(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db"):
        pass
    raw = sqlite3.connect(tmp_path / "s.db")
    raw.execute("PRAGMA user_version = 999")
    raw.close()
    with pytest.raises(StoreError, match="newer opsbot"):
        await Store(tmp_path / "s.db").open()


async def test_a_reader_sees_it_while_the_daemon_writes(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        await claimed(store)

        def read() -> int:
            reader = open_readonly(tmp_path / "s.db")
            with closing(reader):
                return len(ledger.deployments(reader))

        assert await asyncio.to_thread(read) == 1


def test_a_file_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.db"):
        open_readonly(tmp_path / "none.db")


async def test_a_file_that_cannot_be_opened_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "s.db").mkdir()
    with pytest.raises(StoreError, match=r"s\.db"):
        await Store(tmp_path / "s.db").open()


def test_no_table_is_taken_for_damaged_by_where_its_key_stands() -> None:
    """SQLite 3.40 finds NULL values in sound tables WITHOUT ROWID whose key does not come first."""
    with closing(sqlite3.connect(":memory:")) as db:
        for script in sorted(MIGRATIONS.glob("*.sql")):
            db.executescript(script.read_text())
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%WITHOUT ROWID%'")]
        assert tables
        for table in tables:
            columns = db.execute(f"SELECT name, type FROM pragma_table_info('{table}')").fetchall()  # noqa: S608
            values = ["x" if kind == "TEXT" else 1 for _, kind in columns]
            marks = ", ".join("?" * len(values))
            db.execute(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608 - names of our own
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
