"""What a release is made of: shared paths, reused results, odd commits, and folders put right at the start."""

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from opsbot.config import InstallStep
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentRequest, Phase
from opsbot.store import ledger
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, free_port, make_service, person
from tests.fixtures.stage import Stage, open_stage
from tests.fixtures.waiting import until


def read(path: Path) -> str:
    return path.read_text()


async def test_an_unchanged_install_is_reused_and_a_changed_one_runs(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1)) as stage:
        first = await stage.deploy()
        # A file of the same name elsewhere is another file.
        remote.version("2", files={"deploy/package.json": "{}"})
        second = await stage.deploy()
        step = second.steps[2]
        assert (
            said(step.note)
            == f"package.json, install.sh unchanged since `{(first.commit_to or '')[:7]}`: reused node_modules"
        )
        stamps = [stage.releases.path(each.release_to or "") / "node_modules/stamp" for each in (first, second)]
        assert read(stamps[0]) == read(stamps[1])
        assert stamps[0].stat().st_ino != stamps[1].stat().st_ino  # a copy, not a hard link
        remote.version("3", files={"package.json": '{"a": 2}\n'})
        third = await stage.deploy()
        assert third.steps[2].note is None
        assert "installing" in read(Path(third.steps[2].output))
        assert read(stage.releases.path(third.release_to or "") / "node_modules/left-pad/version") == '{"a": 2}\n'


async def test_an_unchanged_install_that_left_nothing_to_reuse_runs_and_says_why(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    made = make_service(tmp_path, remote.url, port, soak=0.1)
    named = replace(made, install=tuple(replace(step, keep=("built",)) for step in made.install))
    async with open_stage(tmp_path, named) as stage:
        first = await stage.deploy()
        remote.version("2")
        second = await stage.deploy()
        wanted = f"unchanged: `{(first.commit_to or '')[:7]}` has no built to reuse"
        assert said(second.steps[2].note).endswith(wanted)


async def test_a_step_whose_configuration_changed_runs_again(tmp_path: Path, remote: Remote, port: int) -> None:
    service = make_service(tmp_path, remote.url, port, soak=0.1)
    async with open_stage(tmp_path, service) as stage:
        await stage.deploy()
    other = replace(service, install=(replace(service.install[0], run=("sh", "-x", "install.sh")),))
    async with open_stage(tmp_path, other) as stage:
        remote.version("2")
        assert (await stage.deploy()).steps[2].note is None


async def test_a_step_runs_when_the_live_release_lacks_what_it_made(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1)) as stage:
        first = await stage.deploy()
        shutil.rmtree(stage.releases.path(first.release_to or "") / "node_modules")
        remote.version("2")
        second = await stage.deploy()
        wanted = f"`{(first.commit_to or '')[:7]}` has no node_modules or vendor to reuse"
        assert said(second.steps[2].note) == f"run although package.json, install.sh is unchanged: {wanted}"
        assert (stage.releases.path(second.release_to or "") / "node_modules/stamp").exists()


async def test_a_kept_virtual_environment_works_in_its_new_place(tmp_path: Path, remote: Remote, port: int) -> None:
    script = f"{sys.executable} -m venv --without-pip .venv && printf '#!%s/.venv/bin/python\\nimport sys; print(sys.prefix)\\n' \"$PWD\" > .venv/bin/tool && chmod +x .venv/bin/tool\n"  # noqa: E501
    remote.version("1", files={"install.sh": script})
    step = InstallStep(("sh", "install.sh"), when_changed=("install.sh",), keep=(".venv",))
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1, install=(step,))) as stage:
        first = await stage.deploy()
        remote.commit({"behaviour.json": '{"version": "2"}'})
        second = await stage.deploy()
        assert second.phase is Phase.LIVE
        assert "reused .venv" in said(second.steps[2].note)
        for each in (first, second):
            folder = stage.releases.path(each.release_to or "")
            printed = await asyncio.to_thread(subprocess.check_output, [folder / ".venv/bin/tool"], text=True)
            assert printed.strip() == str(folder / ".venv")


async def test_shared_paths_are_linked_into_every_release_and_survive_them(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    shared = ("data", "conf/app.env", "uploads", "missing.env")
    remote.version("1", files={"uploads/.keep": "", "conf/app.env": "A=1\n"})
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1, shared=shared)) as stage:
        first = await stage.deploy()
        assert "missing.env is missing: put it there" in said(first.note)
        store = stage.releases.shared
        assert read(store / "conf/app.env") == "A=1\n"
        folder = stage.releases.path(first.release_to or "")
        assert str((folder / "conf/app.env").readlink()) == "../../../shared/conf/app.env"
        assert not os.path.lexists(folder / "missing.env")
        (folder / "data/db.sqlite").write_text("precious")
        (store / "conf/app.env").write_text("A=2\n")
        (store / "missing.env").write_text("B=1\n")
        remote.version("2", files={"conf/app.env": "A=3\n", "uploads/new": ""})
        second = await stage.deploy()
        folder = stage.releases.path(second.release_to or "")
        assert read(folder / "data/db.sqlite") == "precious"
        assert read(folder / "conf/app.env") == "A=2\n"
        assert read(folder / "missing.env") == "B=1\n"
        assert said(second.note) == ""  # nothing of this was done by hand
        shutil.rmtree(stage.releases.path(first.release_to or ""))
        assert read(store / "data/db.sqlite") == "precious"
        await stage.assert_well("2")


async def test_a_shared_path_that_leads_out_of_the_release_is_refused(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    remote.commit(links={"conf": "/tmp"})
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, shared=("conf/app.env",))) as stage:
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert "leads out of the release" in said(deployment.note)
        assert stage.folders() == set()


async def test_links_modes_and_odd_names_come_out_as_they_went_in(tmp_path: Path, remote: Remote, port: int) -> None:
    odd = "a b\tü\nnew line"
    remote.commit(
        {odd: "odd", "run.sh": "true\n", ".gitattributes": "*.txt export-ignore eol=crlf\n", "x.txt": "a\nb\n"},
        links={"link": "server.py", "dangling": "nowhere"},
        executable=["run.sh"],
    )
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        deployment = await stage.deploy()
        assert deployment.phase is Phase.LIVE
        folder = stage.releases.path(deployment.release_to or "")
        assert read(folder / odd) == "odd"
        assert os.access(folder / "run.sh", os.X_OK)
        assert not os.access(folder / "server.py", os.X_OK)
        assert str((folder / "link").readlink()) == "server.py"
        assert str((folder / "dangling").readlink()) == "nowhere"
        assert (folder / "x.txt").read_bytes() == b"a\r\nb\r\n"
        assert not (folder / ".git").exists()


async def test_a_commit_with_a_submodule_is_refused_in_words(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        remote.git("update-index", "--add", "--cacheinfo", f"160000,{remote.head()},lib/sub")
        remote.git("commit", "-qm", "Add a submodule")
        remote.git("push", "-q", "origin", "HEAD:main")
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert "has submodules (lib/sub), which are not deployed" in said(deployment.note)
        await stage.assert_well("1")


@pytest.mark.parametrize("damage", ["gone", "empty object", "stale locks", "no packs", "half"])
async def test_a_damaged_mirror_is_mended(tmp_path: Path, remote: Remote, port: int, damage: str) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1)) as stage:
        await stage.deploy()
        mirror = stage.releases.directory / "mirror.git"
        objects = [path for path in (mirror / "objects").rglob("*") if path.is_file()]
        if damage == "gone":
            shutil.rmtree(mirror)
        elif damage == "empty object":
            for path in objects:
                path.chmod(0o644)
                path.write_bytes(b"")
        elif damage == "no packs":
            for path in objects:
                path.unlink()
        elif damage == "half":
            (mirror / "HEAD").unlink()
        else:
            (mirror / "shallow.lock").touch()
            (mirror / "packed-refs.lock").touch()
            (mirror / "refs/opsbot/tracked.lock").touch()
        remote.version("2")
        deployment = await stage.deploy()
        assert deployment.phase is Phase.LIVE, said(deployment.note)
        await stage.assert_well("2")


async def test_another_repository_in_the_configuration_is_followed(tmp_path: Path, remote: Remote, port: int) -> None:
    service = make_service(tmp_path, remote.url, port, soak=0.1)
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
    other = Remote.with_version(tmp_path / "other", "moved")
    assert service.source is not None
    async with open_stage(tmp_path, replace(service, source=replace(service.source, repository=other.url))) as stage:
        assert (await stage.deploy()).phase is Phase.LIVE
        await stage.assert_well("moved")


async def test_a_link_that_does_not_match_the_ledger_is_put_right_and_told(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    service = make_service(tmp_path, remote.url, port, soak=0.1)
    async with open_stage(tmp_path, service) as stage:
        first = await stage.deploy()
        remote.version("2")
        second = await stage.deploy()
        await asyncio.to_thread(stage.releases.switch, first.release_to or "")
    async with open_stage(tmp_path, service) as stage:
        assert await asyncio.to_thread(stage.releases.live) == second.release_to
        rows = await stage.store.read(lambda db: db.execute("SELECT body FROM notices WHERE kind = 'word'").fetchall())
        assert "update.link-restored" in rows[0]["body"]


async def test_folders_of_an_unknown_state_are_taken_over_and_not_cleared_away(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    service = make_service(tmp_path, remote.url, port, soak=0.1)
    async with open_stage(tmp_path, service) as stage:
        first = await stage.deploy()
        remote.version("2")
        second = await stage.deploy()
    shutil.rmtree(tmp_path / "state")
    async with open_stage(tmp_path, service) as stage:
        assert stage.folders() == {first.release_to, second.release_to}
        await stage.manager.start("web")
        await until(lambda: _answers(stage, "2"))
        await stage.assert_well("2")
        remote.version("3")
        third = await stage.deploy()
        assert third.commit_from == second.commit_to
        await stage.assert_well("3")


async def _answers(stage: Stage, version: str) -> bool:
    return await stage.version() == version


async def test_leftovers_are_cleared_at_the_start_and_what_people_put_there_is_not(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    service = make_service(tmp_path, remote.url, port, soak=0.1)
    async with open_stage(tmp_path, service) as stage:
        live = (await stage.deploy()).release_to or ""
        releases = stage.releases
        for name in ("20200101T000000Z-0123456789", "backup-of-friday"):
            (releases.folder / name / "deep").mkdir(parents=True)
        (releases.folder / ".20210101T000000Z-0123456789.part").touch()
        (releases.directory / ".current.77").symlink_to("releases/nowhere")
    async with open_stage(tmp_path, service) as stage:
        assert stage.folders() == {live, "backup-of-friday"}
        assert not os.path.lexists(stage.releases.directory / ".current.77")


async def test_a_folder_in_the_place_of_the_link_is_not_touched(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        (stage.releases.current / "precious").mkdir(parents=True)
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert "is a folder, where opsbot keeps a link: move it away" in said(deployment.note)
        assert (stage.releases.current / "precious").is_dir()
        assert await stage.store.read(ledger.quarantined, "web") == {}


async def test_one_installation_runs_at_a_time_on_the_host(tmp_path: Path, remote: Remote) -> None:
    log = tmp_path / "log"
    remote.version("1", files={"install.sh": f"echo begin >> {log}; sleep 0.4; echo end >> {log}\n"})
    services = [
        make_service(tmp_path, remote.url, free_port(), name=name, directory=tmp_path / name, soak=0.1)
        for name in ("one", "two")
    ]
    async with open_stage(tmp_path, *services) as stage:
        begun = [
            await stage.deployer.start(DeploymentRequest(each.name, DeploymentKind.DEPLOY, person()))
            for each in services
        ]
        for each in begun:
            assert isinstance(each, Deployment)
            assert (await stage.deployer.wait(each.id)).phase is Phase.LIVE
        assert read(log).split() == ["begin", "end", "begin", "end"]


async def test_files_kept_in_git_lfs_are_said_to_be_pointers(tmp_path: Path, remote: Remote, port: int) -> None:
    remote.commit({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    remote.commit({"model.bin": "version https://git-lfs.github.com/spec/v1\n"})
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1)) as stage:
        deployment = await stage.deploy()
        assert deployment.phase is Phase.LIVE
        assert "files kept in Git LFS came as pointers" in said(deployment.note)


async def test_a_tool_made_by_one_step_runs_in_the_next_and_in_the_live_release(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    """As a virtual environment's scripts do, it has the path of the release in its first line."""
    make = (
        "mkdir -p .venv/bin; printf '#!/bin/sh\\necho made in %s\\n' \"$PWD\" > .venv/bin/tool; chmod +x .venv/bin/tool"
    )
    remote.version("1", files={"make.sh": make})
    steps = (InstallStep(("sh", "make.sh")), InstallStep((".venv/bin/tool",)))
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1, install=steps)) as stage:
        deployment = await stage.deploy()
        assert deployment.phase is Phase.LIVE
        assert read(Path(deployment.steps[3].output)) == f"made in {stage.releases.path(deployment.release_to or '')}\n"
