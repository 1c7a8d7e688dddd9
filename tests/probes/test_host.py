"""Figures of the host and of processes."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opsbot.host.cgroups import CgroupFigures, cgroup_figures
from opsbot.host.figures import host_figures
from opsbot.host.processes import ServiceMeter

FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "b = bytearray(30_000_000); import time; time.sleep(600)"])
print("up", flush=True)
while True:
    pass
"""


def test_the_host_tells_its_memory_disks_and_age(tmp_path: Path) -> None:
    figures = host_figures([tmp_path, tmp_path / "..", Path("/no/such/place")])
    assert figures.cores >= 1
    assert figures.memory_used is not None
    assert figures.memory_total is not None
    assert 0 < figures.memory_used < figures.memory_total
    assert [disk.path for disk in figures.disks] == [tmp_path]
    assert 0 < figures.disks[0].free < figures.disks[0].total
    assert abs(datetime.now(UTC) - figures.boot_time - timedelta(seconds=figures.uptime)) < timedelta(seconds=1)


def test_a_process_is_measured_with_its_children_and_is_none_when_gone() -> None:
    meter = ServiceMeter(fresh=0)
    parent = subprocess.Popen(
        [sys.executable, "-S", "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True, text=True
    )
    try:
        assert parent.stdout is not None
        parent.stdout.readline()
        # On a busy machine a child may get little of a processor between two looks, so it is looked at until it did.
        end = time.monotonic() + 30
        second = meter.figures(parent.pid, (), None)
        while second is not None and not (second.cpu > 10 and second.memory > 30_000_000):
            assert time.monotonic() < end, second
            time.sleep(0.2)  # between two looks
            second = meter.figures(parent.pid, (), None)
        assert second is not None
        assert second.children == 1
        assert second.fds is not None
        assert second.threads == 1
        assert abs(datetime.now(UTC) - second.started_at) < timedelta(seconds=30)
    finally:
        os.killpg(parent.pid, 9)
    # Not reaped yet: a zombie.
    os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
    assert meter.figures(parent.pid, (), None) is None
    parent.communicate()
    assert meter.figures(parent.pid, (), None) is None


def test_a_process_that_never_was_has_no_figures() -> None:
    assert ServiceMeter().figures(2**22 + 5, (), None) is None


def test_control_groups_are_measured_together_and_what_they_do_not_tell_is_none(tmp_path: Path) -> None:
    for number, name in enumerate(("a.service", "b.service"), 1):
        folder = tmp_path / "system.slice" / name
        folder.mkdir(parents=True)
        (folder / "cpu.stat").write_text(f"usage_usec {number}500000\nuser_usec 1\n")
        (folder / "memory.current").write_text(f"{number}000\n")
    groups = ("/system.slice/a.service", "/system.slice/b.service")
    assert cgroup_figures(groups, tmp_path) == CgroupFigures(cpu_seconds=4.0, memory=3000, tasks=None)
    assert cgroup_figures(("/gone.service",), tmp_path) == CgroupFigures(None, None, None)
    meter, now = ServiceMeter(cgroups=tmp_path), datetime.now(UTC)
    before = meter.figures(os.getpid(), groups, now)
    assert before is not None
    assert (before.cpu, before.cpu_seconds, before.memory, before.tasks) == (0.0, 4.0, 3000, None)
    for name in ("a.service", "b.service"):
        (tmp_path / "system.slice" / name / "pids.current").write_text("4\n")
        (tmp_path / "system.slice" / name / "cpu.stat").write_text("usage_usec 9000000\n")
    after = meter.figures(os.getpid(), groups, now)
    assert after is not None
    assert after.tasks == 8
    assert after.cpu > 0


def test_a_service_without_a_control_group_is_measured_by_its_process() -> None:
    meter = ServiceMeter()
    found = meter.figures(os.getpid(), (), None)
    assert found is not None
    assert found.tasks is None
    assert found.memory > 1_000_000
    assert meter.figures(2**22, ("/no/such/group",), datetime.now(UTC)) is None
