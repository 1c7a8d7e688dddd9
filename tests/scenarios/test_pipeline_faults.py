"""The faults a deploy meets: each ends with the service answering and the right release live."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import InstallStep, Service
from opsbot.core.deployment import Deployment, Phase, RefusalReason, Refused
from opsbot.services.systemd.manager import Systemd
from opsbot.store import ledger
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, http_check, make_service, person, poll, tcp_check
from tests.fixtures.stage import Stage, open_stage
from tests.fixtures.waiting import until


async def undone(stage: Stage, commit: str) -> Deployment:
    """Deploy what fails after the switch: it is undone, its commit quarantined, and version 1 answers again."""
    before = stage.folders()
    deployment = await stage.deploy()
    assert deployment.phase is Phase.UNDONE, deployment
    assert commit in await stage.store.read(ledger.quarantined, "web")
    hold = await stage.store.read(ledger.hold, "web")
    assert hold is not None
    assert hold.waits == commit
    await stage.assert_well("1")
    await until(lambda: asyncio.to_thread(lambda: stage.folders() == before))
    refused = await stage.ask(commit, poll())
    assert isinstance(refused, Refused)
    assert refused.why in {RefusalReason.WAITING, RefusalReason.QUARANTINED}
    return deployment


async def test_a_failing_install_changes_nothing_live(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        pid = (await stage.answer())["pid"]
        commit = remote.failing_install()
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert deployment.failed_in is Phase.INSTALLING
        assert "exit status 7" in said(deployment.note)
        failed = deployment.steps[-1]
        assert failed.ok is False
        assert failed.tail.splitlines()[-1] == "npm ERR! no such package"
        assert failed.tail.splitlines()[0] == "line 7"
        assert len(failed.tail.splitlines()) == 15
        assert await asyncio.to_thread(lambda: Path(failed.output).read_text().splitlines()[0]) == "line 1"
        await stage.assert_well("1")
        assert (await stage.answer())["pid"] == pid
        assert len(stage.folders()) == 1
        assert commit in await stage.store.read(ledger.quarantined, "web")
        good = remote.version("3")
        assert (await stage.deploy(good, poll())).phase is Phase.LIVE
        await stage.assert_well("3")


async def test_a_syntax_error_is_undone(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        deployment = await undone(stage, remote.syntax_error())
        # systemd may see it end before it reports the start; opsbot's own supervisor never does.
        early = ("did not start: exit 1",) if isinstance(stage.manager, Systemd) else ()
        assert any(words in said(deployment.note) for words in ("the service died", *early))
        assert any("SyntaxError" in step.tail for step in deployment.steps)


async def test_a_release_that_answers_500_is_undone(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, verify_timeout=3)) as stage:
        await stage.deploy()
        deployment = await undone(stage, remote.version("2", status=500))
        assert "500" in said(deployment.note)


async def test_a_release_that_dies_in_the_soak_is_undone(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=5)) as stage:
        await stage.deploy()
        deployment = await undone(stage, remote.version("2", dies_after=2.5))
        assert "the service died" in said(deployment.note)
        assert "(exit 3)" in said(deployment.note)


async def test_a_release_that_hangs_in_the_soak_is_undone(tmp_path: Path, remote: Remote, port: int) -> None:
    service = make_service(tmp_path, remote.url, port, soak=5, checks=(http_check(port, timeout=1.0),))
    async with open_stage(tmp_path, service) as stage:
        await stage.deploy()
        deployment = await undone(stage, remote.version("2", stops_itself_after=0.8))
        assert "failed 2 times in a row" in said(deployment.note)


async def test_a_release_whose_port_closes_is_undone(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(
        tmp_path, make_service(tmp_path, remote.url, port, soak=3, checks=(tcp_check(port),))
    ) as stage:
        await stage.deploy()
        deployment = await undone(stage, remote.version("2", closes_port_after=0.8))
        assert "port passed at first" in said(deployment.note)


async def test_a_service_that_ignores_sigterm_is_replaced_all_the_same(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, stop_timeout=0.4)) as stage:
        remote.version("2", ignores_sigterm=True)
        await stage.deploy()
        stubborn = (await stage.answer())["pid"]
        remote.version("3")
        assert (await stage.deploy()).phase is Phase.LIVE
        await stage.assert_well("3")
        assert ended(stubborn)


async def test_a_stopped_process_is_replaced_by_a_deploy(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, stop_timeout=0.4)) as stage:
        await stage.deploy()
        os.kill((await stage.answer())["pid"], signal.SIGSTOP)
        remote.version("2")
        assert (await stage.deploy()).phase is Phase.LIVE
        await stage.assert_well("2")


async def test_a_force_pushed_branch_is_followed(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        remote.version("2")
        await stage.deploy()
        commit = remote.rewrite("2b")
        deployment = await stage.deploy()
        assert deployment.phase is Phase.LIVE
        assert deployment.commit_to == commit
        assert "does not follow from" in said(deployment.note)
        await stage.assert_well("2b")


async def test_files_changed_by_hand_in_the_live_release_stop_nothing_and_are_named(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        folder = Path((await stage.answer())["folder"])
        hot_fix = json.dumps({"version": "hot fix"})
        (folder / "behaviour.json").write_text(hot_fix)
        (folder / "notes.txt").write_text("in the way")
        remote.version("2", files={"notes.txt": "from the commit"})
        deployment = await stage.deploy()
        assert deployment.phase is Phase.LIVE
        assert "changed by hand: behaviour.json" in said(deployment.note)
        assert "added by hand: notes.txt" in said(deployment.note)
        await stage.assert_well("2")
        assert (folder / "behaviour.json").read_text() == hot_fix
        assert (folder / "notes.txt").read_text() == "in the way"
        assert (stage.releases.path(deployment.release_to or "") / "notes.txt").read_text() == "from the commit"


async def test_of_two_deploys_asked_at_once_one_is_done(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        both = await asyncio.gather(stage.ask(), stage.ask(actor=person("bob")))
        begun = [each for each in both if isinstance(each, Deployment)]
        refused = [each for each in both if isinstance(each, Refused)]
        assert len(begun) == len(refused) == 1
        assert refused[0].why is RefusalReason.BUSY
        assert refused[0].deployment == begun[0].id
        assert (await stage.deployer.wait(begun[0].id)).phase is Phase.LIVE
        await stage.assert_well("1")


async def test_of_two_processes_that_deploy_at_once_one_does(tmp_path: Path, remote: Remote, port: int) -> None:
    asked = tmp_path / "asked"
    waits = InstallStep(("sh", "-c", f"until [ -e '{asked}' ]; do sleep 0.05; done"))
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, install=(waits,))) as stage:
        begun = await stage.ask()
        assert isinstance(begun, Deployment)
        script = (
            "import asyncio, sys, pickle\n"
            "from pathlib import Path\n"
            "from opsbot.store import Store, ledger\n"
            "from opsbot.core.deployment import DeploymentRequest, DeploymentKind\n"
            "from tests.fixtures.sample import person\n"
            "from tests.fixtures.stage import clock\n"
            "async def main():\n"
            "    async with Store(Path(sys.argv[1])) as store:\n"
            "        wanted = DeploymentRequest('web', DeploymentKind.DEPLOY, person())\n"
            "        print(await store.write(ledger.claim, wanted, clock()))\n"
            "asyncio.run(main())\n"
        )
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(stage.config.state.database), stdout=subprocess.PIPE
        )
        out, _ = await other.communicate()
        asked.touch()
        assert out.decode().strip() == str(begun.id)
        assert (await stage.deployer.wait(begun.id)).phase is Phase.LIVE
        await stage.assert_well("1")


@contextmanager
def silent_server() -> Iterator[int]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def serve() -> None:
            try:
                while True:
                    taken.append(server.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            connection.close()
        thread.join(2)


async def test_a_remote_that_hangs_fails_the_deploy_in_time(tmp_path: Path, remote: Remote, port: int) -> None:
    service = make_service(tmp_path, remote.url, port)
    async with open_stage(tmp_path, service) as stage:
        await stage.deploy()
    with silent_server() as silent:
        assert service.source is not None
        source = replace(service.source, repository=f"http://127.0.0.1:{silent}/x.git", timeout=timedelta(seconds=0.5))
        async with open_stage(tmp_path, replace(service, source=source)) as stage:
            await stage.manager.start("web")
            deployment = await stage.deploy()
            assert deployment.phase is Phase.FAILED
            assert "did not answer" in said(deployment.note)
            assert await stage.store.read(ledger.quarantined, "web") == {}
            await until(lambda: answers(stage, "1"))
            await stage.assert_well("1")


def ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def answers(stage: Stage, version: str) -> bool:
    return await stage.version() == version


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """12 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("this host lets nobody mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


BIG = 'dd if=/dev/zero of=big bs=1M count=30 2>&1 || { echo "no more"; exit 1; }\n'


@pytest.mark.parametrize("fault", ["install", "export"])
async def test_a_full_disk_fails_the_deploy_and_leaves_nothing(
    tmp_path: Path, small_disk: Path, remote: Remote, port: int, fault: str
) -> None:
    service = make_service(tmp_path, remote.url, port, directory=small_disk)
    async with open_stage(tmp_path, service) as stage:
        await stage.deploy()
        before = stage.folders()
        if fault == "install":
            remote.version("2", files={"install.sh": BIG})
        else:
            remote.version("2", files={f"zero{n}": bytes(2_000_000) for n in range(8)})
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert "no space left on" in said(deployment.note).lower()
        assert str(small_disk) in said(deployment.note)
        assert stage.folders() == before
        assert await stage.store.read(ledger.quarantined, "web") == {}
        await stage.assert_well("1")
        remote.version("3", files={"install.sh": "true\n", **{f"zero{n}": None for n in range(8) if fault == "export"}})
        assert (await stage.deploy()).phase is Phase.LIVE
        await stage.assert_well("3")


async def test_a_deploy_that_would_not_fit_is_not_begun(
    tmp_path: Path, small_disk: Path, remote: Remote, port: int
) -> None:
    async with open_stage(
        tmp_path, make_service(tmp_path, remote.url, port, directory=small_disk), margin=100_000_000
    ) as stage:
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert f"not enough space on {small_disk}" in said(deployment.note)


async def test_a_first_release_that_fails_leaves_the_service_stopped(tmp_path: Path, remote: Remote, port: int) -> None:
    remote.version("1", exits=3)
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        deployment = await stage.deploy()
        assert deployment.phase is Phase.UNDONE
        assert "no earlier release, so the service is stopped" in said(deployment.note)
        assert await stage.version() is None
        assert await asyncio.to_thread(stage.releases.live) is None
        remote.version("2")
        assert (await stage.deploy()).phase is Phase.LIVE
        await stage.assert_well("2")


async def test_when_the_release_before_is_broken_too_an_older_one_is_taken(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        remote.version("2")
        await stage.deploy()
        (Path((await stage.answer())["folder"]) / "server.py").write_text("def broken(:\n")
        remote.syntax_error()
        deployment = await stage.deploy()
        assert deployment.phase is Phase.UNDONE
        await stage.assert_well("1")


async def test_when_no_release_is_well_a_human_is_called(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        (Path((await stage.answer())["folder"]) / "server.py").write_text("def broken(:\n")
        commit = remote.syntax_error()
        deployment = await stage.deploy()
        assert deployment.phase is Phase.STUCK
        assert "Needs attention" in said(deployment.note)
        assert commit in await stage.store.read(ledger.quarantined, "web")


def with_step(service: Service, *run: str, timeout: float = 30) -> Service:
    return replace(service, install=(InstallStep(run, timeout=timedelta(seconds=timeout)),))


async def test_a_hung_step_dies_with_its_whole_process_group(tmp_path: Path, remote: Remote, port: int) -> None:
    remote.version("1", files={"hang.sh": "sleep 600 & echo $! > $CHILD; sleep 600\n"})
    child = tmp_path / "child"
    service = with_step(make_service(tmp_path, remote.url, port), "sh", "hang.sh", timeout=0.5)
    service = replace(service, environment={**service.environment, "CHILD": str(child)})
    async with open_stage(tmp_path, service) as stage:
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert "not done after 500 ms" in said(deployment.note)
        assert ended(int(child.read_text()))
        assert await stage.store.read(ledger.quarantined, "web") == {}


async def test_a_missing_command_is_named(tmp_path: Path, remote: Remote, port: int) -> None:
    service = with_step(make_service(tmp_path, remote.url, port), "no-such-tool", "ci")
    async with open_stage(tmp_path, service) as stage:
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert "command no-such-tool not found on PATH" in said(deployment.note)


async def test_a_directory_that_cannot_be_made_is_said_in_words(tmp_path: Path, remote: Remote, port: int) -> None:
    (tmp_path / "file").write_text("")
    service = make_service(tmp_path, remote.url, port, directory=tmp_path / "file" / "srv")
    async with open_stage(tmp_path, service) as stage:
        deployment = await stage.deploy()
        assert deployment.phase is Phase.FAILED
        assert "Not a directory" in said(deployment.note)
        assert await stage.store.read(ledger.quarantined, "web") == {}
