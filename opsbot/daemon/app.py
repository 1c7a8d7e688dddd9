"""The daemon: engine, loops, control socket, HTTP and the bot in one scope; the order in which they start and stop.

    locks → engine (store, managers, unfinished deployments settled, services running) → loops → control socket → HTTP
         → READY=1 → the bot, which waits for Discord by itself

Stopping goes the other way and leaves the services running. What could not be told stays in the outbox. A reload stops
all but the state's lock and starts it by the new configuration (`opsbot.daemon.reload`).
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
from opsbot.daemon.crash_loop import look as look_at_returns
from opsbot.daemon.crash_loop import tell_cut_short
from opsbot.daemon.dbus_monitor import EVERY, DbusMonitor
from opsbot.daemon.dead_mans_switch import DeadMansSwitch, deaf, unheard_words
from opsbot.daemon.periodic_jobs import jobs
from opsbot.daemon.reload import InForce, Reloader
from opsbot.daemon.systemd_status import SystemdStatus
from opsbot.daemon.unit_warnings import forget, units_of, warn_of_traps
from opsbot.daemon.watchdog import Watchdog
from opsbot.daemon.wiring import Parts, now, open_engine
from opsbot.engine import Engine
from opsbot.host.processes import ServiceMeter
from opsbot.redaction import RedactingFilter, Redactor
from opsbot.runtime.error_counter import ErrorCounter
from opsbot.runtime.instance_lock import AlreadyRunningError, InstanceLock, hold_folders
from opsbot.runtime.memory import give_back, limit_arenas, settle_collector
from opsbot.runtime.scheduler import Scheduler
from opsbot.runtime.sd_notify import READY, STOPPING, notify, watchdog_seconds
from opsbot.runtime.signals import ReloadRequests
from opsbot.services.port import ManagerError
from opsbot.store import StoreError, deliveries
from opsbot.web.facts import Beats
from opsbot.web.hooks import Hooks
from opsbot.web.live import LiveSources
from opsbot.web.server import start_web

log = logging.getLogger(__name__)

STOP_SECONDS = 8.0
"""What systemd gives a stop is more; whatever is not over by then is cancelled."""


async def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; the exit code. SIGHUP reloads the configuration.

    0 stopped in order, 1 it could not start, 2 the configuration asks for what it cannot do.
    """
    limit_arenas()
    # The watchdog ends what hangs with SIGABRT: where each thread stood is then in the log.
    faulthandler.enable()
    try:
        redact = Redactor([config.discord.token.read()])
        for handler in logging.getLogger().handlers:
            handler.addFilter(RedactingFilter(redact))
        lock = InstanceLock(config.state.directory)
        await asyncio.to_thread(lock.take)
        with ExitStack() as held:
            held.push(lock)
            await _serve(config, redact, lock)
    except AlreadyRunningError as error:
        log.error("%s", error)  # noqa: TRY400 - a sentence for people; a traceback would hide it
        return 1
    except SecretMissingError as error:
        log.error("%s: %s", config.path, error)  # noqa: TRY400 - likewise
        return 2
    except (StoreError, ControlError, ManagerError, OSError) as error:
        log.error("opsbot cannot start: %s", error)  # noqa: TRY400 - likewise
        return 1
    return 0


@dataclass(frozen=True, slots=True)
class _House:
    """What one configuration leaves to the next."""

    redact: Redactor
    status: SystemdStatus
    watchdog: Watchdog
    reload_requests: ReloadRequests
    started: datetime
    beats: Beats = field(default_factory=Beats)
    meter: ServiceMeter = field(default_factory=ServiceMeter)
    faults: ErrorCounter = field(default_factory=ErrorCounter)


def _stopping() -> None:
    log.info("stopping; the services go on running")
    notify(STOPPING)


async def _serve(config: Config, redact: Redactor, lock: InstanceLock) -> None:
    reload_requests = ReloadRequests(_stopping)
    reload_requests.listen()
    status = SystemdStatus(now)
    watchdog = Watchdog(watchdog_seconds(), status.not_well, zombie=lambda: status.gateway().unanswered)
    house = _House(redact, status, watchdog, reload_requests, now())
    open_ = partial(_open, house)
    async with AsyncExitStack() as stack:
        stack.callback(status.close)
        logging.getLogger().addHandler(house.faults)
        stack.callback(logging.getLogger().removeHandler, house.faults)
        # MonitoredService to the very end: a stop that hangs is ended, too.
        _begin(stack, house.watchdog.run(), "vigil")
        first = await open_(config)
        daemon: InForce | None = first
        try:
            if lock.cut_short is not None:
                await tell_cut_short(first.engine, lock.cut_short)
            lock.told()
            notify(READY)
            log.info("opsbot watches %s", ", ".join(config.services))
            reloader = Reloader(
                reload_requests, open_, redact, partial(status.note, "configuration"), house.watchdog.between
            )
            while daemon is not None and await reload_requests.until_reload():
                daemon = await reloader.reload(daemon)
        finally:
            house.watchdog.between()
            if daemon is not None:
                await daemon.close()


async def _open(house: _House, config: Config) -> InForce:
    """Bring a configuration into force."""
    async with AsyncExitStack() as stack:
        token = await asyncio.to_thread(config.discord.token.read)
        house.redact.learn([token])
        stack.callback((await asyncio.to_thread(hold_folders, _release_folders(config))).close)
        parts = await stack.enter_async_context(open_engine(config, redact=house.redact, meter=house.meter))
        if units_of(config):
            _begin(stack, _warned(parts.engine), "unit files")
        loops = _open_loops(house, parts, stack)
        await _open_doors(house, parts, loops, stack)
        if config.heartbeat is not None:
            trouble = partial(_trouble, house, parts.engine)
            heartbeat = DeadMansSwitch(config.heartbeat, house.beats, trouble, parts.engine.clock, house.redact)
            _begin(stack, heartbeat.run(), "heartbeat")
        if parts.notifiers is not None:
            _begin(stack, parts.notifiers.run(), "notifiers")
        _begin(stack, house.status.follow(parts.engine), "status line")
        _begin(stack, run_bot(parts.engine, config, token, on_state=house.status.discord), "bot")
        house.watchdog.over(loops, parts.engine.store)
        settle_collector()
        give_back()
        return InForce(config, parts.engine, parts.deployer, token, stack.pop_all())


def _open_loops(house: _House, parts: Parts, stack: AsyncExitStack) -> Scheduler:
    loops = jobs(parts)
    if parts.connected is not None:
        watch = DbusMonitor(parts.engine, parts.connected, partial(house.status.note, "bus"))
        loops.every("bus", EVERY, watch.look)
    loops.every("returns", RETURNS, partial(look_at_returns, parts.engine))
    loops.open()
    stack.callback(loops.close)
    return loops


async def _open_doors(house: _House, parts: Parts, loops: Scheduler, stack: AsyncExitStack) -> None:
    """The control socket, and HTTP."""
    engine, status = parts.engine, house.status
    control = await start_control(
        engine,
        engine.config.state.socket,
        engine.clock,
        gateway=status.for_dashboard,
        reload_requests=house.reload_requests,
    )
    stack.push_async_callback(control.close)
    sources = LiveSources(engine, parts.poller, loops, status.for_web, house.started, house.beats, house.faults.counted)
    hooks = Hooks(engine.config.services, engine.store, parts.poller.wake, engine.clock)
    web = await start_web(engine.config.http, sources, hooks)
    stack.push_async_callback(web.close)


def _begin(stack: AsyncExitStack, work: Coroutine[None, None, None], name: str) -> None:
    """Have it go on beside the rest, and end when the stack does."""
    stack.push_async_callback(_end, asyncio.create_task(work, name=name))


def _release_folders(config: Config) -> dict[str, Path]:
    """Where releases are made; a checkout that is updated in place is git's own to lock."""
    return {
        f"services.{service.name}.source.directory": service.source.directory
        for service in config.services.values()
        if service.source is not None and service.source.strategy is Strategy.RELEASES
    }


async def _trouble(house: _House, engine: Engine) -> list[str]:
    """Why the dead-man's switch should not hear that all is well."""
    reasons, now = house.watchdog.reasons(), engine.clock()
    if not reasons:  # else the store may be what does not answer
        try:
            unheard = await engine.store.read(deliveries.unheard, now, house.started)
            reasons = [unheard_words(unheard, now)]
        except StoreError as error:
            reasons = [f"the database cannot be asked: {error}"]
    return [reason for reason in (*reasons, deaf(house.status.gateway(), now)) if reason]


async def _warned(engine: Engine) -> None:
    try:
        await warn_of_traps(engine)
        forget()
        give_back()
    except Exception:
        # The edge of a task nobody waits for: a unit file nobody thought of must not end opsbot.
        log.exception("the units' files could not be looked at")


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await task
