"""The table of phases and the decision, by their properties."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.access import Actor, Origin, itself
from opsbot.core.deployment import (
    CHANGED,
    ENDS,
    MOVES,
    Accepted,
    Deployment,
    DeploymentFacts,
    DeploymentKind,
    DeploymentRequest,
    Hold,
    IllegalMoveError,
    Phase,
    Quarantine,
    RefusalReason,
    Refused,
    Release,
    advance,
    decide,
    previous_good,
    replaces,
)
from opsbot.core.message import plain

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PERSON = Actor(Origin.DISCORD, "7", "ada")
COMMITS = [letter * 40 for letter in "abcd"]


def deployment(phase: Phase = Phase.PENDING, kind: DeploymentKind = DeploymentKind.DEPLOY) -> Deployment:
    return Deployment(1, "web", kind, phase, PERSON, NOW, NOW)


def release(number: int, *, good: bool = True, commit: str | None = None) -> Release:
    at = NOW + timedelta(minutes=number)
    commit = commit or COMMITS[number % 4]
    return Release(f"{at:%Y%m%dT%H%M%SZ}-{commit[:10]}", commit, at, good)


@st.composite
def walks(draw: st.DrawFn) -> list[Phase]:
    """Phases as one deployment may pass through them. Any number of others may come in its way, once is enough here."""
    path = [Phase.PENDING]
    while moves := MOVES[path[-1]] - ({Phase.ASIDE} & set(path)):
        path.append(draw(st.sampled_from(sorted(moves))))
    return path


@st.composite
def facts(draw: st.DrawFn) -> DeploymentFacts:
    kept = [
        release(number, good=draw(st.booleans()), commit=draw(st.sampled_from(COMMITS)))
        for number in draw(st.sets(st.integers(1, 6), max_size=5))
    ]
    kept.sort(key=lambda each: each.at, reverse=True)
    hold = draw(
        st.none()
        | st.builds(Hold, st.just("web"), st.just("ada"), st.none(), st.just(NOW), st.sampled_from([None, *COMMITS]))
    )
    return DeploymentFacts(
        has_source=draw(st.booleans()),
        unfinished=draw(st.none() | st.integers(1, 9)),
        hold=hold,
        live=draw(st.sampled_from([None, *kept])),
        releases=tuple(kept),
        quarantined=dict.fromkeys(draw(st.sets(st.sampled_from(COMMITS))), Quarantine(None, NOW)),
        commit=draw(st.none() | st.sampled_from(COMMITS)),
        older_than_hold=draw(st.booleans()),
        stopped_by_hand=draw(st.booleans()),
    )


def request(kind: DeploymentKind, actor: Actor, named: str | None = None) -> DeploymentRequest:
    return DeploymentRequest("web", kind, actor, release=named)


@given(walks())
def test_every_walk_through_the_table_ends_and_is_told_once_where_it_failed(path: list[Phase]) -> None:
    value = deployment()
    for phase in path[1:]:
        value = advance(value, phase, NOW)
    assert value.finished
    assert value.finished_at == NOW
    assert len(path) <= 12
    assert all(path.count(phase) == 1 for phase in path if phase is not Phase.WAITING)
    assert (value.live_at is not None) == (value.phase is Phase.LIVE)
    not_done = {Phase.FAILED, Phase.UNDONE, Phase.STUCK, Phase.REPLACED}
    from_wait = value.phase is Phase.SKIPPED and path[-2] is Phase.WAITING
    assert (value.failed_in is not None) == (value.phase in not_done or from_wait)
    assert value.failed_in is not Phase.UNDOING


@given(walks())
def test_what_changed_something_live_never_ends_as_failed_and_what_did_not_is_never_undone(path: list[Phase]) -> None:
    changed = bool(CHANGED & set(path))
    assert changed == (path[-1] in {Phase.LIVE, Phase.UNDONE, Phase.STUCK})


@given(st.sampled_from(Phase), st.sampled_from(Phase))
def test_a_move_the_table_lacks_is_refused(before: Phase, after: Phase) -> None:
    if after in MOVES[before]:
        assert advance(deployment(before), after, NOW).phase is after
    else:
        with pytest.raises(IllegalMoveError):
            advance(deployment(before), after, NOW)


def test_ends_are_exactly_the_phases_nothing_follows() -> None:
    assert {phase for phase, moves in MOVES.items() if not moves} == ENDS
    assert set(MOVES) == set(Phase)


def test_the_same_is_never_done_twice_and_what_a_person_named_is_left_to_people() -> None:
    waits = replace(deployment(Phase.WAITING), commit_to=COMMITS[0], release_to="r1")
    named = replace(waits, ref="v1.2")
    by_itself = request(DeploymentKind.DEPLOY, itself(Origin.POLL))
    by_hand = request(DeploymentKind.DEPLOY, PERSON)
    for asked in (by_itself, by_hand):
        assert not replaces(asked, COMMITS[0], waits, "main")
        assert not replaces(asked, None, waits, "main")
        assert replaces(asked, COMMITS[1], waits, "main")
        assert replaces(asked, COMMITS[1], replace(waits, ref="main"), "main")
    assert replaces(by_hand, COMMITS[1], named, "main")
    assert not replaces(by_itself, COMMITS[1], named, "main")
    assert replaces(by_itself, COMMITS[1], replace(named, actor=itself(Origin.WEBHOOK)), "main")
    back = replace(waits, kind=DeploymentKind.ROLLBACK)
    assert not replaces(by_itself, COMMITS[1], back, "main")
    assert not replaces(request(DeploymentKind.ROLLBACK, PERSON), "r1", back, "main")
    assert replaces(request(DeploymentKind.ROLLBACK, PERSON), "r1", waits, "main")
    assert not replaces(request(DeploymentKind.ROLLBACK, itself(Origin.RECOVERY)), "r0", waits, "main")


def test_a_note_is_kept_until_another_is_given() -> None:
    value = advance(deployment(Phase.VERIFYING), Phase.UNDOING, NOW, plain("it answered 500"))
    assert advance(value, Phase.STUCK, NOW).note == plain("it answered 500")


@given(facts(), st.sampled_from(DeploymentKind), st.sampled_from([PERSON, itself(Origin.POLL), itself(Origin.WEBHOOK)]))
def test_nothing_begins_without_a_source_or_beside_another(
    known: DeploymentFacts, kind: DeploymentKind, actor: Actor
) -> None:
    verdict = decide(request(kind, actor), known)
    if not known.has_source:
        assert isinstance(verdict, Refused)
        assert verdict.why is RefusalReason.NO_SOURCE
    elif known.unfinished is not None:
        assert isinstance(verdict, Refused)
        assert verdict.why is RefusalReason.BUSY
        assert verdict.deployment == known.unfinished


@given(facts())
def test_no_automatic_deploy_passes_a_hold_a_quarantine_a_wait_or_a_stop_by_hand(known: DeploymentFacts) -> None:
    if not isinstance(decide(request(DeploymentKind.DEPLOY, itself(Origin.POLL)), known), Accepted):
        return
    assert known.commit not in known.quarantined
    assert known.hold is None or known.hold.waits not in {None, known.commit}
    assert known.hold is None or (known.commit is not None and not known.older_than_hold)
    assert known.live is None or (not known.stopped_by_hand and known.live.commit != known.commit)


@given(facts())
def test_a_person_may_deploy_whatever_is_not_held_busy_or_live_already(known: DeploymentFacts) -> None:
    clear = replace(known, has_source=True, unfinished=None)
    held = clear.hold is not None and clear.hold.waits is None
    live = clear.live is not None and clear.live.commit == clear.commit
    verdict = decide(request(DeploymentKind.DEPLOY, PERSON), clear)
    assert isinstance(verdict, Accepted) == (not held and not live)


@given(facts())
def test_a_rollback_goes_to_an_older_good_release_out_of_quarantine(known: DeploymentFacts) -> None:
    clear = replace(known, has_source=True, unfinished=None)
    verdict = decide(request(DeploymentKind.ROLLBACK, PERSON), clear)
    if isinstance(verdict, Refused):
        assert verdict.why is RefusalReason.NO_RELEASE
        return
    chosen = next(each for each in clear.releases if each.name == verdict.release)
    assert chosen.good
    assert chosen.commit not in clear.quarantined
    assert clear.live is None or chosen.at < clear.live.at


@given(facts(), st.integers(0, 5))
def test_a_named_release_is_returned_to_whatever_is_thought_of_it(known: DeploymentFacts, number: int) -> None:
    clear = replace(known, has_source=True, unfinished=None)
    if not clear.releases:
        verdict = decide(request(DeploymentKind.ROLLBACK, PERSON, "20260101T000000Z-0000000000"), clear)
        assert isinstance(verdict, Refused)
        assert verdict.why is RefusalReason.NO_RELEASE
        return
    wanted = clear.releases[number % len(clear.releases)]
    verdict = decide(request(DeploymentKind.ROLLBACK, PERSON, wanted.name), clear)
    if clear.live == wanted:
        assert isinstance(verdict, Refused)
        assert verdict.why is RefusalReason.ALREADY_LIVE
    else:
        assert verdict == Accepted(wanted.name)


def test_with_no_live_release_the_newest_good_one_is_the_one_to_return_to() -> None:
    kept = (release(3, good=False), release(2), release(1))
    assert previous_good(kept, None) == kept[1]
    assert previous_good(kept, kept[1].name) == kept[2]
    assert previous_good(kept, kept[2].name) is None
