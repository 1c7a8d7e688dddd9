"""Path patterns of `when_changed`: `*` and `?` match in a folder, `**` across.

They are anchored: `package.json` is the one at the root of the release, and no other. Brackets are literal, as in
`[slug].js`. Two other languages have their own module: a clean-up's patterns keep away from hidden files
(`opsbot.core.globs`), and those of `ignore` and `ask_when_changed` are .gitignore's (`opsbot.source.attention`).
"""

import re
from functools import cache


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    out = []
    rest = pattern.lstrip("/")
    while rest:
        if rest.startswith("**/"):
            out.append("(?:[^/]+/)*")
            rest = rest[3:]
        elif rest.startswith("**"):
            out.append(".*")
            rest = rest[2:]
        elif rest[0] == "*":
            out.append("[^/]*")
            rest = rest[1:]
        elif rest[0] == "?":
            out.append("[^/]")
            rest = rest[1:]
        else:
            out.append(re.escape(rest[0]))
            rest = rest[1:]
    # What names a folder means all that is in it.
    return re.compile("".join(out).removesuffix("/") + "(?:/.*)?", re.DOTALL)


def fits(path: str, pattern: str) -> bool:
    """Whether the path, relative to the release, is meant by the pattern."""
    return _compiled(pattern).fullmatch(path) is not None
