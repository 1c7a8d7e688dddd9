"""Lint rules about paths: inaccessible, missing, or bypassing the live release."""

from collections.abc import Iterator

from opsbot.units.finding import LintFacts, LintFinding, Severity, at, bare, lacks, within
from opsbot.units.unit_file import Setting, UnitFile, program, yes

HOMES = ("/home", "/root", "/run/user")
"""Folders that ProtectHome= hides (systemd.exec(5))."""


def paths_of(unit: UnitFile) -> set[str]:
    """Return the paths whose facts the rules need."""
    wanted = {bare(word) for word, _ in unit.items("Service", "ReadWritePaths")}
    wanted |= {words[0] for setting in unit.every("Service", "ExecStart") if (words := program(setting.value))}
    return {path for path in wanted if path.startswith("/") and "%" not in path and "\0" not in path}


def home(unit: UnitFile, facts: LintFacts) -> Iterator[LintFinding]:
    """Find paths that the service needs and ProtectHome= hides."""
    setting = unit.last("Service", "ProtectHome")
    if setting is None or facts.user:
        return  # A user's systemd does not change mounts.
    hides = yes(setting.value)
    if not hides and setting.value != "tmpfs":
        return
    bound = [] if hides else [bare(word.split(":")[0]) for word, _ in _binds(unit)]
    for key, path, place in _home_paths(unit):
        if any(within(path, one) for one in bound):
            continue
        how = "200/CHDIR" if key == "WorkingDirectory" else "203/EXEC" if key == "ExecStart" else "226/NAMESPACE"
        by = f"by ProtectHome={setting.value} ({setting.path}:{setting.line})"
        hidden = f"{path} is hidden {by}, so the service does not start ({how})"
        yield at(
            place,
            f"{path} remains hidden {by}, so writing there fails" if hides and key == "ReadWritePaths" else hidden,
            "Move it out of the homes (/srv, /opt), or set ProtectHome=tmpfs and BindPaths= for that folder; "
            "ReadWritePaths= does not make it accessible",
        )


def _binds(unit: UnitFile) -> list[tuple[str, Setting]]:
    return [*unit.items("Service", "BindPaths"), *unit.items("Service", "BindReadOnlyPaths")]


def _home_paths(unit: UnitFile) -> Iterator[tuple[str, str, Setting]]:
    """Yield key, path and setting of needed paths under a home.

    Those marked `-` may be missing.
    """
    places: list[tuple[str, Setting]] = []
    if (directory := unit.last("Service", "WorkingDirectory")) is not None and not directory.value.startswith("-"):
        places.append((directory.value.replace("%h", "/root"), directory))
    starts = [setting for setting in unit.every("Service", "ExecStart") if not setting.value.startswith("-")]
    places += [(words[0], setting) for setting in starts if (words := program(setting.value))]
    places += [(word, setting) for word, setting in unit.items("Service", "ReadWritePaths") if not word.startswith("-")]
    for path, setting in places:
        place = bare(path)
        if any(within(place, top) for top in HOMES):
            yield setting.key, place, setting


def missing(unit: UnitFile, facts: LintFacts) -> Iterator[LintFinding]:
    """Find paths in the unit that do not exist."""
    for word, setting in unit.items("Service", "ReadWritePaths"):
        path = bare(word)
        made = any(within(path, one) for one in _made(unit))
        if not word.startswith("-") and path in facts.missing and not facts.user and not made:
            yield at(
                setting,
                f"{path} does not exist, so the service does not start (226/NAMESPACE)",
                f"Create it (tmpfiles.d(5), StateDirectory=), or write -{path}",
            )
    for setting in unit.every("Service", "ExecStart"):
        words = program(setting.value)
        if not words or setting.value.startswith("-") or (facts.source and within(words[0], facts.source)):
            continue  # Parts of a release may not exist before its deploy.
        if words[0] in facts.missing:
            yield at(
                setting,
                f"{words[0]} does not exist, so the service does not start (203/EXEC)",
                "Install it, or correct the program's path",
            )


_MADE = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
}


def _made(unit: UnitFile) -> list[str]:
    """List folders that systemd creates itself (systemd.exec(5), RuntimeDirectory=)."""
    return [f"{top}/{word.split(':')[0]}" for key, top in _MADE.items() for word, _ in unit.items("Service", key)]


def release(unit: UnitFile, facts: LintFacts) -> Iterator[LintFinding]:
    """Find paths that bypass `current`, so that a deploy would have no effect."""
    if not facts.source:
        return
    current, releases = f"{facts.source}/current", f"{facts.source}/releases"
    directory = unit.last("Service", "WorkingDirectory")
    starts = unit.every("Service", "ExecStart")
    through = [path for s in starts for path in program(s.value) if within(path, current)]
    for setting in starts:
        pinned = next((word for word in program(setting.value) if within(bare(word), releases)), None)
        if pinned is not None:
            yield at(
                setting,
                f"{pinned} is a fixed release, so a deploy does not change what is started",
                f"Write {current}/... instead",
            )
    fix = f"Set WorkingDirectory={current}, or the service's folder in it"
    if directory is None:
        if not through:
            what = f"the service is not started from {current}, so a deploy has no effect on it"
            yield lacks(unit, "WorkingDirectory", what, fix, Severity.TRAP)
    elif not within(bare(directory.value), current) and "%" not in directory.value:
        what = f"{bare(directory.value)} is not in {current}, so a deploy has no effect there"
        yield at(directory, what, fix, Severity.NOTE if through else Severity.TRAP)
