"""Supervises one service as a child of opsbot: record, restarts, adoption."""

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from opsbot.config import Service
from opsbot.core import exits
from opsbot.core.exits import ExitCode
from opsbot.core.inhibitors import Inhibitor
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import Message, message
from opsbot.host.proc_stat import variable
from opsbot.messages import render
from opsbot.runtime.tasks import BackgroundTasks
from opsbot.services import child, run_record
from opsbot.services.backoff import Backoff, CrashCounter
from opsbot.services.log_writer import LogWriter
from opsbot.services.port import Activity, Happening, ManagerError, ServiceEvent, ServiceState
from opsbot.services.processes import Process, boot_id, exit_status, open_pidfd, zombie_status
from opsbot.services.run_record import RunRecord
from opsbot.services.spool_watch import SpoolWatcher

log = logging.getLogger(__name__)
T = TypeVar("T")

_STATUS_AFTER = (0.0, 0.01, 0.05)
"""Seconds between attempts to read how an adopted process ended: its new parent has to reap it first."""
_LEAVE_SECONDS = 3.0
"""For operations under way when opsbot ends; with the grace period of a deployment less than 10 s."""
_INHIBITED_SECONDS = 2.0
"""Between two questions to the inhibitor about a service that waits for its restart."""
_LEFT_BEHIND = 2.0
"""Seconds that the children of a dead main process have to end after SIGTERM."""


@dataclass(slots=True)
class MainProcess:
    """The main process of the run, from its start until its death has been handled."""

    process: Process
    pidfd: int
    born: float
    """By the event loop's clock."""
    gone: asyncio.Event
    status: int | None = None


class ProcessSupervisor:
    """One service. Operations run one at a time, and finish without their caller."""

    def __init__(
        self,
        service: Service,
        directory: Path,
        clock: Callable[[], datetime],
        backoff: Backoff,
        spools: SpoolWatcher,
        notify: Callable[[ServiceEvent], None],
        inhibitor: Inhibitor,
    ) -> None:
        """inhibitor: asked before a restart after a crash."""
        self._inhibitor = inhibitor
        self.service = service
        self.state = ServiceState(Activity.STOPPED)
        self.log_writer = LogWriter(service, directory, clock, spools)
        self._directory = directory
        self._clock = clock
        recovery = service.recovery
        self._crashes = CrashCounter(backoff, recovery.budget, recovery.window.total_seconds())
        self._notify = notify
        self._record = RunRecord()
        self._owner = ""
        self._main_process: MainProcess | None = None
        self._stopping = False
        self._restart_timer: asyncio.TimerHandle | None = None
        self._inhibited = False
        self._lock = asyncio.Lock()
        self._operations = BackgroundTasks(log, ManagerError)

    # Operations

    async def start(self) -> ServiceState:
        return await asyncio.shield(self._do(self._start()))

    async def stop(self) -> ServiceState:
        return await asyncio.shield(self._do(self._stop()))

    async def restart(self) -> ServiceState:
        return await asyncio.shield(self._do(self._restart()))

    def _do(self, operation: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self._operations.run(operation, self.service.name)

    async def _start(self) -> ServiceState:
        async with self._lock:
            if self._main_process is not None and not self._main_process.gone.is_set():
                return self.state
            await self._release_dead()
            self._reset_crashes()
            await self._launch(asked=True, restarts=0)
            return self.state

    async def _restart(self) -> ServiceState:
        async with self._lock:
            self._reset_crashes()
            if not self._record.wanted:
                await self._save(wanted=True, by_hand=False)
            await self._take_down()
            await self._launch(asked=True, restarts=0)
            return self.state

    async def _stop(self) -> ServiceState:
        async with self._lock:
            self._reset_crashes()
            await self._save(wanted=False, by_hand=True, gave_up=False)
            await self._take_down()
            await self._save(pid=0, starting=False, exit=self.state.exit)
            self.state = replace(self.state, activity=Activity.STOPPED, stopped_by_hand=True, started_at=None)
            self._emit(Happening.STOPPED, asked=True)
            return self.state

    # Start and end of a run

    async def _launch(self, *, asked: bool, restarts: int) -> None:
        """Start a new run. On ManagerError the state says so, too."""
        run = f"{self._owner}-{secrets.token_hex(6)}"
        self.state = replace(self.state, activity=Activity.STARTING, stopped_by_hand=False)
        # Recorded first: if opsbot dies right after the start, the next one finds the process by this id.
        await self._save(
            wanted=True,
            by_hand=False,
            gave_up=False,
            restarts=restarts,
            run=run,
            starting=True,
            pid=0,
            ticks=0,
            boot=boot_id(),
            started_at="",
            release="",
        )
        try:
            started = await asyncio.to_thread(child.start, self.service, run, self.log_writer.spool(run))
        except ManagerError as error:
            failed = message(ExitCode.START_FAILED, error=error.message)
            self.state = ServiceState(Activity.FAILED, restarts=restarts, exit=failed)
            await self._save(starting=False, exit=failed)
            raise
        now = self._clock()
        self._attend(started.process, started.pidfd, 0.0)
        self.state = ServiceState(
            Activity.RUNNING, started.process.pid, run, now, self._record.restarts, release=started.release
        )
        self._emit(Happening.STARTED, asked=asked)
        await self._save(
            starting=False,
            pid=started.process.pid,
            ticks=started.process.ticks,
            started_at=now.isoformat(),
            release="" if started.release is None else str(started.release),
        )
        await self.log_writer.begin(run)

    def _attend(self, process: Process, pidfd: int, age: float) -> None:
        loop = asyncio.get_running_loop()
        current = MainProcess(process, pidfd, loop.time() - age, asyncio.Event())
        self._main_process = current
        loop.add_reader(pidfd, self._ended, current)

    def _ended(self, current: MainProcess) -> None:
        """The main process is dead; the kernel says so at once."""
        asyncio.get_running_loop().remove_reader(current.pidfd)
        current.status = exit_status(current.pidfd)
        current.gone.set()
        if not self._stopping:
            self._do(self._died(current))

    async def _died(self, current: MainProcess) -> None:
        """Handle a death that nobody requested."""
        async with self._lock:
            if self._main_process is not current:
                return
            lived = asyncio.get_running_loop().time() - current.born
            end = await self._exit(current)
            self._close_main_process()
            gave_up = self._crashes.count(lived)
            self.state = replace(
                self.state,
                activity=Activity.FAILED if gave_up else Activity.RETRYING,
                pid=None,
                exit=end,
                started_at=None,
            )
            log.warning("%s died: %s", self.service.name, render(end))
            self._emit(Happening.DIED, asked=False)
            await self._end_children()
            await self._save(pid=0, exit=end, gave_up=gave_up)
            await self.log_writer.finish(f"died: {render(end)}")
            self._schedule_or_give_up(gave_up=gave_up)

    def _reset_crashes(self) -> None:
        self._crashes.forget()
        if self._restart_timer is not None:
            self._restart_timer.cancel()
            self._restart_timer = None

    def _schedule_or_give_up(self, *, gave_up: bool) -> None:
        if gave_up:
            log.error("%s %s; giving up", self.service.name, self._crashes.reason)
            self._emit(Happening.GAVE_UP, asked=False)
        else:
            self._schedule(self._crashes.delay)

    def _schedule(self, delay: float) -> None:
        self._restart_timer = asyncio.get_running_loop().call_later(delay, lambda: self._do(self._start_again()))

    async def _start_again(self) -> None:
        async with self._lock:
            if self._restart_timer is None:  # another operation replaced it
                return
            self._restart_timer = None
            if (why := await self._inhibitor(self.service.name)) is not None:
                level = logging.DEBUG if self._inhibited else logging.WARNING
                log.log(level, "%s: %s", self.service.name, render(why))
                self._inhibited = True
                self._schedule(_INHIBITED_SECONDS)
                return
            self._inhibited = False
            await self._relaunch()

    async def _relaunch(self) -> None:
        try:
            await self._launch(asked=False, restarts=self._record.restarts + 1)
        except ManagerError as error:
            log.warning("%s: %s", self.service.name, render(error.message))
            gave_up = self._crashes.count(0.0)
            await self._save(gave_up=gave_up)
            self.state = replace(self.state, activity=Activity.FAILED if gave_up else Activity.RETRYING)
            self._schedule_or_give_up(gave_up=gave_up)

    async def _take_down(self) -> None:
        """End the run and its processes. On ManagerError the state says so, too."""
        current = self._main_process
        main = current.process if current is not None else None
        if current is not None and not current.gone.is_set():
            self.state = replace(self.state, activity=Activity.STOPPING)
        self._stopping = True
        try:
            timeout = self.service.stop_timeout.total_seconds()
            await child.end(main, partial(child.relatives, self._owner), timeout)
            await self._release_dead()
        except ManagerError as error:
            failed = message(ExitCode.STOP_FAILED, error=error.message)
            self.state = replace(self.state, activity=Activity.FAILED, exit=failed)
            raise
        finally:
            self._stopping = False

    async def _release_dead(self) -> None:
        current = self._main_process
        if current is None:
            return
        await current.gone.wait()
        end = await self._exit(current)
        self._close_main_process()
        self.state = replace(self.state, pid=None, exit=end)
        await self.log_writer.finish(f"stopped: {render(end)}")

    async def _end_children(self) -> None:
        """End children of a dead main process, which would keep its port and files."""
        try:
            await child.end(None, partial(child.relatives, self._owner), _LEFT_BEHIND)
        except ManagerError as error:
            log.error("%s: %s", self.service.name, render(error.message))  # noqa: TRY400 - expected, no traceback needed

    async def _exit(self, current: MainProcess) -> Message:
        for wait in _STATUS_AFTER:
            if current.status is not None:
                break
            current.status = await asyncio.to_thread(zombie_status, current.process)
            if current.status is None:
                await asyncio.sleep(wait)
                current.status = exit_status(current.pidfd)
        return exits.of_status(current.status)

    def _close_main_process(self) -> None:
        if self._main_process is not None:
            asyncio.get_running_loop().remove_reader(self._main_process.pidfd)
            os.close(self._main_process.pidfd)
            self._main_process = None

    # Across restarts of opsbot

    async def find(self, runs: dict[str, list[Process]], *, resume: bool) -> None:
        """Take over from the previous opsbot: adopt the process, or start the service.

        runs: the living processes by run.

        Raises:
            ManagerError: the service's directory cannot be used.
        """
        async with self._lock:
            try:
                kept = await asyncio.to_thread(self._load)
            except OSError as error:
                raise unusable_directory(self._directory, error) from error
            ours = {run: found for run, found in runs.items() if run.startswith(self._owner)}
            self._record = kept or _record_from(ours)
            main = await asyncio.to_thread(self._main, ours)
            if main is not None:
                await self._adopt(main)
            else:
                await self.log_writer.finish("")
            await self._end_earlier_runs(main)
            if not self._record.wanted:
                await self._finish_stop()
            elif self._main_process is None:
                await self._lost(resume=resume)

    def _load(self) -> RunRecord | None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._owner = run_record.owner(self._directory)
        boot_id()  # read once, here in a thread
        self.log_writer.open()
        return run_record.load(self._directory)

    def _main(self, ours: dict[str, list[Process]]) -> Process | None:
        main = self._record.main()
        if main is None and self._record.starting:
            # Its start was recorded, but not its pid: it leads the session created for it.
            main = next((one for one in ours.get(self._record.run, []) if one.session == one.pid), None)
        return main

    async def _adopt(self, main: Process) -> None:
        pidfd = await asyncio.to_thread(open_pidfd, main)
        if pidfd is None:
            return
        record = self._record
        now = self._clock()
        began = record.began or now
        inherited = await asyncio.to_thread(variable, main.pid, "OPSBOT_RELEASE")
        release = record.release or inherited or ""
        await self._save(
            starting=False,
            pid=main.pid,
            ticks=main.ticks,
            boot=boot_id(),
            release=release,
            started_at=began.isoformat(),
        )
        self._attend(main, pidfd, max((now - began).total_seconds(), 0.0))
        self.state = ServiceState(
            Activity.RUNNING, main.pid, record.run, began, record.restarts, release=Path(release) if release else None
        )
        await self.log_writer.begin(record.run)
        await self.log_writer.remark(f"adopted, pid {main.pid}")
        log.info("%s: adopted its process %d", self.service.name, main.pid)

    async def _end_earlier_runs(self, main: Process | None) -> None:
        """End the processes of earlier runs, and of a run whose main process is dead."""
        keep = {self._record.run} if main is not None else set()
        ended = await child.end(None, partial(child.relatives, self._owner, but=keep), _LEFT_BEHIND)
        if ended:
            log.warning("%s: ended %d processes of earlier runs", self.service.name, ended)

    async def _finish_stop(self) -> None:
        record = self._record
        self.state = ServiceState(Activity.STOPPED, run=record.run or None, exit=record.exit)
        if self._main_process is not None:
            await self._take_down()
            await self._save(pid=0, exit=self.state.exit)
        self.state = replace(self.state, activity=Activity.STOPPED, stopped_by_hand=record.by_hand)

    async def _lost(self, *, resume: bool) -> None:
        record = self._record
        self.state = ServiceState(Activity.FAILED, None, record.run or None, None, record.restarts, record.exit)
        if record.pid or record.starting:
            why = message(ExitCode.HOST_RESTARTED if record.other_boot else ExitCode.UNSEEN)
            activity = Activity.RETRYING if resume else Activity.FAILED
            self.state = replace(self.state, activity=activity, exit=why)
            await self._save(pid=0, starting=False, exit=why)
            await self.log_writer.finish(render(why))
            log.warning("%s: %s", self.service.name, render(why))
            self._emit(Happening.DIED, asked=False)
        if resume and (not record.gave_up or record.other_boot):
            await self._save(gave_up=False)
            if await self._inhibitor(self.service.name):
                self.state = replace(self.state, activity=Activity.RETRYING)
                self._schedule(_INHIBITED_SECONDS)
            else:
                await self._relaunch()

    async def leave(self) -> None:
        """Stop watching; the service keeps running. Operations get a moment to finish.

        A stop may take as long as the stop timeout: the next opsbot finds it in the record and finishes it.
        """
        self._reset_crashes()
        if self._operations.tasks:
            _, unfinished = await asyncio.wait(self._operations.tasks, timeout=_LEAVE_SECONDS)
            for operation in unfinished:
                log.warning("%s: start or stop not finished when opsbot ends", self.service.name)
                operation.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
            self._reset_crashes()
        self._close_main_process()
        await self.log_writer.close()

    # Record and events

    async def _save(self, **changes: Any) -> None:
        """Save the record. A full or broken disk must not prevent restarts."""
        before, self._record = self._record, replace(self._record, **changes)
        lasting = (before.wanted, before.by_hand) != (self._record.wanted, self._record.by_hand)
        try:
            await asyncio.to_thread(run_record.save, self._directory, self._record, lasting=lasting)
        except OSError as error:
            log.error(  # noqa: TRY400 - expected, no traceback needed
                "%s: its record cannot be written to %s: %s", self.service.name, self._directory, error.strerror
            )

    def _emit(self, what: Happening, *, asked: bool) -> None:
        self._notify(ServiceEvent(self.service.name, what, self._clock(), self.state, asked))


def unusable_directory(directory: Path, error: OSError) -> ManagerError:
    reason = error.strerror or str(error)
    return ManagerError(message(ManagerCode.DIRECTORY_UNUSABLE, directory=str(directory), reason=reason))


def _record_from(ours: dict[str, list[Process]]) -> RunRecord:
    """Rebuild a lost record from the processes: the newest run is the wanted one."""
    leaders = [(one.ticks, run) for run, found in ours.items() for one in found if one.session == one.pid]
    if not leaders:
        return RunRecord()
    return RunRecord(wanted=True, run=max(leaders)[1], starting=True, boot=boot_id())
