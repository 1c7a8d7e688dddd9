"""Users, groups and folders: what sysusers.d(5) and tmpfiles.d(5) are told."""

from collections.abc import Iterator

from opsbot.config import Config, Strategy
from opsbot.install import needs
from opsbot.install.daemon import SETTINGS, STATES
from opsbot.install.facts import InstallFacts
from opsbot.install.service_users import ServiceUser
from opsbot.install.texts import opening, word


def sysusers(config: Config, facts: InstallFacts, tenants: list[ServiceUser]) -> str:
    """opsbot's user and its groups."""
    user = facts.user
    lines = [f'u {user} - "opsbot, which deploys and watches services" {word(config.state.directory)}']
    lines.append(f"m {user} systemd-journal")
    groups = dict.fromkeys(tenant.group for tenant in tenants if tenant.group not in {"", user, "systemd-journal"})
    lines += [f"m {user} {group}" for group in groups]
    return opening("opsbot.sysusers.conf") + "\n".join(lines) + "\n"


def tmpfiles(config: Config, facts: InstallFacts, tenants: list[ServiceUser]) -> str:
    """The folders and whose they are."""
    user = facts.user
    lines = [f"d {SETTINGS} 0750 root {facts.group} -"]
    if facts.config.is_relative_to(SETTINGS):
        lines.append(f"z {word(facts.config)} 0640 root {facts.group} -")
    lines += [f"z {word(SETTINGS / name)} 0600 root root -" for name in needs.credentials(config)]
    if needs.variables(config):
        lines.append(f"z {SETTINGS / 'environment'} 0600 root root -")
    own = [path for path in needs.secret_files(config) if path.is_relative_to(SETTINGS)]
    lines += [f"z {word(path)} 0640 root {facts.group} -" for path in own]
    if not config.state.directory.is_relative_to(STATES):
        lines.append(f"d {word(config.state.directory)} 0750 {user} {facts.group} -")
    for service in needs.supervised(config):
        if service.source is not None:
            lines.append(f"d {word(service.source.directory)} 0750 {user} {facts.group} -")
    for tenant in tenants:
        lines += _folders(tenant, facts)
    return opening("opsbot.tmpfiles.conf") + "\n".join(lines) + "\n"


def _folders(tenant: ServiceUser, facts: InstallFacts) -> Iterator[str]:
    top = tenant.source.directory
    if not tenant.group:
        # Whoever it runs as has to read the releases.
        yield f"d {word(top)} 0755 {facts.user} {facts.group} -"
        return
    owner = f"{facts.user} {tenant.group} -"
    yield f"d {word(top)} 2750 {owner}"
    if tenant.source.strategy is Strategy.RELEASES:
        yield f"d {word(top / 'releases')} 2750 {owner}"
        yield f"d {word(top / 'shared')} 2770 {owner}"
    if tenant.user:
        yield f"d {word(top / '.errands')} 2770 {owner}"
