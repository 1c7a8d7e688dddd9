"""How runs end: as the kernel and systemd tell it, as it is kept, and in words."""

import json
import signal
from pathlib import Path

import pytest

from opsbot.core import exits
from opsbot.core.exits import ExitCode
from opsbot.core.message import Message, message
from opsbot.messages import render
from opsbot.services import run_record
from opsbot.services.run_record import RunRecord
from opsbot.services.systemd.unit import UnitFacts

EXITED, KILLED = 1, 2


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "exit 0"),
        (3 << 8, "exit 3"),
        (signal.SIGKILL, "killed by SIGKILL"),
        (126, "killed by signal 126"),
        (None, "ended, cause unknown"),
    ],
)
def test_a_status_of_wait_in_words(status: int | None, text: str) -> None:
    assert render(exits.of_status(status)) == text


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (UnitFacts(), ""),
        (UnitFacts(code=EXITED, status=1, result="exit-code"), "exit 1"),
        (UnitFacts(code=KILLED, status=9, result="signal"), "killed by SIGKILL"),
        (UnitFacts(code=KILLED, status=9, result="oom-kill"), "killed by SIGKILL: out of memory"),
        (
            UnitFacts(code=EXITED, status=1, result="start-limit-hit"),
            "exit 1: it was started too often in too short a time (StartLimitBurst=)",
        ),
        (
            UnitFacts(code=EXITED, status=203, result="exit-code"),
            "exit 203 (EXEC: its command does not exist, or is not executable)",
        ),
        (
            UnitFacts(code=EXITED, status=1, result="resources"),
            "systemd could not set it up: a file of EnvironmentFile= or a credential may be missing",
        ),
        (UnitFacts(result="brand-new"), "brand-new"),
        (UnitFacts(load="not-found"), "the unit does not exist"),
        (UnitFacts(load="not-found", active="active", code=EXITED, status=2), "exit 2"),
    ],
)
def test_how_a_unit_ended_in_words(facts: UnitFacts, text: str) -> None:
    assert render(facts.exit()) == text


def test_of_several_units_each_end_is_named() -> None:
    ends = [exits.of_unit(unit, exits.of_status(1 << 8)) for unit in ("a@1.service", "a@2.service")]

    assert exits.of_unit("a@3.service", None) is None
    assert exits.of_units([]) is None
    assert render(exits.of_units([end for end in ends if end])) == "a@1.service: exit 1; a@2.service: exit 1"


@pytest.mark.parametrize("end", [None, message(ExitCode.SIGNAL, signal="SIGKILL")])
def test_the_run_record_keeps_how_the_last_run_ended(tmp_path: Path, end: Message | None) -> None:
    run_record.save(tmp_path, RunRecord(wanted=True, exit=end), lasting=False)

    assert run_record.load(tmp_path) == RunRecord(wanted=True, exit=end)


@pytest.mark.parametrize("kept", ["", "exit status 1"])
def test_a_record_of_an_earlier_version_is_shown_in_its_words(tmp_path: Path, kept: str) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"wanted": True, "exit": kept}))

    record = run_record.load(tmp_path)

    assert record is not None
    assert record.wanted
    assert render(record.exit) == kept
