"""Which failing check is the cause."""

import pytest

from opsbot.core.layers import Failing, untangle

UNIT, PROCESS, PORT = (
    Failing("unit", "unit", "", "failed"),
    Failing("process", "process", "", "gone"),
    Failing("port", "tcp", "", "refused"),
)
PAGE, API, DISK = (
    Failing("page", "http", "", "no answer"),
    Failing("api", "http", "", "answered 500"),
    Failing("disk", "command", "", "exit status 1"),
)


@pytest.mark.parametrize(
    ("failing", "causes", "consequences"),
    [
        ([PAGE], [PAGE], []),
        ([PAGE, PORT], [PORT], [PAGE]),
        ([DISK, PAGE, API, PORT, PROCESS, UNIT], [UNIT], [PROCESS, PORT, PAGE, API, DISK]),
        ([PAGE, API], [PAGE, API], []),
        ([], [], []),
        ([Failing("a", "tcp", "x@1.service", "refused"), Failing("b", "http", "x@2.service", "no answer")], None, []),
        ([Failing("deaf", "presence", "", "offline"), PAGE], [PAGE], [Failing("deaf", "presence", "", "offline")]),
    ],
)
def test_the_root_most_check_is_the_cause(
    failing: list[Failing], causes: list[Failing] | None, consequences: list[Failing]
) -> None:
    found = untangle(failing)
    assert found == (tuple(failing if causes is None else causes), tuple(consequences))
