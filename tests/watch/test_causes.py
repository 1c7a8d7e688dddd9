"""One root cause, one incident: checks by layer, services by what they need (complaint: one cause, fifty messages)."""

import asyncio
import signal
from datetime import timedelta
from pathlib import Path

from opsbot.config import Check, CheckKind
from opsbot.core import exits
from opsbot.core.exits import ExitCode
from opsbot.core.health import CheckPolicy
from opsbot.core.message import message, plain
from opsbot.core.recovery import RecoveryPolicy
from opsbot.core.root_cause import find_root_cause
from opsbot.messages.root_cause_line import root_cause_line
from opsbot.monitoring import root_cause
from opsbot.services.port import Activity, Happening, ServiceState
from opsbot.store import incident_repository
from tests.fixtures.said import done, said
from tests.watch.herd import HTTP, PROCESS, TCP, open_herd, service

EXIT_1 = message(ExitCode.STATUS, status=1)
KILLED = exits.by_signal(signal.SIGKILL)

TREE = (service("web", "api"), service("api", "postgres"), service("postgres"), service("mail"))


async def test_when_several_checks_fail_the_root_most_names_the_cause(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api", checks=(HTTP, TCP, PROCESS))]) as herd:
        await herd.run(10)
        herd.sight.failing |= {"api.http": "no answer in 3 s", "api.tcp": "connection refused"}
        await herd.run(20)
        incident = await herd.incident("api")
        assert said(incident.cause) == "TCP check: connection refused (3 of 3 failed)"
        assert incident.evidence.checks == (("tcp", plain("connection refused")),)
        assert incident.evidence.consequences == (("http", plain("no answer in 3 s")),)
        assert [text for text in done(incident) if "check" in text] == []
        assert await herd.told() == ["incident api", "call api"]


async def test_a_root_most_check_that_fails_later_takes_the_causes_place(tmp_path: Path) -> None:
    slow = Check("tcp", CheckKind.TCP, timedelta(minutes=5), policy=CheckPolicy(fall=3))
    async with open_herd(tmp_path, [service("api", checks=(HTTP, slow))]) as herd:
        await herd.run(10)
        herd.sight.failing |= {"api.http": "no answer", "api.tcp": "connection refused"}
        await herd.run(11)
        assert said((await herd.incident("api")).cause) == "HTTP check: no answer (3 of 3 failed)"
        await herd.run(10)
        incident = await herd.incident("api")
        assert (said(incident.cause), incident.evidence.consequences) == (
            "TCP check: connection refused (3 of 3 failed)",
            (("http", plain("no answer")),),
        )
        assert (await herd.told()).count("incident api") == 1


async def test_what_fails_below_a_failing_root_is_listed_inside(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        herd.fails("postgres", seen="connection refused")
        await herd.run(16)
        began = herd.clock()
        herd.fails("api", "web")
        await herd.run(20)
        assert await herd.told() == ["incident postgres", "call postgres"]
        incident = await herd.incident("postgres")
        assert {one.service: said(one.cause) for one in incident.dependents} == {
            "api": "HTTP check: no answer (3 of 3 failed)",
            "web": "HTTP check: no answer (3 of 3 failed)",
        }
        assert all(0 < herd.seconds(one.failed_at, began) < 6 for one in incident.dependents)
        assert herd.watcher.because_of("web") == "postgres"
        herd.mends()
        await herd.run(20)
        over = await herd.latest("postgres")
        assert over.closed_at is not None
        assert all(one.well_at is not None for one in over.dependents)
        assert await herd.told() == ["incident postgres", "call postgres", "recovered postgres"]


async def test_children_seen_first_wait_for_the_roots_verdict(tmp_path: Path) -> None:
    slow = Check("tcp", CheckKind.TCP, timedelta(minutes=1), policy=CheckPolicy(fall=3))
    async with open_herd(tmp_path, [service("api", "postgres"), service("postgres", checks=(slow,))]) as herd:
        await herd.run(70)
        herd.fails("api", "postgres")
        await herd.run(50)
        assert await herd.told() == ["incident postgres", "call postgres"]
        assert [one.service for one in (await herd.incident("postgres")).dependents] == ["api"]


async def test_a_child_whose_root_turns_out_well_gets_its_own_with_its_true_start(tmp_path: Path) -> None:
    patient = Check("tcp", CheckKind.TCP, timedelta(seconds=5), policy=CheckPolicy(fall=10))
    async with open_herd(tmp_path, [service("api", "postgres"), service("postgres", checks=(patient,))]) as herd:
        await herd.run(10)
        began = herd.clock()
        herd.fails("api")
        herd.fails("postgres", seen="slow")
        await herd.run(16)
        assert await herd.told() == []
        herd.mends("postgres")
        await herd.run(10)
        incident = await herd.incident("api")
        assert 0 < herd.seconds(incident.opened_at, began) < 6
        assert "incident postgres" not in await herd.told()


async def test_nobody_waits_longer_than_half_a_minute(tmp_path: Path) -> None:
    forgiving = Check("tcp", CheckKind.TCP, timedelta(seconds=5), policy=CheckPolicy(fall=1000))
    async with open_herd(tmp_path, [service("api", "postgres"), service("postgres", checks=(forgiving,))]) as herd:
        await herd.run(10)
        herd.fails("api", "postgres")
        await herd.run(30)
        assert await herd.told() == []
        await herd.run(16)
        assert (await herd.told())[0] == "incident api"


async def test_an_incident_that_was_there_before_its_root_failed_is_folded(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        herd.fails("api")
        await herd.run(20)
        child = await herd.incident("api")
        herd.fails("postgres")
        await herd.run(20)
        root = await herd.incident("postgres")
        folded = await herd.store.read(incident_repository.incident, child.id)
        assert folded is not None
        assert (folded.part_of, said(folded.resolution)) == (root.id, f"part of incident {root.id}")
        assert [(one.service, one.failed_at) for one in root.dependents] == [("api", child.opened_at)]
        herd.mends()
        await herd.run(20)
        assert "recovered api" not in await herd.told()


async def test_what_stays_down_after_its_root_is_well_gets_its_own_after_a_grace(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        began = herd.clock()
        herd.fails("postgres", "api", "web")
        await herd.run(30)
        herd.mends("postgres", "web")
        await herd.run(50)
        assert "incident api" not in await herd.told()
        await herd.run(30)
        told = await herd.told()
        assert told == ["incident postgres", "call postgres", "recovered postgres", "incident api", "call api"]
        incident = await herd.incident("api")
        assert "(still, after postgres has recovered)" in said(incident.cause)
        assert herd.seconds(incident.opened_at, began) < 6
        facts = await root_cause.facts(herd.store, herd.shepherd, "api", herd.clock(), str)
        assert " at first because of postgres, which recovered " in root_cause_line(find_root_cause(facts))


async def test_children_are_not_restarted_while_their_root_fails_and_are_afterwards(tmp_path: Path) -> None:
    ladder = RecoveryPolicy(attempts=2, backoff=timedelta(minutes=5))
    services = [service("api", "postgres", recovery=ladder), service("postgres")]
    async with open_herd(tmp_path, services) as herd:
        await herd.run(10)
        herd.fails("api")
        await herd.run(17)
        assert herd.shepherd.restarts == ["api"]
        herd.fails("postgres")
        await herd.run(120)
        assert herd.shepherd.restarts == ["api"]
        herd.mends("postgres")
        await herd.run(100)
        assert len(herd.shepherd.restarts) >= 2


async def test_a_child_whose_root_was_stopped_by_hand_is_told_and_left_alone(tmp_path: Path) -> None:
    services = [service("api", "postgres", recovery=RecoveryPolicy()), service("postgres", checks=(PROCESS,))]
    async with open_herd(tmp_path, services) as herd:
        await herd.run(10)
        herd.shepherd.happens("postgres", Happening.STOPPED, ServiceState(Activity.STOPPED, stopped_by_hand=True))
        herd.fails("postgres", "api")
        await herd.run(60)
        assert await herd.told() == ["word postgres", "incident api"]
        assert herd.shepherd.restarts == []
        deeds = done(await herd.incident("api"))
        assert deeds == ["recovery waits for postgres, which it needs and which is down"]


async def test_a_death_below_a_dead_root_is_part_of_it(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        dead = ServiceState(Activity.RETRYING, exit=EXIT_1)
        herd.shepherd.happens("postgres", Happening.DIED, dead)
        await herd.settle()
        herd.shepherd.happens("api", Happening.DIED, dead)
        await herd.settle()
        assert await herd.told() == ["incident postgres"]
        assert said((await herd.incident("postgres")).dependents[0].cause) == "process died (exit 1)"


async def test_a_death_of_a_child_is_told_once_its_root_was_looked_at_and_found_well(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        herd.shepherd.happens("api", Happening.DIED, ServiceState(Activity.RETRYING, exit=KILLED))
        await herd.settle()
        assert await herd.told() == []
        at = herd.clock()
        await herd.run(3)
        assert await herd.told() == ["incident api"]
        incident = await herd.incident("api")
        assert (incident.opened_at, said(incident.evidence.exit)) == (at, "killed by SIGKILL")


async def test_a_child_that_falls_again_while_its_root_is_down_is_one_line(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        herd.fails("postgres", "api")
        await herd.run(30)
        for _ in range(3):
            herd.mends("api")
            await herd.run(15)
            herd.fails("api")
            await herd.run(20)
        (one,) = (await herd.incident("postgres")).dependents
        assert one.well_at is None
        assert "incident api" not in await herd.told()


async def test_a_root_that_dies_while_its_childs_evidence_is_gathered_is_still_one_message(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        root = herd.watcher.incident_manager.timeline.of("postgres")

        async def root_dies() -> None:
            if root.incident is None:
                herd.shepherd.happens("postgres", Happening.DIED, ServiceState(Activity.RETRYING, exit=EXIT_1))
                while root.incident is None:
                    await asyncio.sleep(0)

        herd.shepherd.before_logs["api"] = root_dies
        herd.fails("api")
        await herd.run(20)
        assert await herd.told() == ["incident postgres"]
        assert [one.service for one in (await herd.incident("postgres")).dependents] == ["api"]


async def test_a_child_that_flapped_before_its_root_failed_flaps_no_more(tmp_path: Path) -> None:
    async with open_herd(tmp_path, TREE) as herd:
        await herd.run(10)
        for _ in range(4):
            herd.fails("api")
            await herd.run(16)
            herd.mends("api")
            await herd.run(16)
        assert (await herd.incident("api")).flaps.flapping
        herd.fails("api", "postgres")
        await herd.run(30)
        herd.mends("postgres")
        await herd.run(100)
        incident = await herd.incident("api")
        assert not incident.flaps.flapping
        assert "(still, after postgres has recovered)" in said(incident.cause)
