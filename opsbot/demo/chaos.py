"""The demo's side panel, whose buttons cause events and failures."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import aiohttp

from opsbot.config import Config
from opsbot.demo.daemon import Daemon
from opsbot.demo.repository import SampleRepository
from opsbot.services import run_record
from opsbot.standin import PanelButton, Standin

AWAY_SECONDS = 60.0
ANSWER_SECONDS = 3.0


class NothingToDoError(RuntimeError):
    """The button's target does not exist; the message is shown on the page."""


class Chaos:
    """The buttons' actions."""

    def __init__(
        self,
        standin: Standin,
        repository: SampleRepository,
        daemon: Daemon,
        service_port: int,
        config: Config,
        bot: int,
    ) -> None:
        """Store what the buttons act on. bot: user id of the service's bot in Discord."""
        self._bot = bot
        self._room: int | None = None
        self._standin = standin
        self._repository = repository
        self._daemon = daemon
        self._port = service_port
        self._config = config

    def panel(self) -> list[PanelButton]:
        push, hurt, around = "Push a commit", "Hurt the service", "Around it"
        git = self._repository
        rows: list[tuple[str, str, str, str, bool, Callable[[], Awaitable[str]]]] = [
            ("push-good", push, "Good commit", "Deployed and verified within seconds", False, git.good),
            ("push-packages", push, "New package", "Its install step runs again", False, git.good_with_packages),
            ("push-install", push, "Fails to install", "Nothing live changes", True, git.bad_install),
            ("push-syntax", push, "Syntax error", "Fails at startup: rolled back", True, git.syntax_error),
            ("push-500", push, "Answers 500", "Fails its check: rolled back", True, git.answers_500),
            ("push-dies", push, "Dies after 3 s", "Caught by the soak: rolled back", True, git.dies_later),
            ("push-docs", push, "Only docs", "Noted, not deployed", False, git.docs_only),
            ("push-force", push, "Force-push", "Rewritten history is followed", False, git.force),
            ("kill", hurt, "Kill it", "SIGKILL: restarted immediately", True, self._signal(signal.SIGKILL)),
            ("hang", hurt, "Hang it", "SIGSTOP: detected by its checks", True, self._signal(signal.SIGSTOP)),
            ("500", hurt, "Answer 500", "Restarted once its check is down", True, self._switch("500")),
            ("leak", hurt, "Leak memory", "Restarted when it grows past 192 MiB", True, self._switch("leak")),
            ("away", around, "Discord away", "For a minute; messages follow afterwards", True, self._away),
            (
                "meeting",
                around,
                "Meeting",
                "Its bot joins Aiko, so deploys wait. Again: it leaves",
                False,
                self._meet,
            ),
            ("drop", around, "Drop the socket", "The gateway resumes", False, self._drop),
            (
                "kill-opsbot",
                around,
                "Kill opsbot",
                "SIGKILL: nothing is lost, the service keeps running",
                True,
                self._kill_opsbot,
            ),
        ]
        return [PanelButton(*row) for row in rows]

    def _signal(self, number: signal.Signals) -> Callable[[], Awaitable[str]]:
        async def act() -> str:
            record = await asyncio.to_thread(run_record.load, self._config.state.services / "hello")
            process = await asyncio.to_thread(record.main) if record else None
            if process is None:
                raise NothingToDoError("the service is not running")
            os.kill(process.pid, number)
            return f"{number.name} sent to the service (pid {process.pid})"

        return act

    def _switch(self, name: str) -> Callable[[], Awaitable[str]]:
        async def act() -> str:
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
            url = f"http://127.0.0.1:{self._port}/switch/{name}"
            try:
                async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url) as answer:
                    answer.raise_for_status()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise NothingToDoError("the service does not answer") from error
            return "the service answers 500 from now on" if name == "500" else "the service leaks from now on"

        return act

    async def _away(self) -> str:
        self._standin.faults.away(AWAY_SECONDS)
        return f"Discord is away for {AWAY_SECONDS:.0f} s; opsbot keeps working"

    async def _meet(self) -> str:
        member = self._standin.member("Aiko").id
        if self._room is None:
            self._room = self._standin.add_voice_channel("meeting")
        elif self._standin.state.member(self._bot).voice is not None:
            for one in (self._bot, member):
                self._standin.set_voice(one, None)
            return "the meeting is over; a waiting deploy continues"
        for one in (self._bot, member):
            self._standin.set_voice(one, self._room)
        return "the service's bot sits in #meeting with Aiko: a deploy waits for the end, or for [Now] on its card"

    async def _drop(self) -> str:
        self._standin.faults.drop_gateway(resumable=True)
        return "the gateway's socket was dropped"

    async def _kill_opsbot(self) -> str:
        pid = self._daemon.pid
        if pid is None:
            raise NothingToDoError("opsbot is not running")
        os.kill(pid, signal.SIGKILL)
        return f"opsbot (pid {pid}) was killed; it restarts in a second"
