"""What an incident says is true: its cause, its log, its counts, its downtime."""

import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from opsbot.core import exits
from opsbot.core.incident import IncidentCause, IncidentEventKind
from opsbot.core.message import Message
from opsbot.core.recovery import RecoveryPolicy
from opsbot.services.port import Activity, Happening, LogLine, ServiceState
from tests.fixtures.said import done, said
from tests.watch.herd import HTTP, PROCESS, Herd, open_herd, service

KILLED, EXIT_1 = exits.by_signal(signal.SIGKILL), exits.of_status(1 << 8)

API = service("api", checks=(HTTP, PROCESS), recovery=RecoveryPolicy())


def running(herd: Herd, run: str, restarts: int = 1) -> ServiceState:
    """restarts: so often its manager started it by itself."""
    return ServiceState(Activity.RUNNING, pid=int(run), run=run, started_at=herd.clock(), restarts=restarts)


def dead(run: str, end: Message, activity: Activity = Activity.RETRYING) -> ServiceState:
    return ServiceState(activity, run=run, exit=end)


async def test_the_newest_failure_is_the_cause_and_the_first_is_in_the_timeline(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [API]) as herd:
        await herd.run(5)
        herd.shepherd.happens("api", Happening.DIED, dead("1", KILLED))
        await herd.settle()
        herd.shepherd.happens("api", Happening.STARTED, running(herd, "2"))
        await herd.run(1)
        herd.shepherd.happens("api", Happening.DIED, dead("2", EXIT_1))
        await herd.settle()
        incident = await herd.incident("api")
        assert said(incident.cause) == "process died (exit 1)"
        assert said(incident.evidence.exit) == "exit 1"
        assert said(incident.events[0].message) == "process died (killed by SIGKILL)"
        assert (incident.events[0].kind, said(incident.first_cause)) == (
            IncidentEventKind.OPENED,
            "process died (killed by SIGKILL)",
        )


async def test_a_check_that_fails_after_a_restart_is_the_cause_from_then_on(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [API]) as herd:
        await herd.run(5)
        herd.fails("api.http", seen="answered 500")
        herd.shepherd.happens("api", Happening.DIED, dead("1", KILLED))
        await herd.settle()
        herd.shepherd.happens("api", Happening.STARTED, running(herd, "2"))
        await herd.run(10)
        assert said((await herd.incident("api")).cause) == "HTTP check: answered 500 (3 of 3 failed)"


async def test_the_log_is_that_of_the_run_that_failed_last_and_stays_when_it_is_over(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [API]) as herd:
        await herd.run(5)
        at = herd.clock()
        herd.shepherd.log["api"] = [LogLine(at, "INFO listening", run="1")]
        herd.shepherd.happens("api", Happening.DIED, dead("1", KILLED))
        await herd.settle()
        assert (await herd.incident("api")).evidence.log == ("INFO listening",)
        herd.shepherd.happens("api", Happening.STARTED, running(herd, "2"))
        await herd.settle()
        herd.shepherd.log["api"].append(LogLine(at, "ERROR database refused", run="2"))
        herd.shepherd.happens("api", Happening.DIED, dead("2", EXIT_1))
        await herd.settle()
        assert (await herd.incident("api")).evidence.log == ("ERROR database refused",)
        herd.shepherd.happens("api", Happening.STARTED, running(herd, "3"))
        herd.shepherd.log["api"].append(LogLine(at, "INFO listening", run="3"))
        await herd.run(20)
        over = await herd.latest("api")
        assert over.closed_at is not None
        assert over.evidence.log == ("ERROR database refused",)


async def test_one_crash_and_eleven_restarts_by_somebody_are_no_crash_loop(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [API]) as herd:
        await herd.run(5)
        herd.shepherd.happens("api", Happening.DIED, dead("1", KILLED))
        await herd.settle()
        for number in range(12):
            restarts = int(number == 0)
            herd.shepherd.happens("api", Happening.STARTED, running(herd, str(2 + number), restarts))
            await herd.settle()
        known = (await herd.incident("api")).recovery
        assert (known.crashes, known.started_by_manager, known.escalated) == (1, 1, False)
        assert "call api" not in await herd.told()


async def test_when_nothing_was_restarted_no_restart_is_said_to_have_failed(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [API]) as herd:
        await herd.run(5)
        herd.shepherd.happens("api", Happening.GAVE_UP, dead("1", EXIT_1, Activity.FAILED))
        await herd.run(2)
        incident = await herd.incident("api")
        assert done(incident) == ["automatic recovery gave up: its manager gave up starting it"]


async def test_downtime_is_the_time_it_was_down_and_not_until_it_was_stable(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [replace(API, checks=(HTTP,))]) as herd:
        await herd.run(10)
        for _ in range(4):
            herd.fails("api")
            await herd.run(20)
            herd.mends()
            await herd.run(20)
        assert (await herd.incident("api")).flaps.flapping
        await herd.run(400)
        over = await herd.latest("api")
        assert over.closed_at is not None
        assert over.flaps.count == 8
        assert over.closed_at - over.opened_at > timedelta(minutes=7)
        assert timedelta(seconds=60) <= over.downtime(herd.clock()) <= timedelta(seconds=90)


async def test_an_incident_that_flaps_begins_with_what_happened_then(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [replace(API, checks=(HTTP,))]) as herd:
        await herd.run(10)
        for _ in range(3):
            herd.fails("api")
            await herd.run(16)
            herd.mends()
            await herd.run(16)
        incident = await herd.incident("api")
        first = incident.events[0]
        assert (first.kind, first.params["count"]) == (IncidentEventKind.FLAPPING, 6)
        assert first.at == incident.flaps.last, "it recovered then, and not: it failed"
        assert incident.cause.code == IncidentCause.CHECK_FAILED


async def test_who_starts_what_is_dead_is_not_its_manager(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [API]) as herd:
        await herd.run(5)
        herd.shepherd.happens("api", Happening.DIED, dead("1", KILLED))
        await herd.settle()
        herd.shepherd.happens("api", Happening.STARTED, running(herd, "2", restarts=0))
        await herd.settle()
        incident = await herd.incident("api")
        assert said(incident.events[-1].message) == "started from outside opsbot (pid 2)"
        assert incident.recovery.started_by_manager == 0


async def flaps(herd: Herd) -> None:
    """It comes and goes until it flaps, and is healthy then."""
    for _ in range(3):
        herd.fails("api", seen="answered 500")
        await herd.run(16)
        herd.mends()
        await herd.run(16)
    assert (await herd.incident("api")).flaps.flapping


async def test_the_cause_of_what_flaps_is_what_was_seen_last(tmp_path: Path) -> None:
    quiet = service("api", checks=(HTTP, PROCESS), recovery=RecoveryPolicy(restart=False, roll_back=False))
    async with open_herd(tmp_path, [quiet]) as herd:
        await herd.run(5)
        await flaps(herd)
        herd.shepherd.happens("api", Happening.DIED, dead("1", KILLED))
        await herd.settle()
        assert said((await herd.incident("api")).cause) == "process died (killed by SIGKILL)"
        herd.shepherd.happens("api", Happening.STARTED, running(herd, "2"))
        herd.shepherd.happens("api", Happening.DIED, dead("2", EXIT_1))
        await herd.settle()
        assert said((await herd.incident("api")).cause) == "process died (exit 1)", "the same kind, another exit"
        herd.shepherd.happens("api", Happening.STARTED, running(herd, "3"))
        herd.fails("api.http", seen="answered 503")
        await herd.run(30)
        assert said((await herd.incident("api")).cause) == "HTTP check: answered 503 (3 of 3 failed)", "it was down"


async def test_what_flaps_is_calm_only_once_it_was_watched_for_so_long(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [API]) as herd:
        await herd.run(5)
        await flaps(herd)
        await herd.again(600)
        await herd.run(60)
        assert (await herd.latest("api")).closed_at is None, "opsbot was away for most of that time"
        await herd.run(300)
        assert (await herd.latest("api")).closed_at is not None
