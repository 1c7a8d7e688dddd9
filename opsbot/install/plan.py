"""From the configuration and the facts: which files there should be, and what an admin has to know. No I/O."""

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
from opsbot.install.texts import command, text, with_keys, with_variables, words

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
    """What is to be there. `refusals` are reasons to write nothing at all; `warnings` are for a person."""

    scope: Scope
    files: tuple[Wanted, ...] = ()
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    secrets: tuple[Path, ...] = ()
    """Files that must be there before opsbot is started: systemd does not start it without them."""
    environment: Path | None = None
    """Where the variables go that hold secrets."""
    variables: tuple[str, ...] = ()


def plan(config: Config, facts: InstallFacts) -> Plan:
    """The plan for the scope that is configured."""
    return _of_user(config, facts) if config.systemd.scope is Scope.USER else _of_system(config, facts)


def _of_system(config: Config, facts: InstallFacts) -> Plan:
    housed, said = service_users(config, facts)
    files = {DAEMON: system_unit(config, facts)}
    if needs.with_units(config):
        files[RULE] = _rule(config, facts, housed)
    files[SYSUSERS] = sysusers(config, facts, housed)
    files[TMPFILES] = tmpfiles(config, facts, housed)
    for tenant in housed:
        if tenant.user:
            files |= _errands(config, facts, tenant)
    return Plan(
        Scope.SYSTEM,
        _wanted(files, facts),
        (*said, *_remarks(config, facts)),
        tuple(_against_system(config, facts)),
        tuple(SETTINGS / name for name in needs.credentials(config)),
        SETTINGS / "environment",
        tuple(needs.variables(config)),
    )


def _wanted(files: dict[Path, str], facts: InstallFacts) -> tuple[Wanted, ...]:
    return tuple(Wanted(path, content, facts.config) for path, content in files.items())


def errand_units(tenant: ServiceUser) -> tuple[str, str]:
    """The units that run a service's install steps and its command checks."""
    name = tenant.service.name
    return f"{STEP}{name}.service", f"{CHECK}{name}.service"


def _rule(config: Config, facts: InstallFacts, housed: Sequence[ServiceUser]) -> str:
    names = [unit for service in needs.with_units(config) for unit in service.units]
    services = [(facts.units[name].primary if name in facts.units else "") or name for name in names]
    errands = [unit for tenant in housed if tenant.user for unit in errand_units(tenant)]
    return with_variables(
        text("50-opsbot.rules"), {"user": facts.user, "services": list(dict.fromkeys(services)), "errands": errands}
    )


def _errands(config: Config, facts: InstallFacts, tenant: ServiceUser) -> dict[Path, str]:
    top = tenant.source.directory
    hidden = words(f"-{path}" for path in (*_secret_places(config, facts), top / "mirror.git"))
    found = {}
    for unit, kind, more in zip(errand_units(tenant), ("step", "check"), ((), ("/tmp", "/var/tmp")), strict=True):  # noqa: S108
        article = "an install step" if kind == "step" else "a check"
        values = {
            "Description": [f"opsbot: {article} of {tenant.service.name}"],
            "User": [tenant.user],
            "Group": [tenant.group],
            "ExecStart": [command(facts.python, "-I", "-m", "opsbot.errand", top / ".errands" / kind)],
            "ReadWritePaths": [words((top, *more))],
            "InaccessiblePaths": [hidden],
        }
        if kind == "step":
            values["ReadOnlyPaths"] = [words([f"-{top / 'current'}"])]
        found[UNITS / unit] = with_keys(text(f"opsbot-{kind}-{_EXAMPLE}"), values)
    return found


def _secret_places(config: Config, facts: InstallFacts) -> list[Path]:
    """What deployed code has no business in."""
    places = [config.state.directory, SETTINGS, RUNTIME]
    return places if facts.config.is_relative_to(SETTINGS) else [*places, facts.config]


def _against_system(config: Config, facts: InstallFacts) -> Iterator[str]:
    if not needs.with_units(config) or facts.polkit.takes_rules:
        return
    if not facts.polkit.present:
        said = (
            "polkit is not installed, and without it opsbot may not restart a unit. Debian: apt-get install polkitd; "
        )
        yield said + 'Amazon Linux, Fedora: dnf install polkit. Or, without it: [systemd] scope = "user"'
    else:
        yield (
            f"polkit {facts.polkit.version} is too old: it takes no rules in JavaScript (0.106 does), and what this "
            "would write would be ignored without a word. Debian 12, Ubuntu 24.04 and Amazon Linux 2023 have one that "
            'is new enough. Or, without it: [systemd] scope = "user"'
        )


def _remarks(config: Config, facts: InstallFacts) -> Iterator[str]:
    children = ", ".join(each.name for each in needs.supervised(config))
    if children:
        yield (
            f"{children}: opsbot itself starts this, as its own user and in its own unit: its code can read opsbot's "
            "token and database, and opsbot's unit is less closed. A unit of its own with a user of its own is better"
        )
    if not facts.config.is_relative_to(SETTINGS):
        yield (
            f"{facts.config} is not in {SETTINGS}: see to it that {facts.user} can read it, and that nobody but root "
            f"can write it. Usual: install -D -m 0640 {facts.config} {SETTINGS / 'config.toml'}"
        )
    homes = needs.at_home(config, facts.program, *facts.reaches)
    if homes:
        named = ", ".join(map(str, homes))
        yield f"{named}: lies in somebody's home, which opsbot's unit therefore leaves readable (ProtectHome=read-only)"
    if facts.loose:
        loose = ", ".join(map(str, facts.loose))
        yield f"{loose}: somebody else than root may write it, and so become opsbot; /opt/opsbot is the place"
    outside = [str(path) for path in needs.secret_files(config) if not path.is_relative_to(SETTINGS)]
    if outside:
        yield f"{', '.join(outside)}: see to it that {facts.user} can read it, and nobody else"


def _of_user(config: Config, facts: InstallFacts) -> Plan:
    folder = facts.config.parent
    files = {facts.home / USER_UNITS / DAEMON.name: user_unit(config, facts)}
    refusals = []
    if not config.state.directory.is_relative_to(facts.home):
        refusals.append(
            f"{config.path}: state.directory: is {config.state.directory}, where your user keeps nothing; write "
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
