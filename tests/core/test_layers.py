"""Which failing check is the cause."""

import pytest

from opsbot.core.layers import FailingCheck, untangle

UNIT, PROCESS, PORT = (
    FailingCheck("unit", "unit", "", "failed"),
    FailingCheck("process", "process", "", "gone"),
    FailingCheck("port", "tcp", "", "refused"),
)
PAGE, API, DISK = (
    FailingCheck("page", "http", "", "no answer"),
    FailingCheck("api", "http", "", "answered 500"),
    FailingCheck("disk", "command", "", "exit status 1"),
)


@pytest.mark.parametrize(
    ("failing", "causes", "consequences"),
    [
        ([PAGE], [PAGE], []),
        ([PAGE, PORT], [PORT], [PAGE]),
        ([DISK, PAGE, API, PORT, PROCESS, UNIT], [UNIT], [PROCESS, PORT, PAGE, API, DISK]),
        ([PAGE, API], [PAGE, API], []),
        ([], [], []),
        (
            [FailingCheck("a", "tcp", "x@1.service", "refused"), FailingCheck("b", "http", "x@2.service", "no answer")],
            None,
            [],
        ),
        (
            [FailingCheck("deaf", "presence", "", "offline"), PAGE],
            [PAGE],
            [FailingCheck("deaf", "presence", "", "offline")],
        ),
    ],
)
def test_the_root_most_check_is_the_cause(
    failing: list[FailingCheck], causes: list[FailingCheck] | None, consequences: list[FailingCheck]
) -> None:
    found = untangle(failing)
    assert found == (tuple(failing if causes is None else causes), tuple(consequences))
