"""Which failing check is the cause."""

import pytest

from opsbot.core.layers import FailingCheck, untangle
from opsbot.core.message import plain

UNIT, PROCESS, PORT = (
    FailingCheck("unit", "unit", "", plain("failed")),
    FailingCheck("process", "process", "", plain("gone")),
    FailingCheck("port", "tcp", "", plain("refused")),
)
PAGE, API, DISK = (
    FailingCheck("page", "http", "", plain("no answer")),
    FailingCheck("api", "http", "", plain("answered 500")),
    FailingCheck("disk", "command", "", plain("exit status 1")),
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
            [
                FailingCheck("a", "tcp", "x@1.service", plain("refused")),
                FailingCheck("b", "http", "x@2.service", plain("no answer")),
            ],
            None,
            [],
        ),
        (
            [FailingCheck("deaf", "presence", "", plain("offline")), PAGE],
            [PAGE],
            [FailingCheck("deaf", "presence", "", plain("offline"))],
        ),
    ],
)
def test_the_root_most_check_is_the_cause(
    failing: list[FailingCheck], causes: list[FailingCheck] | None, consequences: list[FailingCheck]
) -> None:
    found = untangle(failing)
    assert found == (tuple(failing if causes is None else causes), tuple(consequences))
