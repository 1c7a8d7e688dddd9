"""A watcher over hand-written ports with all that goes by Discord around it, a real store, and a clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from opsbot.config import Check, CheckKind, Drain, ManagerKind, Service
from opsbot.core.exits import ExitCode
from opsbot.core.health import CheckPolicy
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.message import message
from opsbot.core.model import Incident, Notification
from opsbot.core.recovery import RecoveryPolicy
from opsbot.monitoring import ServiceMonitor
from opsbot.monitoring.discord_bots import DiscordBots
from opsbot.monitoring.presence_cache import PresenceCache
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import Activity, Happening, ServiceManager, ServiceState
from opsbot.store import Store, incident_repository, outbox
from tests.fixtures.puppets import Clock, Eyes, Puppet, Yard
from tests.fixtures.said import done
from tests.fixtures.waiting import idle

EXIT_1 = message(ExitCode.STATUS, status=1)

if TYPE_CHECKING:
    from opsbot.deploy.deployer import Deployer
    from opsbot.probes import Prober

GUILD, BOT, AIKO, BEN = 1, 20, 30, 31
SERVICE = Service(
    "api",
    ManagerKind.SYSTEMD,
    units=("api.service",),
    checks=(
        Check("http", CheckKind.HTTP, timedelta(seconds=5), policy=CheckPolicy(fall=3, rise=2)),
        Check(
            "process", CheckKind.PROCESS, timedelta(seconds=5), policy=CheckPolicy(fall=1, rise=1), memory_max=1 << 29
        ),
    ),
    startup_grace=timedelta(0),
    recovery=RecoveryPolicy(backoff=timedelta(seconds=10), budget=1000),
    discord_bot=True,
    drain=Drain(BOT),
)


@dataclass
class BotStage:
    """The parts, and how to let time pass."""

    clock: Clock
    store: Store
    manager: Puppet
    eyes: Eyes
    yard: Yard
    vetoes: Inhibitors
    presence_cache: PresenceCache
    discord_bots: DiscordBots
    watcher: ServiceMonitor

    async def settle(self) -> None:
        """Let everything that was begun come to its end."""
        await idle(self.watcher.background, self.discord_bots.logins.background)

    async def run(self, seconds: int, step: int = 1) -> None:
        """Let so many seconds pass, with a tick at each."""
        for _ in range(0, seconds, step):
            self.clock.pass_by(step)
            await self.discord_bots.tick()
            await self.watcher.tick()
            await self.settle()

    async def dies_and_is_started_by_systemd(self, times: int, every: int = 1) -> None:
        """systemd's Restart= at work."""
        for _ in range(times):
            self.clock.pass_by(every)
            state = self.manager.now_state
            self.manager.happens(Happening.DIED, replace(state, activity=Activity.RETRYING, exit=EXIT_1))
            self.manager.runs += 1
            again = ServiceState(
                Activity.RUNNING,
                pid=1000 + self.manager.runs,
                run=f"run-{self.manager.runs}",
                started_at=self.clock(),
                restarts=state.restarts + 1,
            )
            self.manager.happens(Happening.STARTED, again)
            await self.settle()

    async def incident(self) -> Incident | None:
        return (await self.store.read(incident_repository.open_incidents)).get("api")

    async def deeds(self) -> list[str]:
        found = await self.incident()
        return done(found) if found else []

    async def notices(self) -> list[Notification]:
        return await self.store.read(outbox.pending, self.clock())

    def company(self, *people: int, bots: tuple[int, ...] = ()) -> None:
        """The bot sits in a voice channel with these."""
        self.presence_cache.created(guild_create(voices=(BOT, *people), bots=(BOT, *bots)))


def guild_create(
    *, voices: tuple[int, ...] = (), bots: tuple[int, ...] = (), online: tuple[int, ...] = ()
) -> dict[str, Any]:
    """GUILD_CREATE, as far as it is looked at."""
    return {
        "id": str(GUILD),
        "members": [{"user": {"id": str(one), "bot": one in bots}} for one in voices],
        "voice_states": [{"user_id": str(one), "channel_id": "77"} for one in voices],
        "presences": [{"user": {"id": str(one)}, "status": "online"} for one in online],
    }


@asynccontextmanager
async def open_stage(folder: Path, service: Service = SERVICE, clock: Clock | None = None) -> AsyncIterator[BotStage]:
    """All of it over the store in that folder; opened again, it is opsbot's next start."""
    clock = clock or Clock()
    feed, vetoes = ChangeNotifier(), Inhibitors()
    async with Store(folder / "s.db") as store:
        manager, eyes, yard = Puppet(clock), Eyes(clock), Yard(clock)
        managers: dict[str, ServiceManager] = {"api": manager}
        presence_cache = PresenceCache(GUILD, {BOT}, {BOT}, clock)
        presence_cache.name_of = lambda _: "meeting"
        bots = {"api": service} if service.discord_bot else {}
        watcher = ServiceMonitor(
            {"api": service},
            store,
            feed,
            managers,
            cast("Prober", eyes),
            cast("Deployer", yard),
            clock,
            inhibitors=vetoes,
        )
        discord_bots = DiscordBots(bots, store, feed, managers, clock, presence_cache, watcher, vetoes)
        await discord_bots.outage_detector.open()
        await discord_bots.open()
        await watcher.open()
        yield BotStage(clock, store, manager, eyes, yard, vetoes, presence_cache, discord_bots, watcher)
        await watcher.close()
        await discord_bots.close()
