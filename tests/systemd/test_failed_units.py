"""Which units have failed is asked of a real systemd."""

from collections.abc import AsyncIterator

import pytest

from opsbot.config import Scope
from opsbot.services.systemd.failed import FailedUnits
from tests.systemd.units import systemctl, write_unit

UNIT = "hostwatch-fails.service"


@pytest.fixture
async def failed_units() -> AsyncIterator[FailedUnits]:
    await write_unit(UNIT, "[Service]\nType=oneshot\nExecStart=/bin/false\n")
    asking = FailedUnits(Scope.SYSTEM)
    yield asking
    await asking.close()


async def test_a_failed_unit_is_told_until_it_is_forgotten(failed_units: FailedUnits) -> None:
    assert UNIT not in await failed_units()
    await systemctl("start", UNIT, check=False)
    assert UNIT in await failed_units()
    await systemctl("reset-failed", UNIT)
    assert UNIT not in await failed_units()
