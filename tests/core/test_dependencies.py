"""Whose trouble is whose."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.dependencies import (
    PATIENCE,
    AwaitVerdict,
    CausedBy,
    DependencyState,
    OwnFault,
    above,
    attribute,
    below,
    pace,
    ways_back,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEEDS = {"postgres": (), "redis": (), "api": ("postgres", "redis"), "web": ("api",), "mail": ()}
DOWN, FAILING, UNSEEN, WELL = (
    DependencyState.DOWN,
    DependencyState.FAILING,
    DependencyState.UNSEEN,
    DependencyState.WELL,
)


def test_what_is_above_and_below() -> None:
    assert above(NEEDS, "web") == ("api", "postgres", "redis")
    assert below(NEEDS, "postgres") == ("api", "web")
    assert above(NEEDS, "mail") == below(NEEDS, "mail") == ()


@pytest.mark.parametrize(
    ("service", "states", "whose"),
    [
        ("web", {}, OwnFault()),
        ("web", {"postgres": DOWN}, CausedBy("postgres")),
        ("web", {"postgres": DOWN, "api": DOWN}, CausedBy("postgres")),
        ("web", {"api": DOWN, "redis": FAILING}, CausedBy("api")),
        ("web", {"redis": FAILING}, AwaitVerdict(("redis",))),
        ("web", {"api": UNSEEN, "postgres": FAILING}, AwaitVerdict(("api", "postgres"))),
        ("web", {"api": WELL, "postgres": WELL, "redis": WELL}, OwnFault()),
        ("postgres", {"api": DOWN, "web": FAILING}, OwnFault()),
        ("mail", {"postgres": DOWN}, OwnFault()),
    ],
)
def test_whose_trouble_it_is(
    service: str, states: dict[str, DependencyState], whose: OwnFault | CausedBy | AwaitVerdict
) -> None:
    assert attribute(service, NEEDS, states, NOW, NOW) == whose


def test_nobody_waits_longer_than_the_patience() -> None:
    late = NOW + PATIENCE
    assert attribute("web", NEEDS, {"api": FAILING}, NOW, late) == OwnFault()
    assert attribute("web", NEEDS, {"api": FAILING}, NOW, late - timedelta(seconds=1)) == AwaitVerdict(("api",))
    assert attribute("web", NEEDS, {"api": FAILING}, NOW, NOW - timedelta(hours=1)) == OwnFault(), "a clock set back"


def test_what_others_wait_for_can_be_judged_while_they_do() -> None:
    for fall in (1, 3, 10):
        assert pace(timedelta(minutes=5), fall) * (fall + 1) < PATIENCE
    assert pace(timedelta(seconds=1), 3) == timedelta(seconds=1), "never less often than it is run anyway"


def test_rings_are_found_once() -> None:
    assert list(ways_back(NEEDS)) == []
    assert list(ways_back({"a": ("b",), "b": ("c",), "c": ("a",), "d": ("a",)})) == [("a", "b", "c", "a")]
    assert list(ways_back({"a": ("a",)})) == [("a", "a")]


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3).map(tuple)))
def test_any_graph_is_gone_through_to_its_end(needs: dict[str, tuple[str, ...]]) -> None:
    for name in needs:
        assert name not in above(needs, name)
        assert all(name in above(needs, each) for each in below(needs, name))
    for way in ways_back(needs):
        assert way[0] == way[-1]
        assert all(after in needs[before] for before, after in itertools.pairwise(way))
