"""opsbot is killed again and again: what the channel shows of it.

Real kills; the hours are in `delivery/test_returns.py`.
"""

import asyncio
import json
import signal
import socket
from functools import partial
from pathlib import Path

from tests.fixtures.whole import Whole, open_whole


def begun(whole: Whole, starts: int) -> bool:
    return whole.log.read_text().count("opsbot watches web") == starts


async def killed(whole: Whole, times: int) -> str:
    """Kill opsbot and start it anew; the line that says so. Each is told before the next."""
    await whole.again(signal.SIGKILL)
    words = ("opsbot is back",) if times == 1 else (f"came back {times} times",)
    return await whole.said(*words, seconds=60)


async def test_opsbot_that_is_killed_again_and_again_is_one_message_and_then_an_alarm(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.said("web runs", seconds=60)
        assert "was killed or crashed" in await killed(whole, 1)
        assert "opsbot itself" not in "".join(whole.texts()), "once is an accident"
        twice = await killed(whole, 2)
        assert "since <t:" in twice
        assert "the last at <t:" in twice
        assert not [text for text in whole.texts() if "opsbot is back" in text], "the same message says it"
        await killed(whole, 3)
        alarm = await whole.said("opsbot itself: ended", "ended 3 times within", seconds=60)
        assert alarm.startswith("🔴")
        assert "journalctl -u opsbot" in json.dumps(whole.message("opsbot itself: ended")["embeds"])
        await killed(whole, 4)
        await asyncio.sleep(3)  # what must not happen would have by then
        back = [text for text in whole.texts() if "came back" in text or "is back" in text]
        assert len(back) == 1, whole.texts()
        assert len([text for text in whole.texts() if "opsbot itself" in text]) == 1, whole.texts()
        assert "journalctl -u opsbot" in json.dumps(whole.message("came back 4 times")["embeds"])
        incidents = await asyncio.to_thread(whole.cli, "incidents")
        assert "opsbot itself" in incidents.stdout, incidents.stdout + incidents.stderr


async def test_killed_while_discord_is_away_is_one_message_when_it_is_back(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.said("web runs", seconds=60)
        whole.standin.faults.away()
        for starts in (2, 3):
            await whole.again(signal.SIGKILL)
            await whole.until(partial(begun, whole, starts), 30, "it began")
        whole.standin.faults.back()
        await whole.said("came back 2 times", seconds=60)
        assert len([text for text in whole.texts() if "back" in text]) == 1, whole.texts()


async def test_a_kill_is_told_though_the_one_that_came_next_could_not_start(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.said("web runs", seconds=60)
        await whole.stop(signal.SIGKILL)
        with socket.create_server(("127.0.0.1", whole.http)):
            whole.start()
            assert whole.process is not None
            assert await asyncio.to_thread(whole.process.wait, 60) == 1
        assert "opsbot cannot start: http.listen" in whole.log.read_text()
        whole.start()
        await whole.said("opsbot is back", "was killed or crashed", seconds=60)
