"""The verbs run, check and demo."""

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

from opsbot.cli import FINE
from opsbot.cli.config_location import config_path
from opsbot.messages.logs import RenderingFilter

_STARTING = ("opsbot.config_file", "opsbot.cli.parser", "argparse", "gettext", "difflib")
"""Packages that the daemon needs only during startup."""

if TYPE_CHECKING:
    from argparse import Namespace

    from opsbot.config import Config


def demo(args: "Namespace") -> int:
    from opsbot.demo import run_demo  # noqa: PLC0415 - brings the stand-in, which only this verb needs

    _log_to_stderr(logging.WARNING)
    return asyncio.run(run_demo(args.port))


def run(args: "Namespace") -> int:
    config = loaded(args)
    from opsbot.runtime.memory import lean_imports, unload  # noqa: PLC0415 - each verb loads what it needs

    unload(*_STARTING)
    with lean_imports():
        from opsbot.daemon.app import run as run_app  # noqa: PLC0415 - an invalid configuration is reported at once

    _log_to_stderr(logging.INFO)
    return asyncio.run(run_app(config))


def loaded(args: "Namespace") -> "Config":
    """Load the configuration. A separate function, so that no frame keeps its imports alive.

    Raises:
        ConfigError: it has problems.
    """
    from opsbot.config_file import load  # noqa: PLC0415 - each verb loads what it needs

    return load(config_path(args))


def check(args: "Namespace") -> int:
    config = loaded(args)
    print(f"{config.path}: valid; services: {', '.join(config.services)}")
    return FINE


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
