"""A checkout that is updated where it lies: over the real pipeline, real git and a real supervised service."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opsbot.config import InstallStep, Service, Strategy
from opsbot.core.deployment import Deployment, Phase
from opsbot.filesystem.processes_in_folder import processes_in
from opsbot.store import ledger, outbox
from tests.fixtures import dying
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, make_service, poll
from tests.fixtures.stage import Stage, open_stage


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """A test that fails between two opsbots would leave its service running."""
    yield
    for pid in processes_in([tmp_path])[tmp_path]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def here(tmp_path: Path, remote: Remote) -> Path:
    """The checkout: a clone, on its branch, with version 1 installed by hand."""
    folder = tmp_path / "srv"
    remote._git("clone", "-q", remote.url, str(folder), at=tmp_path)
    (folder / "node_modules").mkdir()
    (folder / ".env").write_text("SECRET=1\n")
    return folder


def in_place(tmp_path: Path, remote: Remote, port: int, **more: Any) -> Service:
    service = make_service(tmp_path, remote.url, port, **more)
    assert service.source is not None
    return replace(service, source=replace(service.source, strategy=Strategy.IN_PLACE))


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


async def assert_well(stage: Stage, here: Path, remote: Remote, version: str, commit: str) -> None:
    """This version answers, is what is checked out, and all files of its commit are there as they are in it."""
    del remote
    found = await stage.answer()
    assert (found["version"], found["status"], found["folder"]) == (version, 200, str(here))
    assert git(here, "rev-parse", "HEAD") == commit
    assert git(here, "status", "--porcelain", "--untracked-files=no") == ""
    live = await stage.store.read(ledger.live, "web")
    releases = await stage.known_releases()
    assert live is not None
    assert next(each.commit for each in releases if each.name == live.release) == commit
    assert await stage.store.read(ledger.unfinished) == []
    assert (here / ".env").read_text() == "SECRET=1\n", "what git does not track is left alone"


async def test_a_new_commit_is_checked_out_where_it_lies_installed_and_restarted(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    first = remote.head()
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        live = await stage.store.read(ledger.live, "web")
        assert live is not None, "what is checked out is taken for what is live"
        second = remote.version("2")
        deployment = await stage.deploy()
        assert deployment.phase is Phase.LIVE, deployment
        assert (deployment.commit_from, deployment.commit_to) == (first, second)
        assert [commit.title for commit in deployment.commits] == ["Version 2"]
        await assert_well(stage, here, remote, "2", second)
        assert (here / "node_modules/stamp").exists()
        assert not (here / "mirror.git").exists()
        assert "node_modules" not in git(here, "ls-files")


async def test_an_install_step_is_run_again_only_when_its_files_changed(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        remote.version("2")
        await stage.deploy()
        stamp = (here / "node_modules/stamp").read_text()
        remote.version("3")
        third = await stage.deploy()
        assert (here / "node_modules/stamp").read_text() == stamp
        assert any("unchanged since it was run: not run again" in said(step.note) for step in third.steps)
        remote.version("4", files={"package.json": '{"a": 2}\n'})
        await stage.deploy()
        assert (here / "node_modules/stamp").read_text() != stamp
        assert (here / "node_modules/left-pad/version").read_text() == '{"a": 2}\n'


async def test_a_failing_install_is_undone_installed_as_before_and_quarantined(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        second = remote.version("2")
        await stage.deploy()
        broken = "echo '{\"half\": 1}' > node_modules/left-pad/version; echo no such package >&2; exit 7\n"
        bad = remote.version("bad", files={"install.sh": broken})
        deployment = await stage.deploy(actor=poll())
        assert deployment.phase is Phase.UNDONE, deployment
        assert "exit status 7" in said(deployment.note)
        assert any("no such package" in step.tail for step in deployment.steps)
        await assert_well(stage, here, remote, "2", second)
        assert (here / "node_modules/left-pad/version").read_text() == '{"a": 1}\n'
        assert bad in await stage.store.read(ledger.quarantined, "web")


@pytest.mark.parametrize("behaviour", [{"status": 500}, {"exits": 3}, {"dies_after": 0.2}])
async def test_a_commit_that_is_not_well_is_undone(
    tmp_path: Path, remote: Remote, port: int, here: Path, behaviour: dict[str, Any]
) -> None:
    service = in_place(tmp_path, remote, port, verify_timeout=3.0)
    async with open_stage(tmp_path, service) as stage:
        second = remote.version("2")
        await stage.deploy()
        bad = remote.version("bad", **behaviour)
        deployment = await stage.deploy()
        assert deployment.phase is Phase.UNDONE, deployment
        await assert_well(stage, here, remote, "2", second)
        assert bad in await stage.store.read(ledger.quarantined, "web")


async def test_the_first_commit_that_is_not_well_gives_way_to_what_was_checked_out(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    first = remote.head()
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        remote.version("bad", exits=3)
        assert (await stage.deploy()).phase is Phase.UNDONE
        await assert_well(stage, here, remote, "1", first)


async def test_a_changed_file_refuses_the_deploy_by_its_name_and_stays_as_it_is(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        second = remote.version("2")
        await stage.deploy()
        (here / "server.py").write_text((here / "server.py").read_text() + "# a fix at night\n")
        remote.version("3")
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert "has changes that are in no commit: server.py. Nothing was touched" in said(deployment.note)
        assert (here / "server.py").read_text().endswith("# a fix at night\n")
        assert git(here, "rev-parse", "HEAD") == second
        assert (await stage.answer())["version"] == "2"
        assert await stage.store.read(ledger.quarantined, "web") == {}
        refused = await stage.roll_back()
        assert refused.phase is Phase.FAILED
        assert "server.py" in said(refused.note)
        git(here, "restore", "-SW", "server.py")
        assert (await stage.deploy()).phase is Phase.LIVE


@pytest.mark.parametrize("path", ["notes.txt", "docs/notes.txt", "docs"])
async def test_a_file_in_the_way_refuses_the_deploy_by_its_name_and_stays_as_it_is(
    tmp_path: Path, remote: Remote, port: int, here: Path, path: str
) -> None:
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        (here / path).parent.mkdir(exist_ok=True)
        (here / path).write_text("by hand\n")
        remote.version("2", files={"notes.txt": "of the commit\n", "docs/notes.txt": "of the commit\n"})
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert f"brings its own: {path}. Nothing was touched" in said(deployment.note)
        assert (here / path).read_text() == "by hand\n"
        (here / path).unlink()
        assert (await stage.deploy()).phase is Phase.LIVE


async def test_what_an_install_step_did_to_a_tracked_file_is_not_taken_for_a_persons(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        rewrites = "mkdir -p node_modules; echo '{\"locked\": 1}' > package.json\n"
        remote.version("2", files={"install.sh": rewrites})
        assert (await stage.deploy()).phase is Phase.LIVE
        assert (here / "package.json").read_text() == '{"locked": 1}\n'
        remote.version("3", files={"install.sh": rewrites})
        assert (await stage.deploy()).phase is Phase.LIVE
        (here / "package.json").write_text("by hand\n")
        remote.version("4", files={"install.sh": rewrites})
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert "package.json" in said(deployment.note)


async def test_a_force_pushed_branch_is_followed_and_never_merged(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        remote.version("2")
        await stage.deploy()
        other = remote.rewrite("2b")
        deployment = await stage.deploy()
        assert deployment.phase is Phase.LIVE
        assert "does not follow from" in said(deployment.note)
        await assert_well(stage, here, remote, "2b", other)
        assert git(here, "rev-parse", "--abbrev-ref", "HEAD") == "HEAD", "detached"


async def test_a_rollback_goes_to_the_commit_before_without_a_remote_and_a_named_one_by_its_id(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    first = remote.head()
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        second = remote.version("2")
        await stage.deploy()
        third = remote.version("3")
        await stage.deploy()
        shutil.move(remote.bare, tmp_path / "gone")
        back = await stage.roll_back()
        assert (back.phase, back.commit_to) == (Phase.LIVE, second)
        await assert_well(stage, here, remote, "2", second)
        hold = await stage.store.read(ledger.hold, "web")
        assert hold is not None
        assert hold.waits == third
        assert (await stage.roll_back(first[:12])).phase is Phase.LIVE
        await assert_well(stage, here, remote, "1", first)


async def test_a_checkout_that_somebody_moved_is_gone_on_from_and_told(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        second = remote.version("2")
        await stage.deploy()
        git(here, "-c", "user.name=Ada", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "-m", "Fix")
        moved = git(here, "rev-parse", "HEAD")
        third = remote.version("3")
        deployment = await stage.deploy()
        assert (deployment.commit_from, deployment.phase) == (moved, Phase.LIVE)
        told = await stage.store.read(outbox.recent, 20)
        assert any("somebody moved it" in said(notice.said) for notice in told)
        await assert_well(stage, here, remote, "3", third)
        back = await stage.roll_back(second[:10])
        assert back.phase is Phase.LIVE


@pytest.mark.parametrize("what", ["missing", "empty", "inside another"])
async def test_a_directory_without_a_checkout_is_said_in_words(
    tmp_path: Path, remote: Remote, port: int, what: str
) -> None:
    if what != "missing":
        (tmp_path / "srv").mkdir()
    if what == "inside another":
        git(tmp_path, "init", "-q")
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert "there is no git checkout at" in said(deployment.note)
        assert (tmp_path / "srv").exists() is (what != "missing")


async def test_the_lock_of_a_git_that_was_killed_stops_nothing(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    async with open_stage(tmp_path, in_place(tmp_path, remote, port)) as stage:
        second = remote.version("2")
        (here / ".git/index.lock").touch()
        assert (await stage.deploy()).phase is Phase.LIVE
        await assert_well(stage, here, remote, "2", second)


async def test_commits_nobody_needs_are_let_go_of(tmp_path: Path, remote: Remote, port: int, here: Path) -> None:
    async with open_stage(tmp_path, in_place(tmp_path, remote, port, keep=2, soak=0.1)) as stage:
        for version in "234":
            remote.version(version)
            assert (await stage.deploy()).phase is Phase.LIVE
        async with asyncio.timeout(20):
            while len(await stage.known_releases()) != 2:
                await asyncio.sleep(0.05)  # between two looks
        held = git(here, "for-each-ref", "--format=%(refname)", "refs/opsbot/releases").splitlines()
        assert {name.rpartition("/")[2] for name in held} == {each.name for each in await stage.known_releases()}


MOMENTS = [
    ("after", Phase.FETCHING, Phase.FAILED, "2"),
    ("after", Phase.PREPARING, Phase.FAILED, "2"),
    ("after", Phase.INSTALLING, Phase.FAILED, "2"),
    ("after", Phase.SWITCHING, Phase.LIVE, "3"),
    ("before", Phase.RESTARTING, Phase.LIVE, "3"),
    ("after", Phase.RESTARTING, Phase.LIVE, "3"),
    ("after", Phase.VERIFYING, Phase.LIVE, "3"),
    ("before", Phase.LIVE, Phase.LIVE, "3"),
]


async def dies(folder: Path, remote: Remote, port: int, phase: str, moment: str) -> None:
    told = {
        "folder": str(folder), "url": remote.url, "port": port, "phase": phase, "moment": moment, "kind": "deploy",
        "service": {}, "in_place": True,
    }  # fmt: skip
    await dying.dies(told)


async def settled(stage: Stage) -> Deployment:
    for number in [each.id for each in await stage.store.read(ledger.unfinished)]:
        await stage.deployer.wait(number)
    last = (await stage.store.read(ledger.deployments, "web", 1))[0]
    assert last.finished
    return last


@pytest.mark.parametrize(("moment", "phase", "end", "version"), MOMENTS)
async def test_a_killed_deploy_is_finished_or_failed_at_the_next_start(
    tmp_path: Path, remote: Remote, port: int, here: Path, moment: str, phase: Phase, end: Phase, version: str
) -> None:
    service = in_place(tmp_path, remote, port)
    commits = {"2": remote.version("2")}
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
    commits["3"] = remote.version("3", files={"package.json": '{"a": 3}\n'})
    await dies(tmp_path, remote, port, phase, moment)
    async with open_stage(tmp_path, service) as stage:
        assert (await settled(stage)).phase is end
        await assert_well(stage, here, remote, version, commits[version])
        installed = '{"a": 3}\n' if version == "3" else '{"a": 1}\n'
        assert (here / "node_modules/left-pad/version").read_text() == installed


@pytest.mark.parametrize("moment", ["after", "before"])
async def test_a_killed_undoing_is_undone_at_the_next_start(
    tmp_path: Path, remote: Remote, port: int, here: Path, moment: str
) -> None:
    service = in_place(tmp_path, remote, port)
    second = remote.version("2")
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
    remote.version("bad", files={"package.json": '{"a": 3}\n'}, exits=3)
    await dies(tmp_path, remote, port, Phase.UNDOING if moment == "after" else Phase.UNDONE, moment)
    async with open_stage(tmp_path, service) as stage:
        assert (await settled(stage)).phase is Phase.UNDONE
        await assert_well(stage, here, remote, "2", second)
        assert (here / "node_modules/left-pad/version").read_text() == '{"a": 1}\n'


async def test_opsbot_killed_in_the_middle_of_an_install_step_finishes_it(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    service = in_place(tmp_path, remote, port)
    remote.version("2")
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
    kill = "if [ -e ../once ]; then rm ../once; kill -9 $PPID; sleep 60; fi\n"
    kill += "mkdir -p node_modules; echo whole > node_modules/x\n"
    third = remote.version("3", files={"install.sh": kill})
    (tmp_path / "once").touch()
    await dies(tmp_path, remote, port, Phase.LIVE, "after")
    async with open_stage(tmp_path, service) as stage:
        assert (await settled(stage)).phase is Phase.LIVE
        await assert_well(stage, here, remote, "3", third)
        assert (here / "node_modules/x").read_text() == "whole\n"


async def test_an_install_step_without_files_to_go_by_runs_each_time(
    tmp_path: Path, remote: Remote, port: int, here: Path
) -> None:
    step = InstallStep(("sh", "-c", "echo x >> ../ran"))
    async with open_stage(tmp_path, in_place(tmp_path, remote, port, install=(step,), soak=0.1)) as stage:
        for version in "23":
            remote.version(version)
            assert (await stage.deploy()).phase is Phase.LIVE
        assert (here.parent / "ran").read_text() == "x\nx\n"
