"""sd_notify(3) and sd_watchdog_enabled(3), as opsbot speaks them."""

import os
import socket
import time
from pathlib import Path

import pytest

from opsbot.runtime.sd_notify import notify, reloading, status, watchdog_seconds
from tests.fixtures.notify_socket import open_ear


def test_a_state_reaches_the_socket_that_is_named(tmp_path: Path) -> None:
    with open_ear(tmp_path) as ear:
        assert notify("READY=1")
        assert ear.listen() == ["READY=1"]


def test_an_abstract_socket_is_one_that_begins_with_an_at_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"opsbot-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("WATCHDOG=1")
        assert ear.recv(100) == b"WATCHDOG=1"


def test_nobody_listening_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nothing"))
    assert not notify("READY=1")


async def test_a_service_manager_that_hangs_blocks_nothing(tmp_path: Path) -> None:
    with open_ear(tmp_path):
        told = [notify("STATUS=again and again") for _ in range(2000)]
        assert told[0]
        assert not told[-1]


def test_a_reload_says_when_it_began() -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    state, moment = reloading().split("\n")
    assert state == "RELOADING=1"
    name, _, at = moment.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(at) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_status_is_one_line_and_no_other_assignment() -> None:
    assert status("web is\nREADY=1 \x1b[31mred\u202e") == "STATUS=web is?READY=1 ?[31mred?"
    assert len(status("x" * 5000)) == len("STATUS=") + 400
    status("\udcff").encode()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_PID": str(os.getpid())}, None),
    ],
)
def test_the_watchdog_waits_where_it_says_so_and_for_this_process(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_seconds(environment) == seconds
