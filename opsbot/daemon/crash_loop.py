"""Report unclean exits of opsbot: as a message, or a crash loop as an incident.

A message per restart would bury the channel just when somebody needs it.
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
"""Time without an unclean exit after which the incident is resolved."""


async def announce_unclean_exit(engine: Engine, before: str) -> None:
    """Report that the previous opsbot exited uncleanly. before: that process."""
    found = await engine.store.write(unclean_exits.back, before, engine.clock(), _journal(engine.config))
    engine.feed.publish("notice")
    if found.many:
        cause = message(IncidentCause.OPSBOT_ENDS, count=MANY, within=found.last[-1] - found.last[0])
        evidence = Evidence(
            checks=((f"the last {MANY} restarts", plain(_times(found))), (ADVICE, plain(_advice(engine.config))))
        )
        await engine.watcher.incident_manager.trouble(OPSBOT, cause, found.last[0], evidence=evidence)


async def resolve_when_stable(engine: Engine) -> None:
    if engine.watcher.incident_manager.timeline.of(OPSBOT).incident is None:
        return
    found = await engine.store.read(unclean_exits.latest)
    calm = CALM if found is None else engine.clock() - found.last[-1]
    if calm >= CALM:
        await engine.watcher.incident_manager.end(OPSBOT, message(Resolution.OPSBOT_RUNS, since=calm))


def _journal(config: Config) -> str:
    user = "--user " if config.systemd.scope is Scope.USER else ""
    return f"journalctl {user}-u opsbot"


def _advice(config: Config) -> str:
    return (
        f"`{_journal(config)}` shows why each one ended if it is a systemd unit: status=9/KILL or oom-kill is "
        "usually a lack of memory (`journalctl -k -g oom`), status=6/ABRT its watchdog. If the host itself went "
        "down, `journalctl --list-boots` shows it."
    )


def _times(found: UncleanExits) -> str:
    return ", ".join(f"{at:%H:%M:%S}" for at in found.last) + " UTC"
