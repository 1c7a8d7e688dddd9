"""Modules with native code in lock files: their install depends on the host."""

import re
from collections.abc import Sequence
from functools import cache

NATIVE = (
    "@discordjs/opus",
    "@napi-rs/canvas",
    "@serialport/bindings-cpp",
    "argon2",
    "bcrypt",
    "better-sqlite3",
    "bufferutil",
    "canvas",
    "erlpack",
    "isolated-vm",
    "node-gyp",
    "node-opus",
    "node-pty",
    "prebuild-install",
    "re2",
    "sharp",
    "sodium",
    "sodium-native",
    "sqlite3",
    "utf-8-validate",
    "zeromq",
    "zlib-sync",
)
"""npm packages around Discord bots and web services that are no plain JavaScript, or that build such packages."""


@cache
def _mention(name: str) -> re.Pattern[str]:
    """The whole name as the lock files of npm, yarn, pnpm and bun write it.

    Before it a quote, a space, `node_modules/` or, in old pnpm files, the line's first slash.
    """
    return re.compile(rf"(?:(?:^|[\s\"',])/?|node_modules/){re.escape(name)}(?=$|[\s\"'@:,=]|/\d)")


def _said(lines: Sequence[str], name: str) -> list[str]:
    """The lines about a package: those with its name, and those indented below."""
    said, within = [], -1
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if _mention(name).search(line):
            within = depth if within < 0 else min(within, depth)
        elif within < 0 or (line.strip() and depth <= within):
            within = -1
            continue
        said.append(line.strip().rstrip(","))
    return said


def native_changes(old: str, new: str) -> tuple[str, ...]:
    """The native modules that differ between two versions of a lock file."""
    before, after = old.splitlines(), new.splitlines()
    return tuple(
        name
        for name in NATIVE
        if (name in old or name in new) and sorted(_said(before, name)) != sorted(_said(after, name))
    )
