"""The job that lies in an errand's folder: how opsbot writes it, and how the other user reads it without being fooled.

The folder is opsbot's; the user that the job runs as may read in it and write to the pipe, no more. What is not so is
refused: a folder, a job or a pipe that belongs to somebody else, is a link, or can be written to by others.
"""

import json
import os
import stat
from collections.abc import Mapping, Sequence

JOB = "job.json"
PIPE = "output"
JOB_MOST = 1024 * 1024
"""Bytes; an environment of more than that would not fit an exec (execve(2)) either."""

BEGUN = b"\0"
"""Written to the pipe right before the command takes over."""
REFUSED = b"\1"
"""Written to it where the command cannot be started; the reason follows."""
NOT_STARTED = 203
"""Exit status where the command cannot be started: that of systemd itself (systemd.exec(5), EXIT_EXEC)."""
NOT_TAKEN = 78
"""Exit status where there is no job that may be taken (sysexits(3), EX_CONFIG)."""

Job = dict[str, object]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_PIPE_END = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class JobError(Exception):
    """There is no job that may be taken; the text says why."""


def encoded(run: Sequence[str], directory: str, environment: Mapping[str, str], umask: int) -> bytes:
    """A job as it is written."""
    job = {"run": list(run), "directory": directory, "environment": dict(environment), "umask": umask}
    return json.dumps(job).encode()


def take(folder: str) -> tuple[Job, int]:
    """The job in this folder, and the pipe for what it prints.

    Raises:
        JobError: it may not be taken.
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
        raise JobError(f"{name} can be written to by others than its owner")
    return about.st_uid


def _job(folder: int, owner: int) -> Job:
    fd = os.open(JOB, _FILE, dir_fd=folder)
    with open(fd, "rb") as file:  # noqa: PTH123 - pathlib takes longer to import than all of this
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != owner or about.st_nlink != 1:
            raise JobError(f"{JOB} is not a file of the folder's owner alone")
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
    # Without a reader (ENXIO) opsbot is gone: nothing is run that nobody waits for.
    fd = os.open(PIPE, _PIPE_END, dir_fd=folder)
    about = os.fstat(fd)
    if not stat.S_ISFIFO(about.st_mode) or about.st_uid != owner:
        os.close(fd)
        raise JobError(f"{PIPE} is not a pipe of the folder's owner")
    os.set_blocking(fd, True)
    return fd


def cannot_start(name: str, directory: str, environment: Mapping[str, str]) -> str | None:
    """Why a command cannot be started in this folder, in words; None where it can."""
    if not os.path.isdir(directory):  # noqa: PTH112 - see above
        return f"there is no folder {os.path.basename(directory)} in the release"  # noqa: PTH119
    if "/" in name:
        path = os.path.join(directory, name)  # noqa: PTH118
        if not os.path.exists(path):  # noqa: PTH110
            return f"there is no {name} in the release"
        return None if os.access(path, os.X_OK) else f"{name} is not executable"
    search = environment.get("PATH")
    if not _on_path(name, os.environ.get("PATH", os.defpath) if search is None else search):
        return f"there is no command {name} on PATH ({environment.get('PATH', '')})"
    return None


def _on_path(name: str, search: str) -> bool:
    paths = (os.path.join(folder, name) for folder in search.split(os.pathsep))  # noqa: PTH118
    return bool(search) and any(os.access(path, os.X_OK) and not os.path.isdir(path) for path in paths)  # noqa: PTH112
