"""A start limit, which is counted from zero after each reload of systemd: no other test may reload meanwhile."""

import os
import signal
from pathlib import Path

from opsbot.services.port import Happening
from tests.fixtures.sample import Remote
from tests.fixtures.waiting import until
from tests.systemd.on_units import on_units
from tests.systemd.test_recovery import one, well

__all__ = ["on_units"]


async def test_what_systemd_gave_up_at_its_start_limit_is_revived(tmp_path: Path, remote: Remote, port: int) -> None:
    limits = "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=3"
    async with one(tmp_path, remote, port, limits) as watch:
        answer = await watch.stage.answer()
        server = Path(answer["folder"]) / "server.py"
        good = server.read_text()
        server.write_text("def broken(:\n")
        os.kill(answer["pid"], signal.SIGKILL)

        async def given_up() -> bool:
            return Happening.GAVE_UP in [event.what for event in watch.events]

        await until(given_up, 20)
        server.write_text(good)
        incident = await watch.over()
        assert any("restarting" in deed and " of 3" in deed for deed in watch.deeds(incident))
        await until(well(watch))
