"""How a service of several units is shown."""

from datetime import UTC, datetime

from cogs.cards.status_cards import details, status_line
from opsbot.core.status import StatusFacts, UnitStatus, derive_status
from opsbot.engine.status import ServiceStatus
from opsbot.host.processes import ProcessFigures
from opsbot.services.port import Activity, ServiceState
from opsbot.services.systemd.several import together

AT = datetime(2026, 3, 1, tzinfo=UTC)
RUNS = ServiceState(Activity.RUNNING, 77, "a", AT)


def shown(second: ServiceState) -> ServiceStatus:
    state = together([("app@1.service", RUNS), ("app@2.service", second)])
    figures = ProcessFigures(3.0, 2_000_000, None, None, AT, 0, tasks=12)
    facts = StatusFacts(AT, tuple(UnitStatus(name, part.activity, part.stopped_by_hand) for name, part in state.parts))
    return ServiceStatus("api", state, derive_status(facts), (), figures=figures)


def test_each_unit_has_its_line_and_their_tasks_are_told() -> None:
    text = details(shown(RUNS)).text
    assert "`app@1.service` process 77, started <t:1772323200:R>, 0 restarts by itself" in text
    assert text.count("process 77") == 2
    assert "12 tasks" in text


def test_a_service_that_runs_without_one_that_a_person_stopped_is_not_called_stopped() -> None:
    status = shown(ServiceState(Activity.STOPPED, stopped_by_hand=True))
    shown_now = details(status)
    assert shown_now.content == "🟡 api is degraded: `app@2.service` stopped by a person."
    assert "`app@2.service` stopped by a person" in shown_now.text
    assert status_line(status).startswith("🟡 **api** degraded: ")
