"""What the durable outbox costs an alarm, how fast many that waited are told, and how much room incidents take.

The stand-in keeps Discord's limits: five messages in five seconds in a channel. Engine, bot and stand-in share this
process. Baselines: the same card sent at once by the same client, with nothing written down; the channel's own limit;
the same incidents as lines of JSON.
"""

import asyncio
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import discord

from benchmarks import Row, Scale, quantile, row
from benchmarks._bed import until
from cogs.cards.incident_cards import incident_card
from cogs.delivery.channel import OpsChannel
from opsbot.bot.run import run_bot
from opsbot.config import Config
from opsbot.config_file import load
from opsbot.core.dependencies import FailingCheck
from opsbot.core.incident import IncidentEventKind, Resolution, check_cause, event
from opsbot.core.message import message, plain
from opsbot.core.model import Evidence, Incident
from opsbot.core.recovery import AttemptBy
from opsbot.daemon.wiring import open_engine
from opsbot.engine import Engine
from opsbot.engine.cards import Around
from opsbot.standin import Standin
from opsbot.store import Store, incident_repository, outbox

ALARMS = 40
REST = 3.2
"""Seconds between two alarms: more than ten within a minute would be told together (`opsbot.core.storm`)."""
SPOOLED, OPEN, INCIDENTS = 1000, 50, 10_000
PER_SECOND = 1.0
TOKEN = "OPSBOT_BENCH_TOKEN"  # noqa: S105 - the name of a variable
SEEN = plain("answered 500 Internal Server Error")
EVIDENCE = Evidence((("http", SEEN),), None, tuple("x" * 80 for _ in range(15)))
CONFIG = """\
host = "bench"
[discord]
token_env = "{token}"
guild_id = {guild}
ops_channel_id = {channel}
api_url = "{api}"
[roles]
admin = ["unix:root"]
[state]
directory = "{folder}"
[http]
listen = "off"
[services.s]
manager = "process"
command = ["sleep", "infinity"]
working_directory = "{folder}"
"""


@asynccontextmanager
async def _engine(standin: Standin) -> AsyncIterator[tuple[Engine, Config]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = CONFIG.format(
            token=TOKEN,
            guild=standin.guild_id,
            channel=standin.ops_channel_id,
            api=standin.api_url,
            folder=folder,
        )
        file = folder / "config.toml"
        await asyncio.to_thread(file.write_text, text)
        os.environ[TOKEN] = standin.token
        config = load(file)
        async with open_engine(config) as parts:
            yield parts.engine, config
            await parts.engine.managers["s"].stop("s")


def _incident(number: int, at: datetime) -> Incident:
    return Incident(0, f"s{number}", check_cause(FailingCheck("http", "http", "", SEEN), 3, 3), at, EVIDENCE)


async def _bot(engine: Engine, config: Config, standin: Standin) -> "asyncio.Task[None]":
    task = asyncio.create_task(run_bot(engine, config, standin.token))
    await standin.wait_connected(30)
    return task


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _arrival(standin: Standin, words: str) -> float:
    await standin.wait_for_message(lambda message: words in message["content"], 30)
    return time.monotonic()


async def _detection(scale: Scale) -> list[Row]:
    """From the write of an incident to its message, with and without the outbox; the two take turns."""
    with_outbox, without = [], []
    async with Standin() as standin, _engine(standin) as (engine, config):
        task = await _bot(engine, config, standin)
        client = discord.Client(intents=discord.Intents.none())
        await client.login(standin.token)
        channel = OpsChannel(lambda: client, standin.ops_channel_id)
        await asyncio.sleep(1)
        for number in range(scale.times(ALARMS)):
            began = time.monotonic()
            await engine.store.write(incident_repository.open_incident, _incident(number, engine.clock()))
            engine.feed.publish("notice")
            with_outbox.append(await _arrival(standin, f"s{number} ") - began)
            await asyncio.sleep(REST)
            began = time.monotonic()
            draft = replace(_incident(number, engine.clock()), id=number, service=f"direct{number}")
            shown = incident_card(draft, Around("bench"))
            await channel.send(shown, nonce=f"direct{number}", reply_to=None, silent=False)
            without.append(await _arrival(standin, f"direct{number} ") - began)
            await asyncio.sleep(REST)
        await client.close()
        await _end(task)
    baseline = "sent at once, nothing written down"
    return [
        row(f"incident to message, {name}", value * 1000, "ms", baseline, base * 1000)
        for name, value, base in (
            ("median", quantile(with_outbox, 0.5), quantile(without, 0.5)),
            ("95 %", quantile(with_outbox, 0.95), quantile(without, 0.95)),
        )
    ]


async def _drain(scale: Scale) -> list[Row]:
    """How long it takes to tell what waited."""
    count, still_open = scale.times(SPOOLED), scale.times(OPEN)
    async with Standin() as standin, _engine(standin) as (engine, config):
        past = engine.clock() - timedelta(hours=1)
        for number in range(count):
            await engine.store.write(incident_repository.open_incident, _incident(number, past))
            await engine.store.write(
                incident_repository.close_incident, f"s{number}", message(Resolution.RESTARTED), past
            )
        came_and_went = await _told(engine, config, standin)
        messages = len(standin.messages(standin.ops_channel_id))
        for number in range(still_open):
            await engine.store.write(incident_repository.open_incident, _incident(number, past))
        opened = await _told(engine, config, standin)
        told = len(standin.messages(standin.ops_channel_id)) - messages
    return [
        row(
            f"{count} spooled alerts that are over",
            came_and_went,
            "s",
            "one message each, at Discord's limit",
            count / PER_SECOND,
            note=f"{messages} message",
        ),
        row(
            f"{still_open} spooled alarms that are open",
            opened,
            "s",
            "one message each, at Discord's limit",
            still_open / PER_SECOND,
            note=f"{told} message; cards follow for what remains",
        ),
    ]


async def _told(engine: Engine, config: Config, standin: Standin) -> float:
    """Seconds from the start of the bot until everything is told, by itself or with others."""
    began = time.monotonic()
    task = await _bot(engine, config, standin)
    while await engine.store.read(_cards):
        await asyncio.sleep(0.05)
    took = time.monotonic() - began
    await until(lambda: standin.connected, 10)
    await _end(task)
    return took


def _cards(db: sqlite3.Connection) -> int:
    query = (
        "SELECT count(*) FROM notices WHERE told_at IS NULL AND dropped IS NULL AND withheld = 0 AND kind <> 'timeline'"
    )
    return int(db.execute(query).fetchone()[0])


def _lived(db: sqlite3.Connection, number: int, at: datetime) -> int:
    """An incident from alarm to end, with what was said of it; its size as a line of JSON."""
    opened = incident_repository.open_incident(db, _incident(number, at))
    for attempt in (1, 2):
        restarting = event(IncidentEventKind.RESTARTING, at, attempt=attempt, of=3)
        incident_repository.add_event(db, opened.id, restarting, counted=AttemptBy.OPSBOT)
    incident_repository.add_event(db, opened.id, event(IncidentEventKind.STARTED_BY_MANAGER, at, pid=4242))
    closed = incident_repository.close_incident(db, opened.service, message(Resolution.RESTARTED), at)
    for notice in outbox.pending(db, at):
        outbox.trying(db, notice.id, at)
        outbox.mark_sent(db, notice.id, at, channel=1, message=10**18 + notice.id)
    for line in outbox.pending(db, at):
        outbox.mark_sent(db, line.id, at, channel=1, message=10**18 + line.id)
    return len(json.dumps([closed and closed.events, EVIDENCE.log, opened.cause], default=str))


async def _room(scale: Scale) -> list[Row]:
    count, at, plain = scale.times(INCIDENTS), datetime.now(UTC), 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "store.sqlite3"
        async with Store(path) as store:
            for first in range(0, count, 100):

                def hundred(db: sqlite3.Connection, first: int = first) -> int:
                    return sum(_lived(db, number, at) for number in range(first, min(first + 100, count)))

                plain += await store.write(hundred)
        size = await asyncio.to_thread(lambda: path.stat().st_size)
    mib, per = 1024 * 1024, INCIDENTS / count
    note = "log lines, three deeds, and six notices each"
    return [row("store, 10 000 incidents", size / mib * per, "MiB", "as JSON lines", plain / mib * per, note=note)]


async def run(scale: Scale) -> list[Row]:
    """The figures."""
    return [*await _detection(scale), *await _drain(scale), *await _room(scale)]
