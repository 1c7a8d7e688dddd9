"""The mirror: what it fetches, what it knows, and what it survives."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import Secret
from opsbot.source.remote import Failure, RemoteError
from opsbot.source.repo import BadRefError, Repository, ref_problem
from tests.fixtures.sample import Remote, make_service


@pytest.fixture
def repository(tmp_path: Path, remote: Remote) -> Repository:
    source = make_service(tmp_path, remote.url, 1).source
    assert source is not None
    return Repository(source)


async def test_only_the_tracked_branch_is_fetched_when_nothing_else_is_asked_for(
    remote: Remote, repository: Repository
) -> None:
    remote.commit({"other": "x"}, branch="other")
    other = remote.head()
    remote.git("reset", "-q", "--hard", "HEAD~1")
    assert await repository.bring() == remote.head()
    assert await repository.resolve(other) is None
    assert await repository.bring(other) == other


async def test_a_branch_that_becomes_a_folder_of_branches_is_fetched(remote: Remote, repository: Repository) -> None:
    remote.commit({"x": "1"}, branch="feature")
    assert await repository.bring("feature") == remote.head()
    remote.git("push", "-q", "origin", ":feature")
    remote.commit({"x": "2"}, branch="feature/one")
    assert await repository.bring("feature/one") == remote.head()
    with pytest.raises(BadRefError, match=r"ref-unknown.*feature"):
        await repository.bring("feature")


async def test_a_commit_that_no_branch_has_any_more_is_fetched_by_its_id(
    remote: Remote, repository: Repository
) -> None:
    remote.git("config", "--file", str(remote.bare / "config"), "uploadpack.allowAnySHA1InWant", "true")
    lost = remote.version("2")
    remote.rewrite("2b")
    assert await repository.bring() == remote.head()
    assert await repository.bring(lost) == lost


async def test_a_commit_that_is_nowhere_is_said_to_be(repository: Repository) -> None:
    with pytest.raises((BadRefError, RemoteError), match=r"ref-unknown|not our ref"):
        await repository.bring("0123456789" * 4)


async def test_a_missing_branch_and_a_missing_repository_are_told_apart(
    tmp_path: Path, remote: Remote, repository: Repository
) -> None:
    for source, kind in (
        (replace(repository.source, branch="gone"), Failure.NO_BRANCH),
        (replace(repository.source, repository=str(tmp_path / "nowhere")), Failure.NO_REPOSITORY),
    ):
        with pytest.raises(RemoteError) as raised:
            await Repository(source).bring()
        assert raised.value.kind is kind
    assert await repository.bring() == remote.head()


async def test_the_list_of_commits_is_bounded_and_counts_all(remote: Remote, repository: Repository) -> None:
    first = await repository.bring()
    remote.git("fetch", "-q")
    for number in range(60):
        remote.git("commit", "-q", "--allow-empty", "-m", f"Commit {number} @everyone\n\nbody")
    last = remote.commit(message="The last <b>one</b>", author="Eve `rm`")
    await repository.bring()
    commits, total = await repository.commits_between(first, last)
    assert total == 61
    assert len(commits) == 50
    assert (commits[0].title, commits[0].author, commits[0].id) == ("The last <b>one</b>", "Eve `rm`", last)
    assert commits[1].title == "Commit 59 @everyone"
    assert commits[0].at.utcoffset() == timedelta(0)
    only, one = await repository.commits_between(None, last)
    assert (len(only), one) == (1, 1)


async def test_what_the_mirror_does_not_know_is_no_error(repository: Repository) -> None:
    unknown = "ab" * 20
    assert await repository.commits_between(unknown, unknown) == ((), 0)  # there is no mirror yet
    known = await repository.bring()
    assert await repository.commits_between(unknown, known) == ((), 0)
    assert await repository.changed_paths(unknown, known) == ()
    assert await repository.is_ancestor(unknown, known) is False
    assert await repository.tree(unknown) is None
    assert await repository.commit("beef1234") is None


async def test_changed_paths_name_both_sides_of_a_move(remote: Remote, repository: Repository) -> None:
    first = await repository.bring()
    remote.git("mv", "server.py", "src.py")
    last = remote.commit({"docs/ü b.md": "x"})
    await repository.bring()
    assert set(await repository.changed_paths(first, last)) == {"server.py", "src.py", "docs/ü b.md"}
    assert await repository.is_ancestor(first, last)
    assert not await repository.is_ancestor(last, first)


async def test_a_kept_release_keeps_its_commit_through_a_rewrite_and_a_clean_up(
    remote: Remote, repository: Repository
) -> None:
    lost = remote.version("2")
    await repository.bring()
    await repository.keep("20260101T000000Z-0123456789", lost)
    remote.rewrite("2b")
    await repository.bring()
    gc = await asyncio.create_subprocess_exec("git", "-C", str(repository.mirror), "gc", "-q", "--prune=now")
    assert await gc.wait() == 0
    assert await repository.resolve(lost) == lost
    await repository.forget("20260101T000000Z-0123456789")
    await repository.forget("20260101T000000Z-0123456789")


async def test_many_may_fetch_at_once(remote: Remote, repository: Repository) -> None:
    commit = remote.version("2")
    assert set(await asyncio.gather(*(repository.bring(ref) for ref in (None, "main", commit, commit[:9], None)))) == {
        commit
    }


async def test_a_token_that_cannot_be_read_hinders_the_fetch_and_nothing_else(
    remote: Remote, repository: Repository
) -> None:
    commit = await repository.bring()
    poor = Repository(replace(repository.source, token=Secret(env="OPSBOT_NO_SUCH_TOKEN")))
    with pytest.raises(RemoteError, match="OPSBOT_NO_SUCH_TOKEN"):
        await poor.bring()
    assert await poor.resolve(commit) == commit
    await poor.keep("20260101T000000Z-0123456789", remote.head())


async def test_a_git_at_work_in_the_mirror_keeps_its_locks(repository: Repository) -> None:
    await repository.bring()
    lock = repository.mirror / "shallow.lock"
    lock.touch()
    other = await asyncio.create_subprocess_exec("sleep", "30", cwd=repository.mirror)
    try:
        with pytest.raises(RemoteError, match="mirror-busy"):
            await repository.bring()
        assert lock.exists()
    finally:
        other.kill()
        await other.wait()
    await repository.bring()
    assert not lock.exists()


@pytest.mark.parametrize("ref", ["main", "feature/x-1", "v1.2.3", "ümlaut", "abcdef1", "a" * 40])
def test_names_git_takes_are_taken(ref: str) -> None:
    assert ref_problem(ref) is None


@pytest.mark.parametrize(
    "ref", ["", "-f", "--all", "a b", "a\n", "a..b", "a^", "a~1", "a:b", "a@{1}", "/a", "a.lock", "\x00"]
)
def test_names_git_does_not_take_are_refused(ref: str) -> None:
    assert ref_problem(ref)


async def test_a_file_of_a_commit_is_read_within_a_bound(remote: Remote, repository: Repository) -> None:
    head = remote.commit(
        {"lock.json": "{}\n", "a/b.bin": b"\xff\x00", "large": "x" * 1000}, links={"link": "lock.json"}
    )
    await repository.bring()
    assert await repository.content(head, "lock.json", 100) == "{}\n"
    assert await repository.content(head, "a/b.bin", 100) == "\ufffd\x00"
    assert await repository.content(head, "large", 999) is None
    assert await repository.content(head, "a", 100) is None
    assert await repository.content(head, "none/such", 100) == ""
    assert await repository.content("ab" * 20, "lock.json", 100) is None
