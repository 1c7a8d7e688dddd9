"""A real opsbot on a virtual clock, over services that the driver breaks, and the people who use it.

Real: the engine, the monitoring, the pipeline, git, the store, the renderers and the delivery. Written by hand: the
services and their manager (`reality`), and the channel, which keeps what it is given.
"""

import asyncio
import itertools
import shutil
import subprocess
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cogs.cards.board_card import Look as BoardLook
from cogs.cards.board_card import board
from cogs.cards.history_cards import history, why
from cogs.cards.rendered import Button, RenderedMessage, refusal, say
from cogs.cards.status_cards import details, health, overview
from cogs.delivery.card_editor import CardEditor
from cogs.delivery.fallback_channel import FallbackChannel
from cogs.delivery.sender import DeliveryPace, Sender
from cogs.delivery.threads import Threads
from cogs.interactions.answer import Interim
from cogs.interactions.arguments import Clicks
from cogs.interactions.button_handlers import HANDLERS, ButtonPress
from opsbot.cli import show
from opsbot.cli.terminal import Paint
from opsbot.config import (
    Alerts,
    Check,
    CheckKind,
    Config,
    Discord,
    Http,
    ManagerKind,
    Secret,
    Service,
    Source,
    StateConfig,
)
from opsbot.control import replies
from opsbot.core.access import Actor, Origin, Ranks
from opsbot.core.deployment import Deployment, Refused
from opsbot.core.health import CheckPolicy
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.recovery import RecoveryPolicy
from opsbot.deploy.deployer import Deployer
from opsbot.deploy.poll import Poller
from opsbot.deploy.verify import Verifier
from opsbot.engine import Engine
from opsbot.host.figures import HostFigures
from opsbot.messages import render
from opsbot.monitoring import ServiceMonitor
from opsbot.monitoring.reminders import ReminderScheduler
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, StoreError
from tests.oracle.reality import Behaviour, Code, Deed, Eyes, Host, Truth, acting
from tests.oracle.virtual import VirtualLoop

if TYPE_CHECKING:
    from cogs.delivery.channel import OpsChannel
    from cogs.interactions.arguments import Bot
    from opsbot.probes import Prober

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PEOPLE = ("Mia", "Ben")
POLICY = RecoveryPolicy(attempts=2, backoff=timedelta(seconds=5), budget=6, window=timedelta(minutes=10))
MEMORY_MAX = 1 << 29
CHECKS = (
    Check("http", CheckKind.HTTP, timedelta(seconds=2), timedelta(seconds=1), policy=CheckPolicy(fall=2, rise=2)),
    Check("tcp", CheckKind.TCP, timedelta(seconds=2), policy=CheckPolicy(fall=2, rise=2)),
    Check(
        "process",
        CheckKind.PROCESS,
        timedelta(seconds=2),
        policy=CheckPolicy(fall=1, rise=1),
        memory_max=MEMORY_MAX,
    ),
)
PACE = DeliveryPace(card=0.0)
ALERTS = Alerts(remind=(timedelta(minutes=2),), escalate_after=timedelta(minutes=3))


def service(folder: Path) -> Service:
    """The one that is deployed."""
    return Service(
        "api",
        ManagerKind.PROCESS,
        ("serve",),
        source=Source(f"file://{folder}/api.git", folder / "srv", poll=timedelta(days=7)),
        checks=CHECKS,
        soak=timedelta(seconds=4),
        verify_timeout=timedelta(seconds=20),
        startup_grace=timedelta(seconds=5),
        recovery=POLICY,
    )


@dataclass
class Post:
    """A message, and all that it ever said: (when, what)."""

    id: int
    where: int
    """0 for the ops channel, else the thread."""
    versions: list[tuple[datetime, RenderedMessage]]

    @property
    def shown(self) -> RenderedMessage:
        return self.versions[-1][1]


class Channel:
    """Takes what an `OpsChannel` takes, and keeps it."""

    id = 77
    open = True
    me = 1

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._numbers = itertools.count(1000)
        self.posts: dict[int, Post] = {}
        self.nonces: dict[str, int] = {}
        self.replies: dict[int, int] = {}
        """The message that each replies to."""

    def clean(self, text: str) -> str:
        return text

    def rest_to_send(self, *_: object) -> float:
        return 0.0

    async def turn_to_send(self) -> None: ...

    async def turn_to_edit(self, _: int) -> None: ...

    async def reach(self) -> None: ...

    def why_no_ping(self, _: int) -> str:
        return ""

    async def send(
        self,
        shown: RenderedMessage,
        *,
        nonce: str,
        where: int | None = None,
        reply_to: int | None = None,
        **_: object,
    ) -> int:
        if nonce not in self.nonces:
            number = self.nonces[nonce] = next(self._numbers)
            self.posts[number] = Post(number, where or 0, [(self._clock(), shown)])
            self.replies[number] = reply_to or 0
        return self.nonces[nonce]

    async def start_thread(self, message_id: int, *_: object, **__: object) -> int:
        return message_id

    async def edit(self, message_id: int, shown: RenderedMessage, *_: object) -> None:
        self.posts[message_id].versions.append((self._clock(), shown))

    async def find(
        self, mark: str, _: datetime, *, where: int | None = None, line: str | None = None, but: Collection[int] = ()
    ) -> int | None:
        for post in self.posts.values():
            if post.where != (where or 0) or post.id in but:
                continue
            first = post.versions[0][1]
            if first.footer.endswith(mark) if line is None else first.content.split("\n")[0] == line:
                return post.id
        return None


class Repository:
    """The remote: a bare repository to which the driver pushes."""

    def __init__(self, folder: Path, truth: Truth) -> None:
        self.folder = folder / "api.git"
        self.truth = truth
        self.head = ""

    def create(self) -> None:
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.folder)], check=True)

    def push(self, behaviour: Behaviour, at: datetime, title: str = "") -> Code:
        """A commit with such code on top of the branch."""
        serial = str(len(self.truth.code) + 1)
        title = title or f"change {serial}"
        when, before = int(at.timestamp()), f"from {self.head}\n" if self.head else ""
        text = (
            f"commit refs/heads/main\ncommitter Ada <ada@example.org> {when} +0000\ndata {len(title)}\n{title}\n"
            f"{before}M 100644 inline serial\ndata {len(serial)}\n{serial}\n\n"
        )
        git = ["git", "-C", str(self.folder)]
        subprocess.run([*git, "fast-import", "--quiet"], input=text.encode(), check=True)
        found = subprocess.run([*git, "rev-parse", "main"], check=True, capture_output=True, text=True)
        self.head = found.stdout.strip()
        self.truth.code[serial] = code = Code(self.head, title, behaviour, at)
        return code


@dataclass
class Answer:
    """What opsbot answered to a person. where: "status", "why", "cli why", a button's name, …"""

    at: datetime
    where: str
    shown: RenderedMessage


@dataclass
class World:
    """All of it."""

    folder: Path
    truth: Truth = field(default_factory=Truth)
    answers: list[Answer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.services = {"api": service(self.folder)}
        self.config = Config(
            self.folder / "config.toml",
            Discord(Secret(env="T"), 1, Channel.id, board=False),
            Ranks(),
            StateConfig(self.folder / "state"),
            Http(None),
            self.services,
            alerts=ALERTS,
            host="blue",
        )
        self.host = Host(self.now, self.services, self.truth.code, self.truth)
        self.repository = Repository(self.folder, self.truth)
        self.channel = Channel(self.now)
        self._running: list[asyncio.Task[Any]] = []
        self._background: set[asyncio.Task[Any]] = set()

    def now(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time())

    # opsbot

    async def open(self) -> None:
        """opsbot starts."""
        config, managers = self.config, dict.fromkeys(self.services, self.host)
        self.store = Store(config.state.database)
        await self.store.open()
        self.feed, inhibitors = ChangeNotifier(), Inhibitors()
        eyes = cast("Prober", Eyes(self.host, self.now, self.truth))
        verifier = Verifier(eyes, managers, self.now)
        self.deployer = Deployer(
            config, self.store, self.feed, managers, verifier, self.now, margin=0, inhibitors=inhibitors
        )
        self.monitor = ServiceMonitor(
            self.services,
            self.store,
            self.feed,
            managers,
            eyes,
            self.deployer,
            self.now,
            alerts=config.alerts,
            inhibitors=inhibitors,
        )
        self.poller = Poller(config, self.store, self.feed, self.deployer, self.now, inhibitors=inhibitors)
        self.engine = Engine(
            *(config, self.store, self.feed, managers, self.deployer, self.monitor, self.now),
            poller=self.poller,
            inhibitors=inhibitors,
        )
        await self.deployer.settle()
        await self.monitor.open()
        self.reminders = ReminderScheduler(config.alerts, self.store, self.feed, self.now)
        self.truth.opsbot.append((self.now(), True))
        channel = cast("OpsChannel", self.channel)
        problem = partial(self._problem)
        threads = Threads(self.engine, channel, PACE.closed, problem)
        fallback = FallbackChannel(self.engine, channel, lambda: None)
        sender = Sender(self.engine, channel, PACE, problem, threads, fallback)
        editor = CardEditor(self.engine, channel, PACE, problem)
        self._running = [asyncio.create_task(each) for each in (self._tick(), sender.run(), editor.run())]

    def _problem(self, subject: str, problem: str) -> None:
        if problem:
            self.problems.append(f"{subject}: {problem}")

    async def _tick(self) -> None:
        while True:
            await self.host.live("api")
            await asyncio.sleep(1)  # on the loop's own clock
            await self.monitor.tick()
            await self.reminders.tick()

    @property
    def lived(self) -> list[tuple[datetime, str]]:
        """Which commit `current` points to, and since when."""
        return self.truth.lived

    async def close(self) -> None:
        """opsbot ends; the services go on."""
        self.truth.opsbot.append((self.now(), False))
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.poller.close()
        await self.monitor.close()
        await self.deployer.close(0.0)
        self.host.forget()
        await self.store.close()

    async def end(self) -> None:
        """The driver ends."""
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.close()

    async def restart_opsbot(self, away: float) -> None:
        """opsbot ends, and starts again after so many seconds."""
        await self.close()
        await asyncio.sleep(away)  # on the loop's own clock
        await self.open()

    def live_at(self, at: datetime) -> str:
        """The commit that `current` pointed to at a moment."""
        return next((commit for since, commit in reversed(self.lived) if since <= at), "")

    # People

    def actor(self, who: str) -> Actor:
        return Actor(Origin.DISCORD, who.lower(), who, owner=True)

    def did(self, who: str, what: str, result: object, detail: str = "") -> None:
        self.truth.deeds.append(Deed(self.now(), "api", who, what, detail, isinstance(result, Refused)))

    async def restart(self, who: str) -> None:
        """A person restarts it by the command, and waits for its checks."""
        with acting(who):
            at = self.now()
            state = await self.engine.services.restart(self.actor(who), "api")
        self.truth.deeds.append(Deed(at, "api", who, "restart", refused=isinstance(state, Refused)))
        if isinstance(state, Refused):
            return
        started = state

        async def follow() -> None:
            try:
                outcome = await self.engine.services.verify_restart(self.actor(who), "api", started)
            except StoreError:
                return  # opsbot ended meanwhile
            text = f"restart of run {started.pid} {'passed' if outcome.ok else 'failed'}: {render(outcome.seen)}"
            self.answers.append(Answer(self.now(), "restart", RenderedMessage(text)))

        self._later(follow())

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def deploy(self, who: str, ref: str | None = None) -> Deployment | Refused:
        with acting(who):
            begun = await self.engine.releases.deploy(self.actor(who), "api", ref)
        self.did(who, "deploy", begun, "" if isinstance(begun, Refused) else str(begun.id))
        return begun

    async def roll_back(self, who: str) -> Deployment | Refused:
        with acting(who):
            begun = await self.engine.releases.rollback(self.actor(who), "api")
        self.did(who, "rollback", begun, "" if isinstance(begun, Refused) else str(begun.id))
        return begun

    async def resume(self, who: str) -> None:
        with acting(who):
            at = self.now()
            resumed = await self.engine.services.resume(self.actor(who), "api")
        self.truth.deeds.append(Deed(at, "api", who, "resume"))
        assert not isinstance(resumed, Refused)

    async def acknowledge(self, who: str) -> None:
        with acting(who):
            taken = await self.engine.acknowledgements.take(self.actor(who), "api", "looking into it")
        self.did(who, "ack", taken)

    async def silence(self, who: str) -> None:
        with acting(who):
            silenced = await self.engine.services.silence(self.actor(who), "api", timedelta(minutes=1), "quiet")
        self.did(who, "silence", silenced)

    @property
    def clicks(self) -> Clicks:
        """Nobody in these worlds presses twice by mistake: nothing is remembered."""
        return Clicks()

    async def press(self, who: str, button: Button) -> RenderedMessage:
        """Press a button that a message offers, and confirm where that is asked for; what the person is shown."""
        with acting(who):
            at = self.now()
            answer = await self._pressed(who, button)
            shown = answer.shown if isinstance(answer, Interim) else answer
            confirm = next((each for each in shown.buttons if each.action == "yes"), None)
            if button.action == "restart" and isinstance(answer, Interim):
                self.truth.deeds.append(Deed(at, "api", who, "restart"))
                self._later(self._seen_through(answer))
            if confirm is not None:
                shown = cast("RenderedMessage", await self._pressed(who, confirm))
        self.did(who, f"button {button.action}", None, shown.content)
        return shown

    async def _pressed(self, who: str, button: Button) -> RenderedMessage | Interim:
        handler, bot = HANDLERS[button.action], cast("Bot", self)
        found = await handler.handle(ButtonPress(bot, None, self.actor(who), button.service, button.ident))
        if isinstance(found, Refused):
            return refusal(found)
        return say(found) if isinstance(found, str) else found

    async def _seen_through(self, answer: Interim) -> None:
        with suppress(StoreError):  # opsbot may end meanwhile
            await answer.outcome()

    def push(self, behaviour: Behaviour) -> Code:
        """Somebody pushes a commit, and the forge tells opsbot."""
        code = self.repository.push(behaviour, self.now())
        self.poller.wake("api")
        return code

    # Looking

    async def look(self) -> None:
        """A person asks everything that can be asked."""
        await self.host.live("api")
        engine, mia = self.engine, self.actor("Mia")
        found = await engine.queries.status(mia)
        assert not isinstance(found, Refused)
        figures = HostFigures(None, 1, (0.0, 0.0, 0.0), None, None, None, None, None, (), START, 0.0)
        self._answered("status", overview(found, figures, "blue"))
        self._answered("status service", details(found[0]))
        seen = await engine.statuses.overview()
        self._answered(
            "board", board(seen, BoardLook("blue", lambda message: f"https://example.org/{message}", {}), self.now())
        )
        screen = show.Screen(Paint(on=False), self.now(), 2000)
        self._said("cli status", show.status(replies.status(found), screen))
        cause = await engine.queries.why(mia, "api")
        assert not isinstance(cause, Refused)
        self._answered("why", why("api", cause))
        self._said("cli why", show.why(replies.why(cause, "api"), screen))
        happened = await engine.queries.history(mia, "api")
        assert not isinstance(happened, Refused)
        self._answered("history", history(*happened, "api"))
        self._said("cli history", show.history(replies.history(happened), screen))
        checked = await engine.queries.health(mia, "api")
        assert not isinstance(checked, Refused)
        self._answered("health", health(checked))

    def _answered(self, where: str, shown: RenderedMessage) -> None:
        self.answers.append(Answer(self.now(), where, shown))

    def _said(self, where: str, lines: list[str]) -> None:
        self._answered(where, RenderedMessage("\n".join(lines)))


# The world that each sequence begins with


@dataclass
class Template:
    """A world with two good releases, and a copy of its folder."""

    folder: Path
    copy: Path
    ends: float
    world: World

    def again(self) -> World:
        """The same anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.copy, self.folder, symlinks=True)
        before = self.world
        truth = Truth(
            [replace(run, faults=set(run.faults)) for run in before.truth.runs],
            list(before.truth.looks),
            list(before.truth.deeds),
            {name: list(known) for name, known in before.truth.well.items()},
            code=dict(before.truth.code),
        )
        world = World(self.folder, truth)
        world.repository.head = before.repository.head
        world.host.states, world.host.runs = dict(before.host.states), before.host.runs
        world.host.log = {name: list(lines) for name, lines in before.host.log.items()}
        return world


async def _made(world: World) -> float:
    await world.open()
    for _ in range(2):
        code = world.push(Behaviour())
        await asyncio.sleep(30)  # on the loop's own clock
        run = world.host.run("api")
        assert run is not None
        assert run.commit == code.commit
    await world.end()
    return asyncio.get_running_loop().time()


def make_template(folder: Path) -> Template:
    """Deploy two good commits in a world of that folder."""
    place, copy = folder / "world", folder / "template"
    with suppress(FileNotFoundError):
        shutil.rmtree(place)
    place.mkdir(parents=True)
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        world = World(place)
        world.repository.create()
        ends = runner.run(_made(world))
    shutil.copytree(place, copy, symlinks=True)
    return Template(place, copy, ends, world)
