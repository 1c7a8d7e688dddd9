"""Notifiers over the real apprise, against servers on loopback: what is told, in which order, how often."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from opsbot.config import NotifiedKind, Notifier, Secret
from opsbot.core.incident import IncidentEventKind, event
from opsbot.core.message import plain
from opsbot.core.model import Evidence, Incident, NotificationKind, Silence
from opsbot.messages import render
from opsbot.notifications import apprise_sender
from opsbot.notifications.notifiers import Notifiers, RetryPace
from opsbot.redaction import Redactor, parts_of_url
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.store import Store, deliveries, incident_repository, outbox
from tests.fixtures.puppets import Clock
from tests.fixtures.smtp import MailServer

KEY = "s3cret-key-of-the-phone"


@dataclass
class Phone:
    """What apprise's json:// posts to. answers: statuses to answer with, then 200; 0 takes it and hangs up."""

    got: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    port: int = 0

    @property
    def titles(self) -> list[str]:
        return [each["title"] for each in self.got]

    async def post(self, request: web.Request) -> web.Response:
        status = self.answers.pop(0) if self.answers else 200
        if status in {0, 200}:
            self.got.append(await request.json())
        if status == 0:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=status or 200)


@asynccontextmanager
async def listening(phone: Phone) -> AsyncIterator[Phone]:
    app = web.Application()
    app.router.add_post("/{tail:.*}", phone.post)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", phone.port)
    await site.start()
    phone.port = runner.addresses[0][1]
    try:
        yield phone
    finally:
        await runner.cleanup()


@dataclass
class Stage:
    store: Store
    clock: Clock
    phone: Phone
    folder: Path
    notifiers: Notifiers

    def again(self, *more: Notifier, **given: Any) -> Notifiers:
        """opsbot starts anew over the same store."""
        phone = Notifier("phone", Secret(file=self.folder / "phone-url"), **given)
        (self.folder / "phone-url").write_text(f"json://127.0.0.1:{self.phone.port}/{KEY}/")
        redact = Redactor(parts_of_url((self.folder / "phone-url").read_text()))
        named = {each.name: each for each in (phone, *more)}
        return Notifiers(named, self.store, ChangeNotifier(), self.clock, "blue", redact, RetryPace(limit=20))

    async def trouble(self, service: str = "api", cause: str = "check http: answered 500") -> Incident:
        evidence = Evidence((("http", plain("answered 500")),), None, ("@everyone <!here> a line\x1b[31m",))
        events = (event(IncidentEventKind.NOTE, self.clock(), text="seen"),)
        return await self.store.write(
            incident_repository.open_incident, Incident(0, service, plain(cause), self.clock(), evidence, events)
        )

    async def over(self, service: str = "api") -> None:
        await self.store.write(incident_repository.close_incident, service, plain("restarted by opsbot"), self.clock())

    async def words(self) -> list[str]:
        found = await self.store.read(outbox.pending, self.clock())
        return [render(each.said) for each in found if each.kind is NotificationKind.WORD]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = Clock()
    async with Store(tmp_path / "s.db") as store, listening(Phone()) as phone:
        made = Stage(store, clock, phone, tmp_path, Notifiers({}, store, ChangeNotifier(), clock, "blue"))
        await made.trouble("before", "from before it was configured")
        made.notifiers = made.again()
        assert await made.notifiers.round("phone")
        yield made


async def test_an_alarm_a_call_and_a_recovery_are_told_in_order_and_once(stage: Stage) -> None:
    incident = await stage.trouble()
    assert await stage.notifiers.round("phone")
    await stage.store.write(
        incident_repository.escalate, incident.id, plain("three restarts did not help"), stage.clock(), Evidence()
    )
    stage.clock.pass_by(60)
    await stage.over()
    for _ in range(2):
        assert await stage.notifiers.round("phone")
        assert await stage.again().round("phone")
    assert stage.phone.titles == [
        "[blue] 🔴 api is DOWN: check http: answered 500",
        "[blue] 🚨 api needs attention: check http: answered 500",
        "[blue] 🟢 api has recovered: check http: answered 500",
    ]
    assert [each["type"] for each in stage.phone.got] == ["failure", "failure", "success"]
    assert "Check http: answered 500" in stage.phone.got[0]["message"]
    assert "three restarts did not help" in stage.phone.got[1]["message"]
    assert "downtime 1 m: restarted by opsbot." in stage.phone.got[2]["message"]
    for each in stage.phone.got:
        assert "@everyone" not in each["message"]
        assert "<!here" not in each["message"]
        assert "\x1b" not in each["message"]


async def test_a_recovery_waits_for_its_alarm_while_the_notifier_refuses(stage: Stage) -> None:
    await stage.trouble()
    stage.phone.answers = [500, 429]
    assert not await stage.notifiers.round("phone")
    await stage.over()
    assert not await stage.notifiers.round("phone")
    assert stage.phone.titles == []
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles == [
        "[blue] 🔴 api is DOWN: check http: answered 500",
        "[blue] 🟢 api has recovered: check http: answered 500",
    ]


async def test_what_was_taken_without_an_answer_comes_again_and_says_so(stage: Stage) -> None:
    await stage.trouble()
    stage.phone.answers = [0, 503]
    assert not await stage.notifiers.round("phone")
    assert not await stage.notifiers.round("phone")
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles == [
        "[blue] 🔴 api is DOWN: check http: answered 500",
        "(again) [blue] 🔴 api is DOWN: check http: answered 500",
    ]


async def test_after_a_crash_in_the_middle_it_comes_again_and_says_so(stage: Stage) -> None:
    await stage.trouble()
    await stage.store.write(deliveries.enroll, "phone", ["incident"], (), stage.clock())
    (one,) = await stage.store.read(deliveries.due, "phone", stage.clock())
    await stage.store.write(deliveries.trying, [one.id], stage.clock())
    assert await stage.again().round("phone")
    assert stage.phone.titles == ["(again) [blue] 🔴 api is DOWN: check http: answered 500"]


async def test_after_a_long_absence_what_was_missed_is_one_message_and_the_channel_is_told(stage: Stage) -> None:
    port = stage.phone.port
    stage.phone.port = 1  # nobody listens there
    stage.notifiers = stage.again()
    for number in range(4):
        await stage.trouble(f"s{number}")
        await stage.over(f"s{number}")
    assert not await stage.notifiers.round("phone")
    stage.clock.pass_by(3600)
    assert not await stage.notifiers.round("phone")
    assert not await stage.notifiers.round("phone")
    (word,) = await stage.words()
    assert word.startswith("The notifier phone has taken nothing since 2026-03-01 12:00 UTC: ")
    assert KEY not in word
    stage.phone.port = port
    assert await stage.again().round("phone")
    assert stage.phone.titles == ["[blue] 8 messages since 2026-03-01 12:00 UTC, this one late"]
    lines = stage.phone.got[0]["message"].splitlines()
    assert [line.split()[4] for line in lines[:8]] == [f"s{n}" for n in range(4) for _ in range(2)]
    assert lines[8] == "The oldest comes 1 h late."
    assert (await stage.words())[-1] == "The notifier phone works again."


async def test_one_that_is_late_says_so(stage: Stage) -> None:
    await stage.trouble()
    stage.clock.pass_by(720)
    assert await stage.notifiers.round("phone")
    assert "This comes 12 m late." in stage.phone.got[0]["message"]


async def test_only_the_events_and_services_it_is_for_are_told(stage: Stage) -> None:
    notifiers = stage.again(told=(NotifiedKind.CALL, NotifiedKind.RECOVERED), services=("api",))
    for service in ("api", "bot"):
        incident = await stage.trouble(service)
        await stage.store.write(incident_repository.escalate, incident.id, plain("why"), stage.clock(), Evidence())
        await stage.over(service)
    assert await notifiers.round("phone")
    assert [title.split()[1] for title in stage.phone.titles] == ["🚨", "🟢"]


async def test_a_silenced_service_waits_and_what_came_and_went_is_not_told(stage: Stage) -> None:
    now = stage.clock()
    for service in ("api", "bot"):
        silence = Silence(service, "ann", "", now, now + timedelta(minutes=5))
        await stage.store.write(incident_repository.put_silence, silence)
        await stage.trouble(service)
    await stage.over("bot")
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles == []
    stage.clock.pass_by(301)
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles == ["[blue] 🔴 api is DOWN: check http: answered 500"]


async def test_an_escalation_reaches_one_that_is_told_nothing_else_and_none_once_it_is_over(stage: Stage) -> None:
    notifiers = stage.again(told=())
    first, second = await stage.trouble(), await stage.trouble("bot")
    for incident in (first, second):
        await stage.store.write(deliveries.escalation(["phone"]), incident.id, stage.clock())
        await stage.store.write(deliveries.escalation(["phone"]), incident.id, stage.clock())
    await stage.over("bot")
    assert await notifiers.round("phone")
    assert stage.phone.titles == ["[blue] 📣 api: nobody has acknowledged: check http: answered 500"]
    assert stage.phone.got[0]["type"] == "warning"


async def test_mail_is_sent_and_what_the_server_does_is_understood(stage: Stage) -> None:
    async with MailServer() as server:
        (stage.folder / "mail").write_text(
            f"mailto://127.0.0.1:{server.port}/?from=ops@example.org&to=ann@example.org&mode=insecure"
        )
        mail = Notifier("mail", Secret(file=stage.folder / "mail"))
        notifiers = stage.again(mail)
        assert await notifiers.round("mail")
        await stage.trouble()
        server.refuse = "550 no such person"
        assert not await notifiers.round("mail")
        server.refuse, server.hang_up = "", True
        assert not await notifiers.round("mail")
        server.hang_up = False
        assert await notifiers.round("mail")
        assert [str(make_header(decode_header(mail["Subject"]))) for mail in server.mails] == [
            "[blue] 🔴 api is DOWN: check http: answered 500",
            "(again) [blue] 🔴 api is DOWN: check http: answered 500",
        ]
        assert [mail["To"] for mail in server.mails] == ["ann@example.org"] * 2


async def test_a_plugin_that_hangs_is_killed() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sent = await apprise_sender.send(
        f"json://127.0.0.1:{port}/?rto=100", apprise_sender.OutgoingMessage("t", "b"), limit=3
    )
    assert sent == apprise_sender.SendResult(ok=False, failure="no result within 3 s", doubt=True)
    server.close()


async def test_a_url_that_is_not_there_or_not_understood_is_said_without_it(stage: Stage) -> None:
    await stage.trouble()
    (stage.folder / "odd").write_text(f"no-such-thing://{KEY}")
    odd = Notifier("odd", Secret(file=stage.folder / "odd"))
    gone = Notifier("gone", Secret(env="OPSBOT_TEST_NO_SUCH_VARIABLE"))
    notifiers = stage.again(odd, gone)
    assert (await notifiers.trial("odd", "ann")).failure.startswith("apprise does not accept the URL")
    assert "OPSBOT_TEST_NO_SUCH_VARIABLE is not set" in (await notifiers.trial("gone", "ann")).failure
    assert (await apprise_sender.understood(f"json://127.0.0.1/{KEY}")).ok
    assert (await notifiers.trial("phone", "ann <@1>")).ok
    assert stage.phone.titles == ["[blue] a test from opsbot"]


async def test_what_is_told_runs_by_itself_and_one_that_fails_holds_up_no_other(stage: Stage) -> None:
    (stage.folder / "bad").write_text("json://127.0.0.1:1/")
    notifiers = stage.again(Notifier("bad", Secret(file=stage.folder / "bad")))
    running = asyncio.create_task(notifiers.run())
    try:
        while len(await stage.store.read(deliveries.waiting)) < 2:
            await asyncio.sleep(0.02)  # between two looks
        await asyncio.sleep(0.1)  # what must not happen would have by then
        await stage.trouble()
        notifiers._feed.publish("notice")
        while not (await notifiers.figures())[0].sent:
            await asyncio.sleep(0.05)  # between two looks
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert stage.phone.titles == ["[blue] 🔴 api is DOWN: check http: answered 500"]
    figures = {each.name: each for each in await notifiers.figures()}
    assert (figures["phone"].sent, figures["phone"].waiting) == (1, 0)
    assert figures["bad"].waiting == 1


async def test_one_that_is_configured_no_more_is_forgotten(stage: Stage) -> None:
    await stage.trouble()
    stage.phone.answers = [500]
    assert not await stage.notifiers.round("phone")
    await stage.store.write(deliveries.keep_only, [])
    assert await stage.store.read(deliveries.waiting) == {}
    assert await stage.again().round("phone")
    assert stage.phone.titles == []


def test_every_piece_of_a_url_that_could_be_a_secret_is_known() -> None:
    parts = parts_of_url("slack://TokenAAAA/TokenBBBB%21/x?key=valuevalue")
    assert {"/TokenBBBB%21/x", "TokenBBBB%21", "TokenBBBB!", "key=valuevalue"} <= set(parts)
    assert {"password1"} <= set(parts_of_url("mailto://someone1:password1@example.org"))
