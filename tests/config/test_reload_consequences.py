"""What a reload alone does not bring."""

from dataclasses import replace
from pathlib import Path

from opsbot.config import Config, Discord, Http, ManagerKind, Scope, Secret, Service, StateConfig, SystemdConfig
from opsbot.core.access import Ranks
from opsbot.daemon.reload import consequences


def configured(*units: str, scope: Scope = Scope.SYSTEM) -> Config:
    services = {f"s{number}": Service(f"s{number}", ManagerKind.SYSTEMD, units=(u,)) for number, u in enumerate(units)}
    discord = Discord(Secret("T"), 1, 2)
    state = StateConfig(Path("/none"))
    return Config(Path("c.toml"), discord, Ranks(), state, Http(None), services, systemd=SystemdConfig(scope))


def test_a_new_unit_needs_the_admin_once() -> None:
    old = configured("a.service")
    assert consequences(old, old) == []
    assert consequences(old, configured("a.service", "b.service")) == [
        "s1: run `opsbot install` to permit opsbot to start or restart b.service"
    ]
    user = configured("a.service", "b.service", scope=Scope.USER)
    assert consequences(replace(old, systemd=SystemdConfig(Scope.USER)), user) == []
