"""CPU of a poll that brings no news: the whole `Poller.poll` (ask, read the store, decide), against git.

CPU of a poll is that of this process and of every child it waited for, user and system together; CPU of git is that of
the children alone, without what starting them cost here. A served remote runs in a process of its own and is not
counted. The median of several rounds of all ways in turn, so that what else the machine does falls on all alike.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median

from benchmarks import Row, Scale, row
from opsbot.config import Config, Service
from opsbot.core.access import Origin, itself
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentRequest, Phase, Refused, Release
from opsbot.core.message import Message
from opsbot.deploy.poll import Poller
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.source.remote import git_environment
from opsbot.source.repo import Repository
from opsbot.store import Store, ledger
from tests.fixtures.sample import Remote, make_config, make_service

ROUNDS = 7
POLLS = 40
GITS = 8


ALL, CHILDREN = (RUSAGE_SELF, RUSAGE_CHILDREN), (RUSAGE_CHILDREN,)


def _cpu(whose: Sequence[int]) -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in map(getrusage, whose))


async def _cost(deed: Callable[[], Awaitable[object]], times: int, whose: Sequence[int]) -> float:
    """Milliseconds of CPU each time."""
    before = _cpu(whose)
    for _ in range(times):
        await deed()
    return (_cpu(whose) - before) / times * 1000


class _NoDeploys:
    """A poll without news starts none."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def busy(self, _service: str) -> bool:
        return False

    def withdraw(self, _number: int, _why: Message) -> bool:
        return False

    def on_finish(self, callback: Callable[[Deployment], None]) -> None:
        """Nothing ends."""

    def repository(self, _service: str) -> Repository:
        return self._repository

    async def start(self, request: DeploymentRequest) -> Deployment | Refused:
        raise AssertionError(f"a poll without news asked for a deployment: {request}")


@asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[str]:
    """The folder's repositories over http, from another process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fixtures.git_http", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    try:
        yield f"http://127.0.0.1:{port}/remote.git"
    finally:
        process.stdin.close()
        await process.wait()


async def _live(store: Store, service: str, commit: str) -> None:
    """The ledger says that this commit runs."""
    now = datetime.now(UTC)
    begun = await store.write(
        ledger.claim, DeploymentRequest(service, DeploymentKind.DEPLOY, itself(Origin.POLL), ref=commit), now
    )
    assert isinstance(begun, Deployment)
    await store.write(ledger.add_release, service, Release("first", commit, now, good=True))
    ended = replace(begun, phase=Phase.LIVE, commit_to=commit, finished_at=now, updated_at=now)
    await store.write(ledger.conclude, ended, live="first")


async def _git(service: Service, *words: str) -> None:
    assert service.source is not None
    process = await asyncio.create_subprocess_exec(
        "git", *words, env=git_environment(service.source), stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0


async def _measure(kind: str, config: Config, head: str, folder: Path, rounds: int) -> list[Row]:
    service = next(iter(config.services.values()))
    assert service.source is not None
    repository = Repository(service.source)
    assert await repository.bring() == head
    clone = folder / f"clone-{kind}.git"
    await _git(service, "clone", "-q", "--bare", service.source.repository, str(clone))
    async with Store(folder / f"{kind}.sqlite3") as store:
        await _live(store, service.name, head)
        poller = Poller(config, store, ChangeNotifier(), _NoDeploys(repository), lambda: datetime.now(UTC))

        async def poll() -> None:
            assert (await poller.poll(service.name)).outcome == "no-news"

        async def listed() -> None:
            await _git(service, "ls-remote", service.source.repository if service.source else "", "refs/heads/main")

        async def fetched() -> None:
            await _git(service, "-C", str(clone), "fetch", "-q", "origin", "main")

        await poll()
        costs = [
            (await _cost(poll, POLLS, ALL), await _cost(listed, GITS, CHILDREN), await _cost(fetched, GITS, CHILDREN))
            for _ in range(rounds)
        ]
        await poller.close()
    ours, by_list, by_fetch = (median(column) for column in zip(*costs, strict=True))
    return [
        row(f"poll without news, {kind}: CPU", ours, "ms", "git ls-remote", by_list, "≤ 1"),
        row(f"poll without news, {kind}: CPU", ours, "ms", "git fetch", by_fetch, "< 1"),
    ]


async def run(scale: Scale) -> list[Row]:
    """Over http and from a folder, with a hundred branches beside the tracked one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        remote = Remote.with_version(folder / "repository")
        os.environ.setdefault("GIT_CONFIG_GLOBAL", "/dev/null")
        for number in range(100):
            remote.git("push", "-q", "origin", f"HEAD:refs/heads/topic/{number}")
        async with _served(remote.bare.parent) as url:
            rows = []
            for kind, address in (("http", url), ("folder", remote.url)):
                service = make_service(folder, address, 1, directory=folder / f"srv-{kind}")
                rows += await _measure(kind, make_config(folder, service), remote.head(), folder, scale.times(ROUNDS))
        return rows
