"""One takes the place of another that waits: that one is not given up before the newer one is ready."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from opsbot.core.access import Origin, itself
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentRequest, Hold, Phase, RefusalReason, Refused
from opsbot.core.message import plain
from opsbot.deploy import deployer
from opsbot.deploy.poll import Poller
from opsbot.deploy.reconcile import put_right
from opsbot.deploy.target import DeployTarget
from opsbot.store import ledger
from tests.deploy.test_waiting import WORDS, Room, ends, waits
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, make_service, person
from tests.fixtures.stage import Stage, clock, open_stage
from tests.fixtures.waiting import until

SLOW = {"install.sh": "while ! test -e ../../go; do sleep 0.05; done; mkdir -p node_modules\n"}
"""An install step that ends when the test lets it."""


async def phase_of(stage: Stage, number: int) -> Phase:
    found = await stage.store.read(ledger.deployment, number)
    assert found is not None
    return found.phase


async def is_in(stage: Stage, number: int, *phases: Phase) -> bool:
    return await phase_of(stage, number) in phases


async def waiting(stage: Stage, ref: str) -> Deployment:
    """A deploy that nobody asked for, waiting with all prepared."""
    begun = await stage.ask(ref=ref, actor=itself(Origin.POLL))
    assert isinstance(begun, Deployment)
    await until(partial(waits, stage, begun.id), 15)
    return begun


async def test_the_good_one_goes_on_waiting_when_the_newer_one_fails_to_install_and_goes_live(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        poller = Poller(stage.config, stage.store, stage.feed, stage.deployer, clock)
        first = remote.head()
        await stage.deploy()
        room.words = WORDS
        good = remote.version("2")
        waited = await waiting(stage, good)
        bad = remote.failing_install()
        polled = await poller.poll("web")
        assert polled.deployment not in {None, waited.id}
        failed = await stage.deployer.wait(polled.deployment or 0)
        assert failed.phase is Phase.FAILED
        assert failed.let_go_on == failed.instead_of == waited.id
        blocked = await stage.store.read(ledger.quarantined, "web")
        assert {commit: each.reason for commit, each in blocked.items()} == {bad: failed.note}
        await until(partial(waits, stage, waited.id), 15)
        assert (await poller.poll("web")).outcome == "no-news"  # it is not given up for what is quarantined
        assert await stage.version() == "1"
        room.words = ""
        assert (await stage.deployer.wait(waited.id)).phase is Phase.LIVE
        await stage.assert_well("2")
        assert await ends(stage) == [(first, "live"), (good, "live"), (bad, "failed")]
        await until(lambda: _folders(stage, 2))
        await poller.close()


async def _folders(stage: Stage, count: int) -> bool:
    return len(stage.folders()) == count


async def test_it_stands_aside_with_its_release_while_the_newer_one_is_installed_and_is_replaced_then(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room = Room()
    ended: list[tuple[int, Phase]] = []
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        await stage.deploy()
        stage.deployer.on_finish(lambda each: ended.append((each.id, each.phase)))
        room.words = WORDS
        waited = await waiting(stage, remote.version("2"))
        newer = await stage.ask(ref=remote.version("3", files=SLOW), actor=itself(Origin.POLL))
        assert isinstance(newer, Deployment)
        await until(lambda: is_in(stage, newer.id, Phase.INSTALLING), 15)
        aside = await stage.store.read(ledger.deployment, waited.id)
        assert aside is not None
        assert (aside.phase, aside.finished) == (Phase.ASIDE, False)
        assert await asyncio.to_thread(stage.releases.stands, aside.release_to)
        assert not stage.deployer.hurry(waited.id, "ada")
        refused = await stage.ask(ref=remote.head(), actor=itself(Origin.POLL))
        assert isinstance(refused, Refused)
        assert refused.deployment == newer.id
        (stage.releases.directory / "go").touch()
        await until(partial(waits, stage, newer.id), 15)
        assert await phase_of(stage, waited.id) is Phase.REPLACED
        assert ended == [(waited.id, Phase.REPLACED)]
        room.words = ""
        assert (await stage.deployer.wait(newer.id)).phase is Phase.LIVE
        assert (await stage.deployer.wait(waited.id)).phase is Phase.REPLACED
        await stage.assert_well("3")
        await until(lambda: _folders(stage, 2))


async def test_what_a_person_asks_for_and_cannot_be_had_gives_up_nothing(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        first = await stage.deploy()
        remote.version("2")
        await stage.deploy()
        room.words = WORDS
        waited = await waiting(stage, remote.version("3"))
        assert first.release_to is not None
        await asyncio.to_thread(stage.releases.discard, first.release_to)
        back = await stage.deployer.start(
            DeploymentRequest("web", DeploymentKind.ROLLBACK, person(), release=first.release_to)
        )
        assert isinstance(back, Deployment)
        ended = await stage.deployer.wait(back.id)
        assert ended.phase is Phase.FAILED
        assert ended.let_go_on == waited.id
        await until(partial(waits, stage, waited.id), 15)
        room.words = ""
        assert (await stage.deployer.wait(waited.id)).phase is Phase.LIVE
        await stage.assert_well("3")


async def test_one_that_goes_on_is_still_heeding_a_hold(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        waited = await waiting(stage, remote.version("2"))
        files = {"install.sh": "while ! test -e ../../go; do sleep 0.05; done; exit 7\n"}
        newer = await stage.ask(ref=remote.version("3", files=files), actor=itself(Origin.POLL))
        assert isinstance(newer, Deployment)
        await until(lambda: is_in(stage, newer.id, Phase.INSTALLING), 15)
        await stage.store.write(ledger.put_hold, Hold("web", "ada", plain("a meeting"), clock()))
        (stage.releases.directory / "go").touch()
        ended = await stage.deployer.wait(waited.id)
        assert ended.phase is Phase.SKIPPED
        assert said(ended.note) == "deploys of web are paused by ada: a meeting. Resume first."
        assert await phase_of(stage, newer.id) is Phase.FAILED
        await until(lambda: _folders(stage, 1))


async def test_opsbots_end_while_the_newer_one_is_installed_costs_the_good_one_nothing(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room, service = Room(), make_service(tmp_path, remote.url, port, soak=0.1)
    async with open_stage(tmp_path, service, stop=False, vetoes=room.vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        waited = await waiting(stage, remote.version("2"))
        newer = await stage.ask(ref=remote.version("3", files=SLOW), actor=itself(Origin.POLL))
        assert isinstance(newer, Deployment)
        await until(lambda: is_in(stage, newer.id, Phase.INSTALLING), 15)
    async with open_stage(tmp_path, service, vetoes=room.vetoes) as stage:
        await until(partial(waits, stage, waited.id), 15)
        assert await phase_of(stage, newer.id) is Phase.FAILED
        room.words = ""
        assert (await stage.deployer.wait(waited.id)).phase is Phase.LIVE
        await stage.assert_well("2")


async def test_two_who_ask_at_once_get_one_place(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        await waiting(stage, remote.version("2"))
        third, fourth = remote.version("3"), remote.version("4")
        both = await asyncio.gather(stage.ask(ref=third), stage.ask(ref=fourth))
        begun = [each for each in both if isinstance(each, Deployment)]
        refused = [each for each in both if isinstance(each, Refused)]
        assert (len(begun), [each.why for each in refused]) == (1, [RefusalReason.BUSY])
        await until(partial(waits, stage, begun[0].id), 15)


async def test_a_newer_one_that_installs_and_is_undone_names_the_one_that_was_given_up_for_it(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room = Room()
    service = make_service(tmp_path, remote.url, port, soak=0.1, verify_timeout=2)
    async with open_stage(tmp_path, service, vetoes=room.vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        good = remote.version("2")
        await waiting(stage, good)
        newer = await stage.ask(ref=remote.syntax_error(), actor=itself(Origin.POLL))
        assert isinstance(newer, Deployment)
        await until(partial(waits, stage, newer.id), 15)
        room.words = ""
        ended = await stage.deployer.wait(newer.id)
        assert ended.phase is Phase.UNDONE
        lost = f"is not deployed any more: /deploy service:web ref:{good[:7]}."
        assert lost in said(ended.note)
        assert (await stage.deploy(good[:7])).phase is Phase.LIVE
        await stage.assert_well("2")


async def test_a_rollback_to_what_was_replaced_finds_it_there(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        replaced = await waiting(stage, remote.version("2"))
        newer = await waiting(stage, remote.version("3"))
        assert await phase_of(stage, replaced.id) is Phase.REPLACED
        release = (await stage.store.read(ledger.deployment, replaced.id)).release_to  # type: ignore[union-attr]
        back = await stage.deployer.start(DeploymentRequest("web", DeploymentKind.ROLLBACK, person(), release=release))
        assert isinstance(back, Deployment), back
        await until(partial(waits, stage, back.id), 15)
        assert await phase_of(stage, newer.id) is Phase.REPLACED
        room.words = ""
        assert (await stage.deployer.wait(back.id)).phase is Phase.LIVE
        await stage.assert_well("2")


async def test_one_that_waited_goes_on_once_the_folders_are_put_right_and_not_beside_that(
    tmp_path: Path, remote: Remote, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room()
    service = make_service(tmp_path, remote.url, port, soak=2.0)
    async with open_stage(tmp_path, service, vetoes=room.vetoes, stop=False) as stage:
        await stage.deploy()
        room.words = WORDS
        waited = await waiting(stage, remote.version("2"))

    async def late(place: DeployTarget, *, busy: bool) -> None:
        await asyncio.sleep(1.0)  # as on a host that can hardly breathe
        await put_right(place, busy=busy)

    monkeypatch.setattr(deployer, "put_right", late)
    async with open_stage(tmp_path, service) as stage:
        assert (await stage.deployer.wait(waited.id)).phase is Phase.LIVE
        await stage.assert_well("2")
