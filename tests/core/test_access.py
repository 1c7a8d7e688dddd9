"""Ranks: each may do what it should and nothing more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.access import Action, Actor, Origin, Rank, Ranks, itself

RANKS = Ranks(frozenset({"1"}), frozenset({"2"}), frozenset({"3"}), frozenset({"4", "unix:root-ish"}))


def someone(*roles: str, user: str = "900") -> Actor:
    return Actor(Origin.DISCORD, user, "someone", frozenset(roles))


def test_who_has_no_role_has_no_rank() -> None:
    assert RANKS.of(someone()) is Rank.NONE
    assert not any(RANKS.allow(someone(), action) for action in Action)


@pytest.mark.parametrize(
    ("role", "rank"), [("1", Rank.VIEWER), ("2", Rank.OPERATOR), ("3", Rank.DEPLOYER), ("4", Rank.ADMIN)]
)
def test_a_role_gives_its_rank(role: str, rank: Rank) -> None:
    assert RANKS.of(someone(role)) is rank


def test_a_user_id_gives_a_rank_too() -> None:
    assert RANKS.of(someone(user="3")) is Rank.DEPLOYER


def test_the_highest_of_several_roles_counts() -> None:
    assert RANKS.of(someone("1", "3", "2")) is Rank.DEPLOYER


def test_opsbot_itself_may_do_all() -> None:
    assert all(Ranks().allow(itself(Origin.POLL), action) for action in Action)


def test_every_action_has_a_least_rank_above_none() -> None:
    assert min(action.least_rank for action in Action) > Rank.NONE


@given(st.sets(st.sampled_from(["1", "2", "3", "4", "5"])), st.sampled_from(list(Action)))
def test_a_further_role_never_takes_anything_away(roles: set[str], action: Action) -> None:
    if RANKS.allow(someone(*roles), action):
        assert RANKS.allow(someone(*roles, "1", "2"), action)


def test_somebody_is_never_ranked_by_a_name() -> None:
    impostor = Actor(Origin.DISCORD, "900", "4", frozenset({"@admin"}))
    assert RANKS.of(impostor) is Rank.NONE
