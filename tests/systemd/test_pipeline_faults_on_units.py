"""tests/scenarios/test_pipeline_faults.py once more: the same bodies, with systemd as the manager."""

from tests.scenarios.test_pipeline_faults import *  # noqa: F403 - all of its tests, and what they stand on
from tests.systemd.on_units import on_units

__all__ = ["on_units"]
