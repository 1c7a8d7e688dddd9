"""Runs install steps: with a time limit, output in a file, its end in memory.

`Steps` are the commands about one service's releases: install steps, and what opsbot does to files by commands because
they may belong to the service's user. They run as opsbot's user or, `abroad`, as the service's (`steps_of`).

A step gets little of opsbot's environment and none of the service's secrets: it runs what somebody pushed. It has a
lower priority than the service beside it, and is killed first when memory runs out.
"""

import asyncio
import os
import re
import secrets
import signal
import sys
from abc import ABC, abstractmethod
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from io import BufferedWriter
from pathlib import Path

from opsbot.config import Service
from opsbot.core.deploy_codes import NoteCode
from opsbot.core.message import Message, message, message_of, plain
from opsbot.errand.job import cannot_start
from opsbot.errand.moved import move_environment
from opsbot.filesystem.disk import remove
from opsbot.filesystem.processes_in_folder import MARK, end_marked
from opsbot.formatting import size
from opsbot.runtime.tasks import cancel_all
from opsbot.services.pipes import pump
from opsbot.services.run_as import ErrandError, Errands, Slot

OUTPUT_MOST = 10 * 1024 * 1024
TAIL_LINES = 15
LINE_MOST = 500
TERM_SECONDS = 5.0
"""From SIGTERM to SIGKILL when the time is up."""
LAST_WORDS_SECONDS = 1.0
"""How long output is waited for after the end of the step."""
STEP = "OPSBOT_STEP"
"""In the environment of a step, another value each time: it identifies processes that left the step's session."""
NICE = 10
OOM_SCORE = 500
COPY_LIMIT = timedelta(minutes=10)
SMALL_LIMIT = timedelta(minutes=2)

_PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "XDG_CACHE_HOME", "LD_LIBRARY_PATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"),
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
)
_OPSBOTS_OWN = {"HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CACHE_HOME"}
"""Of opsbot's environment: another user has different ones."""
_PASSED_ON_PREFIXES = ("npm_config_", "NPM_CONFIG_", "PIP_", "UV_")
_FIXED = {
    "LANG": "C.UTF-8",
    "CI": "true",
    "npm_config_fund": "false",
    "npm_config_audit": "false",
    "npm_config_update_notifier": "false",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
}
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b-\x1f\x7f]")
_NO_SPACE = re.compile(r"no space left on device|ENOSPC|disk quota exceeded|EDQUOT", re.IGNORECASE)
_NO_SPACE_RAW = re.compile(_NO_SPACE.pattern.encode(), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step ended.

    tail: its last lines without colours, untrusted. lasting: it exited with a failure, so that the same step
    would fail again. no_space: it printed that the disk is full.
    """

    ok: bool
    ending: Message
    tail: str = ""
    lasting: bool = False
    no_space: bool = False


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The host's paths, proxies and certificates, unattended tools, and `extra`."""
    host = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return {**host, **_FIXED, **extra}


class Steps(ABC):
    """Commands about the releases of a service. output: a file for what they print."""

    abroad = False
    """Whether they run as another user than opsbot's, so that the files have two owners."""

    def __init__(self, folder: Path, mark: str) -> None:
        """folder: of the releases. mark: identifies processes of this opsbot (`MARK`)."""
        self._folder = folder
        self._mark = mark

    async def run(
        self, command: Sequence[str], *, directory: Path, extra: Mapping[str, str], timeout: timedelta, output: Path
    ) -> StepResult:
        """Run a step in the environment for steps and `extra`, and end all of it."""
        return await self._run(command, directory, {**extra, MARK: self._mark}, timeout, output)

    @abstractmethod
    async def _run(
        self, command: Sequence[str], directory: Path, extra: Mapping[str, str], timeout: timedelta, output: Path
    ) -> StepResult: ...

    async def _file_job(self, words: Sequence[str], output: Path, limit: timedelta = SMALL_LIMIT) -> StepResult:
        return await self.run(words, directory=self._folder, extra={}, timeout=limit, output=output)

    async def copy(self, source: Path, place: Path, output: Path) -> StepResult:
        """Copy to a new place. By hard links the live service would change the copy."""
        return await self._file_job(["cp", "-a", "--reflink=auto", "--", str(source), str(place)], output, COPY_LIMIT)

    async def clear(self, place: Path, output: Path) -> bool:
        """Have nothing there, and a folder around it; whether that is so."""
        if not self.abroad:
            return await asyncio.to_thread(_clear, place)
        for words in (["mkdir", "-p", "--", str(place.parent)], _removal(place)):
            if not (await self._file_job(words, output)).ok:
                return False
        return True

    async def remove(self, place: Path, output: Path) -> StepResult:
        """Remove what is the service's user's, in folders where opsbot may not write."""
        return await self._file_job(_removal(place), output, COPY_LIMIT)

    async def move_environment(self, folder: Path, before: Path, output: Path) -> bool:
        """Rewrite the paths in a virtual environment copied from `before`; False: failed."""
        if not self.abroad:
            await asyncio.to_thread(move_environment, folder, before)
            return True
        if not await asyncio.to_thread((folder / "pyvenv.cfg").is_file):
            return True
        words = [sys.executable, "-I", "-m", "opsbot.errand.moved", str(folder), str(before)]
        return (await self._file_job(words, output)).ok

    async def occupied(self, folders: Sequence[Path], output: Path) -> StepResult:
        """Print the numbers, from 0, of the folders that a process works in."""
        return await self._file_job([sys.executable, "-I", "-m", "opsbot.errand.occupied", *map(str, folders)], output)


class ChildSteps(Steps):
    """Children of opsbot, with its own user."""

    async def _run(
        self, command: Sequence[str], directory: Path, extra: Mapping[str, str], timeout: timedelta, output: Path
    ) -> StepResult:
        return await run_step(command, directory=directory, env=environment(extra), timeout=timeout, output=output)


class RunAsSteps(Steps):
    """Commands of one service that run as its user."""

    abroad = True

    def __init__(self, folder: Path, mark: str, run_as: Errands, service: Service) -> None:
        super().__init__(folder, mark)
        self._run_as = run_as
        self._service = service

    async def _run(
        self, command: Sequence[str], directory: Path, extra: Mapping[str, str], timeout: timedelta, output: Path
    ) -> StepResult:
        file = await asyncio.to_thread(open_output, output)
        out = StepOutput(file, OUTPUT_MOST)
        mine = {name: value for name, value in environment({}).items() if name not in _OPSBOTS_OWN}
        try:
            ended = await self._run_as.run(
                self._service,
                Slot.STEP,
                command,
                directory=directory,
                environment={"PATH": os.defpath, **mine, **extra},
                within=timeout,
                take=out.take,
            )
        except ErrandError as error:
            # Not the commit's fault: the next attempt succeeds once this is fixed.
            return StepResult(ok=False, ending=message_of(error))
        finally:
            await asyncio.to_thread(file.close)
        if ended.refused:
            return StepResult(ok=False, ending=plain(ended.refused), lasting=True)
        return judged(None if ended.late else -ended.signal or ended.status, out, timeout)


async def steps_of(service: Service, run_as: Errands | None, folder: Path, mark: str) -> Steps:
    """Who runs a service's commands; ErrandError if its user is root or unknown."""
    if run_as is not None and await run_as.abroad(service):
        return RunAsSteps(folder, mark, run_as, service)
    return ChildSteps(folder, mark)


def _clear(place: Path) -> bool:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.is_file():
        place.unlink()
    return remove(place)


def _removal(place: Path) -> list[str]:
    return [sys.executable, "-I", "-m", "opsbot.errand.removal", str(place)]


async def run_step(
    command: Sequence[str],
    *,
    directory: Path,
    env: Mapping[str, str],
    timeout: timedelta,
    output: Path,
    most: int = OUTPUT_MOST,
) -> StepResult:
    """Run it in a separate session and end all of it. most: bytes kept in `output`."""
    problem = await asyncio.to_thread(cannot_start, command[0], str(directory), env)
    if problem:
        return StepResult(ok=False, ending=plain(problem), lasting=True)
    file = await asyncio.to_thread(open_output, output)
    mark = secrets.token_hex(8)
    # A separate pipe: asyncio's would have `wait` last until every process that holds the other end is gone.
    reading, writing = os.pipe()
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=directory,
                env={**env, STEP: mark},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            os.close(reading)
            ending = message(NoteCode.COMMAND_NOT_STARTED, command=command[0], error=error.strerror)
            return StepResult(ok=False, ending=ending, lasting=True)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return await _attend(process, reading, StepOutput(file, most), timeout, mark)
    finally:
        await asyncio.to_thread(file.close)


def open_output(output: Path) -> BufferedWriter:
    """The file for what a step prints, empty. Blocks."""
    output.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    return os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def _lower(pid: int) -> None:
    with suppress(OSError):  # it may have ended already
        os.setpriority(os.PRIO_PGRP, pid, NICE)
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(OOM_SCORE))


class StepOutput:
    """Keeps what comes in the file, up to the limit, and its last lines in memory."""

    def __init__(self, file: BufferedWriter, most: int) -> None:
        """`most`: bytes that are kept in the file."""
        self._file = file
        self._left = most
        self._most = most
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._partial = b""
        self.no_space = False

    def take(self, chunk: bytes) -> None:
        """Blocks; call it in a thread."""
        self._partial += chunk
        *whole, self._partial = re.split(rb"\r?\n|\r", self._partial)
        self._partial = self._partial[-8 * LINE_MOST :]
        self._lines_of(whole)
        if self._left > 0:
            kept = chunk[: self._left]
            self._left -= len(kept)
            if self._left <= 0:
                kept += f"\n[opsbot keeps the first {size(self._most)} of a step's output]\n".encode()
            try:
                self._file.write(kept)
                self._file.flush()
            except OSError:
                # The disk with the state directory is full: the step itself need not fail of it.
                self._left = 0

    def _lines_of(self, whole: Sequence[bytes]) -> None:
        """Only the last lines are shown, and a step may print a million of them a second."""
        self.no_space = self.no_space or _NO_SPACE_RAW.search(b"\n".join(whole)) is not None
        last: list[str] = []
        for line in reversed(whole):
            if len(last) == TAIL_LINES:
                break
            text = _ESCAPES.sub("", line.decode(errors="replace")).rstrip()
            if text:
                self.no_space = self.no_space or _NO_SPACE.search(text) is not None
                last.append(text[:LINE_MOST])
        self._lines.extend(reversed(last))

    def tail(self) -> str:
        self._lines_of([self._partial])
        self._partial = b""
        return "\n".join(self._lines)


async def _attend(process: Process, pipe: int, out: StepOutput, timeout: timedelta, mark: str) -> StepResult:
    reading = asyncio.create_task(pump(pipe, out.take))
    timed_out = False
    try:
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await asyncio.to_thread(_lower, process.pid)
                await process.wait()
        except TimeoutError:
            timed_out = True
            await _end(process, TERM_SECONDS)
    finally:
        _signal(process, signal.SIGKILL)  # what it left in the background goes with it
        await asyncio.shield(process.wait())
        await asyncio.shield(asyncio.to_thread(end_marked, mark, name=STEP))
        # One that cannot be killed, being another user's, may hold the pipe open: it is not waited for.
        await asyncio.wait([reading], timeout=LAST_WORDS_SECONDS)
        await cancel_all(reading)
    return judged(None if timed_out else process.returncode or 0, out, timeout)


def judged(status: int | None, out: StepOutput, timeout: timedelta) -> StepResult:
    """The result for a status (negative: a signal); None if its time was up."""
    tail = out.tail()
    if status is None:
        ending = message(NoteCode.COMMAND_TIMEOUT, limit=timeout)
        return StepResult(ok=False, ending=ending, tail=tail, no_space=out.no_space)
    if status == 0:
        return StepResult(ok=True, ending=message(NoteCode.COMMAND_DONE), tail=tail)
    lasting = status > 0 and not out.no_space
    return StepResult(ok=False, ending=_ending(status), tail=tail, lasting=lasting, no_space=out.no_space)


def _ending(status: int) -> Message:
    if status > 0:
        return message(NoteCode.COMMAND_STATUS, status=status)
    if status == -signal.SIGKILL:
        return message(NoteCode.COMMAND_KILLED)
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return message(NoteCode.COMMAND_SIGNAL, signal=name)


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _end(process: Process, patience: float) -> None:
    _signal(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await process.wait()
