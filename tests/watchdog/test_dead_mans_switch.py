"""The heartbeat, against a real switch on loopback."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from opsbot import config
from opsbot.bot.link import GatewayState, Link
from opsbot.config import Secret
from opsbot.core.message import plain
from opsbot.core.model import Evidence, Incident, NotificationKind
from opsbot.daemon.dead_mans_switch import LONG_AWAY, DeadMansSwitch, undelivered_reason, unreachable_reason
from opsbot.daemon.watchdog import Watchdog
from opsbot.redaction import Redactor, parts_of_url
from opsbot.store import Store, deliveries, incident_repository, outbox
from opsbot.web.facts import HeartbeatStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME = "OPSBOT_TEST_HEARTBEAT"
UUID = "5f0c1a52-switch-key"


@dataclass
class Switch:
    heard: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200
    silent: bool = False
    url: str = ""

    async def hear(self, request: web.Request) -> web.Response:
        if self.silent:
            await asyncio.sleep(30)  # it does not answer
        self.heard.append((request.path.removeprefix(f"/{UUID}"), await request.text()))
        return web.Response(status=self.status)


@asynccontextmanager
async def open_switch() -> AsyncIterator[Switch]:
    switch = Switch()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", switch.hear)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    switch.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{UUID}"
    try:
        yield switch
    finally:
        await runner.cleanup()


@pytest.fixture
async def switch(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Switch]:
    async with open_switch() as made:
        monkeypatch.setenv(NAME, made.url)
        yield made


def heartbeat(beats: HeartbeatStatus, reasons: list[str], limit: float = 10.0, url: str = "") -> DeadMansSwitch:
    async def trouble() -> list[str]:
        return reasons

    given = config.HeartbeatConfig(Secret(env=NAME), timedelta(seconds=1))
    return DeadMansSwitch(given, beats, trouble, lambda: NOW, Redactor(parts_of_url(url)), limit)


async def test_it_begins_once_and_then_tells_how_things_are(switch: Switch) -> None:
    beats, reasons = HeartbeatStatus(), list[str]()
    for _ in range(2):  # a reload begins a second one over the same beats
        running = asyncio.create_task(heartbeat(beats, reasons).run())
        before = beats.sent
        while beats.sent < before + 2:
            await asyncio.sleep(0.02)  # between two looks
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [path for path, _ in switch.heard].count("/start") == 1
    assert switch.heard[0] == ("/start", "")
    assert {path for path, _ in switch.heard[1:]} == {""}
    assert (beats.last_sent, beats.failures) == (NOW, 0)


async def test_what_is_not_well_is_told_as_a_failure_with_the_reason(switch: Switch) -> None:
    beats = HeartbeatStatus()
    reasons = ["the watch loop is stuck", f"Discord rejects opsbot: {UUID}"]
    assert await heartbeat(beats, reasons, url=switch.url).beat()
    assert switch.heard == [("/fail", "the watch loop is stuck; Discord rejects opsbot: [redacted]")]
    reasons.clear()
    assert await heartbeat(beats, reasons).beat()
    assert switch.heard[-1] == ("", "")


async def test_a_switch_that_refuses_hangs_or_is_gone_is_counted_and_waited_for_no_longer_than_allowed(
    switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = HeartbeatStatus()
    switch.status = 503
    assert not await heartbeat(beats, []).beat()
    assert beats.failure == "the switch answered 503"
    switch.silent = True
    assert not await heartbeat(beats, [], limit=0.2).beat()
    assert beats.failure == "no answer in 0.2 s"
    switch.silent, switch.status = False, 200
    monkeypatch.setenv(NAME, f"http://127.0.0.1:1/{UUID}")
    assert not await heartbeat(beats, [], url=f"http://127.0.0.1:1/{UUID}").beat()
    assert UUID not in beats.failure
    monkeypatch.setenv(NAME, "nonsense")
    assert not await heartbeat(beats, []).beat()
    monkeypatch.delenv(NAME)
    assert not await heartbeat(beats, []).beat()
    assert NAME in beats.failure
    assert (beats.failures, beats.sent, beats.last_sent) == (5, 0, None)
    monkeypatch.setenv(NAME, switch.url)
    assert await heartbeat(beats, []).beat()
    assert (beats.failures, beats.sent, beats.failure) == (5, 1, "")


async def test_an_address_with_a_question_keeps_it(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, f"{switch.url}/?create=1")
    assert await heartbeat(HeartbeatStatus(), ["why"]).beat()
    assert switch.heard == [("/fail", "why")]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (GatewayState(Link.CONNECTED, NOW), ""),
        (GatewayState(Link.AWAY, NOW - LONG_AWAY + timedelta(seconds=1)), ""),
        (GatewayState(Link.AWAY, NOW - LONG_AWAY), "Discord has been unavailable for 1 h; alerts are waiting"),
        (
            GatewayState(Link.CONNECTING, NOW - 2 * LONG_AWAY),
            "Discord has been unavailable for 2 h; alerts are waiting",
        ),
        (GatewayState(Link.REFUSED, NOW, problem="bad token"), "Discord rejects opsbot: bad token"),
        (GatewayState(Link.CONNECTED, NOW, problem="the ops channel is gone"), "the ops channel is gone"),
    ],
)
def test_a_short_absence_is_discords_own_and_a_refusal_is_ours(state: GatewayState, said: str) -> None:
    assert unreachable_reason(state, NOW) == said


# An alarm that nobody hears


def alarm(db: sqlite3.Connection, service: str, at: datetime) -> int:
    number = incident_repository.open_incident(
        db, Incident(0, service, plain("check http: answered 500"), at, Evidence()), at
    ).id
    found = outbox.card(db, NotificationKind.INCIDENT, number)
    assert found is not None
    return found.id


def quiet(db: sqlite3.Connection, service: str, at: datetime, until: datetime) -> None:
    db.execute("INSERT INTO mutes (window, service, at, until) VALUES ('w', ?, ?, ?)", (service, *stamps(at, until)))


def stamps(*times: datetime) -> list[float]:
    return [each.timestamp() for each in times]


def taken(db: sqlite3.Connection, notice: int) -> None:
    db.execute("INSERT INTO deliveries (notice_id, notifier, at, told_at) VALUES (?, 'phone', 0, 1)", (notice,))


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


async def said(store: Store, now: datetime, begun: datetime = NOW - timedelta(days=1)) -> str:
    return undelivered_reason(await store.read(deliveries.undelivered, now, begun), now)


async def test_an_alarm_that_nobody_was_told_in_ten_minutes_is_told_to_the_switch(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        assert await said(store, NOW) == ""
        first = await store.write(alarm, "api", NOW)
        assert await said(store, after(9.9)) == ""
        assert await said(store, after(10)) == "alert about api undelivered for 10 m: check http: answered 500"
        await store.write(alarm, "worker", after(1))
        assert (await said(store, after(12))).endswith("answered 500, and 1 more")
        await store.write(outbox.mark_sent, first, after(12), channel=1, message=2)
        assert await said(store, after(12)) == "alert about worker undelivered for 11 m: check http: answered 500"


async def test_what_a_notifier_took_what_is_over_and_what_waits_on_purpose_is_no_failure(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        await store.write(taken, await store.write(alarm, "api", NOW))
        assert await said(store, after(60)) == ""
        await store.write(alarm, "worker", NOW)
        await store.write(quiet, "worker", NOW, after(120))
        assert await said(store, after(60)) == ""
        assert await said(store, after(129)) == "", "the window is over, and the alarm due, since nine minutes"
        assert "about worker undelivered for 10 m" in await said(store, after(130))
        assert await said(store, after(130), begun=after(125)) == "", "opsbot was down, and is back since five minutes"
        opened = (await store.read(incident_repository.open_incidents))["worker"]
        await store.write(incident_repository.close_incident, opened.service, plain("well again"), after(131))
        assert await said(store, after(160)) == ""


def test_an_overdue_watchdog_check_counts_as_unhealthy() -> None:
    time = [0.0]
    watchdog = Watchdog(20.0, lambda _: None, send=lambda _: None, steady=lambda: time[0])
    watchdog._judge([])
    assert watchdog.reasons() == []
    watchdog._judge(["the watch loop is stuck"])
    assert watchdog.reasons() == ["the watch loop is stuck"]
    time[0] = 31.0
    assert watchdog.reasons() == ["the watchdog of opsbot has not run for 31 s"]
