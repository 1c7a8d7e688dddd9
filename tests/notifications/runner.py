"""Runs one notifier over a store until it is killed: `python -m tests.notifications.runner STORE URL_FILE`."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from opsbot.config import Notifier, Secret
from opsbot.notifications.notifiers import Notifiers, RetryPace
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store


async def main(store: Path, url: Path) -> None:
    async with Store(store) as opened:
        pace = RetryPace(retry_first=0.05, retry_most=0.2, look=0.1)
        phone = Notifier("phone", Secret(file=url))
        await Notifiers({"phone": phone}, opened, ChangeNotifier(), lambda: datetime.now(UTC), "blue", pace=pace).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
