"""The poll, with real git and a real store: what is deployed, what is told, and how often."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import Service
from opsbot.core.access import Origin
from opsbot.core.deployment import Hold, Phase
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.windows import Window, WindowDeploys
from opsbot.deploy.poll import Poller
from opsbot.monitoring.maintenance_windows import MaintenanceWindows
from opsbot.store import ledger
from tests.fixtures.git_http import git_server
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, make_config, make_service, person
from tests.fixtures.waiting import until
from tests.poll.lookout import Lookout, held, open_lookout


def service(folder: Path, remote: Remote, **source: object) -> Service:
    made = make_service(folder, remote.url, 1)
    assert made.source is not None
    return replace(made, source=replace(made.source, **source))  # type: ignore[arg-type]


@pytest.fixture
async def lookout(tmp_path: Path, remote: Remote) -> AsyncIterator[Lookout]:
    async with open_lookout(tmp_path, service(tmp_path, remote)) as made:
        yield made


async def live(lookout: Lookout) -> None:
    """The first commit is deployed."""
    assert await lookout.look() == "deploying"
    await lookout.deploys.end()


async def test_what_is_new_is_deployed_once_and_nothing_new_is_nothing(lookout: Lookout, remote: Remote) -> None:
    await live(lookout)
    first = remote.head()
    assert await lookout.look() == "no-news"
    second = remote.commit({"a": "b"})
    assert await lookout.look() == "deploying"
    assert await lookout.look() == "deploying", "it is under way"
    await lookout.deploys.end()
    assert await lookout.look() == "no-news"
    assert lookout.deployed == [first, second]


async def test_in_a_window_that_holds_a_commit_is_told_once_and_deployed_after_it(
    lookout: Lookout, remote: Remote
) -> None:
    await live(lookout)
    begin = lookout.clock()
    window = Window("night", begin.time(), timedelta(minutes=30), date=begin.date(), deploys=WindowDeploys.HOLD)
    vetoes = Inhibitors()
    MaintenanceWindows([window], [lookout.service], lookout.store, lookout.feed, lookout.clock, vetoes)
    poller = Poller(lookout.config, lookout.store, lookout.feed, lookout.deploys, lookout.clock, inhibitors=vetoes)
    await lookout.poller.close()
    lookout.poller = poller
    remote.commit({"a": "b"})
    assert [await lookout.look(minutes=9) for _ in range(3)] == ["noted"] * 3
    (text,) = await lookout.texts("update")
    assert "automatic deploys wait: the maintenance window night lasts until " in text
    by_hand = await poller.poll(lookout.service, Origin.CLI, person())
    assert str(by_hand.outcome) == "deploying"
    await lookout.deploys.end()
    third = remote.commit({"a": "c"})
    assert await lookout.look(minutes=9) == "deploying"
    assert lookout.deployed[-1] == third


async def test_a_push_during_a_deployment_follows_it_newest_only(lookout: Lookout, remote: Remote) -> None:
    first = remote.head()
    assert await lookout.look() == "deploying"
    remote.commit({"a": "1"})
    assert await lookout.look() == "later"
    newest = remote.commit({"a": "2"})
    assert await lookout.look() == "later"
    await lookout.deploys.end()
    await until(lambda: len(lookout.deployed) == 2)
    assert lookout.deployed == [first, newest]
    await lookout.deploys.end()
    await asyncio.sleep(0.05)  # what must not happen would have by then
    assert await lookout.look() == "no-news"
    assert lookout.deployed == [first, newest]


async def test_two_polls_at_once_are_one_that_looks_twice(tmp_path: Path, remote: Remote) -> None:
    async with git_server(remote.bare.parent) as server:
        made = service(tmp_path, remote, repository=server.url)
        async with open_lookout(tmp_path, made) as lookout:
            results = await asyncio.gather(
                *(lookout.poller.poll(lookout.service, origin) for origin in [Origin.POLL] + [Origin.WEBHOOK] * 9)
            )
            assert {each.outcome for each in results} == {"deploying"}
            assert len(lookout.deploys.requests) == 1
            asked = [method for method, path in server.seen if path.endswith("upload-pack") and method == "POST"]
            assert len(asked) <= 6, "two questions, and one fetch"


async def test_a_webhook_s_deploy_is_the_webhook_s(lookout: Lookout) -> None:
    lookout.poller.wake(lookout.service)
    await until(lambda: lookout.deploys.requests)
    assert lookout.deploys.requests[0].actor.origin is Origin.WEBHOOK


async def test_with_auto_off_each_commit_is_told_once_with_what_it_brings(tmp_path: Path, remote: Remote) -> None:
    async with open_lookout(tmp_path, service(tmp_path, remote, auto=False)) as lookout:
        await lookout.deploys.by_hand(remote.head())
        assert await lookout.look() == "no-news"
        remote.commit({"a": "1"}, "First @everyone", author="Eve")
        second = remote.commit({"a": "2"}, "Second")
        for _ in range(3):
            assert await lookout.look() == "noted"
        await lookout.restart()
        assert await lookout.look() == "noted"
        (notice,) = await lookout.notices("update")
        assert notice.key == f"update:web:{second}:manual"
        assert notice.body["commit"] == second
        assert notice.body["total"] == 2
        commits = notice.body["commits"]
        assert isinstance(commits, list)
        assert [(each["title"], each["author"]) for each in commits] == [("Second", "Ada"), ("First @everyone", "Eve")]
        assert (await lookout.state()).noted == second
        assert lookout.deployed == []


async def test_a_person_who_asks_for_the_newest_gets_it_with_auto_off(tmp_path: Path, remote: Remote) -> None:
    async with open_lookout(tmp_path, service(tmp_path, remote, auto=False)) as lookout:
        asked = await lookout.poller.poll("web", Origin.CLI, person())
        assert asked.outcome == "deploying"
        assert lookout.deploys.requests[0].actor == person()
        assert await lookout.notices("update") == []


async def test_a_held_service_is_told_once_and_deployed_after_resume(lookout: Lookout, remote: Remote) -> None:
    await live(lookout)
    await held(lookout, "exams")
    commit = remote.commit({"a": "b"})
    assert [await lookout.look() for _ in range(3)] == ["noted"] * 3
    why = "deploys are paused by ada: exams"
    assert await lookout.texts("update") == [f"web: new commit `{commit[:7]}` on main, not deployed: {why}"]
    await lookout.store.write(ledger.lift_hold, "web")
    assert await lookout.look() == "deploying"


async def test_after_a_rollback_only_a_newer_commit_is_deployed(lookout: Lookout, remote: Remote) -> None:
    await live(lookout)
    first = remote.head()
    middle = remote.commit({"a": "1"})
    bad = remote.commit({"a": "2"})
    assert await lookout.look() == "deploying"
    await lookout.deploys.end()
    await lookout.deploys.roll_back()
    for _ in range(3):
        assert await lookout.look() == "no-news", "the rollback said it"
    assert await lookout.texts("update") == []
    remote.set_back(middle)
    assert [await lookout.look() for _ in range(2)] == ["noted"] * 2, "an ancestor is not newer"
    assert len(await lookout.texts("update")) == 1
    newer = remote.commit({"a": "3"})
    assert await lookout.look() == "deploying"
    assert lookout.deployed == [first, bad, newer]


async def test_a_quarantined_commit_is_never_tried_again_by_itself(lookout: Lookout, remote: Remote) -> None:
    await live(lookout)
    bad = remote.commit({"a": "1"})
    assert await lookout.look() == "deploying"
    await lookout.deploys.end(Phase.FAILED, quarantine=True)
    for _ in range(3):
        assert await lookout.look() == "no-news", "its own card has told it"
    good = remote.commit({"a": "2"})
    assert await lookout.look() == "deploying"
    await lookout.deploys.end()
    remote.set_back(bad)
    assert [await lookout.look() for _ in range(3)] == ["noted"] * 3
    (text,) = await lookout.texts("update")
    assert f"`{bad[:7]}` on main failed on 2026-" in text, "it is no new commit"
    assert "not deployed again: blocked since it failed" in text
    assert lookout.deployed[-2:] == [bad, good]


async def test_a_failure_that_may_pass_is_tried_again_after_5_10_20_minutes_an_hour_at_most(
    lookout: Lookout, remote: Remote
) -> None:
    waits = []
    for _ in range(6):
        minutes = 0
        while await lookout.look(minutes=1) != "deploying":
            minutes += 1
        waits.append(minutes + 1)
        await lookout.deploys.end(Phase.FAILED)
    assert waits == [1, 5, 10, 20, 40, 60]
    remote.commit({"a": "b"})
    assert await lookout.look(minutes=1) == "deploying", "another commit does not wait for that"


async def test_a_resume_has_a_commit_that_was_rolled_back_tried_again_at_once(lookout: Lookout, remote: Remote) -> None:
    await live(lookout)
    bad = remote.commit({"a": "1"})
    assert await lookout.look() == "deploying"
    hold = Hold("web", "ada", None, lookout.clock(), waits=bad)
    await lookout.deploys.end(Phase.UNDONE, quarantine=True, hold=hold)
    assert await lookout.look(minutes=1) == "no-news"
    await lookout.store.write(ledger.lift_hold, "web")
    assert await lookout.store.write(ledger.lift_quarantine, "web") == (bad,)
    assert await lookout.look(minutes=1) == "waiting", "a failure is not repeated at once by itself"
    lookout.poller.resume("web")
    assert (await lookout.poller.poll("web")).outcome == "deploying"
    assert lookout.deployed[-2:] == [bad, bad]


async def test_a_commit_that_was_rolled_back_by_hand_is_not_announced_as_new(lookout: Lookout, remote: Remote) -> None:
    await live(lookout)
    rolled_back = remote.commit({"a": "1"})
    assert await lookout.look() == "deploying"
    await lookout.deploys.end()
    await lookout.deploys.roll_back()
    await held(lookout, "exams")
    assert await lookout.look(minutes=2) == "noted"
    (notice,) = await lookout.notices("update")
    assert notice.body["known"] is True
    assert f"`{rolled_back[:7]}` on main was rolled back on 2026-" in said(notice.said)


async def test_commits_of_ignored_files_are_noted_and_come_with_the_next_deploy(tmp_path: Path, remote: Remote) -> None:
    async with open_lookout(tmp_path, service(tmp_path, remote, ignore=("docs/**", "*.md"))) as lookout:
        await live(lookout)
        remote.commit({"docs/deep/a.txt": "1"})
        readme = remote.commit({"sub/README.md": "1"})
        assert [await lookout.look() for _ in range(2)] == ["noted"] * 2
        assert await lookout.texts("update") == [
            f"web: new commit `{readme[:7]}` on main, not deployed: it changes only docs/**, *.md"
        ]
        both = remote.commit({"docs/b.txt": "1", "code.py": "1"})
        assert await lookout.look() == "deploying"
        await lookout.deploys.end()
        remote.commit({"docs/c.txt": "1"})
        assert await lookout.look() == "noted"
        empty = remote.commit(message="Deploy it again")
        assert await lookout.look() == "noted", "the files that differ are those of the docs"
        assert lookout.deployed[-1] == both
        code = remote.commit({"code.py": "2"})
        assert await lookout.look() == "deploying"
        await lookout.deploys.end()
        assert empty != code
        again = remote.commit(message="Deploy it again")
        assert await lookout.look() == "deploying", "an empty commit asks for a deploy"
        assert lookout.deployed[-2:] == [code, again]


async def test_a_failed_commit_is_not_tried_again_for_a_change_of_the_docs(tmp_path: Path, remote: Remote) -> None:
    async with open_lookout(tmp_path, service(tmp_path, remote, ignore=("docs/**", "*.md"))) as lookout:
        await live(lookout)
        remote.commit({"code.py": "broken"})
        assert await lookout.look() == "deploying"
        await lookout.deploys.end(Phase.UNDONE, quarantine=True)
        remote.commit({"README.md": "1"})
        assert [await lookout.look() for _ in range(2)] == ["noted"] * 2
        mended = remote.commit({"code.py": "mended"})
        assert await lookout.look() == "deploying"
        assert lookout.deployed[-1] == mended


async def test_a_rewritten_history_is_deployed_and_told_once(lookout: Lookout, remote: Remote) -> None:
    remote.commit({"a": "1"})
    await live(lookout)
    old = remote.head()
    new = remote.rewrite("2")
    assert await lookout.look() == "deploying"
    assert said(lookout.deploys.requests[-1].reason) == "the history of main was rewritten"
    await lookout.deploys.end()
    await lookout.restart()
    assert await lookout.look() == "no-news"
    (text,) = await lookout.texts("source")
    assert f"`{new[:7]}` does not follow from `{old[:7]}`" in text
    remote.commit({"a": "3"})
    await lookout.look()
    assert len(await lookout.texts("source")) == 1


async def test_what_a_person_deployed_instead_stays_until_the_branch_moves(lookout: Lookout, remote: Remote) -> None:
    await live(lookout)
    first = remote.head()
    second = remote.commit({"a": "1"})
    assert await lookout.look() == "deploying"
    await lookout.deploys.end()
    assert await lookout.look() == "no-news"
    await lookout.deploys.by_hand(first)
    assert [await lookout.look() for _ in range(3)] == ["noted"] * 3
    assert lookout.deployed == [first, second]
    (text,) = await lookout.texts("update")
    assert "ada deployed another commit by hand" in text
    third = remote.commit({"a": "2"})
    assert await lookout.look() == "deploying"
    assert lookout.deployed[-1] == third


async def test_a_branch_set_back_after_a_deploy_by_hand_is_followed(lookout: Lookout, remote: Remote) -> None:
    await live(lookout)
    first = remote.head()
    await lookout.deploys.by_hand(remote.commit({"a": "1"}))
    assert await lookout.look() == "no-news"
    remote.set_back(first)
    assert await lookout.look() == "deploying"
    assert lookout.deployed[-1] == first


async def test_a_commit_that_is_only_noted_is_fetched_once(tmp_path: Path, remote: Remote) -> None:
    async with (
        git_server(remote.bare.parent) as server,
        open_lookout(tmp_path, service(tmp_path, remote, repository=server.url, auto=False)) as lookout,
    ):
        await lookout.look()
        server.agents.clear()
        assert [await lookout.look() for _ in range(3)] == ["noted"] * 3
        assert server.agents == ["git/opsbot"] * 3, "each asked in process, nothing fetched"


async def test_a_branch_set_back_to_an_older_commit_is_followed(lookout: Lookout, remote: Remote) -> None:
    await live(lookout)
    first = remote.head()
    remote.commit({"a": "1"})
    assert await lookout.look() == "deploying"
    await lookout.deploys.end()
    remote.set_back(first)
    assert await lookout.look() == "deploying"
    assert lookout.deployed[-1] == first


async def test_a_source_that_fails_is_told_at_the_second_poll_once_and_once_more_when_it_is_over(
    tmp_path: Path, remote: Remote
) -> None:
    async with (
        git_server(remote.bare.parent) as server,
        open_lookout(tmp_path, service(tmp_path, remote, repository=server.url)) as lookout,
    ):
        await live(lookout)
        answered = f"{lookout.clock():%Y-%m-%d %H:%M} UTC"
        server.answer = 503
        assert await lookout.look() == "failed"
        assert await lookout.texts("source") == [], "a blip is no news"
        assert await lookout.look() == "failed"
        await lookout.restart()
        for _ in range(3):
            assert await lookout.look() == "failed"
        (text,) = await lookout.texts("source")
        assert f"no answer from {server.url} (main) since {answered}: " in text
        assert "503" in text
        assert lookout.poller.failures["web"] == 3
        server.answer = 0
        assert await lookout.look() == "no-news"
        assert await lookout.look() == "no-news"
        texts = await lookout.texts("source")
        assert len(texts) == 2
        assert texts[1] == f"web: {server.url} (main) answers again, after 25 m"
        state = await lookout.state()
        assert (state.failing_since, state.failure, state.told) == (None, None, False)
        server.answer = 503
        await lookout.look()
        await lookout.look()
        assert len(await lookout.texts("source")) == 3, "another outage is another news"


async def test_a_blip_that_is_over_at_the_next_poll_is_never_told(tmp_path: Path, remote: Remote) -> None:
    async with (
        git_server(remote.bare.parent) as server,
        open_lookout(tmp_path, service(tmp_path, remote, repository=server.url)) as lookout,
    ):
        for status in (0, 500, 0, 502, 0):
            server.answer = status
            await lookout.look()
        assert await lookout.notices("source") == []


@pytest.mark.parametrize("fault", ["credentials", "branch", "repository"])
async def test_what_waits_for_a_person_is_told_at_once(tmp_path: Path, remote: Remote, fault: str) -> None:
    async with git_server(remote.bare.parent) as server:
        made = service(tmp_path, remote, repository=server.url, branch="nope" if fault == "branch" else "main")
        server.user = "a:b" if fault == "credentials" else ""
        server.answer = 404 if fault == "repository" else 0
        async with open_lookout(tmp_path, made) as lookout:
            assert [await lookout.look() for _ in range(3)] == ["failed"] * 3
            (notice,) = await lookout.notices("source")
            assert notice.body["ok"] is False
            assert "no answer from" in said(notice.said)


async def test_a_branch_that_vanishes_is_told_and_its_return_too(lookout: Lookout, remote: Remote) -> None:
    await live(lookout)
    remote._git("update-ref", "-d", "refs/heads/main", at=remote.bare)
    assert await lookout.look() == "failed"
    commit = remote.commit({"a": "b"})
    assert await lookout.look() == "deploying"
    texts = await lookout.texts("source")
    assert len(texts) == 2
    assert "no branch main" in texts[0]
    assert lookout.deployed[-1] == commit


async def test_a_remote_that_hangs_at_the_fetch_is_a_failed_source_not_a_failed_deploy(
    tmp_path: Path, remote: Remote
) -> None:
    async with git_server(remote.bare.parent) as server:
        made = service(tmp_path, remote, repository=server.url, timeout=timedelta(seconds=0.5))
        async with open_lookout(tmp_path, made) as lookout:
            await live(lookout)
            commit = remote.commit({"a": "b"})
            server.hang = True
            assert [await lookout.look() for _ in range(2)] == ["failed"] * 2
            server.hang = False
            assert await lookout.look() == "deploying"
            assert lookout.deployed[-1] == commit
            assert len(await lookout.texts("source")) == 2


async def test_nothing_new_is_written_at_most_once_a_minute(lookout: Lookout) -> None:
    await live(lookout)
    await lookout.look()
    seen = (await lookout.state()).asked_at
    for _ in range(5):
        await lookout.look(seconds=10)
    assert (await lookout.state()).asked_at == seen
    await lookout.look(seconds=10)
    assert (await lookout.state()).asked_at != seen


async def test_polls_are_spread_by_a_tenth(tmp_path: Path, lookout: Lookout, remote: Remote) -> None:
    made = Poller(
        make_config(tmp_path, service(tmp_path, remote)),
        lookout.store,
        lookout.feed,
        lookout.deploys,
        lookout.clock,
        random.Random(1),  # noqa: S311 - a test's own
    )
    (job,) = made.jobs()
    assert (job.service, job.every, job.jitter) == ("web", timedelta(minutes=5), timedelta(seconds=30))
    assert timedelta(0) < job.first <= timedelta(seconds=30)
    await made.close()


async def test_a_service_without_a_source_is_not_polled(lookout: Lookout) -> None:
    assert (await lookout.poller.poll("other")).outcome == "no-source"
