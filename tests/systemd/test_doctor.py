"""`opsbot doctor` on a real systemd with a real polkit, as root and as opsbot's user; and that the traps are true."""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from opsbot.config import Scope
from opsbot.services.unit_files import lint_units
from opsbot.units.finding import Severity

TOP = Path(__file__).parents[2]
UNITS = Path("/etc/systemd/system")
STATE = Path("/var/lib/doct")
RULES = Path("/etc/polkit-1/rules.d/51-doct.rules")
RULE = """\
polkit.addRule(function(action, subject) {
    var unit = action.lookup("unit"), verb = action.lookup("verb");
    if (subject.user !== "opsbot" || !unit || unit.indexOf("doct-") !== 0) return polkit.Result.NOT_HANDLED;
    if (unit === "doct-web.service") return polkit.Result.YES;
    if (unit === "doct-half.service" && verb === "reset-failed") return polkit.Result.YES;
    return polkit.Result.NO;
});
"""
GOOD = """\
[Unit]
StartLimitIntervalSec=10min
[Service]
User=app
Group=app
Restart=on-failure
RestartSec=2
ExecStart=/bin/sleep 600
MemoryMax=400M
[Install]
WantedBy=multi-user.target
"""
CONFIG = """\
[discord]
token_env = "OPSBOT_DOCTOR_TOKEN"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
api_url = "http://127.0.0.1:9/api/v10"
[roles]
admin = ["unix:root"]
[state]
directory = "/var/lib/doct"
"""


def run(*command: str, check: bool = True) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=check).stdout.strip()


def write(name: str, text: str) -> str:
    (UNITS / f"{name}.service").write_text(text)
    return f"{name}.service"


@pytest.fixture(scope="module", autouse=True)
def stage() -> Iterator[None]:
    RULES.write_text(RULE)
    RULES.chmod(0o644)
    for name in ("web", "other", "half"):
        write(f"doct-{name}", GOOD)
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", "doct-web", "doct-other", "doct-half")
    STATE.mkdir(mode=0o750, exist_ok=True)
    os.chown(STATE, pwd.getpwnam("opsbot").pw_uid, pwd.getpwnam("opsbot").pw_gid)
    yield
    run("systemctl", "stop", "doct-web", "doct-other", "doct-half")
    RULES.unlink()


Found = list[dict[str, Any]]


def doctor(
    tmp_path: Path, units: Mapping[str, str], *, user: str = "opsbot", groups: list[str] | None = None, more: str = "",
    env: Mapping[str, str] | None = None,
) -> Found:  # fmt: skip
    """The findings about systemd, by the verb itself in a process of that user's."""
    text = CONFIG
    for service, unit in units.items():
        text += f'[services.{service}]\nmanager = "systemd"\nunit = "{unit}"\n'
    tmp_path.chmod(0o755)
    for above in tmp_path.parents:
        if above != Path("/tmp"):
            above.chmod(above.stat().st_mode | 0o011)
        if above.parent == Path("/tmp"):
            break
    path = tmp_path / "doctor.toml"
    path.write_text(text + more)
    path.chmod(0o644)
    entry = pwd.getpwnam(user)
    done = subprocess.run(
        [sys.executable, "-m", "opsbot", "doctor", "--json", "-c", str(path)],
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=["systemd-journal"] if groups is None else groups,
        cwd=TOP,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "OPSBOT_DOCTOR_TOKEN": "x", **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr  # Discord is away in here
    found: Found = json.loads(done.stdout)["findings"]
    return [one for one in found if one["area"] == "systemd"]


def of(found: Found, name: str) -> dict[str, Any]:
    return next(one for one in found if one["name"] == name)


def test_a_unit_that_opsbots_user_may_manage(tmp_path: Path) -> None:
    before = run("systemctl", "show", "doct-web", "-p", "InvocationID,NRestarts,ActiveState,MainPID")
    found = doctor(tmp_path, {"web": "doct-web.service"})
    assert {one["name"]: one["outcome"] for one in found} == {
        "bus": "ok",
        "doct-web.service": "ok",
        "polkit: doct-web.service": "ok",
        "journal: doct-web.service": "ok",
    }
    assert of(found, "doct-web.service")["seen"] == "active (running), runs as app"
    assert run("systemctl", "show", "doct-web", "-p", "InvocationID,NRestarts,ActiveState,MainPID") == before


def test_a_unit_that_polkit_refuses(tmp_path: Path) -> None:
    refused = of(doctor(tmp_path, {"other": "doct-other.service"}), "polkit: doct-other.service")
    assert (refused["outcome"], refused["seen"]) == ("failed", "opsbot may not: reset-failed")
    assert refused["mend"].startswith("opsbot install -c ")


def test_polkit_is_asked_about_a_unit_that_systemd_has_unloaded(tmp_path: Path) -> None:
    """As the errand units mostly are: where a service stands failed, they alone can tell that the rule is gone."""
    unit = write("doct-idle", GOOD.partition("[Install]")[0])
    run("systemctl", "daemon-reload")
    refused = of(doctor(tmp_path, {"idle": unit}), f"polkit: {unit}")
    assert (refused["outcome"], refused["seen"]) == ("failed", "opsbot may not: reset-failed")


def test_root_asks_for_each_verb_of_opsbots_user(tmp_path: Path) -> None:
    found = doctor(tmp_path, {"web": "doct-web.service", "half": "doct-half.service"}, user="root")
    assert of(found, "polkit: doct-web.service")["seen"] == "opsbot may: start, stop, restart, reset-failed"
    half = of(found, "polkit: doct-half.service")
    assert (half["outcome"], half["seen"]) == ("failed", "opsbot may not: start, stop, restart")


def test_the_journal_needs_its_group(tmp_path: Path) -> None:
    found = of(doctor(tmp_path, {"web": "doct-web.service"}, groups=[]), "journal: doct-web.service")
    assert found["outcome"] == "failed"
    assert "usermod -aG systemd-journal opsbot" in found["mend"]


def test_units_that_are_masked_missing_or_bad(tmp_path: Path) -> None:
    run("systemctl", "mask", "doct-masked.service")
    write("doct-bad", "[Service]\nUser=app\n")
    write("doct-nobody", GOOD.replace("User=app", "User=doct-nobody"))
    run("systemctl", "daemon-reload")
    units = {name: f"doct-{name}.service" for name in ("masked", "missing", "bad", "nobody")}
    found = doctor(tmp_path, units)
    assert of(found, units["masked"])["seen"] == "it is masked and cannot start"
    assert of(found, units["masked"])["mend"] == "systemctl unmask doct-masked.service"
    assert of(found, units["missing"])["seen"] == "there is no such unit"
    for name in ("masked", "missing"):
        # What its unit would say (its user, its group) is not known: nothing is held against what depends on it.
        wrong = [one["name"] for one in found if one["service"] == name and one["outcome"] in {"failed", "warning"}]
        assert wrong == [units[name]], name
    assert of(found, units["bad"])["outcome"] == "failed"
    assert of(found, units["nobody"])["seen"] == "user doct-nobody does not exist on this host (217/USER)"


def test_what_systemd_has_not_read_and_will_not_start(tmp_path: Path) -> None:
    write("doct-stale", GOOD)
    run("systemctl", "daemon-reload")
    run("systemctl", "show", "doct-stale")
    run("systemctl", "start", "doct-stale")
    found = []
    for number in range(40):
        # Tests beside this one have systemd read all files again: each time the file has to be newer than that.
        newer = 2_000_000_000 + number
        os.utime(UNITS / "doct-stale.service", (newer, newer))
        looked = doctor(tmp_path, {"stale": "doct-stale.service"})
        found = [one["seen"] for one in looked if one["outcome"] == "warning"]
        if len(found) > 1:
            break
    assert found == [
        "its files changed after systemd loaded them",
        "it is not enabled and will not start at boot",
    ]
    run("systemctl", "stop", "doct-stale")


def test_the_units_for_steps_are_missing(tmp_path: Path) -> None:
    more = '[services.web.source]\nrepository = "/nowhere"\ndirectory = "/srv/doct-web"\n'
    found = of(doctor(tmp_path, {"web": "doct-web.service"}, more=more), "opsbot-step-web.service")
    assert found["outcome"] == "failed"
    assert found["mend"].endswith("(as root)")


def test_a_unit_for_steps_that_is_another_users(tmp_path: Path) -> None:
    write("opsbot-step-doct", "[Service]\nType=oneshot\nUser=nobody\nExecStart=/bin/true\n")
    run("systemctl", "daemon-reload")
    more = '[services.doct.source]\nrepository = "/nowhere"\ndirectory = "/srv/doct"\n'
    found = of(doctor(tmp_path, {"doct": "doct-web.service"}, more=more), "opsbot-step-doct.service")
    assert (found["outcome"], found["seen"]) == ("failed", "it runs as nobody, but the service as app")


def test_a_bus_that_is_away_is_the_first_to_mend(tmp_path: Path) -> None:
    away = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/doct-no-bus"}
    found = doctor(tmp_path, {"web": "doct-web.service"}, env=away)
    assert [(one["name"], one["outcome"]) for one in found] == [("bus", "failed"), ("doct-web.service", "skipped")]


def test_a_trap_is_told_with_file_and_line(tmp_path: Path) -> None:
    write("doct-trap", GOOD)
    drop_ins = UNITS / "doct-trap.service.d"
    drop_ins.mkdir(exist_ok=True)
    (drop_ins / "10-watch dog.conf").write_text("[Service]\n\nWatchdogSec=180\n")
    run("systemctl", "daemon-reload")
    found = [one for one in doctor(tmp_path, {"trap": "doct-trap.service"}) if one["outcome"] == "failed"]
    trap = next(one for one in found if "WatchdogSec" in one["seen"])
    assert trap["seen"].startswith(f"{drop_ins}/10-watch dog.conf:3: WatchdogSec=: without Type=notify")


# That the traps are true: what the text says will happen does.

BASE = "[Service]\nType=exec\nUser=app\nRestart=no\n"
TRUE: Mapping[str, tuple[str, str, str]] = {
    "chdir": ("ProtectHome=yes\nWorkingDirectory=/home/doct\nExecStart=/bin/sleep 9\n", "WorkingDirectory", "200"),
    "emptied": ("ProtectHome=tmpfs\nWorkingDirectory=/home/doct\nExecStart=/bin/sleep 9\n", "WorkingDirectory", "200"),
    "opened-tmpfs": ("ProtectHome=tmpfs\nReadWritePaths=/home/doct\nExecStart=/bin/sleep 9\n", "ReadWritePaths", "226"),
    "exec": ("ProtectHome=yes\nExecStart=/home/doct/sleep 9\n", "ExecStart", "203"),
    "namespace": ("ReadWritePaths=/no/such/place\nExecStart=/bin/sleep 9\n", "ReadWritePaths", "226"),
    "missing": ("ExecStart=/no/such/program\n", "ExecStart", "203"),
}  # fmt: skip


@pytest.mark.parametrize("case", TRUE)
async def test_what_a_trap_says_comes_true(case: str) -> None:
    text, key, status = TRUE[case]
    home = Path("/home/doct")
    home.mkdir(exist_ok=True)
    home.chmod(0o755)
    if not (home / "sleep").exists():
        (home / "sleep").write_bytes(Path("/bin/sleep").read_bytes())
        (home / "sleep").chmod(0o755)
    unit = write(f"doct-true-{case}", BASE + text)
    run("systemctl", "daemon-reload")
    found = [trap for trap in await lint_units({unit: ""}, Scope.SYSTEM) if trap.severity is Severity.TRAP]
    assert [trap.key for trap in found] == [key]
    assert status in found[0].what
    run("systemctl", "start", unit, check=False)
    assert run("systemctl", "show", "-P", "ExecMainStatus", unit) == status


async def test_a_hidden_home_is_not_opened_by_read_write_paths() -> None:
    Path("/home/doct").mkdir(exist_ok=True)
    unit = write("doct-opened", "[Service]\nType=oneshot\nUser=app\nProtectHome=yes\nReadWritePaths=/home/doct\n")
    with (UNITS / unit).open("a") as file:
        file.write("ExecStart=/bin/ls /home/doct\n")
    run("systemctl", "daemon-reload")
    (trap,) = (trap for trap in await lint_units({unit: ""}, Scope.SYSTEM) if trap.severity is Severity.TRAP)
    assert trap.key == "ReadWritePaths"
    assert "remains hidden" in trap.what
    run("systemctl", "start", unit, check=False)
    assert run("systemctl", "show", "-P", "ExecMainStatus", unit) == "2"  # ls: cannot access


@pytest.mark.parametrize("text", [
    "ProtectHome=read-only\nWorkingDirectory=/home/doct\nExecStart=/bin/sleep 9\n",
    "ProtectHome=tmpfs\nBindPaths=/home/doct\nWorkingDirectory=/home/doct\nExecStart=/bin/sleep 9\n",
    "ReadWritePaths=-/no/such/place\nExecStart=/bin/sleep 9\n",
    "RuntimeDirectory=doct-made\nProtectSystem=strict\nReadWritePaths=/run/doct-made\nExecStart=/bin/sleep 9\n",
])  # fmt: skip
async def test_what_is_left_in_peace_starts(text: str) -> None:
    Path("/home/doct").mkdir(exist_ok=True)
    unit = write("doct-fine", BASE + text)
    run("systemctl", "daemon-reload")
    assert [trap for trap in await lint_units({unit: ""}, Scope.SYSTEM) if trap.severity is Severity.TRAP] == []
    run("systemctl", "start", unit)
    run("systemctl", "stop", unit)


async def test_units_that_systemd_does_not_know_have_no_traps() -> None:
    assert await lint_units({"doct-unheard-of.service": ""}, Scope.SYSTEM) == []
    assert await lint_units({}, Scope.SYSTEM) == []
