"""Recovery: never a loop, never silence; and what it knows follows from events alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.deployment import Phase
from opsbot.core.incident import EscalationReason, IncidentCause, IncidentEvent, IncidentEventKind, Resolution, event
from opsbot.core.message import message, plain
from opsbot.core.recovery import (
    RESETS,
    Attempt,
    AttemptBy,
    RecoveryAction,
    RecoveryFacts,
    RecoveryPolicy,
    RecoveryState,
    apply,
    decode_state,
    encode_state,
    next_step,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)
LADDER = RecoveryPolicy()
FACTS = RecoveryFacts(T0)
NEW = RecoveryState()


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def tried(*times: datetime) -> RecoveryState:
    return RecoveryState(tuple(Attempt(each, AttemptBy.OPSBOT) for each in times))


def after(*events: IncidentEvent) -> RecoveryState:
    state = NEW
    for each in events:
        state = apply(state, each)
    return state


RESTARTING = event(IncidentEventKind.RESTARTING, at(10), attempt=1, of=3, units=())
STUCK_ROLLBACK = event(
    IncidentEventKind.DEPLOYMENT_ENDED, at(20), deployment=3, kind="rollback", phase=str(Phase.STUCK)
)


# Decisions


def test_the_first_restart_comes_at_once() -> None:
    assert next_step(NEW, FACTS, LADDER, T0).rung is RecoveryAction.RESTART


def test_the_next_restart_waits_for_the_back_off() -> None:
    step = next_step(tried(T0), replace(FACTS, recent=(T0,)), LADDER, at(5))
    assert (step.rung, step.at) == (RecoveryAction.WAIT, at(10))
    assert next_step(tried(T0), replace(FACTS, recent=(T0,)), LADDER, at(10)).rung is RecoveryAction.RESTART


def test_an_incident_that_began_with_a_release_ends_in_a_rollback() -> None:
    state = tried(T0, at(10), at(30))
    facts = replace(FACTS, live_since=at(-60), previous="r1")
    assert next_step(state, facts, LADDER, at(100)).rung is RecoveryAction.ROLL_BACK
    assert next_step(replace(state, rolled_back=True), facts, LADDER, at(100)).rung is RecoveryAction.CALL_HUMAN


def test_an_old_release_is_not_blamed() -> None:
    facts = replace(FACTS, live_since=at(-86400), previous="r1")
    assert next_step(tried(T0, at(10), at(30)), facts, LADDER, at(100)).rung is RecoveryAction.CALL_HUMAN


def test_a_release_that_came_after_the_incident_began_is_not_blamed() -> None:
    facts = replace(FACTS, live_since=at(30), previous="r1")
    step = next_step(replace(tried(T0, T0, T0)), facts, LADDER, at(60))
    assert step.rung is RecoveryAction.CALL_HUMAN


def test_a_person_is_never_fought() -> None:
    assert next_step(NEW, replace(FACTS, stopped_by_hand=True), LADDER, T0).rung is RecoveryAction.NOTHING
    assert next_step(NEW, replace(FACTS, deploying=True), LADDER, T0).rung is RecoveryAction.NOTHING


def test_restarts_of_earlier_incidents_count_against_the_budget() -> None:
    recent = tuple(at(-60 * number) for number in range(10))
    step = next_step(NEW, replace(FACTS, recent=recent), LADDER, T0)
    assert step.rung is RecoveryAction.CALL_HUMAN
    assert step.why is not None
    assert (step.why.code, step.why.params["count"]) == (EscalationReason.BUDGET, 10)


def test_restarts_by_the_manager_are_no_attempts_but_count_against_the_budget() -> None:
    state = replace(NEW, started_by_manager=3)
    facts = replace(FACTS, recent=(at(-3), at(-2), at(-1)))
    step = next_step(state, facts, LADDER, T0)
    assert (step.rung, step.attempt) == (RecoveryAction.RESTART, 1)
    assert next_step(state, facts, replace(LADDER, budget=3), T0).rung is RecoveryAction.CALL_HUMAN


def test_a_restart_that_cannot_help_is_not_tried_until_what_forbade_it_is_over() -> None:
    facts = replace(FACTS, restart_cannot_help=True)
    assert next_step(NEW, facts, LADDER, T0).rung is RecoveryAction.CALL_HUMAN
    assert next_step(replace(NEW, revived=True), facts, LADDER, T0).rung is RecoveryAction.RESTART


def test_what_nobody_could_start_in_any_release_is_escalated_at_once() -> None:
    masked = plain("api.service is masked")
    state = replace(tried(T0), cannot_start=masked)
    facts = replace(FACTS, recent=(T0,), live_since=at(-60), previous="r1")
    step = next_step(state, facts, LADDER, at(1))
    assert (step.rung, step.why) == (RecoveryAction.CALL_HUMAN, message(EscalationReason.CANNOT_START, why=masked))
    assert next_step(replace(state, escalated=True), facts, LADDER, at(1)).rung is RecoveryAction.NOTHING


def test_recovery_switched_off_escalates() -> None:
    step = next_step(NEW, FACTS, replace(LADDER, restart=False, roll_back=False), T0)
    assert step.why == message(EscalationReason.RECOVERY_OFF)


def test_an_escalation_counts_what_was_tried() -> None:
    state = replace(tried(T0, at(10), at(30)), rolled_back=True, started_by_manager=2)
    step = next_step(state, replace(FACTS, live_since=at(-60), previous="r1"), LADDER, at(100))
    assert step.why == message(EscalationReason.NOT_HELPED, restarts=3, rollbacks=1, by_manager=2)


@given(
    st.integers(0, 6),
    st.integers(1, 12),
    st.integers(1, 600),
    st.booleans(),
    st.booleans(),
)
def test_every_incident_is_escalated_within_its_budget(
    attempts: int, budget: int, backoff: int, blamed: bool, possible: bool
) -> None:
    ladder = RecoveryPolicy(attempts=attempts, budget=budget, backoff=timedelta(seconds=backoff))
    state, facts = NEW, RecoveryFacts(T0, live_since=T0 if blamed else None, previous="r1" if possible else "")
    now, restarts, rollbacks = T0, 0, 0
    for _ in range(100):
        step = next_step(state, facts, ladder, now)
        if step.rung is RecoveryAction.WAIT:
            assert step.at > now
            now = step.at
        elif step.rung is RecoveryAction.RESTART:
            restarts += 1
            state = apply(state, event(IncidentEventKind.RESTARTING, now, attempt=step.attempt))
            facts = replace(facts, recent=(*facts.recent, now))
        elif step.rung is RecoveryAction.ROLL_BACK:
            rollbacks += 1
            state = apply(state, event(IncidentEventKind.ROLLING_BACK, now))
        else:
            break
    assert step.rung is RecoveryAction.CALL_HUMAN
    assert restarts <= attempts
    assert rollbacks <= (1 if blamed and possible else 0)
    state = apply(state, event(IncidentEventKind.ESCALATED, now, why=step.why))
    assert next_step(state, facts, ladder, now).rung is RecoveryAction.NOTHING


# What is known


def test_a_start_after_a_death_is_the_managers_and_another_is_somebodys() -> None:
    died = event(IncidentEventKind.DIED, T0, exit=None)
    state = after(died, event(IncidentEventKind.STARTED_BY_MANAGER, at(1), pid=5))
    assert (state.started_by_manager, state.crashes, state.is_dead) == (1, 1, False)
    state = apply(state, event(IncidentEventKind.STARTED_OUTSIDE, at(2), pid=6))
    assert (state.started_by_manager, state.restarts) == (1, ())
    assert state.attempts == (Attempt(at(2), AttemptBy.PERSON),)


def test_a_deployment_starts_what_was_dead() -> None:
    died, ended = event(IncidentEventKind.DIED, T0, exit=None), IncidentEventKind.DEPLOYMENT_ENDED
    for phase in (Phase.LIVE, Phase.UNDONE, Phase.STUCK):
        assert not after(died, event(ended, at(5), deployment=3, kind="deploy", phase=str(phase))).is_dead


@pytest.mark.parametrize("kind", sorted(RESETS))
def test_a_reset_forgets_what_was_tried(kind: IncidentEventKind) -> None:
    rolled_back = event(IncidentEventKind.ROLLING_BACK, at(11), release="r1")
    escalated = event(IncidentEventKind.ESCALATED, at(12), why=plain("x"), inhibited=True)
    reset = event(kind, at(20), actor="mia")
    state = after(RESTARTING, rolled_back, escalated, reset)
    assert (state.restarts, state.rolled_back, state.escalated, state.inhibited) == ((), False, False, False)


@pytest.mark.parametrize(
    ("events", "resolution"),
    [
        ((), message(Resolution.WITHOUT_ACTION)),
        ((RESTARTING,), message(Resolution.RESTARTED, units=())),
        ((RESTARTING, event(IncidentEventKind.DIED, at(12))), message(Resolution.NOT_BY_RECOVERY)),
        (
            (RESTARTING, event(IncidentEventKind.CHECK_DOWN, at(12), check="http", again=True)),
            message(Resolution.NOT_BY_RECOVERY),
        ),
        (
            (event(IncidentEventKind.DIED, at(1)), event(IncidentEventKind.STARTED_BY_MANAGER, at(2), pid=7)),
            message(Resolution.STARTED_BY_MANAGER, pid=7),
        ),
        ((STUCK_ROLLBACK,), message(Resolution.NOT_BY_RECOVERY)),
        ((event(IncidentEventKind.RESTARTED_BY, at(1), actor="mia"),), message(Resolution.RESTARTED_BY, actor="mia")),
    ],
)
def test_what_may_have_helped_last_is_the_resolution(events: tuple[IncidentEvent, ...], resolution: object) -> None:
    assert after(*events).resolution == resolution


def test_a_state_is_the_same_after_it_was_stored() -> None:
    opened = event(
        IncidentEventKind.OPENED, T0, cause=message(IncidentCause.PROCESS_DIED, exit=plain("x")), checks=("http",)
    )
    state = after(
        opened,
        RESTARTING,
        event(IncidentEventKind.RESTART_FAILED, at(11), why=plain("masked"), barred=True),
        event(IncidentEventKind.RESTARTED_BY, at(12), actor="mia"),
        event(IncidentEventKind.RESTART_FAILED, at(13), why=plain("masked"), barred=True),
        event(IncidentEventKind.WAITING, at(14), why=plain("Discord is away")),
        event(IncidentEventKind.DEPENDENCY_DOWN, at(15), service="db"),
        event(IncidentEventKind.DEPLOYMENT_ENDED, at(16), deployment=9, kind="deploy", phase="live"),
    )
    assert state.cannot_start is not None
    assert decode_state(encode_state(state)) == state
    assert encode_state(NEW) == {}
