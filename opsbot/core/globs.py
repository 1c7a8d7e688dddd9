"""Patterns of a clean-up: what they match, and which are too wide.

A pattern is an absolute path. In each of its parts `*`, `?` and `[...]` stay within that part and match no leading dot;
a part `**` matches any number of folders. The parts before the first wildcard are fixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

ANY_DEPTH = "**"
_WILD = frozenset("*?[")
_SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "usr")
_SHARED = ("var", "run", "home")
"""Their folders belong to many: what is cleaned lies deeper than one of those."""
_TWO_LEVELS = 2


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern: fixed folders, folders from the first wildcard on, file name."""

    fixed: tuple[str, ...]
    folders: tuple[str, ...]
    name: str

    def __str__(self) -> str:
        return "/" + "/".join((*self.fixed, *self.folders, self.name))

    @property
    def parts(self) -> tuple[str, ...]:
        return (*self.fixed, *self.folders, self.name)

    def names(self, path: str) -> bool:
        """Whether it names this file (an absolute path)."""
        return _names(self.parts, parts_of(path))

    def enters(self, folder: str) -> bool:
        """Whether it could name a file in this folder (an absolute path) or below it."""
        return _enters((*self.fixed, *self.folders), parts_of(folder))


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a path, without empty ones and `.`."""
    return tuple(part for part in path.split("/") if part not in {"", "."})


def wild(part: str) -> bool:
    return not _WILD.isdisjoint(part)


def glob(pattern: str) -> Glob:
    """An absolute pattern in parts. It must have one at least, see `problem`."""
    *folders, name = parts_of(pattern)
    first = next((index for index, part in enumerate(folders) if wild(part)), len(folders))
    return Glob(tuple(folders[:first]), tuple(folders[first:]), name)


def fits(name: str, part: str) -> bool:
    """Whether a name matches a part; a leading dot must be in the part too."""
    if name.startswith(".") and not part.startswith("."):
        return False
    return part == ANY_DEPTH or fnmatchcase(name, part)


def _names(parts: Sequence[str], path: Sequence[str]) -> bool:
    if not parts:
        return not path
    if parts[0] == ANY_DEPTH and _names(parts[1:], path):
        return True
    if not path or not fits(path[0], parts[0]):
        return False
    return _names(parts if parts[0] == ANY_DEPTH else parts[1:], path[1:])


def _enters(folders: Sequence[str], path: Sequence[str]) -> bool:
    if not path:
        return True
    if not folders:
        return False
    if folders[0] == ANY_DEPTH:
        return _enters(folders[1:], path) or (fits(path[0], ANY_DEPTH) and _enters(folders, path[1:]))
    return fits(path[0], folders[0]) and _enters(folders[1:], path[1:])


def malformed(pattern: str) -> str:
    """What is wrong with a relative or absolute pattern; "" where nothing is."""
    parts = parts_of(pattern)
    if ".." in parts:
        return 'goes through ".."; write the path without it'
    if not parts:
        return "names no file; write the folder and the files, as in temp/*.pcm"
    if pattern.endswith(("/", "/.")):
        return "names a folder; only files are deleted: name them, as in temp/*.pcm"
    if parts[-1] == ANY_DEPTH:
        return "ends with **, which matches folders; name the files too, as in temp/**/*.pcm"
    if bad := next((part for part in parts if ANY_DEPTH in part and part != ANY_DEPTH), None):
        return f'has "{bad}", where ** is only a part of a name; write ** between slashes, or a single *'
    return ""


def too_wide(pattern: str) -> str:
    """Why an absolute pattern that is not malformed is not allowed; "" where it is.

    What a typing error or a bad idea would reach must be a folder of the service's own: two levels at least that are
    written out, none of the system's, no home itself.
    """
    fixed = glob(pattern).fixed
    if len(fixed) < _TWO_LEVELS:
        return "is too wide: at least two folders must be written out before any wildcard, as in /tmp/my-bot/*.pcm"
    if fixed[0] in _SYSTEM and fixed[:2] != ("dev", "shm"):
        return f"lies in /{fixed[0]}, which is the system's; nothing is cleaned up there"
    if (fixed[0] in _SHARED or fixed[:2] == ("dev", "shm")) and len(fixed) <= _TWO_LEVELS:
        return f"is too wide: /{'/'.join(fixed)} is not the service's alone; name a folder in it"
    return ""
