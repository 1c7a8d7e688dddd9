"""A deploy that waits for a quiet moment: through opsbot's end, a person's hurry, an undo, a rollback."""

import asyncio
import sqlite3
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from opsbot.core.access import Origin, itself
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentRequest, Hold, Phase, RefusalReason, Refused
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.message import Message, plain
from opsbot.deploy.poll import Poller
from opsbot.deploy.waiting import waiting_since
from opsbot.store import ledger
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, make_service, person
from tests.fixtures.stage import Stage, clock, open_stage
from tests.fixtures.waiting import until

WORDS = "in #meeting with 4 people, at the latest <t:1772366400:R>"


@dataclass
class Room:
    """A voice channel."""

    words: str = ""
    asked: list[str] = field(default_factory=list)

    async def veto(self, service: str) -> Message | None:
        self.asked.append(service)
        return plain(self.words) if self.words else None

    @property
    def vetoes(self) -> Inhibitors:
        return Inhibitors(swings=[self.veto])


async def waits(stage: Stage, number: int) -> bool:
    found = await stage.store.read(ledger.deployment, number)
    if found is None or found.phase is not Phase.WAITING:
        return False
    return bool(found.steps) and found.steps[-1].phase is Phase.WAITING and said(found.steps[-1].note) == WORDS


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
        assert said(found.steps[-1].note) == WORDS
        assert await stage.version() == "1"  # nothing live has changed
        assert len(stage.folders()) == 2
        assert not stage.deployer.busy("web")  # so it is watched, and recovered where it has to be
        await asyncio.wait_for(stage.deployer.idle(), 1)  # nor does it hold up a reload
        again = await stage.ask()  # the same commit
        assert isinstance(again, Refused)
        assert again.why is RefusalReason.BUSY
        assert "`opsbot now web`" in said(again.message)
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
        assert "ended by ada" in [said(step.note) for step in ended.steps]
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
        await asyncio.sleep(0.1)  # what must not happen would have by then
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
        back = await stage.deployer.start(DeploymentRequest("web", DeploymentKind.ROLLBACK, itself(Origin.RECOVERY)))
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
        back = await stage.deployer.start(DeploymentRequest("web", DeploymentKind.ROLLBACK, person()))
        assert isinstance(back, Deployment)
        await until(lambda: waits(stage, back.id))
        assert await stage.version() == "2"
        room.words = ""
        assert (await stage.deployer.wait(back.id)).phase is Phase.LIVE
        await stage.assert_well("1")


async def test_what_nobody_asked_for_does_not_begin_against_a_veto(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room("a maintenance window")
    vetoes = Inhibitors(deploys=[room.veto])
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=vetoes) as stage:
        refused = await stage.ask(actor=itself(Origin.POLL))
        assert isinstance(refused, Refused)
        assert refused.why is RefusalReason.NOT_NOW
        await stage.deploy()  # a person's word
        await stage.assert_well("1")


async def test_a_veto_that_fails_is_passed_over(tmp_path: Path, remote: Remote, port: int) -> None:
    async def broken(service: str) -> Message | None:
        raise RuntimeError(service)

    vetoes = Inhibitors(swings=[broken])
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=vetoes) as stage:
        await stage.deploy()
        await stage.assert_well("1")


# What comes while it waits


async def ends(stage: Stage) -> list[tuple[str, str]]:
    """Commit and end of every deployment, oldest first."""
    found = await stage.store.read(ledger.deployments, "web")
    return [(each.commit_to or "", str(each.phase)) for each in reversed(found)]


async def test_newer_commits_take_its_place_and_only_the_newest_goes_live(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        poller = Poller(stage.config, stage.store, stage.feed, stage.deployer, clock)
        first = remote.head()
        await stage.deploy()
        room.words = WORDS
        commits, numbers = [], []
        for version in ("2", "3", "4"):
            commits.append(remote.version(version))
            polled = await poller.poll("web")
            assert polled.outcome == "deploying"
            assert polled.deployment is not None
            numbers.append(polled.deployment)
            await until(partial(waits, stage, polled.deployment), 15)
            again = await poller.poll("web")  # the same commit is not prepared twice
            assert (again.outcome, again.deployment) == ("deploying", polled.deployment)
        assert await stage.version() == "1"
        replaced = await stage.store.read(ledger.deployment, numbers[0])
        assert replaced is not None
        assert said(replaced.note) == f"`{commits[1][:7]}`, which main points to now (deployment {numbers[1]})"
        room.words = ""
        assert (await stage.deployer.wait(numbers[-1])).phase is Phase.LIVE
        await stage.assert_well("4")
        assert await ends(stage) == [
            (first, "live"),
            (commits[0], "replaced"),
            (commits[1], "replaced"),
            (commits[2], "live"),
        ]
        await until(lambda: _folders(stage, 2))  # nothing is left of those that never ran
        await poller.close()


async def _folders(stage: Stage, count: int) -> bool:
    return len(stage.folders()) == count


async def test_the_one_that_takes_its_place_has_waited_as_long(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        await stage.deploy()
        assert await stage.store.read(waiting_since, "web") is None
        room.words = WORDS
        remote.version("2")
        await begin(stage)
        since = await stage.store.read(waiting_since, "web")
        assert since is not None
        remote.version("3")
        await begin(stage)
        assert await stage.store.read(waiting_since, "web") == since
        await stage.store.write(ledger.put_hold, Hold("web", "ada", None, clock()))
        await until(lambda: _idle(stage), 15)
        await stage.store.write(ledger.lift_hold, "web")
        await begin(stage)  # held meanwhile: this is another wait
        after = await stage.store.read(waiting_since, "web")
        assert after is not None
        assert after > since


async def _idle(stage: Stage) -> bool:
    return stage.deployer.waiting("web") is None


async def test_a_hold_ends_it_and_a_resume_begins_anew(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        poller = Poller(stage.config, stage.store, stage.feed, stage.deployer, clock)
        await stage.deploy()
        room.words = WORDS
        remote.version("2")
        polled = await poller.poll("web")
        assert polled.deployment is not None
        await until(partial(waits, stage, polled.deployment), 15)
        await stage.store.write(ledger.put_hold, Hold("web", "ada", plain("a meeting"), clock()))
        ended = await stage.deployer.wait(polled.deployment)
        assert (ended.phase, ended.failed_in) == (Phase.SKIPPED, Phase.WAITING)
        assert said(ended.note) == "deploys of web are paused by ada: a meeting. Resume first."
        room.words = ""
        assert (await poller.poll("web")).outcome == "noted"
        await stage.assert_well("1")
        await stage.store.write(ledger.lift_hold, "web")
        polled = await poller.poll("web")
        assert polled.deployment is not None
        assert (await stage.deployer.wait(polled.deployment)).phase is Phase.LIVE
        await stage.assert_well("2")
        await poller.close()


@pytest.mark.parametrize("meanwhile", ["held", "quarantined"])
async def test_what_came_while_opsbot_was_away_is_heeded_before_the_switch(
    tmp_path: Path, remote: Remote, port: int, meanwhile: str
) -> None:
    room, service = Room(), make_service(tmp_path, remote.url, port, soak=0.1)
    async with open_stage(tmp_path, service, stop=False, vetoes=room.vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        commit = remote.version("2")
        begun = await stage.ask(ref=commit, actor=itself(Origin.POLL))
        assert isinstance(begun, Deployment)
        await until(partial(waits, stage, begun.id), 15)
    room.words = ""
    async with open_stage(tmp_path, service, settle=False, vetoes=room.vetoes) as stage:
        if meanwhile == "held":
            await stage.store.write(ledger.put_hold, Hold("web", "ada", None, clock()))
        else:
            await stage.store.write(quarantine, commit)
        await stage.deployer.settle()
        ended = await stage.deployer.wait(begun.id)
        assert (ended.phase, ended.failed_in) == (Phase.SKIPPED, Phase.WAITING)
        await stage.assert_well("1")


def quarantine(db: sqlite3.Connection, commit: str) -> None:
    db.execute("INSERT INTO quarantine (service, commit_id, reason, at) VALUES ('web', ?, '', 0)", (commit,))


async def test_a_persons_word_takes_its_place_and_the_poll_leaves_that_alone(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        poller = Poller(stage.config, stage.store, stage.feed, stage.deployer, clock)
        await stage.deploy()
        wanted = remote.version("2")
        await stage.deploy()
        remote.version("3")
        await stage.roll_back()
        room.words = WORDS
        number = await begin(stage)  # of the branch
        by_hand = await stage.ask(ref=wanted)
        assert isinstance(by_hand, Deployment)
        await until(partial(waits, stage, by_hand.id), 15)
        replaced = await stage.store.read(ledger.deployment, number)
        assert replaced is not None
        assert said(replaced.note) == f"`{wanted[:7]}`, requested by {person().name} (deployment {by_hand.id})"
        remote.version("4")
        assert (await poller.poll("web")).outcome == "later"  # what a person named stays
        kept = min(name for name in stage.folders() if wanted[:10] in name)
        back = await stage.deployer.start(DeploymentRequest("web", DeploymentKind.ROLLBACK, person(), release=kept))
        assert isinstance(back, Deployment)
        assert not stage.deployer.hurry(by_hand.id, "ada")
        await until(partial(waits, stage, back.id), 15)
        assert stage.deployer.hurry(back.id, "ada")
        assert (await stage.deployer.wait(back.id)).phase is Phase.LIVE
        await stage.assert_well("2")
        await poller.close()


async def test_a_branch_that_is_set_back_to_what_runs_takes_it_back(tmp_path: Path, remote: Remote, port: int) -> None:
    room = Room()
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=room.vetoes) as stage:
        poller = Poller(stage.config, stage.store, stage.feed, stage.deployer, clock)
        live = remote.head()
        await stage.deploy()
        room.words = WORDS
        remote.version("2")
        polled = await poller.poll("web")
        assert polled.deployment is not None
        await until(partial(waits, stage, polled.deployment), 15)
        remote.git("reset", "--hard", live)
        remote.git("push", "-q", "-f", "origin", "HEAD:refs/heads/main")
        assert (await poller.poll("web")).outcome == "no-news"
        ended = await stage.deployer.wait(polled.deployment)
        assert ended.phase is Phase.SKIPPED
        assert said(ended.note) == f"main points to `{live[:7]}` again, which is live"
        await stage.assert_well("1")
        await poller.close()


async def test_a_window_that_opens_meanwhile_holds_up_what_nobody_asked_for(
    tmp_path: Path, remote: Remote, port: int
) -> None:
    room, window = Room(), Room()
    vetoes = Inhibitors(swings=[room.veto], deploys=[window.veto])
    async with open_stage(tmp_path, make_service(tmp_path, remote.url, port, soak=0.1), vetoes=vetoes) as stage:
        await stage.deploy()
        room.words = WORDS
        begun = await stage.ask(ref=remote.version("2"), actor=itself(Origin.POLL))
        assert isinstance(begun, Deployment)
        await until(partial(waits, stage, begun.id), 15)
        window.words, room.words = "automatic deploys wait: the window night", ""
        await until(lambda: _says(stage, begun.id, window.words))
        assert await stage.version() == "1"
        assert stage.deployer.hurry(begun.id, "ada")
        assert (await stage.deployer.wait(begun.id)).phase is Phase.LIVE


async def _says(stage: Stage, number: int, words: str) -> bool:
    found = await stage.store.read(ledger.deployment, number)
    return found is not None and said(found.steps[-1].note) == words
