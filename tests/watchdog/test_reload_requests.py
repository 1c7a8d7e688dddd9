"""What is asked of the daemon from outside, and how much of an answer fits into a message."""

import asyncio
from datetime import UTC, datetime

from cogs.cards.common import word
from opsbot.core.access import Actor, Origin
from opsbot.core.model import Notification, NotificationKind
from opsbot.daemon.reload import LINE_MOST, LINES_MOST, bounded
from opsbot.runtime.signals import HANGUP, ReloadRequests

ADA = Actor(Origin.CLI, "unix:ada", "ada")


async def test_several_wishes_to_reload_are_one_and_each_is_answered() -> None:
    reload_requests = ReloadRequests(lambda: None)
    assert [reload_requests.reload(HANGUP), reload_requests.reload(ADA)] == [1, 2]
    assert await reload_requests.until_reload()
    assert reload_requests.take_reload() == [HANGUP, ADA]
    assert not reload_requests.reload_wanted
    assert reload_requests.reload(ADA) == 3
    reload_requests.answered("done")
    assert reload_requests.answer is not None
    assert reload_requests.answer.answered == 2, "the third came too late for this one"


async def test_a_stop_goes_before_a_reload_and_cuts_short_what_waits() -> None:
    said: list[str] = []
    reload_requests = ReloadRequests(lambda: said.append("stopping"))
    cut: list[str] = []

    async def wait() -> bool:
        try:
            await asyncio.sleep(60)  # it hangs
        except asyncio.CancelledError:
            cut.append("cut")
            raise
        return True

    asyncio.get_running_loop().call_later(0.05, reload_requests.stop)
    assert await reload_requests.unless_stopped(wait()) is None
    assert cut == ["cut"]
    reload_requests.reload(HANGUP)
    reload_requests.stop()
    assert not await reload_requests.until_reload()
    assert said == ["stopping"]


def test_a_message_has_room_for_so_many_lines() -> None:
    lines = bounded([f"config.toml:{number}: key: " + "x" * 500 for number in range(100)])
    assert len(lines) == LINES_MOST + 1
    assert all(len(line) <= LINE_MOST for line in lines)
    assert lines[0].startswith("config.toml:0: ")
    assert lines[-1] == "and 85 more, see opsbot's log"
    assert bounded(["one"]) == ["one"]


def test_lines_of_a_message_stay_in_their_block_and_ping_nobody() -> None:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    hostile = ["a.toml:1: key: ``` @everyone <@1> \x1b[31m", "a.toml:2: **bold**"]
    most = bounded(["x" * 500] * 100)
    for lines in (hostile, most):
        body: dict[str, object] = {"text": "wrong", "level": "error", "lines": lines}
        shown = word(Notification(1, "k", NotificationKind.WORD, "", at, body=body), "host")
        assert len(shown.text) < 4096
        assert shown.text.count("```") == 2
        assert shown.text.count("\n") == len(lines) + 2, "all of them fit"
        assert "@everyone" not in shown.text.replace("@\u200beveryone", "")
        assert "\x1b" not in shown.text
