"""Runs the command of a check, with limits for time and output, and ends all its processes."""

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opsbot.config import Check, Service
from opsbot.core import exits
from opsbot.core.health import ProbeCode
from opsbot.core.message import Message, MessageError, message
from opsbot.formatting import clip
from opsbot.services.environment import of_service
from opsbot.services.processes import exit_status
from opsbot.services.run_as import Errands, Slot

_TAIL = 8 * 1024
_REASON_AT_MOST = 200


class CannotRunError(MessageError):
    """The command cannot be started; the message says why."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How the command ended. last: the last line it wrote, untrusted."""

    ok: bool
    exit: Message
    last: str


class _Tail:
    """Reads a pipe to its end, and keeps the last bytes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._kept = b""
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self.read)

    def read(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._fd, 64 * 1024)
            self._kept = (self._kept + data)[-_TAIL:]
            if not data:
                asyncio.get_running_loop().remove_reader(self._fd)

    def close(self) -> str:
        self.read()
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        return _last_line(self._kept)


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").replace("\0", "").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


async def run_abroad(errands: Errands, service: Service, check: Check) -> Ran:
    """Run it as the service's own user. If canceled, end all its processes.

    Raises:
        CannotRunError: the command or its directory does not exist.
        ErrandError: it could not be run as that user.
    """
    folder, environment = await asyncio.to_thread(_where, service, check)
    for name in ("HOME", "USER", "LOGNAME"):  # opsbot's own
        if name not in service.environment:
            environment.pop(name, None)
    kept = bytearray()

    def take(chunk: bytes) -> None:
        kept.extend(chunk)
        del kept[:-_TAIL]

    ended = await errands.run(
        service,
        Slot.CHECK,
        check.run,
        directory=folder,
        environment=environment,
        within=check.timeout,
        take=take,
    )
    if ended.refused:
        raise CannotRunError(message(ProbeCode.COMMAND_REFUSED, reason=clip(ended.refused, _REASON_AT_MOST)))
    if ended.late:
        raise TimeoutError
    status = ended.signal or ended.status << 8
    return Ran(status == 0, exits.of_status(status), _last_line(bytes(kept)))


async def run(service: Service, check: Check) -> Ran:
    """Run it in the live release with the service's environment. If canceled, kill the process group.

    Raises:
        CannotRunError: the command or its directory does not exist.
    """
    ours, theirs = os.pipe()
    starting = asyncio.create_task(asyncio.to_thread(_start, service, check, theirs))
    try:
        pid = await asyncio.shield(starting)
    except BaseException:
        # The thread cannot be canceled: what it still starts is ended at once.
        starting.add_done_callback(_end_started)
        os.close(ours)
        raise
    tail = _Tail(ours)
    last = ""
    try:
        status = await _end_of(pid)
    finally:
        last = tail.close()
    return Ran(status == 0, exits.of_status(status), last)


def _where(service: Service, check: Check) -> tuple[Path, dict[str, str]]:
    """The working directory of a check's command, and its environment."""
    folder = service.root or service.run_directory
    try:
        release = service.root.resolve(strict=True) if service.root is not None else None
        folder = (release or folder).resolve(strict=True)
    except OSError as error:
        raise CannotRunError(_cannot_run(check, folder, error)) from error
    environment = of_service(service, "", release)
    del environment["OPSBOT_RUN"]  # it belongs to no run of the service
    return folder, environment


def _cannot_run(check: Check, folder: Path, error: OSError) -> Message:
    reason = error.strerror or str(error)
    return message(ProbeCode.COMMAND_NOT_STARTED, command=check.run[0], directory=str(folder), reason=reason)


def _start(service: Service, check: Check, output: int) -> int:
    folder = service.root or service.run_directory
    try:
        folder, environment = _where(service, check)
        command = list(check.run)
        if "/" in command[0]:
            command[0] = str(folder / command[0])
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except OSError as error:
        raise CannotRunError(_cannot_run(check, folder, error)) from error
    finally:
        os.close(output)
    child.returncode = 0  # a pidfd waits for its end, not Popen
    return child.pid


def _end_started(starting: "asyncio.Task[int]") -> None:
    if not starting.cancelled() and starting.exception() is None:
        pid = starting.result()
        _kill_group(pid)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


async def _end_of(pid: int) -> int | None:
    """Wait for the process; in any case kill its group and reap it."""
    loop = asyncio.get_running_loop()
    pidfd = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        # It is not reaped yet, so its id cannot belong to another group.
        _kill_group(pid)
        if not ended.is_set():
            with suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, pidfd, os.WEXITED)  # noqa: ASYNC222 - killed just now, it takes no time
        status = exit_status(pidfd) if ended.is_set() else None
        os.close(pidfd)
    return status


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
