"""Runs git with a remote so that it never prompts, hangs or reveals a secret.

`git_environment` gives the environment, `run_git` runs one command in it, `explain` finds out what went wrong. A cheap
way to find out what a branch points to is `opsbot.source.heads`.
"""

import asyncio
import base64
import os
import re
import shlex
import signal
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from opsbot.config import SecretMissingError, Source
from opsbot.core.deploy_codes import SourceCode
from opsbot.core.message import Message, MessageError, message

INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH"),
    *("SSH_AUTH_SOCK", "KRB5CCNAME", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"),
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
)
"""All that git gets of opsbot's own environment: none of opsbot's secrets is among it, nor a stray GIT_DIR."""

TOKEN_VARIABLE = "OPSBOT_GIT_TOKEN"  # noqa: S105 - the name of a variable
"""Beside the header made of it: `run_git` takes from here what must not show in an output."""

CONNECT_SECONDS = 15
OUTPUT_MOST = 16 * 1024 * 1024
ERROR_MOST = 64 * 1024
TERM_SECONDS = 2.0
"""From SIGTERM, which lets git remove its lock files and half a pack, to SIGKILL."""

DRAIN_SECONDS = 1.0


class Failure(StrEnum):
    """What is wrong with a remote."""

    NETWORK = "network"
    TIMEOUT = "timeout"
    TLS = "certificate"
    CREDENTIALS = "credentials"
    HOST_KEY = "host-key"
    NO_REPOSITORY = "no-repository"
    NO_BRANCH = "no-branch"
    MOVED = "moved"
    OWNERSHIP = "ownership"
    DISK = "disk"
    OTHER = "other"


TRANSIENT = frozenset({Failure.NETWORK, Failure.TIMEOUT, Failure.DISK, Failure.OTHER})
"""Problems that may pass without a change here; the others wait for a person."""


class RemoteError(MessageError):
    """git failed. `reason` has no secret; `message` adds advice on how to fix it.

    `retry`: trying again later, with nothing changed here, may work.
    """

    def __init__(self, kind: Failure, reason: Message, *, retry: bool | None = None) -> None:
        """Keep the kind and the reason; `retry` follows from the kind if it is not given."""
        super().__init__(message(SourceCode.PROBLEM, reason=reason, advice=advice(kind)))
        self.kind = kind
        self.reason = reason
        self.retry = kind in TRANSIENT if retry is None else retry


@dataclass(frozen=True, slots=True)
class GitResult:
    """How a git command ended. Both texts are untrusted; secrets are gone from them."""

    status: int
    out: str
    err: str


def git_environment(source: Source, *directories: Path) -> dict[str, str]:
    """The whole environment of git for this source: nothing else is passed on.

    directories: repositories that belong to another user and are worked in all the same (`safe.directory`).
    Reads the token's file, so not for the event loop.

    Raises:
        RemoteError: the token is configured and cannot be read.
    """
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment |= {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        # `false` fails, which is the answer: an empty user name would be sent to the server and blamed on it.
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS": "false",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_SSH_COMMAND": _ssh_command(source),
        "GIT_SSH_VARIANT": "ssh",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "false",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    slow = max(5, min(30, int(source.timeout.total_seconds() / 2)))
    settings = [
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("gc.auto", "0"),
        ("gc.autoDetach", "false"),
        ("maintenance.auto", "false"),
        ("protocol.version", "2"),
        ("protocol.ext.allow", "never"),
        ("fetch.recurseSubmodules", "false"),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", str(slow)),
        *(("safe.directory", str(directory)) for directory in (source.directory, *directories)),
    ]
    if source.token is not None:
        try:
            token = source.token.read()
        except SecretMissingError as error:
            raise RemoteError(Failure.CREDENTIALS, message(SourceCode.TOKEN, error=str(error))) from error
        environment[TOKEN_VARIABLE] = token
        settings += _authorization(source, token)
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def _ssh_command(source: Source) -> str:
    # git gives this to a shell, so every word is quoted.
    words = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
    words += ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=2"]
    if source.ssh_key is not None:
        words += ["-i", str(source.ssh_key), "-o", "IdentitiesOnly=yes"]
    return shlex.join(words)


def basic(username: str, token: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{token}".encode()).decode()


def _authorization(source: Source, token: str) -> list[tuple[str, str]]:
    url = urlsplit(source.repository)
    if url.scheme not in {"http", "https"}:
        return []
    host = url.netloc.rpartition("@")[2]
    return [
        ("credential.helper", ""),
        (f"http.{url.scheme}://{host}/.extraHeader", f"Authorization: {basic(source.username, token)}"),
        # git would carry the header along to wherever it is sent on to.
        ("http.followRedirects", "false"),
    ]


def scrub(text: str, secrets: Sequence[str] = ()) -> str:
    """The text without the secrets, and without the user and password in any address."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return re.sub(r"(\b[a-z][a-z0-9+.-]*://)[^/\s'\"@]*@", r"\1", text, flags=re.IGNORECASE)


def secrets_in(env: Mapping[str, str]) -> list[str]:
    """What must never be shown: the token, and the header made of it."""
    token = env.get(TOKEN_VARIABLE, "")
    headers = [
        value.rpartition(" ")[2]
        for name, value in env.items()
        if name.startswith("GIT_CONFIG_VALUE") and " Basic " in value
    ]
    return [secret for secret in (token, *headers) if secret]


async def run_git(
    args: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str],
    timeout: float,
    most: int = OUTPUT_MOST,
    umask: int = -1,
) -> GitResult:
    """Run `git ARGS` in a session, killed at the time limit (seconds) or on cancel.

    most: bytes of output kept at most. umask: for what it writes; -1 leaves opsbot's own.

    Raises:
        RemoteError: TIMEOUT at the limit; OTHER when git cannot be started or prints more than `most`.
    """
    secrets = secrets_in(env)
    try:
        process = await _begin(args, cwd, env, umask)
    except OSError as error:
        reason = message(SourceCode.GIT_NOT_STARTED, error=error.strerror)
        raise RemoteError(Failure.OTHER, reason, retry=False) from error
    try:
        async with asyncio.timeout(timeout):
            out, err = await asyncio.gather(_first(process, most), _last(process, ERROR_MOST))
            # asyncio's `wait` also waits for the end of the output, which nobody reads any more where it was cut off.
            status = await process.wait() if out is not None else -signal.SIGKILL
    except TimeoutError as error:
        reason = message(SourceCode.GIT_TIMEOUT, verb=_verb(args), limit=timedelta(seconds=timeout))
        raise RemoteError(Failure.TIMEOUT, reason) from error
    finally:
        await asyncio.shield(_end(process))
    if out is None:
        reason = message(SourceCode.GIT_OUTPUT, verb=_verb(args), most=most)
        raise RemoteError(Failure.OTHER, reason, retry=False)
    printed, said = out.decode(errors="replace"), err.decode(errors="replace")
    return GitResult(status, scrub(printed, secrets), scrub(said, secrets))


async def _begin(
    args: Sequence[str], cwd: Path | None, env: Mapping[str, str], umask: int
) -> asyncio.subprocess.Process:
    beginning = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            "git",
            *args,
            cwd=cwd,
            env=dict(env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            umask=umask,
        )
    )
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        # Cancelled while it starts, asyncio would kill git alone and not the group.
        await asyncio.shield(_end(await beginning))
        raise


def _verb(args: Sequence[str]) -> str:
    return next((word for word in args if not word.startswith("-")), "")


async def _first(process: asyncio.subprocess.Process, most: int) -> bytes | None:
    """The output; None, and git is killed, where it is more than `most`."""
    kept = bytearray()
    while process.stdout is not None and (chunk := await process.stdout.read(65536)):
        kept += chunk
        if len(kept) > most:
            _signal(process, signal.SIGKILL)
            return None
    return bytes(kept)


async def _last(process: asyncio.subprocess.Process, most: int) -> bytes:
    kept = bytearray()
    while process.stderr is not None and (chunk := await process.stderr.read(65536)):
        kept += chunk
        del kept[:-most]
    return bytes(kept)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # The group outlives its leader while a child (ssh, git-remote-https) does, and its id is not given away meanwhile.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        await _drained(process, TERM_SECONDS)
    _signal(process, signal.SIGKILL)
    await _drained(process, DRAIN_SECONDS)


async def _drained(process: asyncio.subprocess.Process, most: float) -> None:
    """Wait for its end and drain its pipes, or they are never closed.

    Limited, as asyncio's `wait` waits for the pipes too, and who left the session may hold them open, or fill them.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(most):
            await asyncio.gather(_discard(process.stdout), _discard(process.stderr))
            await process.wait()


async def _discard(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(65536):
        pass


_SIGNS: Mapping[Failure, tuple[str, ...]] = {
    Failure.DISK: ("no space left on device", "disk quota exceeded"),
    Failure.HOST_KEY: ("host key verification failed", "remote host identification has changed", "host key is known"),
    Failure.OWNERSHIP: ("dubious ownership",),
    Failure.NO_BRANCH: ("couldn't find remote ref", "remote branch .* not found"),
    Failure.CREDENTIALS: (
        *("could not read username", "could not read password", "authentication failed", "terminal prompts disabled"),
        *(
            "returned error: 40[13]",
            r"permission denied \(",
            "invalid username",
            "invalid credentials",
            "access denied",
        ),
    ),
    Failure.TLS: ("certificate", "gnutls_handshake", "ssl routines", "ssl_connect"),
    Failure.MOVED: (r"returned error: 30\d", "unable to update url base from redirection"),
    Failure.NO_REPOSITORY: (
        *("repository .*not found", "does not appear to be a git repository", "returned error: 404", "does not exist"),
        *("project you were looking for", "not a git repository", "no such file or directory"),
    ),
    Failure.NETWORK: (
        *("resolve host", "couldn't connect", "could not connect", "failed to connect", "temporary failure"),
        *("connection (refused|reset|timed out|closed)", "network is unreachable", "no route to host", "timed out"),
        *("operation too slow", "early eof", "rpc failed", "hung up", "empty reply", r"returned error: (429|5\d\d)"),
        *("could not read from remote", "unable to access"),
    ),
}
"""What git, curl and ssh print (LC_ALL=C); the first kind with a sign in the text is it."""

_ADVICE: Mapping[Failure, SourceCode] = {
    Failure.NETWORK: SourceCode.ADVICE_RETRY,
    Failure.TIMEOUT: SourceCode.ADVICE_RETRY,
    Failure.TLS: SourceCode.ADVICE_TLS,
    Failure.CREDENTIALS: SourceCode.ADVICE_CREDENTIALS,
    Failure.HOST_KEY: SourceCode.ADVICE_HOST_KEY,
    Failure.NO_REPOSITORY: SourceCode.ADVICE_NO_REPOSITORY,
    Failure.NO_BRANCH: SourceCode.ADVICE_NO_BRANCH,
    Failure.MOVED: SourceCode.ADVICE_MOVED,
    Failure.OWNERSHIP: SourceCode.ADVICE_OWNERSHIP,
    Failure.DISK: SourceCode.ADVICE_DISK,
}


def advice(kind: Failure) -> Message | None:
    """What a person can do about it; None where nothing is known."""
    return message(_ADVICE[kind]) if kind in _ADVICE else None


def explain(result: GitResult) -> RemoteError:
    """What a git command that failed ran into, in git's own words."""
    said = result.err
    found = (kind for kind, signs in _SIGNS.items() if any(re.search(sign, said, re.IGNORECASE) for sign in signs))
    words = _said(said)
    reason = message(SourceCode.GIT, said=words) if words else message(SourceCode.STATUS, status=result.status)
    return RemoteError(next(found, Failure.OTHER), reason)


def _said(err: str) -> str:
    """git's own reason: the line that says what, without the advice round it."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(fatal|error|ERROR):|ssh:|.*[Hh]ost key|.*Permission denied", line)]
    line = (telling or lines or [""])[0]
    return re.sub(r"^(fatal|error|remote): ", "", line).rstrip(".")[:300]
