"""Dialogue of `init`, `install` and `uninstall`; permission checks of the latter two."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from opsbot.cli import FAILED
from opsbot.cli.config_location import UsageError
from opsbot.cli.terminal import plain, to_stderr
from opsbot.config import Scope
from opsbot.config_file.kinds import WrongError
from opsbot.config_file.leaks import secrets_in
from opsbot.install.files import FileChange
from opsbot.install.host import HostError
from opsbot.install.texts import TextError


class ClosedError(Exception):
    """The input has ended."""


@dataclass(frozen=True, slots=True)
class Talk:
    """The input and output of the dialogue."""

    hear: TextIO
    say: TextIO
    sure: bool = False
    """Answer yes to every question except about manual edits (`--yes`)."""

    def show(self, text: str = "") -> None:
        for line in text.splitlines() or [""]:
            print(plain(line), file=self.say)

    def ask(self, question: str, read: Callable[[str], Any], default: str | None = None) -> Any:
        """Return the answer parsed by `read`; ask again while it raises WrongError.

        An empty answer selects the default; without one (None) the question is repeated.

        Raises:
            ClosedError: the input has ended.
        """
        prompt = f"{question} [{default}]: " if default else f"{question}: "
        while True:
            print(prompt, end="", file=self.say, flush=True)
            line = self.hear.readline()
            if not line:
                self.show()
                raise ClosedError
            answer = line.strip() or default
            if answer is None:
                self.show("  An answer is required.")
                continue
            try:
                if secrets_in(answer):
                    raise WrongError("this is a secret; enter only its location, and keep it out of the file")  # noqa: TRY301
                return read(answer)
            except WrongError as error:
                self.show(f"  {error}")

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
        try:
            return bool(self.ask(f"{question} (yes or no)", yes_or_no))
        except ClosedError:
            return False


def yes_or_no(answer: str) -> bool:
    if answer.lower() not in {"y", "yes", "n", "no"}:
        raise WrongError("answer yes or no")
    return answer.lower() in {"y", "yes"}


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
