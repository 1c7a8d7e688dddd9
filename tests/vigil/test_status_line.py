"""The line in `systemctl status`."""

import asyncio
from datetime import UTC, datetime

from opsbot.bot.link import GatewayState, Link
from opsbot.daemon.systemd_status import StatusSummary, SystemdStatus, line
from opsbot.runtime.sd_notify import status
from tests.fixtures.waiting import until

AT = datetime(2026, 11, 25, 14, 3, tzinfo=UTC)
CONNECTED = GatewayState(Link.CONNECTED, AT, 0.04)


def test_all_well() -> None:
    assert line(StatusSummary(3), CONNECTED) == "3 services; Discord connected"
    assert line(StatusSummary(1), CONNECTED) == "1 service; Discord connected"


def test_what_is_out_of_the_ordinary_is_told_shortly() -> None:
    standing = StatusSummary(7, ("a", "b", "c", "d", "e", "f"), ("api",), ("web",), held=1, silenced=2, untold=1)
    away = GatewayState(Link.AWAY, AT)
    assert line(standing, away, ["not well: the watch loop is stuck"]) == (
        "not well: the watch loop is stuck; 7 services, 6 down: a, b, c, d and 2 more; 1 stopped on purpose: api; "
        "deploying web; 1 held; 2 silenced; Discord away since 2026-11-25 14:03 UTC; 1 message waiting for it"
    )


def test_how_it_stands_with_discord() -> None:
    refused = GatewayState(Link.REFUSED, AT, problem="put a valid token there")
    assert line(StatusSummary(), refused).endswith(
        "Discord refuses opsbot since 2026-11-25 14:03 UTC (put a valid token there)"
    )
    zombie = GatewayState(Link.CONNECTED, AT, 0.04, unanswered=True)
    assert line(StatusSummary(), zombie).endswith("Discord connected but does not answer heartbeats")
    assert "not connected yet" in line(StatusSummary(), GatewayState(Link.CONNECTING, AT))


async def test_a_storm_of_changes_is_told_in_one_line_a_second_and_the_last_is_true() -> None:
    told: list[str] = []
    shown = SystemdStatus(lambda: AT, told.append)
    for count in range(500):
        shown.discord(GatewayState(Link.AWAY, AT, problem=f"try {count}"))
        await asyncio.sleep(0)
    await until(lambda: not (not told or "try 499" not in told[-1]), 20)
    assert len(told) <= 2
    shown.discord(GatewayState(Link.AWAY, AT, problem="try 499"))
    await asyncio.sleep(1.2)  # what must not happen would have by then
    assert len(told) <= 2, "what has not changed is not told again"
    shown.close()


async def test_what_is_not_well_is_told_at_once() -> None:
    told: list[str] = []
    shown = SystemdStatus(lambda: AT, told.append)
    shown.discord(CONNECTED)
    shown.not_well(["the database does not answer"])
    assert told == [status("not well: the database does not answer; Discord connected")]
    shown.not_well([])
    assert "not well" not in told[-1]
    shown.close()
