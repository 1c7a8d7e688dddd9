"""What a reload alone does not bring."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from opsbot.config import (
    Config,
    Discord,
    Http,
    ManagerKind,
    Scope,
    Secret,
    Service,
    Source,
    StateConfig,
    Strategy,
    SystemdConfig,
)
from opsbot.core.access import Ranks
from opsbot.core.keys import Reload, values_by_reload
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


def test_a_running_process_keeps_what_it_was_started_with() -> None:
    source = Source("/srv/a.git", Path("/srv/a"))
    web = Service("web", ManagerKind.PROCESS, command=("a",), source=source)
    old = replace(configured(), services={"web": web})
    restart = ["web keeps running with its old settings; restart it to apply the new ones"]
    for same in (web, replace(web, soak=timedelta(0)), replace(web, source=replace(source, branch="b"))):
        assert consequences(old, replace(old, services={"web": same})) == []
    for other in (
        replace(web, command=("b",)),
        replace(web, working_directory="b"),
        replace(web, environment={"A": "b"}),
        replace(web, environment_file=Path("/b")),
        replace(web, source=replace(source, directory=Path("/srv/b"))),
        replace(web, source=replace(source, strategy=Strategy.IN_PLACE)),
        replace(web, source=None),
    ):
        assert consequences(old, replace(old, services={"web": other})) == restart


def test_only_the_state_directory_never_changes() -> None:
    assert values_by_reload(configured(), Reload.NEVER) == {("state", "directory"): Path("/none")}
