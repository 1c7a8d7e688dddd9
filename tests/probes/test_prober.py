"""Each kind of check, against real processes, sockets and servers."""

# ruff: noqa: ASYNC222 - what is waited for here has been killed or stopped already

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsbot.config import Check, CheckKind, ManagerKind, Service
from opsbot.core.exits import ExitCode
from opsbot.core.health import ProbeResult
from opsbot.core.message import message
from opsbot.messages import render
from opsbot.probes import Prober
from opsbot.services.port import Activity, ServiceState
from tests.fixtures.sample import free_port
from tests.fixtures.waiting import until

SERVICE = Service("web", ManagerKind.PROCESS, working_directory="/")
RUNNING = ServiceState(Activity.RUNNING, run="r")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Version: 7\r\n\r\nok"


@pytest.fixture
def prober() -> Iterator[Prober]:
    made = Prober()
    yield made
    made.close()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@asynccontextmanager
async def serving(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | bytes,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    asked: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.add(writer)
        try:
            if isinstance(answer, bytes):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in asked:
            writer.transport.abort()
        await asyncio.sleep(0)


def http(port: int, path: str = "/health", **options: object) -> Check:
    options = {"timeout": timedelta(seconds=2), **options}
    return Check("h", CheckKind.HTTP, url=f"http://127.0.0.1:{port}{path}", **options)  # type: ignore[arg-type]


async def see(prober: Prober, check: Check, state: ServiceState = RUNNING, service: Service = SERVICE) -> ProbeResult:
    return await prober.probe(service, check, state)


class TestProcess:
    CHECK = Check("p", CheckKind.PROCESS)

    async def test_a_living_process_is_well(self, prober: Prober, sleeper: subprocess.Popen[bytes]) -> None:
        before = datetime.now(UTC)
        result = await see(prober, self.CHECK, ServiceState(Activity.RUNNING, sleeper.pid, "r"))
        assert result.ok
        assert str(sleeper.pid) in render(result.seen)
        assert before <= result.at <= datetime.now(UTC)

    async def test_a_zombie_is_not_well(self, prober: Prober, sleeper: subprocess.Popen[bytes]) -> None:
        state = ServiceState(Activity.RUNNING, sleeper.pid, "r")
        assert (await see(prober, self.CHECK, state)).ok
        sleeper.kill()
        os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
        result = await see(prober, self.CHECK, state)
        assert not result.ok
        assert "zombie" in render(result.seen)

    async def test_a_process_that_is_gone_is_not_well_known_or_not(
        self, prober: Prober, sleeper: subprocess.Popen[bytes]
    ) -> None:
        state = ServiceState(Activity.RUNNING, sleeper.pid, "r")
        assert (await see(prober, self.CHECK, state)).ok
        sleeper.kill()
        await asyncio.to_thread(sleeper.wait)
        for _ in range(2):
            result = await see(prober, self.CHECK, state)
            assert not result.ok
            assert render(result.seen) == f"process {sleeper.pid} is gone"

    @pytest.mark.usefixtures("sleeper")
    async def test_a_sibling_with_the_same_command_line_does_not_pass_for_it(self, prober: Prober) -> None:
        result = await see(prober, self.CHECK, ServiceState(Activity.STOPPED))
        assert not result.ok
        assert render(result.seen) == "stopped"

    async def test_a_process_frozen_by_a_signal_is_not_well(
        self, prober: Prober, sleeper: subprocess.Popen[bytes]
    ) -> None:
        sleeper.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
        result = await see(prober, self.CHECK, ServiceState(Activity.RUNNING, sleeper.pid, "r"))
        assert not result.ok
        assert "SIGSTOP" in render(result.seen)


class TestTcp:
    def check(self, port: int, host: str = "127.0.0.1") -> Check:
        return Check("t", CheckKind.TCP, host=host, port=port, timeout=timedelta(seconds=1))

    @pytest.mark.parametrize("connecting", [False, True])
    async def test_a_listening_port_is_well_and_a_closed_one_is_not(self, prober: Prober, connecting: bool) -> None:
        prober._ports_refused = connecting
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert (await see(prober, self.check(port))).ok
        await asyncio.sleep(0.05)  # the kernel lets go of the socket
        result = await see(prober, self.check(port))
        assert not result.ok
        assert render(result.seen) in {f"nothing listens on port {port}", "connection refused"}

    async def test_no_check_is_ever_connected_to_itself(self, prober: Prober) -> None:
        # With the port as its own too, the kernel connects a socket to itself: so would a probe, sooner or later.
        port = free_port()
        with socket.socket() as itself:
            itself.bind(("127.0.0.1", port))
            itself.connect(("127.0.0.1", port))
            assert itself.getsockname() == itself.getpeername()
            assert not (await see(prober, self.check(port))).ok

    async def test_a_socket_on_every_address_takes_both_families_unless_it_says_otherwise(self, prober: Prober) -> None:
        with socket.socket(socket.AF_INET6) as both, socket.socket(socket.AF_INET6) as six:
            six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for server in (both, six):
                server.bind(("::", 0))
                server.listen()
            ports = both.getsockname()[1], six.getsockname()[1]
            assert [(await see(prober, self.check(port))).ok for port in ports] == [True, False]
            assert [(await see(prober, self.check(port, "::1"))).ok for port in ports] == [True, True]
            assert [(await see(prober, self.check(port, "localhost"))).ok for port in ports] == [True, True]

    async def test_a_port_whose_queue_is_full_is_not_well(self, prober: Prober) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
            waiting = []
            for _ in range(3):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(server.getsockname())
                waiting.append(client)
            await asyncio.sleep(0.05)  # the kernel fills the queue
            result = await see(prober, self.check(server.getsockname()[1]))
            for client in waiting:
                client.close()
        assert not result.ok
        assert "wait to be accepted" in render(result.seen)

    async def test_a_frozen_service_is_found_though_the_kernel_still_takes_its_connections(
        self, prober: Prober, sleeper: subprocess.Popen[bytes]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            state = ServiceState(Activity.RUNNING, sleeper.pid, "r")
            check = self.check(server.getsockname()[1])
            assert (await see(prober, check, state)).ok
            sleeper.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
            result = await see(prober, check, state)
        assert not result.ok
        assert "SIGSTOP" in render(result.seen)


class TestHttp:
    async def test_an_answer_is_told_with_its_status_and_time(self, prober: Prober) -> None:
        async with serving(OK) as port:
            result = await see(prober, http(port))
        assert result.ok
        assert render(result.seen) == "answered 200"
        assert result.took > 0

    async def test_the_request_is_a_plain_get_unless_the_check_says_otherwise(self, prober: Prober) -> None:
        requests: list[bytes] = []

        async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
            requests.append(head + await reader.readexactly(length))
            writer.write(OK)

        async with serving(keep) as port:
            await see(prober, http(port, "/a b?q=ü"))
            headers = {"X-Key": "1", "host": "example.org", "X-Evil": "a\r\nX-Other: b"}
            await see(prober, http(port, method="POST", body="hellö", headers=headers))
        assert requests[0].startswith(b"GET /a%20b?q=%C3%BC HTTP/1.1\r\n")
        assert b"Content-Length" not in requests[0]
        assert f"Host: 127.0.0.1:{port}\r\n".encode() in requests[0]
        assert requests[1].startswith(b"POST /health HTTP/1.1\r\n")
        assert b"host: example.org\r\n" in requests[1]
        assert b"Host: 127" not in requests[1]
        assert b"\r\nX-Other" not in requests[1]
        assert requests[1].endswith("\r\n\r\nhellö".encode())

    @pytest.mark.parametrize(
        ("status", "accepted", "ok"),
        [
            (200, ((200, 399),), True),
            (302, ((200, 399),), True),
            (500, ((200, 399),), False),
            (404, ((404, 404),), True),
        ],
    )
    async def test_the_status_decides(
        self, prober: Prober, status: int, accepted: tuple[tuple[int, int], ...], ok: bool
    ) -> None:
        async with serving(
            f"HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode()
        ) as port:
            result = await see(prober, http(port, status=accepted))
        assert result.ok is ok
        assert render(result.seen).startswith(f"answered {status}")

    async def test_headers_and_body_must_fit(self, prober: Prober) -> None:
        async with serving(OK) as port:
            assert (await see(prober, http(port, expect_headers={"x-version": r"^\d$"}, expect_body="o."))).ok
            wrong = await see(prober, http(port, expect_headers={"X-Version": "8"}))
            missing = await see(prober, http(port, expect_headers={"X-Other": "8"}))
            body = await see(prober, http(port, expect_body="fine"))
        assert not wrong.ok
        assert "header X-Version is '7', expected '8'" in render(wrong.seen)
        assert not missing.ok
        assert "without the header X-Other" in render(missing.seen)
        assert not body.ok
        assert "the body does not contain 'fine'" in render(body.seen)

    async def test_nobody_there_is_told_as_refused(self, prober: Prober) -> None:
        result = await see(prober, http(free_port()))
        assert not result.ok
        assert render(result.seen) == "connection refused"

    async def test_no_answer_ends_with_the_timeout(self, prober: Prober) -> None:
        async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        async with serving(hang) as port:
            result = await see(prober, http(port, timeout=timedelta(milliseconds=200)))
        assert not result.ok
        assert render(result.seen) == f"no answer from 127.0.0.1:{port} within 200 ms"

    async def test_an_answer_that_drips_does_not_stretch_the_timeout(self, prober: Prober) -> None:
        async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while True:
                writer.write(b".")
                await writer.drain()
                await asyncio.sleep(0.02)  # a slow answer

        async with serving(drip) as port:
            result = await see(prober, http(port, timeout=timedelta(milliseconds=200)))
        assert not result.ok
        assert "within 200 ms" in render(result.seen)
        assert result.took < 10

    async def test_a_server_hung_by_sigstop_is_found_within_the_timeout(self, prober: Prober, tmp_path: Path) -> None:
        program = "import http.server as h\ns = h.ThreadingHTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)\n"
        program += "print(s.server_address[1], flush=True)\ns.serve_forever()\n"
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert server.stdout is not None
        try:
            port = int(await server.stdout.readline())
            assert (await see(prober, http(port, "/"))).ok
            server.send_signal(signal.SIGSTOP)
            result = await see(prober, http(port, "/", timeout=timedelta(milliseconds=300)))
        finally:
            server.kill()
            await server.wait()
        assert not result.ok
        assert "no answer" in render(result.seen)

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (b"", "connection closed without an answer"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", "the answer was cut off"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsh", "the answer was cut off"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "the header of the answer is too long"),
        ],
    )
    async def test_half_an_answer_is_none(self, prober: Prober, answer: bytes, words: str) -> None:
        async with serving(answer) as port:
            result = await see(prober, http(port))
        assert not result.ok
        assert render(result.seen) == words

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.0 200 OK\r\n\r\nok until the end",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nok" + b"." * 70_000,
        ],
    )
    async def test_every_shape_of_answer_is_understood(self, prober: Prober, answer: bytes) -> None:
        async with serving(answer) as port:
            result = await see(prober, http(port, expect_body="^ok"))
        assert result.ok, render(result.seen)

    async def test_head_has_no_body_to_wait_for(self, prober: Prober) -> None:
        async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n") as port:
            assert (await see(prober, http(port, method="HEAD"))).ok

    async def test_a_name_is_looked_up(self, prober: Prober) -> None:
        async with serving(OK) as port:
            check = Check("h", CheckKind.HTTP, url=f"http://localhost:{port}/", timeout=timedelta(seconds=2))
            assert (await see(prober, check)).ok
        check = Check("h", CheckKind.HTTP, url=f"http://localhost:{port}/", timeout=timedelta(seconds=2))
        assert render((await see(prober, check)).seen) == "connection refused"

    async def test_a_certificate_nobody_vouches_for_is_refused(self, prober: Prober, tmp_path: Path) -> None:
        made = await asyncio.create_subprocess_exec(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=localhost", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert"),
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await made.wait() == 0
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(tmp_path / "cert", tmp_path / "key")
        async with serving(OK, tls) as port:
            check = Check("h", CheckKind.HTTP, url=f"https://127.0.0.1:{port}/", timeout=timedelta(seconds=2))
            result = await see(prober, check)
        assert not result.ok
        assert "certificate rejected" in render(result.seen)

    async def test_a_url_that_is_none_is_a_failure_and_no_exception(self, prober: Prober) -> None:
        result = await see(prober, Check("h", CheckKind.HTTP, url="ftp://x/"))
        assert not result.ok
        assert "no http or https URL" in render(result.seen)


class TestCommand:
    def check(self, *run: str, seconds: float = 5) -> Check:
        return Check("c", CheckKind.COMMAND, run=run, timeout=timedelta(seconds=seconds))

    async def test_its_exit_status_decides_and_its_last_line_is_shown(self, prober: Prober) -> None:
        good = await see(prober, self.check("sh", "-c", "echo first; echo; echo all fine; echo"))
        bad = await see(prober, self.check("sh", "-c", "echo no >&2; exit 3"))
        assert (good.ok, render(good.seen)) == (True, "exit 0: all fine")
        assert (bad.ok, render(bad.seen)) == (False, "exit 3: no")

    async def test_it_runs_in_the_service_s_folder_with_its_environment(self, prober: Prober, tmp_path: Path) -> None:
        service = Service(
            "web", ManagerKind.PROCESS, working_directory=str(tmp_path), environment={"GREETING": "hello"}
        )
        result = await see(prober, self.check("sh", "-c", 'echo "$GREETING $OPSBOT_SERVICE $PWD"'), service=service)
        assert render(result.seen) == f"exit 0: hello web {tmp_path}"

    async def test_a_hung_command_dies_with_its_whole_process_group(self, prober: Prober, tmp_path: Path) -> None:
        note = tmp_path / "pids"
        script = f"sleep 600 & echo $! > {note}; echo $$ >> {note}; wait"
        result = await see(prober, self.check("sh", "-c", script, seconds=0.4))
        assert not result.ok
        assert render(result.seen) == "not finished within 400 ms"
        assert result.took < 60
        for pid in map(int, note.read_text().split()):
            with pytest.raises(OSError, match="No such"):
                await asyncio.to_thread(gone, pid)

    async def test_what_it_leaves_behind_is_killed_and_holds_nothing_up(self, prober: Prober, tmp_path: Path) -> None:
        note = tmp_path / "pid"
        result = await see(prober, self.check("sh", "-c", f"sleep 600 & echo $! > {note}; echo done"))
        assert (result.ok, render(result.seen)) == (True, "exit 0: done")
        with pytest.raises(OSError, match="No such"):
            await asyncio.to_thread(gone, int(note.read_text()))

    async def test_a_flood_is_bounded(self, prober: Prober) -> None:
        result = await see(prober, self.check("sh", "-c", "yes | head -c 5000000; echo the end"))
        assert render(result.seen) == "exit 0: the end"

    async def test_a_command_that_is_not_there_says_so(self, prober: Prober) -> None:
        result = await see(prober, self.check("no-such-command-here"))
        assert not result.ok
        assert "no-such-command-here cannot be run" in render(result.seen)

    async def test_cancelled_it_leaves_no_process(self, prober: Prober, tmp_path: Path) -> None:
        note = tmp_path / "pid"
        task = asyncio.create_task(see(prober, self.check("sh", "-c", f"echo $$ > {note}; exec sleep 600")))
        await until(lambda: note.exists() and note.read_text().strip())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(OSError, match="No such"):
            await asyncio.to_thread(gone, int(note.read_text()))


def gone(pid: int) -> None:
    """Raises ProcessLookupError once the process is gone."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if state == "Z":
            raise ProcessLookupError(3, "No such process, but a zombie")
        time.sleep(0.01)  # between two looks


class TestUnit:
    @pytest.mark.parametrize("activity", list(Activity))
    async def test_the_manager_s_word_decides(self, prober: Prober, activity: Activity) -> None:
        result = await see(
            prober, Check("u", CheckKind.UNIT), ServiceState(activity, exit=message(ExitCode.STATUS, status=1))
        )
        assert result.ok is (activity is Activity.RUNNING)
        assert render(result.seen).startswith(str(activity))


async def test_no_check_delays_another_and_the_results_keep_their_order(prober: Prober, tmp_path: Path) -> None:
    """Each of the two slow ones ends once the other has begun."""
    asked, begun = tmp_path / "asked", tmp_path / "begun"

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.touch()
        await until(begun.exists)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with serving(slow) as slow_port, serving(OK) as port:
        command = f"touch {begun}; while [ ! -e {asked} ]; do sleep 0.01; done"
        checks = [
            http(slow_port, timeout=timedelta(seconds=30)),
            http(port, path="/missing", expect_body="nowhere"),
            Check("t", CheckKind.TCP, port=port),
            Check("c", CheckKind.COMMAND, run=("sh", "-c", command), timeout=timedelta(seconds=30)),
            http(port),
        ]
        results = await asyncio.gather(*(prober.probe(SERVICE, check, RUNNING) for check in checks))
    assert [result.ok for result in results] == [True, False, True, True, True]


async def test_many_checks_leave_no_socket_and_no_process_behind(prober: Prober) -> None:
    async with serving(OK) as port:
        checks = [http(port), Check("c", CheckKind.COMMAND, run=("true",))]

        async def run(times: int) -> list[ProbeResult]:
            return await asyncio.gather(*(prober.probe(SERVICE, check, RUNNING) for check in checks * times))

        await run(1)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for _ in range(5):
            assert all(result.ok for result in await run(4))
        await asyncio.sleep(0.05)  # what must not happen would have by then
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208
