"""`opsbot uninstall`: remove the installed files and list what remains."""

import argparse
import os
from pathlib import Path

from opsbot.cli import FAILED, FINE
from opsbot.cli.config_location import UsageError, config_path
from opsbot.cli.talk import Talk, on_the_host, report_kept, right_person
from opsbot.config import Config, Scope
from opsbot.config_file import ConfigError, load
from opsbot.install import host
from opsbot.install.files import FileChange, FileState, carry_out, left_over
from opsbot.install.plan import DAEMON

_UNKNOWN_STATE = "Without it the state directory is unknown and is not removed."


def uninstall(args: argparse.Namespace) -> int:
    return on_the_host(run_uninstall, args)


def run_uninstall(args: argparse.Namespace, talk: Talk) -> int:
    config, unusable = _config_if_any(args)
    scope = Scope.SYSTEM if os.geteuid() == 0 else Scope.USER
    scope = config.systemd.scope if config is not None else scope
    right_person(scope, "uninstall", config.path if config is not None else None)
    going = left_over(host.candidates(scope, Path.home()))
    user = host.user_of(going)
    state = config.state.directory if config is not None else host.state_of(going)
    if args.purge and not going:
        # A previous uninstall kept the state and said that --purge removes it.
        state, user = host.remembered(state, scope)
    if unusable:
        talk.show(unusable + (f" {_UNKNOWN_STATE}" if args.purge and state is None else ""))
    if not going and not (args.purge and state is not None):
        talk.show("Nothing to do: no files written by `opsbot install` were found.")
        return FINE
    for change in going:
        talk.show(f"{change.state if change.state is FileState.EDITED else 'goes':<20} {change.path}")
    for more in (state, f"the user {user}" if user else None) if args.purge else ():
        if more is not None:
            talk.show(f"{'goes':<20} {more}")
    if not talk.agreed("Stop opsbot and remove these? Services keep running"):
        talk.show("Nothing was removed.")
        return FAILED
    agreed = [change for change in going if change.state is not FileState.EDITED or talk.gives_up(change)]
    host.stop(scope, agreed)
    for change in agreed:
        carry_out(FileChange(change.path, change.state, change.before, ""))
    host.reload(scope, agreed)
    kept = [change for change in going if change not in agreed]
    report_kept(kept, talk)
    gone, left = host.purge(state, user, scope) if args.purge else ([], [])
    talk.show("Removed." if not gone else f"Removed, with {', '.join(gone)}.")
    _what_is_left(config, scope, state, user, purged=args.purge, talk=talk)
    for said in left:
        talk.show(f"  {said}")
    return FAILED if kept or left else FINE


def _config_if_any(args: argparse.Namespace) -> tuple[Config | None, str]:
    """Load the configuration.

    Returns None if there is none, or None and the reason if it is invalid.

    Uninstalling must not require a valid configuration.
    """
    try:
        return load(config_path(args)), ""
    except UsageError:
        return None, ""
    except ConfigError as error:
        first, *more = error.problems
        others = f" (and {len(more)} more mistake{'s' if len(more) > 1 else ''})" if more else ""
        return None, f"The configuration is invalid; using the installed files instead: {first}{others}"


def _what_is_left(
    config: Config | None, scope: Scope, state: Path | None, user: str, *, purged: bool, talk: Talk
) -> None:
    talk.show("Not removed:")
    if purged and user:
        talk.show(f"  (files of {user} now belong to a numeric id: find /srv /etc -nouser)")
    talk.show(f"  {'/etc/opsbot' if scope is Scope.SYSTEM else '~/.config/opsbot'}: the configuration and its secrets")
    if config is not None:
        for service in config.services.values():
            if service.source is not None:
                talk.show(f"  {service.source.directory}: releases and data of {service.name}")
    else:
        talk.show("  the folders of the services, in /srv by default")
    if not purged:
        for kept in (f"{state}: opsbot's state" if state else "", f"the user {user}" if user else ""):
            if kept:
                talk.show(f"  {kept}; --purge removes it" if kept else "")
    dropins = DAEMON.with_name(DAEMON.name + ".d")
    if scope is Scope.SYSTEM and dropins.exists():
        talk.show(f"  {dropins}: drop-ins not written by install")
