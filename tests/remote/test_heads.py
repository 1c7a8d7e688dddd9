"""What a branch points to: over protocol v2, from a folder's files, by git; and each way it can fail."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.config import Secret, Source
from opsbot.source.heads import (
    Heads,
    OddAnswerError,
    advertised_format,
    listed_head,
    ls_refs,
    packets,
    pkt,
    read_ref,
)
from opsbot.source.remote import Failure, RemoteError
from tests.fixtures.git_http import GitServer, git_server
from tests.fixtures.said import said
from tests.fixtures.sample import Remote

ID = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
async def served(remote: Remote) -> AsyncIterator[GitServer]:
    async with git_server(remote.bare.parent) as server:
        yield server


@pytest.fixture
async def heads() -> AsyncIterator[Heads]:
    async with Heads() as asker:
        yield asker


def source(repository: str, tmp_path: Path, *, branch: str = "main", timeout: float = 10, **more: object) -> Source:
    return Source(repository, tmp_path / "srv", branch, timeout=timedelta(seconds=timeout), **more)  # type: ignore[arg-type]


def kind(found: str | RemoteError) -> Failure:
    assert isinstance(found, RemoteError), found
    return found.kind


async def test_a_branch_over_http_is_asked_in_process_and_only_once_introduced(
    remote: Remote, served: GitServer, heads: Heads, tmp_path: Path
) -> None:
    where = source(served.url, tmp_path)
    assert await heads.ask(where) == remote.head()
    new = remote.commit({"a": "b"})
    assert await heads.ask(where) == new
    assert [method for method, _ in served.seen] == ["GET", "POST", "POST"]
    assert set(served.agents) == {"git/opsbot"}


async def test_a_branch_whose_name_begins_like_others_is_told_from_them(
    remote: Remote, served: GitServer, heads: Heads, tmp_path: Path
) -> None:
    first = remote.head()
    remote.commit({"a": "b"}, branch="main-2")
    assert await heads.ask(source(served.url, tmp_path)) == first


async def test_a_branch_that_is_not_there_is_said_to_be_missing(
    remote: Remote, served: GitServer, heads: Heads, tmp_path: Path
) -> None:
    for address in (served.url, remote.url, f"file://{remote.url}"):
        found = await heads.ask(source(address, tmp_path, branch="gone"))
        assert kind(found) is Failure.NO_BRANCH
        assert isinstance(found, RemoteError)
        assert "gone" in said(found.message)


async def test_a_server_without_version_2_is_asked_by_git(
    remote: Remote, served: GitServer, heads: Heads, tmp_path: Path
) -> None:
    served.version_2 = False
    assert await heads.ask(source(served.url, tmp_path)) == remote.head()
    served.seen.clear()
    served.agents.clear()
    assert await heads.ask(source(served.url, tmp_path)) == remote.head()
    assert "git/opsbot" not in served.agents, "what it learned is remembered"


async def test_a_redirected_address_is_followed_by_git(
    remote: Remote, served: GitServer, heads: Heads, tmp_path: Path
) -> None:
    async with git_server(remote.bare.parent) as old:
        old.location = f"http://127.0.0.1:{served.port}"
        assert await heads.ask(source(old.url, tmp_path)) == remote.head()


async def test_a_token_is_never_carried_along_a_redirect(
    remote: Remote, served: GitServer, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TOKEN", "s3cret-token")
    async with git_server(remote.bare.parent) as old:
        old.location = f"http://127.0.0.1:{served.port}"
        found = await heads.ask(source(old.url, tmp_path, token=Secret(env="GIT_TOKEN")))
    assert kind(found) is Failure.MOVED
    assert served.seen == []


async def test_the_right_token_opens_and_a_wrong_one_is_told_without_showing_it(
    remote: Remote, served: GitServer, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.user = "x-access-token:s3cret-token"
    monkeypatch.setenv("GIT_TOKEN", "s3cret-token")
    with_token = source(served.url, tmp_path, token=Secret(env="GIT_TOKEN"))
    assert await heads.ask(with_token) == remote.head()
    assert kind(await heads.ask(source(served.url, tmp_path))) is Failure.CREDENTIALS
    monkeypatch.setenv("GIT_TOKEN", "wr0ng-token")
    found = await heads.ask(with_token)
    assert kind(found) is Failure.CREDENTIALS
    assert "wr0ng" not in str(found)
    monkeypatch.delenv("GIT_TOKEN")
    assert kind(await heads.ask(with_token)) is Failure.CREDENTIALS


async def test_a_token_in_a_file_is_read_without_blocking(
    remote: Remote, served: GitServer, heads: Heads, tmp_path: Path
) -> None:
    served.user = "bot:from-a-file"
    (tmp_path / "token").write_text("from-a-file\n")
    where = source(served.url, tmp_path, token=Secret(file=tmp_path / "token"), username="bot")
    assert await heads.ask(where) == remote.head()
    served.version_2 = False
    async with Heads() as others:
        assert await others.ask(where) == remote.head(), "git is given it as well"


async def test_a_remote_that_hangs_is_given_up_at_the_time_limit(
    served: GitServer, heads: Heads, tmp_path: Path
) -> None:
    served.hang = True
    assert kind(await heads.ask(source(served.url, tmp_path, timeout=0.3))) is Failure.TIMEOUT


@pytest.mark.parametrize(
    ("status", "trouble"),
    [(404, Failure.NO_REPOSITORY), (403, Failure.CREDENTIALS), (500, Failure.NETWORK), (503, Failure.NETWORK)],
)
async def test_an_http_error_is_told_for_what_it_is(
    served: GitServer, heads: Heads, tmp_path: Path, status: int, trouble: Failure
) -> None:
    served.answer = status
    assert kind(await heads.ask(source(served.url, tmp_path))) is trouble


async def test_nobody_listening_is_a_network_failure(heads: Heads, tmp_path: Path, port: int) -> None:
    for address in (f"http://127.0.0.1:{port}/x.git", f"ssh://git@127.0.0.1:{port}/x.git"):
        assert kind(await heads.ask(source(address, tmp_path))) is Failure.NETWORK


async def test_a_kept_connection_that_was_closed_meanwhile_is_opened_again(
    remote: Remote, served: GitServer, heads: Heads, tmp_path: Path
) -> None:
    where = source(served.url, tmp_path)
    await heads.ask(where)
    served.drop = 1
    served.agents.clear()
    assert await heads.ask(where) == remote.head()
    assert set(served.agents) == {"git/opsbot"}


async def test_an_answer_cut_short_is_not_believed(
    remote: Remote, served: GitServer, heads: Heads, tmp_path: Path
) -> None:
    served.cut = True
    found = await heads.ask(source(served.url, tmp_path))
    assert isinstance(found, RemoteError), "git does not believe it either"
    served.cut = False
    assert await heads.ask(source(served.url, tmp_path)) == remote.head()


async def test_a_folder_s_refs_are_read_loose_and_packed(remote: Remote, heads: Heads, tmp_path: Path) -> None:
    where = source(remote.url, tmp_path)
    assert await asyncio.to_thread(read_ref, remote.bare, "main") == remote.head()
    assert await heads.ask(where) == remote.head()
    remote._git("pack-refs", "--all", at=remote.bare)
    assert not (remote.bare / "refs/heads/main").exists()
    assert await asyncio.to_thread(read_ref, remote.bare, "main") == remote.head()
    new = remote.commit({"a": "b"})
    assert await heads.ask(where) == new, "a loose ref outranks a packed one"
    assert await heads.ask(source(str(remote.work), tmp_path)) == new, "a clone with a work tree, too"


async def test_a_symbolic_ref_and_a_linked_work_tree_are_left_to_git(
    remote: Remote, heads: Heads, tmp_path: Path
) -> None:
    remote._git("symbolic-ref", "refs/heads/stable", "refs/heads/main", at=remote.bare)
    assert await asyncio.to_thread(read_ref, remote.bare, "stable") is None
    assert await heads.ask(source(remote.url, tmp_path, branch="stable")) == remote.head()
    linked = tmp_path / "linked"
    remote.git("worktree", "add", "-q", "--detach", str(linked))
    assert await heads.ask(source(str(linked), tmp_path)) == remote.head()


async def test_a_folder_that_is_no_repository_is_told(heads: Heads, tmp_path: Path) -> None:
    for folder in (tmp_path / "nothing", tmp_path):
        assert kind(await heads.ask(source(str(folder), tmp_path))) is Failure.NO_REPOSITORY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
async def test_another_user_s_repository_is_told_as_git_tells_it(remote: Remote, heads: Heads, tmp_path: Path) -> None:
    await asyncio.to_thread(subprocess.run, ["chown", "-R", "12345", str(remote.bare)], check=True)
    found = await heads.ask(source(remote.url, tmp_path))
    assert kind(found) is Failure.OWNERSHIP


@given(st.lists(st.binary(min_size=1, max_size=200).filter(lambda line: not line.startswith(b"ERR "))))
def test_packets_come_back_as_they_were_made(lines: list[bytes]) -> None:
    data = b"".join(pkt(line + b"\n") for line in lines) + b"0000"
    assert list(packets(data)) == [*lines, None]


@given(st.binary(max_size=300))
def test_any_bytes_are_either_an_answer_or_odd(data: bytes) -> None:
    for read in (lambda: list(packets(data)), lambda: listed_head(data, "main"), lambda: advertised_format(data)):
        try:
            read()
        except OddAnswerError:
            continue


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\0 "), min_size=1, max_size=100))
def test_a_branch_of_any_name_is_found_among_its_like(branch: str) -> None:
    name = f"refs/heads/{branch}".encode()
    other = "f" * 40
    data = pkt(f"{other} ".encode() + name + b"x\n") + pkt(f"{ID} ".encode() + name + b"\n") + b"0000"
    assert listed_head(data, branch) == ID
    assert pkt(b"ref-prefix " + name + b"\n") in ls_refs(branch, "sha1")


@pytest.mark.parametrize(
    "data",
    [pkt(b"ERR access denied\n") + b"0000", pkt(b"not-an-id refs/heads/main\n") + b"0000", b"00030000", b"zzzz", b""],
)
def test_an_error_packet_a_wrong_id_and_rubbish_are_odd(data: bytes) -> None:
    with pytest.raises(OddAnswerError):
        listed_head(data, "main")
