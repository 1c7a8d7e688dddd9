"""The daemon: engine, loops, control socket, HTTP and the bot in one scope; the order in which they start and stop.

    lock → engine (store, managers, unfinished deployments settled, services running) → loops → control socket → HTTP
         → READY=1 → the bot, which waits for Discord by itself

Stopping goes the other way and leaves the services running. What could not be told stays in the outbox.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from functools import partial

from opsbot.bot import GatewayState, Link, run_bot
from opsbot.config import Config, SecretMissingError
from opsbot.control.server import ControlError, start_control
from opsbot.control.snapshot import Gateway
from opsbot.engine import Engine
from opsbot.footprint import limit_arenas, settle_collector
from opsbot.instance import AlreadyRunningError, InstanceLock
from opsbot.loops import Loops
from opsbot.redaction import RedactingFilter, Redactor
from opsbot.sdnotify import notify
from opsbot.services.port import ManagerError
from opsbot.store import StoreError, audit, ledger, outbox, watchbook
from opsbot.sweep import Sweeper
from opsbot.unit_warnings import units_of, warn_of_traps
from opsbot.web.hooks import Hooks
from opsbot.web.live import LiveSources
from opsbot.web.server import start_web
from opsbot.wiring import Parts, open_engine

log = logging.getLogger(__name__)

TICK = timedelta(seconds=1)
PAGING = timedelta(seconds=5)
PRUNE = timedelta(hours=6)
JITTER = timedelta(seconds=10)
SWEEP_LIMIT = timedelta(minutes=10)
STOP_SECONDS = 8.0
"""What systemd gives a stop is more; whatever is not over by then is cancelled."""
HANGUP = (
    "SIGHUP changes nothing: the configuration is read at the start. Restart opsbot to read it anew; "
    "the services go on running meanwhile"
)


async def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; the exit code.

    0 stopped in order, 1 it could not start, 2 the configuration asks for what it cannot do.
    """
    limit_arenas()
    try:
        token = config.discord.token.read()
        redact = Redactor([token])
        for handler in logging.getLogger().handlers:
            handler.addFilter(RedactingFilter(redact))
        lock = InstanceLock(config.state.directory)
        await asyncio.to_thread(lock.take)
        try:
            await _serve(config, token, redact, lock.cut_short)
        finally:
            lock.release()
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


async def _serve(config: Config, token: str, redact: Redactor, cut_short: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # A handler and not SIG_IGN, which the services would inherit.
    loop.add_signal_handler(signal.SIGHUP, log.warning, "%s", HANGUP)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_engine(config, redact=redact))
        engine = parts.engine
        if cut_short is not None:
            text = f"opsbot is back. The one before ({cut_short}) was killed or crashed, or the host went down."
            await engine.tell("", text, key=f"cut-short:{cut_short}")
        if units_of(config):
            stack.push_async_callback(_end, asyncio.create_task(_warned(engine), name="unit files"))
        link = _Link(engine.clock)
        loops = _loops(parts)
        loops.open()
        stack.callback(loops.close)
        control = await start_control(engine, config.state.socket, engine.clock, gateway=link.for_dashboard)
        stack.push_async_callback(control.close)
        sources = LiveSources(engine, parts.poller, loops, link.for_web, engine.clock())
        hooks = Hooks(config.services, engine.store, parts.poller.wake, engine.clock)
        web = await start_web(config.http, sources, hooks)
        stack.push_async_callback(web.close)
        bot = asyncio.create_task(run_bot(engine, config, token, on_state=link.told), name="bot")
        stack.push_async_callback(_end, bot)
        settle_collector()
        notify("READY=1")
        log.info("opsbot watches %s", ", ".join(config.services))
        await stop.wait()
        log.info("stopping; the services go on running")
        notify("STOPPING=1")


class _Link:
    """Keeps the last word about the connection to Discord, for those who show it."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._state = GatewayState(Link.CONNECTING, clock())

    def told(self, state: GatewayState) -> None:
        self._state = state
        notify(f"STATUS=Discord: {state.link}{f', {state.problem}' if state.problem else ''}")

    def for_dashboard(self) -> Gateway:
        return Gateway(self._state.connected, self._state.since, self._state.latency)

    def for_web(self) -> tuple[bool, float | None, str]:
        return self._state.connected, self._state.latency, self._state.problem


async def _warned(engine: Engine) -> None:
    try:
        await warn_of_traps(engine)
    except Exception:
        # The edge of a task nobody waits for: a unit file nobody thought of must not end opsbot.
        log.exception("the units' files could not be looked at")


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await task


def _loops(parts: Parts) -> Loops:
    engine = parts.engine
    loops = Loops(engine.clock)
    loops.every("watch", TICK, parts.watcher.tick, limit=timedelta(seconds=30))
    loops.every("pager", PAGING, parts.pager.tick, limit=timedelta(seconds=30))
    for job in parts.poller.jobs():

        async def poll(name: str = job.service) -> None:
            await parts.poller.poll(name)

        # Jitter, and a first time of its own, so that many services and many hosts do not ask at the same moment.
        loops.every(f"poll {job.service}", job.every, poll, jitter=job.jitter, first=job.first, limit=job.limit)
    sweeper = Sweeper(engine.config, engine.store, engine.feed, engine.clock)
    for cleanup in sweeper.jobs():
        sweep = partial(sweeper.sweep, cleanup)
        loops.every(cleanup.name, cleanup.every, sweep, jitter=JITTER, first=cleanup.first, limit=SWEEP_LIMIT)
    loops.every("prune", PRUNE, lambda: _prune(parts), first=timedelta(minutes=10), limit=timedelta(hours=1))
    return loops


async def _prune(parts: Parts) -> None:
    """Forget what is older than the configuration keeps."""
    engine = parts.engine
    now = engine.clock()
    old = now - engine.config.history_keep
    numbers = await engine.store.write(ledger.prune, old)
    await asyncio.to_thread(parts.deployer.forget_output, numbers)
    await engine.store.write(watchbook.prune, old)
    await engine.store.write(outbox.prune, old)
    await engine.store.write(audit.prune, now - engine.config.audit_keep)
