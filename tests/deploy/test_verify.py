"""Verification, with a service and a prober whose answers are written down: which looks condemn and which do not."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from opsbot.config import Check, CheckKind, ManagerKind, Service, Source
from opsbot.core.exits import ExitCode
from opsbot.core.health import CheckPolicy, ProbeResult
from opsbot.core.message import message, plain
from opsbot.deploy.verify import Judgement, Verifier
from opsbot.services.port import Activity, ServiceState
from tests.fixtures.fake_manager import FakeManager
from tests.fixtures.said import said

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = ServiceState(Activity.RUNNING, 77, "run 1", datetime.now(UTC))
CHECK = Check("health", CheckKind.HTTP, interval=timedelta(seconds=0.02), policy=CheckPolicy(fall=3))


class Played(FakeManager):
    """A manager whose service stands as it is told."""

    def __init__(self) -> None:
        super().__init__(lambda: datetime.now(UTC), ["web"])
        self.now = RUNS

    @property
    def now(self) -> ServiceState:
        return self.states["web"]

    @now.setter
    def now(self, state: ServiceState) -> None:
        self.states["web"] = state


class Script:
    """A prober that gives these looks, then passes."""

    def __init__(self, looks: str) -> None:
        self._looks: Iterator[str] = iter(looks)

    async def probe(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        ok = next(self._looks, "+") == "+"
        return ProbeResult(ok, plain("answered 200" if ok else "answered 500"), datetime.now(UTC))


class Blind(Script):
    """A prober that learns nothing of one check."""

    def __init__(self, check: str) -> None:
        super().__init__("")
        self._check = check

    async def probe(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
        result = await super().probe(service, check, state)
        return replace(result, ok=False, known=False) if check.name == self._check else result


async def judge(
    looks: str,
    *,
    soak: float = 0.3,
    within: float = 5,
    manager: Played | None = None,
    checks: tuple[Check, ...] = (CHECK,),
    prober: Script | None = None,
) -> Judgement:
    played = manager or Played()
    service = Service("web", ManagerKind.PROCESS, checks=checks)
    return await Verifier(prober or Script(looks), {"web": played}).verify(
        service, RUNS, Path("/"), soak=timedelta(seconds=soak), within=timedelta(seconds=within)
    )


@pytest.mark.parametrize("looks", ["+++", "---+", "+-+", "+--+--+", "-----------+--+"])
async def test_looks_that_recover_do_not_condemn(looks: str) -> None:
    judged = await judge(looks)
    assert (judged.ok, said(judged.message)) == (True, "its check passed for 300 ms")


async def test_as_many_failures_in_a_row_as_fall_condemn() -> None:
    judged = await judge("+++---", soak=5)
    assert (judged.ok, said(judged.message)) == (
        False,
        "health passed at first, then failed 3 times in a row: answered 500",
    )


async def test_a_soak_does_not_end_on_a_failing_look() -> None:
    assert not (await judge("+" + "+" * 4 + "-" * 50, soak=0.12)).ok


async def test_a_check_that_never_passes_is_waited_for_and_named() -> None:
    judged = await judge("-" * 1000, within=0.3)
    assert (judged.ok, said(judged.message)) == (False, "not healthy 300 ms after its start: health: answered 500")


async def test_what_cannot_be_asked_condemns_nothing_and_is_not_said_to_have_passed() -> None:
    seen = replace(CHECK, name="seen", kind=CheckKind.PRESENCE)
    judged = await judge("", checks=(CHECK, seen), prober=Blind("seen"))
    assert (judged.ok, said(judged.message)) == (True, "its check passed for 300 ms; unknown: seen")


async def test_with_no_check_it_must_stay_alive() -> None:
    assert said((await judge("", checks=())).message) == "it kept running for 300 ms"


async def test_a_death_ends_it_at_once() -> None:
    manager = Played()
    asyncio.get_running_loop().call_later(0.1, manager.dies, "web", "killed by SIGSEGV")
    async with asyncio.timeout(60):  # the soak is not waited for
        judged = await judge("", soak=600, manager=manager)
    assert not judged.ok
    assert said(judged.message).startswith("the service died")
    assert "killed by SIGSEGV" in said(judged.message)


async def test_another_run_is_a_death_though_it_runs_now() -> None:
    manager = Played()
    manager.now = ServiceState(Activity.RUNNING, 78, "run 2", datetime.now(UTC), restarts=1)
    judged = await judge("", manager=manager)
    assert not judged.ok
    assert not judged.disturbed
    assert "the service died" in said(judged.message)


async def test_another_run_that_the_manager_did_not_make_is_not_what_this_deploy_started() -> None:
    manager = Played()
    manager.now = ServiceState(Activity.RUNNING, 78, "run 2", datetime.now(UTC))
    judged = await judge("", manager=manager)
    assert not judged.ok
    assert "was restarted by somebody else" in said(judged.message)
    assert judged.disturbed, "it says nothing of the release"


async def test_how_another_run_ended_is_not_told_as_the_end_of_this_one() -> None:
    manager = Played()
    manager.now = ServiceState(Activity.RETRYING, None, "run 2", exit=plain("exit 3"))
    judged = await judge("", manager=manager)
    assert "was restarted by somebody else" in said(judged.message)
    assert "exit 3" not in said(judged.message)
    assert judged.disturbed


async def test_a_process_of_another_release_is_not_the_new_one() -> None:
    manager = Played()
    manager.now = ServiceState(Activity.RUNNING, 77, "run 1", datetime.now(UTC), release=Path("/srv/old"))
    assert said((await judge("", manager=manager)).message) == "the service runs old and not "


def several(**second: Any) -> ServiceState:
    """app@1 runs; app@2 is as it is told."""
    one = ServiceState(Activity.RUNNING, 71, "a", datetime.now(UTC))
    two = replace(ServiceState(Activity.RUNNING, 72, "b", datetime.now(UTC)), **second)
    parts = (("app@1.service", one), ("app@2.service", two))
    return ServiceState(two.activity, 71, f"a+{two.run}", exit=two.exit, parts=parts)


UNITS = ("app@1.service", "app@2.service")
SERVICE = Service(
    "web",
    ManagerKind.SYSTEMD,
    units=UNITS,
    source=Source("file:///none", Path("/srv/web")),
    checks=tuple(replace(CHECK, name=unit[:5], unit=unit) for unit in UNITS),
)


async def judge_units(now: ServiceState, looks: str = "", part: str = "") -> Judgement:
    manager = Played()
    manager.now = now
    return await Verifier(Script(looks), {"web": manager}).verify(
        SERVICE, several(), Path("/r2"), soak=timedelta(seconds=0.3), within=timedelta(seconds=1), part=part
    )


async def test_each_unit_has_to_stay_in_its_run_and_the_one_that_does_not_is_named() -> None:
    assert said((await judge_units(several())).message) == "all 2 checks passed for 300 ms"
    judged = await judge_units(several(run="c", restarts=1, exit=message(ExitCode.STATUS, status=3)))
    assert said(judged.message).startswith("app@2.service died ")
    assert said(judged.message).endswith("after its start (exit 3)")


async def test_a_unit_is_looked_at_alone_by_its_own_checks() -> None:
    sick = several(activity=Activity.FAILED, exit=message(ExitCode.STATUS, status=3))
    assert said((await judge_units(sick, part=UNITS[0])).message) == "its check passed for 300 ms"
    assert not (await judge_units(sick, part=UNITS[1])).ok
    judged = await judge_units(several(), "-" * 100, part=UNITS[1])
    assert said(judged.message) == "not healthy 1 s after its start: app@2: answered 500"


async def test_a_unit_that_runs_another_release_fails_it_with_the_mend() -> None:
    judged = await judge_units(several(release=Path("/srv/web/releases/r1")), part=UNITS[1])
    mend = "WorkingDirectory= of app@2.service has to go through /srv/web/current"
    assert said(judged.message) == f"app@2.service runs r1 and not r2: {mend}"


async def test_a_mistake_in_a_probe_is_raised_and_not_taken_for_a_sick_service() -> None:
    class Broken(Script):
        async def probe(self, service: Service, check: Check, state: ServiceState) -> ProbeResult:
            raise ZeroDivisionError

    service = Service("web", ManagerKind.PROCESS, checks=(CHECK,))
    with pytest.raises(ZeroDivisionError):
        await Verifier(Broken(""), {"web": Played()}).verify(
            service, RUNS, Path("/"), soak=timedelta(0), within=timedelta(seconds=5)
        )
