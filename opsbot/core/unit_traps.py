"""What in a unit's files will bite: found from their text and a few facts, each with its line and its mend.

Everything here was seen on systemd 252 or is said by the manual page named beside it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from opsbot.core.unit_deprecated import deprecated, misplaced
from opsbot.core.unit_file import Setting, UnitFile, program, seconds, yes

HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome= hides (systemd.exec(5))."""
DAY = 86400.0
LOGINS_A_DAY = 1000
"""IDENTIFYs a Discord bot has a day; on overrun its token is reset (Discord's documentation, "Gateway")."""
SMALL_HOST = 2 * 1024**3
JUST_IN_TIME = frozenset({"node", "nodejs", "npm", "npx", "yarn", "pnpm", "bun", "deno", "java", "dotnet"})
"""Programs that write the code they run: MemoryDenyWriteExecute= kills them."""


class Severity(StrEnum):
    """How much it matters."""

    TRAP = "trap"
    """It will bite: the service cannot start, is killed, or opsbot's work on it comes to nothing."""
    NOTE = "note"
    """Worth knowing; nothing breaks by it alone."""


@dataclass(frozen=True, slots=True)
class Trap:
    """One finding. `what`: what will happen. `mend`: what to write instead."""

    unit: str
    severity: Severity
    path: str
    line: int
    key: str
    what: str
    mend: str

    def __str__(self) -> str:
        """`PATH:LINE: KEY=: what will happen. The mend.`."""
        return f"{self.path}:{self.line}: {self.key}=: {self.what}. {self.mend}."


@dataclass(frozen=True, slots=True)
class Facts:
    """What the text alone does not tell.

    source: where the service's releases are kept, "" where it has none. missing: of the paths of `paths_of`, those that
    are not there. interpreters: the program a script among them names in its first line. memory: of the host, bytes.
    user: it is a unit of a user's own systemd.
    """

    source: str = ""
    missing: frozenset[str] = frozenset()
    interpreters: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    user: bool = False


def paths_of(unit: UnitFile) -> set[str]:
    """The paths whose facts are wanted: they are looked at before `traps` is called."""
    wanted = {_bare(word) for word, _ in unit.words("Service", "ReadWritePaths")}
    wanted |= {words[0] for setting in unit.every("Service", "ExecStart") if (words := program(setting.value))}
    return {path for path in wanted if path.startswith("/") and "%" not in path and "\0" not in path}


def traps(unit: UnitFile, facts: Facts | None = None) -> list[Trap]:
    """All of them: first what will bite, then the notes, each in the order of the rules."""
    known = facts or Facts()
    found = [trap for rule in _RULES for trap in rule(unit, known)]
    return sorted(found, key=lambda trap: trap.severity is Severity.NOTE)


def _at(unit: UnitFile, setting: Setting, what: str, mend: str, severity: Severity = Severity.TRAP) -> Trap:
    return Trap(unit.name, severity, setting.path, setting.line, setting.key, what, mend)


def _lacks(unit: UnitFile, section: str, key: str, what: str, mend: str, severity: Severity = Severity.NOTE) -> Trap:
    path, line = unit.where(section)
    return Trap(unit.name, severity, path, line, key, what, mend)


def _value(unit: UnitFile, key: str, default: str = "") -> str:
    found = unit.last("Service", key)
    return found.value if found is not None else default


def _bare(path: str) -> str:
    """A path without the marks that systemd takes before it, and without a slash at its end."""
    bare = path.lstrip("-+").lstrip(":")
    return bare.rstrip("/") or bare[:1]


def within(path: str, folder: str) -> bool:
    """Whether the path is the folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _notifies(unit: UnitFile) -> bool:
    return _value(unit, "Type").startswith("notify")


def _watchdog(unit: UnitFile, _: Facts) -> Iterator[Trap]:
    setting = unit.last("Service", "WatchdogSec")
    span = seconds(setting.value) if setting is not None else None
    if setting is None or not span or span == float("inf"):
        return
    if not _notifies(unit):
        yield _at(
            unit,
            setting,
            f"without Type=notify systemd kills a healthy service every {setting.value} for ever, with SIGABRT",
            "Remove it, or set Type=notify in a service that sends READY=1 and WATCHDOG=1 (sd_notify(3))",
        )
    elif (access := unit.last("Service", "NotifyAccess")) is not None and access.value == "none":
        yield _at(
            unit,
            access,
            "what the service says to systemd is not heard: it never counts as started, and its watchdog kills it",
            "Set NotifyAccess=main",
        )


def _home(unit: UnitFile, facts: Facts) -> Iterator[Trap]:
    setting = unit.last("Service", "ProtectHome")
    if setting is None or facts.user:
        return  # A user's own systemd leaves the mounts alone.
    hides, empties = yes(setting.value), setting.value == "tmpfs"
    if not hides and not empties and setting.value != "read-only":
        return
    bound = [] if hides else [_bare(word.split(":")[0]) for word, _ in _binds(unit)]
    for key, path, place in _home_paths(unit):
        if setting.value == "read-only":
            continue
        if empties and any(within(path, one) for one in bound):
            continue
        how = "200/CHDIR" if key == "WorkingDirectory" else "203/EXEC" if key == "ExecStart" else "226/NAMESPACE"
        by = f"by ProtectHome={setting.value} ({setting.path}:{setting.line})"
        hidden = f"{path} is hidden {by}: the service does not start ({how})"
        yield _at(
            unit,
            place,
            f"{path} stays hidden {by}: what is written there fails" if hides and key == "ReadWritePaths" else hidden,
            "Move it out of the homes (/srv, /opt), or set ProtectHome=tmpfs and BindPaths= for that folder; "
            "ReadWritePaths= does not open it again",
        )


def _binds(unit: UnitFile) -> list[tuple[str, Setting]]:
    return [*unit.words("Service", "BindPaths"), *unit.words("Service", "BindReadOnlyPaths")]


def _home_paths(unit: UnitFile) -> Iterator[tuple[str, str, Setting]]:
    """Paths under a home that the service needs: key, path, setting. One marked `-` is missing and forgiven."""
    places: list[tuple[str, Setting]] = []
    if (directory := unit.last("Service", "WorkingDirectory")) is not None and not directory.value.startswith("-"):
        places.append((directory.value.replace("%h", "/root"), directory))
    starts = [setting for setting in unit.every("Service", "ExecStart") if not setting.value.startswith("-")]
    places += [(words[0], setting) for setting in starts if (words := program(setting.value))]
    places += [(word, setting) for word, setting in unit.words("Service", "ReadWritePaths") if not word.startswith("-")]
    for path, setting in places:
        bare = _bare(path)
        if any(within(bare, home) for home in HOMES):
            yield setting.key, bare, setting


def _start_limit(unit: UnitFile, _: Facts) -> Iterator[Trap]:
    restarts = _value(unit, "Restart", "no") != "no"
    off = unit.last("Unit", "StartLimitIntervalSec") or unit.last("Unit", "StartLimitInterval")
    off = off or unit.last("Service", "StartLimitInterval")
    if off is None or not restarts or seconds(off.value) != 0:
        return
    delay = seconds(_value(unit, "RestartSec", "100ms"))
    if delay is None or delay == float("inf"):
        return
    starts = DAY / max(delay, 0.1)
    if starts <= LOGINS_A_DAY:
        return
    yield _at(
        unit,
        off,
        f"systemd never gives up: a service that fails at its start is started up to {starts:,.0f} times a day "
        f"(RestartSec={_value(unit, 'RestartSec', '100ms')}); Discord allows a bot {LOGINS_A_DAY} logins a day and "
        "resets the token of one that takes more",
        "Set StartLimitIntervalSec=10min and StartLimitBurst=5: opsbot sees that systemd gave up, and takes over",
    )


def _network(unit: UnitFile, facts: Facts) -> Iterator[Trap]:
    target = "network-online.target"
    wants = [s for key in ("Wants", "Requires") for word, s in unit.words("Unit", key) if word == target]
    after = any(word == target for word, _ in unit.words("Unit", "After"))
    if wants and not after and not facts.user:
        yield _at(
            unit,
            wants[0],
            f"without After={target} the service is started beside it, before the network is up",
            f"Add After={target}",
        )
    if facts.user and (wants or after):
        first = wants[0] if wants else next(s for w, s in unit.words("Unit", "After") if w == target)
        yield _at(unit, first, "a user's systemd has no such target: it waits for nothing", "Remove it", Severity.NOTE)


def _paths(unit: UnitFile, facts: Facts) -> Iterator[Trap]:
    for word, setting in unit.words("Service", "ReadWritePaths"):
        path = _bare(word)
        made = any(within(path, one) for one in _made(unit))
        if not word.startswith("-") and path in facts.missing and not facts.user and not made:
            yield _at(
                unit,
                setting,
                f"{path} is not there: the service does not start (226/NAMESPACE)",
                f"Make it (tmpfiles.d(5), StateDirectory=), or write -{path}",
            )
    for setting in unit.every("Service", "ExecStart"):
        words = program(setting.value)
        if not words or setting.value.startswith("-") or (facts.source and within(words[0], facts.source)):
            continue  # What a deploy brings may not be there yet.
        if words[0] in facts.missing:
            yield _at(
                unit,
                setting,
                f"{words[0]} is not there: the service does not start (203/EXEC)",
                "Write the program's path, or deploy what brings it",
            )


_MADE = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
}


def _made(unit: UnitFile) -> list[str]:
    """Folders that systemd makes before it starts the service (systemd.exec(5), RuntimeDirectory=)."""
    return [f"{top}/{word.split(':')[0]}" for key, top in _MADE.items() for word, _ in unit.words("Service", key)]


def _written_code(unit: UnitFile, facts: Facts) -> Iterator[Trap]:
    setting = unit.last("Service", "MemoryDenyWriteExecute")
    if setting is None or not yes(setting.value):
        return
    for start in unit.every("Service", "ExecStart"):
        words = list(program(start.value))
        runs = facts.interpreters.get(words[0], words[0]) if words else ""
        name = PurePosixPath(runs).name
        if name == "env":
            name = next((PurePosixPath(word).name for word in words[1:] if "=" not in word and word[:1] != "-"), "")
        if name in JUST_IN_TIME:
            yield _at(
                unit,
                setting,
                f"{name} writes the code it runs: it is killed at its start (SIGTRAP)",
                "Set MemoryDenyWriteExecute=no for this service",
            )
            return


def _restart(unit: UnitFile, _: Facts) -> Iterator[Trap]:
    if _value(unit, "Type") == "oneshot" or _value(unit, "Restart", "no") != "no":
        return
    what = "systemd does not start it again when it ends: opsbot alone does, and not while opsbot is away"
    mend = "Set Restart=on-failure (or always) and RestartSec=2"
    setting = unit.last("Service", "Restart")
    if setting is None:
        yield _lacks(unit, "Service", "Restart", what, mend)
    else:
        yield _at(unit, setting, what, mend, Severity.NOTE)


def _user(unit: UnitFile, facts: Facts) -> Iterator[Trap]:
    if facts.user or _value(unit, "DynamicUser") in {"yes", "true", "1", "on"}:
        return
    setting = unit.last("Service", "User")
    if setting is None or setting.value in {"root", "0"}:
        what = "the service runs as root: what is deployed owns the host"
        mend = "Set User= and Group= to a user of the service's own"
        if setting is None:
            yield _lacks(unit, "Service", "User", what, mend, Severity.TRAP)
        else:
            yield _at(unit, setting, what, mend)


def _release(unit: UnitFile, facts: Facts) -> Iterator[Trap]:
    """The unit must lead through `current`, or a deploy changes nothing."""
    if not facts.source:
        return
    current, releases = f"{facts.source}/current", f"{facts.source}/releases"
    directory = unit.last("Service", "WorkingDirectory")
    starts = unit.every("Service", "ExecStart")
    through = [path for s in starts for path in program(s.value) if within(path, current)]
    for setting in starts:
        pinned = next((word for word in program(setting.value) if within(_bare(word), releases)), None)
        if pinned is not None:
            yield _at(
                unit,
                setting,
                f"{pinned} is one release: a deploy does not change what is started",
                f"Write {current}/... instead",
            )
    mend = f"Set WorkingDirectory={current}, or the folder in it that the service starts in"
    if directory is None:
        if not through:
            what = f"the service is not started from {current}: a deploy changes nothing of what runs"
            yield _lacks(unit, "Service", "WorkingDirectory", what, mend, Severity.TRAP)
    elif not within(_bare(directory.value), current) and "%" not in directory.value:
        what = f"{_bare(directory.value)} is not in {current}: a deploy changes nothing of what runs there"
        yield _at(unit, directory, what, mend, Severity.NOTE if through else Severity.TRAP)


def _children(unit: UnitFile, _: Facts) -> Iterator[Trap]:
    setting = unit.last("Service", "KillMode")
    if setting is not None and setting.value == "process":
        yield _at(
            unit,
            setting,
            "a stop ends the main process alone: its children go on, hold its port and run the old release",
            "Remove it (control-group is the default), or set KillMode=mixed",
        )


def _forking(unit: UnitFile, _: Facts) -> Iterator[Trap]:
    setting = unit.last("Service", "Type")
    if setting is not None and setting.value == "forking" and unit.last("Service", "PIDFile") is None:
        yield _at(
            unit,
            setting,
            "without PIDFile= systemd guesses the main process: a wrong guess restarts a healthy service, or misses "
            "a dead one",
            "Set PIDFile=, or let the service stay in the foreground with Type=exec",
        )


def _memory(unit: UnitFile, facts: Facts) -> Iterator[Trap]:
    limits = (unit.last("Service", key) for key in ("MemoryMax", "MemoryHigh", "MemoryLimit"))
    if facts.memory is None or facts.memory >= SMALL_HOST or any(limits):
        return
    yield _lacks(
        unit,
        "Service",
        "MemoryMax",
        f"on a host with {facts.memory // 1024**2} MiB a leak takes the other services with it",
        "Set MemoryMax= above what it needs",
    )


def _old_keys(unit: UnitFile, _: Facts) -> Iterator[Trap]:
    for setting in unit.settings:
        found = deprecated(setting)
        if found is not None:
            what, mend, bites = found
            yield _at(unit, setting, what, mend, Severity.TRAP if bites else Severity.NOTE)
        elif (home := misplaced(setting)) is not None:
            yield _at(
                unit,
                setting,
                f"it stands in [{setting.section}], where systemd ignores it",
                f"Move it to [{home}]",
            )


Rule = Callable[[UnitFile, Facts], Iterator[Trap]]
_RULES: tuple[Rule, ...] = (
    _watchdog,
    _home,
    _paths,
    _written_code,
    _start_limit,
    _release,
    _user,
    _children,
    _forking,
    _network,
    _old_keys,
    _restart,
    _memory,
)
