"""The far end of an errand, as a child process: which jobs it takes, what it becomes, how it says that it cannot."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from opsbot.errand.job import BEGUN, JOB, JOB_MOST, NOT_STARTED, NOT_TAKEN, PIPE, REFUSED, encoded

ROOT = os.geteuid() == 0
NOBODY = 65534
ENVIRONMENT = {"PATH": os.environ["PATH"], "A": "b"}


class Errand:
    """A folder as opsbot lays it out, and the runner in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o750)
        os.mkfifo(folder / PIPE, 0o620)
        self.job("sh", "-c", "echo out; echo err >&2")

    def job(self, *command: str, directory: Path | None = None, umask: int = 0o27, **environment: str) -> None:
        self.put(encoded(command, str(directory or self.folder), {**ENVIRONMENT, **environment}, umask))

    def put(self, content: bytes) -> None:
        (self.folder / JOB).write_bytes(content)
        (self.folder / JOB).chmod(0o640)

    def run(self, folder: Path | None = None, *, reader: bool = True, **more: str) -> tuple[int, bytes, str]:
        """Its exit status, what came through the pipe, what it wrote elsewhere."""
        end = -1
        if reader and stat.S_ISFIFO((self.folder / PIPE).lstat().st_mode):
            end = os.open(self.folder / PIPE, os.O_RDONLY | os.O_NONBLOCK)
        done = subprocess.run(
            [sys.executable, "-I", "-m", "opsbot.errand", str(folder or self.folder)],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": "/", "SECRET": "x", **more},
        )
        came = b""
        if end >= 0:
            while piece := os.read(end, 65536):
                came += piece
            os.close(end)
        return done.returncode, came, done.stdout + done.stderr


@pytest.fixture
def errand(tmp_path: Path) -> Errand:
    return Errand(tmp_path / "step")


def test_the_command_takes_over_with_its_output_and_status(errand: Errand) -> None:
    assert errand.run() == (0, BEGUN + b"out\nerr\n", "")
    errand.job("sh", "-c", "exit 7")
    assert errand.run() == (7, BEGUN, "")
    errand.job("sh", "-c", "kill -TERM $$")
    assert errand.run()[0] == -15


def test_it_runs_where_and_how_it_was_told(errand: Errand, tmp_path: Path) -> None:
    errand.job("sh", "-c", "pwd; umask; test -t 0 || cat; env", directory=tmp_path, umask=0o7)
    status, came, _ = errand.run(USER="app")
    lines = came.removeprefix(BEGUN).decode().splitlines()
    assert status == 0
    assert lines[:2] == [str(tmp_path), "0007"]
    assert {"A=b", "USER=app", "HOME=/"} <= set(lines)
    assert "SECRET=x" not in lines


def test_a_home_that_cannot_be_written_to_is_replaced_by_the_cache_folder(errand: Errand, tmp_path: Path) -> None:
    errand.job("sh", "-c", "echo $HOME")
    assert errand.run(HOME=str(tmp_path), CACHE_DIRECTORY="/cache")[1] == BEGUN + f"{tmp_path}\n".encode()
    assert errand.run(HOME="/proc/none", CACHE_DIRECTORY="/cache:/more")[1] == BEGUN + b"/cache\n"
    assert errand.run(HOME="/proc/none")[1] == BEGUN + b"/proc/none\n"


def test_signals_that_python_ignores_are_not_ignored_by_the_command(errand: Errand) -> None:
    errand.job("grep", "SigIgn", "/proc/self/status")
    _, came, _ = errand.run()
    assert int(came.split()[-1], 16) & (1 << 12) == 0  # SIGPIPE


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("no-such-tool", "command no-such-tool not found on PATH"),
        ("./none", "the release has no ./none"),
        ("./plain", "./plain is not executable"),
    ],
)
def test_what_cannot_be_started_is_said_through_the_pipe(errand: Errand, command: str, reason: str) -> None:
    (errand.folder / "plain").write_text("")
    errand.job(command)
    status, came, said = errand.run()
    assert (status, said) == (NOT_STARTED, "")
    assert came.startswith(REFUSED + reason.encode())


def test_what_the_kernel_does_not_execute_is_said_too(errand: Errand) -> None:
    (errand.folder / "odd").write_bytes(b"\x7fELF")
    (errand.folder / "odd").chmod(0o755)
    errand.job("./odd")
    assert errand.run()[:2] == (NOT_STARTED, BEGUN + REFUSED + b"./odd cannot be started: Exec format error")


def test_nothing_is_run_that_nobody_waits_for(errand: Errand) -> None:
    errand.job("touch", str(errand.folder / "ran"))
    status, _, said = errand.run(reader=False)
    assert status == NOT_TAKEN
    assert "No such device or address" in said
    assert not (errand.folder / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"run": [], "directory": "/", "environment": {}, "umask": 0}',
        b'{"run": "sh", "directory": "/", "environment": {}, "umask": 0}',
        b'{"run": ["sh"], "directory": "/", "environment": {"A": 1}, "umask": 0}',
        b'{"run": ["sh"], "directory": "/", "environment": {}}',
        b" " * (JOB_MOST + 1),
    ],
)
def test_what_is_no_job_is_not_taken(errand: Errand, content: bytes) -> None:
    errand.put(content)
    status, came, said = errand.run()
    assert (status, came) == (NOT_TAKEN, b"")
    assert JOB in said


def refused(errand: Errand, folder: Path | None = None) -> str:
    status, came, said = errand.run(folder)
    assert (status, came) == (NOT_TAKEN, b"")
    return said


def test_links_are_not_followed(errand: Errand, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(errand.folder)
    assert "Not a directory" in refused(errand, tmp_path / "link")
    (errand.folder / JOB).rename(tmp_path / JOB)
    (errand.folder / JOB).symlink_to(tmp_path / JOB)
    assert "symbolic links" in refused(errand)
    (errand.folder / JOB).unlink()
    os.link(tmp_path / JOB, errand.folder / JOB)
    assert "not a regular file that only the folder's owner owns" in refused(errand)
    (errand.folder / JOB).unlink()
    os.mkfifo(errand.folder / JOB)
    assert "not a regular file" in refused(errand)


def test_a_pipe_that_is_none_is_not_written_to(errand: Errand, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    (errand.folder / PIPE).unlink()
    (errand.folder / PIPE).symlink_to(tmp_path / "precious")
    assert errand.run()[0] == NOT_TAKEN
    (errand.folder / PIPE).unlink()
    os.link(tmp_path / "precious", errand.folder / PIPE)
    assert "is not a pipe" in errand.run()[2]
    assert (tmp_path / "precious").read_text() == "keep"


def test_what_others_can_write_to_is_not_trusted(errand: Errand) -> None:
    (errand.folder / JOB).chmod(0o660)
    assert "writable by other users" in refused(errand)
    (errand.folder / JOB).chmod(0o640)
    errand.folder.chmod(0o770)
    assert "writable by other users" in refused(errand)


@pytest.mark.skipif(not ROOT, reason="files of two users take root")
@pytest.mark.parametrize("name", [JOB, PIPE])
def test_what_is_another_users_is_not_taken(errand: Errand, name: str) -> None:
    shutil.chown(errand.folder / name, NOBODY)
    assert "the folder's owner" in refused(errand)
