"""What a remote's branch points to, as cheaply as each kind of remote allows.

- http(s): git's protocol v2 command `ls-refs`, in process over a connection that is kept
  (gitprotocol-v2(5), gitprotocol-http(5)): a fraction of the CPU of starting git.
- a folder on this host: the ref's own file, as gitrepository-layout(5) has it.
- all else, and whatever is odd about the two above (a redirect, a credential helper, a proxy in git's configuration, an
  older server, refs kept in another way): `git ls-remote`, whose answer is final.
"""

import asyncio
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Self
from urllib.parse import unquote, urlsplit

import aiohttp

from opsbot.config import SecretMissingError, Source
from opsbot.core.deploy_codes import SourceCode
from opsbot.core.message import message
from opsbot.source.remote import Failure, RemoteError, basic, explain, git_environment, run_git

log = logging.getLogger(__name__)

ANSWER_MOST = 1024 * 1024
BY_GIT_SECONDS = 3600.0
"""How long a source that could not be asked in process, and could by git, is asked with `git ls-remote` only."""
KEEP_SECONDS = 75.0
"""How long an idle connection is kept; most servers close theirs after 60 to 75 s."""
_NO_LIMIT = aiohttp.ClientTimeout(total=None, connect=30)
"""`Heads.ask` sets the limit, the source's own."""
FLUSH, DELIMITER = b"0000", b"0001"
_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class OddAnswerError(Exception):
    """The server did not answer as protocol v2 has it; git may know better."""


def pkt(line: bytes) -> bytes:
    return b"%04x" % (len(line) + 4) + line


def packets(data: bytes) -> Iterator[bytes | None]:
    """Yield payloads of pkt-lines, None for special ones. Raises OddAnswerError."""
    at = 0
    while at < len(data):
        size = data[at : at + 4]
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", size):
            raise OddAnswerError(f"no pkt-line: {size!r}")
        length = int(size, 16)
        if length <= 2:  # noqa: PLR2004 - 0000 flush, 0001 delimiter, 0002 end of response
            yield None
            at += 4
            continue
        if length == 3 or at + length > len(data):  # noqa: PLR2004 - 0003 is nothing
            raise OddAnswerError("a pkt-line is cut short")
        payload = data[at + 4 : at + length].removesuffix(b"\n")
        if payload.startswith(b"ERR "):
            raise OddAnswerError(payload.decode(errors="replace")[:200])
        yield payload
        at += length


def advertised_format(data: bytes) -> str:
    """Return the object format a server advertises. Raises OddAnswerError."""
    lines = [line for line in packets(data) if line is not None and not line.startswith(b"# service=")]
    if not lines or lines[0] != b"version 2":
        raise OddAnswerError("the server does not speak protocol version 2")
    if not any(line.split(b"=")[0] == b"ls-refs" for line in lines):
        raise OddAnswerError("the server does not offer ls-refs")
    formats = [line.partition(b"=")[2].decode() for line in lines if line.startswith(b"object-format=")]
    return formats[0] if formats else "sha1"


def ls_refs(branch: str, object_format: str) -> bytes:
    """The request for a branch, and others with its prefix: the protocol has no more."""
    head = pkt(b"command=ls-refs\n") + pkt(b"agent=opsbot\n") + pkt(b"object-format=" + object_format.encode() + b"\n")
    return head + DELIMITER + pkt(f"ref-prefix refs/heads/{branch}\n".encode()) + FLUSH


def listed_head(data: bytes, branch: str) -> str | None:
    """Return the branch's commit in an answer to `ls_refs`. Raises OddAnswerError."""
    if not data.endswith(FLUSH):
        raise OddAnswerError("the answer has no end")
    wanted = f"refs/heads/{branch}".encode()
    for line in packets(data):
        words = [] if line is None else line.split(b" ")
        if len(words) >= 2 and words[1] == wanted:  # noqa: PLR2004 - id, name, attributes
            found = words[0].decode(errors="replace")
            if not _ID.fullmatch(found):
                raise OddAnswerError(f"{found[:80]!r} is no commit id")
            return found
    return None


def local_folder(repository: str) -> Path | None:
    """The folder that a repository's address names on this host, if it does."""
    if repository.startswith("/"):
        return Path(repository)
    url = urlsplit(repository)
    if url.scheme == "file" and url.netloc in {"", "localhost"}:
        return Path(unquote(url.path))
    return None


def read_ref(folder: Path, branch: str) -> str | None:
    """A branch's commit from the repository's files; None if git must be asked.

    That is: another user's repository (git would refuse to fetch from it), a linked work tree, a symbolic ref, a
    reftable, or simply no such branch.
    """
    store = next((path for path in (folder / ".git", folder) if (path / "HEAD").is_file()), None)
    if store is None or store.stat().st_uid != os.geteuid() or (store / "reftable").exists():
        return None
    name = f"refs/heads/{branch}"
    try:
        found = (store / name).read_text().strip()
    except (OSError, UnicodeDecodeError):
        found = _packed(store / "packed-refs", name)
    return found if _ID.fullmatch(found) else None


def _packed(path: Path, name: str) -> str:
    try:
        with path.open() as lines:
            return next((line[: -len(name) - 2] for line in lines if line.endswith(f" {name}\n")), "")
    except (OSError, UnicodeDecodeError):
        return ""


class Heads:
    """Asks remotes; keeps their connections, and how each wants to be asked."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._formats: dict[str, str] = {}
        self._by_git: dict[str, float] = {}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def ask(self, source: Source) -> str | RemoteError:
        """The commit its branch points to, or why nobody knows."""
        repository = source.repository
        folder = local_folder(repository)
        if folder is not None:
            found = await asyncio.to_thread(read_ref, folder, source.branch)
            return found or await self._ask_git(source)
        url = urlsplit(repository)
        plain = url.scheme in {"http", "https"} and "@" not in url.netloc and not url.query
        if not plain or self._by_git.get(repository, 0.0) > monotonic():
            return await self._ask_git(source)
        try:
            async with asyncio.timeout(source.timeout.total_seconds()):
                found = await self._ask_http(source)
        except TimeoutError:
            reason = message(SourceCode.HOST_TIMEOUT, host=url.hostname, limit=source.timeout)
            return RemoteError(Failure.TIMEOUT, reason)
        except SecretMissingError as error:
            return RemoteError(Failure.CREDENTIALS, message(SourceCode.TOKEN, error=str(error)))
        except (aiohttp.ClientError, OddAnswerError, OSError) as error:
            log.debug("asking %s with git instead: %s", url.hostname, error)
            self._formats.pop(repository, None)
            answer = await self._ask_git(source)
            if isinstance(answer, str):
                self._by_git[repository] = monotonic() + BY_GIT_SECONDS
            return answer
        return found or _no_branch(source)

    async def _ask_http(self, source: Source) -> str | None:
        base = source.repository.rstrip("/")
        headers = {"Git-Protocol": "version=2", "User-Agent": "git/opsbot", "Accept-Encoding": "identity"}
        if source.token is not None:
            secret = source.token
            token = secret.read() if secret.env is not None else await asyncio.to_thread(secret.read)
            headers["Authorization"] = basic(source.username, token)
        kind = self._formats.get(source.repository)
        if kind is None:
            advertisement = await self._exchange("GET", f"{base}/info/refs?service=git-upload-pack", headers)
            kind = self._formats[source.repository] = advertised_format(advertisement)
        # Requests of version 2 are independent: the advertisement is requested once, not at every poll.
        headers["Content-Type"] = "application/x-git-upload-pack-request"
        answer = await self._exchange("POST", f"{base}/git-upload-pack", headers, ls_refs(source.branch, kind))
        return listed_head(answer, source.branch)

    async def _exchange(self, method: str, url: str, headers: dict[str, str], data: bytes | None = None) -> bytes:
        try:
            return await self._request(method, url, headers, data)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # Most often a kept connection that the server closed just now: try a fresh one.
            return await self._request(method, url, headers, data)

    async def _request(self, method: str, url: str, headers: dict[str, str], data: bytes | None) -> bytes:
        if self._session is None:
            proxied = any(name.lower().endswith("_proxy") for name in os.environ)
            connector = aiohttp.TCPConnector(keepalive_timeout=KEEP_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=proxied, cookie_jar=aiohttp.DummyCookieJar(), timeout=_NO_LIMIT
            )
        async with self._session.request(method, url, headers=headers, data=data, allow_redirects=False) as response:
            wanted = "application/x-git-upload-pack-" + ("advertisement" if method == "GET" else "result")
            if response.status != 200 or response.content_type != wanted:  # noqa: PLR2004 - OK
                raise OddAnswerError(f"{response.status} {response.content_type}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(65536):
                body += chunk
                if len(body) > ANSWER_MOST:
                    raise OddAnswerError(f"an answer of more than {ANSWER_MOST} bytes")
            return bytes(body)

    async def _ask_git(self, source: Source) -> str | RemoteError:
        name = f"refs/heads/{source.branch}"
        try:
            environment = await asyncio.to_thread(git_environment, source)
            arguments = ["ls-remote", "--", source.repository, name]
            result = await run_git(arguments, env=environment, timeout=source.timeout.total_seconds())
        except RemoteError as error:
            return error
        if result.status != 0:
            return explain(result)
        lines = (line.split("\t") for line in result.out.splitlines())
        found = next((words[0] for words in lines if words[1:] == [name]), None)
        return found if found and _ID.fullmatch(found) else _no_branch(source)


def _no_branch(source: Source) -> RemoteError:
    return RemoteError(Failure.NO_BRANCH, message(SourceCode.NO_BRANCH, branch=source.branch))
