"""Checks of a service of several units: of one of them, or of them all."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from opsbot.config import Check, CheckKind, ManagerKind, Service
from opsbot.core.exits import ExitCode
from opsbot.core.health import ProbeResult
from opsbot.core.message import message
from opsbot.messages import render
from opsbot.probes import Prober
from opsbot.services.port import Activity, ServiceState
from opsbot.services.systemd.several import together

ONE, OTHER = "app@1.service", "app@2.service"
SERVICE = Service("web", ManagerKind.SYSTEMD, units=(ONE, OTHER))
HERE = ServiceState(Activity.RUNNING, os.getpid(), "a")
FAILED = ServiceState(Activity.FAILED, run="b", exit=message(ExitCode.STATUS, status=3))
BY_HAND = ServiceState(Activity.STOPPED, stopped_by_hand=True)


@pytest.fixture
def prober() -> Iterator[Prober]:
    made = Prober()
    yield made
    made.close()


async def see(prober: Prober, kind: CheckKind, unit: str, second: ServiceState, **more: object) -> ProbeResult:
    check = replace(Check("c", kind, unit=unit), **more)  # type: ignore[arg-type]
    return await prober.probe(SERVICE, check, together([(ONE, HERE), (OTHER, second)]))


@pytest.mark.parametrize("kind", [CheckKind.UNIT, CheckKind.PROCESS])
async def test_a_check_of_one_unit_looks_at_that_one(prober: Prober, kind: CheckKind) -> None:
    assert (await see(prober, kind, ONE, FAILED)).ok
    assert not (await see(prober, kind, OTHER, FAILED)).ok


@pytest.mark.parametrize("kind", [CheckKind.UNIT, CheckKind.PROCESS])
async def test_a_check_of_the_service_looks_at_each_and_names_the_one_that_is_down(
    prober: Prober, kind: CheckKind
) -> None:
    assert (await see(prober, kind, "", HERE)).ok
    result = await see(prober, kind, "", FAILED)
    assert (result.ok, render(result.seen)) == (False, f"{OTHER}: failed: exit 3")


@pytest.mark.parametrize("kind", [CheckKind.UNIT, CheckKind.PROCESS])
async def test_a_unit_that_a_person_stopped_does_not_make_the_service_sick(prober: Prober, kind: CheckKind) -> None:
    assert (await see(prober, kind, "", BY_HAND)).ok
    assert not (await see(prober, kind, OTHER, BY_HAND)).ok


async def test_the_memory_of_all_units_counts_together(prober: Prober) -> None:
    alone = await see(prober, CheckKind.PROCESS, ONE, HERE, memory_max=1)
    assert f"process {os.getpid()} and its children use" in render(alone.seen)
    both = await see(prober, CheckKind.PROCESS, "", HERE, memory_max=1)
    assert f"processes {os.getpid()}, {os.getpid()} and their children use" in render(both.seen)
