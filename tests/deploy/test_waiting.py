"""A deploy that waits for a quiet moment: through opsbot's end, a person's hurry, an undo, a rollback."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from opsbot.core.access import Origin, itself
from opsbot.core.deployment import Deployment, Kind, Phase, Refused, Request, Why
from opsbot.deploy.vetoes import Vetoes
from opsbot.store import ledger
from tests.fixtures.sample import Remote, make_service, person
from tests.fixtures.stage import Stage, open_stage, until

WORDS = "in #meeting with 4 people, at the latest <t:1772366400:R>"


@dataclass
class Room:
    """A voice channel."""

    words: str = ""
    asked: list[str] = field(default_factory=list)

    async def veto(self, service: str) -> str | None:
        self.asked.append(service)
        return self.words or None

    @property
    def vetoes(self) -> Vetoes:
        return Vetoes(swings=[self.veto])


async def waits(stage: Stage, number: int) -> bool:
    found = await stage.store.read(ledger.deployment, number)
    if found is None or found.phase is not Phase.WAITING:
        return False
    return found.steps[-1].phase is Phase.WAITING and found.steps[-1].note == WORDS


async def begin(stage: Stage) -> int:
    begun = await stage.ask()
    assert isinstance(begun, Deployment)
    await until(lambda: waits(stage, begun.id), 15)
    return begun.id


async def test_it_waits_with_all_prepared_and_goes_on_when_nothing_speaks_against_it(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        remote.version("2")
        number = await begin(stage)
        found = await stage.store.read(ledger.deployment, number)
        assert found is not None
        assert found.steps[-1].note == WORDS
        assert await stage.version() == "1"  # nothing live has changed
        assert len(stage.folders()) == 2
        assert not stage.deployer.busy("web")  # so it is watched, and recovered where it has to be
        await asyncio.wait_for(stage.deployer.idle(), 1)  # nor does it hold up a reload
        again = await stage.ask()
        assert isinstance(again, Refused)
        assert again.why is Why.BUSY
        room.words = ""
        assert (await stage.deployer.wait(number)).phase is Phase.LIVE
        await stage.assert_well("2")


async def test_a_person_ends_the_wait(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        remote.version("2")
        number = await begin(stage)
        assert not stage.deployer.hurry(number + 1, "ada")
        assert stage.deployer.hurry(number, "ada")
        ended = await stage.deployer.wait(number)
        assert ended.phase is Phase.LIVE
        assert "ended by ada" in [step.note for step in ended.steps]
        await stage.assert_well("2")
        assert not stage.deployer.hurry(number, "ada")


async def test_it_waits_on_after_opsbots_end_and_can_still_be_hurried(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room, service = Room(), make_service(tmp_path, remote.url, port, soak=0.1)
    async with open_stage(tmp_path, service, stop=False, vetoes=room.vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        remote.version("2")
        number = await begin(stage)
        pid = (await stage.answer())["pid"]
    async with open_stage(tmp_path, service, vetoes=room.vetoes) as stage:
        await until(lambda: waits(stage, number))
        await asyncio.sleep(0.1)
        assert (await stage.answer())["pid"] == pid
        assert len(stage.folders()) == 2
        await until(lambda: _hurried(stage, number))
        assert (await stage.deployer.wait(number)).phase is Phase.LIVE
        await stage.assert_well("2")


async def _hurried(stage: Stage, number: int) -> bool:
    return stage.deployer.hurry(number, "ada")


async def test_a_wait_that_ended_while_opsbot_was_away_is_followed_by_the_switch(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room, service = Room(), make_service(tmp_path, remote.url, port, soak=0.1)
    async with open_stage(tmp_path, service, stop=False, vetoes=room.vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        remote.version("2")
        number = await begin(stage)
    room.words = ""
    async with open_stage(tmp_path, service, vetoes=room.vetoes) as stage:
        ended = await stage.deployer.wait(number)
        assert ended.phase is Phase.LIVE, ended
        await stage.assert_well("2")


async def test_an_undo_and_recoverys_rollback_wait_for_nobody(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        await stage.deploy()
        remote.version("2", files={"server.py": "raise SystemExit(1)\n"})
        begun = await stage.ask()
        assert isinstance(begun, Deployment)
        await until(lambda: _phase(stage, begun.id, Phase.VERIFYING, Phase.UNDOING, Phase.UNDONE), 15)
        room.words = WORDS
        assert (await asyncio.wait_for(stage.deployer.wait(begun.id), 20)).phase is Phase.UNDONE
        room.words = ""
        remote.version("3")
        await stage.deploy()
        room.words = WORDS
        back = await stage.deployer.start(Request("web", Kind.ROLLBACK, itself(Origin.RECOVERY)))
        assert isinstance(back, Deployment)
        assert (await asyncio.wait_for(stage.deployer.wait(back.id), 20)).phase is Phase.LIVE
        await stage.assert_well("1")


async def _phase(stage: Stage, number: int, *phases: Phase) -> bool:
    found = await stage.store.read(ledger.deployment, number)
    return found is not None and found.phase in phases


async def test_a_rollback_by_hand_waits_too(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        await stage.deploy()
        remote.version("2")
        await stage.deploy()
        room.words = WORDS
        back = await stage.deployer.start(Request("web", Kind.ROLLBACK, person()))
        assert isinstance(back, Deployment)
        await until(lambda: waits(stage, back.id))
        assert await stage.version() == "2"
        room.words = ""
        assert (await stage.deployer.wait(back.id)).phase is Phase.LIVE
        await stage.assert_well("1")


async def test_what_nobody_asked_for_does_not_begin_against_a_veto(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room("a maintenance window")
    vetoes = Vetoes(deploys=[room.veto])
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=vetoes) as stage:
        refused = await stage.ask(actor=itself(Origin.POLL))
        assert isinstance(refused, Refused)
        assert refused.why is Why.NOT_NOW
        await stage.deploy()  # a person's word
        await stage.assert_well("1")


async def test_a_veto_that_fails_is_passed_over(tmp_path: Path, remote: Remote, port: int) -> None:
    async def broken(service: str) -> str | None:
        raise RuntimeError(service)

    vetoes = Vetoes(swings=[broken])
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=vetoes) as stage:
        await stage.deploy()
        await stage.assert_well("1")
