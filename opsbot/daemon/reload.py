"""Reading the configuration anew while opsbot runs: from one that is in force to the next, or back to it.

    read → wrong, or nothing new: say so, and go on
         → right: wait for deployments under way → leave the old one → open the new one, or the old one again → say so

The services go on running, as they do when opsbot is restarted; what is to be told is in the outbox all the while. Only
the lock on the state directory is kept, so that no other opsbot can come in between.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from opsbot.config import Config, Scope, SecretMissingError, Service
from opsbot.core.access import Action, Actor
from opsbot.core.deploy_codes import RefusalCode
from opsbot.core.keys import Reload, values_by_reload
from opsbot.core.message import message
from opsbot.deploy.deployer import Deployer
from opsbot.engine import Engine
from opsbot.formatting import clip
from opsbot.messages import describe
from opsbot.runtime.memory import unload
from opsbot.runtime.sd_notify import READY, notify, reloading
from opsbot.runtime.signals import ReloadRequests
from opsbot.store import StoreError

log = logging.getLogger(__name__)

LINES_MOST = 15
LINE_MOST = 200
SAID_MOST = 4
_MOVE = "stop opsbot, move it, start opsbot"
NOTHING_NEW = "The configuration was read anew: nothing changed."


@dataclass(frozen=True, slots=True)
class InForce:
    """A configuration and all that runs by it. token: the bot's, as it was read for it."""

    config: Config
    engine: Engine
    deployer: Deployer
    token: str
    stack: AsyncExitStack

    async def close(self) -> None:
        """Stop all of it; the services go on running."""
        await self.stack.aclose()


@dataclass(frozen=True, slots=True)
class ConfigReading:
    """What the file says now. config: None where it cannot be taken; problems say why, each as FILE:LINE: key."""

    config: Config | None = None
    problems: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    """What it changes, key by key; none where nothing."""


def read_anew(old: Config, token: str) -> ConfigReading:
    """Read the file of a configuration again, and compare. token: the bot's, as it is used now. Blocks."""
    # Left out of memory from one reading to the next: `Reloader` unloads them.
    from opsbot.config_file import ConfigError, load, problem_at  # noqa: PLC0415
    from opsbot.config_file.differences import differences  # noqa: PLC0415

    try:
        new = load(old.path)
        fresh = new.discord.token.read()
    except ConfigError as error:
        return ConfigReading(problems=tuple(map(str, error.problems)))
    except SecretMissingError as error:
        return ConfigReading(problems=(f"{old.path}: {error}",))
    fixed = values_by_reload(new, Reload.NEVER)
    refused = [
        str(problem_at(old.path, where, f"is {was} and cannot be changed while opsbot runs; {_MOVE}"))
        for where, was in values_by_reload(old, Reload.NEVER).items()
        if fixed[where] != was
    ]
    if refused:
        return ConfigReading(problems=tuple(refused))
    changes = differences(old.words, new.words)
    if fresh != token:
        changes.append("the bot's token: another one")
    return ConfigReading(new, changes=tuple(changes))


def consequences(old: Config, new: Config) -> list[str]:
    """What a person might expect of the new configuration and does not get by a reload alone."""
    said = []
    for name, service in old.services.items():
        if not service.manager.capabilities.runs_children:
            continue
        if name not in new.services or not new.services[name].manager.capabilities.runs_children:
            said.append(f"{name} is looked after no more: a process of it that runs goes on running")
        elif _started_with(service) != _started_with(new.services[name]):
            said.append(f"{name} goes on as it was started: restart it for its new settings")
    known = {unit for service in old.services.values() for unit in service.units}
    for name, service in new.services.items():
        fresh = [unit for unit in service.units if unit not in known]
        if fresh and new.systemd.scope is Scope.SYSTEM:
            said.append(f"{name}: opsbot may not start or restart {', '.join(fresh)} before `opsbot install` was run")
    return said


def _started_with(service: Service) -> dict[tuple[str, ...], object]:
    return values_by_reload(service, Reload.AT_NEXT_START)


def bounded(lines: Sequence[str], most: int = LINES_MOST) -> list[str]:
    """The first lines, each clipped, and how many more there are: what a message has room for."""
    shown = [clip(each, LINE_MOST) for each in lines[:most]]
    more = len(lines) - len(shown)
    return [*shown, f"and {more} more: opsbot's log has them all"] if more else shown


class Reloader:
    """Sees to the wish for a reload."""

    def __init__(
        self,
        reload_requests: ReloadRequests,
        open_: Callable[[Config], Coroutine[Any, Any, InForce]],
        redact: Callable[[str], str],
        note: Callable[[str], None],
        between: Callable[[], None],
    ) -> None:
        """open_: brings a configuration into force. note: shows a word in the status line, "" takes it back.

        between: told when one configuration ends and the next is not in force yet.
        """
        self._reload_requests = reload_requests
        self._open = open_
        self._redact = redact
        self._note = note
        self._between = between

    async def reload(self, now: InForce) -> InForce | None:
        """See to it: what is in force afterwards, or None where a stop was asked for in between.

        Raises:
            Exception: neither the new configuration nor the old one can be brought into force.
        """
        asked: list[Actor] = []
        while True:
            asked += self._reload_requests.take_reload()
            notify(reloading())
            reading = await asyncio.to_thread(read_anew, now.config, now.token)
            unload("opsbot.config_file", "difflib")
            if reading.config is None or not reading.changes:
                await self._stay(now, asked, reading)
                return now
            if not await self._idle(now):
                return now
            if not self._reload_requests.reload_wanted:
                return await self._change(now, asked, reading, reading.config)
            # While deployments were waited for somebody asked again: the file may say something else by now.

    async def _idle(self, now: InForce) -> bool:
        """Wait until nothing is being deployed, and let nothing new begin; False where opsbot is to stop."""
        now.deployer.pause(message(RefusalCode.RELOADING))
        busy = [name for name in now.config.services if now.deployer.busy(name)]
        if not busy:
            return True
        words = f"waiting for the deployment of {', '.join(busy)} before the configuration is taken"
        log.info("%s", words)
        await _tell(now, f"The configuration has changed; it is taken once {', '.join(busy)} is deployed.")
        self._note(words)
        # Ready meanwhile: the old configuration is in force, and a reload has a time limit (TimeoutStartSec=).
        notify(READY)
        went_on = await self._reload_requests.unless_stopped(_true_after(now.deployer.idle()))
        self._note("")
        notify(reloading())
        return went_on is not None

    async def _stay(self, now: InForce, asked: Sequence[Actor], reading: ConfigReading) -> None:
        now.deployer.unpause()
        if reading.problems:
            lines = [self._redact(each) for each in reading.problems]
            for each in lines:
                log.error("%s", each)
            count = "a problem" if len(lines) == 1 else f"{len(lines)} problems"
            text = f"The new configuration has {count} and is not taken: the one before stays in force."
            await _record(now, asked, f"refused: {count}; {lines[0]}")
            await _tell(now, text, level="error", lines=bounded(lines))
            self._reload_requests.answered(text, lines, ok=False)
            self._note(f"the configuration file has {count}, the one before is in force")
        else:
            self._note("")
            log.info("%s", NOTHING_NEW)
            await _record(now, asked, "nothing changed")
            await _tell(now, NOTHING_NEW)
            self._reload_requests.answered(NOTHING_NEW)
        notify(READY)

    async def _change(
        self, now: InForce, asked: Sequence[Actor], reading: ConfigReading, new: Config
    ) -> InForce | None:
        lines = [self._redact(each) for each in reading.changes]
        for each in lines:
            log.info("configuration: %s", each)
        self._between()
        await now.close()
        try:
            after = await self._reload_requests.unless_stopped(self._open(new))
        except Exception as error:
            # The edge: whatever keeps the new configuration from coming into force, the old one did.
            log.exception("the new configuration could not be brought into force; back to the one before")
            return await self._back(now.config, asked, error)
        if after is None:
            return None
        count = "1 change" if len(lines) == 1 else f"{len(lines)} changes"
        said = consequences(now.config, new)
        text = f"The configuration was reloaded: {count}."
        last = bounded(said, SAID_MOST)
        await _record(after, asked, f"{count}: {'; '.join(lines)}")
        await _tell(after, text, lines=[*bounded(lines, LINES_MOST - len(last)), *last])
        self._reload_requests.answered(text, [*lines, *said])
        self._note("")
        notify(READY)
        log.info("the configuration was reloaded: %s", count)
        return after

    async def _back(self, old: Config, asked: Sequence[Actor], error: Exception) -> InForce | None:
        back = await self._reload_requests.unless_stopped(self._open(old))
        if back is None:
            return None
        why = self._redact(describe(error) or type(error).__name__)
        text = "The new configuration could not be brought into force: the one before is in force again."
        await _record(back, asked, f"refused: {why}")
        await _tell(back, text, level="error", lines=bounded([why]))
        self._reload_requests.answered(text, [why], ok=False)
        self._note("the configuration file could not be brought into force, the one before is")
        notify(READY)
        return back


async def _tell(now: InForce, text: str, *, level: str = "info", lines: Sequence[str] = ()) -> None:
    try:
        await now.engine.tell("", text, level=level, lines=lines)
    except (StoreError, sqlite3.Error) as error:
        # A full disk, say. It keeps the channel from being told; it must not end what is in force.
        log.warning("the channel could not be told: %s: %s", text, error)


async def _record(now: InForce, asked: Sequence[Actor], result: str) -> None:
    try:
        for actor in dict.fromkeys(asked):
            await now.engine.door.note(actor, Action.RELOAD, "", str(now.config.path), clip(result, 500))
    except (StoreError, sqlite3.Error) as error:
        log.warning("the audit log could not be written: %s: %s", result, error)


async def _true_after(work: Awaitable[None]) -> bool:
    await work
    return True
