"""Discord or us: when an outage begins, when it ends, and how long it excuses a bot."""

from datetime import UTC, datetime, timedelta

import pytest

from opsbot.core.outage import AFTERMATH, DEAD_MOST, Outage, Signs, dead_spacing, judge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("before", "signs", "after"),
    [
        (None, Signs(up=True, since=ago(900)), None),
        (None, Signs(up=False, since=ago(3), rest_fails=True), None),
        (None, Signs(up=False, since=ago(11), rest_fails=True), Outage(ago(11))),
        (None, Signs(up=False, since=ago(30)), None),  # a reconnection
        (None, Signs(up=False, since=ago(61)), Outage(ago(61))),  # the gateway alone
        (None, Signs(up=False, since=ago(900), rest_fails=True, refused=True), None),  # our token, our trouble
        (None, Signs(up=True, since=ago(900), rest_fails=True), None),  # bots stay online
        (Outage(ago(300)), Signs(up=False, since=ago(300)), Outage(ago(300))),
        (Outage(ago(300)), Signs(up=True, since=ago(3)), Outage(ago(300))),  # not yet steady
        (Outage(ago(300)), Signs(up=True, since=ago(10)), Outage(ago(300), ago(10))),
        (Outage(ago(300)), Signs(up=False, since=ago(1), rest_fails=True), Outage(ago(300))),  # it flaps
        (Outage(ago(300)), Signs(up=False, since=ago(300), refused=True), Outage(ago(300), NOW)),
        (Outage(ago(900), ago(600)), Signs(up=True, since=ago(600)), Outage(ago(900), ago(600))),
        (Outage(ago(900), ago(600)), Signs(up=False, since=ago(20), rest_fails=True), Outage(ago(20))),
    ],
)
def test_an_outage_is_told_from_trouble_of_our_own(before: Outage | None, signs: Signs, after: Outage | None) -> None:
    assert judge(before, signs, NOW) == after


def test_an_outage_excuses_a_little_longer_than_it_lasts() -> None:
    assert Outage(ago(9999)).shadows(NOW)
    assert Outage(ago(9999), ago(AFTERMATH.total_seconds() - 1)).shadows(NOW)
    assert not Outage(ago(9999), ago(AFTERMATH.total_seconds() + 1)).shadows(NOW)


def test_who_dies_in_an_outage_is_started_ever_more_seldom() -> None:
    assert [dead_spacing(n).total_seconds() for n in range(8)] == [0, 30, 60, 120, 240, 300, 300, 300]
    assert dead_spacing(10_000) == DEAD_MOST
