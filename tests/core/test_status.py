"""The state of a service: the precedence of the rules, and what holds in every combination of facts."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import CHANGED, Deployment, DeploymentKind, DeploymentStep, Hold, Phase
from opsbot.core.flapping import Flaps
from opsbot.core.health import CheckHealth, ProbeResult, Verdict
from opsbot.core.message import Message, message, plain
from opsbot.core.model import Evidence, Incident, Live, Silence
from opsbot.core.status import (
    Activity,
    CheckStatus,
    HealthState,
    ServiceHealth,
    StatusCode,
    StatusFacts,
    StoppedBy,
    UnitStatus,
    derive_status,
    shown_checks,
)
from opsbot.messages import render
from opsbot.messages.status import statement

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GRACE = timedelta(seconds=30)
OLD, YOUNG = NOW - timedelta(hours=1), NOW - timedelta(seconds=5)
ACTOR = Actor(Origin.CLI, "unix:ada", "ada")
LIVE = Live("api", "r1", OLD, 1)


def unit(activity: Activity, started_at: datetime | None = OLD, name: str = "", *, by_hand: bool = False) -> UnitStatus:
    ended = "" if activity is Activity.RUNNING else "exit status 1"
    return UnitStatus(name, activity, by_hand, started_at if activity is Activity.RUNNING else None, ended)


def result(*, ok: bool, at: datetime = NOW, known: bool = True) -> ProbeResult:
    return ProbeResult(ok, plain("answered 200" if ok else "answered 500"), at, known=known)


UP = CheckHealth(Verdict.UP, OLD, 5, OLD, result(ok=True))
DOWN = CheckHealth(Verdict.DOWN, YOUNG, -3, YOUNG, result(ok=False))
FAILING = CheckHealth(Verdict.UP, OLD, -1, NOW, result(ok=False))
PENDING = CheckHealth()
IMPOSSIBLE = CheckHealth(last=result(ok=False, known=False))
STALE = CheckHealth(Verdict.UP, OLD, 5, OLD, result(ok=True, at=OLD - timedelta(hours=1)))
UNCOUNTED = CheckHealth(last=result(ok=False))
"""It failed, in the startup grace or just after the checks were reset."""

RUNNING = unit(Activity.RUNNING)
BY_PERSON = unit(Activity.STOPPED, by_hand=True)


def deployment(phase: Phase, finished_at: datetime | None = None) -> Deployment:
    return Deployment(7, "api", DeploymentKind.DEPLOY, phase, ACTOR, OLD, NOW, finished_at=finished_at)


def incident(*, flapping: bool = False, called: bool = False) -> Incident:
    flaps = Flaps((), OLD, 9, NOW) if flapping else Flaps()
    return Incident(3, "api", "answered 500", OLD, Evidence(), called_at=NOW if called else None, flaps=flaps)


def facts(*units: UnitStatus, checks: tuple[CheckHealth, ...] = (UP,), **more: object) -> StatusFacts:
    named = tuple(CheckStatus(f"check{number}", check) for number, check in enumerate(checks))
    return replace(StatusFacts(NOW, units or (RUNNING,), checks=named, startup_grace=GRACE), **more)  # type: ignore[arg-type]


def codes(found: tuple[Message, ...]) -> list[str]:
    return [each.code for each in found]


ROWS: list[tuple[str, StatusFacts, HealthState, list[StatusCode]]] = [
    ("all passes", facts(), HealthState.HEALTHY, [StatusCode.CHECKS_PASS]),
    ("no checks", facts(checks=()), HealthState.HEALTHY, [StatusCode.NO_CHECKS]),
    ("some cannot be run", facts(checks=(UP, IMPOSSIBLE)), HealthState.HEALTHY, [StatusCode.CHECKS_PASS]),
    ("none can be run", facts(checks=(IMPOSSIBLE,)), HealthState.UNKNOWN, [StatusCode.CHECKS_IMPOSSIBLE]),
    ("none has run", facts(checks=(UP, PENDING)), HealthState.UNKNOWN, [StatusCode.CHECKS_NOT_RUN]),
    ("one is down", facts(checks=(UP, DOWN)), HealthState.DOWN, [StatusCode.CHECK_DOWN]),
    ("one fails", facts(checks=(UP, FAILING)), HealthState.DEGRADED, [StatusCode.CHECK_FAILING]),
    ("one fails after a reset", facts(checks=(UNCOUNTED,)), HealthState.DEGRADED, [StatusCode.CHECK_FAILING]),
    (
        "it fails in the grace",
        facts(unit(Activity.RUNNING, YOUNG), checks=(UNCOUNTED,)),
        HealthState.STARTING,
        [StatusCode.CHECKS_NOT_PASSED],
    ),
    (
        "it had passed in the grace, and fails",
        facts(unit(Activity.RUNNING, YOUNG), checks=(FAILING,)),
        HealthState.DEGRADED,
        [StatusCode.CHECK_FAILING],
    ),
    (
        "started again, and not checked yet",
        facts(unit(Activity.RUNNING, YOUNG), checks=(STALE,)),
        HealthState.STARTING,
        [StatusCode.CHECKS_NOT_PASSED],
    ),
    ("starting", facts(unit(Activity.STARTING)), HealthState.STARTING, [StatusCode.UNIT_STARTING]),
    ("failed", facts(unit(Activity.FAILED)), HealthState.DOWN, [StatusCode.UNIT_FAILED]),
    ("retried", facts(unit(Activity.RETRYING)), HealthState.DOWN, [StatusCode.UNIT_RETRYING]),
    ("does not run", facts(unit(Activity.STOPPED)), HealthState.DOWN, [StatusCode.UNIT_NOT_RUNNING]),
    ("being stopped", facts(unit(Activity.STOPPING)), HealthState.STOPPED, [StatusCode.UNIT_STOPPING]),
    ("stopped by a person", facts(BY_PERSON, checks=(UP, DOWN)), HealthState.STOPPED, []),
    ("… in an incident", facts(BY_PERSON, incident=incident()), HealthState.STOPPED, [StatusCode.INCIDENT]),
    (
        "one of two units stopped by a person",
        facts(unit(Activity.RUNNING, name="a"), unit(Activity.STOPPED, name="b", by_hand=True)),
        HealthState.DEGRADED,
        [StatusCode.UNITS_STOPPED],
    ),
    (
        "one of two units failed",
        facts(unit(Activity.RUNNING, name="a"), unit(Activity.FAILED, name="b")),
        HealthState.DOWN,
        [StatusCode.UNIT_FAILED],
    ),
    ("an incident", facts(incident=incident()), HealthState.DOWN, [StatusCode.INCIDENT]),
    (
        "an incident that flaps",
        facts(incident=incident(flapping=True)),
        HealthState.UNSTABLE,
        [StatusCode.FLAPPING, StatusCode.INCIDENT],
    ),
    ("down because of another", facts(dependency="db", failed_at=OLD), HealthState.DOWN, [StatusCode.DEPENDENCY_DOWN]),
    ("no manager", facts(units=(), manager_error="no bus"), HealthState.UNKNOWN, [StatusCode.MANAGER_ERROR]),
    (
        "no manager, in an incident",
        facts(units=(), manager_error="no bus", incident=incident()),
        HealthState.DOWN,
        [StatusCode.INCIDENT],
    ),
    (
        "never deployed",
        facts(unit(Activity.STOPPED), checks=(PENDING,), has_source=True),
        HealthState.UNKNOWN,
        [StatusCode.NO_RELEASE],
    ),
    (
        "never deployed, and runs all the same",
        facts(checks=(PENDING,), has_source=True),
        HealthState.UNKNOWN,
        [StatusCode.NO_RELEASE],
    ),
    (
        "the first deployment failed before the switch",
        facts(unit(Activity.STOPPED), has_source=True, deployment=deployment(Phase.FAILED)),
        HealthState.UNKNOWN,
        [StatusCode.NO_RELEASE, StatusCode.DEPLOYMENT_FAILED],
    ),
    (
        "the first deployment was undone",
        facts(BY_PERSON, has_source=True, deployment=deployment(Phase.UNDONE)),
        HealthState.STOPPED,
        [StatusCode.DEPLOYMENT_UNDONE],
    ),
    (
        "the first deployment could not be undone",
        facts(unit(Activity.FAILED), has_source=True, deployment=deployment(Phase.STUCK)),
        HealthState.DOWN,
        [StatusCode.DEPLOYMENT_STUCK],
    ),
    (
        "fetching",
        facts(has_source=True, live=LIVE, deployment=deployment(Phase.FETCHING)),
        HealthState.DEPLOYING,
        [StatusCode.DEPLOYMENT_PHASE],
    ),
    (
        "the first deployment is fetching",
        facts(unit(Activity.STOPPED), has_source=True, deployment=deployment(Phase.FETCHING)),
        HealthState.DEPLOYING,
        [StatusCode.DEPLOYMENT_PHASE],
    ),
    (
        "it failed while another release is being built",
        facts(unit(Activity.FAILED), has_source=True, live=LIVE, deployment=deployment(Phase.INSTALLING)),
        HealthState.DOWN,
        [StatusCode.UNIT_FAILED],
    ),
    (
        "fetching what ends an incident",
        facts(incident=incident(), deployment=deployment(Phase.FETCHING)),
        HealthState.DOWN,
        [StatusCode.INCIDENT],
    ),
    (
        "restarting what ends an incident",
        facts(unit(Activity.STOPPING), incident=incident(), deployment=deployment(Phase.RESTARTING)),
        HealthState.DEPLOYING,
        [StatusCode.DEPLOYMENT_PHASE, StatusCode.INCIDENT],
    ),
    (
        "waiting for its switch",
        facts(deployment=deployment(Phase.WAITING)),
        HealthState.HEALTHY,
        [StatusCode.CHECKS_PASS],
    ),
    (
        "just live",
        facts(
            unit(Activity.RUNNING, YOUNG), live=LIVE, deployment=deployment(Phase.LIVE, NOW), checks=(PENDING, PENDING)
        ),
        HealthState.HEALTHY,
        [StatusCode.VERIFIED],
    ),
    (
        "just rolled back",
        facts(unit(Activity.RUNNING, YOUNG), live=LIVE, deployment=deployment(Phase.UNDONE, NOW), checks=(PENDING,)),
        HealthState.HEALTHY,
        [StatusCode.VERIFIED_AFTER_ROLLBACK],
    ),
    (
        "just live, and fails",
        facts(unit(Activity.RUNNING, YOUNG), live=LIVE, deployment=deployment(Phase.LIVE, NOW), checks=(UNCOUNTED,)),
        HealthState.DEGRADED,
        [StatusCode.CHECK_FAILING],
    ),
    (
        "live, and started again since",
        facts(live=LIVE, deployment=deployment(Phase.LIVE, OLD - GRACE), checks=(PENDING,)),
        HealthState.UNKNOWN,
        [StatusCode.CHECKS_NOT_RUN],
    ),
]


@pytest.mark.parametrize(("known", "state", "reasons"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_state_and_its_reasons(known: StatusFacts, state: HealthState, reasons: list[StatusCode]) -> None:
    health = derive_status(known)

    assert (health.state, codes(health.reasons)) == (state, reasons)


# Every combination

PROCESSES: tuple[tuple[UnitStatus, ...], ...] = (
    (),
    *((unit(activity),) for activity in Activity),
    (unit(Activity.RUNNING, YOUNG),),
    (BY_PERSON,),
    (unit(Activity.RUNNING, name="a"), unit(Activity.STOPPED, name="b", by_hand=True)),
    (unit(Activity.RUNNING, name="a"), unit(Activity.FAILED, name="b")),
    (unit(Activity.STOPPED, name="a", by_hand=True), unit(Activity.STOPPED, name="b", by_hand=True)),
)
RELEASES = ((False, None), (True, None), (True, LIVE))
DEPLOYMENTS = (None, *(deployment(phase, None if phase in CHANGED else NOW) for phase in Phase))
TROUBLES = ((None, ""), (incident(), ""), (incident(flapping=True), ""), (incident(called=True), ""), (None, "db"))
CHECKS = (
    *((), (UP,), (DOWN,), (FAILING,), (PENDING,), (IMPOSSIBLE,), (UNCOUNTED,), (STALE,)),
    *((UP, DOWN), (UP, PENDING), (UP, IMPOSSIBLE), (FAILING, PENDING)),
)


def combinations() -> Iterator[StatusFacts]:
    for units, (has_source, live), latest, (own, root), checks in itertools.product(
        PROCESSES, RELEASES, DEPLOYMENTS, TROUBLES, CHECKS
    ):
        if latest is not None and not has_source:
            continue  # nothing is deployed that has no source
        if latest is not None and latest.phase is Phase.LIVE and live is None:
            continue
        yield facts(
            units=units,
            manager_error="" if units else "no bus",
            has_source=has_source,
            live=live,
            deployment=latest,
            incident=own,
            dependency=root,
            checks=checks,
        )


def check(known: StatusFacts, health: ServiceHealth) -> None:
    """What holds whatever is known."""
    state, phase = health.state, known.deployment.phase if known.deployment is not None else None
    unfinished = known.deployment is not None and not known.deployment.finished
    by_hand = [each.stopped_by_hand for each in known.units]
    assert health.reasons or health.by is StoppedBy.PERSON
    assert health.is_bad == (state in {HealthState.DOWN, HealthState.UNSTABLE})
    assert not (health.is_bad and health.is_fine)
    if health.by is StoppedBy.PERSON:
        assert by_hand
        assert all(by_hand)
    if health.by is StoppedBy.OPSBOT:
        assert known.live is None
        assert phase is Phase.UNDONE
    assert health.by is None or state is HealthState.STOPPED
    if phase in CHANGED:
        assert state is HealthState.DEPLOYING
    if state is HealthState.DEPLOYING:
        assert unfinished
        assert phase not in {Phase.WAITING, Phase.ASIDE}
    if known.incident is not None or known.dependency:
        assert state in {HealthState.DOWN, HealthState.UNSTABLE, HealthState.DEPLOYING, HealthState.STOPPED}
    dead = {Activity.FAILED, Activity.RETRYING} & {each.activity for each in known.wanted}
    if dead and (known.live is not None or not known.has_source):
        assert state in {HealthState.DOWN, HealthState.UNSTABLE, HealthState.DEPLOYING}
        assert state is not HealthState.DEPLOYING or phase in CHANGED
    if known.manager_error:
        assert state in {HealthState.DOWN, HealthState.UNSTABLE, HealthState.DEPLOYING, HealthState.UNKNOWN}
    if state is HealthState.UNSTABLE:
        assert known.incident is not None
        assert known.incident.flaps.flapping
    if state in {HealthState.HEALTHY, HealthState.DEGRADED}:
        assert known.running
        assert known.incident is None
        assert not any(each.health.verdict is Verdict.DOWN for each in known.counted)
        assert all(each.activity is Activity.RUNNING for each in known.wanted)
    if state is HealthState.HEALTHY:
        assert not any(by_hand)
        failing = [each for each in known.counted if (last := each.health.last) and last.known and not last.ok]
        assert not failing
    if state is HealthState.STOPPED:
        assert all(result.last is None for _, result in shown_checks(known)) or health.by is not StoppedBy.PERSON


def test_every_combination_has_one_state_that_contradicts_no_fact() -> None:
    seen: set[HealthState] = set()
    count = 0
    hold, silence = Hold("api", "ada", "", NOW), Silence("api", "ada", "", NOW, NOW + GRACE)
    for known in combinations():
        health = derive_status(known)
        try:
            check(known, health)
        except AssertionError as error:
            error.add_note(f"{known}\n{health}")
            raise
        held = derive_status(replace(known, hold=hold, silence=silence))
        assert replace(held, next=health.next) == health, "a hold and a silence change no state"
        assert codes(held.next)[-2:] == [StatusCode.DEPLOYS_PAUSED, StatusCode.SILENCED]
        seen.add(health.state)
        count += 1
    assert seen == set(HealthState)
    assert count > 20_000


# What happens next, and the text


def test_what_happens_next() -> None:
    def coming(known: StatusFacts) -> list[str]:
        return codes(derive_status(known).next)

    assert coming(facts()) == []
    assert coming(facts(incident=incident())) == [StatusCode.RECOVERING]
    assert coming(facts(incident=incident(called=True))) == [StatusCode.NEEDS_ATTENTION]
    assert coming(facts(incident=incident(), waits="Discord is away")) == [StatusCode.WAITING]
    assert coming(facts(dependency="db")) == [StatusCode.RECOVERS_WITH]
    assert coming(facts(BY_PERSON)) == [StatusCode.STAYS_STOPPED]
    undone = facts(BY_PERSON, has_source=True, deployment=deployment(Phase.UNDONE))
    assert coming(undone) == [StatusCode.NEXT_DEPLOYMENT]
    waiting = replace(
        deployment(Phase.WAITING),
        steps=(DeploymentStep("wait", Phase.WAITING, OLD, note="3 people in a voice channel"),),
    )
    (said,) = derive_status(facts(deployment=waiting)).next
    assert render(said) == "deployment 7 is waiting: 3 people in a voice channel"
    rolled_back = Hold("api", "opsbot", "", NOW, "abcdef0123456")
    assert coming(facts(hold=rolled_back)) == [StatusCode.DEPLOYS_PAUSED_BY_ROLLBACK]


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (facts(), "healthy: 1 check passes"),
        (
            facts(incident=incident(called=True)),
            "down: answered 500. Next: needs attention",
        ),
        (
            facts(incident=replace(incident(), cause=message(StatusCode.NO_CHECKS))),  # type: ignore[arg-type]
            "down: running; no check can tell more. Next: automatic recovery is under way",
        ),
        (facts(BY_PERSON), "stopped by a person. Next: stays stopped until somebody starts it"),
        (
            facts(BY_PERSON, has_source=True, deployment=deployment(Phase.UNDONE)),
            (
                "stopped by opsbot: deployment 7 failed, and there is no earlier release. "
                "Next: the next deployment starts it"
            ),
        ),
        (facts(unit(Activity.FAILED)), "down: exited (exit status 1)"),
        (facts(unit(Activity.FAILED, name="a@1.service")), "down: `a@1.service` exited (exit status 1)"),
        (facts(deployment=deployment(Phase.INSTALLING)), "deploying: deployment 7 is building"),
        (facts(checks=(PENDING, PENDING)), "unknown: checks `check0`, `check1` have not run yet"),
        (facts(units=(), manager_error="no bus"), "unknown: the service manager cannot be asked: no bus"),
    ],
)
def test_the_text_says_the_state_first_then_the_cause_then_what_happens_next(known: StatusFacts, text: str) -> None:
    assert render(statement(derive_status(known))) == text


# Checks as they are shown


def test_a_result_of_an_earlier_run_is_not_shown() -> None:
    started = facts(unit(Activity.RUNNING, YOUNG), checks=(replace(STALE, verdict=Verdict.UNKNOWN), UP, DOWN))

    shown = dict(shown_checks(started))

    assert shown["check0"].last is None
    assert shown["check1"].last is not None
    assert shown["check2"].last is not None


def test_nothing_is_known_of_checks_about_what_a_person_stopped() -> None:
    assert dict(shown_checks(facts(BY_PERSON, checks=(UP, DOWN)))) == {"check0": PENDING, "check1": PENDING}
    assert dict(shown_checks(facts(units=(), manager_error="no bus", checks=(UP,)))) == {"check0": UP}
    units = (unit(Activity.RUNNING, name="a"), unit(Activity.STOPPED, name="b", by_hand=True))
    checks = (CheckStatus("http", UP, "a"), CheckStatus("other", DOWN, "b"))
    known = replace(facts(*units), checks=checks)
    assert dict(shown_checks(known)) == {"http": UP, "other": PENDING}
    assert derive_status(known).state is HealthState.DEGRADED
