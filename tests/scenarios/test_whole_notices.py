"""The whole product tells a phone and a dead-man's switch, and a window mutes what dies in it."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.fixtures.whole import open_whole
from tests.notifications.test_notifiers import KEY, Phone, listening
from tests.watchdog.test_dead_mans_switch import UUID, open_switch


async def test_a_death_is_told_on_the_phone_but_not_within_a_window(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        phone = await stack.enter_async_context(listening(Phone()))
        switch = await stack.enter_async_context(open_switch())
        whole = await stack.enter_async_context(open_whole(tmp_path, start=False))
        whole.environment["OPSBOT_TEST_PHONE"] = f"json://127.0.0.1:{phone.port}/{KEY}"
        whole.environment["OPSBOT_TEST_SWITCH"] = switch.url
        text = await asyncio.to_thread(whole.config.path.read_text)
        text += '\n[notifiers.phone]\nurl_env = "OPSBOT_TEST_PHONE"\n'
        text += '[heartbeat]\nurl_env = "OPSBOT_TEST_SWITCH"\ninterval = "5s"\n'
        await asyncio.to_thread(whole.config.path.write_text, text)
        whole.start()
        await whole.serves("1")
        await whole.said("web runs")
        before = await whole.pid()
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await whole.until(lambda: len(phone.got) >= 2, 60, "an alarm and a recovery on the phone")
        assert ["🔴" in phone.titles[0], "🟢" in phone.titles[1]] == [True, True]
        await whole.until(lambda: ("", "") in switch.heard, 30, "the switch hears that all is well")
        assert switch.heard[0] == ("/start", "")

        now = datetime.now(UTC) - timedelta(minutes=1)
        window = f'[[windows]]\nname = "now"\nstart = "{now:%H:%M}"\nduration = "2h"\ndate = "{now:%Y-%m-%d}"\n'
        await asyncio.to_thread(whole.config.path.write_text, text + window)
        reloaded = await asyncio.to_thread(whole.cli, "reload")
        assert reloaded.returncode == 0, reloaded.stdout + reloaded.stderr
        shown = await asyncio.to_thread(whole.cli, "status")
        assert "silenced by the window now" in shown.stdout
        before = await whole.pid()
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await whole.other_pid(before)
        await whole.serves("1")
        assert len(phone.got) == 2
        assert [path for path, _ in switch.heard].count("/start") == 1
        log = await asyncio.to_thread(whole.log.read_text)
        assert KEY not in log
        assert UUID not in log
