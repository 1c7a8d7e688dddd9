"""The case opsbot was made for, on a real host: a Node.js bot with a webhook port, from its first deploy to a reboot.

opsbot is installed by the very commands of docs/installing.md, as its own user, without sudo; Discord is the stand-in.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from opsbot.standin import Standin
from tests.fixtures.git_http import git_server
from tests.fixtures.sample import free_port
from tests.fixtures.stage import get
from tests.onhost.bot import Bot
from tests.onhost.host import TOP, Host, missing

UNIT = "voice-meeting-discord-bot.service"
CONFIG = """\
host = "voice-1"

[discord]
token_file = "discord-token"
guild_id = {guild}
ops_channel_id = {channel}
api_url = "{api}"
board = false

[roles]
admin = [{admin}]

[alerts]
# Each fault is to have an incident of its own, though they come within minutes.
flap_changes = 100

[http]
listen = "127.0.0.1:{http}"

[services.voice-meeting-bot]
manager = "systemd"
unit = "voice-meeting-discord-bot.service"
soak = "2s"
verify_timeout = "20s"
startup_grace = "10s"

[services.voice-meeting-bot.source]
repository = "{repository}"
directory = "/srv/voice-meeting-bot"
poll = "5s"
shared = ["node-bot/data"]

[[services.voice-meeting-bot.install]]
run = ["npm", "ci", "--omit=dev"]
directory = "node-bot"
when_changed = ["node-bot/package.json", "node-bot/package-lock.json"]

[[services.voice-meeting-bot.checks]]
kind = "unit"
interval = "1s"

[[services.voice-meeting-bot.checks]]
kind = "process"
interval = "1s"

[[services.voice-meeting-bot.checks]]
kind = "tcp"
port = {port}
interval = "1s"
timeout = "900ms"
rise = 1

[[services.voice-meeting-bot.checks]]
kind = "http"
name = "webhook"
url = "http://127.0.0.1:{port}/health"
interval = "1s"
timeout = "900ms"
rise = 1

[services.voice-meeting-bot.recovery]
attempts = 2
backoff = "1s"
blame = "0s"
"""
DROPIN = """\
[Unit]
StartLimitIntervalSec=30
StartLimitBurst=3
[Service]
Environment=WEBHOOK_PORT={port}
RestartSec=200ms
TimeoutStopSec=5
"""


@dataclass
class World:
    """The host, the bot that is deployed to it, and the channel."""

    host: Host
    bot: Bot
    standin: Standin
    port: int
    heard: int = 0
    """How many messages of the channel have been looked at: each step hears of itself alone."""
    ended: int = 0
    """How many incidents were waited for."""
    commits: dict[int, str] = field(default_factory=dict)

    def texts(self) -> list[str]:
        """The text line of each message in the ops channel."""
        found = [str(message["content"]) for message in self.standin.messages(self.standin.ops_channel_id)]
        # The probe of the alert path comes and goes.
        return [text for text in found if not text.startswith("🔎")]

    def endings(self) -> list[str]:
        """The end of each incident, as its thread tells it."""
        threads = self.standin.state.threads_of(self.standin.ops_channel_id)
        lines = [str(message["content"]) for thread in threads for message in self.standin.messages(thread.id)]
        return [line for line in lines if "recovered after" in line]

    async def until(self, fact: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
        """Wait for something to be so; what it was."""
        until = asyncio.get_running_loop().time() + seconds
        while not (found := await asyncio.to_thread(fact)):
            if asyncio.get_running_loop().time() > until:
                units = "\n".join(f"--- {unit}\n{self.host.journal(unit)}" for unit in ("opsbot.service", UNIT))
                raise AssertionError(f"not within {seconds} s: {what}\n" + "\n".join(self.texts()) + f"\n{units}")
            await asyncio.sleep(0.2)  # between two looks
        return found

    async def says(self, *words: str) -> str:
        """Wait for a new message with all these words; none before it is heard again."""

        def fact() -> str | None:
            for number, text in enumerate(self.texts()[self.heard :]):
                if all(word in text for word in words):
                    self.heard += number + 1
                    return text
            return None

        found: str = await self.until(fact, f"said {words}")
        return found

    def ask(self) -> dict[str, Any]:
        """What the bot answers; nothing where it does not."""
        with suppress(OSError, ValueError):
            return get(f"{self.url}/health")
        return {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serves(self, version: int) -> dict[str, Any]:
        """Wait until this version answers."""

        def fact() -> dict[str, Any] | None:
            found = self.ask()
            return found if found.get("version") == version else None

        found: dict[str, Any] = await self.until(fact, f"version {version} answers")
        return found

    async def does(self, *command: object) -> str:
        return await asyncio.to_thread(self.host.does, *command)

    async def push(self, number: int, dependency: int, **behaviour: object) -> str:
        """Push a version; its commit, short."""
        commit = await asyncio.to_thread(self.bot.version, number, dependency, **behaviour)
        self.commits[number] = commit[:7]
        return commit[:7]

    async def live(self, version: int) -> None:
        """What runs is that version, by what it answers, by the link and by what opsbot says."""
        answer = await self.serves(version)
        release = (await self.does("readlink", "/srv/voice-meeting-bot/current")).rpartition("/")[2]
        assert release.rpartition("-")[2].startswith(self.commits[version])
        assert f"/releases/{release}/node-bot" in answer["folder"]
        await self.until(lambda: self._live_by_opsbot() == release, f"opsbot says that {release} is live")

    def _live_by_opsbot(self) -> str | None:
        said = self.host.tries("opsbot", "status", "--json", "-c", "/etc/opsbot/config.toml").stdout
        status = json.loads(said)
        (service,) = status["services"] if isinstance(status, dict) else status
        return service["release"]["name"] if service["release"] is not None else None

    async def well_again(self) -> None:
        """Wait for one more incident to be over."""
        await self.until(lambda: len(self.endings()) > self.ended, "recovered after")
        self.ended += 1


def install(host: Host, config: str, port: int, token: str) -> None:
    """As docs/installing.md has it, from its second step to its fifth; cloned from here."""
    host.does("git", "clone", "-q", "--depth", "1", f"file://{TOP}", "/opt/opsbot")
    host.does("/usr/bin/python3", "-m", "venv", "/opt/opsbot/.venv")
    pip = "/opt/opsbot/.venv/bin/pip"
    host.does(pip, "install", "-q", "--require-hashes", "-r", "/opt/opsbot/requirements/runtime.txt")
    host.does(pip, "install", "-q", "--no-deps", "/opt/opsbot")
    host.does("ln", "-s", "/opt/opsbot/.venv/bin/opsbot", "/usr/local/bin/opsbot")
    host.does("useradd", "--system", "--user-group", "--shell", "/usr/sbin/nologin", "voice-meeting-bot")
    host.does("cp", f"/opt/opsbot/systemd/{UNIT}", "/etc/systemd/system/")
    host.write("/etc/voice-meeting-bot.env", "BOT_TOKEN=its-own-secret\n", "0600")
    host.write(f"/etc/systemd/system/{UNIT}.d/test.conf", DROPIN.format(port=port))
    host.does("systemctl", "daemon-reload")
    host.does("systemctl", "enable", "-q", UNIT)
    host.write("/etc/opsbot/config.toml", config)
    host.does("opsbot", "check", "-c", "/etc/opsbot/config.toml")
    host.write("/etc/opsbot/discord-token", f"{token}\n", "0600")
    host.does("opsbot", "install", "-c", "/etc/opsbot/config.toml", "--yes")
    host.does("systemctl", "enable", "-q", "--now", "opsbot")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    if why := missing():
        pytest.skip(why)
    async with AsyncExitStack() as stack:
        bot = await asyncio.to_thread(Bot, tmp_path / "repository")
        server = await stack.enter_async_context(git_server(tmp_path / "repository"))
        standin = await stack.enter_async_context(Standin(bot_token="a-token-nobody-should-see"))
        disk = Path(tempfile.mkdtemp(prefix="opsbot-host-")) / "disk"
        host = await asyncio.to_thread(Host, f"seed-{os.getpid()}", disk)
        stack.push_async_callback(asyncio.to_thread, host.remove)
        port = free_port()
        config = CONFIG.format(
            guild=standin.guild_id,
            channel=standin.ops_channel_id,
            api=standin.api_url,
            admin=f'"{standin.roles["admin"]}"',
            http=free_port(),
            port=port,
            repository=server.url,
        )
        world = World(host, bot, standin, port)
        await world.push(1, 1)
        await asyncio.to_thread(install, host, config, port, standin.token)
        yield world


@pytest.mark.timeout(900)
async def test_the_seeds_case_from_its_first_deploy_to_a_reboot(world: World) -> None:
    await five_deploys(world)
    await a_bad_commit_is_undone(world)
    await it_dies_hangs_and_closes_its_port(world)
    await its_start_limit_is_hit(world)
    await a_person_stops_it(world)
    await opsbot_is_killed_in_the_middle_of_a_deploy(world)
    await the_plug_is_pulled(world)
    assert [text for text in world.texts() if "a-token-nobody-should-see" in text] == []


async def five_deploys(world: World) -> None:
    """The dependency is changed by the third; whoever runs the code is the bot's own user."""
    await world.says(world.commits[1], "Deploying")
    await world.live(1)
    uid = int(await world.does("id", "-u", "voice-meeting-bot"))
    for number, dependency in ((2, 1), (3, 2), (4, 2), (5, 2)):
        commit = await world.push(number, dependency)
        await world.says("voice-meeting-bot", commit)
        answer = await world.serves(number)
        assert (answer["dependency"], answer["user"]) == (f"tiny {dependency}", uid)
        await world.live(number)
    cards = [message for message in world.standin.messages(world.standin.ops_channel_id) if message["embeds"]]
    assert "unchanged since" in "".join(str(message["embeds"][0].get("description")) for message in cards)
    assert await world.does("stat", "-L", "-c", "%U %G", "/srv/voice-meeting-bot/current") == "opsbot voice-meeting-bot"


async def a_bad_commit_is_undone(world: World) -> None:
    bad = await world.push(6, 2, status=500)
    await world.says(bad, "rolled back to")
    await world.live(5)


async def it_dies_hangs_and_closes_its_port(world: World) -> None:
    await world.does("systemctl", "kill", "-s", "KILL", "--kill-who=main", UNIT)
    await world.says("is DOWN", "killed by SIGKILL")
    await world.well_again()
    await world.does("systemctl", "kill", "-s", "STOP", UNIT)
    await world.says("is DOWN")
    await world.well_again()
    await world.does("curl", "-s", "-X", "POST", f"{world.url}/close")
    await world.says("is DOWN")
    await world.well_again()
    await world.live(5)


async def its_start_limit_is_hit(world: World) -> None:
    """systemd gives up, opsbot tries, then calls for a human and leaves it."""
    broken = "/srv/voice-meeting-bot/shared/node-bot/data/broken"
    await world.does("touch", broken)
    await world.does("systemctl", "kill", "-s", "KILL", "--kill-who=main", UNIT)
    await world.says("is DOWN")
    await world.says("needs attention")
    await world.does("rm", broken)
    await world.does("opsbot", "restart", "voice-meeting-bot", "-c", "/etc/opsbot/config.toml")
    await world.well_again()
    await world.live(5)


async def a_person_stops_it(world: World) -> None:
    """It is said, and left so; started by the person, it is watched again."""
    await world.does("systemctl", "stop", UNIT)
    await world.says("was stopped by hand")
    await asyncio.sleep(6)  # what must not happen would have by then
    assert (await asyncio.to_thread(world.host.tries, "systemctl", "is-active", UNIT)).stdout.strip() == "inactive"
    await world.does("systemctl", "start", UNIT)
    await world.serves(5)


async def opsbot_is_killed_in_the_middle_of_a_deploy(world: World) -> None:
    """The deploy comes to its end all the same, told on one card."""
    commit = await world.push(7, 2)
    await world.says("voice-meeting-bot", commit)
    await world.serves(7)
    await world.does("systemctl", "kill", "-s", "KILL", "opsbot")
    await world.until(lambda: any("runs" in text and commit in text for text in world.texts()), "the card ends well")
    await world.live(7)
    assert sum(commit in text for text in world.texts()) == 1
    await world.says("opsbot is back")


async def the_plug_is_pulled(world: World) -> None:
    """The host comes back with the same release, and the channel is told once."""
    await asyncio.to_thread(world.host.power_off)
    assert world.ask() == {}
    await asyncio.to_thread(world.host.boot)
    # The second time within an hour: the message about the first one counts.
    await world.until(lambda: any("opsbot came back 2 times" in text for text in world.texts()), "it came back")
    await world.live(7)
    before = len(world.texts())
    await asyncio.sleep(6)  # what must not happen would have by then
    assert world.texts()[before:] == []
