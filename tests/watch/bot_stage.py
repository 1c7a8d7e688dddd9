"""A watcher over hand-written ports with all that goes by Discord around it, a real store, and a clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from opsbot.config import Check, CheckKind, Drain, ManagerKind, Service
from opsbot.core.health import Policy
from opsbot.core.model import Incident, Notice
from opsbot.core.recovery import Ladder
from opsbot.feed import Feed
from opsbot.services.port import Activity, Happening, ServiceManager, ServiceState
from opsbot.store import Store, outbox, watchbook
from opsbot.watch import Watcher
from opsbot.watch.aware import Aware
from opsbot.watch.sightings import Sightings
from opsbot.watch.vetoes import Vetoes
from tests.fixtures.puppets import Clock, Eyes, Puppet, Yard

if TYPE_CHECKING:
    from opsbot.deploy.deployer import Deployer
    from opsbot.probes import Prober

GUILD, BOT, AIKO, BEN = 1, 20, 30, 31
SERVICE = Service(
    "api",
    ManagerKind.SYSTEMD,
    units=("api.service",),
    checks=(
        Check("http", CheckKind.HTTP, timedelta(seconds=5), policy=Policy(fall=3, rise=2)),
        Check("process", CheckKind.PROCESS, timedelta(seconds=5), policy=Policy(fall=1, rise=1), memory_max=1 << 29),
    ),
    startup_grace=timedelta(0),
    recovery=Ladder(backoff=timedelta(seconds=10), budget=1000),
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
    vetoes: Vetoes
    sightings: Sightings
    aware: Aware
    watcher: Watcher

    async def settle(self) -> None:
        """Let everything that was begun come to its end."""
        for _ in range(20):
            await asyncio.sleep(0)
            while tasks := {*self.watcher.background.tasks, *self.aware.logins.background.tasks}:
                await asyncio.wait(tasks)

    async def run(self, seconds: int, step: int = 1) -> None:
        """Let so many seconds pass, with a tick at each."""
        for _ in range(0, seconds, step):
            self.clock.pass_by(step)
            await self.aware.tick()
            await self.watcher.tick()
            await self.settle()

    async def dies_and_is_started_by_systemd(self, times: int, every: int = 1) -> None:
        """systemd's Restart= at work."""
        for _ in range(times):
            self.clock.pass_by(every)
            state = self.manager.now_state
            self.manager.happens(Happening.DIED, replace(state, activity=Activity.RETRYING, exit="exit status 1"))
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
        return (await self.store.read(watchbook.open_incidents)).get("api")

    async def deeds(self) -> list[str]:
        found = await self.incident()
        return [deed.text for deed in found.deeds] if found else []

    async def notices(self) -> list[Notice]:
        return await self.store.read(outbox.untold, self.clock())

    def company(self, *people: int, bots: tuple[int, ...] = ()) -> None:
        """The bot sits in a voice channel with these."""
        self.sightings.created(guild_create(voices=(BOT, *people), bots=(BOT, *bots)))


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
    feed, vetoes = Feed(), Vetoes()
    async with Store(folder / "s.db") as store:
        manager, eyes, yard = Puppet(clock), Eyes(clock), Yard(clock)
        managers: dict[str, ServiceManager] = {"api": manager}
        sightings = Sightings(GUILD, {BOT}, {BOT}, clock)
        sightings.name_of = lambda _: "meeting"
        bots = {"api": service} if service.discord_bot else {}
        aware = Aware(bots, store, feed, managers, clock, sightings)
        watcher = Watcher(
            {"api": service},
            store,
            feed,
            managers,
            cast("Prober", eyes),
            cast("Deployer", yard),
            clock,
            vetoes=vetoes,
        )
        aware.join(watcher, vetoes)
        await aware.triage.open()
        await aware.open()
        await watcher.open()
        yield BotStage(clock, store, manager, eyes, yard, vetoes, sightings, aware, watcher)
        await watcher.close()
        await aware.close()
