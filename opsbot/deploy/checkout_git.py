"""git in a checkout that is updated in place, and what opsbot stores beside it. Everything here blocks."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from opsbot.config import Source
from opsbot.core.deploy_codes import FailureCode
from opsbot.core.message import message
from opsbot.deploy.releases import ReleaseError
from opsbot.filesystem.disk import exhausted, file_system
from opsbot.filesystem.processes_in_folder import MARK
from opsbot.source.remote import git_environment
from opsbot.source.repo import LOCAL_SECONDS, is_full_id


class CheckoutGit:
    """git in one checkout, never with the remote. What fails raises ReleaseError."""

    def __init__(self, source: Source, mirror: Path, mark: str) -> None:
        self.directory = source.directory
        self.mirror = mirror
        self._plain = replace(source, token=None)
        self._mark = mark

    def see(self) -> None:
        if self.folder() is None:
            raise ReleaseError(message(FailureCode.NO_CHECKOUT, directory=str(self.directory)))

    def folder(self) -> Path | None:
        """Its `.git`; None where the directory is not the top of a checkout."""
        found = self._ask("rev-parse", "--absolute-git-dir", "--show-toplevel")
        if found.returncode != 0:
            return None
        git, _, top = found.stdout.rstrip("\n").partition("\n")
        return Path(git) if top and Path(top).resolve() == self.directory.resolve() else None

    def notes(self) -> Path | None:
        """The folder of what opsbot writes down of the checkout; None where there is no checkout."""
        git = self.folder()
        return None if git is None else git / "opsbot"

    def read(self, name: str) -> str:
        """What was written down under that name, "" where nothing was."""
        own = self.notes()
        try:
            return (own / name).read_text() if own is not None else ""
        except (OSError, ValueError):
            return ""

    def write(self, name: str, text: str) -> None:
        """Write it down: all of it or nothing, and on the disk."""
        own = self.notes()
        if own is None:
            return
        try:
            own.mkdir(exist_ok=True)
            fresh = own / f".{name}.{os.getpid()}"
            with fresh.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(own / name)
        except OSError as error:
            path = str(own / name)
            raise ReleaseError(message(FailureCode.FILE_ERROR, path=path, error=error.strerror)) from error

    def commit(self, name: str) -> str | None:
        found = self._ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").stdout.strip()
        return found if is_full_id(found) else None

    def entries(self, *words: str) -> list[str]:
        """What git printed, a list of names."""
        verb, *rest = words
        return [entry for entry in self.run(verb, "-z", *rest).split("\0") if entry]

    def run(self, *words: str) -> str:
        done = self._ask(*words)
        if done.returncode == 0:
            return done.stdout
        if exhausted(self.directory):
            raise ReleaseError(message(FailureCode.NO_SPACE, where=file_system(self.directory)))
        said = printable(" ".join(done.stderr.split()))[-500:] or f"status {done.returncode}"
        raise self._failed(said)

    def _failed(self, said: str) -> ReleaseError:
        return ReleaseError(message(FailureCode.CHECKOUT_GIT, directory=str(self.directory), error=said))

    def _ask(self, *words: str) -> "subprocess.CompletedProcess[str]":
        if not self.directory.is_dir():
            return subprocess.CompletedProcess(words, 128, "", f"{self.directory} is not there")
        try:
            return subprocess.run(
                ["git", *words],
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LOCAL_SECONDS,
                errors="surrogateescape",
                check=False,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(str(error)) from error

    def _environment(self) -> Mapping[str, str]:
        return {**git_environment(self._plain, self.mirror), MARK: self._mark, "GIT_LFS_SKIP_SMUDGE": "1"}


def printable(text: str) -> str:
    """A file's name need not be text, what is kept in the store must be."""
    return text.encode(errors="surrogateescape").decode(errors="replace")
