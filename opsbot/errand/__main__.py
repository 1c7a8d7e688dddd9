"""`python -I -m opsbot.errand FOLDER`: execute the command of the folder's job.

Started by a job unit as the service's user. Its exit status is the command's.
"""

import os
import signal
import sys

from opsbot.errand.job import BEGUN, NOT_STARTED, NOT_TAKEN, REFUSED, Job, JobError, cannot_start, take


def main(folder: str) -> int:
    """Read the job and execute it; returns an exit status only on failure."""
    try:
        job, pipe = take(folder)
    except JobError as error:
        print(f"opsbot.errand: {error}", file=sys.stderr)  # noqa: T201 - goes to the unit's journal
        return NOT_TAKEN
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.dup2(pipe, 1)
    os.dup2(pipe, 2)
    os.write(1, REFUSED + _become(job).encode(errors="replace"))
    return NOT_STARTED


def _become(job: Job) -> str:
    """Execute the command in place of this process; return the reason on failure."""
    run, directory, given = job["run"], job["directory"], job["environment"]
    assert isinstance(run, list)  # noqa: S101 - checked by `take`; for mypy
    assert isinstance(directory, str)  # noqa: S101
    assert isinstance(given, dict)  # noqa: S101
    environment = {**_own(), **given}
    if problem := cannot_start(run[0], directory, environment):
        return problem
    os.umask(int(str(job["umask"])))
    # Python ignores these signals; commands expect the default action.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.chdir(directory)
        os.write(1, BEGUN)
        os.execvpe(run[0], run, environment)  # noqa: S606 - deliberately an argument list without a shell
    except (OSError, ValueError) as error:
        return f"{run[0]} cannot be started: {getattr(error, 'strerror', None) or error}"


def _own() -> dict[str, str]:
    """The user's environment variables as set by systemd, see systemd.exec(5).

    A home that is not writable, as with ProtectHome= and ProtectSystem=, is replaced by the unit's cache folder,
    because npm and pip need one.
    """
    own = {name: os.environ[name] for name in ("HOME", "USER", "LOGNAME", "PATH") if name in os.environ}
    cache = os.environ.get("CACHE_DIRECTORY", "").split(":")[0]
    if cache and not os.access(own.get("HOME", "/"), os.W_OK):
        own["HOME"] = cache
    return own


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - itself and the folder
        sys.exit("usage: python -I -m opsbot.errand FOLDER")
    sys.exit(main(sys.argv[1]))
