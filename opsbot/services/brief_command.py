"""Runs short commands such as systemctl and journalctl, with a time limit."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
OUTPUT_MOST = 4 * 1024 * 1024


class CommandError(Exception):
    """The command could not be started, did not end in time, or failed."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How the command ended; its output is untrusted."""

    status: int
    out: str
    err: str


def environment() -> dict[str, str]:
    """English output, no pager, no colours, and none of opsbot's secrets."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    kept.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return kept | {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "", "SYSTEMD_LESS": ""}


async def ask(command: Sequence[str], timeout: float) -> CommandResult:
    """Run the command for at most `timeout` seconds.

    Raises:
        CommandError: it cannot be started, or takes longer and was killed.
    """
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=null, stdout=pipe, stderr=pipe, env=environment(), limit=OUTPUT_MOST
        )
    except OSError as error:
        raise CommandError(f"{command[0]} cannot be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(timeout):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise CommandError(f"{command[0]} did not answer in {timeout:.3g} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return CommandResult(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))
