"""Reload the configuration at runtime, falling back to the old one on failure.

    read → invalid or unchanged: report it and continue
         → valid: wait for running deployments → close the old one → open the new one, or the old one again → report

Services keep running, as during a restart of opsbot, and messages stay in the outbox. Only the lock on the state
directory is kept, so that no other opsbot can start in between.
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
from opsbot.core.message import Message, message
from opsbot.core.notices import NoticeCode
from opsbot.deploy.deployer import Deployer
from opsbot.engine import Engine
from opsbot.formatting import clip
from opsbot.messages import describe, render
from opsbot.runtime.memory import unload
from opsbot.runtime.sd_notify import READY, notify, reloading
from opsbot.runtime.signals import ReloadRequests
from opsbot.store import StoreError

log = logging.getLogger(__name__)

LINES_MOST = 15
LINE_MOST = 200
NOTES_MOST = 4
_MOVE = "stop opsbot, move it, start opsbot"
NOTHING_NEW = message(NoticeCode.CONFIG_UNCHANGED)


@dataclass(frozen=True, slots=True)
class ActiveConfig:
    """A configuration, the bot token read for it, and everything that runs with it."""

    config: Config
    engine: Engine
    deployer: Deployer
    token: str
    stack: AsyncExitStack

    async def close(self) -> None:
        await self.stack.aclose()


@dataclass(frozen=True, slots=True)
class ConfigReading:
    """Result of reading the file. config: None if invalid. problems: FILE:LINE: key."""

    config: Config | None = None
    problems: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    """The changed keys; empty if nothing changed."""


def reread(old: Config, token: str) -> ConfigReading:
    """Read the configuration file and compare. token: the one in use. Blocks."""
    # Imported here because `Reloader` unloads them after each use.
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
        str(problem_at(old.path, where, f"is {was} and cannot change while opsbot runs; {_MOVE}"))
        for where, was in values_by_reload(old, Reload.NEVER).items()
        if fixed[where] != was
    ]
    if refused:
        return ConfigReading(problems=tuple(refused))
    changes = differences(old.words, new.words)
    if fresh != token:
        changes.append("the bot token: changed")
    return ConfigReading(new, changes=tuple(changes))


def consequences(old: Config, new: Config) -> list[str]:
    """Return what the new configuration does not change by a reload alone."""
    notes = []
    for name, service in old.services.items():
        if not service.manager.capabilities.runs_children:
            continue
        if name not in new.services or not new.services[name].manager.capabilities.runs_children:
            notes.append(f"{name} is no longer supervised; its running process keeps running")
        elif _started_with(service) != _started_with(new.services[name]):
            notes.append(f"{name} keeps running with its old settings; restart it to apply the new ones")
    known = {unit for service in old.services.values() for unit in service.units}
    for name, service in new.services.items():
        fresh = [unit for unit in service.units if unit not in known]
        if fresh and new.systemd.scope is Scope.SYSTEM:
            notes.append(f"{name}: run `opsbot install` to permit opsbot to start or restart {', '.join(fresh)}")
    return notes


def _started_with(service: Service) -> dict[tuple[str, ...], object]:
    return values_by_reload(service, Reload.AT_NEXT_START)


def bounded(lines: Sequence[str], most: int = LINES_MOST) -> list[str]:
    """Return the first lines, clipped, and the number of omitted ones."""
    shown = [clip(each, LINE_MOST) for each in lines[:most]]
    more = len(lines) - len(shown)
    return [*shown, f"and {more} more, see opsbot's log"] if more else shown


class Reloader:
    """Handles reload requests."""

    def __init__(
        self,
        reload_requests: ReloadRequests,
        open_: Callable[[Config], Coroutine[Any, Any, ActiveConfig]],
        redact: Callable[[str], str],
        note: Callable[[str], None],
        between: Callable[[], None],
    ) -> None:
        """open_: starts a configuration. note: shows a status text, "" removes it.

        between: called when one configuration is closed and the next is not active yet.
        """
        self._reload_requests = reload_requests
        self._open = open_
        self._redact = redact
        self._note = note
        self._between = between

    async def reload(self, now: ActiveConfig) -> ActiveConfig | None:
        """Reload; returns the active configuration, or None after a stop request.

        Raises:
            Exception: neither the new configuration nor the old one could be started.
        """
        asked: list[Actor] = []
        while True:
            asked += self._reload_requests.take_reload()
            notify(reloading())
            reading = await asyncio.to_thread(reread, now.config, now.token)
            unload("opsbot.config_file", "difflib")
            if reading.config is None or not reading.changes:
                await self._stay(now, asked, reading)
                return now
            if not await self._idle(now):
                return now
            if not self._reload_requests.reload_wanted:
                return await self._change(now, asked, reading, reading.config)
            # Another request came while waiting for deployments: the file may have changed again.

    async def _idle(self, now: ActiveConfig) -> bool:
        """Pause new deployments and wait for running ones; False if opsbot is to stop."""
        now.deployer.pause(message(RefusalCode.RELOADING))
        busy = [name for name in now.config.services if now.deployer.busy(name)]
        if not busy:
            return True
        words = f"waiting for the deployment of {', '.join(busy)} before reloading the configuration"
        log.info("%s", words)
        await _post(now, message(NoticeCode.CONFIG_WAITS, services=tuple(busy)))
        self._note(words)
        # Ready in the meantime: the old configuration is active, and a reload has a time limit (TimeoutStartSec=).
        notify(READY)
        idle = await self._reload_requests.unless_stopped(_true_after(now.deployer.idle()))
        self._note("")
        notify(reloading())
        return idle is not None

    async def _stay(self, now: ActiveConfig, asked: Sequence[Actor], reading: ConfigReading) -> None:
        now.deployer.unpause()
        if reading.problems:
            lines = [self._redact(each) for each in reading.problems]
            for each in lines:
                log.error("%s", each)
            count = "a problem" if len(lines) == 1 else f"{len(lines)} problems"
            said = message(NoticeCode.CONFIG_REJECTED, count=len(lines))
            note = f"the configuration file has {count}; the old configuration stays in force"
            await self._finish(now, asked, f"refused: {count}; {lines[0]}", said, lines, note=note)
        else:
            log.info("%s", render(NOTHING_NEW))
            await self._finish(now, asked, "nothing changed", NOTHING_NEW)

    async def _change(
        self, now: ActiveConfig, asked: Sequence[Actor], reading: ConfigReading, new: Config
    ) -> ActiveConfig | None:
        lines = [self._redact(each) for each in reading.changes]
        for each in lines:
            log.info("configuration: %s", each)
        self._between()
        await now.close()
        try:
            after = await self._reload_requests.unless_stopped(self._open(new))
        except Exception as error:
            # Boundary: whatever prevents the new configuration from starting, the old one did start.
            log.exception("starting the new configuration failed; returning to the old one")
            return await self._back(now.config, asked, error)
        if after is None:
            return None
        count = "1 change" if len(lines) == 1 else f"{len(lines)} changes"
        notes = consequences(now.config, new)
        said = message(NoticeCode.CONFIG_RELOADED, count=len(lines))
        last = bounded(notes, NOTES_MOST)
        posted = [*bounded(lines, LINES_MOST - len(last)), *last]
        await self._finish(after, asked, f"{count}: {'; '.join(lines)}", said, [*lines, *notes], posted)
        log.info("the configuration was reloaded: %s", count)
        return after

    async def _back(self, old: Config, asked: Sequence[Actor], error: Exception) -> ActiveConfig | None:
        back = await self._reload_requests.unless_stopped(self._open(old))
        if back is None:
            return None
        why = self._redact(describe(error) or type(error).__name__)
        said = message(NoticeCode.CONFIG_FAILED)
        note = "the new configuration could not be started; the old one is in force"
        await self._finish(back, asked, f"refused: {why}", said, [why], note=note)
        return back

    async def _finish(
        self,
        now: ActiveConfig,
        asked: Sequence[Actor],
        result: str,
        said: Message,
        lines: Sequence[str] = (),
        posted: Sequence[str] | None = None,
        *,
        note: str = "",
    ) -> None:
        """Report the result. result: for the audit log. posted: lines for the channel.

        note: for the status line, "" if the file is in force.
        """
        await _record(now, asked, result)
        await _post(now, said, level="error" if note else "info", lines=bounded(lines) if posted is None else posted)
        self._reload_requests.answered(render(said), lines, ok=not note)
        self._note(note)
        notify(READY)


async def _post(now: ActiveConfig, said: Message, *, level: str = "info", lines: Sequence[str] = ()) -> None:
    try:
        await now.engine.announce("", said, level=level, lines=lines)
    except (StoreError, sqlite3.Error) as error:
        # For example a full disk: the message is lost, but the active configuration must keep running.
        log.warning("the message could not be stored: %s: %s", render(said), error)


async def _record(now: ActiveConfig, asked: Sequence[Actor], result: str) -> None:
    try:
        for actor in dict.fromkeys(asked):
            await now.engine.access.note(actor, Action.RELOAD, "", str(now.config.path), clip(result, 500))
    except (StoreError, sqlite3.Error) as error:
        log.warning("the audit log entry could not be stored: %s: %s", result, error)


async def _true_after(work: Awaitable[None]) -> bool:
    await work
    return True
