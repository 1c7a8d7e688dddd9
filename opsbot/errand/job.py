"""The job file: written by opsbot, read safely by the service's user.

The folder belongs to opsbot. The user that runs the job may only read the folder and write to the pipe. A folder, job
or
pipe that belongs to another user, is a link, or is writable by others is rejected.
"""

import json
import os
import stat
from collections.abc import Mapping, Sequence

JOB = "job.json"
PIPE = "output"
JOB_MOST = 1024 * 1024
"""Bytes. A larger environment would not fit an exec (execve(2)) either."""

BEGUN = b"\0"
"""Written to the pipe right before the command is executed."""
REFUSED = b"\1"
"""Written to the pipe if the command cannot be started, followed by the reason."""
NOT_STARTED = 203
"""Exit status if the command cannot be started, as systemd's own (systemd.exec(5), EXIT_EXEC)."""
NOT_TAKEN = 78
"""Exit status without a valid job (sysexits(3), EX_CONFIG)."""

Job = dict[str, object]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_PIPE_END = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class JobError(Exception):
    """There is no valid job; the message says why."""


def encoded(run: Sequence[str], directory: str, environment: Mapping[str, str], umask: int) -> bytes:
    job = {"run": list(run), "directory": directory, "environment": dict(environment), "umask": umask}
    return json.dumps(job).encode()


def take(folder: str) -> tuple[Job, int]:
    """Return the job in this folder and the pipe for its output.

    Raises:
        JobError: there is no valid job.
    """
    try:
        fd = os.open(folder, _FOLDER)
    except OSError as error:
        raise JobError(f"{folder}: {error.strerror}") from error
    try:
        owner = _only_its_owners(os.fstat(fd), folder)
        return _job(fd, owner), _pipe(fd, owner)
    except OSError as error:
        raise JobError(f"{folder}/{error.filename}: {error.strerror}") from error
    finally:
        os.close(fd)


def _only_its_owners(about: os.stat_result, name: str) -> int:
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise JobError(f"{name} is writable by other users")
    return about.st_uid


def _job(folder: int, owner: int) -> Job:
    fd = os.open(JOB, _FILE, dir_fd=folder)
    with open(fd, "rb") as file:  # noqa: PTH123 - importing pathlib takes longer than all of this
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != owner or about.st_nlink != 1:
            raise JobError(f"{JOB} is not a regular file that only the folder's owner owns")
        _only_its_owners(about, JOB)
        content = file.read(JOB_MOST + 1)
    if len(content) > JOB_MOST:
        raise JobError(f"{JOB} is larger than {JOB_MOST} bytes")
    try:
        job = json.loads(content)
    except ValueError as error:
        raise JobError(f"{JOB} is not JSON: {error}") from error
    if not _whole(job):
        raise JobError(f"{JOB} is not a job")
    return dict(job)


def _whole(job: object) -> bool:
    if not isinstance(job, dict):
        return False
    run, environment = job.get("run"), job.get("environment")
    return (
        isinstance(run, list)
        and bool(run)
        and all(isinstance(word, str) for word in run)
        and isinstance(job.get("directory"), str)
        and isinstance(environment, dict)
        and all(isinstance(value, str) for value in environment.values())
        and isinstance(job.get("umask"), int)
    )


def _pipe(folder: int, owner: int) -> int:
    # ENXIO without a reader: opsbot is gone and nobody waits for the job.
    fd = os.open(PIPE, _PIPE_END, dir_fd=folder)
    about = os.fstat(fd)
    if not stat.S_ISFIFO(about.st_mode) or about.st_uid != owner:
        os.close(fd)
        raise JobError(f"{PIPE} is not a pipe of the folder's owner")
    os.set_blocking(fd, True)
    return fd


def cannot_start(name: str, directory: str, environment: Mapping[str, str]) -> str | None:
    """Return why a command cannot be started in this folder; None if it can."""
    if not os.path.isdir(directory):  # noqa: PTH112 - see above
        return f"the release has no folder {os.path.basename(directory)}"  # noqa: PTH119
    if "/" in name:
        path = os.path.join(directory, name)  # noqa: PTH118
        if not os.path.exists(path):  # noqa: PTH110
            return f"the release has no {name}"
        return None if os.access(path, os.X_OK) else f"{name} is not executable"
    search = environment.get("PATH")
    if not _on_path(name, os.environ.get("PATH", os.defpath) if search is None else search):
        return f"command {name} not found on PATH ({environment.get('PATH', '')})"
    return None


def _on_path(name: str, search: str) -> bool:
    paths = (os.path.join(folder, name) for folder in search.split(os.pathsep))  # noqa: PTH118
    return bool(search) and any(os.access(path, os.X_OK) and not os.path.isdir(path) for path in paths)  # noqa: PTH112
