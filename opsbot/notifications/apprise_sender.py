"""Send one message by apprise in a child process, to save the daemon's memory.

A hanging plugin is killed with its children. The URL is passed through a pipe, never on a command line.
"""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass

LIMIT_SECONDS = 45.0
"""Per message. apprise waits 4 s to connect and 4 s to read; some plugins send several requests."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "TMPDIR")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message in plain text.

    type: apprise's `failure`, `success`, `warning` or `info`.
    """

    title: str
    body: str
    type: str = "info"


@dataclass(frozen=True, slots=True)
class SendResult:
    """Result of one attempt.

    doubt: it may have arrived without confirmation. failure: possibly untrusted text.
    """

    ok: bool
    failure: str = ""
    doubt: bool = False


async def send(url: str, message: OutgoingMessage, limit: float = LIMIT_SECONDS) -> SendResult:
    return await _ask({"url": url, "title": message.title, "body": message.body, "type": message.type}, limit)


async def understood(url: str) -> SendResult:
    """Check whether apprise accepts the URL; nothing is sent."""
    return await _ask({"url": url}, LIMIT_SECONDS)


def _environment() -> dict[str, str]:
    names = (*_PASSED_ON, *_PROXIES, *map(str.upper, _PROXIES))
    return {name: os.environ[name] for name in names if name in os.environ}


async def _ask(question: dict[str, str], limit: float) -> SendResult:
    pipe = asyncio.subprocess.PIPE
    try:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "opsbot.notifications.apprise_child"),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=_environment(),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        return SendResult(ok=False, failure=f"cannot start a process: {error.strerror}")
    try:
        async with asyncio.timeout(limit):
            out, err = await child.communicate(json.dumps(question).encode())
    except TimeoutError:
        return SendResult(ok=False, failure=f"no result within {limit:.0f} s", doubt=True)
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    try:
        said = json.loads(out.decode())
        return SendResult(bool(said["ok"]), str(said["failure"]), bool(said["doubt"]))
    except (ValueError, KeyError, TypeError):
        last = err.decode(errors="replace").strip().rpartition("\n")[2][:300]
        return SendResult(
            ok=False, failure=f"the sending process exited with status {child.returncode}: {last}", doubt=True
        )
