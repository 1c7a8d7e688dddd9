"""What becomes of a deployment when opsbot is stopped in an orderly way, or who asked for it goes away."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from opsbot.core.deployment import Deployment, Phase, RefusalReason, Refused
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.message import Message, plain
from opsbot.redaction import Redactor
from opsbot.store import Store, ledger
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, make_config, make_service
from tests.fixtures.stage import Stage, open_stage
from tests.fixtures.waiting import until


async def reached(stage: Stage, phase: Phase) -> bool:
    unfinished = await stage.store.read(ledger.unfinished)
    return bool(unfinished) and unfinished[0].phase is phase


async def test_closing_in_an_install_ends_the_step_and_the_deployment(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    service = make_service(tmp_path, remote.url, port)
    async with open_stage(tmp_path, service) as stage:
        await stage.deploy()
        child = tmp_path / "child"
        remote.version("2", files={"install.sh": f"echo $$ > {child}; sleep 600\n"})
        begun = await stage.ask()
        assert isinstance(begun, Deployment)
        await until(lambda: asyncio.to_thread(lambda: child.exists() and bool(child.read_text())))
        await stage.deployer.close()
        ended = await stage.store.read(ledger.deployment, begun.id)
        assert ended is not None
        assert ended.phase is Phase.FAILED
        assert said(ended.note) == "opsbot was stopped while installing."
        assert ended.steps[-1].ok is False
        assert not Path(f"/proc/{int(child.read_text())}/cwd").exists()
        assert len(stage.folders()) == 1
        assert await stage.store.read(ledger.quarantined, "web") == {}
        await stage.assert_well("1")
        refused = await stage.ask()
        assert isinstance(refused, Refused)
        assert refused.why is RefusalReason.NOT_READY


async def test_closing_in_a_verification_leaves_it_to_the_next_start(tmp_path: Path, remote: Remote, port: int) -> None:
    service = make_service(tmp_path, remote.url, port, soak=2)
    async with open_stage(tmp_path, service, stop=False) as stage:
        begun = await stage.ask()
        assert isinstance(begun, Deployment)
        await until(lambda: reached(stage, Phase.VERIFYING))
        await stage.deployer.close(grace=0.1)
        assert [each.id for each in await stage.store.read(ledger.unfinished)] == [begun.id]
        await until(lambda: _answers(stage, "1"))
        pid = (await stage.answer())["pid"]
    async with open_stage(tmp_path, service) as stage:
        assert (await stage.deployer.wait(begun.id)).phase is Phase.LIVE
        assert (await stage.answer())["pid"] == pid  # it was verified anew, not restarted
        await stage.assert_well("1")


async def _answers(stage: Stage, version: str) -> bool:
    return await stage.version() == version


async def test_who_asked_may_go_away_at_any_moment(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1)) as stage:
        for hops in range(0, 40, 3):
            asking = asyncio.create_task(stage.ask())
            for _ in range(hops):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            for each in await stage.store.read(ledger.deployments):
                await asyncio.wait_for(stage.deployer.wait(each.id), 10)
        await stage.deploy()
        await stage.assert_well("1")


async def test_waiting_for_an_unknown_deployment_is_an_error(tmp_path: Path, remote: Remote, port: int) -> None:
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port)) as stage:
        with pytest.raises(LookupError):
            await stage.deployer.wait(77)


async def test_the_end_is_told_once_and_a_listener_that_fails_harms_nothing(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    ends: list[Phase] = []

    def fails(deployment: Deployment) -> None:
        raise RuntimeError(deployment.service)

    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1)) as stage:
        stage.deployer.on_finish(fails)
        stage.deployer.on_finish(lambda deployment: ends.append(deployment.phase))
        begun = await stage.ask()
        assert isinstance(begun, Deployment)
        assert stage.deployer.busy("web")
        await stage.deployer.wait(begun.id)
        assert not stage.deployer.busy("web")
        assert ends == [Phase.LIVE]


async def test_a_known_secret_in_a_services_last_words_is_not_written_down(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    remote.version("1", files={"server.py": "raise SystemExit('cannot log in with hunter2-hunter2')\n"})
    config = make_config(tmp_path, make_service(tmp_path, remote.url, port))
    async with Store(config.state.database) as store:
        stage = Stage(config, store, redact=Redactor(["hunter2-hunter2"]))
        await stage.manager.open()
        ended = await stage.deploy()
        assert ended.phase is Phase.UNDONE
        assert "cannot log in with " in ended.steps[-2].tail
        written = [path.read_bytes() for path in config.state.directory.glob("opsbot.sqlite3*")]
        assert len(written) > 1  # the write-ahead log too
        assert not any(b"hunter2-hunter2" in content for content in written)
        await stage.deployer.close()
        await stage.manager.close()
        stage.prober.close()


async def test_the_end_of_opsbot_while_it_writes_that_all_is_prepared_takes_nothing_away(
    tmp_path: Path, remote: Remote, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_a_meeting(service: str) -> Message:
        return plain(f"{service} is in a meeting")

    service = make_service(tmp_path, remote.url, port, soak=0.1)
    async with open_stage(tmp_path, service, stop=False) as stage:
        await stage.deploy()
    async with open_stage(tmp_path, service, stop=False, vetoes=Inhibitors(swings=[in_a_meeting])) as stage:
        writes, write = asyncio.Event(), stage.store.write

        async def slow(deed: Any, *args: Any, **kwargs: Any) -> Any:
            if not args or not isinstance(args[0], Deployment) or args[0].phase is not Phase.WAITING:
                return await write(deed, *args, **kwargs)

            def slowly(db: sqlite3.Connection) -> Any:
                time.sleep(0.3)  # a slow disk
                return deed(db, *args, **kwargs)

            writes.set()
            return await write(slowly)

        monkeypatch.setattr(stage.store, "write", slow)
        remote.version("2")
        begun = await stage.ask()
        assert isinstance(begun, Deployment)
        await asyncio.wait_for(writes.wait(), 20)
    async with open_stage(tmp_path, service) as stage:
        assert (await stage.deployer.wait(begun.id)).phase is Phase.LIVE
        await stage.assert_well("2")
