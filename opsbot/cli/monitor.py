"""The dashboard in the terminal: drawn from the daemon's snapshots, a second apart."""

import os
import queue
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from opsbot.cli import FAILED, FINE, show
from opsbot.cli.show import Screen, colour_of
from opsbot.cli.terminal import Cell, Paint, fit, joined, plain, table, terminal_width, wants_colour, width
from opsbot.control.client import AnswerError, Client, DaemonUnreachableError
from opsbot.control.endpoints import MONITOR_FOLLOW
from opsbot.control.shapes import NotificationReply, Snapshot
from opsbot.core.deployment import Deployment
from opsbot.formatting import between, since, size
from opsbot.messages.deployments import deployment_status

RETRY_SECONDS = 2.0
PIPED = 132
"""Columns where the output is no terminal."""

NARROW = 100
"""Columns below which gauges have no bars."""

_QUIT = frozenset({"q", "Q", "\x1b", "\x03", "\x04"})
_FULL, _HIGH = 90.0, 75.0
"""Percent from which a figure of the host is shown red, and yellow."""
_BAR = 10
_KINDS = {"incident": "incident", "recovered": "resolved", "call": "ESCALATED", "source": "source", "update": "update"}
_NONE: list[Cell] = [("none", "dim")]


def _gauge(name: str, percent: float, said: str, *, bar: bool) -> list[Cell]:
    level = "red" if percent >= _FULL else "yellow" if percent >= _HIGH else "green"
    full = round(min(max(percent, 0.0), 100.0) / 100 * _BAR)
    bars: list[Cell] = [("━" * full, level), ("━" * (_BAR - full), "dim"), (" ", "")] if bar else []
    return [(f"{name} ", "bold"), *bars, (f"{said}   ", level)]


def _host(snapshot: Snapshot, columns: int) -> list[Cell]:
    host, wide = snapshot.host.figures, columns >= NARROW
    cells: list[Cell] = []
    if host.cpu is not None:
        cells += _gauge("cpu", host.cpu, f"{host.cpu:.0f} %", bar=wide)
    if host.memory_total and host.memory_used is not None:
        said = f"{size(host.memory_used)} of {size(host.memory_total)}"
        cells += _gauge("memory", 100 * host.memory_used / host.memory_total, said, bar=wide)
    for disk in host.disks:
        # Like df and the board: what is reserved for root is neither used nor free.
        percent = 100 * disk.used / ((disk.used + disk.free) or 1)
        name = "disk" if len(host.disks) == 1 else plain(str(disk.path))
        cells += _gauge(name, percent, f"{percent:.0f} %, {size(disk.free)} free", bar=wide)
    load = " ".join(f"{one:.2f}" for one in host.load)
    return cells + _gauge("load", 100 * host.load[0] / host.cores, load, bar=False)


def _head(snapshot: Snapshot, now: datetime, stale: str, columns: int) -> list[Cell]:
    cells: list[Cell] = [("opsbot", "bold cyan"), (" on ", ""), (plain(snapshot.host.name), "bold"), ("  ", "")]
    daemon, gateway = snapshot.daemon, snapshot.gateway
    if stale:
        cells.append((plain(stale), "bold red"))
    elif daemon is None:
        cells.append(("the daemon is not running; this is what it last knew", "bold red"))
    else:
        cells.append((f"up {between(daemon.since, now)}, pid {daemon.pid}  ", "dim"))
        if gateway is None:
            cells.append(("Discord: not asked", "dim"))
        elif gateway.connected:
            latency = "" if gateway.latency is None else f" {gateway.latency * 1000:.0f} ms"
            cells.append((f"Discord ●{latency}", "green"))
        else:
            length = "" if gateway.since is None else f" for {between(gateway.since, now)}"
            cells.append((f"Discord away{length}", "bold red"))
        if gateway is not None and gateway.waiting:
            cells.append((f"  {gateway.waiting} notifications wait", "yellow"))
    clock = f"  {snapshot.at:%H:%M:%S} UTC"
    room = columns - len(clock)
    used = sum(width(text) for text, _ in cells[:-1])
    text, colour = cells.pop()
    text = fit(text, max(room - used, 1))
    return [*cells, (text, colour), (" " * (room - used - width(text)) + clock, "dim")]


def _remarks(snapshot: Snapshot, now: datetime) -> list[list[Cell]]:
    """What is out of the ordinary, but for the checks, which have a table, and the deploys, which have lines."""
    return [
        [(plain(one.service), "bold"), ("  ", ""), note]
        for one in snapshot.services
        for note in show.notes(replace(one, checks=(), deploying=None), now, 400)
    ]


def _checks(snapshot: Snapshot, now: datetime) -> list[list[Cell]]:
    """A row for each check, failing ones first."""
    found = [(one.service, check) for one in snapshot.services for check in one.checks]
    found.sort(key=lambda row: {"down": 0, "unknown": 2, "up": 3}[row[1].verdict] if row[1].ok is not False else 0)
    return [
        [
            (fit(plain(service), 22), ""),
            (fit(plain(check.name), 20), "bold"),
            (check.verdict, colour_of(check.verdict)),
            ("not yet" if check.at is None else since(check.at, now), "dim"),
            (plain(check.seen), "red" if check.ok is False else ""),
        ]
        for service, check in found
    ]


def _deploys(deployments: Sequence[Deployment], now: datetime) -> list[list[Cell]]:
    lines: list[list[Cell]] = []
    for one in deployments:
        colour = colour_of(one.phase) if one.finished else "cyan"
        age = since(one.finished_at, now) if one.finished_at else f"{show.took(one, now)}…"
        note = f"  {show.said(one.note)}" if one.note and not one.ok and one.finished else ""
        said: list[Cell] = [
            (f"#{one.id:<4}", "dim"),
            (f"{deployment_status(one):<12}", colour),
            (f"{age:>12}  ", "dim"),
        ]
        what = f"  {show.commits_words(one) or one.kind}"
        lines.append(
            [*said, (plain(one.service), "bold"), (what, ""), (f"  {plain(one.actor.name)}", "dim"), (note, colour)]
        )
        if not one.finished:
            lines.append([("     ", ""), *(cell for step in one.steps for cell in show.step_cells(step, now))])
    return lines


def _alerts(alerts: Sequence[NotificationReply], now: datetime) -> list[list[Cell]]:
    return [
        [
            (f"{since(one.at, now):>12}  ", "dim"),
            (
                f"{_KINDS.get(one.kind, one.kind):<9} ",
                {"incident": "red", "call": "bold red", "recovered": "green"}.get(one.kind, "yellow"),
            ),
            (plain(one.service), "bold"),
            (f"  {plain(one.text)}", ""),
            ("" if one.told_at else "  (not sent to Discord yet)", "yellow"),
        ]
        for one in alerts
    ]


def draw(snapshot: Snapshot, screen: Screen, rows: int | None, stale: str = "") -> list[str]:
    """The lines of the dashboard; rows: at most so many, None for all. stale: why it is not fresh."""
    paint, now, columns = screen.paint, screen.now, screen.columns

    def lines(cells: Sequence[Sequence[Cell]]) -> list[str]:
        return [joined(each, paint, columns) for each in cells]

    def section(title: str, body: list[str], more: int = 0) -> list[str]:
        said = f" ({more} more)" if more else ""
        rule = "─" * max(columns - len(title) - len(said) - 1, 0)
        return [joined([(title, "bold"), (said, "dim"), (f" {rule}", "dim")], paint, columns), *body]

    remarks, checks = _remarks(snapshot, now), _checks(snapshot, now)
    deploys, alerts = _deploys(snapshot.deployments, now) or [_NONE], _alerts(snapshot.alerts, now) or [_NONE]
    # The head has two lines, each of the four sections its title, the services their column heads.
    fixed = 2 + 4 + 1 + len(snapshot.services)
    left = 10_000 if rows is None else max(rows - fixed, 3)
    room_remarks = min(len(remarks), max(left // 4, 1))
    left -= room_remarks
    room_deploys, room_alerts = (min(len(each), max(left // 4, 2)) for each in (deploys, alerts))
    room_checks = max(min(len(checks), left - room_deploys - room_alerts), 1)
    room_deploys = min(len(deploys), max(left - room_checks - room_alerts, room_deploys))
    room_alerts = min(len(alerts), max(left - room_checks - room_deploys, room_alerts))
    shown = checks if len(checks) <= room_checks else checks[: room_checks - 1]
    services = table(show.service_rows(snapshot.services, now), paint, columns=columns)
    return [
        *lines([_head(snapshot, now, stale, columns), _host(snapshot, columns)]),
        *section("services", [*services, *lines(remarks[:room_remarks])], len(remarks) - room_remarks),
        *section("checks", table(shown or [_NONE], paint, columns=columns), len(checks) - len(shown)),
        *section("deploys", lines(deploys[:room_deploys])),
        *section("alerts", lines(alerts[:room_alerts])),
    ][:rows]


def print_once(snapshot: Snapshot) -> None:
    paint = Paint(on=wants_colour(sys.stdout))
    screen = Screen(paint, snapshot.at, terminal_width() if sys.stdout.isatty() else PIPED)
    sys.stdout.writelines(f"{line}\n" for line in draw(snapshot, screen, None))


@contextmanager
def _full_screen() -> Iterator[Callable[[Sequence[str]], None]]:
    """The alternate screen without a cursor: a function that shows lines on it. Puts the terminal back."""

    def put(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    put("\x1b[?1049h\x1b[?25l")
    try:
        yield lambda lines: put("\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")
    finally:
        put("\x1b[?25h\x1b[?1049l")


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
        DaemonUnreachableError: nothing could be shown at all.
    """
    source = _Source(client, last_known)
    source.start()
    first = source.news.get()
    if isinstance(first, AnswerError):
        raise first
    if isinstance(first, str):
        raise DaemonUnreachableError(first)
    snapshot, stale = first, ""
    paint = Paint(on=wants_colour(sys.stdout))
    # A signal must leave the terminal as it was, too.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        with _keys() as key, _full_screen() as put:
            while True:
                columns, rows = shutil.get_terminal_size()
                put(draw(snapshot, Screen(paint, clock(), columns), rows, stale))
                pressed = key(1.0)
                if pressed in _QUIT:
                    break
                while not source.news.empty():
                    news = source.news.get()
                    if isinstance(news, AnswerError):
                        raise news
                    if isinstance(news, str):
                        stale = news
                    else:
                        snapshot, stale = news, ""
    except KeyboardInterrupt:
        pass
    finally:
        source.stop()
    return FINE if snapshot.healthy else FAILED
