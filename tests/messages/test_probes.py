from datetime import timedelta

import pytest

from opsbot.core import exits
from opsbot.core.health import ProbeCode
from opsbot.core.message import Message, message
from opsbot.messages import render

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (message(ProbeCode.HTTP_STATUS, status=200), "answered 200"),
        (
            message(ProbeCode.HTTP_UNEXPECTED_STATUS, status=500, expected="200-399"),
            "answered 500, expected 200-399",
        ),
        (message(ProbeCode.NO_ANSWER, within=timedelta(seconds=3)), "no answer within 3 s"),
        (
            message(ProbeCode.MEMORY_ABOVE_LIMIT, pids=(7,), used=80 * MIB, limit=64 * MIB),
            "process 7 and its children use 80.0 MiB of memory, more than 64.0 MiB",
        ),
        (
            message(ProbeCode.MEMORY_USED, pids=(7, 8), used=80 * MIB),
            "processes 7, 8 and their children use 80.0 MiB of memory",
        ),
        (
            message(ProbeCode.COMMAND_PRINTED, exit=exits.of_status(3 << 8), last="no space left"),
            "exit 3: no space left",
        ),
        (
            message(
                ProbeCode.UNITS,
                seen=(
                    message(ProbeCode.OF_UNIT, unit="a@1", seen=message(ProbeCode.PROCESS_RUNNING, pid=7)),
                    message(ProbeCode.OF_UNIT, unit="a@2", seen=message(ProbeCode.ACTIVITY, activity="stopped")),
                ),
            ),
            "a@1: process 7 is running; a@2: stopped",
        ),
    ],
)
def test_a_probe_result_in_words(seen: Message, text: str) -> None:
    assert render(seen) == text
