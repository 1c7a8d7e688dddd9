"""The disk with opsbot's own state is full for a while: the deployment still comes to its end."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import pytest

from opsbot.core.deployment import Deployment, Phase
from opsbot.store import Store
from tests.fixtures.sample import Remote, make_config, make_service, person
from tests.fixtures.stage import Stage

P = ParamSpec("P")
T = TypeVar("T")


class FullStore(Store):
    """From the first write of a phase on, so many writes fail."""

    def __init__(self, path: Path, phase: Phase, failures: int) -> None:
        super().__init__(path)
        self._phase = phase
        self._left = failures

    async def write(
        self, deed: Callable[Concatenate[sqlite3.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        told = args[0] if args and isinstance(args[0], Deployment) else None
        if told is not None and self._left and (told.phase is self._phase or self._left < 4):
            self._left -= 1
            raise sqlite3.OperationalError("database or disk is full")
        return await super().write(deed, *args, **kwargs)


@pytest.mark.parametrize(
    ("phase", "end"),
    [
        (Phase.PREPARING, Phase.FAILED),
        (Phase.RESTARTING, Phase.LIVE),
        (Phase.LIVE, Phase.LIVE),
        (Phase.UNDOING, Phase.UNDONE),
    ],
)
async def test_a_full_state_directory_delays_the_end_and_does_not_lose_it(
    tmp_path: Path, remote: Remote, port: int, phase: Phase, end: Phase
) -> None:
    if phase is Phase.UNDOING:
        remote.syntax_error()
    config = make_config(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1, verify_timeout=2))
    async with FullStore(config.state.database, phase, 4) as store:
        stage = Stage(config, store)
        await stage.manager.open()
        try:
            begun = await stage.ask(actor=person())
            assert isinstance(begun, Deployment)
            ended = await stage.deployer.wait(begun.id)
            assert ended.phase is end
            remote.version("2")
            assert (await stage.deploy()).phase is Phase.LIVE
            await stage.assert_well("2")
        finally:
            await stage.deployer.close()
            await stage.manager.stop("web")
            await stage.manager.close()
            stage.prober.close()
