"""A checkout that is updated in place, with the interface of release folders.

    DIRECTORY/.git/refs/opsbot/releases/NAME    the commit of each release that can be returned to
    DIRECTORY/.git/opsbot/live                  the release that is wholly laid; written last
    DIRECTORY/.git/opsbot/made.json             what its install steps did to tracked files
    DIRECTORY/.git/opsbot/installed.json        from what each install step's result was made

A release is a commit here, and only one is checked out at a time: detached, never merged. What git does not track is
left alone. `check` makes sure, before anything is changed, that nothing of a person's would be overwritten; `lay` may
then be repeated after a crash at any moment, as it forces what `check` found to be opsbot's own to overwrite.

Everything here blocks: call it in a thread.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from opsbot.config import Source
from opsbot.core.deploy_codes import FailureCode
from opsbot.core.message import Param, message
from opsbot.deploy.releases import MARGIN, ReleaseError, Releases
from opsbot.deploy.reuse import some
from opsbot.filesystem.disk import exhausted, file_system, sync_file_system
from opsbot.filesystem.processes_in_folder import MARK, processes_in
from opsbot.runtime.atomic_file import replace_file
from opsbot.source.remote import git_environment
from opsbot.source.repo import LOCAL_SECONDS, UnsupportedTreeError, is_full_id


@dataclass(frozen=True, slots=True)
class Head:
    """What is checked out: the commit, and its title (untrusted)."""

    commit: str
    title: str


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
        """The folder of opsbot's notes about the checkout; None without a checkout."""
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
            replace_file(own / name, text)
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
                env={**git_environment(self._plain, self.mirror), MARK: self._mark, "GIT_LFS_SKIP_SMUDGE": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LOCAL_SECONDS,
                errors="surrogateescape",
                check=False,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(str(error)) from error


class Checkout(Releases):
    """One service's checkout."""

    def __init__(self, source: Source, mirror: Path, margin: int = MARGIN, mark: str = "") -> None:
        """mark: passed to every git, see `MARK`."""
        super().__init__(source, margin)
        self.git = CheckoutGit(source, mirror, mark)

    # Asked as of release folders

    def path(self, name: str) -> Path:
        """The same folder for every release."""
        del name
        return self.directory

    def name(self, commit: str, now: datetime) -> str:
        return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{commit[:10]}"

    def stands(self, name: str | None) -> bool:
        return name is not None and self.git.commit(_ref(name)) is not None

    def live(self) -> str | None:
        """The release that is laid, and checked out still."""
        name = self.git.read("live").strip()
        commit = self.git.commit(_ref(name)) if name else None
        return name if commit is not None and commit == self.git.commit("HEAD") else None

    def switch(self, name: str) -> None:
        """Write down that this release is wholly laid: to be called last."""
        commit = self.git.commit(_ref(name))
        if commit is None or commit != self.git.commit("HEAD"):
            where = str(self.directory)
            raise ReleaseError(message(FailureCode.CHECKOUT_ELSEWHERE, directory=where, release=name))
        sync_file_system(self.directory)
        self.git.write("live", name)

    def take_away(self) -> None:
        """Have no live release. The files stay."""
        self.git.write("live", "")

    def discard(self, name: str, *, guarded: bool = False) -> bool:
        """Forget a release's commit; True. The files stay, whoever owns them."""
        del guarded
        if self.live() == name:
            raise ReleaseError(message(FailureCode.RELEASE_LIVE, release=name))
        if self.git.notes() is not None:
            self.git.run("update-ref", "-d", _ref(name))
        return True

    def surplus(self, good: Iterable[str], spared: Iterable[str], known: Iterable[str]) -> list[str]:
        """All but the `keep` newest of `good`, `spared`, and the live release."""
        kept = {*list(good)[: self.source.keep], *spared, self.live()}
        return [name for name in known if name not in kept]

    # Looking

    def head(self) -> Head:
        self.git.see()
        commit = self.git.commit("HEAD")
        if commit is None:
            raise ReleaseError(message(FailureCode.EMPTY_CHECKOUT, directory=str(self.directory)))
        return Head(commit, printable(self.git.run("log", "-1", "--format=%s", commit).strip()))

    def commit(self, name: str) -> str | None:
        """A release's commit; None where it is not held."""
        return self.git.commit(_ref(name))

    def check(self, commit: str) -> None:
        """See that this commit, which `bring` brought, can be laid without a loss.

        Raises:
            ReleaseError: something of a person's is in the way; the text names it.
            UnsupportedTreeError: the commit has what cannot be laid.
        """
        now = self.head().commit
        self.check_space(0)
        directory = str(self.directory)
        if changed := self._changed_by_hand():
            raise ReleaseError(message(FailureCode.CHECKOUT_CHANGED, directory=directory, files=_some(changed)))
        modules = [
            row.split("\t", 1)[1] for row in self.git.entries("ls-tree", "-r", commit) if row.startswith("160000 ")
        ]
        if modules:
            raise UnsupportedTreeError(message(FailureCode.SUBMODULES, commit=commit, paths=_some(modules)))
        if in_the_way := self._in_the_way(now, commit):
            files = _some(in_the_way)
            raise ReleaseError(
                message(FailureCode.CHECKOUT_IN_THE_WAY, directory=directory, commit=commit, files=files)
            )

    def _changed_by_hand(self) -> list[str]:
        made = self._read("made.json")
        return [path for path, content in self._changed().items() if path not in made or made[path] != content]

    def _changed(self) -> dict[str, str]:
        """The tracked files that differ from HEAD, and a digest of what they hold now."""
        paths = self.git.entries(
            "diff", "--name-only", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", "HEAD"
        )
        return {path: _digest(self.directory / path) for path in paths}

    def _read(self, name: str) -> dict[str, str]:
        try:
            return dict(json.loads(self.git.read(name) or "{}"))
        except ValueError:
            return {}

    def _in_the_way(self, now: str, commit: str) -> list[str]:
        tracked = set(self.git.entries("ls-tree", "-r", "--name-only", now))
        found = []
        for path in self.git.entries("ls-tree", "-r", "--name-only", commit):
            if path in tracked:
                continue
            above = [str(each) for each in list(Path(path).parents)[:-1]]
            if any(each in tracked for each in above):
                continue  # a tracked file or link gives way to a folder
            found += [each for each in above if _is_no_folder(self.directory / each)]
            # A folder gives way where all that is in it is tracked.
            if _is_no_folder(self.directory / path) or self._others(path):
                found.append(path)
        return sorted(set(found))

    def _others(self, path: str) -> bool:
        return (self.directory / path).is_dir() and bool(self.git.entries("ls-files", "--others", "--", path))

    # Laying

    def bring(self, name: str) -> None:
        """Fetch a release's commit from the mirror, without changing what is checked out."""
        self.git.see()
        words = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--force"]
        self.git.run(*words, "--", str(self.git.mirror), f"+{_ref(name)}:{_ref(name)}")

    def hold(self, name: str, commit: str) -> None:
        """Hold on to a commit that is there already."""
        self.git.run("update-ref", _ref(name), commit)

    def lay(self, name: str) -> None:
        """Check a release out, whatever a killed one has left behind. Only after `check`."""
        self._unlock()
        self.git.write("made.json", "{}")
        quiet = ["-c", "advice.detachedHead=false", "-c", "core.symlinks=true", "-c", "filter.lfs.required=false"]
        self.git.run(*quiet, "checkout", "--quiet", "--force", "--no-recurse-submodules", "--detach", _ref(name))

    def installed(self) -> None:
        """Record what install steps did to tracked files: it is no person's change."""
        self.git.write("made.json", json.dumps(self._changed()))

    def results(self) -> dict[str, str]:
        """What each step's result was made from: digests of its configuration and files."""
        return self._read("installed.json")

    def keep_results(self, results: Mapping[str, str]) -> None:
        self.git.write("installed.json", json.dumps(dict(results)))

    def _unlock(self) -> None:
        """Remove the lock of a git that was killed; one that is at work is let alone."""
        git = self.git.folder()
        lock = None if git is None else git / "index.lock"
        if lock is None or not lock.exists():
            return
        busy = sorted(pid for pid in processes_in([self.directory])[self.directory] if _is_git(pid))
        if busy:
            raise ReleaseError(message(FailureCode.GIT_BUSY, directory=str(self.directory), pid=busy[0]))
        lock.unlink(missing_ok=True)


def _ref(name: str) -> str:
    return f"refs/opsbot/releases/{name}"


def _is_no_folder(path: Path) -> bool:
    return os.path.lexists(path) and (path.is_symlink() or not path.is_dir())


def _digest(path: Path) -> str:
    """What a path holds, "" where there is nothing."""
    if path.is_symlink():
        return f"link:{path.readlink()}"
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _is_git(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip().startswith("git")
    except OSError:
        return False


def _some(paths: Sequence[str]) -> tuple[Param, ...]:
    return some([printable(path) for path in paths])


def printable(text: str) -> str:
    """A file's name need not be text, what is kept in the store must be."""
    return text.encode(errors="surrogateescape").decode(errors="replace")
