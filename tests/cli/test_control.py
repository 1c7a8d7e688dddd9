"""The control socket itself: who is there, what it takes, what it answers."""

import asyncio
import grp
import http.client
import json
import os
import pwd
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsbot.control import endpoints
from opsbot.control.client import AnswerError, Client
from opsbot.control.endpoints import LOGS_FOLLOW, MONITOR, MONITOR_FOLLOW, STATUS, Endpoint
from opsbot.control.peer import caller
from opsbot.control.routes import Routes
from opsbot.control.server import ControlError, ControlServer, start_control
from opsbot.control.shapes import PingReply
from opsbot.control.snapshot import Snapshots
from opsbot.control.unix_path import MOST, reachable
from opsbot.core.access import Ranks
from opsbot.store import audit
from tests.cli.conftest import run
from tests.cli.world import World, configuration, now, world

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="asks as another user")


@pytest.fixture
def anyones() -> Iterator[Path]:
    """A folder every user can enter, as /run/opsbot is; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="opsbot-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def raw(path: Path, method: str, route: str, body: bytes | None = None) -> tuple[int, Any]:
    """One request as a stranger's program would send it."""

    def send() -> tuple[int, Any]:
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        with reachable(path) as name:
            connection.sock.connect(name)
        connection.request(method, route, body)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

    return await asyncio.to_thread(send)


async def test_every_endpoint_that_is_declared_is_answered(daemon: World) -> None:
    ping = PingReply("1", 1, now(), "")
    routes = Routes(daemon.engine, now, ping, Snapshots(daemon.engine, now, ping, None), asyncio.Event())
    answered = {(route.method, route.path.replace(":[0-9]{1,15}", "")) for route in routes.table()}
    declared = [one for one in vars(endpoints).values() if isinstance(one, Endpoint)]
    assert answered == {(one.method, f"/v1/{one.path}") for one in declared}
    assert len(answered) == len(declared)


async def test_ping_tells_version_pid_and_state_directory(daemon: World) -> None:
    status, answer = await raw(daemon.socket, "GET", "/v1/ping")
    assert status == 200
    assert set(answer) == {"version", "pid", "since", "state_directory"}
    assert answer["pid"] == os.getpid()
    assert answer["state_directory"] == str(daemon.config.state.directory)


async def test_the_socket_may_be_written_by_everyone_since_ranks_decide(daemon: World) -> None:
    mode = daemon.socket.lstat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o666


async def test_closing_takes_the_socket_away(tmp_path: Path) -> None:
    async with world(configuration(tmp_path)) as here:
        assert here.socket.exists()
    assert not here.socket.exists()


async def test_a_second_daemon_is_refused_while_the_first_answers(daemon: World) -> None:
    with pytest.raises(ControlError, match="another opsbot answers"):
        await start_control(daemon.engine, daemon.socket, now)
    assert (await raw(daemon.socket, "GET", "/v1/ping"))[0] == 200


async def test_the_socket_of_a_dead_daemon_is_replaced(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    config.state.directory.mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(config.state.socket))
    left.close()
    async with world(config) as here:
        assert (await raw(here.socket, "GET", "/v1/ping"))[0] == 200


async def test_a_file_in_the_way_is_left_alone_and_named(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    config.state.directory.mkdir()
    config.state.socket.write_text("mine")
    with pytest.raises(ControlError, match="is no socket"):
        async with world(config):
            pass
    assert config.state.socket.read_text() == "mine"


async def test_closing_leaves_a_socket_that_another_daemon_made_in_its_place(daemon: World) -> None:
    daemon.socket.unlink()
    other: ControlServer = await start_control(daemon.engine, daemon.socket, now)
    await daemon.control.close()
    assert (await raw(daemon.socket, "GET", "/v1/ping"))[0] == 200
    await other.close()


async def test_a_path_longer_than_the_kernel_takes_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    config = configuration(tmp_path)
    async with world(config, deep / "control.sock") as here:
        assert len(str(here.socket)) > MOST
        ended = await run("status", "--socket", str(here.socket))
    assert ended.code == 0


@pytest.mark.parametrize(
    ("method", "route", "body", "status", "why"),
    [
        ("GET", "/v1/nothing", None, 404, "http"),
        ("DELETE", "/v1/status", None, 405, "http"),
        ("POST", "/v1/deploy", b"{", 400, "bad-input"),
        ("POST", "/v1/deploy", b"[]", 400, "bad-input"),
        ("POST", "/v1/deploy", b"[" * 60_000, 400, "bad-input"),
        ("POST", "/v1/deploy", b"x" * 100_000, 413, "http"),
        ("POST", "/v1/deploy", b'{"service": 7}', 400, "bad-input"),
        ("POST", "/v1/deploy", b'{"service": "api", "rf": "main"}', 400, "bad-input"),
        ("POST", "/v1/deploy", b'{"service": "api", "ref": "a\\nb"}', 400, "bad-input"),
        ("POST", "/v1/deploy", b'{"service": "ap"}', 404, "unknown-service"),
        ("POST", "/v1/silence", b'{"service": "api", "for": "ever"}', 400, "bad-input"),
        ("POST", "/v1/silence", b'{"service": "api", "for": "900d"}', 400, "bad-input"),
        ("GET", "/v1/history?limit=0", None, 400, "bad-input"),
        ("GET", "/v1/history?limit=99999999999999999999", None, 400, "bad-input"),
        ("GET", "/v1/logs?lines=10001", None, 400, "bad-input"),
        ("GET", "/v1/logs?grep=(", None, 400, "bad-input"),
        ("GET", "/v1/logs?level=loud", None, 400, "bad-input"),
        ("GET", "/v1/logs?since=yesterday", None, 400, "bad-input"),
        ("GET", "/v1/logs?service=" + "a" * 65, None, 400, "bad-input"),
        ("GET", "/v1/deployments/77", None, 404, "unknown-deployment"),
        ("GET", "/v1/deployments/77/follow", None, 404, "unknown-deployment"),
    ],
)
async def test_what_cannot_be_used_is_answered_in_json_with_a_reason(
    daemon: World, method: str, route: str, body: bytes | None, status: int, why: str
) -> None:
    answered, answer = await raw(daemon.socket, method, route, body)
    assert (answered, answer["why"]) == (status, why)
    assert answer["text"]


async def test_the_service_must_be_named_where_there_are_several(two: World) -> None:
    status, answer = await raw(two.socket, "POST", "/v1/restart", b"{}")
    assert (status, answer["text"]) == (400, "say which service: api, bot")


async def test_an_error_of_opsbots_own_is_told_with_a_number_and_no_traceback(daemon: World) -> None:
    daemon.services.states.update(api=None)  # type: ignore[call-overload]
    status, answer = await raw(daemon.socket, "GET", "/v1/status")
    assert (status, answer["why"]) == (500, "error")
    assert "KeyError" not in answer["text"]


async def test_root_and_the_daemons_own_user_are_owners() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        who = await caller(here)
    name = pwd.getpwuid(os.geteuid()).pw_name
    assert (who.id, who.name, who.owner) == (f"unix:{name}", name, True)
    assert f"unix:@{grp.getgrgid(os.getegid()).gr_name}" in who.roles


@ROOT
async def test_who_used_sudo_is_named_beside_root() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        assert (await caller(here, "alice")).name == "root (sudo by alice)"
        assert (await caller(here, "alice\n<@everyone>")).name == "root"


@ROOT
async def test_a_user_in_no_rank_is_refused_and_that_is_written_down(tmp_path: Path, anyones: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    async with world(configuration(tmp_path), anyones / "control.sock") as here:
        for verb in ("status", "health", "history", "monitor", "audit", "reload"):
            ended = await run(verb, "--socket", str(here.socket), uid=nobody.pw_uid)
            assert (ended.code, ended.out) == (4, ""), verb
            assert "You may not use" in ended.err
        for verb in ("restart", "deploy", "now", "update", "rollback", "hold", "resume", "silence", "logs"):
            ended = await run(
                verb, *([] if verb == "update" else ["api"]), "--socket", str(here.socket), uid=nobody.pw_uid
            )
            assert ended.code == 4, verb
        entries = await here.store.read(audit.entries)
    assert entries
    assert {entry.allowed for entry in entries} == {False}
    assert {entry.actor_id for entry in entries} == {"unix:nobody"}


@ROOT
@pytest.mark.parametrize(
    ("rank", "codes"),
    [
        (
            "viewer",
            {"status": 0, "health": 0, "history": 0, "monitor": 0, "logs": 4, "restart": 4, "deploy": 4, "audit": 4},
        ),
        ("operator", {"status": 0, "logs": 0, "restart": 0, "silence": 0, "deploy": 4, "hold": 4, "audit": 4}),
        ("deployer", {"restart": 0, "hold": 0, "resume": 0, "deploy": 0, "audit": 4, "reload": 4}),
        ("admin", {"hold": 0, "resume": 0, "audit": 0}),
    ],
)
@pytest.mark.parametrize("holder", ["unix:nobody", "unix:@nogroup"])
async def test_ranks_by_user_and_by_group_hold_on_the_socket(
    tmp_path: Path, anyones: Path, rank: str, codes: dict[str, int], holder: str
) -> None:
    nobody = pwd.getpwnam("nobody")
    ranks = Ranks(**{rank: frozenset({holder})})
    async with world(configuration(tmp_path, ranks=ranks), anyones / "control.sock") as here:
        client = {verb: await run(verb, "--socket", str(here.socket), uid=nobody.pw_uid) for verb in codes}
    assert {verb: ended.code for verb, ended in client.items()} == codes, [ended.err for ended in client.values()]


async def test_a_stream_ends_when_its_reader_goes_away(daemon: World) -> None:
    def watch_two_and_leave() -> int:
        stream = Client(daemon.socket).follow(LOGS_FOLLOW, service="api")
        return len([next(stream)])

    daemon.services.write("before")
    assert await asyncio.to_thread(watch_two_and_leave) == 1
    async with asyncio.timeout(5):
        await daemon.services.left.wait()
    assert not daemon.services.followers


async def test_closing_ends_the_streams_at_once(tmp_path: Path) -> None:
    def read_all(path: Path) -> int:
        return len(list(Client(path).follow(MONITOR_FOLLOW)))

    async with world(configuration(tmp_path)) as here:
        reading = asyncio.create_task(asyncio.to_thread(read_all, here.socket))
        await asyncio.sleep(0.5)  # what must not happen would have by then
        assert not reading.done()
        async with asyncio.timeout(3):
            await here.control.close()
            assert await reading >= 1


async def test_many_watchers_share_a_snapshot(daemon: World) -> None:
    client = Client(daemon.socket)
    first, second = [await asyncio.to_thread(client.ask, MONITOR) for _ in range(2)]
    assert first.at == second.at


async def test_a_refusal_reaches_the_client_as_a_value(daemon: World) -> None:
    with pytest.raises(AnswerError) as caught:
        await asyncio.to_thread(Client(daemon.socket).ask, STATUS, service="apo")
    assert caught.value.why == "unknown-service"
    assert "Did you mean api?" in str(caught.value)
