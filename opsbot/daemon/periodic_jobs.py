"""The daemon's periodic jobs, their intervals and time limits.

`opsbot.runtime.scheduler` runs them. `opsbot.daemon.app` adds two about opsbot itself: the D-Bus
monitor and the crash loop.
"""

import asyncio
from datetime import timedelta
from functools import partial

from opsbot.core.access import Origin
from opsbot.daemon.wiring import Parts
from opsbot.monitoring.certificate_monitor import EVERY as CERTIFICATES
from opsbot.runtime.scheduler import OFTEN, Scheduler
from opsbot.store import audit, deliveries, discord_history, incident_repository, ledger, outbox

TICK = timedelta(seconds=1)
WINDOWS = timedelta(seconds=2)
PAGING = timedelta(seconds=5)
PRUNE = timedelta(hours=6)
JITTER = timedelta(seconds=10)
CLEANUP_LIMIT = timedelta(minutes=10)


def jobs(parts: Parts) -> Scheduler:
    """Build the scheduler with all jobs, not started."""
    engine = parts.engine
    loops = Scheduler(engine.clock)
    # Without configured windows, windows of the previous configuration may still end, and silences do. Their summary
    # notifies nobody and may be a minute late.
    windows = WINDOWS if engine.config.windows else OFTEN
    loops.every("windows", windows, partial(_windows, parts), limit=timedelta(seconds=30))
    loops.every("watch", TICK, parts.watcher.tick, limit=timedelta(seconds=30), idle=parts.watcher.idle)
    if parts.discord_bots is not None:
        loops.every("discord", TICK, parts.discord_bots.tick, limit=timedelta(seconds=30))
    loops.every("pager", PAGING, parts.reminder_scheduler.tick, limit=timedelta(seconds=30))
    _polls(loops, parts)
    _cleanups(loops, parts)
    # Half a minute after startup, so that the load of starting is not attributed to the host.
    every = engine.config.host_checks.interval
    loops.every("host", every, parts.host.tick, first=timedelta(seconds=30), limit=timedelta(minutes=2))
    loops.every("certificates", CERTIFICATES, parts.certificates.ask_all, first=timedelta(minutes=1), jitter=JITTER)
    loops.every("prune", PRUNE, lambda: _prune(parts), first=timedelta(minutes=10), limit=timedelta(hours=1))
    return loops


def _polls(loops: Scheduler, parts: Parts) -> None:
    for job in parts.poller.jobs():
        # Jitter and staggered first runs, so that many services and hosts do not poll simultaneously.
        loops.every(
            f"poll {job.service}",
            job.every,
            partial(parts.poller.poll, job.service),
            jitter=job.jitter,
            first=job.first,
            limit=job.limit,
        )


def _cleanups(loops: Scheduler, parts: Parts) -> None:
    engine = parts.engine
    if not any(service.cleanup for service in engine.config.services.values()):
        return
    from opsbot.cleanup import CleanupRunner  # noqa: PLC0415 - only where something is to be cleaned up

    runner = CleanupRunner(engine.config, engine.store, engine.feed, engine.clock, run_as=parts.run_as)
    for cleanup in runner.jobs():
        run = partial(runner.run, cleanup)
        loops.every(cleanup.name, cleanup.every, run, jitter=JITTER, first=cleanup.first, limit=CLEANUP_LIMIT)


async def _windows(parts: Parts) -> None:
    for service in await parts.windows.tick():
        parts.poller.wake(service, Origin.POLL)


async def _prune(parts: Parts) -> None:
    """Delete records that are older than the configured retention."""
    engine = parts.engine
    now = engine.clock()
    old = now - engine.config.limits.history_keep
    numbers = await engine.store.write(ledger.prune, old)
    await asyncio.to_thread(parts.deployer.forget_output, numbers)
    await engine.store.write(incident_repository.prune, old)
    await engine.store.write(discord_history.prune, now, old)
    await engine.store.write(outbox.prune, old)
    await engine.store.write(deliveries.prune, old)
    await engine.store.write(audit.prune, now - engine.config.limits.audit_keep)
