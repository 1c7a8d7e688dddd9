"""Without a daemon: what it last knew is told, and that it is so; what must be done by a daemon is not."""

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.config import Config
from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import DeploymentKind, DeploymentRequest
from opsbot.core.health import CheckHealth, ProbeResult, Verdict
from opsbot.core.message import plain
from opsbot.core.model import Evidence, Incident, Live
from opsbot.services import run_record
from opsbot.services.process_log import NOTE, ProcessLog, stamp
from opsbot.services.processes import boot_id, find
from opsbot.store import audit, incident_repository, ledger
from opsbot.store.database import Store
from tests.cli.conftest import Opsbot, run
from tests.cli.world import configuration, now

SAYS = "the daemon is not running; this is what it last knew"


@pytest.fixture
async def left(tmp_path: Path) -> AsyncIterator[Config]:
    """What a daemon left behind: its store, its services' logs, a service that runs on."""
    config = configuration(tmp_path)
    who = Actor(Origin.DISCORD, "42", "alice")
    seen = ProbeResult(True, plain("connected"), now())
    async with Store(config.state.database) as store:
        await store.write(incident_repository.save_health, "api", "web", CheckHealth(Verdict.UP, now(), last=seen))
        await store.write(incident_repository.save_health, "api", "process", CheckHealth(Verdict.UP, now(), last=seen))
        await store.write(ledger.set_live, Live("api", "r1", now(), None))
        await store.write(ledger.claim, DeploymentRequest("api", DeploymentKind.DEPLOY, who, ref="main"), now())
        await store.write(audit.record, who, "deploy", "api", now(), allowed=True, result="deployment 1")
    folder = config.state.services / "api"
    folder.mkdir(parents=True)
    service = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    process = await asyncio.to_thread(find, service.pid)
    assert process is not None
    record = run_record.RunRecord(
        wanted=True,
        run="x-1",
        boot=await asyncio.to_thread(boot_id),
        pid=process.pid,
        ticks=process.ticks,
        started_at=now().isoformat(),
    )
    await asyncio.to_thread(run_record.save, folder, record, lasting=False)
    await asyncio.to_thread(_write_log, folder)
    yield config
    if service.returncode is None:
        service.kill()
    await service.wait()


def _write_log(folder: Path) -> None:
    log = ProcessLog(folder / "log", timedelta(days=7), 1024 * 1024)
    log.open(None)
    log.turn(now())
    for number, texts in (("x-0", ["before"]), ("x-1", ["begun", "ERROR it \x1b]0;broke\x07"])):
        log.write(f"{stamp(now())} {NOTE} run {number}\n".encode())
        log.write("".join(f"{stamp(now())} | {text}\n" for text in texts).encode())
    log.close()


@pytest.mark.usefixtures("left")
async def test_status_tells_what_was_last_known_and_whether_the_process_lives(opsbot: Opsbot) -> None:
    ended = await opsbot("status")
    assert (ended.code, ended.err) == (0, f"opsbot: {SAYS}\n")
    assert re.search(r"api +starting +\d", ended.out)
    reply = json.loads((await opsbot("status", "--json")).out)
    assert reply["daemon"] is False
    assert reply["services"][0]["verdict"] == "up"
    assert reply["services"][0]["deploying"]["id"] == 1


async def test_a_service_that_died_with_its_daemon_is_unhealthy(left: Config, opsbot: Opsbot) -> None:
    folder = left.state.services / "api"
    record = await asyncio.to_thread(run_record.load, folder)
    assert record is not None
    await asyncio.to_thread(run_record.save, folder, replace(record, ticks=record.ticks + 1), lasting=False)
    assert (await opsbot("status")).code == 1


@pytest.mark.usefixtures("left")
async def test_logs_are_read_from_the_files_and_sifted(opsbot: Opsbot) -> None:
    ended = await opsbot("logs")
    assert (ended.code, ended.err) == (0, f"opsbot: {SAYS}\n")
    assert [line.split(" ", 2)[2] for line in ended.out.splitlines()] == [
        "before",
        "begun",
        "ERROR it \\x1b]0;broke\\x07",
    ]
    this_run = (await opsbot("logs", "--this-run")).out.splitlines()
    assert [line.split(" ", 2)[2] for line in this_run] == ["begun", "ERROR it \\x1b]0;broke\\x07"]
    assert len((await opsbot("logs", "api", "--level", "error")).out.splitlines()) == 1
    assert len((await opsbot("logs", "api", "--grep", "BEG.N", "--since", "1h")).out.splitlines()) == 1
    assert (await opsbot("logs", "--since", "soon")).code == 2


@pytest.mark.usefixtures("left")
async def test_history_and_audit_are_told(opsbot: Opsbot) -> None:
    ended = await opsbot("history")
    assert ended.code == 0
    assert "#1" in ended.out
    ended = await opsbot("audit")
    assert ended.code == 0
    assert "alice" in ended.out


async def test_incidents_are_told_from_the_database(left: Config, opsbot: Opsbot) -> None:
    async with Store(left.state.database) as store:
        await store.write(
            incident_repository.open_incident, Incident(0, "api", plain("web answered 500"), now(), Evidence())
        )
    ended = await opsbot("incidents", "--open")
    assert (ended.code, ended.err) == (1, f"opsbot: {SAYS}\n")
    assert "web answered 500" in ended.out
    assert (await opsbot("incidents", "nothing")).code == 2


async def test_why_is_told_from_the_database_the_process_and_the_log(left: Config, opsbot: Opsbot) -> None:
    ended = await opsbot("why")
    assert (ended.code, ended.err) == (0, f"opsbot: {SAYS}\n")
    assert ended.out.startswith("No incident of api is known.")
    who = Actor(Origin.DISCORD, "42", "alice\x1b[2J")
    async with Store(left.state.database) as store:
        await store.write(audit.record, who, "restart", "api", now(), allowed=True, result="running")
        incident = Incident(0, "api", plain("web answered 500"), now(), Evidence(exit=plain("killed by SIGKILL")))
        await store.write(incident_repository.open_incident, incident)
    ended = await opsbot("why", "api")
    first, *rest = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, f"opsbot: {SAYS}\n")
    assert "web answered 500" in first
    assert any("alice" in line for line in rest)
    assert "\x1b" not in ended.out
    reply = json.loads((await opsbot("why", "--json")).out)
    assert (reply["daemon"], reply["known"], set(reply)) == (
        False,
        True,
        {"daemon", "service", "known", "line", "events"},
    )
    assert (await opsbot("why", "nothing")).code == 2


async def test_windows_are_told_from_the_configuration_though_the_database_is_gone(
    tmp_path: Path, opsbot: Opsbot
) -> None:
    config = configuration(tmp_path)
    ended = await opsbot("windows")
    assert (ended.code, ended.out) == (0, "no maintenance window is open, and none is to come\n")
    assert ended.err == "opsbot: the daemon is not running; this is what the configuration says\n"
    days = '["mon", "tue", "wed", "thu", "fri", "sat", "sun"]'
    nightly = f'[[windows]]\nname = "nightly"\ndays = {days}\nstart = "03:00"\nduration = "1h"\n'
    config.path.write_text(f"{config.path.read_text()}\n{nightly}")
    ended = await opsbot("windows")
    assert ended.out.count("nightly") in {3, 4}, ended.out + ended.err
    reply = json.loads((await opsbot("windows", "--json")).out)
    assert (reply["daemon"], len(reply["coming"])) == (False, 3)
    config.path.write_text("[discord\n")
    assert (await opsbot("windows")).code == 2


async def test_monitor_is_drawn_once_with_the_trouble_in_it(left: Config, opsbot: Opsbot) -> None:
    async with Store(left.state.database) as store:
        incident = Incident(0, "api", plain("web answered 500 \x1b[2J"), now(), Evidence())
        await store.write(incident_repository.open_incident, incident)
    ended = await opsbot("monitor", "--once")
    assert (ended.code, ended.err) == (1, f"opsbot: {SAYS}\n")
    assert "the daemon is not running" in ended.out
    assert "web answered 500 \\x1b[2J" in ended.out or "web answered 500 " in ended.out
    assert "\x1b" not in ended.out
    reply = json.loads((await opsbot("monitor", "--json")).out)
    assert set(reply) == {"at", "daemon", "host", "healthy", "services", "deployments", "alerts", "gateway"}
    assert reply["daemon"] is None


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize(
    "verb", ["restart", "deploy", "now", "update", "rollback", "hold", "resume", "silence", "health"]
)
async def test_what_only_a_daemon_can_do_exits_3_and_names_the_socket(
    tmp_path: Path, opsbot: Opsbot, verb: str
) -> None:
    ended = await opsbot(verb)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == (
        f"opsbot: the daemon does not answer at {tmp_path}/state/control.sock (no such file or directory). "
        "Is it running? systemctl status opsbot\n"
    )


async def test_a_socket_that_nobody_listens_on_any_more_is_told_apart(left: Config, opsbot: Opsbot) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(left.state.socket))
    dead.close()
    assert "(connection refused)" in (await opsbot("restart")).err
    assert (await opsbot("status")).code == 0


async def test_a_daemon_that_hangs_does_not_hang_the_command_line(left: Config, opsbot: Opsbot) -> None:
    mute = socket.socket(socket.AF_UNIX)
    mute.bind(str(left.state.socket))
    mute.listen(0)
    code = "from opsbot.control import client; client.CONNECT_SECONDS = 0.5\n"
    code += "from dataclasses import replace; from opsbot.control.client import *\n"
    code += f"c = Client(client.Path({str(left.state.socket)!r}))\n"
    code += "try: c.ask(replace(PING, seconds=0.5))\nexcept DaemonUnreachableError as e: print(e)"
    out = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", code], timeout=20)
    mute.close()
    assert b"(no answer in time)" in out
    assert opsbot is not None


async def test_a_store_that_was_never_made_is_told_with_3(tmp_path: Path, opsbot: Opsbot) -> None:
    configuration(tmp_path)
    ended = await opsbot("status")
    assert ended.code == 3
    assert "the daemon does not answer" in ended.err
    assert "opsbot.sqlite3" in ended.err


async def test_a_store_that_this_opsbot_has_not_brought_up_to_date_is_told_with_the_mend(
    left: Config, opsbot: Opsbot
) -> None:
    with closing(sqlite3.connect(left.state.database)) as db:
        (newest,) = db.execute("PRAGMA user_version").fetchone()
        for version, words in ((newest - 1, "from an older opsbot"), (newest + 1, "from a newer opsbot")):
            db.execute(f"PRAGMA user_version = {version}")
            ended = await opsbot("status")
            assert (ended.code, "Traceback" in ended.err) == (3, False), ended.err
            assert f"{words} (version {version} and not {newest})" in ended.err


async def test_after_a_sigkill_the_store_is_read_with_all_that_was_written(tmp_path: Path, opsbot: Opsbot) -> None:
    config = configuration(tmp_path)
    code = f"""
import asyncio, os, signal
from datetime import UTC, datetime
from pathlib import Path
from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import DeploymentKind, DeploymentRequest
from opsbot.store import Store, ledger
async def main():
    store = Store(Path({str(config.state.database)!r}))
    await store.open()
    who = Actor(Origin.CLI, "unix:a", "a")
    await store.write(ledger.claim, DeploymentRequest("api", DeploymentKind.DEPLOY, who), datetime.now(UTC))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await killed.wait() == -signal.SIGKILL
    ended = await opsbot("history")
    assert (ended.code, "#1" in ended.out) == (0, True)


@pytest.mark.usefixtures("left")
async def test_without_a_service_of_that_name_or_a_configuration_it_says_so(tmp_path: Path, opsbot: Opsbot) -> None:
    ended = await opsbot("status", "apo")
    assert (ended.code, "there is no service 'apo'" in ended.err) == (2, True)
    ended = await run("status", "-c", str(tmp_path / "none.toml"))
    assert (ended.code, "cannot be read" in ended.err) == (2, True)


async def test_the_configuration_is_found_by_variable_and_in_the_working_folder(left: Config, tmp_path: Path) -> None:
    path = {"PYTHONPATH": os.getcwd()}  # noqa: PTH109 - the checkout
    assert left.path == tmp_path / "config.toml"
    assert (await run("status", env={"OPSBOT_CONFIG": str(left.path)})).code == 0
    assert (await run("status", cwd=tmp_path, env=path)).code == 0
    own = tmp_path / "home" / ".config" / "opsbot"
    own.mkdir(parents=True)
    left.path.rename(own / "config.toml")
    ended = await run("status", cwd=tmp_path, env=path | {"HOME": str(tmp_path / "home")})
    assert ended.code == 0, ended.err


async def test_a_configuration_with_a_mistake_elsewhere_still_finds_the_daemon(tmp_path: Path, opsbot: Opsbot) -> None:
    config = configuration(tmp_path)
    config.path.write_text(config.path.read_text() + '\n[servces]\nx = "y"\n')
    ended = await opsbot("restart")
    assert ended.code == 3
    assert str(config.state.socket) in ended.err


async def test_check_prints_each_problem_and_exits_2(tmp_path: Path, opsbot: Opsbot) -> None:
    config = configuration(tmp_path)
    ended = await opsbot("check")
    assert (ended.code, ended.err) == (0, "")
    assert "services: api" in ended.out
    config.path.write_text(config.path.read_text() + "\n[servces]\n")
    ended = await opsbot("check")
    assert ended.code == 2
    assert f"{config.path}:" in ended.err
    ended = await opsbot("run")
    assert (ended.code, "servces" in ended.err) == (2, True)


@pytest.mark.skipif(Path("/etc/opsbot").exists() or Path("/run/opsbot").exists(), reason="an opsbot is installed here")
async def test_another_programs_config_toml_is_not_taken_for_opsbots(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[tool]\nname = "some other program"\n')
    ended = await run("status", cwd=tmp_path, env={"PYTHONPATH": os.getcwd()})  # noqa: PTH109 - the checkout
    assert (ended.code, "no configuration" in ended.err) == (2, True)
