"""The verbs that do not call the daemon, such as run, check and install."""

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

from opsbot.cli import FAILED, FINE, USAGE
from opsbot.cli.config_location import UsageError, config_path
from opsbot.cli.terminal import plain, to_stderr
from opsbot.messages.logs import RenderingFilter

_STARTING = ("opsbot.config_file", "opsbot.cli.parser", "argparse", "gettext", "difflib")
"""Packages that the daemon needs only during startup."""

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from opsbot.cli.talk import Talk
    from opsbot.config import Config


def demo(args: "Namespace") -> int:
    """`opsbot demo`."""
    from opsbot.demo import run_demo  # noqa: PLC0415 - brings the stand-in, which only this verb needs

    _log_to_stderr(logging.WARNING)
    return asyncio.run(run_demo(args.port))


def run(args: "Namespace") -> int:
    """`opsbot run`."""
    config = loaded(args)
    if config is None:
        return USAGE
    from opsbot.runtime.memory import lean_imports, unload  # noqa: PLC0415 - each verb loads what it needs

    unload(*_STARTING)
    with lean_imports():
        from opsbot.daemon.app import run as run_app  # noqa: PLC0415 - an invalid configuration is reported at once

    _log_to_stderr(logging.INFO)
    return asyncio.run(run_app(config))


def loaded(args: "Namespace") -> "Config | None":
    """Load the configuration; None after printing its problems.

    A separate function, so that no frame keeps its imports alive.
    """
    from opsbot.config_file import ConfigError, load  # noqa: PLC0415 - each verb loads what it needs

    try:
        return load(config_path(args))
    except ConfigError as error:
        _print_problems(error)
        return None


def check(args: "Namespace") -> int:
    """`opsbot check`."""
    config = loaded(args)
    if config is None:
        return USAGE
    print(f"{config.path}: valid; services: {', '.join(config.services)}")
    return FINE


def doctor(args: "Namespace") -> int:
    """`opsbot doctor`."""
    from opsbot.cli import doctor as verb  # noqa: PLC0415 - each verb loads what it needs

    return verb.doctor(args)


def init(args: "Namespace") -> int:
    """`opsbot init`."""
    from opsbot.cli.init import run_init  # noqa: PLC0415 - each verb loads what it needs

    return run_init(args.config)


def install(args: "Namespace") -> int:
    """`opsbot install`."""
    from opsbot.cli.install import run_install  # noqa: PLC0415 - each verb loads what it needs

    return _on_the_host(run_install, args)


def uninstall(args: "Namespace") -> int:
    """`opsbot uninstall`."""
    from opsbot.cli.uninstall import run_uninstall  # noqa: PLC0415 - each verb loads what it needs

    return _on_the_host(run_uninstall, args)


def _on_the_host(verb: "Callable[[Namespace, Talk], int]", args: "Namespace") -> int:
    """Run a verb that changes the host, on this terminal."""
    from opsbot.cli.talk import Talk  # noqa: PLC0415 - each verb loads what it needs
    from opsbot.install.host import HostError  # noqa: PLC0415
    from opsbot.install.texts import TextError  # noqa: PLC0415

    try:
        return verb(args, Talk(sys.stdin, sys.stdout, args.yes))
    except TextError as error:
        raise UsageError(str(error)) from error
    except BrokenPipeError:
        raise  # the reader closed the pipe
    except HostError as error:
        to_stderr(plain(str(error)))
    except OSError as error:
        to_stderr(plain(f"{error.filename}: {error.strerror}"))
    return FAILED


def _print_problems(error: Exception) -> None:
    """Print every problem on a separate line of standard error."""
    for line in str(error).splitlines():
        print(plain(line), file=sys.stderr)


def _log_to_stderr(level: int) -> None:
    # The journal adds timestamps itself; elsewhere (a terminal, a container) each line needs one.
    form = (
        "%(name)s: %(message)s"
        if "JOURNAL_STREAM" in os.environ
        else "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    logging.basicConfig(level=level, format=form, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(RenderingFilter())
    # Suppress messages about jobs and voice libraries at every start.
    for quiet in ("apscheduler", "discord.client", "git"):
        logging.getLogger(quiet).setLevel(max(level, logging.ERROR if quiet == "discord.client" else logging.WARNING))
