"""What a clean-up tells: the audit log, and each problem once, over a real store."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsbot.cleanup import CleanupRunner
from opsbot.config import Cleanup, Service
from opsbot.core.model import Notification
from opsbot.daemon.periodic_jobs import jobs
from opsbot.daemon.wiring import open_engine
from opsbot.messages import render
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, audit, outbox
from tests.fixtures.sample import free_port, make_config, make_service


def clock() -> datetime:
    return datetime.now(UTC)


def service(folder: Path, *cleanups: Cleanup) -> Service:
    return replace(make_service(folder, str(folder / "remote.git"), free_port()), cleanup=cleanups)


@asynccontextmanager
async def opened(folder: Path, *cleanups: Cleanup, most: int = 10_000) -> AsyncIterator[tuple[CleanupRunner, Store]]:
    async with Store(folder / "state" / "opsbot.sqlite3") as store:
        yield (
            CleanupRunner(make_config(folder, service(folder, *cleanups)), store, ChangeNotifier(), clock, most=most),
            store,
        )


def old(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 2048)
    at = time.time() - 3 * 86_400
    os.utime(path, (at, at))
    return path


async def told(store: Store) -> list[Notification]:
    return await store.read(outbox.pending, clock(), 100)


async def tell_all(store: Store) -> None:
    for notice in await told(store):
        await store.write(outbox.mark_sent, notice.id, clock(), channel=1, message=notice.id)


async def test_what_was_deleted_stands_in_the_audit_log_once(tmp_path: Path) -> None:
    made = [old(tmp_path / "srv" / "shared" / "temp" / name) for name in ("a.pcm", "b.pcm")]
    async with opened(tmp_path, Cleanup(("temp/*.pcm", f"{tmp_path}/other/*.pcm"))) as (runner, store):
        (job,) = runner.jobs()
        assert (job.name, job.every, job.service) == ("cleanup web", timedelta(hours=1), "web")
        assert [(await runner.run(job)).files for _ in range(2)] == [2, 0]
        (entry,) = await store.read(audit.entries)
        assert (entry.origin, entry.actor_name, entry.action, entry.service) == ("cleanup", "opsbot", "cleanup", "web")
        assert entry.detail == f"{tmp_path}/srv/shared/temp/*.pcm older than 1 d"
        assert entry.result == "2 files deleted, 4 KiB"
        assert await told(store) == []
    assert not any(path.exists() for path in made)


async def test_a_problem_is_told_once_and_again_only_after_it_was_over(tmp_path: Path) -> None:
    real, place = tmp_path / "real", tmp_path / "bot" / "temp"
    file = old(real / "a.pcm")
    place.parent.mkdir()
    place.symlink_to(real)
    cleanup = Cleanup((f"{place}/*.pcm",))
    async with opened(tmp_path, cleanup) as (runner, store):
        (job,) = runner.jobs()
        for _ in range(3):
            await runner.run(job)
        (notice,) = await told(store)
        assert notice.kind == "word"
        assert notice.body["level"] == "warning"
        text = f"web: the cleanup of {place}/*.pcm cannot read {place}: it is a symbolic link or not a folder"
        assert render(notice.said) == text
        await tell_all(store)
    async with opened(tmp_path, cleanup) as (runner, store):
        (job,) = runner.jobs()
        await runner.run(job)
        assert await told(store) == [], "another opsbot on the same store knows that it was told"
        assert file.exists()
        place.unlink()
        real.rename(place)
        assert (await runner.run(job)).files == 1
        place.rename(real)
        place.symlink_to(real)
        for _ in range(2):
            await runner.run(job)
        assert len(await told(store)) == 1


async def test_the_state_directory_and_the_releases_are_spared_even_where_a_pattern_slipped_through(
    tmp_path: Path,
) -> None:
    kept = [old(tmp_path / name / "x.pcm") for name in ("state/services", "srv/releases/1", "srv/mirror.git/objects")]
    gone = old(tmp_path / "srv" / "temp" / "x.pcm")
    async with opened(tmp_path, Cleanup((f"{tmp_path}/**/*.pcm",))) as (runner, _):
        (job,) = runner.jobs()
        assert (await runner.run(job)).files == 1
    assert all(path.exists() for path in kept)
    assert not gone.exists()


async def test_several_clean_ups_of_a_service_are_jobs_of_their_own_in_the_daemon(tmp_path: Path) -> None:
    cleanups = (Cleanup(("a/*",), every=timedelta(minutes=2)), Cleanup(("b/*",), every=timedelta(seconds=90)))
    made = replace(make_config(tmp_path, service(tmp_path, *cleanups)))
    async with open_engine(made) as parts:
        loops = jobs(parts)
        found = {name: pulse.every for name, pulse in loops.job_health.items() if name.startswith("cleanup")}
        assert found == {"cleanup web": timedelta(minutes=2), "cleanup web 2": timedelta(seconds=90)}


async def test_a_cancelled_clean_up_leaves_off(tmp_path: Path) -> None:
    folder = tmp_path / "srv" / "shared" / "temp"
    for number in range(6000):
        old(folder / f"{number}.pcm")
    async with opened(tmp_path, Cleanup(("temp/*.pcm",))) as (runner, _):
        (job,) = runner.jobs()
        cleaner = asyncio.create_task(runner.run(job))
        while len(list(folder.iterdir())) == 6000:
            await asyncio.sleep(0)
        cleaner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cleaner
        await asyncio.to_thread(_settled, folder)
        left = len(list(folder.iterdir()))
    assert 0 < left < 6000


def _settled(folder: Path) -> None:
    """Wait until nothing is deleted any more."""
    before, pause = -1, threading.Event()
    while before != (before := len(list(folder.iterdir()))):
        pause.wait(0.1)
