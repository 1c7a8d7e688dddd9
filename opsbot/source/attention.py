"""What a commit changes that needs approval: listed files, native modules."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opsbot.core.native import native_changes
from opsbot.core.updates import Attention
from opsbot.source.repo import Repository

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

FILES_MOST = 10
"""So many changed files are searched for native modules."""
SIZE_MOST = 8 << 20
"""A larger one is not: the largest lock files have a few MiB."""


def gitignore(patterns: Sequence[str]) -> "GitIgnoreSpec":
    """The patterns of `ignore` and `ask_when_changed`: those of .gitignore."""
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - only where a service has any: memory counts

    return GitIgnoreSpec.from_lines(patterns)


def matching(patterns: Sequence[str], paths: Sequence[str]) -> tuple[str, ...]:
    """The paths that the patterns match, in order."""
    return tuple(sorted(filter(gitignore(patterns).match_file, paths)))


async def attention(patterns: Sequence[str], history: Repository, live: str, head: str) -> Attention:
    """What differs between the live commit and another one and needs approval."""
    paths = await history.changed_paths(live, head)
    if not paths and not await history.is_ancestor(live, live):
        return Attention(unknown=True)
    files = matching(patterns, paths)
    native: set[str] = set()
    for path in files[:FILES_MOST]:
        old, new = [await history.content(commit, path, SIZE_MOST) for commit in (live, head)]
        if old is not None and new is not None:
            native.update(await asyncio.to_thread(native_changes, old, new))
    return Attention(files, tuple(sorted(native)))
