"""`opsbot doctor`: tries each thing that the configuration relies on, for real, and says what to do about it.

Nothing is changed by it. Looks that do not need one another run side by side, each with a time limit of its own.
"""

import asyncio
import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path

from opsbot.config import Config, Secret, SecretMissingError, Service
from opsbot.doctor import folders, guild, machine, notices, ports, repositories, units
from opsbot.doctor.findings import Area, Finding, Outcome, Report, bounded, report, skip
from opsbot.doctor.owners import NoSuchOwnerError, install_mends, installing, owners
from opsbot.redaction import Redactor, parts_of_url
from opsbot.services.unit_files import LoadedUnit, UnitsError

__all__ = ["Area", "Finding", "Outcome", "Report", "examine"]

BRIEF, DISCORD, SYSTEMD, REMOTE = 20.0, 60.0, 90.0, 40.0
"""Seconds. A polkit that hangs answers after 25; each answer of Discord's may take 8."""


async def examine(config: Config, control: Path, invite: Callable[[str], str], command: str) -> Report:
    """Look at everything.

    control: the daemon's socket. invite: the link that invites an application's bot. command: how to call the doctor
    again, for mends that do.
    """
    known = await units.known_units(config)
    services = list(config.services.values())
    looks = [
        bounded(Area.HOST, "host", lambda: machine.host(config), BRIEF),
        bounded(Area.STATE, "state directory", lambda: machine.state(config, control, command), BRIEF),
        bounded(Area.DISCORD, "Discord's API", lambda: guild.look(config, invite), DISCORD),
        bounded(Area.SYSTEMD, "systemd", lambda: units.look(config, known), SYSTEMD),
        bounded(Area.NOTICES, "notifiers", lambda: notices.look(config), REMOTE),
        *(_remote(service) for service in services),
        *(_places(config, service, known) for service in services),
        *(_ports(service) for service in services),
    ]
    found = await asyncio.gather(*looks)
    redact = Redactor(await asyncio.to_thread(_secrets, config))
    return report(pwd.getpwuid(os.geteuid()).pw_name, found, redact)


async def _remote(service: Service) -> list[Finding]:
    return await bounded(Area.SOURCE, "repository", lambda: repositories.look(service), REMOTE, service.name)


async def _places(config: Config, service: Service, known: Mapping[str, LoadedUnit] | UnitsError) -> list[Finding]:
    async def look() -> list[Finding]:
        unit = None if isinstance(known, UnitsError) else known.get(service.unit)
        return await asyncio.to_thread(_on_disk, config, service, unit)

    return await bounded(Area.FOLDERS, "folders", look, BRIEF, service.name)


def _on_disk(config: Config, service: Service, unit: LoadedUnit | None) -> list[Finding]:
    try:
        who = owners(config, service, unit)
    except NoSuchOwnerError:
        return [skip(Area.FOLDERS, "folders", "needs its unit first", service.name)]
    installs = installing(config) if install_mends(config, service, who) else ""
    return [*folders.folders(service, who, installs), *folders.commands(service, who)]


async def _ports(service: Service) -> list[Finding]:
    async def look() -> list[Finding]:
        deployed = service.root is None or await asyncio.to_thread(service.root.exists)
        return await ports.look(service, deployed=deployed)

    return await bounded(Area.PORTS, "ports", look, BRIEF, service.name)


def _secrets(config: Config) -> list[str]:
    """What must not be shown; what cannot be read is told of by the look that needs it."""
    sources = [service.source for service in config.services.values() if service.source]
    named: list[Secret | None] = [config.discord.token, *(source.token for source in sources)]
    urls = [notifier.url for notifier in config.notifiers.values()]
    urls += [config.heartbeat.url] if config.heartbeat is not None else []
    found: list[str] = []
    for url in urls:
        try:
            found += parts_of_url(url.read())
        except (SecretMissingError, ValueError):
            continue
    for secret in named:
        try:
            found += [secret.read()] if secret is not None else []
        except SecretMissingError:
            continue
    return found
