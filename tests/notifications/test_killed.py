"""opsbot is killed while it tells a notifier, which itself takes messages without answering, or refuses them."""

import asyncio
import os
import random
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from opsbot.core.message import plain
from opsbot.core.model import Evidence, Incident
from opsbot.store import Store, deliveries, incident_repository
from tests.notifications.test_notifiers import Phone, listening

ALARMS = 6
PROJECT = Path(__file__).parents[2]


async def start(folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.notifications.runner", str(folder / "s.db"), str(folder / "url")),
        cwd=PROJECT,
        start_new_session=True,
    )


async def test_every_alarm_arrives_in_order_and_what_arrives_twice_says_so(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    async with Store(tmp_path / "s.db") as store, listening(Phone()) as phone:
        (tmp_path / "url").write_text(f"json://127.0.0.1:{phone.port}/")
        await store.write(deliveries.enroll, "phone", ["incident"], (), datetime.now(UTC))
        for number in range(ALARMS):
            draft = Incident(0, f"s{number}", plain("gone"), datetime.now(UTC), Evidence())
            await store.write(incident_repository.open_incident, draft)
        await store.write(deliveries.enroll, "phone", ["incident"], (), datetime.now(UTC))
        phone.answers = [chance.choice((200, 0, 503)) for _ in range(ALARMS)]
        rounds = 0
        while (await store.read(deliveries.waiting))["phone"][0]:
            rounds += 1
            process = await start(tmp_path)
            if rounds <= ALARMS:
                # Killed after the next message came in, or before: sometimes between the arrival and the note of it.
                before = len(phone.got)
                for _ in range(chance.randrange(100, 600)):
                    if len(phone.got) > before:
                        break
                    await asyncio.sleep(0.01)  # between two looks
                await asyncio.sleep(chance.choice((0.0, 0.05, 0.3)))  # killed at a random moment
            else:
                while (await store.read(deliveries.waiting))["phone"][0]:
                    await asyncio.sleep(0.1)  # between two looks
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
    unmarked = [title for title in phone.titles if not title.startswith("(again)")]
    assert len(set(unmarked)) == len(unmarked), "what arrives twice says so"
    order = [title.removeprefix("(again) ") for title in phone.titles]
    assert list(dict.fromkeys(order)) == [f"[blue] 🔴 s{number} is DOWN: gone" for number in range(ALARMS)], (
        "all, in order"
    )
