"""Nothing that opsbot says is false: random worlds, and every claim of each text compared with what really was.

`OPSBOT_ORACLE_SEQUENCES` sets how many worlds there are; README.md says what is compared.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.checker import Checker
from tests.oracle.driver import ACTIONS, play
from tests.oracle.virtual import run
from tests.oracle.world import Template

SEQUENCES = int(os.environ.get("OPSBOT_ORACLE_SEQUENCES", "15"))
SOON, LATER = 60.0, 3000.0
"""Seconds since the last deployment when a sequence begins: recovery may blame the release, or not."""


def falsehoods(template: Template, begins: float, actions: list[str]) -> list[str]:
    """What opsbot says in such a world that is not so."""
    world = template.again()
    run(play(world, actions), template.ends + begins)
    return Checker(world).check()


@pytest.mark.processes
@pytest.mark.timeout(120 + 5 * SEQUENCES)
@settings(
    max_examples=SEQUENCES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(begins=st.sampled_from((SOON, LATER)), actions=st.lists(st.sampled_from(list(ACTIONS)), min_size=1, max_size=8))
def test_nothing_that_is_said_is_false(template: Template, begins: float, actions: list[str]) -> None:
    found = falsehoods(template, begins, actions)
    assert not found, "\n".join([f"{len(found)} false claims after {actions} begun after {begins:.0f} s:", *found[:40]])
