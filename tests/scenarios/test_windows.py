"""Maintenance as it looks in the channel: quiet while it lasts, told at its end, right whenever the clocks change."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from opsbot.config import Config
from opsbot.core.access import Origin
from opsbot.core.recovery import RecoveryPolicy
from opsbot.core.windows import WEEK, Window, WindowDeploys
from tests.cogs.world import text_of
from tests.fixtures.sample import Remote, make_service
from tests.scenarios.channel import Scene, is_board, open_scene
from tests.scenarios.watched import open_watched, version_at
from tests.watch.herd import service

SERVICES = (service("api"), service("db"), service("mail"))
NIGHT = Window("night", time(12, 5), timedelta(minutes=10), date=date(2026, 3, 1))
"""The clock of a scene begins at 12:00 on that day."""
END = int(datetime(2026, 3, 1, 12, 15, tzinfo=UTC).timestamp())


async def comes_and_goes(scene: Scene, name: str) -> None:
    scene.herd.fails(name)
    await scene.run(20)
    scene.herd.mends(name)
    await scene.run(20)


async def test_row_20_a_window_keeps_alarms_back_is_seen_everywhere_and_is_summed_up_once(tmp_path: Path) -> None:
    async with open_scene(tmp_path, SERVICES, board=True, windows=[NIGHT]) as scene:
        await scene.standin.wait_for_message(is_board)
        scene.herd.fails("mail")
        await scene.run(240)
        before = [message["id"] for message in scene.posted()]
        await scene.run(70)
        await comes_and_goes(scene, "api")
        scene.herd.fails("db")
        await scene.run(60)
        assert [message["id"] for message in scene.posted()] == before, "nobody is woken in the window"
        await scene.board_says("2 of 3 services down")
        board = text_of(scene.the_board())
        assert f"🟦 **night** until <t:{END}:F> (<t:{END}:R>): everything; alerts wait" in board
        assert board.count(f"🔕 alerts silenced by the window night until <t:{END}:f>") == 3
        assert f"🔕 Silenced by the window night until <t:{END}:f>" in text_of(scene.card(1)), "the card from before it"
        assert f"silenced by the window night until <t:{END}:f>" in await scene.says("status", "viewer")
        assert f"🔕 Silenced by the window night until <t:{END}:f>" in await scene.says(
            "status", "viewer", service="db"
        )
        await scene.run_until(END - 1)
        assert [message["id"] for message in scene.posted()] == before
        await scene.run(5)
        after = [message for message in scene.posted() if message["id"] not in before]
        assert [message["content"].split(".")[0] for message in after] == [
            "🔴 db is not well: check http: no answer",
            "🚨 A human is needed for db: recovery is off for this service (check http: no answer)",
            "ℹ️ The window night is over",
        ], after
        assert after[2]["content"].endswith("While it lasted, this was down and came back: api.")
        assert f"-# was silenced until <t:{END}:f>" in text_of(after[0])
        await scene.run(120)
        assert len(scene.posted()) == len(before) + 3, "each once"
        assert "Silenced by" not in text_of(scene.card(1))
        await scene.board_forgets("night")


BERLIN = ZoneInfo("Europe/Berlin")
CHANGES = {
    "to summer time": (
        datetime(2026, 3, 28, 12, tzinfo=UTC),
        [("2026-03-28 22:30", "2026-03-29 02:30"), ("2026-03-29 21:30", "2026-03-30 01:30")],
        ("2026-03-30 21:30", "2026-03-31 01:30"),
    ),
    "to winter time": (
        datetime(2026, 10, 24, 12, tzinfo=UTC),
        [("2026-10-24 21:30", "2026-10-25 01:30"), ("2026-10-25 22:30", "2026-10-26 02:30")],
        ("2026-10-26 22:30", "2026-10-27 02:30"),
    ),
}
"""Where it begins, the night of the change and the one after it, and a third; all in UTC, worked out by hand."""


def unix(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize("change", CHANGES)
async def test_row_20_a_window_over_midnight_is_right_in_the_night_the_clocks_change(
    tmp_path: Path, change: str
) -> None:
    at, nights, third = CHANGES[change]
    window = Window("backup", time(23, 30), timedelta(hours=4), BERLIN, days=WEEK)
    async with open_scene(tmp_path, [service("api")], windows=[window], at=at) as scene:
        shown = (await scene.says("windows", "viewer")).splitlines()
        assert [line for line in shown if line.startswith("▫️")] == [
            f"▫️ **backup** <t:{unix(begin)}:F> (<t:{unix(begin)}:R>) to <t:{unix(end)}:t>: everything; alerts wait"
            for begin, end in (*nights, third)
        ]
        for number, (begin, end) in enumerate(nights):
            before = len(scene.posted())
            await scene.run_until(unix(begin) - 60)
            scene.herd.fails("api")
            await scene.run(40)
            assert len(scene.posted()) == before + 2, "before it begins alarms are told"
            scene.herd.mends()
            await scene.run(30)
            scene.herd.fails("api")
            await scene.run_until(unix(end) - 5)
            assert len(scene.posted()) == before + 2, "up to its end it is quiet"
            await scene.run(10)
            assert scene.contents()[before + 2].startswith("🔴 api is not well: check http: no answer.")
            scene.herd.mends()
            await scene.run(30)
            if number == 0:
                listed = await scene.says("windows", "viewer")
                assert listed.index(f"<t:{unix(nights[1][0])}:F>") < listed.index(f"<t:{unix(third[0])}:F>")


async def test_row_20_recovery_waits_for_the_end_of_a_window_only_where_that_says_so(tmp_path: Path) -> None:
    ladder = RecoveryPolicy(backoff=timedelta(seconds=5))
    services = (service("api", recovery=ladder), service("db", recovery=ladder))
    hands_off = replace(NIGHT, services=("db",), mute=False, recovery=False)
    async with open_scene(tmp_path, services, windows=[NIGHT, hands_off]) as scene:
        await scene.run(310)
        scene.herd.fails("api", "db")
        await scene.run(120)
        assert scene.herd.shepherd.restarts == ["api"] * 3, "muted, and recovered all the same"
        assert "recovery waits" in await scene.says("windows", "viewer")
        status = await scene.says("status", "viewer", service="db")
        assert f"Waits: the maintenance window night lasts until <t:{END}:f>" in status
        await scene.run(500)
        assert scene.herd.shepherd.restarts.count("db") >= 1
        assert f"waits: the maintenance window night lasts until <t:{END}:f>" in text_of(scene.card(2))


async def test_row_20_automatic_deploys_wait_for_the_end_of_a_window_and_a_person_need_not(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    begin = (datetime.now(UTC) + timedelta(minutes=30)).replace(second=0, microsecond=0)
    freeze = Window(
        "freeze", begin.time(), timedelta(hours=1), date=begin.date(), mute=False, deploys=WindowDeploys.HOLD
    )

    def with_web(config: Config) -> Config:
        web = make_service(tmp_path, remote.url, port, soak=0.1)
        return replace(config, services={"web": web}, windows=(freeze,))

    async with open_watched(tmp_path, changed=with_web, supervised=True) as watched:
        world, poller = watched.world, watched.world.engine.poller
        assert poller is not None

        async def pushed(version: str) -> None:
            remote.version(version)
            await poller.poll("web", Origin.POLL)

        await poller.poll("web", Origin.POLL)
        await watched.card_says("· #d1", "web runs")
        world.parts.shift = begin - datetime.now(UTC) + timedelta(minutes=1)
        await watched.run(3)
        ends = int((begin + timedelta(hours=1)).timestamp())
        await pushed("2")
        told = f"not deployed: automatic deploys wait: the maintenance window freeze lasts until <t:{ends}:f>"
        update = await world.standin.wait_for_message(lambda message: told in message["content"])
        await (await world.person("deployer").click(update, "Deploy")).final()
        await watched.card_says("· #d2", "web runs")
        assert await version_at(port) == "2", "a person is obeyed"
        await pushed("3")
        await poller.poll("web", Origin.POLL)
        await watched.run(5)
        assert sum(told in message["content"] for message in world.posted()) == 2, "each commit once"
        await watched.run(57 * 60, step=60)
        assert await version_at(port) == "2"
        await watched.run(150, step=10)
        await watched.card_says("· #d3", "web runs")
        assert await version_at(port) == "3", "and what waited is deployed by itself"
