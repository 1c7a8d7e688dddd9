"""A deploy of a Node.js service with one dependency, beside `git pull && npm ci && restart` of the same commits.

Time is from the order to the first answer of the new version, downtime what a client sees that asks every 5 ms, the
last good answer before to the first good one after. `/deploy` is given in the channel of the stand-in. The bare restart
is SIGTERM, waiting for the end, and starting the same command at once. All three take turns.

What is changed is package.json's own version: npm has to run on both sides (opsbot takes the modules over where the
`when_changed` files are the same; that is measured as well).
"""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import Row, Scale, row, skipped
from benchmarks._bed import Bed, end, free_ports, open_bed, serving, until
from benchmarks._probe import Client, asking
from opsbot.store import ledger
from opsbot.store.database import open_readonly
from tests.fixtures.sample import Remote

ROUNDS = 10
SERVER = """\
const http = require("http");
const { name } = require("left-pad");
const version = require("./version.json");
http.createServer((_, answer) => answer.end(`${version} ${name}`)).listen(process.env.PORT, "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
"""
SERVICE = """\
[services.web]
manager = "process"
command = ["node", "server.js"]
environment = {{ PORT = "{port}" }}
soak = "0s"

[services.web.source]
repository = "{repository}"
directory = "{folder}/srv"
poll = "1h"
auto = false

[[services.web.install]]
when_changed = ["package.json", "package-lock.json"]
run = ["npm", "ci", "--omit=dev", "--no-audit", "--no-fund"]

[[services.web.checks]]
kind = "process"
interval = "5s"

[[services.web.checks]]
kind = "http"
url = "http://127.0.0.1:{port}/"
interval = "5s"
timeout = "1s"
"""
NPM = ("npm", "ci", "--omit=dev", "--no-audit", "--no-fund")


@dataclass(slots=True)
class Taken:
    """Seconds of each round."""

    whole: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)


def _files(number: int, package: int) -> dict[str, str | bytes | None]:
    about = {"name": "web", "version": f"1.0.{package}", "dependencies": {"left-pad": "file:left-pad"}}
    return {
        "server.js": SERVER,
        "version.json": json.dumps(number),
        "package.json": json.dumps(about),
        "left-pad/package.json": json.dumps({"name": "left-pad", "version": "1.0.0", "main": "index.js"}),
        "left-pad/index.js": 'exports.name = "left-pad";\n',
    }


def _lock(remote: Remote) -> None:
    """npm ci wants a lock file; the dependency is a folder of the repository, so nothing is fetched."""
    subprocess.run(
        ["npm", "install", "--package-lock-only", "--offline", "--no-audit", "--no-fund"],
        cwd=remote.work,
        check=True,
        capture_output=True,
        timeout=60,
    )


class Commits:
    """Makes new versions of the service."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._number = self._package = 0

    def next(self, *, packages: bool) -> str:
        """Push one more; what its service answers."""
        self._number += 1
        self._package += packages
        folder = self._remote.work
        for name, content in _files(self._number, self._package).items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(str(content))
        if packages:
            _lock(self._remote)
        (folder / ".gitignore").write_text("node_modules\n")
        self._remote.commit(message=f"Version {self._number}")
        return f"{self._number} left-pad"


class ByHand:
    """The old way: one clone, in which the service runs."""

    def __init__(self, remote: Remote, folder: Path, port: int) -> None:
        self.folder, self._port = folder, port
        subprocess.run(["git", "clone", "-q", remote.url, str(folder)], check=True, timeout=60)
        subprocess.run(NPM, cwd=folder, check=True, capture_output=True, timeout=120)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {"PATH": _path(), "PORT": str(self._port)}
        return subprocess.Popen(["node", "server.js"], cwd=self.folder, env=environment, start_new_session=True)

    def restart(self) -> None:
        """SIGTERM, wait, start."""
        self.process.terminate()
        self.process.wait(15)
        self.process = self._start()

    def deploy(self) -> None:
        """git pull && npm ci && restart."""
        subprocess.run(["git", "pull", "-q", "--ff-only"], cwd=self.folder, check=True, timeout=60)
        subprocess.run(NPM, cwd=self.folder, check=True, capture_output=True, timeout=120)
        self.restart()


def _path() -> str:
    node = shutil.which("node")
    assert node is not None
    return f"{Path(node).parent}:/usr/local/bin:/usr/bin:/bin"


async def _round(client: Client, taken: Taken, deed: Callable[[], Awaitable[object]], answer: str | None) -> None:
    """Do it; wait until it answers, with this answer where one is given."""
    await asyncio.sleep(0.3)
    client.forget()
    began = time.perf_counter()
    await deed()
    # A restart may be over within one question: the client sees no failure then, and that is what is measured.
    wanted = answer.encode() if answer is not None else client.last
    await until(lambda: client.well and client.last == wanted, 60, 0.002)
    taken.whole.append((client.changed_at if answer is not None else time.perf_counter()) - began)
    await asyncio.sleep(0.3)
    await until(lambda: client.well, 10)
    taken.down.append(client.down)


async def run(scale: Scale) -> list[Row]:
    """One host, one commit after the other."""
    if shutil.which("npm") is None:
        return [skipped("deploy", "npm is not installed")]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        return await _measure(Path(name), scale.times(ROUNDS))


async def _measure(folder: Path, rounds: int) -> list[Row]:
    remote = Remote(folder / "repository")
    commits = Commits(remote)
    first = await asyncio.to_thread(commits.next, packages=True)
    port, other = free_ports(2)
    services = SERVICE.format(port=port, repository=remote.url, folder=folder)
    new, same, old, bare, ours = Taken(), Taken(), Taken(), Taken(), Taken()
    hand = await asyncio.to_thread(ByHand, remote, folder / "clone", other)
    try:
        async with open_bed(folder / "bed", services) as bed, asking(port) as client, asking(other) as beside:
            person = bed.person("admin")

            async def deploy() -> None:
                await person.run("deploy", service="web")

            async def restart() -> None:
                await (await person.run("restart", service="web")).final()

            await deploy()
            await serving([port, other])
            await until(lambda: client.last == first.encode(), 30)
            for _ in range(rounds):
                answer = await asyncio.to_thread(commits.next, packages=True)
                await _settled(bed)
                await _round(client, new, deploy, answer)
                await _round(beside, old, lambda: asyncio.to_thread(hand.deploy), answer)
                answer = await asyncio.to_thread(commits.next, packages=False)
                await _settled(bed)
                await _round(client, same, deploy, answer)
                await _settled(bed)
                await _round(client, ours, restart, None)
                await _round(beside, bare, lambda: asyncio.to_thread(hand.restart), None)
    finally:
        await asyncio.to_thread(end, hand.process)
    return _rows(new, same, old, bare, ours)


async def _settled(bed: Bed) -> None:
    """Until the daemon has nothing under way: another deploy would be refused."""
    with closing(open_readonly(bed.config.state.database)) as db:
        await until(lambda: not ledger.unfinished(db), 60, 0.1)


def _rows(new: Taken, same: Taken, old: Taken, bare: Taken, ours: Taken) -> list[Row]:
    by_hand, restart = "git pull && npm ci && restart", "one bare restart"

    def of(name: str, mine: list[float], theirs: str, baseline: list[float], aim: str = "") -> Row:
        note = f"n = {len(mine)}, median"
        return row(name, median(mine) * 1000, "ms", theirs, median(baseline) * 1000, aim, note)

    return [
        of("deploy, packages changed: order to new version answering", new.whole, by_hand, old.whole),
        of("deploy, packages unchanged: order to new version answering", same.whole, by_hand, old.whole),
        of("deploy: downtime", new.down + same.down, by_hand, old.down),
        of("deploy: downtime", new.down + same.down, restart, bare.down, "≤ 1"),
        of("/restart: downtime", ours.down, restart, bare.down),
    ]
