"""The ladder: never a loop, never silence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.recovery import RecoveryAction, RecoveryFacts, RecoveryPolicy, next_step

T0 = datetime(2026, 1, 1, tzinfo=UTC)
LADDER = RecoveryPolicy()


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def test_the_first_restart_comes_at_once() -> None:
    assert next_step(RecoveryFacts(T0), LADDER, T0).rung is RecoveryAction.RESTART


def test_the_next_restart_waits_for_the_back_off() -> None:
    trouble = RecoveryFacts(T0, restarts=(T0,), recent=(T0,))
    step = next_step(trouble, LADDER, at(5))
    assert (step.rung, step.at) == (RecoveryAction.WAIT, at(10))
    assert next_step(trouble, LADDER, at(10)).rung is RecoveryAction.RESTART


def test_a_trouble_that_began_with_a_release_ends_in_a_rollback() -> None:
    tried = (T0, at(10), at(30))
    trouble = RecoveryFacts(T0, tried, tried, live_since=at(-60), can_roll_back=True)
    assert next_step(trouble, LADDER, at(100)).rung is RecoveryAction.ROLL_BACK
    assert next_step(replace(trouble, rolled_back=True), LADDER, at(100)).rung is RecoveryAction.CALL_HUMAN


def test_an_old_release_is_not_blamed() -> None:
    tried = (T0, at(10), at(30))
    trouble = RecoveryFacts(T0, tried, tried, live_since=at(-86400), can_roll_back=True)
    assert next_step(trouble, LADDER, at(100)).rung is RecoveryAction.CALL_HUMAN


def test_a_person_is_never_fought() -> None:
    assert next_step(RecoveryFacts(T0, stopped_by_hand=True), LADDER, T0).rung is RecoveryAction.NOTHING
    assert next_step(RecoveryFacts(T0, deploying=True), LADDER, T0).rung is RecoveryAction.NOTHING


def test_restarts_of_earlier_troubles_count_against_the_budget() -> None:
    recent = tuple(at(-60 * number) for number in range(10))
    step = next_step(RecoveryFacts(T0, recent=recent), LADDER, T0)
    assert step.rung is RecoveryAction.CALL_HUMAN
    assert "10 restarts within 60 minutes" in step.why


def test_a_restart_that_cannot_help_is_not_tried() -> None:
    assert next_step(RecoveryFacts(T0, restart_cannot_help=True), LADDER, T0).rung is RecoveryAction.CALL_HUMAN


def test_what_nobody_could_start_in_any_release_is_a_humans_at_once() -> None:
    trouble = RecoveryFacts(T0, (T0,), (T0,), live_since=at(-60), can_roll_back=True, barred="api.service is masked")
    step = next_step(trouble, LADDER, at(1))
    assert (step.rung, step.why) == (RecoveryAction.CALL_HUMAN, "api.service is masked")
    assert next_step(replace(trouble, called=True), LADDER, at(1)).rung is RecoveryAction.NOTHING


def test_recovery_switched_off_still_calls_a_human() -> None:
    assert (
        next_step(RecoveryFacts(T0), replace(LADDER, restart=False, roll_back=False), T0).rung
        is RecoveryAction.CALL_HUMAN
    )


@given(
    st.integers(0, 6),
    st.integers(1, 12),
    st.integers(1, 600),
    st.booleans(),
    st.booleans(),
)
def test_every_trouble_reaches_a_human_within_its_budget(
    attempts: int, budget: int, backoff: int, blamed: bool, possible: bool
) -> None:
    ladder = RecoveryPolicy(attempts=attempts, budget=budget, backoff=timedelta(seconds=backoff))
    trouble = RecoveryFacts(T0, live_since=T0 if blamed else None, can_roll_back=possible)
    now, restarts, rollbacks = T0, 0, 0
    for _ in range(100):
        step = next_step(trouble, ladder, now)
        if step.rung is RecoveryAction.WAIT:
            assert step.at > now
            now = step.at
        elif step.rung is RecoveryAction.RESTART:
            restarts += 1
            trouble = replace(trouble, restarts=(*trouble.restarts, now), recent=(*trouble.recent, now))
        elif step.rung is RecoveryAction.ROLL_BACK:
            rollbacks += 1
            trouble = replace(trouble, rolled_back=True)
        else:
            break
    assert step.rung is RecoveryAction.CALL_HUMAN
    assert restarts <= attempts
    assert rollbacks <= (1 if blamed and possible else 0)
    assert next_step(replace(trouble, called=True), ladder, now).rung is RecoveryAction.NOTHING
