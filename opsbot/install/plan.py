"""Compute the files to install and the messages for the admin. No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from opsbot.config import Config, Scope
from opsbot.install import needs
from opsbot.install.daemon import SETTINGS, system_unit, user_unit
from opsbot.install.facts import InstallFacts
from opsbot.install.files import Wanted
from opsbot.install.layout import sysusers, tmpfiles
from opsbot.install.service_users import ServiceUser, service_users
from opsbot.install.texts import command, quote_all, text, with_keys, with_variables

UNITS = Path("/etc/systemd/system")
RULE = Path("/etc/polkit-1/rules.d/50-opsbot.rules")
SYSUSERS = Path("/etc/sysusers.d/opsbot.conf")
TMPFILES = Path("/etc/tmpfiles.d/opsbot.conf")
DAEMON = UNITS / "opsbot.service"
USER_UNITS = Path(".config/systemd/user")
RUNTIME = Path("/run/opsbot")

STEP, CHECK = "opsbot-step-", "opsbot-check-"
_EXAMPLE = "voice-meeting-bot.service"


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to install. Any `refusals` prevent writing."""

    scope: Scope
    files: tuple[Wanted, ...] = ()
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    secrets: tuple[Path, ...] = ()
    """Secret files that must exist before opsbot starts, because systemd refuses to start the unit without them."""
    environment: Path | None = None
    """The environment file for variables that hold secrets."""
    variables: tuple[str, ...] = ()


def plan(config: Config, facts: InstallFacts) -> Plan:
    return _of_user(config, facts) if config.systemd.scope is Scope.USER else _of_system(config, facts)


def _of_system(config: Config, facts: InstallFacts) -> Plan:
    owners, warnings = service_users(config, facts)
    files = {DAEMON: system_unit(config, facts)}
    if needs.with_units(config):
        files[RULE] = _rule(config, facts, owners)
    files[SYSUSERS] = sysusers(config, facts, owners)
    files[TMPFILES] = tmpfiles(config, facts, owners)
    for service_user in owners:
        if service_user.user:
            files |= _job_units(config, facts, service_user)
    return Plan(
        Scope.SYSTEM,
        _wanted(files, facts),
        (*warnings, *_remarks(config, facts)),
        tuple(_against_system(config, facts)),
        tuple(SETTINGS / name for name in needs.credentials(config)),
        SETTINGS / "environment",
        tuple(needs.variables(config)),
    )


def _wanted(files: dict[Path, str], facts: InstallFacts) -> tuple[Wanted, ...]:
    return tuple(Wanted(path, content, facts.config) for path, content in files.items())


def job_units(service_user: ServiceUser) -> tuple[str, str]:
    name = service_user.service.name
    return f"{STEP}{name}.service", f"{CHECK}{name}.service"


def _rule(config: Config, facts: InstallFacts, owners: Sequence[ServiceUser]) -> str:
    names = [unit for service in needs.with_units(config) for unit in service.units]
    services = [(facts.units[name].primary if name in facts.units else "") or name for name in names]
    job_names = [unit for service_user in owners if service_user.user for unit in job_units(service_user)]
    return with_variables(
        text("50-opsbot.rules"), {"user": facts.user, "services": list(dict.fromkeys(services)), "errands": job_names}
    )


def _job_units(config: Config, facts: InstallFacts, service_user: ServiceUser) -> dict[Path, str]:
    top = service_user.source.directory
    hidden = quote_all(f"-{path}" for path in (*_secret_places(config, facts), top / "mirror.git"))
    found = {}
    for unit, kind, more in zip(job_units(service_user), ("step", "check"), ((), needs.TEMPORARY), strict=True):
        article = "an install step" if kind == "step" else "a check"
        values = {
            "Description": [f"opsbot: {article} of {service_user.service.name}"],
            "User": [service_user.user],
            "Group": [service_user.group],
            "ExecStart": [command(facts.python, "-I", "-m", "opsbot.errand", top / ".errands" / kind)],
            "ReadWritePaths": [quote_all((top, *more))],
            "InaccessiblePaths": [hidden],
        }
        if kind == "step":
            values["ReadOnlyPaths"] = [quote_all([f"-{top / 'current'}"])]
        found[UNITS / unit] = with_keys(text(f"opsbot-{kind}-{_EXAMPLE}"), values)
    return found


def _secret_places(config: Config, facts: InstallFacts) -> list[Path]:
    """List the paths that deployed code must not access."""
    places = [config.state.directory, SETTINGS, RUNTIME]
    return places if facts.config.is_relative_to(SETTINGS) else [*places, facts.config]


def _against_system(config: Config, facts: InstallFacts) -> Iterator[str]:
    if not needs.with_units(config) or facts.polkit.takes_rules:
        return
    if not facts.polkit.present:
        yield (
            "polkit is not installed; opsbot needs it to restart units. Debian: apt-get install polkitd; "
            'Amazon Linux, Fedora: dnf install polkit. Alternative without polkit: [systemd] scope = "user"'
        )
    else:
        yield (
            f"polkit {facts.polkit.version} is too old: it ignores JavaScript rules (0.106 or later is required). "
            "Debian 12, Ubuntu 24.04 and Amazon Linux 2023 have a recent version. "
            'Alternative without polkit: [systemd] scope = "user"'
        )


def _remarks(config: Config, facts: InstallFacts) -> Iterator[str]:
    children = ", ".join(each.name for each in needs.supervised(config))
    if children:
        yield (
            f"{children}: opsbot starts this service as its own user and in its own unit, so its code can read "
            "opsbot's token and database, and opsbot's unit is less restricted. Use a separate unit with its own user"
        )
    if not facts.config.is_relative_to(SETTINGS):
        yield (
            f"{facts.config} is not in {SETTINGS}: make sure that {facts.user} can read it and only root "
            f"can write it. Usual: install -D -m 0640 {facts.config} {SETTINGS / 'config.toml'}"
        )
    homes = needs.at_home(config, facts.program, *facts.reaches)
    if homes:
        named = ", ".join(map(str, homes))
        yield f"{named}: in a home directory, so opsbot's unit leaves homes readable (ProtectHome=read-only)"
    if facts.loose:
        loose = ", ".join(map(str, facts.loose))
        yield f"{loose}: writable by users other than root, who could run code as opsbot; use /opt/opsbot"
    outside = [str(path) for path in needs.secret_files(config) if not path.is_relative_to(SETTINGS)]
    if outside:
        yield f"{', '.join(outside)}: make sure that {facts.user} can read it and nobody else can"


def _of_user(config: Config, facts: InstallFacts) -> Plan:
    folder = facts.config.parent
    files = {facts.home / USER_UNITS / DAEMON.name: user_unit(config, facts)}
    refusals = []
    if not config.state.directory.is_relative_to(facts.home):
        refusals.append(
            f"{config.path}: state.directory: is {config.state.directory}, outside your home directory; write "
            f'directory = "{facts.home / ".local/state/opsbot"}"'
        )
    steps = any(each.install or each.checks for each in needs.with_units(config))
    warnings = ["opsbot and its services are one user here: each of them can read the token"] if steps else []
    return Plan(
        Scope.USER,
        _wanted(files, facts),
        tuple(warnings),
        tuple(refusals),
        tuple(folder / name for name in needs.credentials(config)),
        folder / "environment",
        tuple(needs.variables(config)),
    )
