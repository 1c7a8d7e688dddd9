"""Keeper: keeps one service running as opsbot's own child, from its record to its restarts."""

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from opsbot.config import Service
from opsbot.host.proc_stat import variable
from opsbot.runtime.tasks import BackgroundTasks
from opsbot.services import child, run_record
from opsbot.services.patience import Falls, Patience
from opsbot.services.port import Activity, Happening, ManagerError, ServiceEvent, ServiceState
from opsbot.services.processes import Process, boot_id, exit_status, exit_words, open_pidfd, zombie_status
from opsbot.services.run_record import RunRecord
from opsbot.services.spool_watch import SpoolWatch
from opsbot.services.transcript import Transcript

log = logging.getLogger(__name__)
T = TypeVar("T")

_TOLD_AFTER = (0.0, 0.01, 0.05)
"""Seconds between looks at how an adopted process ended: its new parent has to reap it first."""
_LEAVE_SECONDS = 3.0
"""For what is being done to a service when opsbot ends; less than 10 s, with the grace that a deployment gets."""
_HELD_SECONDS = 2.0
"""Between two looks whether a service that may not be started yet may be."""
Held = Callable[[str], Awaitable[str | None]]
"""Why a service may not be started again yet, in words; None where it may."""
_LEFT_BEHIND = 2.0
"""Seconds that what a dead main process left behind has to go by itself."""


@dataclass(slots=True)
class Living:
    """The main process of the run, while it lives and until its death has been dealt with."""

    process: Process
    pidfd: int
    born: float
    """On the event loop's clock."""
    gone: asyncio.Event
    status: int | None = None


class Keeper:
    """One service. Whatever is done to it is done one at a time, and finished even if who asked goes away."""

    def __init__(
        self,
        service: Service,
        directory: Path,
        clock: Callable[[], datetime],
        patience: Patience,
        spools: SpoolWatch,
        tell: Callable[[ServiceEvent], None],
        held: Held,
    ) -> None:
        """`directory` is the service's own, made by `find`. held: asked before it is started again by itself."""
        self._held = held
        self.service = service
        self.state = ServiceState(Activity.STOPPED)
        self.transcript = Transcript(service, directory, clock, spools)
        self._directory = directory
        self._clock = clock
        ladder = service.recovery
        self._falls = Falls(patience, ladder.budget, ladder.window.total_seconds())
        self._tell = tell
        self._record = RunRecord()
        self._owner = ""
        self._living: Living | None = None
        self._stopping = False
        self._again: asyncio.TimerHandle | None = None
        self._waits = False
        self._lock = asyncio.Lock()
        self._deeds = BackgroundTasks(log, ManagerError)

    # What is asked of it

    async def start(self) -> ServiceState:
        """Start it, if it does not run."""
        return await self._finish(self._start())

    async def stop(self) -> ServiceState:
        """Stop it on purpose."""
        return await self._finish(self._stop())

    async def restart(self) -> ServiceState:
        """Stop it and start it."""
        return await self._finish(self._restart())

    async def _finish(self, deed: Coroutine[Any, Any, T]) -> T:
        return await asyncio.shield(self._do(deed))

    def _do(self, deed: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self._deeds.run(deed, self.service.name)

    async def _start(self) -> ServiceState:
        async with self._lock:
            if self._living is not None and not self._living.gone.is_set():
                return self.state
            await self._put_away()
            self._forgive()
            await self._launch(asked=True, restarts=0)
            return self.state

    async def _restart(self) -> ServiceState:
        async with self._lock:
            self._forgive()
            if not self._record.wanted:
                await self._save(wanted=True, by_hand=False)
            await self._take_down()
            await self._launch(asked=True, restarts=0)
            return self.state

    async def _stop(self) -> ServiceState:
        async with self._lock:
            self._forgive()
            await self._save(wanted=False, by_hand=True, gave_up=False)
            await self._take_down()
            await self._save(pid=0, starting=False, exit=self.state.exit)
            self.state = replace(self.state, activity=Activity.STOPPED, stopped_by_hand=True, started_at=None)
            self._emit(Happening.STOPPED, asked=True)
            return self.state

    # A run's beginning and end

    async def _launch(self, *, asked: bool, restarts: int) -> None:
        """Begin a new run.

        Raises:
            ManagerError: it cannot be started; the state says so too.
        """
        run = f"{self._owner}-{secrets.token_hex(6)}"
        self.state = replace(self.state, activity=Activity.STARTING, stopped_by_hand=False)
        # Written down first: an opsbot that dies right after the start finds the process by this id.
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
            started = await asyncio.to_thread(child.start, self.service, run, self.transcript.spool(run))
        except ManagerError as error:
            self.state = ServiceState(Activity.FAILED, restarts=restarts, exit=str(error))
            await self._save(starting=False, exit=str(error))
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
        await self.transcript.begin(run)

    def _attend(self, process: Process, pidfd: int, age: float) -> None:
        loop = asyncio.get_running_loop()
        living = Living(process, pidfd, loop.time() - age, asyncio.Event())
        self._living = living
        loop.add_reader(pidfd, self._ended, living)

    def _ended(self, living: Living) -> None:
        """The main process is dead: the kernel says so the moment it happens."""
        asyncio.get_running_loop().remove_reader(living.pidfd)
        living.status = exit_status(living.pidfd)
        living.gone.set()
        if not self._stopping:
            self._do(self._died(living))

    async def _died(self, living: Living) -> None:
        """It died without being asked to."""
        async with self._lock:
            if self._living is not living:
                return
            lived = asyncio.get_running_loop().time() - living.born
            exit_text = await self._how(living)
            self._close_living()
            gave_up = self._falls.count(lived)
            self.state = replace(
                self.state,
                activity=Activity.FAILED if gave_up else Activity.RETRYING,
                pid=None,
                exit=exit_text,
                started_at=None,
            )
            log.warning("%s died: %s", self.service.name, exit_text)
            self._emit(Happening.DIED, asked=False)
            await self._clear_away(_LEFT_BEHIND)
            await self._save(pid=0, exit=exit_text, gave_up=gave_up)
            await self.transcript.finish(f"died: {exit_text}")
            if gave_up:
                self._give_up()
            else:
                self._schedule()

    def _forgive(self) -> None:
        self._falls.forget()
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _give_up(self) -> None:
        log.error("%s %s and is left alone", self.service.name, self._falls.told)
        self._emit(Happening.GAVE_UP, asked=False)

    def _schedule(self, delay: float | None = None) -> None:
        wait = self._falls.delay if delay is None else delay
        self._again = asyncio.get_running_loop().call_later(wait, lambda: self._do(self._start_again()))

    async def _start_again(self) -> None:
        async with self._lock:
            if self._again is None:  # somebody asked for something meanwhile
                return
            self._again = None
            if words := await self._held(self.service.name):
                log.log(logging.DEBUG if self._waits else logging.WARNING, "%s: %s", self.service.name, words)
                self._waits = True
                self._schedule(_HELD_SECONDS)
                return
            self._waits = False
            await self._relaunch()

    async def _relaunch(self) -> None:
        try:
            await self._launch(asked=False, restarts=self._record.restarts + 1)
        except ManagerError as error:
            log.warning("%s: %s", self.service.name, error)
            gave_up = self._falls.count(0.0)
            await self._save(gave_up=gave_up)
            self.state = replace(self.state, activity=Activity.FAILED if gave_up else Activity.RETRYING)
            if gave_up:
                self._give_up()
            else:
                self._schedule()

    async def _take_down(self) -> None:
        """End the run, if there is one, and all that came of it.

        Raises:
            ManagerError: a process outlives SIGKILL; the state says so too.
        """
        living = self._living
        main = living.process if living is not None else None
        if living is not None and not living.gone.is_set():
            self.state = replace(self.state, activity=Activity.STOPPING)
        self._stopping = True
        try:
            family = await asyncio.to_thread(child.relatives, self._owner, main)
            await asyncio.to_thread(child.terminate, main, family)
            patience = self.service.stop_timeout.total_seconds()
            await child.clear(family, lambda: child.relatives(self._owner, None), patience)
            await self._put_away()
        except ManagerError as error:
            self.state = replace(self.state, activity=Activity.FAILED, exit=str(error))
            raise
        finally:
            self._stopping = False

    async def _put_away(self) -> None:
        """Let go of a main process that is dead."""
        living = self._living
        if living is None:
            return
        await living.gone.wait()
        exit_text = await self._how(living)
        self._close_living()
        self.state = replace(self.state, pid=None, exit=exit_text)
        await self.transcript.finish(f"stopped: {exit_text}")

    async def _clear_away(self, patience: float) -> None:
        """What a dead main process left behind would hold its port and its files: end it."""
        try:
            left = await asyncio.to_thread(child.relatives, self._owner, None)
            if left:
                await asyncio.to_thread(child.terminate, None, left)
                await child.clear(left, lambda: child.relatives(self._owner, None), patience)
        except ManagerError as error:
            log.error("%s: %s", self.service.name, error)  # noqa: TRY400 - expected, the text says it all

    async def _how(self, living: Living) -> str:
        for wait in _TOLD_AFTER:
            if living.status is not None:
                break
            living.status = await asyncio.to_thread(zombie_status, living.process)
            if living.status is None:
                await asyncio.sleep(wait)
                living.status = exit_status(living.pidfd)
        return exit_words(living.status)

    def _close_living(self) -> None:
        if self._living is not None:
            asyncio.get_running_loop().remove_reader(self._living.pidfd)
            os.close(self._living.pidfd)
            self._living = None

    # Across opsbot's own restarts

    async def find(self, runs: dict[str, list[Process]], *, resume: bool) -> None:
        """Take over what an earlier opsbot left: adopt its process, or say that it died, and start it if it is to run.

        runs: the living processes by the run they belong to.

        Raises:
            ManagerError: the service's folder cannot be used.
        """
        async with self._lock:
            try:
                kept = await asyncio.to_thread(self._load)
            except OSError as error:
                raise ManagerError(f"{self._directory} cannot be used: {error.strerror}") from error
            ours = {run: found for run, found in runs.items() if run.startswith(self._owner)}
            self._record = kept or _record_from(ours)
            main = await asyncio.to_thread(self._main, ours)
            if main is not None:
                await self._adopt(main)
            else:
                await self.transcript.finish("")
            await self._weed(main)
            if not self._record.wanted:
                await self._finish_stop()
            elif self._living is None:
                await self._lost(resume=resume)

    def _load(self) -> RunRecord | None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._owner = run_record.owner(self._directory)
        boot_id()  # read once, here in a thread
        self.transcript.open()
        return run_record.load(self._directory)

    def _main(self, ours: dict[str, list[Process]]) -> Process | None:
        main = self._record.main()
        if main is None and self._record.starting:
            # Its start was written down, its pid no more: it leads the session made for it.
            main = next((one for one in ours.get(self._record.run, []) if one.session == one.pid), None)
        return main

    async def _adopt(self, main: Process) -> None:
        pidfd = await asyncio.to_thread(open_pidfd, main)
        if pidfd is None:
            return
        record = self._record
        now = self._clock()
        began = record.began or now
        told = await asyncio.to_thread(variable, main.pid, "OPSBOT_RELEASE")
        release = record.release or told or ""
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
        await self.transcript.begin(record.run)
        await self.transcript.remark(f"adopted, pid {main.pid}")
        log.info("%s: adopted its process %d", self.service.name, main.pid)

    async def _weed(self, main: Process | None) -> None:
        """End what belongs to earlier runs, or to a run whose main process is dead."""
        keep = {self._record.run} if main is not None else set()
        look = _others(self._owner, keep)
        left = await asyncio.to_thread(look)
        if not left:
            return
        log.warning("%s: %d processes of earlier runs are ended", self.service.name, len(left))
        await asyncio.to_thread(child.terminate, None, left)
        await child.clear(left, look, _LEFT_BEHIND)

    async def _finish_stop(self) -> None:
        record = self._record
        self.state = ServiceState(Activity.STOPPED, run=record.run or None, exit=record.exit)
        if self._living is not None:
            await self._take_down()
            await self._save(pid=0, exit=self.state.exit)
        self.state = replace(self.state, activity=Activity.STOPPED, stopped_by_hand=record.by_hand)

    async def _lost(self, *, resume: bool) -> None:
        """It is to run and does not."""
        record = self._record
        self.state = ServiceState(Activity.FAILED, None, record.run or None, None, record.restarts, record.exit)
        if record.pid or record.starting:
            why = "the host was restarted" if record.other_boot else "nobody saw how: opsbot was not running"
            activity = Activity.RETRYING if resume else Activity.FAILED
            self.state = replace(self.state, activity=activity, exit=why)
            await self._save(pid=0, starting=False, exit=why)
            await self.transcript.finish(why)
            log.warning("%s: %s", self.service.name, why)
            self._emit(Happening.DIED, asked=False)
        if resume and (not record.gave_up or record.other_boot):
            await self._save(gave_up=False)
            if await self._held(self.service.name):
                self.state = replace(self.state, activity=Activity.RETRYING)
                self._schedule(_HELD_SECONDS)
            else:
                await self._relaunch()

    async def leave(self) -> None:
        """Watch it no more; it goes on running. What is being done to it gets a moment to be finished.

        A stop may take as long as its stop timeout: it is left to the next opsbot, which finds it in the record, as it
        would after a crash of this one.
        """
        self._forgive()
        if self._deeds.tasks:
            _, unfinished = await asyncio.wait(self._deeds.tasks, timeout=_LEAVE_SECONDS)
            for deed in unfinished:
                log.warning("%s: left in the midst of a start or a stop", self.service.name)
                deed.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
            self._forgive()
        self._close_living()
        await self.transcript.close()

    # Its record, and who is told

    async def _save(self, **changes: Any) -> None:
        """Keep the record. A disk that cannot take it must not keep a service from being started again."""
        before, self._record = self._record, replace(self._record, **changes)
        lasting = (before.wanted, before.by_hand) != (self._record.wanted, self._record.by_hand)
        try:
            await asyncio.to_thread(run_record.save, self._directory, self._record, lasting=lasting)
        except OSError as error:
            log.error(  # noqa: TRY400 - the text says it all
                "%s: its record cannot be written to %s: %s", self.service.name, self._directory, error.strerror
            )

    def _emit(self, what: Happening, *, asked: bool) -> None:
        self._tell(ServiceEvent(self.service.name, what, self._clock(), self.state, asked))


def _others(owner: str, keep: set[str]) -> Callable[[], set[Process]]:
    def look() -> set[Process]:
        return child.relatives(owner, None, keep)

    return look


def _record_from(ours: dict[str, list[Process]]) -> RunRecord:
    """The record is lost, its processes are not: the newest run is held to be the one that was wanted."""
    leaders = [(one.ticks, run) for run, found in ours.items() for one in found if one.session == one.pid]
    if not leaders:
        return RunRecord()
    return RunRecord(wanted=True, run=max(leaders)[1], starting=True, boot=boot_id())
