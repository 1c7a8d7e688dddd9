"""Dependency wiring: create all parts and connect them.

store ─┬───────────────┬───────────┬─────────┐
feed ──┤               │           │         │
managers ─ prober ─ verifier ─ Deployer ─ ServiceMonitor ─ Engine
run_as ───────┴───────────────────┼──── Poller ──────┘
                               inhibitors ←── DiscordBots (where a service is a Discord bot)
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from opsbot.config import CheckKind, Config, ManagerKind, Secret, SecretMissingError
from opsbot.core.deploy_codes import OutcomeCode, UpdateCode
from opsbot.core.deployment import Hold
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.core.message import message
from opsbot.deploy.deployer import Deployer
from opsbot.deploy.poll import Poller
from opsbot.deploy.verify import Verifier
from opsbot.engine import Engine, Measurements
from opsbot.host.clock_skew import ClockSkew
from opsbot.host.figures import booted_at
from opsbot.host.processes import ServiceMeter
from opsbot.monitoring import ServiceMonitor
from opsbot.monitoring.certificate_monitor import CertificateMonitor
from opsbot.monitoring.host_monitor import FailedUnits, HostMonitor
from opsbot.monitoring.leak_monitor import LeakMonitor
from opsbot.monitoring.maintenance_windows import MaintenanceWindows
from opsbot.monitoring.reminders import ReminderScheduler
from opsbot.probes import Prober
from opsbot.redaction import Redactor, is_secret_name, parts_of_url
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.runtime.ticks import utc_now
from opsbot.services.environment import parse
from opsbot.services.port import ServiceManager
from opsbot.services.run_as import Errands
from opsbot.store import Store, deliveries, ledger

if TYPE_CHECKING:
    from opsbot.monitoring.discord_bots import DiscordBots
    from opsbot.monitoring.leak_monitor import Growth
    from opsbot.monitoring.presence_cache import PresenceCache
    from opsbot.notifications.notifiers import Notifiers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts that the daemon drives besides the engine."""

    engine: Engine
    deployer: Deployer
    watcher: ServiceMonitor
    poller: Poller
    windows: MaintenanceWindows
    notifiers: "Notifiers | None"
    reminder_scheduler: ReminderScheduler
    host: HostMonitor
    certificates: CertificateMonitor
    run_as: Errands | None = None
    connected: Callable[[], bool] | None = None
    """Whether systemd is reachable; None if no service uses it."""
    discord_bots: "DiscordBots | None" = None


BUS_PATIENCE = timedelta(seconds=8)
"""How long to wait for a starting D-Bus; less than a stop may take. After it the unit restarts."""


_Hands = tuple[dict[str, ServiceManager], Errands | None, Callable[[], bool] | None]


def _managers(config: Config, clock: Callable[[], datetime], inhibitors: Inhibitors) -> _Hands:
    """Who runs each service, who runs code as its user, and `Parts.connected`."""
    units = {name: service for name, service in config.services.items() if service.manager is ManagerKind.SYSTEMD}
    own = {name: service for name, service in config.services.items() if service.manager is ManagerKind.PROCESS}
    managers: dict[str, ServiceManager] = {}
    # Imported only where used: the supervisor takes half a MB, D-Bus 3 MB.
    if own:
        from opsbot.services.supervisor import Supervisor  # noqa: PLC0415

        supervisor = Supervisor(own, config.state.services, clock, inhibitor=partial(first_reason, inhibitors.starts))
        managers |= dict.fromkeys(own, supervisor)
    if not units:
        return managers, None, None
    from opsbot.services.systemd.bus import SystemdBus  # noqa: PLC0415
    from opsbot.services.systemd.manager import Systemd  # noqa: PLC0415
    from opsbot.services.systemd.run_as import UnitErrands  # noqa: PLC0415

    scope = config.systemd.scope
    bus = SystemdBus(scope)
    run_as = UnitErrands(bus, units)
    systemd = Systemd(
        units, config.state.directory, clock, bus=bus, scope=scope, prove=run_as.cwd_of, bus_timeout=BUS_PATIENCE
    )
    return managers | dict.fromkeys(units, systemd), run_as, lambda: bus.connected


def _failed_units(config: Config, closing: AsyncExitStack) -> FailedUnits | None:
    if not config.host_checks.failed_units:
        return None
    # Imported only where used, like above: D-Bus takes memory.
    from opsbot.services.systemd.failed import FailedUnits as Asking  # noqa: PLC0415

    asking = Asking(config.systemd.scope)
    closing.push_async_callback(asking.close)
    return asking


def _presence_cache(config: Config, clock: Callable[[], datetime]) -> "PresenceCache | None":
    if not _watches_bots(config):
        return None
    from opsbot.monitoring.discord_bots import presence_cache_of  # noqa: PLC0415

    return presence_cache_of(config, clock)


def _discord_bots(
    config: Config,
    store: Store,
    feed: ChangeNotifier,
    managers: dict[str, ServiceManager],
    clock: Callable[[], datetime],
    presence_cache: "PresenceCache | None",
    watcher: ServiceMonitor,
    inhibitors: Inhibitors,
) -> "DiscordBots | None":
    if not _watches_bots(config):
        return None
    from opsbot.monitoring.discord_bots import DiscordBots, bots  # noqa: PLC0415

    return DiscordBots(bots(config), store, feed, managers, clock, presence_cache, watcher, inhibitors)


def _watches_bots(config: Config) -> bool:
    """Whether anything depends on Discord bots; else not even the code is imported."""
    return any(
        service.discord_bot or service.drain or any(check.kind is CheckKind.PRESENCE for check in service.checks)
        for service in config.services.values()
    )


def known_secrets(config: Config) -> Iterator[str]:
    """Yield values to redact: configured secrets and those of services' environments."""
    sources = [service.source for service in config.services.values() if service.source]
    named: list[Secret | None] = [config.discord.token]
    named += [secret for source in sources for secret in (source.token, source.hook_secret)]
    for secret in named:
        if secret is not None:
            try:
                yield secret.read()
            except SecretMissingError as error:
                log.warning("%s", error)
    urls = [notifier.url for notifier in config.notifiers.values()]
    if config.heartbeat is not None:
        urls.append(config.heartbeat.url)
    for url in urls:
        try:
            yield from parts_of_url(url.read())
        except (SecretMissingError, ValueError) as error:
            log.warning("%s", error)
    for service in config.services.values():
        if service.environment_file is not None:
            try:
                variables = parse(service.environment_file.read_text(errors="replace"))
            except OSError as error:
                log.warning("%s: %s cannot be read: %s", service.name, service.environment_file, error.strerror)
                continue
            yield from (value for name, value in variables.items() if is_secret_name(name))


async def _report_new_database(engine: Engine, aside: Path) -> None:
    """Report a damaged database and pause deploys: holds and rollbacks are lost."""
    reason = message(OutcomeCode.HOLD_AFTER_DAMAGE)
    paused = []
    for name, service in engine.config.services.items():
        if service.source is not None and await engine.store.read(ledger.live, name) is not None:
            hold = Hold(name, "opsbot", reason, engine.clock())
            await engine.store.write(ledger.put_hold, hold)
            paused.append(name)
    said = message(UpdateCode.DATABASE_DAMAGED, kept=str(aside), services=tuple(paused))
    await engine.announce("", said, level="error", key=f"damaged:{aside.name}")


def _notifiers(
    config: Config, store: Store, feed: ChangeNotifier, clock: Callable[[], datetime], redact: Redactor
) -> "Notifiers | None":
    if not config.notifiers:
        return None
    from opsbot.notifications.notifiers import Notifiers  # noqa: PLC0415 - only where there are any

    return Notifiers(config.notifiers, store, feed, clock, config.host or socket.gethostname(), redact=redact)


@asynccontextmanager
async def open_engine(
    config: Config,
    clock: Callable[[], datetime] = utc_now,
    redact: Redactor | None = None,
    meter: ServiceMeter | None = None,
) -> AsyncIterator[Parts]:
    """Open everything that works without Discord, in order; it is closed in reverse.

    meter: outlives a configuration, so that CPU is known at once after a reload.

    An unfinished deployment is settled before anything is watched. Services go on running when it is closed.

    Raises:
        StoreError: the database cannot be opened.
        ManagerError: systemd cannot be reached, or another opsbot supervises the services.
    """
    redact, meter = redact or Redactor(), meter or ServiceMeter()
    redact.learn(await asyncio.to_thread(lambda: list(known_secrets(config))))
    inhibitors = Inhibitors()
    managers, run_as, connected = _managers(config, clock, inhibitors)
    async with Store(config.state.database) as store, AsyncExitStack() as closing:
        feed = ChangeNotifier()
        presence_cache = _presence_cache(config, clock)
        prober = Prober(
            clock=clock, errands=run_as, presence=presence_cache.seen if presence_cache is not None else None
        )
        closing.callback(prober.close)
        verifier = Verifier(prober, managers, clock)
        deployer = Deployer(
            config, store, feed, managers, verifier, clock, redact=redact, run_as=run_as, inhibitors=inhibitors
        )
        windows = MaintenanceWindows(config.windows, config.services, store, feed, clock, inhibitors)
        watcher = ServiceMonitor(
            config.services,
            store,
            feed,
            managers,
            prober,
            deployer,
            clock,
            redact,
            config.alerts,
            inhibitors,
            booted_at=booted_at(),
        )
        discord_bots = _discord_bots(config, store, feed, managers, clock, presence_cache, watcher, inhibitors)
        if discord_bots is not None:
            await discord_bots.outage_detector.open()
        poller = Poller(config, store, feed, deployer, clock, inhibitors=inhibitors)
        # Registered for closing before opening, so that a failed open leaves nothing behind that blocks a retry.
        for manager in set(managers.values()):
            closing.push_async_callback(manager.close)
            await manager.open()
        if discord_bots is not None:
            closing.push_async_callback(discord_bots.close)
            await discord_bots.open()
        closing.push_async_callback(deployer.close)
        await deployer.settle()
        await windows.open()
        closing.push_async_callback(watcher.close)
        await watcher.open()
        closing.push_async_callback(poller.close)
        notify_too = [deliveries.escalation(config.alerts.escalate_to)] if config.alerts.escalate_to else []
        reminder_scheduler = ReminderScheduler(config.alerts, store, feed, clock, notify_too)
        book, leaks, drift = watcher.incident_manager, LeakMonitor(config, store, feed, clock, _charted), ClockSkew()
        failed = _failed_units(config, closing)
        host = HostMonitor(config, store, book, managers, leaks, clock, failed_units=failed, drift=drift, meter=meter)
        certificates = CertificateMonitor(config, store, book, clock)
        notifiers = _notifiers(config, store, feed, clock, redact)
        measured = Measurements(leaks.growth, lambda: host.gauges, certificates.expires, drift, meter)
        engine = Engine(
            *(config, store, feed, managers, deployer, watcher, clock, redact),
            poller=poller,
            inhibitors=inhibitors,
            discord_bots=discord_bots,
            notifiers=notifiers,
            measured=measured,
        )
        if store.set_aside is not None:
            await _report_new_database(engine, store.set_aside)
        parts = (windows, notifiers, reminder_scheduler, host, certificates, run_as, connected, discord_bots)
        yield Parts(engine, deployer, watcher, poller, *parts)


def _charted(growth: "Growth", now: datetime) -> dict[str, object]:
    from opsbot.monitoring.memory_chart import charted  # noqa: PLC0415 - seldom drawn, and it takes room

    return charted(growth, now)
