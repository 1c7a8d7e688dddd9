"""What every test may use: see `tests/fixtures/`."""

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx

pytest_plugins = ["tests.fixtures.sample"]


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[None]:
    """Code of opsbot that blocks the event loop fails the test."""
    with blockbuster_ctx(["opsbot", "cogs"]):
        yield
