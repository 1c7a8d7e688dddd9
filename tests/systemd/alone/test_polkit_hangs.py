"""A polkit that hangs: nothing else waits for it, and what it refused for that reason is asked once more."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.systemd.units import show, systemctl, write_unit

UNIT = "hangs-web.service"
RULE = Path("/etc/polkit-1/rules.d/60-hangs.rules")
RULE_TEXT = """\
polkit.addRule(function(action, subject) {
    if (subject.user === "opsbot" && action.id === "org.freedesktop.systemd1.manage-units" &&
        action.lookup("unit") === "hangs-web.service") return polkit.Result.YES;
    return polkit.Result.NOT_HANDLED;
});
"""
CHILD = """
import asyncio, logging, sys, time
from datetime import timedelta
from opsbot.services.systemd.bus import SystemdBus, Verb
logging.basicConfig(level=logging.WARNING, stream=sys.stdout)

async def main():
    bus = SystemdBus()
    await bus.open()
    beats = 0
    async def beat():
        nonlocal beats
        while True:
            await asyncio.sleep(0.1)
            beats += 1
            await bus.get("hangs-web.service", "ActiveState")
    beating = asyncio.create_task(beat())
    result = await bus.job(Verb.RESTART, "hangs-web.service", within=timedelta(seconds=90))
    beating.cancel()
    await bus.close()
    print("result", result, "beats", beats, flush=True)

asyncio.run(main())
"""


async def test_a_hung_polkit_delays_what_needs_it_and_nothing_else() -> None:
    await write_unit(UNIT, "[Service]\nExecStart=/bin/sleep 600\n")
    await asyncio.to_thread(RULE.write_text, RULE_TEXT)
    await systemctl("restart", "polkit.service")
    polkit = int(await show("polkit.service", "MainPID"))
    os.kill(polkit, signal.SIGSTOP)
    try:
        child = await asyncio.create_subprocess_exec(
            *("setpriv", "--reuid=opsbot", "--regid=opsbot", "--clear-groups"),
            *(sys.executable, "-c", CHILD),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert child.stdout is not None
        async with asyncio.timeout(60):
            # systemd's call of polkit runs out after 25 s; the child says that it asks once more.
            while "retrying once" not in (line := (await child.stdout.readline()).decode()):
                assert line, "it ended without asking again"
        os.kill(polkit, signal.SIGCONT)
        async with asyncio.timeout(60):
            rest = (await child.stdout.read()).decode()
    finally:
        os.kill(polkit, signal.SIGCONT)
        RULE.unlink()
        await systemctl("stop", UNIT)
    words = rest.split()
    assert words[:2] == ["result", "done"], rest
    assert int(words[3]) > 50, "reads went on meanwhile"
