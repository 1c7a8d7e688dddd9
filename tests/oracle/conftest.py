"""The world that each test of the oracle begins with."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle.world import Template, make_template


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    """In memory where the host has such a file system: SQLite and git sync at every write."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="oracle-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield make_template(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of lines per sequence, which pytest would keep."""
    log = logging.getLogger("opsbot")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)
