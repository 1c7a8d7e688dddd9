"""A service of several units is deployed, undone and restarted unit by unit, and what runs is proven."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.core.deployment import Deployment, Phase
from opsbot.deploy.deployment_run import DeployFailure
from opsbot.deploy.target import restart_in_turn
from opsbot.store import ledger
from tests.fixtures.said import said
from tests.fixtures.sample import SERVER
from tests.fixtures.stage import Stage
from tests.fixtures.waiting import until
from tests.systemd.instances import Instances, open_instances
from tests.systemd.units import systemctl

DEAF = "import time\ntime.sleep(600)\n"
"""A server that starts and never answers; one that dies at once may fail its start or its verification."""


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Instances]:
    async with open_instances(tmp_path) as made:
        yield made


def names(deployment: Deployment) -> list[str]:
    """Its steps from the switch on."""
    steps = [said(step.name) for step in deployment.steps]
    return steps[next(at for at, name in enumerate(steps) if name.startswith("switch")) + 1 :]


async def test_units_are_restarted_one_after_the_other_and_each_is_verified_before_the_next(two: Instances) -> None:
    async with two.stage() as stage:
        await stage.deploy()
        assert await two.versions() == ["1", "1"]
        two.remote.version("2")
        watching = asyncio.create_task(two.watch())
        deployment = await stage.deploy()
        watching.cancel()
        assert deployment.phase is Phase.LIVE, deployment
        one, other = two.service.units
        assert names(deployment) == [f"restart {one}", f"verify {one}", f"restart {other}", f"verify {other}", "verify"]
        assert await two.versions() == ["2", "2"]
        assert len(two.served) > 5
        assert min(two.served) >= 1, "somebody served all the time"
        back = await stage.roll_back()
        assert back.phase is Phase.LIVE
        assert names(back) == names(deployment)
        assert await two.versions() == ["1", "1"]


async def test_what_fails_in_the_first_unit_never_touches_the_second(two: Instances) -> None:
    async with two.stage() as stage:
        await stage.deploy()
        before = await two.pids()
        commit = two.remote.syntax_error()
        watching = asyncio.create_task(two.watch())
        deployment = await stage.deploy()
        watching.cancel()
        assert deployment.phase is Phase.UNDONE
        # Under load it is seen dead before its start is through.
        assert said(deployment.note).startswith((f"{two.unit(0)} died", f"it did not start: {two.unit(0)}")), deployment
        assert commit in await stage.store.read(ledger.quarantined, "web")
        assert await two.versions() == ["1", "1"]
        after = await two.pids()
        assert after[1] == before[1]
        assert after[0] != before[0]
        assert min(two.served) >= 1, "the other unit served all the time"
        assert not any(two.unit(1) in name for name in names(deployment))


async def test_what_fails_in_the_second_is_undone_there_first_and_spares_the_third(tmp_path: Path) -> None:
    async with open_instances(tmp_path, 3) as three, three.stage() as stage:
        await stage.deploy()
        before = await three.pids()
        trap = f'if os.environ["PORT"] == "{three.ports[1]}":\n    sys.exit(9)\n'
        server = SERVER.replace("class Handler", f"{trap}\n\nclass Handler")
        three.remote.version("2", files={"server.py": server})
        deployment = await stage.deploy()
        assert deployment.phase is Phase.UNDONE, deployment
        assert three.unit(1) in said(deployment.note)
        assert await three.versions() == ["1", "1", "1"]
        after = await three.pids()
        assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]
        undone = [said(step.name) for step in deployment.steps if step.phase is Phase.UNDOING]
        restarted = [name for name in undone if name.startswith("restart ")]
        # systemd may have started the second one by itself in the release that was switched back to.
        assert restarted[-1] == f"restart {three.unit(0)}"
        assert f"restart {three.unit(2)}" not in undone


async def test_an_opsbot_that_ends_in_the_middle_is_taken_up_without_restarting_a_unit_twice(two: Instances) -> None:
    # As long as the first one is looked at, this opsbot can be ended.
    two.service = replace(two.service, soak=timedelta(seconds=3))
    async with two.stage(stop=False) as stage:
        await stage.deploy()
        before = await two.pids()
        two.remote.version("2")
        begun = await stage.ask()
        assert isinstance(begun, Deployment)

        async def first_is_verified() -> bool:
            found = await stage.store.read(ledger.deployment, begun.id)
            return found is not None and [said(step.name) for step in found.steps[-1:]] == [f"verify {two.unit(0)}"]

        await until(first_is_verified, within=20)
        await stage.deployer.close(grace=0)
        middle = await two.pids()
        assert [one == other for one, other in zip(before, middle, strict=True)] == [False, True]
    async with two.stage() as stage:
        deployment = await stage.deployer.wait(begun.id)
        assert deployment.phase is Phase.LIVE, deployment
        after = await two.pids()
        assert after[0] == middle[0], "what ran the new release was not restarted again"
        assert after[1] != middle[1]
        assert await two.versions() == ["2", "2"]


async def test_a_restart_that_was_asked_for_goes_from_unit_to_unit_and_stops_at_one_that_is_not_well(
    two: Instances,
) -> None:
    async with two.stage() as stage:
        await stage.deploy()
        before = await two.pids()
        watching = asyncio.create_task(two.watch())
        await restart_in_turn(stage.manager, stage.verifier, stage.service)
        watching.cancel()
        after = await two.pids()
        assert not set(before) & set(after)
        assert min(two.served) >= 1
        (await asyncio.to_thread(stage.releases.current.resolve)).joinpath("server.py").write_text(DEAF)
        soon = replace(stage.service, verify_timeout=timedelta(seconds=2))
        with pytest.raises(DeployFailure) as caught:
            await restart_in_turn(stage.manager, stage.verifier, soon)
        assert (await two.pids())[1] == after[1]
        assert caught.value.message.params["left"] == (two.unit(1),)


async def test_a_unit_that_a_person_stopped_during_the_deploy_is_left_so(two: Instances) -> None:
    two.service = replace(two.service, soak=timedelta(seconds=6))
    async with two.stage() as stage:
        await stage.deploy(actor=None)
        two.remote.version("2")
        begun = await stage.ask()
        assert isinstance(begun, Deployment)

        async def all_run_it() -> bool:
            return await two.versions() == ["2", "2"]

        await until(all_run_it, within=30)
        await systemctl("stop", two.unit(1))
        deployment = await stage.deployer.wait(begun.id)
        assert deployment.phase is Phase.UNDONE, deployment
        assert f"{two.unit(1)} was stopped by hand" in said(deployment.note)
        assert await two.versions() == ["1", None]
        assert await stage.store.read(ledger.quarantined, "web") == {}


# The proof


async def deploys_one(stage: Stage) -> Deployment:
    deployment = await stage.deploy()
    assert deployment.phase is Phase.LIVE, deployment
    return deployment


async def test_a_unit_whose_directory_does_not_go_through_current_fails_the_deploy_with_the_mend(
    two: Instances,
) -> None:
    async with two.stage() as stage:
        first = await deploys_one(stage)
        await asyncio.to_thread(two.write, stage.releases.path(first.release_to or ""))
        two.remote.version("2")
        deployment = await stage.deploy()
        assert deployment.phase is Phase.UNDONE
        runs = f"{two.unit(0)} runs {first.release_to} and not {deployment.release_to}"
        mend = f"WorkingDirectory= of {two.unit(0)} has to go through {stage.releases.current}"
        assert said(deployment.note).startswith(f"{runs}: {mend}")
        assert await two.versions() == ["1", "1"]


async def test_where_nobody_can_tell_the_release_the_card_says_so(two: Instances) -> None:
    await asyncio.to_thread(two.write, Path("/"))
    two.service = replace(two.service, command=(two.service.command[0], str(two.service.run_directory / "server.py")))
    await asyncio.to_thread(two.write, Path("/"))
    async with two.stage() as stage:
        deployment = await deploys_one(stage)
        assert f"the release that {two.unit(0)} runs is unknown" in said(deployment.note)
        assert f"WorkingDirectory={stage.releases.current}" in said(deployment.note)


async def test_a_restart_by_somebody_else_in_the_soak_is_not_what_this_deploy_started(two: Instances) -> None:
    two.service = replace(two.service, soak=timedelta(seconds=6))
    async with two.stage() as stage:
        await stage.deploy()
        two.remote.version("2")
        begun = await stage.ask()
        assert isinstance(begun, Deployment)

        async def all_run_it() -> bool:
            return await two.versions() == ["2", "2"]

        await until(all_run_it, within=30)
        await systemctl("restart", two.unit(0))
        deployment = await stage.deployer.wait(begun.id)
        assert deployment.phase is Phase.UNDONE, deployment
        assert "was restarted by somebody else" in said(deployment.note)
        assert await stage.store.read(ledger.quarantined, "web") == {}, "nothing is known against the commit"
        assert await two.versions() == ["1", "1"]


async def test_the_units_of_one_service_are_measured_together(two: Instances) -> None:
    async with two.stage() as stage:
        await stage.deploy()
        with suppress(TimeoutError):
            await until(lambda: _grouped(stage), within=5)
        state = await stage.manager.state("web")
        assert [Path(group).name for group in state.groups] == list(two.service.units)
        assert all((Path("/sys/fs/cgroup") / group.lstrip("/") / "cpu.stat").exists() for group in state.groups)


async def _grouped(stage: Stage) -> bool:
    return len((await stage.manager.state("web")).groups) == 2
