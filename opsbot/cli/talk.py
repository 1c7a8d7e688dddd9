"""Dialogue and permission checks of `install` and `uninstall`."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from opsbot.cli import FAILED
from opsbot.cli.config_location import UsageError
from opsbot.cli.terminal import plain, to_stderr
from opsbot.config import Scope
from opsbot.install.files import FileChange
from opsbot.install.host import HostError
from opsbot.install.texts import TextError


@dataclass(frozen=True, slots=True)
class Talk:
    """The input and output of the dialogue."""

    hear: TextIO
    say: TextIO
    sure: bool
    """Answer yes to every question except about manual edits (`--yes`)."""

    def show(self, text: str = "") -> None:
        for line in text.splitlines() or [""]:
            print(plain(line), file=self.say)

    def agreed(self, question: str) -> bool:
        """Ask, unless --yes was given.

        Raises:
            UsageError: there is no terminal.
        """
        if self.sure:
            return True
        if not self.hear.isatty():
            raise UsageError("there is no terminal to ask on, nothing was changed; use --yes to skip the question")
        return self._yes(question)

    def gives_up(self, change: FileChange) -> bool:
        """Ask whether to discard manual edits.

        Ignores --yes, because another person may have made them.
        """
        if self.sure or not self.hear.isatty():
            return False
        return self._yes(f"{change.path} was edited manually. Discard these edits?")

    def _yes(self, question: str) -> bool:
        while True:
            print(f"{question} (yes or no): ", end="", file=self.say, flush=True)
            answer = self.hear.readline()
            if not answer or answer.strip().lower() in {"n", "no"}:
                return False
            if answer.strip().lower() in {"y", "yes"}:
                return True


def on_the_host(verb: Callable[[argparse.Namespace, Talk], int], args: argparse.Namespace) -> int:
    """Run a verb that changes the host, on this terminal; its exit code."""
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


def right_person(scope: Scope, verb: str, config: Path | None) -> None:
    """Check that the caller is root, or a plain user in user scope.

    Raises:
        UsageError: another user is required; the message has the command to run.
    """
    named = f" -c {shlex.quote(str(config.absolute()))}" if config is not None else ""
    typed = f"{shlex.quote(str(Path(sys.executable).parent / 'opsbot'))} {verb}{named}"
    if scope is Scope.USER and os.geteuid() == 0:
        raise UsageError(f"these units belong to a user's systemd: {verb} them as that user, without sudo\n  {typed}")
    if scope is Scope.SYSTEM and os.geteuid() != 0:
        does = "writes to" if verb == "install" else "removes from"
        raise UsageError(f"this {does} /etc and requires root. Run:\n  sudo {typed}")


def report_kept(kept: Sequence[FileChange], talk: Talk) -> None:
    for change in kept:
        talk.show(f"Kept with manual edits: {change.path}")
    if kept:
        talk.show("Use a drop-in for changes (systemctl edit opsbot). To restore a file, remove it and run this again.")
