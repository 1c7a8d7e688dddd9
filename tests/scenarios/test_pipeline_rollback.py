"""Rollbacks, and what automatic deploys wait for after them."""

import asyncio
import shutil
from pathlib import Path

from opsbot.core.access import Origin, itself
from opsbot.core.deployment import DeploymentKind, DeploymentRequest, Hold, Phase, RefusalReason, Refused
from opsbot.core.message import plain
from opsbot.store import ledger
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, make_service, person, poll
from tests.fixtures.stage import Stage, clock, open_stage
from tests.fixtures.waiting import until


async def waits(stage: Stage) -> str | None:
    hold = await stage.store.read(ledger.hold, "web")
    return hold.waits if hold else None


async def refusal(stage: Stage, commit: str) -> RefusalReason | None:
    """RefusalReason the poll may not deploy this commit."""
    begun = await stage.ask(commit, poll())
    if isinstance(begun, Refused):
        return begun.why
    await stage.deployer.wait(begun.id)
    return None


async def test_a_rollback_needs_neither_network_nor_install(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        commit = remote.version("2")
        await stage.deploy()
        shutil.rmtree(remote.bare)
        back = await stage.roll_back()
        assert back.phase is Phase.LIVE
        assert [said(step.name).split()[0] for step in back.steps] == ["switch", "restart", "verify"]
        assert back.commit_from == commit
        await stage.assert_well("1")
        assert await waits(stage) == commit


async def test_after_a_rollback_the_poll_waits_for_a_newer_commit(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        first = await stage.deploy()
        second = remote.version("2")
        await stage.deploy()
        await stage.roll_back()
        for _ in range(3):
            assert await refusal(stage, second) is RefusalReason.WAITING
        assert await refusal(stage, first.commit_to or "") is RefusalReason.WAITING
        await stage.assert_well("1")
        third = remote.version("3")
        assert await refusal(stage, third) is None
        await stage.assert_well("3")
        assert await waits(stage) is None


async def test_rolling_back_twice_goes_back_twice_and_waits_past_the_newest(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        for version in ("2", "3"):
            newest = remote.version(version)
            await stage.deploy()
        await stage.roll_back()
        await stage.assert_well("2")
        await stage.roll_back()
        await stage.assert_well("1")
        assert await waits(stage) == newest
        none = await stage.deployer.start(DeploymentRequest("web", DeploymentKind.ROLLBACK, person()))
        assert isinstance(none, Refused)
        assert none.why is RefusalReason.NO_RELEASE


async def test_rolling_back_to_a_named_release_and_forward_again(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        first = await stage.deploy()
        for version in ("2", "3"):
            remote.version(version)
            last = await stage.deploy()
        await stage.roll_back(first.release_to)
        await stage.assert_well("1")
        assert await waits(stage) == last.commit_to
        await stage.roll_back(last.release_to)
        await stage.assert_well("3")
        assert await waits(stage) is None


async def test_a_rollback_by_recovery_quarantines_the_commit_it_left(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        commit = remote.version("2")
        await stage.deploy()
        await stage.roll_back(actor=itself(Origin.RECOVERY))
        assert commit in await stage.store.read(ledger.quarantined, "web")
        await stage.store.write(ledger.lift_hold, "web")
        assert await refusal(stage, commit) is RefusalReason.QUARANTINED


async def test_a_quarantined_commit_may_be_tried_again_by_hand_and_is_cleared_when_it_is_well(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    service = make_service(tmp_path, remote.url, port)
    async with open_stage(tmp_path, service) as stage:
        await stage.deploy()
        needed = tmp_path / "needed"
        commit = remote.version("2", files={"install.sh": f"test -e {needed}\n"})
        assert (await stage.deploy()).phase is Phase.FAILED
        assert await refusal(stage, commit) is RefusalReason.QUARANTINED
        needed.touch()
        assert (await stage.deploy()).phase is Phase.LIVE
        await stage.assert_well("2")
        assert await stage.store.read(ledger.quarantined, "web") == {}


async def test_an_older_commit_deployed_by_hand_does_not_end_the_wait(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        first = await stage.deploy()
        remote.version("2")
        await stage.deploy()
        remote.version("3")
        third = await stage.deploy()
        await stage.roll_back()
        assert (await stage.deploy(first.commit_to)).phase is Phase.LIVE
        await stage.assert_well("1")
        assert await waits(stage) == third.commit_to


async def test_a_held_service_is_not_deployed_but_can_be_rolled_back(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        remote.version("2")
        await stage.deploy()
        await stage.store.write(ledger.put_hold, Hold("web", "bob", plain("release freeze"), clock()))
        refused = await stage.ask()
        assert isinstance(refused, Refused)
        assert refused.why is RefusalReason.HELD
        await stage.roll_back()
        await stage.assert_well("1")
        assert await waits(stage) is None  # the hold by hand outranks the wait, and stays


async def test_a_rollback_whose_release_is_not_well_is_undone(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        first = await stage.deploy()
        remote.version("2")
        await stage.deploy()
        (stage.releases.path(first.release_to or "") / "server.py").write_text("def broken(:\n")
        back = await stage.roll_back()
        assert back.phase is Phase.UNDONE
        await stage.assert_well("2")
        assert await waits(stage) is None


async def test_asking_for_what_is_live_ends_without_a_deploy(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        first = await stage.deploy()
        pid = (await stage.answer())["pid"]
        again = await stage.deploy()
        assert again.phase is Phase.SKIPPED
        assert "already runs" in said(again.note)
        refused = await stage.ask(first.commit_to)
        assert isinstance(refused, Refused)
        assert refused.why is RefusalReason.ALREADY_LIVE
        assert (await stage.answer())["pid"] == pid


async def test_a_branch_a_tag_and_a_short_commit_can_be_deployed_and_nonsense_is_refused(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        first = remote.head()
        remote.version("2")
        remote.tag("v2.0")
        remote.git("checkout", "-q", "-b", "topic/x")
        (remote.work / "behaviour.json").write_text('{"version": "x"}')
        remote.commit(message="On a branch", branch="topic/x")
        for ref, version in (("topic/x", "x"), ("v2.0", "2"), (first[:8], "1")):
            assert (await stage.deploy(ref)).phase is Phase.LIVE
            await stage.assert_well(version)
        for bad in ("--upload-pack=touch /tmp/x", "a..b", "", "x y", "a" * 300, "-x", "refs/heads/../x"):
            refused = await stage.ask(bad)
            assert isinstance(refused, Refused)
            assert refused.why is RefusalReason.BAD_REF
        missing = await stage.deploy("no-such-branch")
        assert missing.phase is Phase.FAILED
        assert "no branch, tag or commit 'no-such-branch'" in said(missing.note)
        await stage.assert_well("1")


async def test_a_service_stopped_by_hand_is_deployed_by_a_person_only(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        await stage.deploy()
        await stage.manager.stop("web")
        assert await refusal(stage, remote.version("2")) is RefusalReason.STOPPED_BY_HAND
        assert (await stage.deploy()).phase is Phase.LIVE
        await stage.assert_well("2")


async def test_a_service_stopped_by_hand_in_its_verification_is_left_stopped(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=5)) as stage:
        remote.version("2")
        first = await stage.ask()
        assert not isinstance(first, Refused)
        await until(lambda: _answers(stage, "2"))
        await stage.manager.stop("web")
        ended = await stage.deployer.wait(first.id)
        assert ended.phase is Phase.UNDONE
        assert "stopped by hand" in said(ended.note)
        assert await stage.version() is None
        assert await stage.store.read(ledger.quarantined, "web") == {}


async def _answers(stage: Stage, version: str) -> bool:
    return await stage.version() == version


async def test_pruning_keeps_the_newest_good_ones_and_nothing_else(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, keep=2, soak=0.1)) as stage:
        names = []
        for version in ("2", "3", "4"):
            remote.version(version)
            names.append((await stage.deploy()).release_to)
        await until(lambda: asyncio.to_thread(lambda: stage.folders() == set(names[-2:])))
        assert {release.name for release in await stage.known_releases()} == set(names[-2:])
        await stage.roll_back()
        await stage.assert_well("3")
        assert stage.folders() == set(names[-2:])


async def test_pruning_spares_the_live_release_and_the_one_to_fall_back_on(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, keep=1, soak=0.1)) as stage:
        names = []
        for version in ("2", "3", "4"):
            remote.version(version)
            names.append((await stage.deploy()).release_to)
        await until(lambda: asyncio.to_thread(lambda: stage.folders() == set(names[-2:])))
        await stage.roll_back()
        await stage.assert_well("3")
        # 4 is the newest good one, 3 is live.
        assert stage.folders() == set(names[-2:])


async def test_a_release_that_was_rolled_back_from_is_not_returned_to_unless_it_is_named(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        first = await stage.deploy()
        remote.version("2")
        second = await stage.deploy()
        assert (await stage.roll_back()).release_to == first.release_to
        remote.version("3")
        await stage.deploy()
        assert (await stage.roll_back()).release_to == first.release_to, "people had left the second for a reason"
        named = await stage.roll_back(second.release_to)
        assert (named.phase, named.release_to) == (Phase.LIVE, second.release_to)
