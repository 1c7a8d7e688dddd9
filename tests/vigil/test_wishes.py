"""What is asked of the daemon from outside, and how much of an answer fits into a message."""

import asyncio
from datetime import UTC, datetime

from cogs._cards import word
from opsbot.core.access import Actor, Origin
from opsbot.core.model import Notice, NoticeKind
from opsbot.reload import LINE_MOST, LINES_MOST, bounded
from opsbot.wishes import HANGUP, Wishes

ADA = Actor(Origin.CLI, "unix:ada", "ada")


async def test_several_wishes_to_reload_are_one_and_each_is_answered() -> None:
    wishes = Wishes(lambda: None)
    assert [wishes.reload(HANGUP), wishes.reload(ADA)] == [1, 2]
    assert await wishes.until_reload()
    assert wishes.take_reload() == [HANGUP, ADA]
    assert not wishes.reload_wanted
    assert wishes.reload(ADA) == 3
    wishes.answered("done")
    assert wishes.answer is not None
    assert wishes.answer.answered == 2, "the third came too late for this one"


async def test_a_stop_goes_before_a_reload_and_cuts_short_what_waits() -> None:
    said: list[str] = []
    wishes = Wishes(lambda: said.append("stopping"))
    cut: list[str] = []

    async def wait() -> bool:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cut.append("cut")
            raise
        return True

    asyncio.get_running_loop().call_later(0.05, wishes.stop)
    assert await wishes.unless_stopped(wait()) is None
    assert cut == ["cut"]
    wishes.reload(HANGUP)
    wishes.stop()
    assert not await wishes.until_reload()
    assert said == ["stopping"]


def test_a_message_has_room_for_so_many_lines() -> None:
    lines = bounded([f"config.toml:{number}: key: " + "x" * 500 for number in range(100)])
    assert len(lines) == LINES_MOST + 1
    assert all(len(line) <= LINE_MOST for line in lines)
    assert lines[0].startswith("config.toml:0: ")
    assert lines[-1] == "and 85 more: opsbot's log has them all"
    assert bounded(["one"]) == ["one"]


def test_lines_of_a_message_stay_in_their_block_and_ping_nobody() -> None:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    hostile = ["a.toml:1: key: ``` @everyone <@1> \x1b[31m", "a.toml:2: **bold**"]
    most = bounded(["x" * 500] * 100)
    for lines in (hostile, most):
        body: dict[str, object] = {"text": "wrong", "level": "error", "lines": lines}
        shown = word(Notice(1, "k", NoticeKind.WORD, "", at, body=body), "host")
        assert len(shown.text) < 4096
        assert shown.text.count("```") == 2
        assert shown.text.count("\n") == len(lines) + 2, "all of them fit"
        assert "@everyone" not in shown.text.replace("@\u200beveryone", "")
        assert "\x1b" not in shown.text
