"""Whose the services are: for each one that systemd starts, the user its code runs as, or why there is none."""

from dataclasses import dataclass

from opsbot.config import CheckKind, Config, Service, Source
from opsbot.install import needs
from opsbot.install.facts import InstallFacts, Unit

AGAIN = "then run `opsbot install` again"


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """A service whose folders opsbot keeps. `group` is who may read them; "" where everybody must.

    `user` is who its install steps and command checks run as: "" where there is no such user and nothing can run.
    """

    service: Service
    source: Source
    user: str
    group: str


def service_users(config: Config, facts: InstallFacts) -> tuple[list[ServiceUser], list[str]]:
    """The services with a source, and what an admin has to know about the others' units."""
    found, said = [], []
    for service in needs.with_units(config):
        units = [facts.units.get(name, Unit(name)) for name in service.units]
        wrong = _wrong(service, units, facts)
        said += wrong
        first = units[0]
        trusted = first.found and first.known_user and not first.dynamic and first.group != "root"
        if service.source is not None:
            named = trusted and first.user not in {"root", facts.user}
            found.append(
                ServiceUser(service, service.source, first.user if named else "", first.group if trusted else "")
            )
    return found, said


def _wrong(service: Service, units: list[Unit], facts: InstallFacts) -> list[str]:
    said = [text for unit in units if (text := _unit(service, unit, facts))]
    users = {(unit.user, unit.group) for unit in units if unit.found}
    if len(users) > 1 and service.source is not None:
        mixed = ", ".join(f"{unit.name} as {unit.user}:{unit.group}" for unit in units if unit.found)
        said.append(f"{service.name}: its units run as different users ({mixed}); the first one's is taken for all")
    return said


def _unit(service: Service, unit: Unit, facts: InstallFacts) -> str:
    if not unit.found:
        return _missing(service, unit)
    if unit.user == facts.user:
        return (
            f"{service.name}: {unit.name} runs as {unit.user}, which is opsbot's own user: it can read the token and "
            f"the database. Give it a user of its own with User=NAME in {unit.fragment or unit.name}, {AGAIN}"
        )
    return _user(service, unit) if service.source is not None else ""  # what is not deployed runs nothing of opsbot's


def _missing(service: Service, unit: Unit) -> str:
    then = f", {AGAIN}: {_for_what(service)}" if service.source is not None else ""
    if unit.load != "not-found":
        return f"{service.name}: systemd says of {unit.name}: {unit.load}. Mend it (systemctl status {unit.name}){then}"
    return (
        f"{service.name}: systemd knows no {unit.name} yet. Write it (voice-meeting-discord-bot.service in the folder "
        f"systemd is an example), systemctl daemon-reload{then}"
    )


def _for_what(service: Service) -> str:
    """What opsbot has to know of the unit's user for."""
    checks = any(check.kind is CheckKind.COMMAND for check in service.checks)
    runs = " and ".join(filter(None, ("install steps" if service.install else "", "command checks" if checks else "")))
    return f"its {runs} run as the user it names" if runs else "its releases are for the group it names to read"


def _user(service: Service, unit: Unit) -> str:
    where = unit.fragment or unit.name
    if unit.dynamic:
        return (
            f"{service.name}: {where} has DynamicUser=yes, a user that exists only while it runs: no install step or "
            f"command check can run as it. Remove that line, write User=NAME in its place, {AGAIN}"
        )
    if not unit.known_user:
        return (
            f"{service.name}: {where} names the user {unit.user} and there is no such user, or no such group. "
            f"useradd --system --user-group {unit.user}, {AGAIN}"
        )
    if unit.user == "root":
        return (
            f"{service.name}: {unit.name} runs as root, and so would whatever is deployed: opsbot refuses that. Add "
            f"User=NAME to [Service] in {where}, {AGAIN}"
        )
    if unit.group == "root":
        return (
            f"{service.name}: {unit.name} runs in the group root, which opsbot is not made a member of. Add Group=NAME "
            f"to [Service] in {where}, {AGAIN}"
        )
    return ""
