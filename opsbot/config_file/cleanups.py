"""What a clean-up may name: its patterns one by one, and what they must leave alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from opsbot.config_file.kinds import Kind, WrongError, kind_of, listed, string_of, unfit
from opsbot.core.globs import glob, malformed, parts_of, too_wide, wild

_EXAMPLE = '"/tmp/voice-meeting-bot/temp/*.pcm"'
_OWN = ("releases", "current", "mirror.git", ".git")
"""In a source's directory, where opsbot keeps what it deploys (`opsbot.deploy.releases`, `opsbot.deploy.checkout`)."""


def patterns() -> Kind:
    """An array of patterns, absolute or relative, none of them malformed or too wide."""

    def read(kind: Kind, value: object) -> str:
        pattern = string_of(kind, value)
        if not pattern.isprintable():
            raise WrongError("holds a line break or a control character; write the pattern on one line")
        if pattern.startswith("~"):
            raise unfit(value, "begins with ~, which is not expanded; write the whole path")
        if said := malformed(pattern) or (too_wide(pattern) if pattern.startswith("/") else _relative(pattern)):
            raise unfit(value, f"{said}")
        return pattern

    one = kind_of("a pattern of paths", _EXAMPLE, read)
    return listed(one, "an array of patterns", f"[{_EXAMPLE}]", least=1, once=True)


def _relative(pattern: str) -> str:
    folders = parts_of(pattern)[:-1]
    if folders and not wild(folders[0]):
        return ""
    return "is too wide: write out one folder of shared/ at least before any wildcard, as in node-bot/temp/*.pcm"


def absolute(pattern: str, directory: Path | None) -> str | None:
    """The pattern from the root; None for a relative one without a source's directory."""
    if pattern.startswith("/"):
        return pattern
    return None if directory is None else f"{directory}/shared/{pattern}"


def breaches(
    paths: Sequence[str],
    directory: Path | None,
    shared: Sequence[str],
    state: Path,
    directories: Sequence[Path],
) -> Iterator[tuple[int, str]]:
    """What patterns cover that must stay: the index of the pattern, what is wrong, and what would be right.

    directory, shared: those of the service's own source. state: opsbot's own. directories: those of all sources.
    """
    for index, written in enumerate(paths):
        whole = absolute(written, directory)
        if whole is None:
            yield index, "is relative, and there is no source it could be relative to; write it from the root"
            continue
        found = glob(whole)
        if found.enters(str(state)):
            yield index, f"covers opsbot's own state.directory, {state}; name a folder of the service"
        own = (each / name for each in directories for name in _OWN)
        if entered := next((folder for folder in own if found.enters(str(folder))), None):
            yield index, f"covers {entered}, where opsbot keeps what it deploys; name a folder of the service"
        if directory is not None:
            for path in shared:
                if found.names(f"{directory}/shared/{path}"):
                    yield index, f'covers "{path}", which is shared and kept; name only what may go'
