"""However the demo ends, nothing of it is left; not even of one that was killed, once another has begun."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.demo.conftest import Demo, begin, processes


def ended(demo: Demo, number: signal.Signals) -> None:
    assert demo.stop(number) == 0
    assert demo.process.stdout is not None
    assert "stopping" in demo.process.stdout.read()
    demo.process.stdout.close()
    assert processes(demo.folder) == {}
    assert list(demo.folder.iterdir()) == []


def service_of(demo: Demo) -> int:
    """The pid of the sample service, once it runs."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for pid, command in processes(demo.folder).items():
            if "server.py" in command:
                return pid
        time.sleep(0.1)  # between two looks
    raise AssertionError("the service was not deployed")


def test_ctrl_c_leaves_no_process_and_no_file_though_the_service_hangs(short_path: Path) -> None:
    demo = begin(short_path)
    with urllib.request.urlopen(demo.url, timeout=5) as answer:  # noqa: S310 - http alone matches
        assert b"<!doctype html>" in answer.read(100)
    os.kill(service_of(demo), signal.SIGSTOP)  # in the middle of its first deploy, too
    ended(demo, signal.SIGINT)


def test_a_killed_demo_is_cleared_away_by_the_next(short_path: Path) -> None:
    dead = begin(short_path)
    service = service_of(dead)
    dead.process.kill()
    dead.process.wait()
    assert dead.process.stdout is not None
    dead.process.stdout.close()
    assert service in processes(short_path)
    old = next(short_path.iterdir())
    time.sleep(max(0.0, old.stat().st_ctime + 5.5 - time.time()))  # younger ones may be about to take their lock
    following = begin(short_path)
    assert service not in processes(short_path)
    assert not old.exists()
    ended(following, signal.SIGTERM)


def test_a_port_in_use_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "opsbot", "demo", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert f"cannot listen on port {port}: address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_whose_path_is_too_long_is_a_clear_error(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    command = [sys.executable, "-m", "opsbot", "demo", "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(deep)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)
    assert done.returncode == 1
    assert "Set TMPDIR to a shorter path" in done.stderr
    assert "Traceback" not in done.stderr
