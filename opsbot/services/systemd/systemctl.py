"""Reads units by `systemctl show`, for the CLI without a daemon. Blocks."""

import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from opsbot.config import Scope, Service
from opsbot.core.exits import ExitCode
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.port import Activity, ManagerError, ServiceState
from opsbot.services.systemd import memory
from opsbot.services.systemd.names import NO_JOB
from opsbot.services.systemd.several import together
from opsbot.services.systemd.tracker import Tracker
from opsbot.services.systemd.unit import UnitFacts

TIME_LIMIT = 5.0
"""Seconds for systemctl, which usually takes tens of milliseconds."""
_TEXTS = ("LoadState", "ActiveState", "SubState", "Result", "ControlGroup")
_NUMBERS = ("MainPID", "NRestarts", "ExecMainCode", "ExecMainStatus")
_TIMES = ("ActiveEnterTimestamp", "ExecMainStartTimestamp")
_ASKED = (*_TEXTS, *_NUMBERS, *_TIMES, "Job", "InvocationID")


def query_state(service: Service, scope: Scope, remembered: Path) -> ServiceState:
    """The state of a service now. remembered: the daemon's `units.json`."""
    last = memory.load(remembered)
    parts = []
    for unit, found in zip(service.units, _show(service.units, scope), strict=True):
        tracker, facts = Tracker(unit, lambda *_: None), _facts(found)
        known = last.get(unit)
        by_hand = known is not None and known.by_hand and (known.run == facts.run or not facts.ever_active)
        tracker.begin(facts, by_hand=by_hand or facts.load == "masked")
        parts.append((unit, tracker.state()))
    return parts[0][1] if len(parts) == 1 else together(parts)


def _show(units: Sequence[str], scope: Scope) -> list[Mapping[str, str]]:
    """The properties of each unit, in order, from blocks separated by empty lines."""
    own = ["--user"] if scope is Scope.USER else []
    command = ["systemctl", *own, "show", "--timestamp=unix", f"--property={','.join(_ASKED)}", "--", *units]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    except FileNotFoundError as error:
        raise ManagerError(message(ManagerCode.NO_SYSTEMCTL)) from error
    except subprocess.TimeoutExpired as error:
        why = message(ManagerCode.SYSTEMCTL_TIMEOUT, within=timedelta(seconds=TIME_LIMIT))
        raise ManagerError(why, retry=True) from error
    blocks = [block for block in done.stdout.split("\n\n") if block.strip()]
    if done.returncode != 0 or len(blocks) != len(units):
        said = done.stderr.strip().splitlines()
        if said:
            raise ManagerError(message(ManagerCode.SYSTEMCTL_FAILED, reason=said[-1]))
        exit_code = message(ExitCode.STATUS, status=done.returncode)
        raise ManagerError(message(ManagerCode.SYSTEMCTL_EXITED, exit=exit_code))
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


def _facts(found: Mapping[str, str]) -> UnitFacts:
    values: dict[str, Any] = {name: text for name in _TEXTS if (text := found.get(name))}
    values |= {name: int(text) for name in _NUMBERS if (text := found.get(name, "")).isdecimal()}
    values |= {name: int(text[1:]) * 1_000_000 for name in _TIMES if (text := found.get(name, "")).startswith("@")}
    job, run = found.get("Job", "0"), found.get("InvocationID", "")
    return UnitFacts().changed(
        values | {"Job": (0, NO_JOB if job in {"", "0"} else job), "InvocationID": bytes.fromhex(run)}
    )


def unknown(error: ManagerError) -> ServiceState:
    return ServiceState(Activity.STOPPED, exit=message(ExitCode.STATE_UNAVAILABLE, error=error.message))
