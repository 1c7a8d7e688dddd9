"""What breaks a daemon at night: signals it did not expect, damage to its own files, commits made to do harm."""

import asyncio
import signal
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsbot.core.access import Origin, itself
from opsbot.store import Store, StoreError, audit
from tests.fixtures.whole import Whole, open_whole


def damage(database: Path, kind: str) -> None:
    content = database.read_bytes()
    if kind == "no database at all":
        database.write_bytes(b"not a database" * 1000)
    elif kind == "cut short":
        database.write_bytes(content[: len(content) // 2])
    else:
        database.write_bytes(content[:4096] + bytes(8192) + content[12288:])


@pytest.mark.parametrize("kind", ["no database at all", "cut short", "overwritten pages"])
async def test_a_damaged_database_is_set_aside_and_a_new_one_begun(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "opsbot.sqlite3"
    async with Store(path):
        pass
    damage(path, kind)
    damaged = path.read_bytes()
    async with Store(path) as store:
        assert store.set_aside is not None
        assert store.set_aside.read_bytes() == damaged
    async with Store(path) as again:
        assert again.set_aside is None


async def test_a_database_that_is_only_locked_is_not_set_aside(tmp_path: Path) -> None:
    import sqlite3  # noqa: PLC0415 - here alone a test goes behind the store's back

    path = tmp_path / "opsbot.sqlite3"
    async with Store(path):
        pass
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        store = Store(path)
        with pytest.raises(StoreError):
            await store.open()
        await store.close()
    assert list(tmp_path.glob("*.damaged-*")) == []


async def _stopped(whole: Whole, signal_: signal.Signals = signal.SIGTERM) -> None:
    assert await whole.stop(signal_) == 0


async def test_with_a_damaged_database_the_service_is_watched_told_and_not_deployed(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        pid = await whole.pid()
        await _stopped(whole)
        await asyncio.to_thread(damage, whole.config.state.database, "overwritten pages")
        await asyncio.to_thread(whole.remote.version, "2")
        whole.start()
        await whole.said("database was damaged", "Deploys are paused until resumed")
        await asyncio.sleep(4)  # what must not happen would have by then
        found = await whole.serves("1")
        assert found["pid"] == pid
        resumed = await asyncio.to_thread(whole.cli, "resume", "web")
        assert resumed.returncode == 0
        await whole.serves("2")


async def test_sigterm_ends_opsbot_in_time_though_a_service_takes_its_own_to_stop(tmp_path: Path) -> None:
    async with open_whole(tmp_path, start=False, soak="100ms") as whole:
        file = tmp_path / "config.toml"
        settings = await asyncio.to_thread(file.read_text)
        await asyncio.to_thread(file.write_text, settings.replace('stop_timeout = "1s"', 'stop_timeout = "60s"'))
        await asyncio.to_thread(whole.remote.version, "2", ignores_sigterm=True)
        whole.start()
        await whole.said("web runs")
        before = await whole.pid()
        assert before is not None
        restart = asyncio.create_task(asyncio.to_thread(whole.cli, "restart", "web"))
        await asyncio.sleep(1.5)  # the restart is under way
        async with asyncio.timeout(9):
            assert await whole.stop() == 0
        await restart
        whole.start()
        await whole.standin.wait_connected(20)
        assert (await whole.serves("2"))["pid"] == before


async def test_nobody_else_reads_the_database_of_a_directory_that_is_open_to_all(tmp_path: Path) -> None:
    async with Store(tmp_path / "opsbot.sqlite3") as store:
        await store.write(audit.record, itself(Origin.POLL), "deploy", "web", datetime.now(UTC), allowed=True)
        modes = {file.name: file.stat().st_mode & 0o007 for file in tmp_path.iterdir()}
    assert "opsbot.sqlite3-wal" in modes
    assert set(modes.values()) == {0}
