"""git run so that it never asks, never hangs, never tells a secret."""

import asyncio
import base64
import os
import signal
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.config import Secret, Source
from opsbot.source.remote import (
    Failure,
    GitResult,
    RemoteError,
    explain,
    git_environment,
    run_git,
    scrub,
    secrets_in,
)
from tests.fixtures.said import said


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Secret:
    monkeypatch.setenv("GIT_TOKEN", "s3cret-token")
    monkeypatch.setenv("OPSBOT_DISCORD_TOKEN", "discord-secret")
    monkeypatch.setenv("GIT_DIR", "/somewhere/else")
    return Secret(env="GIT_TOKEN")


def make(repository: str = "https://example.org/a/b.git", **more: object) -> Source:
    return Source(repository, Path("/srv/x"), **more)  # type: ignore[arg-type]


def settings(environment: dict[str, str]) -> dict[str, str]:
    count = int(environment["GIT_CONFIG_COUNT"])
    return {environment[f"GIT_CONFIG_KEY_{n}"]: environment[f"GIT_CONFIG_VALUE_{n}"] for n in range(count)}


def test_git_gets_nothing_of_opsbot_s_environment_but_what_it_needs(token: Secret) -> None:
    environment = git_environment(make(token=token))
    assert "discord-secret" not in environment.values()
    assert "GIT_DIR" not in environment
    assert environment["PATH"] == os.environ["PATH"]
    assert environment["GIT_TERMINAL_PROMPT"] == "0"


def test_the_token_is_sent_to_its_own_server_only(token: Secret) -> None:
    chosen = settings(git_environment(make("https://user@Example.org:8443/a/b.git", token=token)))
    header = chosen["http.https://Example.org:8443/.extraHeader"]
    assert base64.b64decode(header.rpartition(" ")[2]).decode() == "x-access-token:s3cret-token"
    assert chosen["credential.helper"] == ""
    assert chosen["http.followRedirects"] == "false"
    plain = settings(git_environment(make()))
    assert "credential.helper" not in plain, "without a token the user's own helpers are asked"


def test_ssh_never_asks_and_uses_the_key_it_was_given() -> None:
    command = git_environment(make("git@example.org:a/b.git", ssh_key=Path("/etc/keys/my key")))["GIT_SSH_COMMAND"]
    assert "BatchMode=yes" in command
    assert "StrictHostKeyChecking=yes" in command
    assert "-i '/etc/keys/my key'" in command


def test_a_token_that_cannot_be_read_is_a_credentials_failure(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="not set") as caught:
        git_environment(make(token=Secret(env="OPSBOT_NOT_SET")))
    assert caught.value.kind is Failure.CREDENTIALS
    assert not caught.value.retry
    with pytest.raises(RemoteError, match="cannot be read"):
        git_environment(make(token=Secret(file=tmp_path / "none")))


async def test_git_sees_the_settings_and_no_secret_is_in_what_it_prints(token: Secret) -> None:
    environment = git_environment(make(token=token))
    result = await run_git(["config", "--list"], env=environment, timeout=5)
    assert "core.hookspath=/dev/null" in result.out
    assert "extraheader=authorization: basic ***" in result.out.lower()
    for secret in secrets_in(environment):
        assert secret not in result.out


async def test_a_hung_git_dies_with_its_whole_process_group() -> None:
    environment = git_environment(make())
    hanging = "alias.hang=!trap '' TERM; sleep 300.125 & wait; sleep 300.125"
    with pytest.raises(RemoteError, match="git-timeout") as caught:
        await run_git(["-c", hanging, "hang"], env=environment, timeout=0.3)
    assert caught.value.kind is Failure.TIMEOUT
    assert caught.value.retry
    assert not [p for p in await asyncio.to_thread(_commands) if "300.125" in p]


def _commands() -> list[str]:
    return [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]


async def test_a_cancelled_caller_leaves_no_git_behind() -> None:
    environment = git_environment(make())
    task = asyncio.create_task(run_git(["-c", "alias.hang=!sleep 300.375", "hang"], env=environment, timeout=60))
    while not [p for p in await asyncio.to_thread(_commands) if "300.375" in p]:
        await asyncio.sleep(0.02)  # between two looks
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [p for p in await asyncio.to_thread(_commands) if "300.375" in p]


async def test_an_endless_output_is_cut_off() -> None:
    with pytest.raises(RemoteError, match=r"git-output.*1000"):
        await run_git(["-c", "alias.much=!yes", "much"], env=git_environment(make()), timeout=60, most=1000)


async def test_a_program_of_a_remote_helper_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    result = await run_git(["ls-remote", f"ext::touch {mark}"], env=git_environment(make()), timeout=5)
    assert result.status != 0
    assert not mark.exists()


@pytest.mark.parametrize(
    ("err", "kind", "retry"),
    [
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", Failure.CREDENTIALS, False),
        ("remote: Invalid username or token.\nfatal: Authentication failed for 'x'", Failure.CREDENTIALS, False),
        ("git@github.com: Permission denied (publickey).\nfatal: Could not read from remote repository.",
         Failure.CREDENTIALS, False),
        ("No ED25519 host key is known for github.com\nHost key verification failed.", Failure.HOST_KEY, False),
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", Failure.NO_REPOSITORY, False),
        ("fatal: couldn't find remote ref refs/heads/main", Failure.NO_BRANCH, False),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", Failure.NETWORK, True),
        ("ssh: connect to host x port 22: Connection timed out", Failure.NETWORK, True),
        ("error: RPC failed; curl 56\nfatal: early EOF", Failure.NETWORK, True),
        ("fatal: unable to access 'https://x/': SSL certificate problem: certificate has expired", Failure.TLS, False),
        ("fatal: write error: No space left on device\nfatal: early EOF", Failure.DISK, True),
        ("something never seen", Failure.OTHER, True),
    ],
)  # fmt: skip
def test_what_git_says_is_put_into_a_kind_and_a_mend(err: str, kind: Failure, retry: bool) -> None:
    error = explain(GitResult(128, "", err))
    assert (error.kind, error.retry) == (kind, retry)
    assert said(error.reason)


def test_an_unknown_host_key_comes_with_the_way_to_add_it() -> None:
    assert "ssh-keyscan" in said(explain(GitResult(128, "", "Host key verification failed.")).message)


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/@'\""), min_size=1),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/@'\""), min_size=1),
)
def test_no_address_keeps_its_user_or_password(user: str, password: str) -> None:
    text = scrub(f"fatal: unable to access 'https://{user}:{password}@example.org/a.git/': no", [])
    assert text == "fatal: unable to access 'https://example.org/a.git/': no"


def test_the_low_speed_limit_is_within_the_source_s_own() -> None:
    chosen = settings(git_environment(make(timeout=timedelta(seconds=20))))
    assert chosen["http.lowSpeedTime"] == "10"


async def test_a_child_that_left_the_session_with_the_pipes_does_not_hold_it_up(tmp_path: Path) -> None:
    environment = git_environment(make())
    note = tmp_path / "pid"
    escape = f"alias.escape=!setsid sh -c 'echo $$ > {note}; exec sleep 300' & sleep 300"
    async with asyncio.timeout(60):
        with pytest.raises(RemoteError, match="git-timeout"):
            await run_git(["-c", escape, "escape"], env=environment, timeout=0.5)
    os.kill(int(await asyncio.to_thread(note.read_text)), signal.SIGKILL)
    await asyncio.sleep(0.05)  # the pipes close
