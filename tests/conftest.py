"""What every test may use: see `tests/fixtures/`."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from blockbuster import blockbuster_ctx

from tests.fixtures.virtual import VirtualLoop

pytest_plugins = ["tests.fixtures.sample"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script, whose shell has it ignored: child processes would inherit that, and those
    # that tests end with Ctrl-C would go on.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[None]:
    """Code of opsbot that blocks the event loop fails the test."""
    with blockbuster_ctx(["opsbot", "cogs"]) as guard:
        guard.functions["threading.Lock.acquire"].can_block_in("/coverage/collector.py", {"lock_data"})
        yield


VIRTUAL_TIME = (
    "tests/cogs/",
    "tests/delivery/",
    "tests/deploy/test_verify.py",
    "tests/standin/",
    "tests/watch/",
    "tests/watchdog/",
    "tests/web/",
)
"""Where all parts run in one event loop, whose clock jumps (tests/fixtures/virtual.py).

A test there in which a process or another thread takes part is marked `real_time`. Scenes of hours
(tests/scenarios) are not among them: discord.py takes a connection for dead that brings nothing for a minute of the
loop's time, and counts its attempts to come back by the host's.
"""


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Where time is virtual, tests run on a loop whose clock jumps."""
    virtual = item.nodeid.startswith(VIRTUAL_TIME) and item.get_closest_marker("real_time") is None
    return {"virtual": VirtualLoop} if virtual else {"real": asyncio.new_event_loop}


LONG = (
    "tests/onhost/",
    "tests/delivery/test_torture.py",
    "tests/scenarios/test_in_place.py",
    "tests/install/test_host.py",
    "tests/page/",
    "tests/scenarios/",
    "tests/delivery/",
)
"""What takes longest, the longest first: half a minute to minutes a file."""


PROCESSES = (
    "tests/cli/",
    "tests/delivery/",
    "tests/demo/",
    "tests/deploy/",
    "tests/doctor/",
    "tests/errand/",
    "tests/install/",
    "tests/notifications/",
    "tests/onhost/",
    "tests/page/",
    "tests/poll/",
    "tests/remote/",
    "tests/scenarios/",
    "tests/services/test_supervisor",
    "tests/systemd/",
    "tests/probes/test_host.py",
    "tests/probes/test_memory.py",
    "tests/probes/test_prober.py",
    "tests/test_makefile.py",
)
"""What starts processes, or plays whole stories in the channel: left out of `make test-fast`.

Everything else is in it, a new folder too, and fails if it starts a process: so nothing slow gets in unseen. A single
test elsewhere that needs one is marked `processes`.
"""


@pytest.fixture(autouse=True)
def nothing_is_started(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that is not marked `processes` fails if it starts one."""
    if request.node.get_closest_marker("processes") is None:

        def refuse(*args: object) -> NoReturn:
            raise AssertionError(f"{args[1]} is started: mark the test `processes` (see tests/conftest.py)")

        monkeypatch.setattr(subprocess.Popen, "_execute_child", refuse)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that all else runs beside it, and no worker is alone with it at the end."""
    for item in items:
        if item.nodeid.startswith(PROCESSES):
            item.add_marker("processes")
    items.sort(
        key=lambda item: next((place for place, name in enumerate(LONG) if item.nodeid.startswith(name)), len(LONG))
    )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI nothing may be skipped for lack of a program or of a right: CI installs and has all of them."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and "OPSBOT_NO_SKIPS" in os.environ and exitstatus == pytest.ExitCode.OK:
        reporter.write_line(
            f"{len(skipped)} tests were skipped, and OPSBOT_NO_SKIPS is set: that is a failure", red=True
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
