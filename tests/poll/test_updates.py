"""The poll's decision, over every combination of facts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from opsbot.core.access import Actor, Origin, itself
from opsbot.core.deployment import Deployment, DeploymentKind, Hold, Phase, Quarantine
from opsbot.core.message import plain
from opsbot.core.updates import (
    NAME_MOST,
    AnnounceUpdate,
    Attention,
    AwaitUpdate,
    DeployUpdate,
    NoUpdate,
    UpdateFacts,
    UpdateReason,
    about,
    retry_after,
    weigh,
)
from opsbot.deploy.poll import covering
from tests.fixtures.said import said

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
COMMITS = st.sampled_from("abcd")
ACTORS = st.sampled_from([itself(Origin.POLL), Actor(Origin.DISCORD, "7", "ada")])


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    at = NOW - timedelta(minutes=draw(st.integers(0, 200)))
    return Deployment(
        draw(st.integers(1, 99)),
        "web",
        draw(st.sampled_from(DeploymentKind)),
        draw(st.sampled_from([Phase.LIVE, Phase.FAILED, Phase.UNDONE, Phase.STUCK, Phase.SKIPPED])),
        draw(ACTORS),
        at,
        at,
        ref=draw(st.none() | COMMITS),
        commit_to=draw(st.none() | COMMITS),
        commit_from=draw(st.none() | COMMITS),
        finished_at=at,
    )


SIGHTS = st.builds(
    UpdateFacts,
    head=COMMITS,
    now=st.just(NOW),
    auto=st.booleans(),
    live=st.none() | COMMITS,
    hold=st.none()
    | st.builds(
        Hold, st.just("web"), st.just("ada"), st.text(max_size=5).map(plain), st.just(NOW), st.none() | COMMITS
    ),
    older_than_hold=st.booleans(),
    quarantined=st.dictionaries(COMMITS, st.builds(Quarantine, st.none(), st.just(NOW)), max_size=3),
    unchanged=st.booleans(),
    only=st.sampled_from([(), ("docs/**",)]),
    attention=st.builds(Attention, st.sampled_from([(), ("package.json",)]), st.just(()), st.booleans()),
    deployments=st.lists(deployments(), max_size=5).map(
        lambda found: tuple(sorted(found, key=lambda each: each.created_at, reverse=True))
    ),
)


@given(SIGHTS)
def test_nothing_that_a_person_or_a_failure_keeps_back_is_deployed(sight: UpdateFacts) -> None:
    if not isinstance(weigh(sight), DeployUpdate):
        return
    assert sight.head != sight.live
    assert sight.head not in (sight.quarantined or {})
    assert sight.hold is None or (sight.hold.waits not in {None, sight.head} and not sight.older_than_hold)
    assert sight.auto
    assert not sight.only
    assert not sight.attention.files
    assert not sight.attention.unknown
    failures = [
        each for each in sight.deployments[:1] if about(each, sight.head) and each.phase in {Phase.FAILED, Phase.UNDONE}
    ]
    assert all(each.finished_at and sight.now - each.finished_at >= timedelta(minutes=5) for each in failures)


@given(SIGHTS)
def test_what_runs_already_is_never_told(sight: UpdateFacts) -> None:
    assert isinstance(weigh(replace(sight, live=sight.head)), NoUpdate)


@given(SIGHTS)
def test_a_held_service_says_held_whatever_else_there_is(sight: UpdateFacts) -> None:
    held = replace(sight, hold=Hold("web", "ada", plain("exams"), NOW))
    verdict = weigh(held)
    assert isinstance(verdict, NoUpdate) == (held.head == held.live)
    if isinstance(verdict, AnnounceUpdate):
        assert verdict.because is UpdateReason.HELD


@given(SIGHTS)
def test_a_wait_is_always_ahead_and_within_an_hour(sight: UpdateFacts) -> None:
    verdict = weigh(sight)
    if isinstance(verdict, AwaitUpdate):
        assert timedelta(0) < verdict.until - sight.now <= timedelta(hours=1)


@given(COMMITS)
def test_with_nothing_in_the_way_it_is_deployed(head: str) -> None:
    assert weigh(UpdateFacts(head, NOW)) == DeployUpdate()


@given(st.integers(1, 10_000))
def test_retries_grow_and_stay_within_an_hour(failures: int) -> None:
    assert timedelta(minutes=5) <= retry_after(failures) <= retry_after(failures + 1) <= timedelta(hours=1)


def test_ignore_patterns_are_those_of_gitignore() -> None:
    patterns = ("docs/**", "*.md", "!docs/live.md")
    assert covering(patterns, ["docs/a/b.txt"]) == ("docs/**",)
    assert covering(patterns, ["a/b/README.md", "docs/x"]) == ("docs/**", "*.md")
    assert covering(patterns, ["docs/live.md"]) == ()
    assert covering(patterns, ["docs/x", "main.py"]) == ()
    assert covering(patterns, ["src/docs/x"]) == ()
    assert covering(patterns, []) == ()


@given(SIGHTS)
def test_what_deserves_a_look_is_kept_back_only_where_it_would_be_deployed(sight: UpdateFacts) -> None:
    free = weigh(replace(sight, attention=Attention()))
    attention = Attention(("package.json",))
    verdict = weigh(replace(sight, attention=attention))
    if isinstance(free, DeployUpdate | AwaitUpdate):
        assert attention.reason is not None
        assert verdict == AnnounceUpdate(UpdateReason.NEEDS_LOOK, attention.reason)
    else:
        assert verdict == free


def test_the_words_of_a_look_name_files_and_modules_and_stay_short() -> None:
    assert Attention().reason is None
    native = said(Attention(("a.json",), ("bcrypt", "sharp")).reason)
    assert native == "awaiting approval: changes `a.json` (native code: bcrypt, sharp)"
    assert said(Attention(tuple("abcdef")).reason).endswith("changes `a`, `b`, `c`, `d`, and 2 more")
    assert len(said(Attention(tuple(f"{number}" * 4000 for number in range(5))).reason)) < 5 * NAME_MOST
    assert "unknown" in said(Attention(unknown=True).reason)
