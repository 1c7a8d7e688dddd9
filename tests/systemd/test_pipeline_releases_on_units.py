"""tests/scenarios/test_pipeline_releases.py once more, where the manager matters: the same bodies, on units."""

from tests.scenarios.test_pipeline_releases import (
    test_a_link_that_does_not_match_the_ledger_is_put_right_and_told,
    test_a_tool_made_by_one_step_runs_in_the_next_and_in_the_live_release,
    test_folders_of_an_unknown_state_are_taken_over_and_not_cleared_away,
    test_leftovers_are_cleared_at_the_start_and_what_people_put_there_is_not,
)
from tests.systemd.on_units import on_units

__all__ = [
    "on_units",
    "test_a_link_that_does_not_match_the_ledger_is_put_right_and_told",
    "test_a_tool_made_by_one_step_runs_in_the_next_and_in_the_live_release",
    "test_folders_of_an_unknown_state_are_taken_over_and_not_cleared_away",
    "test_leftovers_are_cleared_at_the_start_and_what_people_put_there_is_not",
]
