"""What people complain of in every tool of this kind, as it looks in the channel here.

The numbers in the names are those of the rows.
"""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from opsbot.core.exits import ExitCode
from opsbot.core.message import message
from opsbot.core.recovery import RecoveryPolicy
from opsbot.services.port import Activity, Happening, ServiceState
from opsbot.standin.state import GatewayEvent
from tests.cogs.world import text_of
from tests.scenarios.channel import is_board, open_scene
from tests.watch.herd import HTTP, PROCESS, TCP, service

TREE = (service("web", "api"), service("api", "postgres"), service("postgres", checks=(TCP, HTTP)), service("mail"))


async def test_row_3_a_restart_tells_only_what_changed(tmp_path: Path) -> None:
    async with open_scene(tmp_path, TREE) as scene:
        await scene.run(70)
        scene.herd.fails("mail", "postgres")
        await scene.run(40)
        before = scene.contents()
        await scene.again(600)
        await scene.run(60)
        assert scene.contents() == before, "no storm of what was known"
        scene.herd.mends("mail")
        scene.herd.fails("api")
        await scene.again(600)
        await scene.run(30)
        assert len(scene.contents()) == len(before)
        incident = await scene.herd.latest("mail")
        ending = scene.ending(incident.id)
        assert ending == scene.thread(incident.id)[-1]
        assert "mail recovered after" in ending, "and what changed meanwhile is told: no blanket suppression"
        root = next(text for text in scene.contents() if "postgres is DOWN" in text)
        assert "Also down because of it: api." in root


async def test_row_7_one_live_status_message_is_edited_seldom_and_never_doubled(tmp_path: Path) -> None:
    async with open_scene(tmp_path, TREE, board=True) as scene:
        await scene.standin.wait_for_message(is_board)
        await scene.board_says("🟢 4 services, all healthy.")
        edited: list[str] = []
        began = scene.herd.clock()

        def note(event: GatewayEvent) -> None:
            if event.name == "MESSAGE_UPDATE" and is_board(event.data) and event.data["edited_timestamp"]:
                edited.append(event.data["edited_timestamp"])

        scene.standin.state.listeners.append(note)
        for _ in range(5):  # what its first version did not know yet may come with an edit
            edited.clear()
            await scene.run(70)
            await asyncio.sleep(0.5)  # the board is edited in real time
            if not edited:
                break
        assert not edited, "nothing has changed"
        scene.herd.fails("postgres", "api")
        await scene.board_says("2 of 4 services down: postgres, api.")
        down = scene.the_board()
        assert "**api** down since <t:" in text_of(down)
        assert ": needs `postgres`, which is down" in text_of(down)
        await scene.again(600)
        scene.herd.mends()
        await scene.board_says("🟢 4 services, all healthy.")
        scene.herd.fails("mail")
        await scene.board_says("1 of 4 services down: mail.")
        assert scene.the_board()["id"] == down["id"]
        assert scene.the_board()["pinned"]
        edits = len(set(edited))
        assert 3 <= edits <= (scene.herd.clock() - began).total_seconds() / 60 + 1
        scene.standin.delete_message(down["id"])
        await scene.again(60)
        await scene.board_says("1 of 4 services down: mail.")
        assert scene.the_board()["id"] != down["id"]


async def test_row_4_one_cause_is_one_message(tmp_path: Path) -> None:
    async with open_scene(tmp_path, TREE) as scene:
        await scene.run(10)
        scene.herd.sight.failing |= {"postgres.tcp": "connection refused", "postgres.http": "no answer"}
        scene.herd.fails("api", "web")
        await scene.run(40)
        card, call = scene.contents()
        assert card.startswith("🔴 postgres is DOWN: TCP check: connection refused (")
        assert card.endswith("Also down because of it: web, api.")
        assert "postgres needs attention" in call
        assert "↳ and so http: no answer" in scene.text(0)
        assert "• api: HTTP check: no answer (3 of 3 failed) <t:" in scene.text(0)
        scene.herd.mends("postgres.tcp", "postgres.http")
        await scene.run(15)
        assert "Still down: web, api." in scene.ending(1), "at that moment"
        scene.herd.mends()
        await scene.run(15)
        assert len(scene.contents()) == 2
        assert "✓ api: HTTP check: no answer (3 of 3 failed) <t:" in scene.text(0)
        after = "\n".join(scene.thread(1)).split(scene.ending(1))[1]
        assert "web has recovered" in after
        assert "api has recovered" in after


async def test_row_4_a_childs_card_says_what_it_became_part_of(tmp_path: Path) -> None:
    async with open_scene(tmp_path, TREE) as scene:
        await scene.run(10)
        scene.herd.fails("api")
        await scene.run(20)
        scene.herd.fails("postgres")
        await scene.run(20)
        assert scene.contents()[0].startswith(
            "↪️ api was down: HTTP check: no answer (3 of 3 failed). This is part of incident 2."
        )
        assert scene.posted()[0]["embeds"][0]["title"] == "api: part of incident 2"


async def test_row_5_blips_say_nothing_and_flapping_is_one_message(tmp_path: Path) -> None:
    async with open_scene(tmp_path, [service("api")]) as scene:

        def blip(second: int) -> None:
            (scene.herd.fails if second % 60 < 5 else scene.herd.mends)("api")

        await scene.run(300, blip)
        assert scene.contents() == []

        def up_and_down(second: int) -> None:
            (scene.herd.fails if second % 32 < 16 else scene.herd.mends)("api")

        await scene.run(32 * 3, up_and_down)
        before = len(scene.contents())
        assert scene.contents()[-1].startswith("🟠 api is flapping, 6 changes in ")
        await scene.run(32 * 20, up_and_down)
        called = sum("needs attention" in text for text in scene.contents()[before:])
        assert len(scene.contents()) - before == called <= 1, "one message, edited"
        flapping = next(text for text in scene.contents() if "is flapping" in text)
        assert re.search(r"4\d changes in", flapping)
        assert "late" not in flapping
        scene.herd.mends()
        await scene.run(330)
        number = (await scene.herd.latest("api")).id
        ending = scene.ending(number)
        assert ending == scene.thread(number)[-1]
        assert "stable again after 46 changes" in ending
        (facts,) = (line for line in text_of(scene.card(number)).splitlines() if "46 changes, the last" in line)
        assert "Ended by" not in facts


async def test_row_5_alternation_that_thresholds_miss_is_told_once(tmp_path: Path) -> None:
    async with open_scene(tmp_path, [service("api")]) as scene:

        def by_turns(second: int) -> None:
            (scene.herd.fails if second // 5 % 2 else scene.herd.mends)("api")

        await scene.run(900, by_turns)
        (text,) = scene.contents()
        assert text.startswith("🟠 api is flapping, ")
        assert "HTTP check passes and fails by turns: no answer" in text


async def test_row_8_what_is_down_is_restarted_and_the_card_says_so(tmp_path: Path) -> None:
    async with open_scene(tmp_path, [service("api", recovery=RecoveryPolicy())]) as scene:
        await scene.run(10)
        scene.herd.fails("api")
        while not scene.herd.shepherd.restarts:
            await scene.run(1)
        scene.herd.mends()
        await scene.run(1)
        assert scene.herd.shepherd.restarts == ["api"]
        assert "restarting (1 of 3)" in scene.text(0)
        await scene.run(20)
        assert len(scene.contents()) == 1
        assert scene.ending(1) == scene.thread(1)[-1]
        assert "restarted by opsbot" in scene.ending(1)


async def test_row_9_recovery_ends_loudly_and_never_loops(tmp_path: Path) -> None:
    ladder = RecoveryPolicy(attempts=2, backoff=timedelta(seconds=5))
    async with open_scene(tmp_path, [service("api", recovery=ladder)]) as scene:
        await scene.run(10)
        scene.herd.fails("api")
        await scene.run(1800)
        assert scene.herd.shepherd.restarts == ["api", "api"]
        (call,) = [text for text in scene.contents() if "🚨" in text]
        gave_up = "automatic recovery gave up: 2 restarts did not help (HTTP check: no answer (3 of 3 failed))."
        assert call == f"🚨 api needs attention: {gave_up}"
        assert "**Next:** nothing by itself, until somebody restarts or resumes it." in scene.text(0)
        scene.herd.mends()
        await scene.run(20)
        assert "api recovered after" in scene.ending(1), "it was watched all the time"


async def test_row_10_nothing_is_done_to_what_is_starting_or_being_deployed(tmp_path: Path) -> None:
    starting = replace(
        service("api", checks=(HTTP, PROCESS), recovery=RecoveryPolicy()), startup_grace=timedelta(seconds=30)
    )
    async with open_scene(tmp_path, [starting]) as scene:
        herd = scene.herd
        await scene.run(10)
        herd.yard.deploying.add("api")
        herd.fails("api")
        await scene.run(120)
        herd.yard.deploying.clear()
        herd.shepherd.states["api"] = ServiceState(Activity.RUNNING, pid=2, run="2", started_at=herd.clock())
        await scene.run(25)
        assert scene.contents() == []
        assert herd.shepherd.restarts == []
        herd.mends()
        await scene.run(10)
        herd.fails("api")
        await scene.run(16)
        assert len(scene.contents()) == 1, "the grace ended with its first success"


async def test_a_start_limit_is_told_as_what_it_is_and_asked_why(tmp_path: Path) -> None:
    async with open_scene(tmp_path, [service("api", recovery=RecoveryPolicy())]) as scene:
        await scene.run(10)
        state = ServiceState(Activity.FAILED, exit=message(ExitCode.STATUS, status=1))
        scene.herd.shepherd.happens("api", Happening.GAVE_UP, state)
        await scene.run(5)
        assert scene.contents()[0].startswith(
            "🔴 api is DOWN: process died repeatedly and is not started again (exit 1)"
        )
