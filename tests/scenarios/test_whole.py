"""The daemon as its users have it: `opsbot run`, Discord beside it, a service below it, what goes wrong at night."""

import asyncio
import json
import os
import signal
import urllib.request
from pathlib import Path

import psutil

from tests.fixtures.whole import Whole, open_whole


def count(whole: Whole, *words: str) -> int:
    return sum(all(word in text for word in words) for text in whole.texts())


async def test_a_push_is_deployed_and_told_in_one_message(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        commit = await asyncio.to_thread(whole.remote.version, "2", "Say hello in two languages")
        await whole.serves("2")
        text = await whole.said("web runs", commit[:7])
        card = whole.message("web runs", commit[:7])
        assert "Say hello in two languages" in json.dumps(card["embeds"])
        assert len(whole.texts()) == 2, text
        assert whole.standin.unknown_routes == []


async def test_a_release_that_answers_500_is_undone_and_the_one_before_serves(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        commit = await asyncio.to_thread(whole.remote.version, "2", status=500)
        await whole.said(commit[:7], "rolled back", seconds=60)
        await whole.serves("1")
        await asyncio.sleep(6)  # a poll later it is still left alone
        assert count(whole, "Deploying", commit[:7]) + count(whole, commit[:10]) <= 3
        assert (await whole.serves("1"))["version"] == "1"


async def test_a_killed_service_is_told_started_again_and_told_well(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        pid = await whole.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await whole.said("recovered after")
        assert (await whole.serves("1"))["pid"] != pid


async def test_a_hung_service_is_found_by_its_checks_and_recovered(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        pid = await whole.pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await whole.said("recovered after", seconds=60)
        assert (await whole.serves("1"))["pid"] != pid
        assert not psutil.pid_exists(pid)


async def test_a_closed_port_with_a_living_process_is_found_and_recovered(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await asyncio.to_thread(whole.remote.version, "2", closes_port_after=8.0)
        await whole.serves("2")
        await whole.said("web runs")
        pid = await whole.pid()
        await whole.said("recovered after", seconds=60)
        assert await whole.pid() != pid
        await whole.serves("2")


async def test_trouble_while_discord_is_away_is_mended_at_once_and_told_later_in_order(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        before = len(whole.texts())
        whole.standin.faults.away()
        pid = await whole.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await whole.other_pid(pid)
        await whole.serves("1")
        await asyncio.sleep(6)  # what must not happen would have by then
        assert len(whole.texts()) == before
        whole.standin.faults.back()
        await whole.said("recovered after", seconds=60)
        await asyncio.sleep(1)  # what must not happen would have by then
        assert len(whole.texts()) == before + 1, whole.texts()
        assert sum("recovered after" in line for line in whole.lines()) == 1, whole.lines()


async def test_opsbot_killed_while_it_deploys_finishes_or_undoes_it_at_its_next_start(tmp_path: Path) -> None:
    async with open_whole(tmp_path, soak="4s") as whole:
        await whole.serves("1")
        await whole.said("web runs", seconds=60)
        await asyncio.to_thread(whole.remote.version, "2")
        await whole.serves("2")
        await whole.again(signal.SIGKILL)
        await whole.until(lambda: count(whole, "web runs") == 2, 60, "the deployment came to its end")
        await whole.serves("2")


async def test_a_service_outlives_opsbot_and_is_adopted(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        pid = await whole.pid()
        assert await whole.stop(signal.SIGTERM) == 0
        assert (await whole.serves("1"))["pid"] == pid
        whole.start()
        await whole.standin.wait_connected(20)
        await asyncio.sleep(3)  # what must not happen would have by then
        assert await whole.pid() == pid
        assert len(whole.texts()) == 1, whole.texts()


async def test_a_service_that_died_while_opsbot_was_away_is_started_and_told(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        pid = await whole.pid()
        assert pid is not None
        await whole.stop(signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        whole.start()
        await whole.serves("1")
        await whole.said("recovered after", seconds=60)
        assert count(whole, "opsbot is back") == 1


async def test_a_second_opsbot_is_refused_with_the_firsts_pid_and_start(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.standin.wait_connected(20)
        assert whole.process is not None
        second = await asyncio.to_thread(whole.cli, "run")
        assert second.returncode == 1
        assert f"pid {whole.process.pid}" in second.stderr
        assert "running since 20" in second.stderr


async def test_a_button_rolls_back_after_a_restart_of_opsbot_and_the_poll_leaves_it_so(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        commit = await asyncio.to_thread(whole.remote.version, "2")
        await whole.said("web runs", commit[:7])
        await whole.again(signal.SIGTERM)
        await whole.standin.wait_connected(20)
        asked = await whole.deployer.click(whole.message("web runs", commit[:7]), "Roll back")
        confirmation = await asked.final()
        answer = await whole.deployer.click(confirmation, "Confirm")
        await answer.final()
        await whole.serves("1", 60)
        await asyncio.sleep(12)  # two polls later
        await whole.serves("1")
        third = await asyncio.to_thread(whole.remote.version, "3")
        await whole.said("web runs", third[:7], seconds=60)


async def test_the_command_line_asks_the_same_daemon(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        status = await asyncio.to_thread(whole.cli, "status")
        assert status.returncode == 0, status.stderr
        assert "web" in status.stdout
        await asyncio.to_thread(whole.remote.version, "2")
        deployed = await asyncio.to_thread(whole.cli, "deploy", "web")
        assert deployed.returncode in {0, 4}, deployed.stdout + deployed.stderr
        await whole.serves("2")
        held = await asyncio.to_thread(whole.cli, "hold", "web", "--reason", "freeze")
        assert held.returncode == 0, held.stderr
        refused = await asyncio.to_thread(whole.cli, "deploy", "web")
        assert refused.returncode == 4
        back = await asyncio.to_thread(whole.cli, "rollback", "web")
        assert back.returncode == 0, back.stdout + back.stderr
        await whole.serves("1")


async def test_a_restart_is_a_success_only_when_the_service_passes_its_checks(tmp_path: Path) -> None:
    async with open_whole(tmp_path, soak="500ms", recovery="restart = false\nroll_back = false") as whole:
        await whole.serves("1")
        await whole.said("web runs")
        file = tmp_path / "srv" / "current" / "behaviour.json"
        good = await asyncio.to_thread(file.read_text)
        await asyncio.to_thread(file.write_text, json.dumps(json.loads(good) | {"exits": 3}))
        failed = await asyncio.to_thread(whole.cli, "restart", "web")
        assert failed.returncode == 1, failed.stdout + failed.stderr
        assert failed.stdout.startswith("web restarted, but verification failed: the service died ")
        assert "(exit 3)" in failed.stdout
        await asyncio.to_thread(file.write_text, good)
        passed = await asyncio.to_thread(whole.cli, "restart", "web")
        assert passed.returncode == 0, passed.stdout + passed.stderr
        assert "all 3 checks passed" in passed.stdout
        await whole.serves("1")


async def test_health_readiness_and_figures_are_served(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.said("web runs")

        def get(path: str) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{whole.http}{path}", timeout=5) as answer:
                assert answer.status == 200
                return str(answer.read().decode())

        await asyncio.to_thread(get, "/healthz")
        await asyncio.to_thread(get, "/readyz")
        figures = await asyncio.to_thread(get, "/metrics")
        assert 'service="web"' in figures


async def test_the_token_is_nowhere_to_be_seen(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.said("web runs")
        await whole.stop()
        token = whole.standin.token.encode()
        for file in tmp_path.rglob("*"):
            if file.is_file() and not file.is_symlink():
                assert token not in await asyncio.to_thread(file.read_bytes), file
