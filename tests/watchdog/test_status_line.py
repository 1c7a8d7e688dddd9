"""The line in `systemctl status`."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from opsbot.bot.link import GatewayState, Link
from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import Deployment, DeploymentKind, Phase
from opsbot.core.status import Activity, ServiceHealth, StatusFacts, UnitStatus, derive_status
from opsbot.daemon.systemd_status import ServicesSummary, SystemdStatus, line
from opsbot.runtime.sd_notify import status
from tests.fixtures.waiting import passes, until

AT = datetime(2026, 11, 25, 14, 3, tzinfo=UTC)
ACTOR = Actor(Origin.CLI, "unix:ada", "ada")
CONNECTED = GatewayState(Link.CONNECTED, AT, 0.04)


def health(activity: Activity = Activity.RUNNING, *, by_hand: bool = False, **more: object) -> ServiceHealth:
    units = (UnitStatus("", activity, by_hand),)
    return derive_status(replace(StatusFacts(AT, units), **more))  # type: ignore[arg-type]


def test_all_well() -> None:
    assert line(ServicesSummary(dict.fromkeys("abc", health())), CONNECTED) == "3 services healthy; Discord connected"
    assert line(ServicesSummary({"api": health()}), CONNECTED) == "1 service healthy; Discord connected"


def test_what_is_out_of_the_ordinary_is_told_shortly() -> None:
    deployment = Deployment(7, "web", DeploymentKind.DEPLOY, Phase.VERIFYING, ACTOR, AT, AT)
    found = dict.fromkeys("abcdef", health(Activity.FAILED)) | {
        "api": health(Activity.STOPPED, by_hand=True),
        "web": health(deployment=deployment),
        "fine": health(),
    }
    summary = ServicesSummary(found, paused=1, silenced=2, waiting=1)
    away = GatewayState(Link.AWAY, AT)
    assert line(summary, away, ["unhealthy: the watch loop is stuck"]) == (
        "unhealthy: the watch loop is stuck; 9 services, 1 healthy; 6 down: a, b, c, d and 2 more; "
        "1 stopped by a person: api; 1 deploying: web; deploys of 1 paused; 2 silenced; "
        "Discord unavailable since 2026-11-25 14:03 UTC; 1 message waiting for it"
    )


def test_how_it_stands_with_discord() -> None:
    refused = GatewayState(Link.REFUSED, AT, problem="put a valid token there")
    assert line(ServicesSummary(), refused).endswith(
        "Discord rejects opsbot since 2026-11-25 14:03 UTC (put a valid token there)"
    )
    zombie = GatewayState(Link.CONNECTED, AT, 0.04, unanswered=True)
    assert line(ServicesSummary(), zombie).endswith("Discord connected but does not answer heartbeats")
    assert "not connected yet" in line(ServicesSummary(), GatewayState(Link.CONNECTING, AT))


async def test_a_storm_of_changes_is_told_in_one_line_a_second_and_the_last_is_true() -> None:
    told: list[str] = []
    shown = SystemdStatus(lambda: AT, told.append)
    for count in range(500):
        shown.discord(GatewayState(Link.AWAY, AT, problem=f"try {count}"))
        await asyncio.sleep(0)
    await until(lambda: not (not told or "try 499" not in told[-1]), 20)
    assert len(told) <= 2
    shown.discord(GatewayState(Link.AWAY, AT, problem="try 499"))
    await passes(1.2)
    assert len(told) <= 2, "what has not changed is not told again"
    shown.close()


async def test_what_is_not_well_is_told_at_once() -> None:
    told: list[str] = []
    shown = SystemdStatus(lambda: AT, told.append)
    shown.discord(CONNECTED)
    shown.unhealthy(["the database does not answer"])
    assert told == [status("unhealthy: the database does not answer; Discord connected")]
    shown.unhealthy([])
    assert "unhealthy" not in told[-1]
    shown.close()
