"""A service on a real systemd whose code runs as `app`, and opsbot's side of it run as `opsbot` in a hardened unit."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.fixtures.waiting import until

SERVICE = """\
[Unit]
Description=errand test: the service itself
StartLimitIntervalSec=0
[Service]
User={user}
Group={group}
WorkingDirectory={directory}/current
ExecStart=/bin/sh -c 'echo $$$$ > {directory}/shared/pid; exec sleep 600'
ProtectSystem=strict
ReadWritePaths={directory}
"""

EXAMPLE = "voice-meeting-bot"
"""Whose errand units stand in the folder systemd; `opsbot install` writes those of other services after them."""

RULE = """\
polkit.addRule(function(action, subject) {
    if (subject.user !== "opsbot") return polkit.Result.NOT_HANDLED;
    var services = %(services)s, errands = %(errands)s;
    if (action.id === "org.freedesktop.systemd1.manage-units") {
        var unit = action.lookup("unit"), verb = action.lookup("verb");
        if (services.indexOf(unit) >= 0 && ["start", "stop", "restart", "reset-failed"].indexOf(verb) >= 0)
            return polkit.Result.YES;
        if (errands.indexOf(unit) >= 0 && ["start", "stop", "reset-failed"].indexOf(verb) >= 0)
            return polkit.Result.YES;
    }
    return polkit.Result.NOT_HANDLED;  // other tests have rules of their own; polkit itself lets nobody else
});
"""

OPSBOT = """\
[Service]
Type=exec
User=opsbot
SupplementaryGroups=systemd-journal app
UMask=0027
Environment=PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={here}
WorkingDirectory={here}
StateDirectory=opsbot
StateDirectoryMode=0750
RuntimeDirectory=opsbot-{name}
RuntimeDirectoryMode=0750
ExecStart={python} {script}
StandardOutput=file:{out}
StandardError=file:{out}
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths=/srv {scratch}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=pid
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""

HERE = Path(__file__).resolve().parents[2]


def seen(unit: str) -> str:
    """A unit's text; where this checkout lies below /tmp, as one that sees it there."""
    below = HERE.is_relative_to("/tmp")
    return unit.replace("PrivateTmp=yes", "PrivateTmp=no") if below else unit


def run(*command: str, check: bool = True) -> str:
    """A command, and what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


UNDER_WAY = frozenset({"active", "activating", "deactivating", "reloading"})


class World:
    """One service with its folders, its units and its polkit rule."""

    def __init__(self, name: str, user: str = "app", group: str = "app") -> None:
        """Make all of it, as `opsbot install` does."""
        self.name = name
        self.user, self.group = user, group
        self.directory = Path("/srv") / name
        self.scratch = Path("/var/lib/errt") / name
        shutil.rmtree(self.directory, ignore_errors=True)
        run("usermod", "-aG", "app", "opsbot")
        for folder, mode in ((self.directory, 0o2750), (self.directory / "shared", 0o2770)):
            folder.mkdir(parents=True)
            shutil.chown(folder, "opsbot", "app")
            folder.chmod(mode)
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.scratch.chmod(0o755)
        self.write_units()
        self.until_ruled(allowed=True)

    def until_ruled(self, *, allowed: bool) -> None:
        """Wait until polkit has read the rule, or that it is gone."""
        asked = ("runuser", "-u", "opsbot", "--", "systemctl", "--no-ask-password", "stop", self.errands[0])
        until = time.monotonic() + 20
        while (subprocess.run(asked, capture_output=True, check=False).returncode == 0) is not allowed:
            assert time.monotonic() < until
            time.sleep(0.1)  # between two looks

    @property
    def unit(self) -> str:
        """The service's own unit."""
        return f"{self.name}.service"

    @property
    def errands(self) -> list[str]:
        """Its errand units."""
        return [f"opsbot-{slot}-{self.name}.service" for slot in ("step", "check")]

    def write_units(self) -> None:
        """The service's unit, the two errand units, the rule."""
        units = Path("/etc/systemd/system")
        told = {
            "user": self.user,
            "group": self.group,
            "directory": self.directory,
        }
        (units / self.unit).write_text(SERVICE.format(**told))
        for slot in ("step", "check"):
            text = (HERE / "systemd" / f"opsbot-{slot}-{EXAMPLE}.service").read_text()
            for old, new in (
                (f"User={EXAMPLE}", f"User={self.user}"),
                (f"Group={EXAMPLE}", f"Group={self.group}"),
                (f"/srv/{EXAMPLE}", str(self.directory)),
                ("/opt/opsbot/.venv/bin/python", sys.executable),
            ):
                assert old in text
                text = text.replace(old, new)
            (units / f"opsbot-{slot}-{self.name}.service").write_text(seen(text))
        rule = RULE % {"services": json.dumps([self.unit]), "errands": json.dumps(self.errands)}
        Path(f"/etc/polkit-1/rules.d/10-{self.name}.rules").write_text(rule)
        run("systemctl", "daemon-reload")

    def script(self, text: str) -> Path:
        """A program for opsbot's side; what it needs is in `opsbots`."""
        path = self.scratch / "script.py"
        path.write_text(PREFACE.format(name=self.name, user=self.user, here=HERE) + dedent(text))
        return path

    async def opsbot(self, text: str, within: float = 60) -> dict[str, Any]:
        """Run it as user opsbot in a unit as hard as opsbot's own; the last line it printed, as JSON."""
        out = await self.begin(text)
        await until(
            lambda: run("systemctl", "is-active", f"errt-opsbot-{self.name}", check=False) not in UNDER_WAY, within
        )
        said = out.read_text()
        try:
            found = json.loads(said.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise AssertionError(said) from None
        assert isinstance(found, dict), said
        return found

    async def begin(self, text: str) -> Path:
        """Start it; the file it prints to."""
        out = self.scratch / "out"
        out.write_text("")
        unit = Path(f"/etc/systemd/system/errt-opsbot-{self.name}.service")
        # A RuntimeDirectory of its own: systemd removes it when a unit ends, and one beside it that is just being
        # started with the same would fail (226/NAMESPACE).
        scratch = f"-{self.scratch}"
        told = {
            "name": self.name,
            "here": HERE,
            "python": sys.executable,
            "script": self.script(text),
            "out": out,
            "scratch": scratch,
        }
        unit.write_text(seen(OPSBOT.format(**told)))
        run("systemctl", "daemon-reload")
        run("systemctl", "reset-failed", unit.name, check=False)
        run("systemctl", "start", unit.name)
        return out

    def end(self) -> None:
        """Stop what runs."""
        run("systemctl", "stop", self.unit, *self.errands, f"errt-opsbot-{self.name}.service", check=False)


PREFACE = """\
import asyncio, json, os, sys, time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from opsbot.config import *
from opsbot.services.run_as import ErrandError, Ended, Slot
from opsbot.services.systemd.bus import SystemdBus, BusError, Verb
from opsbot.services.systemd.run_as import UnitErrands
from opsbot.deploy.steps import RunAsSteps, steps_of
from opsbot.messages import render

NAME = "{name}"
DIRECTORY = Path("/srv") / NAME
SERVICE = Service(NAME, ManagerKind.SYSTEMD, units=(NAME + ".service",), source=Source("unused", DIRECTORY))
OUT = Path("/var/lib/opsbot/out") / NAME


def main(story):
    async def told():
        async with asyncio.timeout(100):
            bus = SystemdBus()
            await bus.open()
            try:
                return await story(UnitErrands(bus, {{NAME: SERVICE}}), bus)
            finally:
                await bus.close()

    print(json.dumps(asyncio.run(told())), flush=True)


def words(result):
    told = {{"ok": result.ok, "text": render(result.ending), "tail": result.tail, "lasting": result.lasting}}
    return {{**told, "full": result.no_space}}


async def step(errands, *command, seconds=30.0, directory=DIRECTORY, service=SERVICE, **extra):
    output = OUT / "1.log"
    result = await RunAsSteps(DIRECTORY, "", errands, service).run(
        command, directory=directory, extra=extra, timeout=timedelta(seconds=seconds), output=output
    )
    return words(result)
"""
