"""The users of systemd services, and warnings about unsuitable ones."""

from dataclasses import dataclass

from opsbot.config import CheckKind, Config, Service, Source
from opsbot.install import needs
from opsbot.install.facts import InstallFacts, Unit

AGAIN = "then run `opsbot install` again"


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """A service whose folders opsbot manages.

    group: gets read access to them; "" grants it to everybody. user: runs the install steps and command checks; "" if
    there is no suitable user, so that none can run.
    """

    service: Service
    source: Source
    user: str
    group: str


def service_users(config: Config, facts: InstallFacts) -> tuple[list[ServiceUser], list[str]]:
    """Return the services with a source, and warnings about all services' units."""
    found, warnings = [], []
    for service in needs.with_units(config):
        units = [facts.units.get(name, Unit(name)) for name in service.units]
        problems = _problems(service, units, facts)
        warnings += problems
        first = units[0]
        trusted = first.found and first.known_user and not first.dynamic and first.group != "root"
        if service.source is not None:
            named = trusted and first.user not in {"root", facts.user}
            found.append(
                ServiceUser(service, service.source, first.user if named else "", first.group if trusted else "")
            )
    return found, warnings


def _problems(service: Service, units: list[Unit], facts: InstallFacts) -> list[str]:
    found = [text for unit in units if (text := _unit(service, unit, facts))]
    users = {(unit.user, unit.group) for unit in units if unit.found}
    if len(users) > 1 and service.source is not None:
        mixed = ", ".join(f"{unit.name} as {unit.user}:{unit.group}" for unit in units if unit.found)
        found.append(f"{service.name}: its units run as different users ({mixed}); the first one applies to all")
    return found


def _unit(service: Service, unit: Unit, facts: InstallFacts) -> str:
    if not unit.found:
        return _missing(service, unit)
    if unit.user == facts.user:
        return (
            f"{service.name}: {unit.name} runs as {unit.user}, opsbot's own user, and can read the token and "
            f"the database. Set User=NAME to a separate user in {unit.fragment or unit.name}, {AGAIN}"
        )
    return _user(service, unit) if service.source is not None else ""  # opsbot runs no jobs without a source


def _missing(service: Service, unit: Unit) -> str:
    then = f", {AGAIN}: {_for_what(service)}" if service.source is not None else ""
    if unit.load != "not-found":
        return f"{service.name}: {unit.name} is {unit.load}. Fix it (systemctl status {unit.name}){then}"
    return (
        f"{service.name}: systemd has no unit {unit.name} yet. Write it (example: voice-meeting-discord-bot.service in "
        f"the folder systemd), run systemctl daemon-reload{then}"
    )


def _for_what(service: Service) -> str:
    """Explain why opsbot needs the unit's user."""
    checks = any(check.kind is CheckKind.COMMAND for check in service.checks)
    runs = " and ".join(filter(None, ("install steps" if service.install else "", "command checks" if checks else "")))
    return f"its {runs} run as the unit's user" if runs else "the unit's group gets read access to its releases"


def _user(service: Service, unit: Unit) -> str:
    where = unit.fragment or unit.name
    if unit.dynamic:
        return (
            f"{service.name}: {where} has DynamicUser=yes, so its user exists only while it runs and cannot run "
            f"install steps or command checks. Replace that line with User=NAME, {AGAIN}"
        )
    if not unit.known_user:
        return (
            f"{service.name}: {where} names the user {unit.user}; this user or its group does not exist. "
            f"useradd --system --user-group {unit.user}, {AGAIN}"
        )
    if unit.user == "root":
        return (
            f"{service.name}: {unit.name} runs as root; opsbot refuses to deploy code that runs as root. Add "
            f"User=NAME to [Service] in {where}, {AGAIN}"
        )
    if unit.group == "root":
        return (
            f"{service.name}: {unit.name} runs in the group root, and opsbot is never added to it. Add Group=NAME "
            f"to [Service] in {where}, {AGAIN}"
        )
    return ""
