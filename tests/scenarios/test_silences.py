"""A silence, as it looks in the channel: it always ends, it is seen as long as it lasts, and nothing is lost in it."""

from pathlib import Path

from opsbot.core.recovery import RecoveryPolicy
from tests.cogs.world import text_of
from tests.scenarios.channel import Scene, is_board, open_scene
from tests.watch.herd import service

SERVICES = (service("api", recovery=RecoveryPolicy(restart=False)), service("db"))


def now(scene: Scene) -> int:
    return int(scene.herd.clock().timestamp())


async def comes_and_goes(scene: Scene) -> None:
    scene.herd.fails("api")
    await scene.run(20)
    scene.herd.mends()
    await scene.run(20)


async def test_row_21_a_silence_that_nobody_ends_ends_and_tells_what_is_still_wrong(tmp_path: Path) -> None:
    async with open_scene(tmp_path, SERVICES, board=True) as scene:
        await scene.standin.wait_for_message(is_board)
        await scene.run(60)
        until = now(scene) + 3600
        said = await scene.says("silence", service="api", **{"for": "1h", "reason": "new disk"})
        assert f"api: 🔕 Silenced by operator until <t:{until}:f>: new disk" in said
        scene.herd.fails("api")
        await scene.run(30)
        await scene.board_says("1 of 2 services down: api.")
        assert f"🔕 alerts silenced by operator until <t:{until}:f>" in text_of(scene.the_board())
        assert f"silenced by operator until <t:{until}:f>" in await scene.says("status", "viewer")
        assert f"🔕 Silenced by operator until <t:{until}:f>: new disk" in await scene.says("status", service="api")
        await scene.run_until(until - 5)
        assert [text for text in scene.contents() if "api is not well" in text] == []
        await scene.run(15)
        alarm, call = (
            message
            for message in scene.posted()
            if "api" in message["content"] and not is_board(message) and "Silenced" not in message["content"]
        )
        assert alarm["content"].startswith("🔴 api is not well: check http: no answer.")
        assert f"-# was silenced until <t:{until}:f>" in text_of(alarm)
        assert "A human is needed for api" in call["content"]
        await scene.board_forgets("silenced")
        assert "ilenced" not in await scene.says("status", "viewer", service="api")


async def test_row_21_the_longest_silence_is_bounded_and_more_is_refused_in_words(tmp_path: Path) -> None:
    async with open_scene(tmp_path, SERVICES) as scene:
        assert "A silence lasts up to 7 d; 30 d is not possible." in await scene.says(
            "silence", service="api", **{"for": "30d"}
        )
        assert "ilenced" not in await scene.says("status", "viewer", service="api"), "nothing was silenced"
        await scene.says("silence", service="api", **{"for": "7d"})
        await scene.run(7 * 86400 - 3600, step=1800)
        await comes_and_goes(scene)
        quiet = len(scene.posted())
        await scene.run(3600, step=60)
        await comes_and_goes(scene)
        said = scene.contents()[quiet:]
        assert said[0] == "ℹ️ The silence of api is over. While it lasted, it was down and came back."
        assert said[1].startswith("🟢 api was not well for"), "and from then on alarms are told again"


async def test_row_21_one_that_is_lifted_early_ends_then_and_what_came_and_went_is_one_line(tmp_path: Path) -> None:
    async with open_scene(tmp_path, SERVICES) as scene:
        await scene.says("silence", service="api", **{"for": "2d"})
        for _ in range(2):
            await comes_and_goes(scene)
        before = len(scene.posted())
        assert "is resumed" in await scene.says("resume", "deployer", service="api")
        await scene.run(120)
        assert scene.contents()[before + 1 :] == [
            "ℹ️ The silence of api is over. While it lasted, it was down and came back 2 times."
        ]
        assert "neither held nor silenced" in await scene.says("resume", "deployer", service="api")


async def test_row_21_a_silence_of_an_open_trouble_is_on_its_card_and_keeps_reminders_back(tmp_path: Path) -> None:
    async with open_scene(tmp_path, SERVICES) as scene:
        await scene.run(10)
        scene.herd.fails("api")
        await scene.run(30)
        pressed = await scene.person().click(scene.card(1), "Silence 1 h")
        until = now(scene) + 3600
        assert f"No alerts of api until <t:{until}:t>." in text_of(await pressed.final())
        await scene.run(5)
        assert f"🔕 Silenced by operator until <t:{until}:f>: button" in text_of(scene.card(1))
        assert any(line.startswith("🔕") and "silenced by operator" in line for line in scene.thread(1))
        before = len(scene.posted())
        await scene.run_until(until - 100)
        assert len(scene.posted()) == before
        scene.herd.mends()
        await scene.run(40)
        assert scene.card(1)["content"].startswith("🟢 "), "the card is edited, which wakes nobody"
        await scene.run(120)
        assert scene.ending(1) == scene.thread(1)[-1]
        assert "Silenced by" not in text_of(scene.card(1))
