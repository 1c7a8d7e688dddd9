"""Starts the process of a service, and ends it with all its descendants."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opsbot.config import Service
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.runtime.tasks import wait_at_most
from opsbot.services import environment
from opsbot.services.port import ManagerError
from opsbot.services.processes import Process, alive, by_run, find, in_session, open_pidfd, send

_RECHECK = 0.5
_KILL_TAKES = 5.0
"""Seconds for a process to end after SIGKILL; beyond that it hangs in the kernel."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process that was just started. The receiver closes the pidfd."""

    process: Process
    pidfd: int
    release: Path | None


def start(service: Service, run: str, spool: Path) -> Started:
    """Start the service in its live release; its output is appended to `spool`.

    The process leads a new session, so that it outlives opsbot and can be distinguished from other services. Blocks.

    Raises:
        ManagerError: the command, its directory or its environment file is missing or unusable.
    """
    release, folder = _where(service)
    env = environment.of_service(service, run, release)
    command = list(service.command)
    if "/" in command[0]:
        command[0] = str(folder / command[0])
    try:
        output = os.open(spool, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        why = message(ManagerCode.OUTPUT_UNWRITABLE, path=str(spool), reason=error.strerror or str(error))
        raise ManagerError(why, retry=True) from error
    try:
        child = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise ManagerError(
            message(ManagerCode.COMMAND_NOT_STARTED, command=command[0], directory=str(folder), reason=reason)
        ) from error
    except ValueError as error:
        raise ManagerError(message(ManagerCode.COMMAND_INVALID, command=command[0], reason=str(error))) from error
    finally:
        os.close(output)
    # Only this process reaps it, so until then nothing else can have its pid.
    process = find(child.pid, dead=True)
    pidfd = os.pidfd_open(child.pid)
    # The pidfd reports its end; Popen must not wait for it, nor warn that nobody did.
    child.returncode = 0
    if process is None:
        os.close(pidfd)
        raise ManagerError(message(ManagerCode.CHILD_REAPED, command=command[0]), retry=True)
    return Started(process, pidfd, release)


def _where(service: Service) -> tuple[Path | None, Path]:
    try:
        release = service.root.resolve(strict=True) if service.root is not None else None
    except OSError as error:
        raise ManagerError(message(ManagerCode.NO_RELEASE, path=str(service.root))) from error
    folder = (release or Path("/")) / service.working_directory
    if not folder.is_dir():
        raise ManagerError(message(ManagerCode.NO_WORKING_DIRECTORY, directory=str(folder)))
    return release, folder.resolve()


def relatives(owner: str, main: Process | None = None, *, but: Collection[str] = ()) -> set[Process]:
    """All living processes with a run id of the service, or in the session of `main`.

    owner: the prefix of the service's run ids. but: runs to leave out.
    """
    runs = by_run()
    found = {one for run, processes in runs.items() if run.startswith(owner) and run not in but for one in processes}
    if main is not None and alive(main):
        found.update(in_session(main))
    return found


def terminate(main: Process | None, others: Iterable[Process]) -> None:
    """Send SIGTERM, and SIGCONT for frozen ones, to main's group and the others."""
    group = main.pid if main is not None and alive(main) else None
    for sign in (signal.SIGTERM, signal.SIGCONT):
        if group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, sign)
        for process in others:
            if process != main and process.group != group:
                with suppress(PermissionError):
                    send(process, sign)


def kill(processes: Iterable[Process]) -> None:
    for process in processes:
        with suppress(PermissionError):
            send(process, signal.SIGKILL)


async def _gone(processes: Iterable[Process], timeout: float) -> None:
    """Wait until all of these have ended, for at most `timeout` seconds."""
    loop = asyncio.get_running_loop()
    pidfds = await asyncio.to_thread(lambda: [fd for fd in map(open_pidfd, processes) if fd is not None])
    if not pidfds:
        return
    left, all_ended = set(pidfds), asyncio.Event()

    def ended(fd: int) -> None:
        loop.remove_reader(fd)  # it stays readable
        left.remove(fd)
        if not left:
            all_ended.set()

    try:
        for fd in pidfds:
            loop.add_reader(fd, ended, fd)
        await wait_at_most(all_ended, timeout)
    finally:
        for fd in pidfds:
            loop.remove_reader(fd)
            os.close(fd)


async def end(main: Process | None, find_all: Callable[..., set[Process]], timeout: float) -> int:
    """Terminate what `find_all(main)` returns; after `timeout` seconds kill the rest.

    Returns how many were found first. Raises ManagerError if a process survives SIGKILL.
    """
    loop = asyncio.get_running_loop()
    first = processes = await asyncio.to_thread(find_all, main)
    if not processes:
        return 0
    await asyncio.to_thread(terminate, main, processes)
    await _gone(processes, timeout)
    until = loop.time() + _KILL_TAKES
    while True:
        processes = await asyncio.to_thread(lambda known: {one for one in known | find_all() if alive(one)}, processes)
        if not processes:
            return len(first)
        if loop.time() >= until:
            pids = tuple(sorted(one.pid for one in processes))
            raise ManagerError(message(ManagerCode.SURVIVED_SIGKILL, pids=pids), retry=True)
        await asyncio.to_thread(kill, processes)
        await _gone(processes, _RECHECK)
