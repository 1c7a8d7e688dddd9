"""The daemon: start engine, periodic jobs, control socket, HTTP and bot in order.

    locks → engine (store, managers, interrupted deployments, services) → periodic jobs → control socket → HTTP
          → READY=1 → the bot, which waits for Discord by itself

Shutdown runs in reverse and leaves the services running. Unsent messages stay in the outbox. A reload stops everything
but the lock on the state directory and starts it with the new configuration (`opsbot.daemon.reload`).
"""

import asyncio
import faulthandler
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from opsbot.bot.run import run_bot
from opsbot.config import Config, SecretMissingError, Strategy
from opsbot.control.server import ControlError, start_control
from opsbot.daemon.crash_loop import EVERY as RETURNS
from opsbot.daemon.crash_loop import announce_unclean_exit, resolve_when_stable
from opsbot.daemon.dbus_monitor import EVERY, DbusMonitor
from opsbot.daemon.dead_mans_switch import DeadMansSwitch, undelivered_reason, unreachable_reason
from opsbot.daemon.periodic_jobs import jobs
from opsbot.daemon.reload import ActiveConfig, Reloader
from opsbot.daemon.systemd_status import SystemdStatus
from opsbot.daemon.unit_warnings import forget, units_of, warn_of_findings
from opsbot.daemon.watchdog import Watchdog
from opsbot.daemon.wiring import Parts, open_engine
from opsbot.engine import Engine
from opsbot.host.processes import ServiceMeter
from opsbot.redaction import RedactingFilter, Redactor
from opsbot.runtime.error_counter import ErrorCounter
from opsbot.runtime.instance_lock import AlreadyRunningError, InstanceLock, lock_folders
from opsbot.runtime.memory import give_back, limit_arenas, settle_collector
from opsbot.runtime.scheduler import Scheduler
from opsbot.runtime.sd_notify import READY, STOPPING, notify, watchdog_seconds
from opsbot.runtime.signals import ReloadRequests
from opsbot.runtime.ticks import utc_now
from opsbot.services.port import ManagerError
from opsbot.store import StoreError, deliveries
from opsbot.web.facts import HeartbeatStatus
from opsbot.web.hooks import Hooks
from opsbot.web.live import LiveSources
from opsbot.web.server import start_web

log = logging.getLogger(__name__)

STOP_SECONDS = 8.0
"""Below systemd's stop timeout; tasks still running after it are cancelled."""


async def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT: 0 stopped, 1 cannot start, 2 a secret is missing."""
    limit_arenas()
    # The watchdog kills a hanging process by SIGABRT; this logs the stack of each thread.
    faulthandler.enable()
    try:
        redact = Redactor([config.discord.token.read()])
        for handler in logging.getLogger().handlers:
            handler.addFilter(RedactingFilter(redact))
        lock = InstanceLock(config.state.directory)
        await asyncio.to_thread(lock.take)
        with ExitStack() as locks:
            locks.push(lock)
            await _serve(config, redact, lock)
    except AlreadyRunningError as error:
        log.error("%s", error)  # noqa: TRY400 - a message for people; a traceback would hide it
        return 1
    except SecretMissingError as error:
        log.error("%s: %s", config.path, error)  # noqa: TRY400 - see above
        return 2
    except (StoreError, ControlError, ManagerError, OSError) as error:
        log.error("opsbot cannot start: %s", error)  # noqa: TRY400 - see above
        return 1
    return 0


@dataclass(frozen=True, slots=True)
class _Shared:
    """Parts that outlive a reload."""

    redact: Redactor
    status: SystemdStatus
    watchdog: Watchdog
    reload_requests: ReloadRequests
    started: datetime
    beats: HeartbeatStatus = field(default_factory=HeartbeatStatus)
    meter: ServiceMeter = field(default_factory=ServiceMeter)
    faults: ErrorCounter = field(default_factory=ErrorCounter)


def _stopping() -> None:
    log.info("stopping; services keep running")
    notify(STOPPING)


async def _serve(config: Config, redact: Redactor, lock: InstanceLock) -> None:
    reload_requests = ReloadRequests(_stopping)
    reload_requests.listen()
    status = SystemdStatus(utc_now)
    watchdog = Watchdog(watchdog_seconds(), status.unhealthy, zombie=lambda: status.gateway().unanswered)
    shared = _Shared(redact, status, watchdog, reload_requests, utc_now())
    open_ = partial(_open, shared)
    async with AsyncExitStack() as stack:
        stack.callback(status.close)
        logging.getLogger().addHandler(shared.faults)
        stack.callback(logging.getLogger().removeHandler, shared.faults)
        # Runs to the very end, so that it also ends a stop that hangs.
        _begin(stack, shared.watchdog.run(), "watchdog")
        first = await open_(config)
        daemon: ActiveConfig | None = first
        try:
            if lock.unclean_exit is not None:
                await announce_unclean_exit(first.engine, lock.unclean_exit)
            lock.forget_previous()
            notify(READY)
            log.info("opsbot watches %s", ", ".join(config.services))
            reloader = Reloader(
                reload_requests, open_, redact, partial(status.note, "configuration"), shared.watchdog.suspend
            )
            while daemon is not None and await reload_requests.until_reload():
                daemon = await reloader.reload(daemon)
        finally:
            shared.watchdog.suspend()
            if daemon is not None:
                await daemon.close()


async def _open(shared: _Shared, config: Config) -> ActiveConfig:
    async with AsyncExitStack() as stack:
        token = await asyncio.to_thread(config.discord.token.read)
        shared.redact.learn([token])
        stack.callback((await asyncio.to_thread(lock_folders, _release_folders(config))).close)
        parts = await stack.enter_async_context(open_engine(config, redact=shared.redact, meter=shared.meter))
        if units_of(config):
            _begin(stack, _warned(parts.engine), "unit files")
        loops = _open_loops(shared, parts, stack)
        await _open_endpoints(shared, parts, loops, stack)
        if config.heartbeat is not None:
            problems = partial(_problems, shared, parts.engine)
            heartbeat = DeadMansSwitch(config.heartbeat, shared.beats, problems, parts.engine.clock, shared.redact)
            _begin(stack, heartbeat.run(), "heartbeat")
        if parts.notifiers is not None:
            _begin(stack, parts.notifiers.run(), "notifiers")
        _begin(stack, shared.status.follow(parts.engine), "status line")
        _begin(stack, run_bot(parts.engine, config, token, on_state=shared.status.discord), "bot")
        shared.watchdog.watch(loops, parts.engine.store)
        settle_collector()
        give_back()
        return ActiveConfig(config, parts.engine, parts.deployer, token, stack.pop_all())


def _open_loops(shared: _Shared, parts: Parts, stack: AsyncExitStack) -> Scheduler:
    loops = jobs(parts)
    if parts.connected is not None:
        monitor = DbusMonitor(parts.engine, parts.connected, partial(shared.status.note, "bus"))
        loops.every("bus", EVERY, monitor.check)
    loops.every("returns", RETURNS, partial(resolve_when_stable, parts.engine))
    loops.open()
    stack.callback(loops.close)
    return loops


async def _open_endpoints(shared: _Shared, parts: Parts, loops: Scheduler, stack: AsyncExitStack) -> None:
    engine, status = parts.engine, shared.status
    control = await start_control(
        engine,
        engine.config.state.socket,
        engine.clock,
        gateway=status.gateway,
        reload_requests=shared.reload_requests,
    )
    stack.push_async_callback(control.close)
    sources = LiveSources(
        engine, parts.poller, loops, status.for_web, shared.started, shared.beats, shared.faults.counted
    )
    hooks = Hooks(engine.config.services, engine.store, parts.poller.wake, engine.clock)
    web = await start_web(engine.config.http, sources, hooks)
    stack.push_async_callback(web.close)


def _begin(stack: AsyncExitStack, work: Coroutine[None, None, None], name: str) -> None:
    stack.push_async_callback(_end, asyncio.create_task(work, name=name))


def _release_folders(config: Config) -> dict[str, Path]:
    """Return the folders of releases to lock; in-place checkouts have git's own lock."""
    return {
        f"services.{service.name}.source.directory": service.source.directory
        for service in config.services.values()
        if service.source is not None and service.source.strategy is Strategy.RELEASES
    }


async def _problems(shared: _Shared, engine: Engine) -> list[str]:
    """Return the reasons to report failure to the dead-man's switch."""
    reasons, now = shared.watchdog.reasons(), engine.clock()
    if not reasons:  # otherwise the store might not answer
        try:
            unheard = await engine.store.read(deliveries.undelivered, now, shared.started)
            reasons = [undelivered_reason(unheard, now)]
        except StoreError as error:
            reasons = [f"the database cannot be read: {error}"]
    return [reason for reason in (*reasons, unreachable_reason(shared.status.gateway(), now)) if reason]


async def _warned(engine: Engine) -> None:
    try:
        await warn_of_findings(engine)
        forget()
        give_back()
    except Exception:
        # Boundary of a background task: an unusual unit file must not end opsbot.
        log.exception("checking the unit files failed")


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await task
