"""`opsbot`: the verbs. Thin: each asks the daemon (or starts one) and prints; the rules are the engine's.

Imports happen where they are needed, so that `opsbot status` starts fast.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from argparse import Namespace

FINE, FAILED, USAGE, NO_ANSWER, REFUSED = 0, 1, 2, 3, 4
INTERRUPTED = 130
"""What a shell says of a command that SIGINT ended (128 + 2)."""
BROKEN_PIPE = 141
"""What a shell says of a command that SIGPIPE ended (128 + 13)."""

_OWN = frozenset({"demo", "run", "check", "doctor", "init", "install", "uninstall"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code."""
    args = _parsed(argv)
    module = import_module("opsbot.cli.own" if args.verb in _OWN else "opsbot.cli.ask")
    run = getattr(module, args.verb if args.verb in _OWN else "run")
    try:
        code = int(run(args))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`). Nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        failure = _failure(error)
        if failure is None:
            raise
        return failure
    return code


def _parsed(argv: Sequence[str] | None) -> "Namespace":
    """The arguments. A function of its own: no frame keeps what it imports while a daemon runs.

    A namespace of argparse's own class would keep all of argparse.
    """
    from opsbot.cli.parser import parser  # noqa: PLC0415 - see above

    return cast("Namespace", SimpleNamespace(**vars(parser().parse_args(argv))))


def _failure(error: Exception) -> int | None:
    """Say what went wrong; the exit code, None for an error that is opsbot's own."""
    from opsbot.cli.ask import code_of  # noqa: PLC0415 - see above
    from opsbot.cli.client import AnswerError, DaemonUnreachableError  # noqa: PLC0415
    from opsbot.cli.config_location import UsageError  # noqa: PLC0415
    from opsbot.cli.terminal import plain, to_stderr  # noqa: PLC0415

    if isinstance(error, DaemonUnreachableError):
        to_stderr(f"{plain(str(error))}. Is it running? systemctl status opsbot")
        return NO_ANSWER
    if isinstance(error, AnswerError):
        to_stderr(plain(str(error)))
        return code_of(error)
    if isinstance(error, UsageError):
        for line in str(error).splitlines():
            to_stderr(plain(line))
        return USAGE
    return None


# The old system's names. Each takes the options of the verb it stands for.


def monitor_bot() -> int:
    """`monitor-bot`: opsbot monitor."""
    return main(["monitor", *sys.argv[1:]])


def bot_restart() -> int:
    """`bot-restart`: opsbot restart."""
    return main(["restart", *sys.argv[1:]])


def bot_status() -> int:
    """`bot-status`: opsbot status."""
    return main(["status", *sys.argv[1:]])


def bot_logs() -> int:
    """`bot-logs`: opsbot logs -f."""
    return main(["logs", "-f", *sys.argv[1:]])


def bot_update() -> int:
    """`bot-update`: opsbot update."""
    return main(["update", *sys.argv[1:]])


def bot_health() -> int:
    """`bot-health`: opsbot health."""
    return main(["health", *sys.argv[1:]])
