"""Prints which release a service runs, as a user who may not see its process's directory; a process of its own."""

import asyncio
import sys
import tempfile
from pathlib import Path

from opsbot.config import ManagerKind, Service, Source
from opsbot.services.systemd.manager import Systemd


async def main(unit: str, folder: str) -> None:
    service = Service("web", ManagerKind.SYSTEMD, units=(unit,), source=Source("file:///none", Path(folder)))
    with tempfile.TemporaryDirectory() as state:
        manager = Systemd({"web": service}, Path(state))
        await manager.open()
        release = (await manager.state("web")).release
        await manager.close()
    sys.stdout.write(release.name if release else "unknown")


asyncio.run(main(*sys.argv[1:]))
