"""`python -I -m opsbot.errand FOLDER`: becomes the command of the job that opsbot put there.

Started by an errand unit as the service's user. Its exit status is the command's.
"""

import os
import signal
import sys

from opsbot.errand.job import BEGUN, NOT_STARTED, NOT_TAKEN, REFUSED, Job, JobError, cannot_start, take


def main(folder: str) -> int:
    """Take the job and run it; returns only where that fails: the exit status."""
    try:
        job, pipe = take(folder)
    except JobError as error:
        print(f"opsbot.errand: {error}", file=sys.stderr)  # noqa: T201 - to the unit's journal
        return NOT_TAKEN
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.dup2(pipe, 1)
    os.dup2(pipe, 2)
    os.write(1, REFUSED + _become(job).encode(errors="replace"))
    return NOT_STARTED


def _become(job: Job) -> str:
    """Run the command in place of this process; returns only where that fails: why, in words."""
    run, directory, given = job["run"], job["directory"], job["environment"]
    assert isinstance(run, list)  # noqa: S101 - `take` has looked; this is for mypy
    assert isinstance(directory, str)  # noqa: S101
    assert isinstance(given, dict)  # noqa: S101
    environment = {**_own(), **given}
    if problem := cannot_start(run[0], directory, environment):
        return problem
    os.umask(int(str(job["umask"])))
    # Python ignores these; a command is used to them as they are by default.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.chdir(directory)
        os.write(1, BEGUN)
        os.execvpe(run[0], run, environment)  # noqa: S606 - an argument list, without a shell: that is the point
    except (OSError, ValueError) as error:
        return f"{run[0]} cannot be started: {getattr(error, 'strerror', None) or error}"


def _own() -> dict[str, str]:
    """Who it runs as, as systemd says (systemd.exec(5), Environment Variables in Spawned Processes).

    A home that cannot be written to, as ProtectHome= and ProtectSystem= have it, is replaced by the unit's cache
    folder: npm and pip want one.
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
