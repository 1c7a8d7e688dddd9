"""opsbot that is killed again and again: told once and counted there, then an incident of its own.

A message for each return would bury the channel under them just when somebody has to find something there.
"""

from datetime import timedelta

from opsbot.config import Config, Scope
from opsbot.core.incident import IncidentCause, Resolution
from opsbot.core.message import message, plain
from opsbot.core.model import ADVICE, Evidence
from opsbot.core.subjects import OPSBOT
from opsbot.engine import Engine
from opsbot.store import unclean_exits
from opsbot.store.unclean_exits import MANY, UncleanExits

EVERY = timedelta(minutes=1)
CALM = timedelta(minutes=30)
"""So long without another end makes it well again."""


async def tell_cut_short(engine: Engine, before: str) -> None:
    """Say that this opsbot follows one that never ended in order. before: who that was."""
    found = await engine.store.write(unclean_exits.back, before, engine.clock(), _journal(engine.config))
    engine.feed.publish("notice")
    if found.many:
        cause = message(IncidentCause.OPSBOT_ENDS, count=MANY, within=found.last[-1] - found.last[0])
        evidence = Evidence(
            checks=((f"the last {MANY} returns", plain(_times(found))), (ADVICE, plain(_mend(engine.config)))),
        )
        await engine.watcher.incident_manager.trouble(OPSBOT, cause, found.last[0], evidence=evidence)


async def look(engine: Engine) -> None:
    """End the incident once opsbot goes on running."""
    if engine.watcher.incident_manager.case(OPSBOT).incident is None:
        return
    found = await engine.store.read(unclean_exits.latest)
    calm = CALM if found is None else engine.clock() - found.last[-1]
    if calm >= CALM:
        await engine.watcher.incident_manager.end(OPSBOT, message(Resolution.OPSBOT_RUNS, since=calm))


def _journal(config: Config) -> str:
    user = "--user " if config.systemd.scope is Scope.USER else ""
    return f"journalctl {user}-u opsbot"


def _mend(config: Config) -> str:
    return (
        f"`{_journal(config)}` says how each one ended, where it is a unit of systemd: status=9/KILL or oom-kill is "
        "mostly memory that ran out (`journalctl -k -g oom`), status=6/ABRT its watchdog. If the host itself went "
        "down, `journalctl --list-boots` shows it."
    )


def _times(found: UncleanExits) -> str:
    return ", ".join(f"{at:%H:%M:%S}" for at in found.last) + " UTC"
