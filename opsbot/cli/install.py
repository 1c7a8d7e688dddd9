"""`opsbot install`: show the changes, ask, write, and list the next steps."""

import argparse
import getpass
import shlex
import sys
from collections.abc import Sequence

from opsbot.cli import FAILED, FINE
from opsbot.cli.config_location import config_path
from opsbot.cli.talk import Talk, on_the_host, report_kept, right_person
from opsbot.cli.terminal import plain
from opsbot.config import Config, Scope
from opsbot.config_file import load
from opsbot.install import host
from opsbot.install.facts import InstallFacts, gather
from opsbot.install.files import FileChange, FileState, carry_out, compared, left_over
from opsbot.install.plan import Plan, plan


def install(args: argparse.Namespace) -> int:
    return on_the_host(run_install, args)


def run_install(args: argparse.Namespace, talk: Talk) -> int:
    """Show the changes, ask, write them and apply them to the host.

    Returns the exit code.
    """
    config = load(config_path(args))
    if not args.dry_run:
        right_person(config.systemd.scope, "install", config.path)
    facts = gather(config, args.user)
    wanted = plan(config, facts)
    if args.dry_run:
        return _dry_run(wanted, talk)
    return _install(config, facts, wanted, talk)


def _dry_run(wanted: Plan, talk: Talk) -> int:
    for file in wanted.files:
        talk.show(f"==> {file.path}")
        talk.show(file.whole)
        talk.show()
    for said in (*wanted.refusals, *wanted.warnings):
        print(f"opsbot: {plain(said)}", file=sys.stderr)
    return FAILED if wanted.refusals else FINE


def _install(config: Config, facts: InstallFacts, wanted: Plan, talk: Talk) -> int:
    refusals = list(wanted.refusals)
    if not facts.program.exists():
        refusals.append(f"{facts.program} does not exist, so the unit could not start; see docs/installing.md")
    if not facts.runs_systemd:
        refusals.append("systemd is not PID 1 here (a container?), so these files would have no effect")
    elif not host.answers(wanted.scope):
        refusals.append(_no_session() if wanted.scope is Scope.USER else "systemd does not answer: systemctl status")
    changes = [compared(file) for file in wanted.files]
    refusals += [
        f"{change.path} exists and was not written by `opsbot install`; move it away first"
        for change in changes
        if change.state is FileState.FOREIGN
    ]
    _print_warnings(talk, wanted.warnings)
    if refusals:
        for said in refusals:
            print(f"opsbot: {plain(said)}", file=sys.stderr)
        talk.show("Nothing was written.")
        return FAILED
    there = {change.path for change in changes}
    changes += left_over([path for path in host.candidates(wanted.scope, facts.home) if path not in there])
    changes = [change for change in changes if change.state is not FileState.SAME]
    _show(changes, talk)
    if not changes:
        host.take_note(wanted.scope, units=False, new_rules=False)
        talk.show("Nothing to do: every file is up to date.")
    else:
        agreed = _agreed(changes, talk)
        if agreed is None:
            talk.show("Nothing was written.")
            return FAILED
        _carry_out(wanted.scope, agreed)
        kept = [change for change in changes if change not in agreed]
        report_kept(kept, talk)
        if kept:
            _next(config, facts, wanted, talk, changed=bool(agreed))
            return FAILED
    _next(config, facts, wanted, talk, changed=bool(changes))
    return FINE


def _no_session() -> str:
    user = getpass.getuser()
    return (
        f"your systemd user instance cannot be reached: {user} has no session here (su and sudo open none). Ask an "
        f"admin to run sudo loginctl enable-linger {user}, then log in as {user}, for example over ssh, and try again"
    )


def _print_warnings(talk: Talk, warnings: Sequence[str]) -> None:
    for said in warnings:
        talk.show(f"Warning: {said}.")
    if warnings:
        talk.show()


def _show(changes: Sequence[FileChange], talk: Talk) -> None:
    """List new files by name and print all other changes as diffs."""
    for change in changes:
        talk.show(f"{change.state:<20} {change.path}")
        if change.state is not FileState.NEW:
            for line in change.diff():
                talk.show(line)
            talk.show()


def _agreed(changes: Sequence[FileChange], talk: Talk) -> list[FileChange] | None:
    """Return the changes that the admin agreed to; None if declined."""
    sure = [change for change in changes if change.state is not FileState.EDITED]
    files = "this file" if len(sure) == 1 else f"these {len(sure)} files"
    if sure and not talk.agreed(f"Write or remove {files}?"):
        return None
    return sure + [change for change in changes if change.state is FileState.EDITED and talk.gives_up(change)]


def _carry_out(scope: Scope, changes: Sequence[FileChange]) -> None:
    new_rules = host.lacks_rules_folder()
    gone = [change for change in changes if not change.after]
    if gone:
        host.stop(scope, gone)
    for change in changes:
        carry_out(change)
    units = any(change.path.suffix == ".service" for change in changes)
    new_rules = new_rules and any(change.path.suffix == ".rules" for change in changes)
    host.take_note(scope, units=units, new_rules=new_rules)


def _next(config: Config, facts: InstallFacts, wanted: Plan, talk: Talk, *, changed: bool) -> None:
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
    # Run as opsbot's user: its permissions count, and only it may read the token.
    commands.append(f"{f'runuser -u {facts.user} -- ' if system else ''}{program} doctor -c {path}")
    talk.show(f"\nNext, run{', as root' if system else ''}:")
    for line in commands:
        talk.show(f"  {line}")
