"""What every test may use: see `tests/fixtures/`."""

import os
import signal
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that all else runs beside it, and no worker is alone with it at the end."""
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
    cache = getattr(session.config, "cache", None)  # not there with -p no:cacheprovider
    if cache is not None:
        cache.set("opsbot/ended", int(session.exitstatus))  # for .ci/again
