"""A changed lock file waits in the channel until somebody presses Deploy."""

import asyncio
import json
from pathlib import Path

from tests.fixtures.whole import open_whole


async def test_a_changed_lock_file_is_deployed_by_the_button_of_its_notice(tmp_path: Path) -> None:
    async with open_whole(tmp_path, start=False) as whole:
        text = await asyncio.to_thread(whole.config.path.read_text)
        asking = text.replace('poll = "5s"', 'poll = "5s"\nask_when_changed = ["package-lock.json"]')
        await asyncio.to_thread(whole.config.path.write_text, asking)
        whole.start()
        await whole.serves("1")
        await whole.said("web runs")
        lock = json.dumps({"packages": {"node_modules/@discordjs/opus": {"version": "0.10.0"}}}, indent=2)
        head = await asyncio.to_thread(whole.remote.version, "2", "Newer voice", {"package-lock.json": lock})
        said = await whole.said(head[:7], "not deployed", "awaiting approval")
        assert "changes `package-lock.json` (native code: @discordjs/opus)" in said.replace("\\", "")
        message = whole.message(head[:7], "awaiting approval")
        assert message["embeds"][0]["title"] == "web: a new commit awaits approval"
        served = await asyncio.to_thread(whole.ask)
        assert served is not None
        assert served["version"] == "1"
        await whole.deployer.click(message, "Deploy")
        await whole.serves("2")
