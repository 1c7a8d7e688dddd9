"""opsbot is killed (SIGKILL) at every moment of a deployment; the next one finds it and ends it."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opsbot.core.deployment import Deployment, Phase
from opsbot.core.inhibitors import Inhibitors
from opsbot.filesystem.processes_in_folder import processes_in
from opsbot.store import ledger
from tests.fixtures import dying
from tests.fixtures.dying import in_a_meeting
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, make_service
from tests.fixtures.stage import Stage, open_stage
from tests.fixtures.waiting import until


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """A test that fails between two opsbots would leave its service running."""
    yield
    for pid in processes_in([tmp_path])[tmp_path]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def dies(folder: Path, remote: Remote, port: int, phase: str, moment: str, **more: Any) -> None:
    """Run an opsbot that deploys and is killed at that moment."""
    told = {
        "folder": str(folder), "url": remote.url, "port": port, "phase": phase, "moment": moment,
        "kind": "deploy", "service": {}, **more,
    }  # fmt: skip
    await dying.dies(told)


async def settled(stage: Stage) -> Deployment:
    """The last deployment, once nothing is unfinished; nothing of a dead process is left anywhere."""
    for number in [each.id for each in await stage.store.read(ledger.unfinished)]:
        await stage.deployer.wait(number)
    last = (await stage.store.read(ledger.deployments, "web", 1))[0]
    assert last.finished
    assert all(step.ok is not None for step in last.steps)
    await until(lambda: tidy(stage))
    return last


async def tidy(stage: Stage) -> bool:
    names = {release.name for release in await stage.known_releases()}
    links = list(stage.releases.directory.glob(".current.*"))
    return stage.folders() == names and not links


MOMENTS = [
    ("after", Phase.PENDING, Phase.FAILED, "1"),
    ("before", Phase.FETCHING, Phase.FAILED, "1"),
    ("after", Phase.FETCHING, Phase.FAILED, "1"),
    ("before", Phase.PREPARING, Phase.FAILED, "1"),
    ("after", Phase.PREPARING, Phase.FAILED, "1"),
    ("before", Phase.INSTALLING, Phase.FAILED, "1"),
    ("after", Phase.INSTALLING, Phase.FAILED, "1"),
    ("before", Phase.SWITCHING, Phase.FAILED, "1"),
    ("after", Phase.SWITCHING, Phase.LIVE, "2"),
    ("before", Phase.RESTARTING, Phase.LIVE, "2"),
    ("after", Phase.RESTARTING, Phase.LIVE, "2"),
    ("before", Phase.VERIFYING, Phase.LIVE, "2"),
    ("after", Phase.VERIFYING, Phase.LIVE, "2"),
    ("before", Phase.LIVE, Phase.LIVE, "2"),
    ("after", Phase.LIVE, Phase.LIVE, "2"),
]


@pytest.mark.parametrize(("moment", "phase", "end", "version"), MOMENTS)
async def test_a_killed_deploy_is_finished_or_failed_at_the_next_start(
    tmp_path: Path, remote: Remote, port: int, moment: str, phase: Phase, end: Phase, version: str
) -> None:
    service = make_service(tmp_path, remote.url, port)
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
    remote.version("2")
    await dies(tmp_path, remote, port, phase, moment)
    async with open_stage(tmp_path, service) as stage:
        last = await settled(stage)
        assert last.phase is end
        await stage.assert_well(version)
        failed = [step for step in last.steps if step.ok is False]
        assert not failed or end is Phase.FAILED, "what was cut short has not failed"
        if end is Phase.FAILED:
            assert await stage.store.read(ledger.quarantined, "web") == {}
            assert "opsbot was restarted" in said(last.note)
            assert (await stage.deploy()).phase is Phase.LIVE
            await stage.assert_well("2")


@pytest.mark.parametrize(
    ("moment", "phase"),
    [("after", Phase.UNDOING), ("before", Phase.UNDONE), ("after", Phase.UNDONE), ("before", Phase.UNDOING)],
)
async def test_a_killed_undoing_is_undone_at_the_next_start(
    tmp_path: Path, remote: Remote, port: int, moment: str, phase: Phase
) -> None:
    service = make_service(tmp_path, remote.url, port)
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
    commit = remote.syntax_error()
    await dies(tmp_path, remote, port, phase, moment)
    async with open_stage(tmp_path, service) as stage:
        last = await settled(stage)
        assert last.phase is Phase.UNDONE
        assert commit in await stage.store.read(ledger.quarantined, "web")
        await stage.assert_well("1")


@pytest.mark.parametrize(
    ("moment", "phase", "version"),
    [
        ("after", Phase.PENDING, "2"),
        ("after", Phase.SWITCHING, "1"),
        ("after", Phase.RESTARTING, "1"),
        ("after", Phase.VERIFYING, "1"),
    ],
)
async def test_a_killed_rollback_is_finished_at_the_next_start(
    tmp_path: Path, remote: Remote, port: int, moment: str, phase: Phase, version: str
) -> None:
    service = make_service(tmp_path, remote.url, port)
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
        newer = remote.version("2")
        await stage.deploy()
    await dies(tmp_path, remote, port, phase, moment, kind="rollback")
    async with open_stage(tmp_path, service) as stage:
        await settled(stage)
        await stage.assert_well(version)
        hold = await stage.store.read(ledger.hold, "web")
        assert (hold.waits if hold else None) == (newer if version == "1" else None)


TAKING_PLACE = [
    ("after", Phase.PENDING, False, "2"),
    ("before", Phase.FETCHING, False, "2"),
    ("after", Phase.FETCHING, False, "2"),
    ("after", Phase.PREPARING, False, "2"),
    ("before", Phase.INSTALLING, False, "2"),
    ("after", Phase.INSTALLING, False, "2"),
    ("before", Phase.FAILED, True, "2"),
    ("after", Phase.FAILED, True, "2"),
    ("before", Phase.WAITING, False, "2"),
    ("after", Phase.WAITING, False, "3"),
]


@pytest.mark.parametrize(("moment", "phase", "fails", "version"), TAKING_PLACE)
async def test_a_kill_while_one_takes_the_place_of_another_that_waits_loses_neither(
    tmp_path: Path, remote: Remote, port: int, moment: str, phase: Phase, fails: bool, version: str
) -> None:
    service = make_service(tmp_path, remote.url, port)
    meeting = Inhibitors(swings=[in_a_meeting])
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
    async with open_stage(tmp_path, service, stop=False, vetoes=meeting) as stage:
        remote.version("2")
        waits = await stage.ask()
        assert isinstance(waits, Deployment)
        await until(lambda: is_waiting(stage, waits.id), 15)
    if fails:
        remote.failing_install()
    else:
        remote.version("3")
    await dies(tmp_path, remote, port, phase, moment, waits=waits.id)
    async with open_stage(tmp_path, service) as stage:
        newer = await settled(stage)
        older = await stage.store.read(ledger.deployment, waits.id)
        assert older is not None
        assert newer.instead_of == older.id
        wanted = (Phase.LIVE, Phase.FAILED) if version == "2" else (Phase.REPLACED, Phase.LIVE)
        assert (older.phase, newer.phase) == wanted
        assert (newer.let_go_on == older.id) == (version == "2")
        await stage.assert_well(version)


async def is_waiting(stage: Stage, number: int) -> bool:
    found = await stage.store.read(ledger.deployment, number)
    last = found.steps[-1] if found is not None and found.steps else None
    return last is not None and last.phase is Phase.WAITING and bool(last.note)


async def test_a_step_that_outlived_a_killed_opsbot_is_ended_and_its_release_removed(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    service = make_service(tmp_path, remote.url, port)
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
    child = tmp_path / "child"
    remote.version("2", files={"install.sh": f"echo $$ > {child}; kill -9 $PPID; while :; do date > late; done\n"})
    await dies(tmp_path, remote, port, "never", "after")
    pid = int(child.read_text())
    os.kill(pid, 0)
    async with open_stage(tmp_path, service) as stage:
        assert not Path(f"/proc/{pid}/cwd").exists()
        last = await settled(stage)
        assert last.phase is Phase.FAILED
        await stage.assert_well("1")


async def test_settling_can_itself_be_killed(tmp_path: Path, remote: Remote, port: int) -> None:
    service = make_service(tmp_path, remote.url, port)
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
    remote.syntax_error()
    await dies(tmp_path, remote, port, Phase.RESTARTING, "after")
    for phase, moment in ((Phase.UNDOING, "before"), (Phase.UNDOING, "after"), (Phase.UNDONE, "before")):
        # It settles first, which meets the broken release and dies of it.
        await dies(tmp_path, remote, port, phase, moment)
    async with open_stage(tmp_path, service) as stage:
        assert (await settled(stage)).phase is Phase.UNDONE
        await stage.assert_well("1")
