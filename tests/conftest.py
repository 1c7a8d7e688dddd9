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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The one test that takes minutes begins first, so that the others run beside it, not before it."""
    items.sort(key=lambda item: "tests/onhost/" not in item.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI nothing may be skipped for lack of a program or of a right: CI installs and has all of them."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or "OPSBOT_NO_SKIPS" not in os.environ or exitstatus != pytest.ExitCode.OK:
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped:
        reporter.write_line(
            f"{len(skipped)} tests were skipped, and OPSBOT_NO_SKIPS is set: that is a failure", red=True
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
