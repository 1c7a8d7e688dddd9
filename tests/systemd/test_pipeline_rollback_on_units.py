"""tests/scenarios/test_pipeline_rollback.py once more, where the manager matters: the same bodies, on units."""

from tests.scenarios.test_pipeline_rollback import (
    test_a_quarantined_commit_may_be_tried_again_by_hand_and_is_cleared_when_it_is_well,
    test_a_rollback_by_recovery_quarantines_the_commit_it_left,
    test_a_rollback_needs_neither_network_nor_install,
    test_a_rollback_whose_release_is_not_well_is_undone,
    test_a_service_stopped_by_hand_in_its_verification_is_left_stopped,
    test_a_service_stopped_by_hand_is_deployed_by_a_person_only,
    test_rolling_back_twice_goes_back_twice_and_waits_past_the_newest,
)
from tests.systemd.on_units import on_units

__all__ = [
    "on_units",
    "test_a_quarantined_commit_may_be_tried_again_by_hand_and_is_cleared_when_it_is_well",
    "test_a_rollback_by_recovery_quarantines_the_commit_it_left",
    "test_a_rollback_needs_neither_network_nor_install",
    "test_a_rollback_whose_release_is_not_well_is_undone",
    "test_a_service_stopped_by_hand_in_its_verification_is_left_stopped",
    "test_a_service_stopped_by_hand_is_deployed_by_a_person_only",
    "test_rolling_back_twice_goes_back_twice_and_waits_past_the_newest",
]
