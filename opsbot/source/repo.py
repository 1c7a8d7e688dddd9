"""The mirror: one bare repository per service, from which releases are exported.

It holds what was fetched and can be deleted at any time: a damaged one is created again, and a changed address in the
configuration is used at the next fetch, because the address is given to each fetch and stored nowhere. What the tracked
branch points to is kept under `refs/opsbot/tracked`, so that no renamed branch can be in its way; each kept release has
a separate ref, so that a rewritten history does not remove a release's commit.

git itself fetches and exports (`opsbot.source.remote.run_git`: time limits, no prompts, no secrets shown); GitPython
reads, in a thread, and is imported when it is first needed.
"""

import asyncio
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from opsbot.config import Source
from opsbot.core.deploy_codes import FailureCode, SourceCode
from opsbot.core.deployment import Commit
from opsbot.core.message import Message, MessageError, message
from opsbot.filesystem.disk import exhausted, file_system
from opsbot.filesystem.processes_in_folder import MARK, processes_in
from opsbot.source.remote import Failure, GitResult, RemoteError, explain, git_environment, run_git

if TYPE_CHECKING:
    import git

T = TypeVar("T")

LOCAL_SECONDS = 300.0
"""For git commands that talk to nobody."""
FIRST_FETCH = 5
"""The first fetch brings the whole history, and may take so many times `source.timeout`."""
COMMITS_SHOWN = 50
TITLE_MOST = 300
TRACKED = "refs/opsbot/tracked"
WANTED = "refs/opsbot/wanted"

_FULL = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SHORT = re.compile(r"[0-9a-f]{7,64}")
_DAMAGE = re.compile(
    r"bad object|object file .* is empty|loose object|corrupt|unable to read|missing (blob|tree|commit|object)"
    r"|did not send all necessary objects|packfile .* (invalid|cannot be|does not)|bad pack|unable to parse|bad tree"
    r"|bad config|invalid object|not our ref .* missing|index file .* too small|failed to read object"
    r"|not a git repository: '[^']*mirror\.git'",
    re.IGNORECASE,
)


class BadRefError(MessageError):
    """No branch, tag or commit of that name."""


class DamagedError(MessageError):
    """The mirror lacks what it should have. `Repository.discard`, and fetch again."""


class UnsupportedTreeError(MessageError):
    """The commit contains something a release cannot be made of; the message names it."""


def is_full_id(ref: str) -> bool:
    """Whether this is a whole commit id."""
    return _FULL.fullmatch(ref) is not None


def ref_problem(ref: str) -> Message | None:
    """Why a text cannot name a ref or commit (git-check-ref-format(1)), or None."""
    if not ref or len(ref) > 250:  # noqa: PLR2004 - a file name's length
        return message(SourceCode.REF_LENGTH)
    if ref.startswith("-"):
        return message(SourceCode.REF_DASH, ref=repr(ref))
    bad = any(ord(char) <= 32 or char in "~^:?*[\\\x7f" for char in ref)  # noqa: PLR2004 - control characters, space
    if (
        bad
        or ".." in ref
        or "@{" in ref
        or "//" in ref
        or ref.startswith(("/", "."))
        or ref.endswith(("/", ".", ".lock"))
    ):
        return message(SourceCode.REF_INVALID, ref=repr(ref))
    return None


@dataclass(frozen=True, slots=True)
class Exported:
    """What a release was made of."""

    files: int
    lfs: bool
    """Files kept in Git LFS came as pointers."""


class Repository:
    """One service's mirror."""

    def __init__(self, source: Source, mark: str = "", mirror: Path | None = None) -> None:
        """mark: passed to every git, see `MARK`. mirror: if not in the source's directory."""
        self.source = source
        self.mirror = mirror or source.directory / "mirror.git"
        self._mark = mark
        self._lock = asyncio.Lock()

    # Bringing it up to date

    async def fetch(self) -> None:
        """Bring what is new on the tracked branch.

        Raises:
            RemoteError: as `bring`.
        """
        await self.bring()

    async def bring(self, ref: str | None = None) -> str:
        """Fetch a branch (None: the tracked one), tag or commit; return the commit.

        A full commit id that the mirror has is not asked for.

        Raises:
            BadRefError: there is none such.
            RemoteError: the remote cannot be reached, does not answer or refuses.
        """
        if ref is not None and (problem := ref_problem(ref)):
            raise BadRefError(problem)
        async with self._lock:
            environment = await asyncio.to_thread(self._remote_environment)
            fresh = await self._stand()
            try:
                return await self._bring(ref, environment, fresh=fresh)
            except DamagedError:
                await asyncio.to_thread(shutil.rmtree, self.mirror, ignore_errors=True)
            await self._stand()
            try:
                return await self._bring(ref, environment, fresh=True)
            except DamagedError as error:
                raise RemoteError(Failure.OTHER, error.message) from error

    async def discard(self) -> None:
        """Delete the mirror; the next fetch creates it again."""
        async with self._lock:
            await asyncio.to_thread(shutil.rmtree, self.mirror, ignore_errors=True)

    def _remote_environment(self) -> dict[str, str]:
        return {**git_environment(self.source, self.mirror), MARK: self._mark}

    def _local_environment(self) -> dict[str, str]:
        # No token: returning to a kept release must not depend on it.
        return {
            **git_environment(replace(self.source, token=None), self.mirror),
            MARK: self._mark,
            "GIT_LFS_SKIP_SMUDGE": "1",
        }

    async def _stand(self) -> bool:
        """Make the mirror where there is none that git would take; whether it is new."""
        if await asyncio.to_thread(self._sound):
            await asyncio.to_thread(self._unlock)
            return False
        await asyncio.to_thread(shutil.rmtree, self.mirror, ignore_errors=True)
        await asyncio.to_thread(self.mirror.parent.mkdir, parents=True, exist_ok=True)
        await self._git(["init", "--quiet", "--bare", "--template=", "--", str(self.mirror)], check=True)
        return True

    def _sound(self) -> bool:
        return (
            (self.mirror / "HEAD").is_file() and (self.mirror / "objects").is_dir() and (self.mirror / "refs").is_dir()
        )

    def _unlock(self) -> None:
        """Remove locks and partial packs of a killed git, unless one is at work."""
        left = ("*.lock", "objects/info/**/*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/tmp_*")
        locks = [path for pattern in left for path in self.mirror.glob(pattern)]
        if not locks:
            return
        if busy := processes_in([self.mirror])[self.mirror]:
            reason = message(SourceCode.MIRROR_BUSY, directory=str(self.mirror), pid=min(busy))
            raise RemoteError(Failure.OTHER, reason)
        for lock in locks:
            with suppress(IsADirectoryError):
                lock.unlink(missing_ok=True)

    async def _bring(self, ref: str | None, environment: Mapping[str, str], *, fresh: bool) -> str:
        if ref is None:
            await self._fetch([f"+refs/heads/{self.source.branch}:{TRACKED}"], environment, fresh=fresh)
            return await self._existing(TRACKED, self.source.branch)
        if _FULL.fullmatch(ref):
            return await self._bring_commit(ref, environment, fresh=fresh)
        await self._fetch_all(environment, fresh=fresh)
        names = [f"refs/heads/{ref}", f"refs/tags/{ref}", *([ref] if _SHORT.fullmatch(ref) else [])]
        for name in names:
            if commit := await self.resolve(name):
                return commit
        raise BadRefError(message(SourceCode.REF_UNKNOWN, ref=ref))

    async def _bring_commit(self, commit: str, environment: Mapping[str, str], *, fresh: bool) -> str:
        if not fresh and await self.resolve(commit):
            return commit
        try:
            await self._fetch([f"+refs/heads/{self.source.branch}:{TRACKED}"], environment, fresh=fresh)
        except RemoteError as error:
            if error.kind is not Failure.NO_BRANCH:
                raise
        if await self.resolve(commit):
            return commit
        try:
            await self._fetch([f"+{commit}:{WANTED}"], environment, fresh=fresh)
        except RemoteError as error:
            if error.kind not in {Failure.OTHER, Failure.NO_BRANCH}:
                raise
            # A server that gives no commit by its id has it under a branch or a tag, or not at all.
            await self._fetch_all(environment, fresh=fresh)
        return await self._existing(commit, commit)

    async def _fetch_all(self, environment: Mapping[str, str], *, fresh: bool) -> None:
        await self._fetch(
            ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"], environment, fresh=fresh, prune=True
        )

    async def _existing(self, name: str, asked: str) -> str:
        if commit := await self.resolve(name):
            return commit
        raise BadRefError(message(SourceCode.REF_UNKNOWN, ref=asked))

    async def _fetch(
        self, refspecs: Sequence[str], environment: Mapping[str, str], *, fresh: bool, prune: bool = False
    ) -> None:
        words = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--force"]
        words += ["--prune"] if prune else []
        limit = self.source.timeout.total_seconds() * (FIRST_FETCH if fresh else 1)
        result = await run_git(
            [*words, "--", self.source.repository, *refspecs], cwd=self.mirror, env=environment, timeout=limit
        )
        await self._raise(result)

    async def _raise(self, result: GitResult) -> None:
        if result.status == 0:
            return
        if await asyncio.to_thread(exhausted, self.mirror.parent):
            where = await asyncio.to_thread(file_system, self.mirror.parent)
            raise RemoteError(Failure.DISK, message(SourceCode.NO_SPACE, where=where))
        failure = explain(result)
        if failure.kind in {Failure.OTHER, Failure.NO_REPOSITORY} and _DAMAGE.search(result.err):
            raise DamagedError(message(SourceCode.DAMAGED, said=result.err.strip()[:500]))
        raise failure

    async def _git(
        self,
        words: Sequence[str],
        extra: Mapping[str, str] | None = None,
        *,
        cwd: Path | None = None,
        check: bool = False,
        umask: int = -1,
    ) -> GitResult:
        environment = {**self._local_environment(), **(extra or {})}
        result = await run_git(words, cwd=cwd, env=environment, timeout=LOCAL_SECONDS, umask=umask)
        if check:
            await self._raise(result)
        return result

    # Reading it

    async def _read(self, question: Callable[["git.Repo"], T]) -> T | None:
        """Ask GitPython, in a thread; None where the mirror is not there or does not know."""
        environment = self._local_environment()

        def ask() -> T | None:
            # 15 MB that a service without news does not need.
            import git  # noqa: PLC0415
            from gitdb.exc import ODBError  # noqa: PLC0415

            try:
                with git.Repo(self.mirror) as repo:
                    repo.git.update_environment(**environment)
                    return question(repo)
            except (git.GitError, ODBError, ValueError, OSError):
                # GitCommandError, NoSuchPathError, InvalidGitRepositoryError, BadName: it does not know.
                return None

        return await asyncio.to_thread(ask)

    async def resolve(self, name: str) -> str | None:
        """The commit of a full ref name, or of a commit id of at least 7 digits."""

        def ask(repo: "git.Repo") -> str | None:
            found = str(repo.git.rev_parse("--verify", "--quiet", f"{name}^{{commit}}", kill_after_timeout=60))
            return found if _FULL.fullmatch(found) else None

        return await self._read(ask)

    async def commits_between(self, old: str | None, new: str) -> tuple[tuple[Commit, ...], int]:
        """What `new` adds to `old`: the newest commits, and how many there are."""
        span = new if old is None else f"{old}..{new}"

        def ask(repo: "git.Repo") -> tuple[tuple[Commit, ...], int]:
            if old is None:
                return (_commit(repo.commit(new)),), 1
            newest = tuple(_commit(each) for each in repo.iter_commits(span, max_count=COMMITS_SHOWN))
            return newest, int(repo.git.rev_list("--count", span, kill_after_timeout=60))

        return await self._read(ask) or ((), 0)

    async def commit(self, name: str) -> Commit | None:
        return await self._read(lambda repo: _commit(repo.commit(name)))

    async def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `old` is `new` or an ancestor; False if the mirror lacks one."""
        return bool(await self._read(lambda repo: repo.is_ancestor(repo.commit(old), repo.commit(new))))

    async def changed_paths(self, old: str, new: str) -> tuple[str, ...]:
        """The paths that differ between two commits; () if the mirror lacks one."""

        def ask(repo: "git.Repo") -> tuple[str, ...]:
            out = repo.git.diff("--name-only", "--no-renames", "-z", old, new, "--", kill_after_timeout=60)
            return tuple(path for path in str(out).split("\0") if path)

        return await self._read(ask) or ()

    async def content(self, commit: str, path: str, most: int) -> str | None:
        """A file as text, "" if missing; None if larger than `most` bytes or no file."""

        def ask(repo: "git.Repo") -> str | None:
            try:
                found = repo.commit(commit).tree / path
            except KeyError:
                return ""
            if found.type != "blob" or found.size > most:
                return None
            return bytes(found.data_stream.read()).decode(errors="replace")

        return await self._read(ask)

    async def tree(self, commit: str) -> Mapping[str, str] | None:
        """Each file of a commit and the id of its content; None if unknown."""

        def ask(repo: "git.Repo") -> dict[str, str]:
            out = str(repo.git.ls_tree("-r", "-z", "--full-tree", commit, kill_after_timeout=60))
            rows = (row.split("\t", 1) for row in out.split("\0") if row)
            return {path: about.split(" ")[2] for about, path in rows}

        return await self._read(ask)

    # Making a release of it

    async def export(self, commit: str, folder: Path, index: Path, umask: int = -1) -> Exported:
        """Write all files of a commit into an empty folder, and check them.

        `index` is kept beside it: git's own record of what it wrote, by which `touched` knows later. umask: of the
        files; -1 is opsbot's own.

        Raises:
            UnsupportedTreeError: it has submodules, or files that do not come out as they went in.
            DamagedError: the mirror lacks some of it.
            RemoteError: git failed (DISK: no space).
        """
        place = {"GIT_DIR": str(self.mirror), "GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}
        plain = ["-c", "core.autocrlf=false", "-c", "filter.lfs.required=false", "-c", "core.symlinks=true"]
        async with self._lock:
            await self._git(["read-tree", commit], place, cwd=folder, check=True)
            staged = await self._git(["ls-files", "--stage", "-z"], place, cwd=folder, check=True)
            entries = [entry for entry in staged.out.split("\0") if entry]
            modules = [entry.split("\t", 1)[1] for entry in entries if entry.startswith("160000 ")]
            if modules:
                raise UnsupportedTreeError(message(FailureCode.SUBMODULES, commit=commit, paths=tuple(modules[:3])))
            words = [*plain, "checkout-index", "--all", "--force", "--quiet", "-u"]
            await self._git(words, place, cwd=folder, check=True, umask=umask)
            differing = await self._git([*plain, "diff-files", "--name-only", "-z"], place, cwd=folder, check=True)
            if differing.out:
                names = tuple(differing.out.split("\0")[:3])
                raise UnsupportedTreeError(message(FailureCode.NOT_WHOLE, commit=commit, paths=names))
            lfs = await self._git(["ls-files", "-z", "--", ":(attr:filter=lfs)"], place, cwd=folder)
        return Exported(len(entries), bool(lfs.out))

    async def touched(self, folder: Path, index: Path) -> tuple[frozenset[str], frozenset[str]] | None:
        """The files of an exported folder that were changed or deleted, and added paths.

        A folder of new files counts as one path with a slash at its end. None if that is unknown.
        """
        place = {"GIT_DIR": str(self.mirror), "GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}
        if not await asyncio.to_thread(lambda: index.exists() and folder.is_dir() and self._sound()):
            return None
        others = ["ls-files", "--others", "--directory", "--no-empty-directory", "-z"]
        try:
            # Not `diff-files`: to that a file with another time, as after a restored backup, is a changed one.
            changed = await self._git(["diff", "--no-ext-diff", "--no-renames", "--name-only", "-z"], place, cwd=folder)
            added = await self._git(others, place, cwd=folder)
        except RemoteError:  # too much to be listed, or too slow
            return None
        if changed.status or added.status:
            return None
        return _paths(changed.out), _paths(added.out)

    async def look_again(self, folder: Path, index: Path) -> None:
        """Refresh git's index after modes or owners were changed."""
        place = {"GIT_DIR": str(self.mirror), "GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}
        if await asyncio.to_thread(self._sound):
            await self._git(["update-index", "-q", "--refresh"], place, cwd=folder)

    async def keep(self, name: str, commit: str) -> None:
        """Hold a release's commit in the mirror, whatever becomes of the branches."""
        async with self._lock:  # a fetch beside it would take its lock file for that of another git
            await self._git(["update-ref", f"refs/opsbot/releases/{name}", commit], cwd=self.mirror, check=True)

    async def forget(self, name: str) -> None:
        """Let go of it. Unknown names are fine."""
        async with self._lock:
            if await asyncio.to_thread(self._sound):
                await self._git(["update-ref", "-d", f"refs/opsbot/releases/{name}"], cwd=self.mirror)

    async def tidy(self) -> None:
        """Pack the mirror where git finds it worth the while."""
        async with self._lock:
            if await asyncio.to_thread(self._sound):
                await self._git(["-c", "gc.auto=6700", "gc", "--auto", "--quiet"], cwd=self.mirror)


def _paths(out: str) -> frozenset[str]:
    return frozenset(path for path in out.split("\0") if path)


def _commit(found: Any) -> Commit:
    title = found.summary if isinstance(found.summary, str) else found.summary.decode(errors="replace")
    author = str(found.author.name or found.author.email or "?")
    return Commit(found.hexsha, title[:TITLE_MOST], author[:TITLE_MOST], found.committed_datetime.astimezone(UTC))
