"""What is looked at on this host: repositories, folders, programs, ports, the state directory, the daemon."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import (
    Check,
    CheckKind,
    Config,
    InstallStep,
    ManagerKind,
    Scope,
    Secret,
    Service,
    Source,
    StateConfig,
)
from opsbot.doctor import Area, Finding, Outcome
from opsbot.doctor.findings import Subject, bounded
from opsbot.doctor.folders import commands, folders
from opsbot.doctor.machine import fits
from opsbot.doctor.owners import INSTALLED, NoSuchOwnerError, Owners, install_creates_folders, installing, owners
from opsbot.runtime.instance_lock import InstanceLock
from opsbot.services.unit_files import LoadedUnit
from tests.doctor.conftest import Doctor, failed, named, serving
from tests.fixtures.git_http import GitServer, git_server

ME = os.geteuid()


def git(folder: Path, *args: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", "-C", str(folder), *who, *args], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    work, bare = tmp_path / "work", tmp_path / "bare" / "remote.git"
    work.mkdir()
    git(work, "init", "-b", "main")
    git(work, "commit", "--allow-empty", "-m", "first")
    subprocess.run(["git", "clone", "--bare", str(work), str(bare)], check=True, capture_output=True)
    return bare


@pytest.fixture
async def server(repository: Path) -> AsyncIterator[GitServer]:
    async with git_server(repository.parent) as running:
        yield running


def service(tmp_path: Path, repository: str, **more: object) -> Service:
    source = replace(Source(repository, tmp_path / "srv"), **more)  # type: ignore[arg-type]
    return Service("web", ManagerKind.PROCESS, command=("sh",), source=source)


async def test_a_repository_that_answers(config: Config, doctor: Doctor, tmp_path: Path, repository: Path) -> None:
    report = await doctor(serving(config, service(tmp_path, str(repository))))
    assert failed(report) == []
    assert f"{repository}: main is at " in named(report, "repository").seen


async def test_a_branch_that_is_not_there(config: Config, doctor: Doctor, tmp_path: Path, repository: Path) -> None:
    (found,) = failed(await doctor(serving(config, service(tmp_path, str(repository), branch="gone"))))
    assert found.seen.endswith("the repository has no branch gone")
    assert "source.branch" in found.fix


async def test_bad_credentials(
    config: Config, doctor: Doctor, tmp_path: Path, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.user = "x-access-token:right-password"
    monkeypatch.setenv("OPSBOT_DOCTOR_GIT", "wrong-password")
    wrong = serving(config, service(tmp_path, server.url, token=Secret("OPSBOT_DOCTOR_GIT")))
    report = await doctor(wrong)
    (found,) = failed(report)
    assert found.name == "repository"
    assert "token" in found.fix
    assert "wrong-password" not in str(report)
    monkeypatch.setenv("OPSBOT_DOCTOR_GIT", "right-password")
    assert failed(await doctor(wrong)) == []


async def test_a_hook_secret_that_is_not_there(
    config: Config, doctor: Doctor, tmp_path: Path, repository: Path
) -> None:
    missing = Secret(file=tmp_path / "no-secret")
    report = await doctor(serving(config, service(tmp_path, str(repository), hook_secret=missing)))
    assert named(report, "hook secret").outcome is Outcome.WARNING


async def test_a_remote_that_hangs_does_not_hang_the_doctor(
    config: Config, doctor: Doctor, tmp_path: Path, server: GitServer
) -> None:
    server.hang = True
    hung = service(tmp_path, server.url, timeout=timedelta(seconds=1))
    (found,) = failed(await doctor(serving(config, hung)))
    assert "did not answer" in found.seen
    assert found.fix.startswith("Try: git ls-remote ")


async def test_programs_of_steps_and_checks(config: Config, doctor: Doctor, tmp_path: Path, repository: Path) -> None:
    wanted = replace(
        service(tmp_path, str(repository)),
        install=(InstallStep(("no-such-program", "ci")), InstallStep(("./build",)), InstallStep(("sh",))),
        checks=(Check("look", CheckKind.COMMAND, run=("/no/such/check",)),),
    )
    report = await doctor(serving(config, wanted))
    assert {one.name for one in failed(report)} == {"no-such-program", "/no/such/check"}
    assert named(report, "./build").outcome is Outcome.SKIPPED
    assert named(report, "sh").outcome is Outcome.OK


def test_a_unit_sees_less_of_path_than_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "only-here"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    wanted = Service("web", ManagerKind.SYSTEMD, units=("web.service",), install=(InstallStep(("only-here",)),))
    (mine,) = commands(wanted, Owners(ME, ME, os.getegid()))
    (theirs,) = commands(wanted, Owners(ME, ME + 1, os.getegid()))
    assert (mine.outcome, theirs.outcome) == (Outcome.OK, Outcome.FAILED)


async def test_ports(config: Config, doctor: Doctor, tmp_path: Path, repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        up, down = listening.getsockname()[1], closed.getsockname()[1]
        checks = (
            Check("up", CheckKind.TCP, port=up),
            Check("down", CheckKind.HTTP, url=f"http://127.0.0.1:{down}/health"),
        )
        wanted = replace(service(tmp_path, str(repository)), checks=checks)
        before = await doctor(serving(config, wanted))
        (tmp_path / "srv" / "releases" / "1").mkdir(parents=True)
        (tmp_path / "srv" / "current").symlink_to("releases/1")
        after = await doctor(serving(config, wanted))
    assert named(before, f"port {up}").outcome is Outcome.OK
    assert named(before, f"port {down}").outcome is Outcome.SKIPPED
    assert named(after, f"port {down}").outcome is Outcome.WARNING


def test_the_live_release(tmp_path: Path) -> None:
    wanted = service(tmp_path, "/r")
    top = tmp_path / "srv"
    (top / "releases").mkdir(parents=True)

    def current() -> tuple[Outcome, str]:
        one = next(one for one in folders(wanted, Owners(ME, ME, os.getegid())) if one.name == "current")
        return one.outcome, one.seen

    assert current()[0] is Outcome.SKIPPED
    (top / "current").symlink_to("releases/gone")
    assert current() == (Outcome.FAILED, f"{top}/current is dangling: releases/gone does not exist")
    (top / "releases" / "gone").mkdir()
    assert current() == (Outcome.OK, "points to gone")
    (top / "current").unlink()
    (top / "current").mkdir()
    assert current()[0] is Outcome.FAILED


def test_the_layout_for_two_users(tmp_path: Path) -> None:
    wanted = service(tmp_path, "/r")
    gid = os.getegid()
    split = Owners(ME, ME + 1, gid)
    (missing, *_) = folders(wanted, split)
    assert missing.outcome is Outcome.FAILED
    assert "install -d -o " in missing.fix
    assert "-m 2750" in missing.fix
    for name, mode in ((".", 0o2750), ("releases", 0o2750), ("shared", 0o2770)):
        (tmp_path / "srv" / name).mkdir(exist_ok=True)
        (tmp_path / "srv" / name).chmod(mode)
    assert [one for one in folders(wanted, split) if one.outcome in {Outcome.WARNING, Outcome.FAILED}] == []
    (tmp_path / "srv" / "shared").chmod(0o755)
    (wrong,) = (one for one in folders(wanted, split) if one.outcome is Outcome.WARNING)
    assert wrong.seen == "has mode 0755, not 2770"
    assert "install -d" in wrong.fix


def test_where_opsbot_install_makes_all_of_it_that_is_what_is_advised(config: Config, tmp_path: Path) -> None:
    wanted, split, installs = service(tmp_path, "/r"), Owners(ME, ME + 1, os.getegid() + 1), installing(config)
    (group, *_) = folders(wanted, Owners(1, 2, 0), installs)
    (missing, *_) = folders(wanted, split, installs)
    assert group.fix == f"opsbot install -c {config.path} (as root); systemctl restart opsbot"
    assert missing.fix == installs
    for name in (".", "releases", "shared"):
        (tmp_path / "srv" / name).mkdir(exist_ok=True)
    found = [one.fix for one in folders(wanted, split, installs) if one.outcome is Outcome.WARNING]
    assert found == [installs] * 3
    kept = replace(wanted, manager=ManagerKind.SYSTEMD, units=("web.service",))
    assert install_creates_folders(config, kept, split)
    assert not install_creates_folders(replace(config, systemd=replace(config.systemd, scope=Scope.USER)), kept, split)
    assert not install_creates_folders(config, kept, Owners(ME, 0 if ME else -1, 0)), (
        "a unit of root's is another trouble"
    )
    assert install_creates_folders(config, wanted, split) is INSTALLED.exists()


def test_who_is_not_in_the_services_group(tmp_path: Path) -> None:
    (found, *_) = folders(service(tmp_path, "/r"), Owners(me=1, uid=2, gid=0))
    assert (found.name, found.fix) == ("group", "usermod -aG root daemon; systemctl restart opsbot")


def test_owners_are_those_of_the_unit(config: Config) -> None:
    kept = Service("web", ManagerKind.SYSTEMD, units=("web.service",))
    assert owners(config, kept, LoadedUnit("web.service", {"LoadState": "loaded", "User": "", "Group": ""})).uid == 0
    assert owners(config, kept, LoadedUnit("web.service", {"LoadState": "loaded", "User": "daemon"})).uid == 1
    with pytest.raises(NoSuchOwnerError, match=r"^web\.service is masked$"):
        owners(config, kept, LoadedUnit("web.service", {"LoadState": "masked"}))


async def test_the_state_directory(config: Config, doctor: Doctor, tmp_path: Path) -> None:
    fresh = await doctor(replace(config, state=StateConfig(tmp_path / "later")))
    assert named(fresh, "state directory").seen.endswith("does not exist yet; opsbot creates it")
    (tmp_path / "file").write_text("")
    (found,) = failed(await doctor(replace(config, state=StateConfig(tmp_path / "file"))))
    assert found.name == "state directory"


async def test_a_damaged_database(config: Config, doctor: Doctor) -> None:
    config.state.database.write_bytes(b"no database at all" * 100)
    (found,) = failed(await doctor(config))
    assert found.name == "database"


async def test_a_daemon_that_does_not_answer(config: Config, doctor: Doctor) -> None:
    assert named(await doctor(config), "daemon").outcome is Outcome.WARNING
    lock = InstanceLock(config.state.directory)
    await asyncio.to_thread(lock.take)
    (found,) = failed(await doctor(config))
    await asyncio.to_thread(lock.release)
    assert found.name == "daemon"
    assert f"pid {os.getpid()}" in found.seen


async def test_an_unknown_local_rank(config: Config, doctor: Doctor) -> None:
    ranks = replace(config.roles, operator=frozenset({"unix:no-such-user", "unix:@root", "unix:root"}))
    report = await doctor(replace(config, roles=ranks))
    assert named(report, "local ranks").seen == "user no-such-user does not exist on this host"


async def test_the_looks_are_bounded() -> None:
    async def hang() -> list[Finding]:
        await asyncio.sleep(60)  # it hangs
        return []

    (found,) = await bounded(Subject(Area.HOST), "host", hang(), 0.05)
    assert (found.outcome, found.seen) == (Outcome.FAILED, "no answer in 50 ms")


def test_bounds_of_versions() -> None:
    assert fits("3.11.7", ">=3.11,<4")
    assert not fits("3.10.9", ">=3.11,<4")
    assert not fits("4.0", ">=3.11,<4")
    assert fits("5.2", "~=5.1")
    assert not fits("6.0", "~=5.1")
    assert fits("2.0rc1", ">=2")
