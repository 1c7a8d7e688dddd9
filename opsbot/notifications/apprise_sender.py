"""Hands one message to one notifier, in a child process: apprise and its plugins never live in the daemon.

A plugin that hangs is killed with all it started; the URL goes through a pipe, never onto a command line.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass

log = logging.getLogger(__name__)

LIMIT_SECONDS = 45.0
"""For one message. apprise waits 4 s to connect and 4 s to read; some plugins make several requests."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "TMPDIR")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message in plain text. type: apprise's `failure`, `success`, `warning` or `info`."""

    title: str
    body: str
    type: str = "info"


@dataclass(frozen=True, slots=True)
class SendResult:
    """What came of it. doubt: it may have arrived though nobody said so. failure may be untrusted text."""

    ok: bool
    failure: str = ""
    doubt: bool = False


async def send(url: str, letter: OutgoingMessage, limit: float = LIMIT_SECONDS) -> SendResult:
    """Send it, `limit` seconds at most."""
    return await _ask({"url": url, "title": letter.title, "body": letter.body, "type": letter.type}, limit)


async def understood(url: str, limit: float = LIMIT_SECONDS) -> SendResult:
    """Whether apprise understands the URL; nothing is sent."""
    return await _ask({"url": url}, limit)


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
        return SendResult(ok=False, failure=f"no process can be started: {error.strerror}")
    try:
        async with asyncio.timeout(limit):
            out, err = await child.communicate(json.dumps(question).encode())
    except TimeoutError:
        return SendResult(ok=False, failure=f"it took longer than {limit:.0f} s", doubt=True)
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
            ok=False, failure=f"the process that sends ended with status {child.returncode}: {last}", doubt=True
        )
