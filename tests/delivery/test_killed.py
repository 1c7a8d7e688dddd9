"""A process of its own, killed with SIGKILL again and again while it tells: each notice arrives, in order, once."""

import asyncio
import random
import sys
from collections.abc import Callable

import pytest

from opsbot.core.model import NotificationKind
from opsbot.store import outbox
from tests.cogs.world import Json, World

pytestmark = pytest.mark.real_time

MESSAGES = r"/channels/\d+/messages$"
NOTICES = 12


def _saying(words: str) -> Callable[[Json], bool]:
    return lambda message: words in message["content"]


async def test_killed_at_any_moment_it_tells_each_notice_once_and_in_order(world: World) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    for number in range(NOTICES):
        body: dict[str, object] = {"text": f"word {number}", "level": "warning"}
        await world.store.write(outbox.put, f"w{number}", NotificationKind.WORD, "api", world.now(), body=body)
    world.standin.faults.delay(MESSAGES, 0.03, times=1000, method="POST")
    for round_number in range(3):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.delivery.child",
            str(world.config.path.parent),
            world.standin.api_url,
            world.standin.token,
        )
        try:
            told = len(world.posted())
            await world.standin.wait_for_message(_saying(f"word {told}"), 20)
            await asyncio.sleep(chance.uniform(0.0, 0.08))  # killed at another moment each time
        finally:
            child.kill()
            await child.wait()
        if round_number % 2:
            world.standin.store._nonces.clear()  # as minutes later: only the channel's history can tell
    assert (await world.store.read(outbox.waiting))[0] > 0, "it was killed while there was something to tell"
    await world.start()
    await world.all_told(20)
    said = [message["content"] for message in world.posted()]
    assert said == [f"⚠️ word {number}" for number in range(NOTICES)]
