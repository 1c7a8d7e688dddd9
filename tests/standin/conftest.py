import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import discord
import pytest
import yarl

from opsbot.standin import Standin
from tests.fixtures.waiting import until
from tests.standin.client import Bot

StartBot = Callable[..., Awaitable[Bot]]


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as running:
        yield running
        assert running.unknown_routes == []


@contextlib.contextmanager
def pointed_at(standin: Standin) -> Iterator[None]:
    before = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    discord.http.Route.BASE = standin.api_url
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(standin.gateway_url)
    try:
        yield
    finally:
        discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = before


@pytest.fixture
async def start_bot(standin: Standin) -> AsyncIterator[StartBot]:
    logging.getLogger("discord").setLevel(logging.CRITICAL)
    started: list[tuple[Bot, asyncio.Task[None]]] = []

    async def start(intents: discord.Intents | None = None) -> Bot:
        bot = Bot(standin, intents or discord.Intents(guilds=True))
        task = asyncio.create_task(bot.start(standin.token))
        started.append((bot, task))
        await asyncio.wait(
            [task, waiting := asyncio.create_task(_ready(bot))], return_when=asyncio.FIRST_COMPLETED, timeout=10
        )
        if task.done():
            waiting.cancel()
            task.result()
        return bot

    with pointed_at(standin):
        yield start
        for bot, task in started:
            await bot.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _ready(bot: Bot) -> None:
    await until(lambda: bot._ready is not discord.utils.MISSING)
    await bot.wait_until_ready()


@pytest.fixture
async def bot(start_bot: StartBot) -> Bot:
    return await start_bot()


class Rest:
    """Plain HTTP to the stand-in, with the bot's token."""

    def __init__(self, standin: Standin, session: aiohttp.ClientSession) -> None:
        self.standin = standin
        self.session = session
        self.ops = f"/channels/{standin.ops_channel_id}"
        self.headers: dict[str, str] = {}

    async def __call__(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:
        """The JSON answer with its `status` put in for an object; the last headers are kept."""
        data = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bot {token or self.standin.token}", "Content-Type": "application/json"}
        async with self.session.request(method, self.standin.api_url + path, data=data, headers=headers) as response:
            self.headers = dict(response.headers)
            text = await response.text()
            found = json.loads(text) if text else {}
            return {**found, "status": response.status} if isinstance(found, dict) else found

    async def send(self, **body: object) -> Any:
        """POST a message to the ops channel."""
        return await self("POST", f"{self.ops}/messages", body)

    async def edit(self, message: Any, **body: object) -> Any:
        """PATCH it."""
        return await self("PATCH", f"{self.ops}/messages/{message['id']}", body)


@pytest.fixture
async def rest(standin: Standin) -> AsyncIterator[Rest]:
    async with aiohttp.ClientSession() as session:
        yield Rest(standin, session)
