"""Which failing check is the cause."""

import pytest

from opsbot.core.dependencies import FailingCheck, untangle
from opsbot.core.message import plain


def failing(name: str, kind: str, unit: str, seen: str) -> FailingCheck:
    return FailingCheck(name, kind, unit, plain(seen))


UNIT, PROCESS, PORT = (
    failing("unit", "unit", "", "failed"),
    failing("process", "process", "", "gone"),
    failing("port", "tcp", "", "refused"),
)
PAGE, API, DISK = (
    failing("page", "http", "", "no answer"),
    failing("api", "http", "", "answered 500"),
    failing("disk", "command", "", "exit status 1"),
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
                failing("a", "tcp", "x@1.service", "refused"),
                failing("b", "http", "x@2.service", "no answer"),
            ],
            None,
            [],
        ),
        (
            [failing("deaf", "presence", "", "offline"), PAGE],
            [PAGE],
            [failing("deaf", "presence", "", "offline")],
        ),
    ],
)
def test_the_root_most_check_is_the_cause(
    failing: list[FailingCheck], causes: list[FailingCheck] | None, consequences: list[FailingCheck]
) -> None:
    found = untangle(failing)
    assert found == (tuple(failing if causes is None else causes), tuple(consequences))
