"""The process that is soaked: engine, deployer, store and watcher as the daemon wires them, deploying again and again.

`python -m benchmarks._soaked DEPLOYS`; a line of JSON after each tenth: deploys, checks, rss, own (MB), files.
"""

import asyncio
import gc
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks._usage import anonymous, rss
from opsbot.config_file import load
from opsbot.core.access import Origin, itself
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentRequest, Phase
from opsbot.daemon.wiring import Parts, open_engine
from opsbot.runtime.memory import give_back, limit_arenas, settle_collector
from tests.fixtures.sample import Remote

CONFIG = """\
[discord]
token_env = "SOAK_TOKEN"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002

[roles]
admin = [100000000000000003]

[state]
directory = "{folder}/state"

[services.web]
manager = "process"
command = ["sleep", "infinity"]
soak = "0s"
startup_grace = "1s"
stop_timeout = "2s"

[services.web.source]
repository = "{repository}"
directory = "{folder}/srv"
poll = "1h"
auto = false
keep = 3

[[services.web.checks]]
kind = "process"
interval = "1s"
"""
LOOKS = 2
"""How often all checks are run after each deploy."""


async def _deploy(parts: Parts, commit: str) -> None:
    begun = await parts.deployer.start(DeploymentRequest("web", DeploymentKind.DEPLOY, itself(Origin.POLL), ref=commit))
    assert isinstance(begun, Deployment), begun
    ended = await parts.deployer.wait(begun.id)
    assert ended.phase is Phase.LIVE, ended


async def main(deploys: int) -> None:
    limit_arenas()  # this and what follows the wiring as the daemon does it
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        os.environ["SOAK_TOKEN"] = "none"  # noqa: S105 - no token
        remote = Remote(folder / "repository")
        commits = [remote.version(str(number)) for number in range(2)]
        file = folder / "config.toml"
        file.write_text(CONFIG.format(folder=folder, repository=remote.url))
        async with open_engine(load(file)) as parts:
            settle_collector()
            give_back()
            try:
                await _soak(parts, commits, deploys)
            finally:
                for manager in set(parts.engine.managers.values()):
                    await manager.stop("web")


async def _soak(parts: Parts, commits: list[str], deploys: int) -> None:
    checks = 0
    for number in range(deploys):
        await _deploy(parts, commits[number % 2])
        for _ in range(LOOKS):
            await parts.watcher.look(["web"])
            checks += 1
        await (
            parts.reminder_scheduler.tick()
        )  # these empty what they hear of, as the loops have them do every few seconds
        await parts.windows.tick()
        if (number + 1) % max(deploys // 10, 1) == 0:
            gc.collect()
            own, files = os.getpid(), len(list(Path("/proc/self/fd").iterdir()))
            told = {"deploys": number + 1, "checks": checks, "rss": rss(own), "own": anonymous(own), "files": files}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
