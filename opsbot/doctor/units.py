"""Check systemd: bus, units, lint findings, permissions, journal access."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opsbot.config import CheckKind, Config, Scope, Service
from opsbot.core.message import Message
from opsbot.doctor.findings import Area, Finding, Subject
from opsbot.doctor.owners import NoSuchOwnerError, Owners, first_group, installing, opsbot_user, owners, user_name
from opsbot.host.figures import host_figures
from opsbot.install.needs import with_units
from opsbot.messages import describe, render
from opsbot.services.brief_command import CommandError, ask
from opsbot.services.unit_files import LoadedUnit, facts, loaded, read
from opsbot.units.finding import LintFinding, Severity
from opsbot.units.lint import lint_unit

if TYPE_CHECKING:
    from opsbot.doctor.rights import Right
    from opsbot.services.systemd.bus import SystemdBus

JOURNAL_SECONDS = 10.0
_SYSTEMD = Subject(Area.SYSTEMD)
STEP, CHECK = "opsbot-step-{}.service", "opsbot-check-{}.service"
_BLIND = ("insufficient permissions", "not seeing messages")
"""journalctl(1)'s hint to a user outside the groups that may read the journal."""
_STATES = {
    "not-found": (
        "there is no such unit",
        "Write it to /etc/systemd/system and run systemctl daemon-reload, or correct `unit`",
    ),
    "masked": ("it is masked and cannot start", "systemctl unmask {unit}"),
}


def job_units(service: Service) -> list[str]:
    """Name the units that the service's steps and checks run in, if it has any."""
    found = [STEP.format(service.name)] if service.source is not None else []
    if any(check.kind is CheckKind.COMMAND for check in service.checks):
        found.append(CHECK.format(service.name))
    return found


async def known_units(config: Config) -> Mapping[str, LoadedUnit] | CommandError:
    """Load every relevant unit's properties; returns the error if that fails."""
    names = [name for service in with_units(config) for name in (*service.units, *job_units(service))]
    try:
        return await loaded(names, config.systemd.scope)
    except CommandError as error:
        return error


async def examine(config: Config, known: Mapping[str, LoadedUnit] | CommandError) -> list[Finding]:
    """Run all checks of systemd; returns nothing if no service uses it."""
    services = with_units(config)
    if not services:
        return []
    from opsbot.services.systemd.bus import BusError, SystemdBus  # noqa: PLC0415 - brings D-Bus, for systemd alone

    bus = SystemdBus(config.systemd.scope)
    try:
        await bus.open()
    except BusError as error:
        # The fix is shown in a separate column: `opsbot.core.manager_codes`, BUS_UNREACHABLE.
        remedy = error.message.params.get("remedy")
        text, fix = describe(error), render(remedy) if isinstance(remedy, Message) else ""
        text = text.removesuffix(f". {fix}")
        why = "needs the bus first"
        rest = [_about(service).skip(unit, why) for service in services for unit in service.units]
        return [_SYSTEMD.fail("bus", text, fix or "systemctl start dbus.socket"), *rest]
    try:
        if isinstance(known, CommandError):
            return [_SYSTEMD.fail("bus", str(known), "systemctl status")]
        found = [_SYSTEMD.passed("bus", f"systemd answers on the bus of the {config.systemd.scope}")]
        for service in services:
            found += await asyncio.to_thread(_units, config, service, known)
        found += await _rights(config, bus, services, known)
    finally:
        await bus.close()
    return [*found, *await _journals(config, services, known)]


def _about(service: Service) -> Subject:
    return Subject(Area.SYSTEMD, service.name)


def _units(config: Config, service: Service, known: Mapping[str, LoadedUnit]) -> list[Finding]:
    found: list[Finding] = []
    for name in service.units:
        found += _unit(config, service, known[name])
    try:
        who = owners(config, service, known[service.unit])
    except NoSuchOwnerError:
        return found  # reported with the unit
    if who.split and config.systemd.scope is Scope.SYSTEM:
        found += [_job_unit(config, _about(service), known[name], who) for name in job_units(service)]
    return found


def _unit(config: Config, service: Service, unit: LoadedUnit) -> list[Finding]:
    state, name, about = unit["LoadState"], unit.name, _about(service)
    if state in _STATES:
        seen, fix = _STATES[state]
        return [about.fail(name, seen, fix.format(unit=name))]
    if state != "loaded":
        fix = f"systemd-analyze verify {name}"
        return [about.fail(name, unit["LoadError"] or f"it is {state}", fix)]
    found = [_state(config, service, unit)]
    if unit["NeedDaemonReload"] == "yes":
        seen = "its files changed after systemd loaded them"
        found.append(about.warn(name, seen, _systemctl(config, "daemon-reload")))
    if unit["UnitFileState"] == "disabled":
        seen = "it is not enabled and will not start at boot"
        found.append(about.warn(name, seen, _systemctl(config, f"enable {name}")))
    source = service.source
    text = read(unit)
    if not text.settings:
        seen = f"its files are not readable: {', '.join(unit.files) or 'it has none'}"
        return [*found, about.skip(f"{name} files", seen)]
    where = str(source.directory) if source is not None else ""
    known = lint_unit(text, facts(text, where, host_figures().memory_total, config.systemd.scope))
    found += [_lint(about, finding) for finding in known]
    directory = unit["WorkingDirectory"].lstrip("!-")
    if source is not None and (source.directory / "current").exists() and directory.startswith("/"):
        found += _starts_in(about, name, Path(directory))
    return found


def _systemctl(config: Config, words: str) -> str:
    return f"systemctl {'--user ' if config.systemd.scope is Scope.USER else ''}{words}"


def _state(config: Config, service: Service, unit: LoadedUnit) -> Finding:
    state, about = f"{unit['ActiveState']} ({unit['SubState']})", _about(service)
    try:
        who = owners(config, service, unit)
    except NoSuchOwnerError as error:
        fix = f"Create it (useradd --system), or correct User= and Group= in {unit['FragmentPath']}"
        return about.fail(unit.name, str(error), fix)
    text = f"{state}, runs as {user_name(who.uid) if who.uid >= 0 else 'a dynamic user'}"
    if unit["ActiveState"] == "failed":
        fix = f"journalctl -u {unit.name} -n 50; then opsbot restart {service.name}"
        return about.warn(unit.name, f"{text}: {unit['Result']}", fix)
    return about.passed(unit.name, text)


def _lint(about: Subject, finding: LintFinding) -> Finding:
    seen = f"{finding.path}:{finding.line}: {finding.key}=: {finding.what}"
    put = about.fail if finding.severity is Severity.TRAP else about.warn
    return put(finding.unit, seen, f"{finding.fix}; then systemctl daemon-reload")


def _starts_in(about: Subject, name: str, directory: Path) -> list[Finding]:
    try:
        if directory.is_dir():
            return []
    except OSError:
        return []
    seen = f"its WorkingDirectory {directory} is not in the live release, so it cannot start (200/CHDIR)"
    return [about.fail(name, seen, "Correct WorkingDirectory=, or deploy a release that contains it")]


def _job_unit(config: Config, about: Subject, unit: LoadedUnit, who: Owners) -> Finding:
    fix = installing(config)
    if unit["LoadState"] != "loaded":
        seen = f"it is {unit['LoadState']}, so steps and checks cannot run as the service's user"
        return about.fail(unit.name, seen, fix)
    named, wanted = unit["User"] or "root", {user_name(who.uid), str(who.uid)}
    if named not in wanted:
        seen = f"it runs as {named}, but the service as {user_name(who.uid)}"
        return about.fail(unit.name, seen, fix)
    return about.passed(unit.name, f"runs as {named}")


async def _rights(
    config: Config, bus: "SystemdBus", services: Sequence[Service], known: Mapping[str, LoadedUnit]
) -> list[Finding]:
    if config.systemd.scope is Scope.USER:
        return []  # Users have full control of their units.
    from opsbot.doctor import rights  # noqa: PLC0415 - brings D-Bus

    by_unit = {unit: service for service in services for unit in (*service.units, *job_units(service))}
    there = [unit for unit in by_unit if known[unit]["LoadState"] == "loaded"]
    me = await asyncio.to_thread(opsbot_user, config)
    if me == 0:
        return [_SYSTEMD.skip("polkit", "root needs no rule; opsbot should run as its own user")]
    if os.geteuid() == 0:  # polkit would allow root everything
        wanted = [(u, rights.SERVICE_VERBS if u in by_unit[u].units else rights.JOB_VERBS) for u in there]
        found = await rights.of_user(bus, me, first_group(me), wanted)
    else:
        found = await rights.own(bus, [(unit, known[unit]["ActiveState"]) for unit in there])
    return [_right(config, _about(by_unit[right.unit]), right, user_name(me)) for right in found]


def _right(config: Config, about: Subject, right: "Right", user: str) -> Finding:
    name = f"polkit: {right.unit}"
    if right.problem:
        return about.skip(name, right.problem)
    if right.refused:
        seen = f"{user} may not: {', '.join(right.refused)}"
        return about.fail(name, seen, installing(config))
    return about.passed(name, f"{user} may: {', '.join(right.asked)}")


async def _journals(config: Config, services: Sequence[Service], known: Mapping[str, LoadedUnit]) -> list[Finding]:
    there = [(s, unit) for s in services for unit in s.units if known[unit]["LoadState"] == "loaded"]
    return [await _journal(config, _about(service), unit) for service, unit in there]


async def _journal(config: Config, about: Subject, unit: str) -> Finding:
    name = f"journal: {unit}"
    user = config.systemd.scope is Scope.USER
    which = [f"--user-unit={unit}"] if user else [f"--unit={unit}"]
    try:
        answer = await ask(["journalctl", "--no-pager", "-n", "1", "-o", "cat", *which], JOURNAL_SECONDS)
    except CommandError as error:
        return about.fail(name, str(error), "journalctl --verify; systemctl status systemd-journald")
    if any(sign in answer.err for sign in _BLIND) and not user:
        me = user_name(await asyncio.to_thread(opsbot_user, config))
        fix = f"{installing(config)}, or usermod -aG systemd-journal {me}; then systemctl restart opsbot"
        return about.fail(name, f"{user_name(os.geteuid())} may not read it", fix)
    if answer.status != 0:
        said = (answer.err.strip().splitlines() or [f"journalctl exited with status {answer.status}"])[0]
        return about.fail(name, said, f"journalctl {which[0]} -n 1")
    empty = not answer.out.strip() or answer.out.startswith("-- No entries")
    return about.passed(name, "is readable; no lines yet" if empty else "is readable")
