"""`opsbot`: the verbs. Thin: each asks the daemon (or starts one) and prints; the rules are the engine's.

Imports happen where they are needed, so that `opsbot status` starts fast.
"""

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

FINE, FAILED, USAGE, NO_ANSWER, REFUSED = 0, 1, 2, 3, 4
INTERRUPTED = 130
"""What a shell says of a command that SIGINT ended (128 + 2)."""
BROKEN_PIPE = 141
"""What a shell says of a command that SIGPIPE ended (128 + 13)."""

_LOCAL = {
    "check": "opsbot.cli.own",
    "demo": "opsbot.cli.own",
    "doctor": "opsbot.cli.doctor",
    "init": "opsbot.cli.init",
    "install": "opsbot.cli.install",
    "run": "opsbot.cli.own",
    "uninstall": "opsbot.cli.uninstall",
}
"""Verbs that do not call the daemon: the module with the function of that name."""
_FORMER = {"monitor-bot": ("monitor",), "bot-logs": ("logs", "-f")}
"""Commands of the system before opsbot. The others are `bot-VERB`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code."""
    args = _parsed(sys.argv[1:] if argv is None else argv)
    run = _function_of(args.verb)
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


def _function_of(verb: str) -> "Callable[[Namespace], int]":
    """Load what runs a verb. A call of the daemon is over soon: collecting garbage takes an eighth of its time."""
    if verb in _LOCAL:
        found: Callable[[Namespace], int] = getattr(import_module(_LOCAL[verb]), verb)
        return found
    gc.disable()
    from opsbot.cli.ask import run  # noqa: PLC0415 - see above

    gc.freeze()  # what is loaded stays to the end
    gc.enable()
    return run


def _parsed(argv: Sequence[str]) -> "Namespace":
    """The arguments. A separate function: no frame keeps what it imports while a daemon runs.

    A namespace of argparse's own class would keep all of argparse.
    """
    from opsbot.cli.parser import parser  # noqa: PLC0415 - see above

    return cast("Namespace", SimpleNamespace(**vars(parser(*argv[:1]).parse_args(argv))))


def _failure(error: Exception) -> int | None:
    """Say what went wrong; the exit code, None for an error that is opsbot's own."""
    from opsbot.cli.ask import code_of  # noqa: PLC0415 - see above
    from opsbot.cli.config_location import UsageError  # noqa: PLC0415
    from opsbot.cli.terminal import plain, to_stderr  # noqa: PLC0415
    from opsbot.control.client import AnswerError, DaemonUnreachableError  # noqa: PLC0415

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
    from opsbot.config_file import ConfigError  # noqa: PLC0415 - slow to load, and seldom needed

    if isinstance(error, ConfigError):
        for line in str(error).splitlines():
            print(plain(line), file=sys.stderr)
        return USAGE
    return None


def former_command() -> int:
    """Run the verb that a command of the system before opsbot is named after, with the verb's options."""
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 - pathlib is slow to load
    return main([*_FORMER.get(name, (name.removeprefix("bot-"),)), *sys.argv[1:]])
