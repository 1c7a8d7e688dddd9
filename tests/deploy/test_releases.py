"""Release folders, by themselves."""

import asyncio
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsbot.core.patterns import fits
from opsbot.deploy.releases import About, ReleaseError, Releases
from opsbot.filesystem.disk import remove, used
from opsbot.filesystem.processes_in_folder import MARK, end_marked, processes_in
from tests.fixtures.sample import make_service

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    source = make_service(tmp_path, "unused", 1).source
    assert source is not None
    return Releases(replace(source, keep=2))


def made(releases: Releases, letter: str) -> str:
    name = releases.name(letter * 40, NOW)
    (releases.begin(name) / "file").write_text(letter)
    releases.complete(name, About({"x": "ran"}, ("a",), ("b",)))
    return name


def test_a_release_is_named_by_time_and_commit_and_numbered_when_that_stands(releases: Releases) -> None:
    assert made(releases, "a") == "20261124T120000Z-aaaaaaaaaa"
    assert made(releases, "a") == "20261124T120000Z-aaaaaaaaaa-2"
    assert releases.about("20261124T120000Z-aaaaaaaaaa") == About({"x": "ran"}, ("a",), ("b",))


def test_a_release_that_is_not_complete_cannot_be_switched_to(releases: Releases) -> None:
    name = releases.name("a" * 40, NOW)
    releases.begin(name)
    with pytest.raises(ReleaseError, match="release-gone"):
        releases.switch(name)
    assert releases.leftovers([]) == [name]
    releases.discard(name)
    assert releases.leftovers([]) == []


def test_the_link_is_there_at_every_moment_of_a_switch(releases: Releases) -> None:
    names = [made(releases, "a"), made(releases, "b")]
    releases.switch(names[0])
    missing = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal missing
        while not done.is_set():
            try:
                (releases.current / "file").read_text()
            except OSError:
                missing += 1

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(100):
        releases.switch(names[number % 2])
    done.set()
    watcher.join()
    assert missing == 0
    assert str(releases.current.readlink()) == f"releases/{names[1]}"


def test_the_live_release_is_never_removed(releases: Releases) -> None:
    name = made(releases, "a")
    releases.switch(name)
    with pytest.raises(ReleaseError, match="release-live"):
        releases.discard(name)
    assert releases.surplus([], [], [name]) == []
    assert releases.stands(name)


async def test_a_release_that_a_process_works_in_is_kept(releases: Releases) -> None:
    names = await asyncio.to_thread(lambda: [made(releases, letter) for letter in "abcd"])
    busy = await asyncio.create_subprocess_exec("sleep", "30", cwd=releases.path(names[3]))
    try:
        assert await asyncio.to_thread(releases.surplus, names, [], names) == [names[2]]
    finally:
        busy.kill()
        await busy.wait()
    assert await asyncio.to_thread(releases.surplus, names, [], names) == names[2:]


def test_folders_without_the_right_to_write_are_removed_too(tmp_path: Path) -> None:
    deep = tmp_path / "release/pkg/mod"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    for folder in (deep, deep.parent):
        folder.chmod(0o555)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "release/link").symlink_to(outside)
    assert remove(tmp_path / "release")
    assert outside.is_dir()


def test_what_a_folder_takes_is_counted_without_its_links(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 1_000_000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/link").symlink_to(tmp_path / "big")
    (tmp_path / "folder/small").write_bytes(b"x" * 5000)
    assert 5000 <= used(tmp_path / "folder") < 100_000


async def test_marked_processes_are_ended_and_no_others(tmp_path: Path) -> None:
    sleeps = [
        await asyncio.create_subprocess_exec("sleep", "30", env={**os.environ, MARK: mark})
        for mark in (str(tmp_path), f"{tmp_path}2", "")
    ]
    try:
        assert await asyncio.to_thread(end_marked, str(tmp_path)) == 1
        assert await asyncio.wait_for(sleeps[0].wait(), 2) == -9
        assert [each.returncode for each in sleeps[1:]] == [None, None]
    finally:
        for each in sleeps[1:]:
            each.kill()
            await each.wait()
    assert await asyncio.to_thread(processes_in, [tmp_path]) == {tmp_path: set()}


@pytest.mark.parametrize(
    ("path", "pattern", "meant"),
    [
        ("package.json", "package.json", True),
        ("deploy/package.json", "package.json", False),
        ("deploy/package.json", "**/package.json", True),
        ("package.json", "**/package.json", True),
        ("a/b/requirements-dev.txt", "**/requirements*.txt", True),
        ("a/b/requirements/x.txt", "**/requirements*.txt", False),
        ("docs/a/b.md", "docs/**", True),
        ("docs/a/b.md", "docs", True),
        ("docs/a/b.md", "docs/", True),
        ("docs/a/b.md", "docs/*.md", False),
        ("docsx/a", "docs", False),
        ("a+b(c).txt", "a+b(c).txt", True),
        ("x.txt", "?.txt", True),
        ("package.json", "/package.json", True),
    ],
)
def test_patterns_are_anchored_and_a_folder_means_all_in_it(path: str, pattern: str, meant: bool) -> None:
    assert fits(path, pattern) is meant
