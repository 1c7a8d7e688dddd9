"""What the board says, and that it stays within Discord's limits however many services there are."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cogs.cards.board_card import Look, board, steady
from cogs.cards.rendered import AMBER, GREEN, RED
from opsbot.config import Check, CheckKind
from opsbot.core.deployment import Hold, Release
from opsbot.core.flapping import Flaps
from opsbot.core.gauge import Gauge
from opsbot.core.health import CheckHealth, ProbeResult, Verdict
from opsbot.core.message import plain
from opsbot.core.model import Acknowledgement, Dependent, Evidence, Incident, Live, Silence, SourceState
from opsbot.core.threshold import Threshold
from opsbot.core.windows import Span, Weekday, Window
from opsbot.engine.status import Overview, ServiceStatus, service_status
from opsbot.services.port import Activity, ServiceState
from opsbot.store.boards import StoredStatus
from tests.fixtures.sample import make_service

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOOK = Look("blue", lambda message: f"https://discord.com/channels/100000000000000001/100000000000000002/{message}", {})
CARD = 1400000000000000000


def status(name: str, **more: object) -> ServiceStatus:
    """A healthy service, but for what is given: fields of `StoredStatus`, `incident`, arguments of `service_status`."""
    live, release = Live(name, "r1", NOW - HOUR, 1), Release("r1", "abcdef0123" * 4, NOW - HOUR, True, "a title")
    kept = StoredStatus(live, release, None, None, None, SourceState(name))
    of_store = {field: more.pop(field) for field in ("live", "release", "hold", "silence") if field in more}
    incidents = {
        one.service: one for field in ("incident", "root") if isinstance(one := more.pop(field, None), Incident)
    }
    running = ServiceState(Activity.RUNNING, pid=1, started_at=NOW)
    found = {"http": CheckHealth(Verdict.UP, NOW, 3, NOW, ProbeResult(True, plain("answered 200"), NOW))}
    service = make_service(Path("/srv"), "https://example.com", 0, name=name, checks=(Check("http", CheckKind.HTTP),))
    return service_status(service, running, replace(kept, **of_store), incidents, found, NOW, **more)  # type: ignore[arg-type]


def incident(name: str, number: int = 1, **more: object) -> Incident:
    return Incident(number, name, plain("check http: answered 500"), NOW, Evidence(), **more)  # type: ignore[arg-type]


def ill(name: str, number: int = 1, **more: object) -> ServiceStatus:
    return status(name, incident=incident(name, number, **more))


def overview(*services: ServiceStatus, **more: object) -> Overview:
    empty: dict[str, object] = {"host": (), "taken": {}, "cards": {}, "open": (), "gauges": ()}
    return Overview(services, **{**empty, **more})  # type: ignore[arg-type]


def lines(seen: Overview, look: Look = LOOK) -> list[str]:
    return board(seen, look, NOW).text.split("\n")


def test_what_is_well_is_short() -> None:
    shown = board(overview(status("api")), LOOK, NOW)
    assert shown.content == "🟢 1 service, healthy."
    assert shown.colour == GREEN
    assert shown.footer == "blue · #board"
    assert shown.text.split("\n") == [
        f"🟢 **api** · `abcdef0` live <t:{int((NOW - HOUR).timestamp())}:R>",
        "",
        "🖥️ **blue**",
        f"-# last change <t:{int(NOW.timestamp())}:R>",
    ]


def test_everything_that_is_not_as_ever_is_said() -> None:
    at = f"<t:{int(NOW.timestamp())}:R>"
    root = ill("postgres", 7, called_at=NOW, dependents=(Dependent("web", plain("http"), NOW),))
    window = Window("backup", time(12), HOUR, ZoneInfo("UTC"), (Weekday.TUE,))
    seen = overview(
        status("api"),
        status("web", because_of="postgres", root=root.incident),
        root,
        status("held", hold=Hold("held", "Mia *", None, NOW)),
        status("quiet", silence=Silence("quiet", "Mia", "", NOW, NOW + HOUR)),
        status("new", live=None, release=None, manager_error="no *bus*"),
        host=(replace(incident("host:disk:/", 8), cause=plain("/ is full in about 9 hours")),),
        taken={7: Acknowledgement(7, "Mia", "mine", NOW)},
        cards={7: CARD},
        open=(Span(window, NOW, NOW + HOUR),),
    )
    shown = board(seen, replace(LOOK, figures={"host:disk:/": 91, "host:memory": 60}), NOW)
    text = shown.text.split("\n")
    live = f"`abcdef0` live <t:{int((NOW - HOUR).timestamp())}:R>"
    assert text[1] == f"🔴 **web** down since {at}: needs `postgres`, which is down · {live}"
    assert text[0] == (
        f"🔴 **postgres** down since {at}: check http: answered 500 · 🚨 needs attention · 👀 acknowledged by Mia · "
        f"[incident 7]({LOOK.link(CARD)}) · {live}"
    )
    assert text[2] == f"🟢 **held** · ⏸ deploys paused by Mia \\* since <t:{int(NOW.timestamp())}:f> · {live}"
    assert text[3] == f"🟢 **quiet** · 🔕 alerts silenced by Mia until <t:{int((NOW + HOUR).timestamp())}:f> · {live}"
    assert text[4] == f"⚪ **new** unknown: the service manager cannot be asked: no \\*bus\\* · started {at}"
    assert text[5].startswith("🟢 **api** ·")
    assert text[7].startswith(f"🔴 **The host's disk /** incident open since {at}: / is full in about 9 hours")
    assert text[8] == "🖥️ **blue** · / 91 % used · 60 % of the memory available"
    assert text[9].startswith("🟦 **backup** until ")
    assert shown.content == "🔴 2 of 6 services down: postgres, web. Incident open for the host's disk /."
    assert shown.colour == RED


def test_what_only_flaps_is_amber() -> None:
    flaps = Flaps((), NOW, 9, NOW)
    shown = board(overview(status("api"), ill("web", flaps=flaps)), LOOK, NOW)
    assert shown.text.startswith("🟠 **web** unstable since")
    assert shown.colour == AMBER


@pytest.mark.parametrize("bad", [0, 3, 25, 50])
def test_fifty_services_are_all_there(bad: int) -> None:
    names = [f"voice-meeting-bot-{number:02}" for number in range(50)]
    services = [ill(name, number) if number < bad else status(name) for number, name in enumerate(names)]
    shown = board(overview(*services, cards=dict.fromkeys(range(50), CARD)), LOOK, NOW)
    assert len(shown.text) <= 4000
    assert len(shown.content) < 500
    assert all(name in shown.text for name in names)
    assert "…" not in shown.text
    first = shown.text.split("\n")[:bad]
    assert all("down since" in line for line in first)


def test_beyond_that_those_not_well_come_first_and_the_rest_is_counted() -> None:
    services = [status(f"a-service-with-a-long-name-{number:03}") for number in range(400)]
    services[-1] = ill(services[-1].service)
    text = board(overview(*services), LOOK, NOW).text.split("\n")
    assert sum(len(line) + 1 for line in text) <= 4001
    assert text[0].startswith("🔴 **a-service-with-a-long-name-399** down since")
    assert "… and 399 more, none of them down or unstable" in text
    assert board(overview(*[ill(f"s{n:04}", n) for n in range(999)]), LOOK, NOW).text.count("down since") > 50


@pytest.mark.parametrize("name", ["@everyone", "<@1>", "[x](http://x)", "**x**", "`" * 60])
def test_names_and_causes_can_do_nothing(name: str) -> None:
    seen = overview(status("api", incident=replace(incident("api"), cause=plain(name))))
    shown = board(seen, LOOK, NOW)
    assert name not in shown.text.replace("**api**", "")


def test_figures_of_the_host_move_by_steps() -> None:
    def gauge(subject: str, value: float) -> Gauge:
        return Gauge(subject, value, Threshold(90, 85, HOUR, HOUR), "", "", "")

    shown = steady([gauge("host:disk:/", 43.2), gauge("host:memory", 61), gauge("host:load", 1)], {})
    assert shown == {"host:disk:/": 43, "host:memory": 61}
    assert steady([gauge("host:disk:/", 47), gauge("host:memory", 55)], shown) == shown
    moved = steady([gauge("host:disk:/", 48), gauge("host:memory", 50)], shown)
    assert moved == {"host:disk:/": 48, "host:memory": 50}
