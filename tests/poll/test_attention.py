"""Commits that deserve a human look: told once, and deployed when a person says so."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from opsbot.config import Service
from opsbot.core.access import Origin
from opsbot.source.attention import matching
from tests.fixtures.said import said
from tests.fixtures.sample import Remote, make_service, person
from tests.poll.lookout import open_lookout

PATTERNS = ("node-bot/package.json", "node-bot/package-lock.json")


def service(folder: Path, remote: Remote, *patterns: str, ignore: tuple[str, ...] = ()) -> Service:
    made = make_service(folder, remote.url, 1, ignore=ignore)
    assert made.source is not None
    return replace(made, source=replace(made.source, ask_when_changed=patterns))


def lock(**versions: str) -> str:
    packages = {f"node_modules/{name}": {"version": version} for name, version in versions.items()}
    return json.dumps({"lockfileVersion": 3, "packages": packages}, indent=2)


async def test_a_commit_that_changes_the_lock_file_waits_for_a_person_and_is_told_once(
    tmp_path: Path, remote: Remote
) -> None:
    remote.commit({"node-bot/package-lock.json": lock(sharp="1", **{"@discordjs/opus": "0.9.0", "left-pad": "1"})})
    async with open_lookout(tmp_path, service(tmp_path, remote, *PATTERNS)) as lookout:
        assert await lookout.look() == "deploying", "nothing is live yet: there is nothing it differs from"
        await lookout.deploys.end()
        remote.commit({"code.js": "1"})
        assert await lookout.look() == "deploying"
        await lookout.deploys.end()
        changed = lock(sharp="1", **{"@discordjs/opus": "0.10.0", "left-pad": "2"})
        head = remote.commit({"node-bot/package-lock.json": changed})
        for _ in range(3):
            assert await lookout.look() == "noted"
        await lookout.restart()
        assert await lookout.look() == "noted"
        (notice,) = await lookout.notices("update")
        assert (notice.body["why"], notice.body["commit"]) == ("needs-look", head)
        assert said(notice.said) == (
            f"web: new commit `{head[:7]}` on main, not deployed: awaiting approval: changes "
            "`node-bot/package-lock.json` (native code: @discordjs/opus)"
        )
        later = remote.commit({"code.js": "2"})
        assert await lookout.look() == "noted", "it brings the changed lock file, too"
        assert [each.body["commit"] for each in await lookout.notices("update")] == [head, later]
        await lookout.deploys.by_hand(later)
        assert await lookout.look() == "no-news"
        free = remote.commit({"code.js": "3", "package.json": "{}"})
        assert await lookout.look() == "deploying", "a package.json elsewhere is not meant"
        assert lookout.deployed[-1] == free


async def test_a_webhook_s_push_waits_too_and_a_person_who_asks_for_the_newest_has_it(
    tmp_path: Path, remote: Remote
) -> None:
    async with open_lookout(tmp_path, service(tmp_path, remote, "*.lock")) as lookout:
        await lookout.look()
        await lookout.deploys.end()
        head = remote.commit({"deep/yarn.lock": "sharp@1:\n  version 1\n"})
        assert (await lookout.poller.poll("web", Origin.WEBHOOK)).outcome == "noted"
        (text,) = await lookout.texts("update")
        assert "awaiting approval: changes `deep/yarn.lock` (native code: sharp)" in text
        asked = await lookout.poller.poll("web", Origin.CLI, person())
        assert (asked.outcome, lookout.deploys.requests[-1].ref) == ("deploying", head)


async def test_a_change_that_was_taken_back_needs_no_look(tmp_path: Path, remote: Remote) -> None:
    remote.commit({"yarn.lock": "a"})
    async with open_lookout(tmp_path, service(tmp_path, remote, "yarn.lock")) as lookout:
        await lookout.look()
        await lookout.deploys.end()
        remote.commit({"yarn.lock": "b"})
        assert await lookout.look() == "noted"
        back = remote.commit({"yarn.lock": "a", "code.js": "1"})
        assert await lookout.look() == "deploying"
        assert lookout.deployed[-1] == back


async def test_what_is_ignored_altogether_is_said_to_be_ignored(tmp_path: Path, remote: Remote) -> None:
    async with open_lookout(tmp_path, service(tmp_path, remote, "docs/*.json", ignore=("docs/**",))) as lookout:
        await lookout.look()
        await lookout.deploys.end()
        remote.commit({"docs/package.json": "{}"})
        assert await lookout.look() == "noted"
        assert "it changes only docs/**" in (await lookout.texts("update"))[0]


async def test_a_live_commit_that_is_gone_from_the_repository_makes_it_ask(tmp_path: Path, remote: Remote) -> None:
    async with open_lookout(tmp_path, service(tmp_path, remote, "yarn.lock")) as lookout:
        remote.commit({"a": "1"})
        await lookout.look()
        await lookout.deploys.end()
        remote.rewrite("2")
        remote.git("-C", remote.url, "gc", "-q", "--prune=now")
        shutil.rmtree(lookout.deploys.mirror.mirror)
        assert await lookout.look() == "noted"
        assert "awaiting approval: the live commit is gone" in (await lookout.texts("update"))[0]


def test_patterns_are_those_of_gitignore() -> None:
    paths = ["package.json", "node-bot/package.json", "node-bot/index.js", "docs/package.json"]
    assert matching(("/package.json",), paths) == ("package.json",)
    assert matching(("package.json", "!docs/**"), paths) == ("node-bot/package.json", "package.json")
    assert matching((), paths) == ()
