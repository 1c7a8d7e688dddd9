"""What bites in a unit file is found, with its line; what is right is left in peace."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from opsbot.units.finding import LintFacts, LintFinding, Severity
from opsbot.units.lint import lint_unit
from opsbot.units.unit_file import UnitText, parse

SHIPPED = Path(__file__).parents[2] / "systemd"

SEED = """\
[Unit]
Description=Voice Meeting Discord Bot
Documentation=https://example.com/voice-meeting-bot
After=network.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=simple
User=ubuntu
Group=ubuntu
WorkingDirectory=/home/ubuntu/voice-meeting-bot/node-bot
EnvironmentFile=/home/ubuntu/voice-meeting-bot/.env
ExecStart=/usr/bin/node index.js
Restart=always
RestartSec=5
TimeoutStopSec=15
WatchdogSec=180
MemoryLimit=512M
CPUQuota=80%
NoNewPrivileges=true
PrivateTmp=false
ProtectSystem=strict
ProtectHome=true
ReadWritePaths=/home/ubuntu/voice-meeting-bot
ReadWritePaths=/tmp/voice-meeting-bot
StandardOutput=journal
StandardError=journal

[Install]
WantedBy=multi-user.target
"""
"""The unit of the system that opsbot replaces, as it was committed."""

GOOD = """\
[Unit]
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=10min
StartLimitBurst=5

[Service]
Type=notify
User=app
Group=app
WorkingDirectory=/srv/app/current/node-bot
ExecStart=/usr/bin/node index.js
Restart=on-failure
RestartSec=2
WatchdogSec=30
ProtectHome=yes
ProtectSystem=strict
ReadWritePaths=/srv/app/shared -/tmp/app
MemoryMax=400M
KillMode=mixed

[Install]
WantedBy=multi-user.target
"""


def found(text: str, facts: LintFacts | None = None, *drop_ins: str) -> list[LintFinding]:
    files = [UnitText("/etc/systemd/system/app.service", text)]
    files += [UnitText(f"/etc/systemd/system/app.service.d/{n}0.conf", t) for n, t in enumerate(drop_ins, 1)]
    return lint_unit(parse("app.service", files), facts or LintFacts())


def keys(all_of: list[LintFinding]) -> set[tuple[str, int]]:
    return {(trap.key, trap.line) for trap in all_of if trap.severity is Severity.TRAP}


def test_the_seeds_own_unit() -> None:
    missing = frozenset({"/tmp/voice-meeting-bot"})
    told = found(SEED, LintFacts(missing=missing, memory=1024**3))
    assert keys(told) == {
        ("WatchdogSec", 18),
        ("WorkingDirectory", 12),
        ("ReadWritePaths", 25),
        ("ReadWritePaths", 26),
        ("StartLimitIntervalSec", 6),
        ("Wants", 5),
    }
    assert {(trap.key, trap.line) for trap in told} - keys(told) == {("MemoryLimit", 19)}
    texts = {trap.key: str(trap) for trap in told}
    assert "every 3m with SIGABRT" in texts["WatchdogSec"]
    assert "200/CHDIR" in texts["WorkingDirectory"]
    assert "17,280 times a day" in texts["StartLimitIntervalSec"]
    assert str(told[0]).startswith("/etc/systemd/system/app.service:18: WatchdogSec=: ")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.service")), ids=lambda path: path.name)
def test_what_opsbot_ships_does_not_bite(path: Path) -> None:
    facts = LintFacts(user="-user" in path.name)
    told = lint_unit(parse(path.name, [UnitText(str(path), path.read_text())]), facts)
    # The services that opsbot supervises itself are its children, and are meant to outlive it.
    meant = {"KillMode"} if path.name.startswith("opsbot") else set()
    assert [str(trap) for trap in told if trap.severity is Severity.TRAP and trap.key not in meant] == []


def test_a_good_unit_has_none() -> None:
    assert found(GOOD, LintFacts(source="/srv/app", memory=1024**3, missing=frozenset({"/tmp/app"}))) == []


BASE = "[Service]\nUser=app\nRestart=always\nExecStart=/bin/app\n"
CASES: Mapping[str, tuple[str, str, int, Severity]] = {
    "watchdog": (BASE + "WatchdogSec=3min\n", "WatchdogSec", 5, Severity.TRAP),
    "watchdog unheard": (BASE + "Type=notify\nWatchdogSec=9\nNotifyAccess=none\n", "NotifyAccess", 7, Severity.TRAP),
    "home of a program": (BASE + "ProtectHome=yes\nExecStart=\nExecStart=/home/a/x\n", "ExecStart", 7, Severity.TRAP),
    "home emptied": (BASE + "ProtectHome=tmpfs\nWorkingDirectory=/root/x\n", "WorkingDirectory", 6, Severity.TRAP),
    "home of the run": (BASE + "ProtectHome=1\nWorkingDirectory=/run/user/7\n", "WorkingDirectory", 6, Severity.TRAP),
    "node": (
        BASE + "ExecStart=\nExecStart=/usr/bin/env -S node x.js\nMemoryDenyWriteExecute=on\n",
        "MemoryDenyWriteExecute",
        7,
        Severity.TRAP,
    ),
    "endless": ("[Unit]\nStartLimitIntervalSec=0\n" + BASE, "StartLimitIntervalSec", 2, Severity.TRAP),
    "online": ("[Unit]\nWants=network-online.target\nAfter=network.target\n" + BASE, "Wants", 2, Severity.TRAP),
    "misplaced": (BASE + "StartLimitIntervalSec=1h\n", "StartLimitIntervalSec", 5, Severity.TRAP),
    "misplaced order": (BASE + "After=b.service\n", "After", 5, Severity.TRAP),
    "misplaced restart": (BASE + "[Install]\nRestartSec=3\n", "RestartSec", 6, Severity.TRAP),
    "old place": (BASE + "StartLimitBurst=3\n", "StartLimitBurst", 5, Severity.NOTE),
    "old limit": (BASE + "CPUShares=3\n", "CPUShares", 5, Severity.NOTE),
    "old block": (BASE + "BlockIOWeight=3\n", "BlockIOWeight", 5, Severity.NOTE),
    "old root": (BASE + "PermissionsStartOnly=yes\n", "PermissionsStartOnly", 5, Severity.NOTE),
    "syslog": (BASE + "StandardOutput=syslog\n", "StandardOutput", 5, Severity.NOTE),
    "kill none": (BASE + "KillMode=none\n", "KillMode", 5, Severity.TRAP),
    "kill process": (BASE + "KillMode=process\n", "KillMode", 5, Severity.TRAP),
    "forking": (BASE + "Type=forking\n", "Type", 5, Severity.TRAP),
    "root": ("[Unit]\n[Service]\nRestart=always\nExecStart=/bin/app\n", "User", 2, Severity.TRAP),
    "root by name": (BASE + "User=root\n", "User", 5, Severity.TRAP),
    "no restart": ("[Service]\nUser=app\nExecStart=/bin/app\n", "Restart", 1, Severity.NOTE),
    "restart off": (BASE + "Restart=no\n", "Restart", 5, Severity.NOTE),
}


@pytest.mark.parametrize("case", CASES)
def test_each_trap_is_found_at_its_line(case: str) -> None:
    text, key, line, severity = CASES[case]
    told = found(text)
    assert [(trap.key, trap.line, trap.severity) for trap in told] == [(key, line, severity)]
    assert told[0].what
    assert told[0].fix


FINE: Mapping[str, str] = {
    "as it is": BASE,
    "no watchdog": BASE + "WatchdogSec=0\n",
    "a watchdog that is fed": BASE + "WatchdogSec=5\nType=notify\n",
    "reset by a drop-in": BASE + "WatchdogSec=5\nWatchdogSec=\n",
    "read-only homes": BASE + "ProtectHome=read-only\nWorkingDirectory=/home/a\n",
    "bound homes": BASE + "ProtectHome=tmpfs\nBindPaths=/home/a:/home/a\nWorkingDirectory=/home/a/b\n",
    "a forgiven directory": BASE + "ProtectHome=yes\nWorkingDirectory=-/home/a\n",
    "homely by name only": BASE + "ProtectHome=yes\nWorkingDirectory=/homestead\n",
    "python under W^X": BASE + "MemoryDenyWriteExecute=yes\n",
    "slow for ever": "[Unit]\nStartLimitIntervalSec=0\n" + BASE + "RestartSec=2min\n",
    "never restarted": "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nUser=a\nExecStart=/bin/a\n",
    "forking, told": BASE + "Type=forking\nPIDFile=/run/a.pid\n",
    "dynamic": "[Service]\nDynamicUser=yes\nRestart=always\nExecStart=/bin/app\n",
}


@pytest.mark.parametrize("case", FINE)
def test_what_is_right_is_left_in_peace(case: str) -> None:
    assert found(FINE[case]) == []


def test_a_drop_in_is_named_where_it_sets_the_trap() -> None:
    (trap,) = found(BASE, None, "[Service]\n\nWatchdogSec=10\n")
    assert (trap.path, trap.line) == ("/etc/systemd/system/app.service.d/10.conf", 3)


RELEASES: Mapping[str, tuple[str, list[tuple[str, Severity]]]] = {
    "through current": ("WorkingDirectory=/srv/app/current\n", []),
    "started from current": ("ExecStart=\nExecStart=/srv/app/current/run\n", []),
    "beside it": ("WorkingDirectory=/opt/app\n", [("WorkingDirectory", Severity.TRAP)]),
    "not at all": ("", [("WorkingDirectory", Severity.TRAP)]),
    "one release": (
        "WorkingDirectory=/srv/app/current\nExecStart=\nExecStart=/srv/app/releases/1/run\n",
        [("ExecStart", Severity.TRAP)],
    ),
    "current, from elsewhere": (
        "WorkingDirectory=/var/lib/app\nExecStart=\nExecStart=/usr/bin/python3 /srv/app/current/run.py\n",
        [("WorkingDirectory", Severity.NOTE)],
    ),
}


@pytest.mark.parametrize("case", RELEASES)
def test_a_unit_must_lead_through_current(case: str) -> None:
    text, told = RELEASES[case]
    assert [(trap.key, trap.severity) for trap in found(BASE + text, LintFacts(source="/srv/app"))] == told


def test_what_is_missing() -> None:
    facts = LintFacts(missing=frozenset({"/bin/app", "/tmp/x"}), memory=512 * 1024**2)
    told = found(BASE + "ReadWritePaths=/tmp/x -/tmp/x /tmp\n", facts)
    assert [(trap.key, trap.line, trap.severity) for trap in told] == [
        ("ReadWritePaths", 5, Severity.TRAP),
        ("ExecStart", 4, Severity.TRAP),
        ("MemoryMax", 1, Severity.NOTE),
    ]


def test_what_a_start_or_a_deploy_makes_may_be_missing() -> None:
    text = BASE + "RuntimeDirectory=app\nReadWritePaths=/run/app/x\nExecStart=/srv/app/current/run\n"
    facts = LintFacts(source="/srv/app", missing=frozenset({"/run/app/x", "/srv/app/current/run"}))
    assert found(text, facts) == []


def test_a_script_whose_first_line_names_node() -> None:
    facts = LintFacts(interpreters={"/bin/app": "/usr/bin/node"})
    assert [trap.key for trap in found(BASE + "MemoryDenyWriteExecute=yes\n", facts)] == ["MemoryDenyWriteExecute"]


def test_a_users_own_systemd_has_traps_of_its_own() -> None:
    text = "[Unit]\nAfter=network-online.target\n[Service]\nRestart=always\nExecStart=/home/a/app\nProtectHome=yes\n"
    assert [(t.key, t.severity) for t in found(text, LintFacts(user=True))] == [("After", Severity.NOTE)]
