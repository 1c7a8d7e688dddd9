"""Trouble of the host, over hours, by a clock that is set: raised once, with its forecast, and over with a margin."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsbot.config import Config, Discord, HostChecks, Http, Secret, StateConfig
from opsbot.core.access import Ranks
from opsbot.core.message import plain
from opsbot.core.model import Incident, NotificationKind
from opsbot.host.certificates import CertificateError, Server
from opsbot.host.figures import HostFigures
from opsbot.host.file_systems import FileSystem
from opsbot.monitoring.certificate_monitor import CertificateMonitor
from opsbot.monitoring.host_meter import HostMeasurement
from opsbot.monitoring.host_monitor import HostMonitor
from opsbot.monitoring.leak_monitor import LeakMonitor
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ManagerError
from opsbot.store import Store, incident_repository, outbox
from tests.fixtures.hostbook import HostBook
from tests.fixtures.puppets import Clock
from tests.fixtures.said import said

GIB = 1 << 30
DAY = timedelta(days=1)


def config_of(path: Path, **checks: object) -> Config:
    return Config(
        path=path / "config.toml",
        discord=Discord(Secret(env="NONE"), 1, 2),
        roles=Ranks(),
        state=StateConfig(path),
        http=Http(None, 0),
        services={},
        host_checks=replace(HostChecks(), **checks),  # type: ignore[arg-type]
    )


@dataclass
class Machine:
    """A host whose figures the test sets. used, available: GiB, of 100 each."""

    used: float = 40.0
    available: float = 60.0
    inodes: int = 1000
    load: float = 1.0
    swap: float = 0.0
    clock_error: float = 0.01
    pressure: float | None = 0.0
    steal: float | None = 0.0
    own_files: tuple[int, int] = (50, 1024)
    meminfo: bool = True

    def measure(self) -> HostMeasurement:
        memory, free = 100 * GIB, int((100 - self.used) * GIB)
        used, total = (int(self.swap * GIB), 10 * GIB) if self.meminfo else (None, None)
        host = HostFigures(
            10.0, 2, (1.0, self.load, 1.0), memory - int(self.available * GIB), memory, int(self.available * GIB),
            used, total, (), datetime(2026, 1, 1, tzinfo=UTC), 1000.0,
        )  # fmt: skip
        disk = FileSystem(Path("/"), 100 * GIB, int(self.used * GIB), free, 10_000, self.inodes)
        return HostMeasurement(host, (disk,), self.pressure, self.steal, (100, 1000), self.own_files, self.clock_error)


@dataclass
class Stage:
    clock: Clock
    store: Store
    machine: Machine
    config: Config
    watch: HostMonitor

    async def run(self, minutes: int, *, fill: float = 0.0) -> None:
        """Let minutes pass; fill: GiB an hour."""
        for _ in range(minutes):
            self.clock.pass_by(60)
            self.machine.used += fill / 60
            await self.watch.tick()

    async def incidents(self) -> list[Incident]:
        return await self.store.read(incident_repository.incidents, None)

    async def kinds(self) -> list[NotificationKind]:
        return [notice.kind for notice in await self.store.read(outbox.pending, self.clock())]

    def again(self, **checks: object) -> "Stage":
        config = replace(self.config, host_checks=replace(self.config.host_checks, **checks))  # type: ignore[arg-type]
        return replace(self, config=config, watch=make(self.store, self.clock, self.machine, config))


def make(store: Store, clock: Clock, machine: Machine, config: Config) -> HostMonitor:
    feed = ChangeNotifier()
    leaks = LeakMonitor(config, store, feed, clock)
    return HostMonitor(config, store, HostBook(store, feed, clock), {}, leaks, clock, measure=machine.measure)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock, machine, config = Clock(), Machine(), config_of(tmp_path)
    async with Store(tmp_path / "s.db") as store:
        yield Stage(clock, store, machine, config, make(store, clock, machine, config))


async def test_a_host_that_is_well_raises_nothing(stage: Stage) -> None:
    await stage.run(120)
    assert await stage.incidents() == []
    assert await stage.kinds() == []


async def test_a_disk_that_fills_up_is_one_incident_with_a_forecast_that_ends_with_a_margin(stage: Stage) -> None:
    await stage.run(60)
    await stage.run(150, fill=10)
    (incident,) = await stage.incidents()
    assert incident.service == "host:disk:/"
    assert "/ is full in about" in said(incident.cause)
    assert "hours" in said(incident.cause)
    assert "at this rate" in said(incident.cause)
    assert stage.machine.used < 70
    words = {name: said(seen) for name, seen in incident.evidence.checks}
    assert "% used" in words["disk /"]
    assert "journalctl --vacuum-size" in words["the mend"]
    await stage.run(150, fill=10)
    assert len(await stage.incidents()) == 1
    stage.machine.used = 87
    await stage.run(90)
    assert (await stage.incidents())[0].closed_at is None
    stage.machine.used = 50
    await stage.run(10)
    (incident,) = await stage.incidents()
    assert incident.closed_at is not None
    assert said(incident.resolution).startswith("now 50 % used")
    assert await stage.kinds() == [NotificationKind.INCIDENT, NotificationKind.RECOVERED]


async def test_a_blip_raises_nothing(stage: Stage) -> None:
    await stage.run(60)
    stage.machine.used, stage.machine.available = 99, 1
    await stage.run(4)
    stage.machine.used, stage.machine.available = 40, 60
    await stage.run(60)
    assert await stage.incidents() == []


async def test_a_full_disk_is_told_after_it_was_full_for_a_while(stage: Stage) -> None:
    stage.machine.used = 93
    await stage.run(5)
    assert await stage.incidents() == []
    await stage.run(1)
    (incident,) = await stage.incidents()
    assert said(incident.cause) == "/ is 93 % full"


async def test_a_backup_that_comes_and_goes_is_no_forecast(stage: Stage) -> None:
    for _ in range(4):
        await stage.run(30, fill=40)
        stage.machine.used = 40
        await stage.run(90)
    assert await stage.incidents() == []


async def test_a_restart_of_opsbot_neither_forgets_nor_repeats(stage: Stage) -> None:
    stage.machine.available = 2
    await stage.run(10)
    again = stage.again()
    await again.run(10)
    (incident,) = await stage.incidents()
    assert (incident.service, incident.closed_at) == ("host:memory", None)
    assert incident.evidence.log  # who takes it
    stage.machine.available = 30
    await again.run(10)
    assert (await stage.incidents())[0].closed_at is not None


async def test_what_is_not_watched_any_more_is_over(stage: Stage) -> None:
    stage.machine.available = 2
    await stage.run(10)
    await stage.again(memory_available=0).run(1)
    (incident,) = await stage.incidents()
    assert said(incident.resolution) == "no longer watched"


async def test_a_while_without_looking_does_not_count_as_bad(stage: Stage) -> None:
    stage.machine.used = 95
    await stage.run(1)
    stage.clock.pass_by(7200)
    await stage.run(1)
    assert await stage.incidents() == []


@pytest.mark.parametrize(
    ("subject", "checks", "bad"),
    [
        ("host:inodes:/", {}, {"inodes": 9500}),
        ("host:swap", {"swap": 80}, {"swap": 9.0}),
        ("host:pressure", {"pressure": 20}, {"pressure": 40.0}),
        ("host:load", {"load": 4}, {"load": 9.0}),
        ("host:steal", {"steal": 20}, {"steal": 30.0}),
        ("host:fds:opsbot", {"fds": 80}, {"own_files": (900, 1024)}),
        ("host:clock", {"clock": timedelta(seconds=5)}, {"clock_error": 16.0}),
    ],
)
async def test_each_of_the_others(
    stage: Stage, subject: str, checks: dict[str, object], bad: dict[str, object]
) -> None:
    well = replace(stage.machine)
    for name, value in bad.items():
        setattr(stage.machine, name, value)
    if checks:
        await stage.run(10)
        assert await stage.incidents() == []  # off by default
    on = stage.again(**checks)
    await on.run(10)
    (incident,) = await on.incidents()
    assert incident.service == subject
    for name in bad:
        setattr(stage.machine, name, getattr(well, name))
    await on.run(10)
    assert (await on.incidents())[0].closed_at is not None


async def test_where_what_is_available_is_not_told_what_is_free_is_not_taken_for_it(stage: Stage) -> None:
    stage.machine.available, stage.machine.meminfo = 2, False
    await stage.run(20)
    assert await stage.incidents() == []


async def test_failed_units_are_told_and_over(stage: Stage) -> None:
    failed: list[str] = []

    async def asked() -> list[str]:
        if failed == ["?"]:
            raise ManagerError(plain("the bus is away"))
        return failed

    on = stage.again(failed_units=True)
    on.watch._failed_units = asked
    await on.run(3)
    assert await on.incidents() == []
    failed += ["backup.service", "other.mount"]
    await on.run(1)
    (incident,) = await on.incidents()
    assert said(incident.cause) == "failed units: backup.service, other.mount"
    failed[:] = ["?"]
    await on.run(1)
    assert (await on.incidents())[0].closed_at is None
    failed.clear()
    await on.run(1)
    assert said((await on.incidents())[0].resolution) == "no unit is failed any more"


async def test_a_certificate_that_expires_soon_is_told_until_it_is_renewed(tmp_path: Path) -> None:
    clock = Clock()
    expires = {"a.example": clock() + 13 * DAY, "b.example": clock() + 60 * DAY}

    async def ask(server: Server) -> datetime:
        if server.host not in expires:
            raise CertificateError(f"{server} did not shake hands")
        return expires[server.host]

    config = config_of(tmp_path, certificates=(("a.example", 443), ("b.example", 8443), ("gone.example", 443)))
    async with Store(tmp_path / "s.db") as store:
        watch = CertificateMonitor(config, store, HostBook(store, ChangeNotifier(), clock), clock, ask)
        await watch.ask_all()
        await watch.ask_all()
        (incident,) = await store.read(incident_repository.incidents, None)
        assert incident.service == "host:cert:a.example"
        assert said(incident.cause) == "the certificate of a.example expires 2026-03-14 12:00 UTC"
        assert watch.expires == {"a.example": expires["a.example"], "b.example:8443": expires["b.example"]}
        expires["a.example"] += 90 * DAY
        await watch.ask_all()
        assert said((await store.read(incident_repository.incidents, None))[0].resolution).startswith("renewed")
