"""Reads the state of units with `systemctl show`, for the command line without a daemon. Blocks."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opsbot.config import Scope, Service
from opsbot.core.exits import ExitCode
from opsbot.core.manager_codes import ManagerCode
from opsbot.core.message import message
from opsbot.services.port import Activity, ManagerError, ServiceState
from opsbot.services.systemd import memory
from opsbot.services.systemd.several import together
from opsbot.services.systemd.tracker import Tracker
from opsbot.services.systemd.unit import UnitFacts

TIME_LIMIT = 5.0
"""Seconds for systemctl, which usually takes tens of milliseconds."""
_ASKED = (
    *("Id", "LoadState", "ActiveState", "SubState", "Job", "InvocationID", "ActiveEnterTimestamp", "MainPID"),
    *("NRestarts", "ExecMainCode", "ExecMainStatus", "ExecMainStartTimestamp", "Result", "ControlGroup"),
)


def query_state(service: Service, scope: Scope, remembered: Path) -> ServiceState:
    """The state of a service now. remembered: the daemon's `units.json`.

    Raises:
        ManagerError: systemctl cannot be run, or systemd does not answer.
    """
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
    """The properties of each unit, in the same order: systemctl prints blocks separated by empty lines."""
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
    at = found.get("ExecMainStartTimestamp", "")
    facts = UnitFacts(
        load=found.get("LoadState", ""),
        active=found.get("ActiveState", ""),
        sub=found.get("SubState", ""),
        job=found.get("Job", "0") not in {"", "0"},
        run=found.get("InvocationID", ""),
        ever_active=found.get("ActiveEnterTimestamp", "") not in {"", "0", "@0"},
        result=found.get("Result", "success"),
        cgroup=found.get("ControlGroup", ""),
        started_at=datetime.fromtimestamp(int(at[1:]), UTC) if at.startswith("@") and at != "@0" else None,
    )
    return replace(
        facts,
        pid=_number(found, "MainPID"),
        restarts=_number(found, "NRestarts"),
        code=_number(found, "ExecMainCode"),
        status=_number(found, "ExecMainStatus"),
    )


def _number(found: Mapping[str, str], name: str) -> int:
    text = found.get(name, "")
    return int(text) if text.isdecimal() else 0


def unknown(error: ManagerError) -> ServiceState:
    return ServiceState(Activity.STOPPED, exit=message(ExitCode.STATE_UNAVAILABLE, error=error.message))
