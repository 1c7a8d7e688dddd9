"""`opsbot install` and `opsbot uninstall`: what is shown, what is asked, what is said at the end."""

import argparse
import getpass
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from opsbot.cli.ask import FAILED, FINE, USAGE
from opsbot.cli.place import UsageError, config_path
from opsbot.cli.terminal import plain
from opsbot.config import Config, Scope
from opsbot.config_file import ConfigError, load
from opsbot.install import host
from opsbot.install.facts import Facts, look
from opsbot.install.files import Change, Standing, carry_out, compared, left_over
from opsbot.install.host import HostError
from opsbot.install.plan import DAEMON, Plan, plan
from opsbot.install.texts import TextError


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

    def gives_up(self, change: Change) -> bool:
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


def run_install(args: argparse.Namespace, talk: Talk) -> int:
    """Show, ask, write, make the host take note; the exit code."""
    try:
        config = load(config_path(args))
    except ConfigError as error:
        for line in str(error).splitlines():
            print(plain(line), file=sys.stderr)
        return USAGE
    if not args.dry_run:
        _right_person(config.systemd.scope, "install", config.path)
    facts = look(config, args.user)
    wanted = plan(config, facts)
    if args.dry_run:
        return _dry_run(wanted, talk)
    return _install(config, facts, wanted, talk)


def _right_person(scope: Scope, verb: str, config: Path | None) -> None:
    named = f" -c {shlex.quote(str(config.absolute()))}" if config is not None else ""
    typed = f"{shlex.quote(str(Path(sys.executable).parent / 'opsbot'))} {verb}{named}"
    if scope is Scope.USER and os.geteuid() == 0:
        raise UsageError(f"these are a user's own units: {verb} them as that user, without sudo\n  {typed}")
    if scope is Scope.SYSTEM and os.geteuid() != 0:
        does = "writes to" if verb == "install" else "removes from"
        raise UsageError(f"this {does} /etc, which takes root, this once. Type:\n  sudo {typed}")


def _dry_run(wanted: Plan, talk: Talk) -> int:
    for file in wanted.files:
        talk.tell(f"==> {file.path}")
        talk.tell(file.whole)
        talk.tell()
    for said in (*wanted.refusals, *wanted.warnings):
        print(f"opsbot: {plain(said)}", file=sys.stderr)
    return FAILED if wanted.refusals else FINE


def _install(config: Config, facts: Facts, wanted: Plan, talk: Talk) -> int:
    refusals = list(wanted.refusals)
    if not facts.program.exists():
        refusals.append(f"there is no {facts.program} for the unit to start; see docs/installing.md")
    if not facts.runs_systemd:
        refusals.append("systemd is not the first process here (a container?); nothing could take note of these files")
    elif not host.answers(wanted.scope):
        refusals.append(_no_session() if wanted.scope is Scope.USER else "systemd does not answer: systemctl status")
    changes = [compared(file) for file in wanted.files]
    refusals += [
        f"{change.path} is there and was not written by `opsbot install`; move it away first"
        for change in changes
        if change.standing is Standing.FOREIGN
    ]
    _hear(talk, wanted.warnings)
    if refusals:
        for said in refusals:
            print(f"opsbot: {plain(said)}", file=sys.stderr)
        talk.tell("Nothing was written.")
        return FAILED
    there = {change.path for change in changes}
    changes += left_over([path for path in host.candidates(wanted.scope, facts.home) if path not in there])
    changes = [change for change in changes if change.standing is not Standing.SAME]
    _show(changes, talk)
    if not changes:
        host.take_note(wanted.scope, units=False, new_rules=False)
        talk.tell("Nothing to do: every file is as it should be.")
    else:
        agreed = _agreed(changes, talk)
        if agreed is None:
            talk.tell("Nothing was written.")
            return FAILED
        _carry_out(wanted.scope, agreed)
        kept = [change for change in changes if change not in agreed]
        _kept(kept, talk)
        if kept:
            _next(config, facts, wanted, talk, changed=bool(agreed))
            return FAILED
    _next(config, facts, wanted, talk, changed=bool(changes))
    return FINE


def _no_session() -> str:
    user = getpass.getuser()
    return (
        f"your own systemd cannot be reached: {user} has no session here (su and sudo bring none). Have an admin type "
        f"sudo loginctl enable-linger {user}, then log in as {user}, over ssh for example, and run this again"
    )


def _hear(talk: Talk, warnings: Sequence[str]) -> None:
    for said in warnings:
        talk.tell(f"Take note. {said}.")
    if warnings:
        talk.tell()


def _show(changes: Sequence[Change], talk: Talk) -> None:
    """New files by their name (`--dry-run` shows them), everything else as a diff."""
    for change in changes:
        talk.tell(f"{change.standing:<20} {change.path}")
        if change.standing is not Standing.NEW:
            for line in change.diff():
                talk.tell(line)
            talk.tell()


def _agreed(changes: Sequence[Change], talk: Talk) -> list[Change] | None:
    """The changes that are to be made; None where they were declined."""
    sure = [change for change in changes if change.standing is not Standing.EDITED]
    files = "this file" if len(sure) == 1 else f"these {len(sure)} files"
    if sure and not talk.agreed(f"Write or remove {files}?"):
        return None
    return sure + [change for change in changes if change.standing is Standing.EDITED and talk.gives_up(change)]


def _carry_out(scope: Scope, changes: Sequence[Change]) -> None:
    new_rules = host.lacks_rules_folder()
    gone = [change for change in changes if not change.after]
    if gone:
        host.stop(scope, gone)
    for change in changes:
        carry_out(change)
    units = any(change.path.suffix == ".service" for change in changes)
    new_rules = new_rules and any(change.path.suffix == ".rules" for change in changes)
    host.take_note(scope, units=units, new_rules=new_rules)


def _kept(kept: Sequence[Change], talk: Talk) -> None:
    for change in kept:
        talk.tell(f"Kept as it was edited by hand: {change.path}")
    if kept:
        talk.tell(
            "Edits live longer in a drop-in (systemctl edit opsbot). To have a file written anew, remove it and run "
            "this again."
        )


def _next(config: Config, facts: Facts, wanted: Plan, talk: Talk, *, changed: bool) -> None:
    """What is left for a person to type."""
    program, path = shlex.quote(str(facts.program)), shlex.quote(str(config.path.absolute()))
    system = wanted.scope is Scope.SYSTEM
    commands = [
        f"install -m 0600 /dev/stdin {shlex.quote(str(secret))}    # paste it, Enter, Ctrl-D"
        for secret in wanted.secrets
        if not secret.is_file()
    ]
    if wanted.variables and wanted.environment is not None and not wanted.environment.is_file():
        names = ", ".join(f"{name}=..." for name in wanted.variables)
        commands.append(f"install -m 0600 /dev/stdin {shlex.quote(str(wanted.environment))}    # {names}")
    systemctl = "systemctl" if system else "systemctl --user"
    if not host.is_active(wanted.scope):
        commands.append(f"{systemctl} enable --now opsbot")
    elif changed:
        commands.append(f"{systemctl} restart opsbot")
    if not system and not host.lingers(getpass.getuser()):
        commands.append(f"sudo loginctl enable-linger {shlex.quote(getpass.getuser())}    # once, by an admin")
    if not commands:
        return
    # As opsbot's user: it is that one's rights that matter, and the token is shown to no other.
    commands.append(f"{f'runuser -u {facts.user} -- ' if system else ''}{program} doctor -c {path}")
    talk.tell(f"\nTo type next{', as root' if system else ''}:")
    for line in commands:
        talk.tell(f"  {line}")


def run_uninstall(args: argparse.Namespace, talk: Talk) -> int:
    """Undo it; the exit code."""
    config = _config_if_any(args)
    scope = Scope.SYSTEM if os.geteuid() == 0 else Scope.USER
    scope = config.systemd.scope if config is not None else scope
    _right_person(scope, "uninstall", config.path if config is not None else None)
    going = left_over(host.candidates(scope, Path.home()))
    user = host.user_of(going)
    state = config.state.directory if config is not None else host.state_of(going)
    if not going:
        talk.tell("Nothing to do: no file that `opsbot install` wrote is there.")
        return FINE
    for change in going:
        talk.tell(f"{change.standing if change.standing is Standing.EDITED else 'goes':<20} {change.path}")
    for more in (state, f"the user {user}" if user else None) if args.purge else ():
        if more is not None:
            talk.tell(f"{'goes':<20} {more}")
    if not talk.agreed("Stop opsbot and remove these? The services go on running"):
        talk.tell("Nothing was removed.")
        return FAILED
    agreed = [change for change in going if change.standing is not Standing.EDITED or talk.gives_up(change)]
    host.stop(scope, agreed)
    for change in agreed:
        carry_out(Change(change.path, change.standing, change.before, ""))
    host.reload(scope, agreed)
    kept = [change for change in going if change not in agreed]
    _kept(kept, talk)
    gone, left = host.purge(state, user) if args.purge else ([], [])
    talk.tell("Removed." if not gone else f"Removed, with {', '.join(gone)}.")
    _what_is_left(config, scope, state, user, purged=args.purge, talk=talk)
    for said in left:
        talk.tell(f"  {said}")
    return FAILED if kept or left else FINE


def _config_if_any(args: argparse.Namespace) -> Config | None:
    """The configuration; None where there is none any more. One that was named has to be right."""
    try:
        return load(config_path(args))
    except UsageError:
        return None
    except ConfigError as error:
        if args.config is not None:
            raise UsageError(str(error)) from error
        return None


def _what_is_left(
    config: Config | None, scope: Scope, state: Path | None, user: str, *, purged: bool, talk: Talk
) -> None:
    talk.tell("What is left:")
    if purged and user:
        talk.tell(f"  (what was {user}'s in there belongs to a number now: find /srv /etc -nouser)")
    talk.tell(f"  {'/etc/opsbot' if scope is Scope.SYSTEM else '~/.config/opsbot'}: the configuration and its secrets")
    if config is not None:
        for service in config.services.values():
            if service.source is not None:
                talk.tell(f"  {service.source.directory}: what {service.name} runs from, and its data")
    else:
        talk.tell("  the folders that the services run from, in /srv where nothing else was configured")
    if not purged:
        for kept in (f"{state}: what opsbot remembers" if state else "", f"the user {user}" if user else ""):
            if kept:
                talk.tell(f"  {kept}; --purge removes it" if kept else "")
    dropins = DAEMON.with_name(DAEMON.name + ".d")
    if scope is Scope.SYSTEM and dropins.exists():
        talk.tell(f"  {dropins}: drop-ins, not written by install")


def main(args: argparse.Namespace, verb: str) -> int:
    """Either verb, on the terminal.

    Raises:
        UsageError: not the right person, nobody to ask, or a name that no file of systemd's can hold.
    """
    talk = Talk(sys.stdin, sys.stdout, args.yes)
    try:
        return run_install(args, talk) if verb == "install" else run_uninstall(args, talk)
    except TextError as error:
        raise UsageError(str(error)) from error
    except HostError as error:
        print(f"opsbot: {plain(str(error))}", file=sys.stderr)
    except OSError as error:
        print(f"opsbot: {plain(f'{error.filename}: {error.strerror}')}", file=sys.stderr)
    return FAILED
