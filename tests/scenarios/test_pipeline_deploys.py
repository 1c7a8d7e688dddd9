"""Deploys that go well."""

from pathlib import Path

from opsbot.core.deployment import Phase
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, make_service
from tests.fixtures.stage import open_stage


async def test_a_new_commit_is_deployed_and_answers(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        first = await stage.deploy()
        assert first.phase is Phase.LIVE, first
        await stage.assert_well("1")
        commit = remote.version("2", "The second one")
        second = await stage.deploy()
        assert second.phase is Phase.LIVE, second
        await stage.assert_well("2")
        assert second.commit_to == commit
        assert second.commit_from == first.commit_to
        assert [each.title for each in second.commits] == ["The second one"]
        assert [said(step.name) for step in second.steps] == [
            "fetch main", "prepare the release", "sh install.sh", f"switch to `{commit[:7]}`", "restart", "verify",
        ]  # fmt: skip
        assert all(step.ok for step in second.steps)
        assert "reused node_modules" in said(second.steps[2].note)
