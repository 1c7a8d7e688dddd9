"""What `install` and `uninstall` say and ask, and who may type them."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from opsbot.cli.config_location import UsageError
from opsbot.cli.terminal import plain
from opsbot.config import Scope
from opsbot.install.files import FileChange


@dataclass(frozen=True, slots=True)
class Talk:
    """Who is asked, and where it is said."""

    hear: TextIO
    say: TextIO
    sure: bool
    """Every question but one about somebody's own edits is answered with yes (`--yes`)."""

    def tell(self, text: str = "") -> None:
        """A line, or several."""
        for line in text.splitlines() or [""]:
            print(plain(line), file=self.say)

    def agreed(self, question: str) -> bool:
        """Ask, unless --yes was given.

        Raises:
            UsageError: there is nobody to ask.
        """
        if self.sure:
            return True
        if not self.hear.isatty():
            raise UsageError("there is no terminal to ask on, and nothing was changed; say --yes to do it unasked")
        return self._yes(question)

    def gives_up(self, change: FileChange) -> bool:
        """Whether edits by hand may go. --yes is no answer to that: who wrote them may not be who runs this."""
        if self.sure or not self.hear.isatty():
            return False
        return self._yes(f"{change.path} was edited by hand since opsbot wrote it. Give up those edits?")

    def _yes(self, question: str) -> bool:
        while True:
            print(f"{question} (yes or no): ", end="", file=self.say, flush=True)
            answer = self.hear.readline()
            if not answer or answer.strip().lower() in {"n", "no"}:
                return False
            if answer.strip().lower() in {"y", "yes"}:
                return True


def right_person(scope: Scope, verb: str, config: Path | None) -> None:
    """Make sure of it.

    Raises:
        UsageError: it has to be root, or must not be; the text says what to type.
    """
    named = f" -c {shlex.quote(str(config.absolute()))}" if config is not None else ""
    typed = f"{shlex.quote(str(Path(sys.executable).parent / 'opsbot'))} {verb}{named}"
    if scope is Scope.USER and os.geteuid() == 0:
        raise UsageError(f"these are a user's own units: {verb} them as that user, without sudo\n  {typed}")
    if scope is Scope.SYSTEM and os.geteuid() != 0:
        does = "writes to" if verb == "install" else "removes from"
        raise UsageError(f"this {does} /etc, which takes root, this once. Type:\n  sudo {typed}")


def tell_kept(kept: Sequence[FileChange], talk: Talk) -> None:
    """Which files stay as somebody edited them, and what to do about it."""
    for change in kept:
        talk.tell(f"Kept as it was edited by hand: {change.path}")
    if kept:
        talk.tell(
            "Edits live longer in a drop-in (systemctl edit opsbot). To have a file written anew, remove it and run "
            "this again."
        )
