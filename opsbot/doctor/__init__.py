"""`opsbot doctor`: test what the configuration relies on and suggest fixes.

Nothing is changed. Independent checks run concurrently, each with its own time limit.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from opsbot.config import Config, Secret, SecretMissingError, Service
from opsbot.doctor import folders, guild, machine, notifiers, ports, repositories, units
from opsbot.doctor.findings import Area, Finding, Outcome, Report, Subject, bounded, report
from opsbot.doctor.owners import NoSuchOwnerError, install_creates_folders, installing, owners, user_name
from opsbot.redaction import Redactor, parts_of_url
from opsbot.services.brief_command import CommandError
from opsbot.services.unit_files import LoadedUnit

__all__ = ["Area", "Finding", "Outcome", "Report", "examine"]

BRIEF, DISCORD, SYSTEMD, REMOTE = 20.0, 60.0, 90.0, 40.0
"""Seconds. A hanging polkit answers after 25; a single answer from Discord may take 8."""


async def examine(config: Config, control: Path, invite: Callable[[str], str], command: str) -> Report:
    """Run all checks and return their findings in order.

    control: path of the daemon's socket. invite: builds the invitation link for an application id. command: the
    command line that runs the doctor again, for fixes that mention it.
    """
    known = await units.known_units(config)
    looks = [
        bounded(Subject(Area.HOST), "host", machine.host(config), BRIEF),
        bounded(Subject(Area.STATE), "state directory", machine.state(config, control, command), BRIEF),
        bounded(Subject(Area.DISCORD), "Discord's API", guild.examine(config, invite), DISCORD),
        bounded(Subject(Area.SYSTEMD), "systemd", units.examine(config, known), SYSTEMD),
        bounded(Subject(Area.NOTICES), "notifiers", notifiers.examine(config), REMOTE),
    ]
    for service in config.services.values():
        source, ports_, on_disk = (Subject(area, service.name) for area in (Area.SOURCE, Area.PORTS, Area.FOLDERS))
        unit = None if isinstance(known, CommandError) else known.get(service.unit)
        looks += [
            bounded(source, "repository", repositories.examine(service, source), REMOTE),
            bounded(on_disk, "folders", asyncio.to_thread(_on_disk, config, service, unit), BRIEF),
            bounded(ports_, "ports", ports.examine(service, ports_), BRIEF),
        ]
    found = await asyncio.gather(*looks)
    redact = Redactor(await asyncio.to_thread(_secrets, config))
    return report(user_name(os.geteuid()), found, redact)


def _on_disk(config: Config, service: Service, unit: LoadedUnit | None) -> list[Finding]:
    try:
        who = owners(config, service, unit)
    except NoSuchOwnerError:
        return [Subject(Area.FOLDERS, service.name).skip("folders", "needs its unit first")]
    installs = installing(config) if install_creates_folders(config, service, who) else ""
    return [*folders.folders(service, who, installs), *folders.commands(service, who)]


def _secrets(config: Config) -> list[str]:
    """Collect the values to redact; unreadable secrets are reported by their check."""
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
