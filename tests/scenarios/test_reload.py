"""`kill -HUP`: the configuration is read anew while opsbot runs, as its users see it."""

import asyncio
import json
import os
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import psutil

from tests.fixtures.whole import Whole, open_whole


async def edit(whole: Whole, *changes: tuple[str, str]) -> None:
    """Change the file that opsbot was started with."""
    text = await asyncio.to_thread(whole.config.path.read_text)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    await asyncio.to_thread(whole.config.path.write_text, text)


def hangup(whole: Whole) -> None:
    assert whole.process is not None
    whole.process.send_signal(signal.SIGHUP)


def body(whole: Whole, *words: str) -> str:
    return json.dumps(whole.message(*words)["embeds"], ensure_ascii=False)


def audit(whole: Whole) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(whole.config.state.database)) as db:
        rows = db.execute("SELECT actor_name, action, result FROM audit WHERE action = 'reload' ORDER BY id")
        return [(str(name), str(action), str(result)) for name, action, result in rows]


async def test_a_right_one_is_taken_shown_and_the_service_goes_on(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        pid = await whole.pid()
        await edit(
            whole, ('poll = "5s"', 'poll = "7s"\nkeep = 3'), ('PORT = "', 'API_WORD = "open-sesame-9", PORT = "')
        )
        hangup(whole)
        await whole.said("reloaded", "3 changes")
        shown = body(whole, "reloaded")
        assert "services.web.source.poll: 5s -> 7s" in shown
        assert "services.web.source.keep: added, 3" in shown
        assert "services.web.environment.API_WORD: added" in shown
        assert "restart it to apply the new ones" in shown
        assert "open-sesame-9" not in shown + whole.log.read_text()
        assert (await whole.serves("1"))["pid"] == pid
        assert audit(whole)[0][:2] == ("SIGHUP", "reload")
        before = len(whole.texts())
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await whole.said("recovered after")
        assert len(whole.texts()) == before + 1, whole.texts()
        assert sum("recovered after" in line for line in whole.lines()) == 1, whole.lines()
        commit = await asyncio.to_thread(whole.remote.version, "2")
        await whole.said("web runs", commit[:7])
        assert await whole.stop() == 0


async def test_one_with_problems_leaves_the_old_in_force_and_each_is_told_in_one_message(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        await edit(whole, ('poll = "5s"', 'poll = "5 parsecs"'), ("fall = 3", "fal = 3"))
        hangup(whole)
        await whole.said("2 problems", "the old one stays in force")
        shown = body(whole, "2 problems")
        path = str(whole.config.path)
        assert f"{path}:34: services.web.source.poll" in shown, shown
        assert "services.web.checks[2].fal" in shown
        assert f"{path}:34: services.web.source.poll" in whole.log.read_text()
        assert "refused: 2 problems" in audit(whole)[0][2]
        commit = await asyncio.to_thread(whole.remote.version, "2")
        await whole.said("web runs", commit[:7])


async def test_nothing_new_is_said_too(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        hangup(whole)
        await whole.said("nothing changed")
        assert audit(whole)[0][2] == "nothing changed"


async def test_a_state_directory_is_not_changed_by_a_reload(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        await edit(whole, (f'directory = "{tmp_path}/state"', f'directory = "{tmp_path}/other"'))
        hangup(whole)
        await whole.said("a problem", "the old one stays in force")
        assert "state.directory: is " in body(whole, "a problem")
        assert not (tmp_path / "other").exists()


async def test_one_that_cannot_be_brought_into_force_gives_way_to_the_one_before(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        pid = await whole.pid()
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        taken = server.sockets[0].getsockname()[1]
        await edit(whole, (f'listen = "127.0.0.1:{whole.http}"', f'listen = "127.0.0.1:{taken}"'))
        hangup(whole)
        await whole.said("could not be started", "in force again")
        assert str(taken) in body(whole, "could not be started")
        assert (await whole.serves("1"))["pid"] == pid
        await asyncio.to_thread(whole.remote.version, "2")
        await whole.serves("2")
        server.close()


async def test_a_deployment_under_way_comes_to_its_end_first(tmp_path: Path) -> None:
    async with open_whole(tmp_path, soak="5s") as whole:
        await whole.serves("1")
        await whole.said("web runs", seconds=60)
        commit = await asyncio.to_thread(whole.remote.version, "2")
        await whole.serves("2")
        await edit(whole, ('interval = "1s"', 'interval = "2s"'))
        hangup(whole)
        await whole.said("it is applied after the deployment of web")
        await edit(whole, ('interval = "2s"', 'interval = "3s"'))
        hangup(whole)
        hangup(whole)
        await whole.said("reloaded", "1 change")
        assert "interval: 1s -> 3s" in body(whole, "reloaded")
        texts = whole.texts()
        ended = next(at for at, text in enumerate(texts) if "web runs" in text and commit[:7] in text)
        assert ended < next(at for at, text in enumerate(texts) if "reloaded" in text)
        assert sum("reloaded" in text for text in texts) == 1, texts
        assert sum(commit[:7] in text for text in texts) == 1, texts
        assert (await whole.serves("2"))["version"] == "2"


async def test_a_stop_is_not_kept_waiting_by_a_reload_that_waits(tmp_path: Path) -> None:
    async with open_whole(tmp_path, soak="60s") as whole:
        await whole.serves("1")
        await edit(whole, ('interval = "1s"', 'interval = "2s"'))
        hangup(whole)
        await whole.said("it is applied after the deployment of web")
        async with asyncio.timeout(10):
            assert await whole.stop() == 0


async def test_the_command_line_asks_for_it_waits_and_says_what_came_of_it(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        await edit(whole, ('poll = "5s"', 'poll = "7s"'))
        taken = await asyncio.to_thread(whole.cli, "reload")
        assert taken.returncode == 0, taken.stderr
        assert taken.stdout == ("The configuration was reloaded: 1 change.\n  services.web.source.poll: 5s -> 7s\n")
        again = await asyncio.to_thread(whole.cli, "reload", "--json")
        assert json.loads(again.stdout)["text"] == "Configuration reloaded: nothing changed."
        await edit(whole, ('poll = "7s"', "poll = 7"))
        wrong = await asyncio.to_thread(whole.cli, "reload")
        assert wrong.returncode == 1
        assert f"{whole.config.path}:34: services.web.source.poll: " in wrong.stdout
        assert [result for _, _, result in audit(whole)][:2] == [
            "1 change: services.web.source.poll: 5s -> 7s",
            "nothing changed",
        ]
        assert audit(whole)[0][0] != "SIGHUP"


async def test_one_that_fails_half_way_holds_nothing_that_the_one_before_needs(tmp_path: Path) -> None:
    """A unit where no systemd can be asked: what was opened before it is closed, the lock on the services too."""
    async with open_whole(tmp_path, start=False) as whole:
        whole.environment["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={tmp_path}/no-bus"
        whole.start()
        await whole.serves("1")
        await whole.said("web runs")
        pid = await whole.pid()
        unit = '\n[services.unit]\nmanager = "systemd"\nunit = "no.service"\n'
        text = await asyncio.to_thread(whole.config.path.read_text)
        await asyncio.to_thread(whole.config.path.write_text, text + unit)
        hangup(whole)
        await whole.said("could not be started", "in force again")
        assert (await whole.serves("1"))["pid"] == pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await whole.said("recovered after")


async def test_reload_after_reload_leaves_nothing_open_and_loses_no_message(tmp_path: Path) -> None:
    async with open_whole(tmp_path) as whole:
        await whole.serves("1")
        await whole.said("web runs")
        assert whole.process is not None
        process = psutil.Process(whole.process.pid)
        counts: list[int] = []
        for number in range(6, 10):
            await edit(whole, (f'poll = "{number - 1}s"', f'poll = "{number}s"'))
            hangup(whole)
            await whole.said("reloaded", seconds=60)
            await whole.until(lambda: len(audit(whole)) == len(counts) + 1)
            await whole.standin.wait_connected(30)
            await asyncio.sleep(1)  # the gateway's connection before is closed
            counts.append(len([1 for fd in await asyncio.to_thread(fds, process.pid) if fd.startswith("/")]))
        assert len(set(counts[1:])) == 1, counts
        await whole.until(lambda: sum("reloaded" in text for text in whole.texts()) == 4)
        assert "ERROR" not in whole.log.read_text()


def fds(pid: int) -> list[str]:
    """What a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.append(str(entry.readlink()))
    return found
