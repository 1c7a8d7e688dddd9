"""The scenarios of the pipeline, with systemd as the manager: `on_units` turns the very same bodies to it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures import units


@pytest.fixture(autouse=True)
async def on_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Services are units while this test runs; none is left after it."""
    monkeypatch.setenv(units.WHO, "systemd")
    yield
    await asyncio.to_thread(units.remove_all, tmp_path)
