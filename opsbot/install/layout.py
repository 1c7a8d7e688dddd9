"""Render the sysusers.d(5) and tmpfiles.d(5) files: users, groups and folders."""

from collections.abc import Iterator

from opsbot.config import Config, Strategy
from opsbot.install import needs
from opsbot.install.daemon import SETTINGS, STATES
from opsbot.install.facts import InstallFacts
from opsbot.install.service_users import ServiceUser
from opsbot.install.texts import opening, quote


def sysusers(config: Config, facts: InstallFacts, service_users: list[ServiceUser]) -> str:
    user = facts.user
    lines = [f'u {user} - "opsbot, which deploys and watches services" {quote(config.state.directory)}']
    lines.append(f"m {user} systemd-journal")
    groups = dict.fromkeys(each.group for each in service_users if each.group not in {"", user, "systemd-journal"})
    lines += [f"m {user} {group}" for group in groups]
    return opening("opsbot.sysusers.conf") + "\n".join(lines) + "\n"


def tmpfiles(config: Config, facts: InstallFacts, service_users: list[ServiceUser]) -> str:
    user = facts.user
    lines = [f"d {SETTINGS} 0750 root {facts.group} -"]
    if facts.config.is_relative_to(SETTINGS):
        lines.append(f"z {quote(facts.config)} 0640 root {facts.group} -")
    lines += [f"z {quote(SETTINGS / name)} 0600 root root -" for name in needs.credentials(config)]
    if needs.variables(config):
        lines.append(f"z {SETTINGS / 'environment'} 0600 root root -")
    own = [path for path in needs.secret_files(config) if path.is_relative_to(SETTINGS)]
    lines += [f"z {quote(path)} 0640 root {facts.group} -" for path in own]
    if not config.state.directory.is_relative_to(STATES):
        lines.append(f"d {quote(config.state.directory)} 0750 {user} {facts.group} -")
    for service in needs.supervised(config):
        if service.source is not None:
            lines.append(f"d {quote(service.source.directory)} 0750 {user} {facts.group} -")
    for service_user in service_users:
        lines += _folders(service_user, facts)
    return opening("opsbot.tmpfiles.conf") + "\n".join(lines) + "\n"


def _folders(service_user: ServiceUser, facts: InstallFacts) -> Iterator[str]:
    top = service_user.source.directory
    if not service_user.group:
        # The unit's user is unknown, so everybody gets read access to the releases.
        yield f"d {quote(top)} 0755 {facts.user} {facts.group} -"
        return
    owner = f"{facts.user} {service_user.group} -"
    yield f"d {quote(top)} 2750 {owner}"
    if service_user.source.strategy is Strategy.RELEASES:
        yield f"d {quote(top / 'releases')} 2750 {owner}"
        yield f"d {quote(top / 'shared')} 2770 {owner}"
    if service_user.user:
        yield f"d {quote(top / '.errands')} 2770 {owner}"
