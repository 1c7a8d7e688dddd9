"""opsbot as a unit of a real systemd, as its own user: ready, status, watchdog, reload, stop, credentials."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from opsbot.services import run_record
from opsbot.standin import Standin
from tests.fixtures.sample import free_port

NAME = "unitt-opsbot.service"
PLACE = Path("/etc/unitt")
STATE = Path("/var/lib/unitt-opsbot")
CONFIG = PLACE / "config.toml"

SETTINGS = """\
[discord]
token_file = "discord-token"
guild_id = {guild}
ops_channel_id = {channel}
api_url = "{api}"
board = false

[roles]
admin = [{admin}]

[state]
directory = "{state}"

[http]
listen = "127.0.0.1:{http}"

[services.unitt-web]
manager = "process"
command = ["{python}", "-m", "http.server", "--bind", "127.0.0.1", "{port}"]
working_directory = "/srv/unitt-web"
stop_timeout = "1s"

[[services.unitt-web.checks]]
kind = "tcp"
port = {port}
interval = "1s"
"""

UNIT = """\
[Unit]
Description=opsbot under test
StartLimitIntervalSec=0

[Service]
Type=notify
User=opsbot
ExecStart={python} -m opsbot run -c {config}
ExecReload=/bin/kill -HUP $MAINPID
ExecReload={python} -m opsbot check -c {config}
Restart=always
RestartSec=200ms
WatchdogSec={watchdog}
TimeoutAbortSec=1
TimeoutStopSec=30
KillMode=process
StateDirectory=unitt-opsbot
RuntimeDirectory=unitt-opsbot
LoadCredential=discord-token:/etc/unitt/token
LimitCORE=0
NoNewPrivileges=yes
UMask=0027
Environment=PYTHONDONTWRITEBYTECODE=1
"""


def systemctl(*words: str, check: bool = True) -> str:
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, check=check).stdout.strip()


def readable_by_opsbot(path: Path) -> bool:
    return subprocess.run(["su", "opsbot", "-c", f"cat {path}"], capture_output=True, check=False).returncode == 0


@dataclass
class Unit:
    """The unit, and Discord beside it."""

    standin: Standin

    async def show(self, name: str) -> str:
        return await asyncio.to_thread(systemctl, "show", NAME, "--value", "-p", name)

    async def pid(self) -> int:
        return int(await self.show("MainPID"))

    async def ctl(self, *words: str) -> None:
        await asyncio.to_thread(systemctl, *words, NAME)

    async def refuses(self, verb: str) -> str:
        """What systemctl says where the unit does not do it."""
        done = await asyncio.to_thread(subprocess.run, ["systemctl", verb, NAME], capture_output=True, text=True)
        assert done.returncode == 1, done
        return str(done.stderr)

    async def until(self, fact: Callable[[], object], what: str = "") -> None:
        end = asyncio.get_running_loop().time() + 40
        while not await asyncio.to_thread(fact):
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(f"{what}\n{self.texts()}\n{self.journal()[-4000:]}")
            await asyncio.sleep(0.05)  # between two looks

    async def shows(self, name: str, *words: str) -> str:
        """Wait until a property holds all these words."""

        def fact() -> bool:
            found = systemctl("show", NAME, "--value", "-p", name)
            return all(word in found for word in words)

        await self.until(fact, f"{name}: {words}")
        return await self.show(name)

    def texts(self) -> list[str]:
        return [str(message["content"]) for message in self.standin.messages(self.standin.ops_channel_id)]

    def lines(self) -> list[str]:
        """What the threads of incidents say."""
        threads = self.standin.state.threads_of(self.standin.ops_channel_id)
        return [str(message["content"]) for thread in threads for message in self.standin.messages(thread.id)]

    async def said(self, *words: str) -> None:
        """Wait for a message that holds all these words, in the ops channel or in the thread of an incident."""

        def fact() -> bool:
            return any(all(word in text for word in words) for text in [*self.texts(), *self.lines()])

        await self.until(fact, f"said {words}")

    async def service(self) -> int:
        """The main process of the service that opsbot keeps, once it runs."""
        await self.until(self._service, "the service runs")
        return await asyncio.to_thread(self._service) or 0

    def _service(self) -> int | None:
        record = run_record.load(STATE / "services" / "unitt-web")
        main = record.main() if record else None
        return main.pid if main else None

    def journal(self) -> str:
        subprocess.run(["journalctl", "--sync"], check=True)
        return subprocess.run(
            ["journalctl", "-u", NAME, "-o", "cat", "-n", "400"], capture_output=True, text=True, check=True
        ).stdout


def lay(standin: Standin, watchdog: str, token: str) -> None:
    PLACE.mkdir(exist_ok=True)
    (PLACE / "token").write_text(token + "\n")
    (PLACE / "token").chmod(0o600)
    Path("/srv/unitt-web").mkdir(parents=True, exist_ok=True)
    CONFIG.write_text(
        SETTINGS.format(
            guild=standin.guild_id,
            channel=standin.ops_channel_id,
            api=standin.api_url,
            admin=f'"{standin.roles["admin"]}"',
            state=STATE,
            http=free_port(),
            port=free_port(),
            python="/usr/bin/python3",
        )
    )
    shutil.chown(CONFIG, "root", "opsbot")
    CONFIG.chmod(0o640)
    unit = UNIT.format(python=sys.executable, config=CONFIG, watchdog=watchdog)
    (Path("/etc/systemd/system") / NAME).write_text(unit)
    systemctl("daemon-reload")


def clear() -> None:
    systemctl("kill", "--signal=SIGCONT", NAME, check=False)
    systemctl("stop", NAME, check=False)
    systemctl("kill", "--kill-who=all", "--signal=SIGKILL", NAME, check=False)
    systemctl("reset-failed", NAME, check=False)
    shutil.rmtree(STATE, ignore_errors=True)
    (Path("/etc/systemd/system") / NAME).unlink()
    systemctl("daemon-reload")


@asynccontextmanager
async def unit(*, watchdog: str = "60", refuses: bool = False) -> AsyncIterator[Unit]:
    async with Standin(bot_token="a-token-nobody-should-see") as standin:
        await asyncio.to_thread(lay, standin, watchdog, "another-token" if refuses else standin.token)
        found = Unit(standin)
        try:
            await found.ctl("start")
            yield found
        finally:
            await asyncio.to_thread(clear)


def edit(old: str, new: str) -> None:
    text = CONFIG.read_text()
    assert old in text
    CONFIG.write_text(text.replace(old, new))


async def test_it_is_ready_shows_how_things_stand_and_reads_its_token_from_a_credential() -> None:
    async with unit() as found:
        assert await found.show("ActiveState") == "active"
        await found.standin.wait_connected(30)
        await found.shows("StatusText", "1 service healthy; Discord connected")
        pid = await found.pid()
        assert Path(f"/proc/{pid}").stat().st_uid == Path(f"/proc/{await found.service()}").stat().st_uid != 0
        assert not await asyncio.to_thread(readable_by_opsbot, PLACE / "token")
        found.standin.faults.away()
        await found.shows("StatusText", "Discord unavailable since")
        found.standin.faults.back()
        await found.shows("StatusText", "Discord connected")
        assert "a-token-nobody-should-see" not in await asyncio.to_thread(found.journal)


async def test_it_is_ready_though_discord_refuses_the_token() -> None:
    async with unit(refuses=True) as found:
        assert await found.show("ActiveState") == "active"
        await found.shows("StatusText", "Discord rejects opsbot since", "token")
        assert "another-token" not in await asyncio.to_thread(found.journal)


async def test_a_service_that_is_down_is_in_the_status_and_gone_from_it_when_it_is_well() -> None:
    async with unit() as found:
        await found.shows("StatusText", "Discord connected")
        first = await found.service()
        os.kill(first, signal.SIGSTOP)
        os.kill(first, signal.SIGKILL)
        await found.shows("StatusText", "1 down: unitt-web")
        await found.shows("StatusText", "1 service healthy; Discord connected")


async def test_a_hung_opsbot_is_ended_by_the_watchdog_and_the_next_one_adopts_the_services() -> None:
    async with unit(watchdog="3") as found:
        await found.standin.wait_connected(30)
        service, first = await found.service(), await found.pid()
        await asyncio.sleep(8)  # fed, it lives longer than the watchdog waits
        assert await found.pid() == first
        assert int(await found.show("NRestarts")) == 0
        os.kill(first, signal.SIGSTOP)
        await found.until(lambda: int(systemctl("show", NAME, "--value", "-p", "NRestarts")) == 1, "started again")
        await found.shows("ActiveState", "active")
        assert "Watchdog timeout" in await asyncio.to_thread(found.journal)
        await found.said("opsbot is back")
        assert await found.pid() != first
        assert await found.service() == service


async def test_a_right_configuration_is_taken_by_systemctl_reload() -> None:
    async with unit() as found:
        service, first = await found.service(), await found.pid()
        edit('interval = "1s"', 'interval = "2s"')
        await found.ctl("reload")
        await found.said("reloaded", "1 change")
        await found.shows("ActiveState", "active")
        await found.shows("SubState", "running")
        assert (await found.pid(), await found.service()) == (first, service)
        assert int(await found.show("NRestarts")) == 0
        await found.shows("StatusText", "1 service healthy; Discord connected")


async def test_a_wrong_configuration_fails_systemctl_reload_and_the_channel_is_told() -> None:
    async with unit() as found:
        await found.shows("StatusText", "1 service healthy; Discord connected")
        service, first = await found.service(), await found.pid()
        edit('interval = "1s"', 'interval = "often"')
        assert "failed" in await found.refuses("reload")
        await found.said("a problem", "the old one stays in force")
        assert f"{CONFIG}:" in await asyncio.to_thread(found.journal), "what is wrong, and where"
        await found.shows("ActiveState", "active")
        await found.shows("SubState", "running")
        await found.shows(
            "StatusText", "the configuration file has a problem; the old configuration stays", "1 service"
        )
        assert (await found.pid(), await found.service(), await found.show("NRestarts")) == (first, service, "0")
        edit('interval = "often"', 'interval = "1s"')
        await found.ctl("reload")
        await found.said("nothing changed")


async def test_a_wrong_configuration_is_not_taken_on_a_signal_to_reload_either() -> None:
    async with unit() as found:
        service, first = await found.service(), await found.pid()
        edit('interval = "1s"', 'interval = "often"')
        await found.ctl("kill", "--kill-who=main", "--signal=SIGHUP")
        await found.said("a problem", "the old one stays in force")
        await found.shows("SubState", "running")
        await found.shows(
            "StatusText", "the configuration file has a problem; the old configuration stays", "1 service"
        )
        assert f"{CONFIG}:" in await asyncio.to_thread(found.journal)
        assert (await found.pid(), await found.service()) == (first, service)
        edit('interval = "often"', 'interval = "1s"')
        await found.ctl("reload")
        await found.said("nothing changed")
        await found.shows("StatusText", "1 service healthy; Discord connected")


async def test_it_stops_within_10_seconds_though_discord_is_slow_and_what_was_not_told_is_told_later() -> None:
    async with unit() as found:
        await found.standin.wait_connected(30)
        await found.shows("StatusText", "Discord connected")
        found.standin.faults.delay(r"/messages", 30, times=50)
        service = await found.service()
        os.kill(service, signal.SIGKILL)
        await found.shows("StatusText", "1 down")
        async with asyncio.timeout(10):
            await found.ctl("stop")
        assert await found.show("Result") == "success"
        assert await found.show("ExecMainStatus") == "0"
        found.standin.faults.clear()
        await found.ctl("start")
        await found.said("unitt-web", "recovered after")
        assert len([text for text in found.texts() if "unitt-web" in text]) == 1, found.texts()
        assert len([text for text in found.lines() if "unitt-web recovered after" in text]) == 1, found.lines()


async def test_a_second_one_on_the_same_state_is_refused_with_the_firsts_pid() -> None:
    async with unit() as found:
        first = await found.pid()
        second = Path("/etc/systemd/system/unitt-second.service")
        settings = CONFIG.read_text()
        (PLACE / "second.toml").write_text(settings.replace("[http]", f"[http] # {free_port()}"))
        shutil.chown(PLACE / "second.toml", "root", "opsbot")
        text = UNIT.format(python=sys.executable, config=PLACE / "second.toml", watchdog="60")
        second.write_text(text.replace("RuntimeDirectory=unitt-opsbot", "").replace("Restart=always", ""))
        await asyncio.to_thread(systemctl, "daemon-reload")
        started = await asyncio.to_thread(
            lambda: subprocess.run(["systemctl", "start", second.name], capture_output=True, check=False)
        )
        assert started.returncode != 0
        said = await asyncio.to_thread(
            lambda: (
                subprocess.run(
                    ["journalctl", "-u", second.name, "-o", "cat"], capture_output=True, text=True, check=True
                ).stdout
            )
        )
        assert f"another opsbot uses {STATE}: pid {first}, running since 20" in said, said
        assert await found.pid() == first
        second.unlink()
