"""Dataclasses as JSON and back, whatever their fields are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.control.codec import Codec, JsonForm
from opsbot.control.replies import incident_reply
from opsbot.control.shapes import IncidentReply, decode, encode
from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentStep, Phase
from opsbot.core.flapping import Flaps
from opsbot.core.message import plain
from opsbot.core.model import Evidence, Incident

AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, UTC)


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Leaf:
    name: str
    colour: Colour | None = None


@dataclass(frozen=True)
class Tree:
    """A field of each kind."""

    at: datetime
    took: timedelta
    day: date
    hour: time
    zone: tzinfo
    where: Path
    leaf: Leaf
    none: Leaf | None
    pair: tuple[str, int]
    leaves: tuple[Leaf, ...]
    more: Sequence[Leaf]
    names: frozenset[str]
    by_name: Mapping[str, Leaf]
    either: str | int | None
    nested: tuple[tuple[str, "Tree"], ...] = ()


TREE = Tree(
    AT,
    timedelta(seconds=90),
    date(2026, 3, 1),
    time(3, 12),
    ZoneInfo("Asia/Tokyo"),
    Path("/srv/api"),
    Leaf("a", Colour.RED),
    None,
    ("web", 3),
    (Leaf("b"),),
    (Leaf("c"),),
    frozenset({"x"}),
    {"d": Leaf("d", Colour.RED)},
    5,
)


def test_every_kind_of_field_comes_back_as_it_was() -> None:
    codec = Codec({})
    tree = Tree(**{**vars(TREE), "nested": (("again", TREE),)})
    sent = json.loads(json.dumps(codec.encode(tree)))
    assert (sent["at"], sent["took"], sent["leaf"]) == (
        "2026-03-01T12:30:15.250Z",
        90.0,
        {"name": "a", "colour": "red"},
    )
    assert codec.decode(Tree, sent) == tree


def test_a_time_of_another_zone_is_sent_in_utc() -> None:
    assert encode(AT.astimezone(timezone(timedelta(hours=9)))) == "2026-03-01T12:30:15.250Z"


@dataclass(frozen=True)
class Inner:
    left: int
    right: int = 7


@dataclass(frozen=True)
class Outer:
    inner: Inner
    secret: str = "unknown"
    actor: str = ""
    label: str = field(default="")

    @property
    def total(self) -> int:
        return self.inner.left + self.inner.right


FORMED = Codec(
    {
        Outer: JsonForm(
            hidden=frozenset({"secret"}),
            keys={"actor": "by"},
            inlined=frozenset({"inner"}),
            added={"total": lambda one: one.total, "label": lambda one: one.label.upper()},
        )
    }
)


def test_a_form_hides_renames_inlines_and_adds() -> None:
    sent = FORMED.encode(Outer(Inner(1), "boo", "ada", "here"))
    assert sent == {"left": 1, "right": 7, "by": "ada", "label": "HERE", "total": 8}
    assert FORMED.decode(Outer, sent) == Outer(Inner(1), actor="ada", label="HERE")


def test_what_a_newer_opsbot_added_is_ignored_and_what_an_older_one_lacks_has_its_default() -> None:
    assert Codec({}).decode(Inner, {"left": 1, "colour": "red"}) == Inner(1, 7)
    with pytest.raises(TypeError):
        Codec({}).decode(Inner, {"right": 1})


@pytest.mark.parametrize(("kind", "value"), [(Leaf, ["a"]), (Leaf, {"name": "a", "colour": "blue"}), (Tree, None)])
def test_what_is_no_such_value_is_refused(kind: type, value: object) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        Codec({}).decode(kind, value)


def test_what_json_has_nothing_for_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="object cannot be sent"):
        encode(object())


MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - st wants them so
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)
TEXT = st.text(max_size=20)


@given(MOMENTS, TEXT, st.sampled_from(Phase), st.none() | TEXT, st.booleans())
def test_a_deployment_comes_back_as_it_was(at: datetime, text: str, phase: Phase, ref: str | None, ok: bool) -> None:
    said = plain(text) if text else None
    step = DeploymentStep(plain(text), phase, at, at, ok=ok, note=said, tail=text)
    one = Deployment(
        1,
        text,
        DeploymentKind.DEPLOY,
        phase,
        Actor(Origin.CLI, text, text),
        at,
        at,
        ref,
        said,
        steps=(step,),
        note=said,
    )
    sent = json.loads(json.dumps(encode(one)))
    assert (sent["by"], sent["ok"], sent["finished"]) == (
        {"origin": "cli", "id": text, "name": text},
        one.ok,
        one.finished,
    )
    assert decode(Deployment, sent) == one


@given(MOMENTS, TEXT, st.none() | MOMENTS, st.integers(0, 99))
def test_an_incident_comes_back_as_it_was(at: datetime, text: str, since: datetime | None, count: int) -> None:
    evidence = Evidence(((text, plain(text)),), plain("exit 1"), (text,), ((text, plain(text)),))
    one = incident_reply(
        Incident(1, text, plain(text), at, evidence, called_at=since, flaps=Flaps(since=since, count=count))
    )
    sent = json.loads(json.dumps(encode(one)))
    assert (sent["checks"], sent["flapping"], sent["changes"]) == ([[text, text]], since is not None, count)
    assert (sent["exit"], sent["ended_by"], sent["downtime"]) == ("exit 1", "", 0)
    again = decode(IncidentReply, sent)
    assert (again.cause, again.evidence.checks, again.ended_by) == (plain(text), ((text, plain(text)),), None)
    assert json.loads(json.dumps(encode(again))) == sent
