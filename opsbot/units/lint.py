"""Find harmful settings in unit files, each with its line and a fix.

Every rule was observed with systemd 252 or is documented in the manual page named next to it.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import PurePosixPath

from opsbot.core.amounts import show_duration
from opsbot.units.deprecated_keys import deprecated, misplaced
from opsbot.units.finding import LintFacts, LintFinding, Severity, at, lacks, value
from opsbot.units.path_rules import home, missing, release
from opsbot.units.unit_file import UnitFile, program, seconds, yes

DAY = 86400.0
LOGINS_A_DAY = 1000
"""Daily IDENTIFY limit of a Discord bot; exceeding it resets the token (Discord's documentation, "Gateway")."""
SMALL_HOST = 2 * 1024**3
JUST_IN_TIME = frozenset({"node", "nodejs", "npm", "npx", "yarn", "pnpm", "bun", "deno", "java", "dotnet"})
"""Programs that generate code at run time; MemoryDenyWriteExecute= kills them."""


def lint_unit(unit: UnitFile, facts: LintFacts | None = None) -> list[LintFinding]:
    known = facts or LintFacts()
    found = [finding for rule in _RULES for finding in rule(unit, known)]
    return sorted(found, key=lambda finding: finding.severity is Severity.NOTE)


def _notifies(unit: UnitFile) -> bool:
    return value(unit, "Type").startswith("notify")


def _watchdog(unit: UnitFile, _: LintFacts) -> Iterator[LintFinding]:
    setting = unit.last("Service", "WatchdogSec")
    span = seconds(setting.value) if setting is not None else None
    if setting is None or not span or span == float("inf"):
        return
    every = show_duration(timedelta(seconds=span))
    if not _notifies(unit):
        yield at(
            setting,
            f"without Type=notify systemd kills a healthy service every {every} with SIGABRT",
            "Remove it, or set Type=notify in a service that sends READY=1 and WATCHDOG=1 (sd_notify(3))",
        )
    elif (access := unit.last("Service", "NotifyAccess")) is not None and access.value == "none":
        yield at(
            access,
            "the service's notifications are ignored: it never counts as started, and its watchdog kills it",
            "Set NotifyAccess=main",
        )


def _start_limit(unit: UnitFile, _: LintFacts) -> Iterator[LintFinding]:
    restarts = value(unit, "Restart", "no") != "no"
    off = unit.last("Unit", "StartLimitIntervalSec") or unit.last("Unit", "StartLimitInterval")
    off = off or unit.last("Service", "StartLimitInterval")
    if off is None or not restarts or seconds(off.value) != 0:
        return
    delay = seconds(value(unit, "RestartSec", "100ms"))
    if delay is None or delay == float("inf"):
        return
    starts = DAY / max(delay, 0.1)
    if starts <= LOGINS_A_DAY:
        return
    yield at(
        off,
        f"systemd never gives up: a service that fails at startup is started up to {starts:,.0f} times a day "
        f"(RestartSec={value(unit, 'RestartSec', '100ms')}); Discord allows a bot {LOGINS_A_DAY} logins a day and "
        "resets the token when it is exceeded",
        "Set StartLimitIntervalSec=10min and StartLimitBurst=5: opsbot notices that systemd gave up and takes over",
    )


def _network(unit: UnitFile, facts: LintFacts) -> Iterator[LintFinding]:
    target = "network-online.target"
    wants = [s for key in ("Wants", "Requires") for word, s in unit.items("Unit", key) if word == target]
    after = any(word == target for word, _ in unit.items("Unit", "After"))
    if wants and not after and not facts.user:
        yield at(
            wants[0],
            f"without After={target} the service is started concurrently, before the network is up",
            f"Add After={target}",
        )
    if facts.user and (wants or after):
        first = wants[0] if wants else next(s for w, s in unit.items("Unit", "After") if w == target)
        yield at(first, "a user's systemd has no such target, so it has no effect", "Remove it", Severity.NOTE)


def _written_code(unit: UnitFile, facts: LintFacts) -> Iterator[LintFinding]:
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
            yield at(
                setting,
                f"{name} generates code at run time and is killed at startup (SIGTRAP)",
                "Set MemoryDenyWriteExecute=no for this service",
            )
            return


def _restart(unit: UnitFile, _: LintFacts) -> Iterator[LintFinding]:
    if value(unit, "Type") == "oneshot" or value(unit, "Restart", "no") != "no":
        return
    what = "systemd does not restart it; only opsbot does, and only while it runs"
    fix = "Set Restart=on-failure (or always) and RestartSec=2"
    setting = unit.last("Service", "Restart")
    if setting is None:
        yield lacks(unit, "Restart", what, fix)
    else:
        yield at(setting, what, fix, Severity.NOTE)


def _user(unit: UnitFile, facts: LintFacts) -> Iterator[LintFinding]:
    if facts.user or value(unit, "DynamicUser") in {"yes", "true", "1", "on"}:
        return
    setting = unit.last("Service", "User")
    if setting is None or setting.value in {"root", "0"}:
        what = "the service runs as root, so deployed code controls the host"
        fix = "Set User= and Group= to a separate user for the service"
        if setting is None:
            yield lacks(unit, "User", what, fix, Severity.TRAP)
        else:
            yield at(setting, what, fix)


def _children(unit: UnitFile, _: LintFacts) -> Iterator[LintFinding]:
    setting = unit.last("Service", "KillMode")
    if setting is not None and setting.value == "process":
        yield at(
            setting,
            "a stop ends only the main process: children keep running the old release and occupy its port",
            "Remove it (control-group is the default), or set KillMode=mixed",
        )


def _forking(unit: UnitFile, _: LintFacts) -> Iterator[LintFinding]:
    setting = unit.last("Service", "Type")
    if setting is not None and setting.value == "forking" and unit.last("Service", "PIDFile") is None:
        yield at(
            setting,
            "without PIDFile= systemd guesses the main process: a wrong guess restarts a healthy service or misses "
            "a dead one",
            "Set PIDFile=, or run the service in the foreground with Type=exec",
        )


def _memory(unit: UnitFile, facts: LintFacts) -> Iterator[LintFinding]:
    limits = (unit.last("Service", key) for key in ("MemoryMax", "MemoryHigh", "MemoryLimit"))
    if facts.memory is None or facts.memory >= SMALL_HOST or any(limits):
        return
    yield lacks(
        unit,
        "MemoryMax",
        f"on a host with {facts.memory // 1024**2} MiB a leak also takes down other services",
        "Set MemoryMax= above what it needs",
    )


def _old_keys(unit: UnitFile, _: LintFacts) -> Iterator[LintFinding]:
    for setting in unit.settings:
        found = deprecated(setting)
        if found is not None:
            what, fix, bites = found
            yield at(setting, what, fix, Severity.TRAP if bites else Severity.NOTE)
        elif (home := misplaced(setting)) is not None:
            yield at(
                setting,
                f"it is in [{setting.section}], where systemd ignores it",
                f"Move it to [{home}]",
            )


Rule = Callable[[UnitFile, LintFacts], Iterator[LintFinding]]
_RULES: tuple[Rule, ...] = (
    _watchdog,
    home,
    missing,
    _written_code,
    _start_limit,
    release,
    _user,
    _children,
    _forking,
    _network,
    _old_keys,
    _restart,
    _memory,
)
