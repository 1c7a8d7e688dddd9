"""The dashboard in the terminal: drawn from the daemon's snapshots, a second apart.

What comes from outside is made harmless (`terminal.plain`) before rich sees it, and handed over as `Text`: rich's own
markup is never read from it.
"""

import os
import queue
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from opsbot.cli import FAILED, FINE
from opsbot.cli import show as cli_show
from opsbot.cli.show import colour_of, step_mark
from opsbot.cli.terminal import plain
from opsbot.control.client import AnswerError, Client, DaemonUnreachableError
from opsbot.control.endpoints import MONITOR_FOLLOW
from opsbot.control.shapes import CheckReply, NoticeReply, ServiceReply, Snapshot
from opsbot.core.deployment import Deployment
from opsbot.formatting import duration, since, size
from opsbot.messages.deployments import deployment_status

RETRY_SECONDS = 2.0
PIPED = 132
"""Columns where the output is no terminal."""

NARROW = 100
"""Columns below which the less telling ones are left out."""

_QUIT = frozenset({"q", "Q", "\x1b", "\x03", "\x04"})
_FULL, _HIGH = 90.0, 75.0
"""Percent from which a figure of the host is shown red, and yellow."""
_KINDS = {"incident": "trouble", "recovered": "over", "call": "HUMAN", "source": "source", "update": "update"}


def styled(text: str, style: str = "") -> Text:
    """Text from anywhere, harmless, on one line."""
    return Text(plain(text), style=style, no_wrap=True, overflow="ellipsis")


def _line(*parts: Text | str | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def _level(percent: float) -> str:
    return "red" if percent >= _FULL else "yellow" if percent >= _HIGH else "green"


def _bar(percent: float, cells: int = 10) -> Text:
    full = round(min(max(percent, 0.0), 100.0) / 100 * cells)
    return Text.assemble(("━" * full, _level(percent)), ("━" * (cells - full), "bright_black"))


def _gauge(name: str, percent: float, said: str, *, bar: bool) -> Text:
    parts: list[Text | str | tuple[str, str]] = [(f"{name} ", "bold")]
    if bar:
        parts += [_bar(percent), " "]
    return Text.assemble(*parts, (said, _level(percent)), no_wrap=True)


def _host(snapshot: Snapshot, columns: int) -> RenderableType:
    host = snapshot.host.figures
    wide = columns >= NARROW
    gauges = []
    if host.cpu is not None:
        gauges.append(_gauge("cpu", host.cpu, f"{host.cpu:.0f} %", bar=wide))
    if host.memory_total is not None and host.memory_available is not None:
        used = host.memory_total - host.memory_available
        said = f"{size(used)} of {size(host.memory_total)}"
        gauges.append(_gauge("memory", _percent(used, host.memory_total), said, bar=wide))
    for disk in host.disks:
        # As df reckons, and the board: what is root's alone is neither used nor free.
        percent = _percent(disk.used, disk.used + disk.free)
        said = f"{percent:.0f} %, {size(disk.free)} free"
        name = "disk" if len(host.disks) == 1 else plain(str(disk.path))
        gauges.append(_gauge(name, percent, said, bar=wide))
    load = " ".join(f"{one:.2f}" for one in host.load)
    gauges.append(_gauge("load", _percent(host.load[0], host.cores), load, bar=False))
    return _line(gauges[0], *(part for gauge in gauges[1:] for part in ("   ", gauge)))


def _head(snapshot: Snapshot, now: datetime, trouble: str) -> RenderableType:
    name = styled(snapshot.host.name, "bold")
    daemon, gateway = snapshot.daemon, snapshot.gateway
    parts: list[Text | str | tuple[str, str]] = [("opsbot", "bold cyan"), " on ", name, "  "]
    if trouble:
        parts.append((plain(trouble), "bold red"))
    elif daemon is None:
        parts.append(("the daemon is not running; this is what it last knew", "bold red"))
    else:
        parts.append((f"up {cli_show.age(daemon.since, now)}, pid {daemon.pid}  ", "dim"))
        if gateway is None:
            parts.append(("Discord: not asked", "dim"))
        elif gateway.connected:
            latency = "" if gateway.latency is None else f" {gateway.latency * 1000:.0f} ms"
            parts.append((f"Discord ●{latency}", "green"))
        else:
            length = "" if gateway.since is None else f" for {cli_show.age(gateway.since, now)}"
            parts.append((f"Discord away{length}", "bold red"))
        if gateway is not None and gateway.waiting:
            parts.append((f"  {gateway.waiting} notices wait", "yellow"))
    left = _line(*parts)
    row = Table.grid(expand=True, padding=(0, 2, 0, 0), pad_edge=False)
    row.add_column(ratio=1, no_wrap=True)
    row.add_column(justify="right", no_wrap=True)
    row.add_row(left, Text(f"{snapshot.at:%H:%M:%S} UTC", style="dim"))
    return row


def _services(snapshot: Snapshot, now: datetime, columns: int) -> RenderableType:
    wide = columns >= NARROW
    table = Table(box=None, expand=True, padding=(0, 1), pad_edge=False, header_style="bold dim")
    table.add_column("SERVICE", no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column("STATE", no_wrap=True)
    table.add_column("UP", no_wrap=True, justify="right")
    if wide:
        table.add_column("PID", no_wrap=True, justify="right")
    table.add_column("CPU", no_wrap=True, justify="right")
    table.add_column("MEMORY", no_wrap=True, justify="right")
    table.add_column("RELEASE", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in snapshot.services:
        state = one.state
        cells: list[Text] = [
            styled(one.service, "bold"),
            Text(plain(one.health.text), style=colour_of(one.health.state) or "default"),
            Text(cli_show.uptime(state, now)),
        ]
        if wide:
            cells.append(Text(str(state.pid or "-"), style="dim"))
        cells.append(Text("-" if one.cpu is None else f"{one.cpu:.1f} %"))
        cells.append(Text("-" if one.memory is None else size(one.memory)))
        cells.append(styled(cli_show.release_words(one) or "-"))
        table.add_row(*cells)
    return table


def _remarks(snapshot: Snapshot, now: datetime) -> list[Text]:
    """What is out of the ordinary, but for the checks, which have a table, and the deploys, which have lines."""
    return [
        _line((plain(one.service), "bold"), "  ", note)
        for one in snapshot.services
        for note in cli_show.notes(replace(one, checks=(), deploying=None), now, 400)
    ]


def _checks(snapshot: Snapshot, now: datetime, room: int) -> tuple[RenderableType, int]:
    """The checks, those in trouble first, in so many lines; and how many are not shown."""
    rows: list[tuple[ServiceReply, CheckReply]] = [(one, c) for one in snapshot.services for c in one.checks]
    rows.sort(key=lambda row: {"down": 0, "unknown": 2, "up": 3}[row[1].verdict] if row[1].ok is not False else 0)
    shown = rows if len(rows) <= room else rows[: max(room - 1, 0)]
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=22)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=20)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for one, check in shown:
        verdict = Text(check.verdict, style=colour_of(check.verdict))
        colour = "red" if check.ok is False else ""
        at = "not yet" if check.at is None else since(check.at, now)
        table.add_row(
            styled(one.service),
            styled(check.name, "bold"),
            verdict,
            styled(check.seen, colour),
            Text(at, style="dim"),
        )
    return table, len(rows) - len(shown)


def _deploys(deployments: Sequence[Deployment], now: datetime, room: int) -> list[Text]:
    lines: list[Text] = []
    for one in deployments:
        lines.append(_deploy(one, now))
        if not one.finished:
            lines.append(_phases(one, now))
    return lines[:room]


def _deploy(one: Deployment, now: datetime) -> Text:
    colour = "cyan" if not one.finished else colour_of(one.phase)
    age = since(one.finished_at, now) if one.finished_at else f"{cli_show.took(one, now)}…"
    said = [(f"#{one.id:<4}", "dim"), (f"{deployment_status(one):<10}", colour), (f"{age:>12}  ", "dim")]
    note = f"  {cli_show.said(one.note)}" if one.note and not one.ok and one.finished else ""
    what, who = f"  {cli_show.commits_words(one) or one.kind}", f"  {plain(one.actor.name)}"
    return _line(*said, (plain(one.service), "bold"), what, (who, "dim"), (note, colour))


def _phases(one: Deployment, now: datetime) -> Text:
    line = Text("     ", no_wrap=True, overflow="ellipsis")
    for step in one.steps:
        mark, colour = step_mark(step)
        end = step.ended_at or now
        line.append(f" {mark} {cli_show.said(step.name)} ", style=colour)
        line.append(duration(max(end - step.started_at, timedelta(0))), style="dim")
    return line


def _alerts(alerts: Sequence[NoticeReply], now: datetime, room: int) -> list[Text]:
    lines = []
    for one in alerts[:room]:
        colour = {"incident": "red", "call": "bold red", "recovered": "green"}.get(one.kind, "yellow")
        waits = "" if one.told_at else "  (Discord not told yet)"
        head = (f"{since(one.at, now):>12}  ", "dim"), (f"{_KINDS.get(one.kind, one.kind):<8}", colour)
        lines.append(_line(*head, (plain(one.service), "bold"), f"  {plain(one.text)}", (waits, "yellow")))
    return lines


def _section(title: str, body: RenderableType, more: int = 0) -> RenderableType:
    said = Text.assemble((title, "bold"), (f" ({more} more)" if more else "", "dim"))
    return Group(Rule(said, align="left", style="bright_black"), body)


def draw(snapshot: Snapshot, now: datetime, columns: int, rows: int | None, trouble: str = "") -> RenderableType:
    """The dashboard in so many columns and rows; None: as many rows as it takes. `trouble`: why it is not fresh."""
    remarks = _remarks(snapshot, now)
    checks = sum(len(one.checks) for one in snapshot.services)
    # The head has two lines, each of the four sections its title, the services their column heads.
    fixed = 2 + 4 + 1 + len(snapshot.services)
    left = 10_000 if rows is None else max(rows - fixed, 3)
    room_remarks = min(len(remarks), max(left // 4, 1)) if remarks else 0
    left -= room_remarks
    wanted_deploys = len(_deploys(snapshot.deployments, now, left)) or 1
    wanted_alerts = len(snapshot.alerts) or 1
    room_deploys = min(wanted_deploys, max(left // 4, 2))
    room_alerts = min(wanted_alerts, max(left // 4, 2))
    room_checks = max(min(checks, left - room_deploys - room_alerts), 1)
    spare = max(left - room_checks - room_deploys - room_alerts, 0)
    room_deploys = min(wanted_deploys, room_deploys + spare)
    spare = max(left - room_checks - room_deploys - room_alerts, 0)
    room_alerts = min(wanted_alerts, room_alerts + spare)
    table, more = _checks(snapshot, now, room_checks)
    nothing = Text("none", style="dim")
    services = Group(_services(snapshot, now, columns), *remarks[:room_remarks])
    return Group(
        _head(snapshot, now, trouble),
        _host(snapshot, columns),
        _section("services", services, len(remarks) - room_remarks),
        _section("checks", table if checks else nothing, more),
        _section("deploys", Group(*(_deploys(snapshot.deployments, now, room_deploys) or [nothing]))),
        _section("alerts", Group(*(_alerts(snapshot.alerts, now, room_alerts) or [nothing]))),
    )


def print_once(snapshot: Snapshot) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED)
    console.print(draw(snapshot, snapshot.at, console.width, None))


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Keys as they are pressed, without echo: a function that waits so many seconds for one. Puts the terminal back."""
    try:
        file = sys.stdin.fileno()
        before = termios.tcgetattr(file)
    except (OSError, ValueError, termios.error):
        pause = threading.Event()

        def none(seconds: float) -> str:
            pause.wait(seconds)
            return ""

        yield none
        return

    def key(seconds: float) -> str:
        ready, _, _ = select.select([file], [], [], seconds)
        return os.read(file, 16).decode(errors="replace") if ready else ""

    tty.setcbreak(file)
    try:
        yield key
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)


class _Source(threading.Thread):
    """Follows the daemon; while it is away, what it last knew. A thread, so that a key is heard at once."""

    def __init__(self, client: Client, last_known: Callable[[], Snapshot]) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._last_known = last_known
        self.news: queue.SimpleQueue[Snapshot | AnswerError | str] = queue.SimpleQueue()
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.is_set():
            try:
                for snapshot in self._client.follow(MONITOR_FOLLOW):
                    self.news.put(snapshot)
                    if self._end.is_set():
                        return
                said = "the daemon went away"
            except AnswerError as error:
                self.news.put(error)
                return
            except DaemonUnreachableError as error:
                said = str(error)
            try:
                self.news.put(self._last_known())
            except Exception as error:  # noqa: BLE001 - the edge of a thread: shown in the dashboard, tried again
                self.news.put(said if isinstance(error, DaemonUnreachableError) else f"{said}; {error}")
            self._end.wait(RETRY_SECONDS)

    def stop(self) -> None:
        self._end.set()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def watch(client: Client, last_known: Callable[[], Snapshot], clock: Callable[[], datetime]) -> int:
    """Show the dashboard until q or Ctrl-C; the exit code.

    Raises:
        AnswerError: the daemon refuses.
        NoAnswerError: nothing could be shown at all.
    """
    source = _Source(client, last_known)
    source.start()
    first = source.news.get()
    if isinstance(first, AnswerError):
        raise first
    if isinstance(first, str):
        raise DaemonUnreachableError(first)
    console = Console(highlight=False)
    snapshot, trouble = first, ""
    # An ending from outside must leave the terminal as it was, too.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        with _keys() as key, Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                size_now = console.size
                live.update(draw(snapshot, clock(), size_now.width, size_now.height, trouble), refresh=True)
                pressed = key(1.0)
                if pressed in _QUIT:
                    break
                while not source.news.empty():
                    news = source.news.get()
                    if isinstance(news, AnswerError):
                        raise news
                    if isinstance(news, str):
                        trouble = news
                    else:
                        snapshot, trouble = news, ""
    except KeyboardInterrupt:
        pass
    finally:
        source.stop()
    return FINE if snapshot.healthy else FAILED
