"""What the daemon answered, as lines for people. Pure; all that comes from outside is made harmless here."""

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from opsbot.cli.terminal import Cell, Paint, fit, plain, table
from opsbot.control import shapes
from opsbot.core.deployment import SHORT, Deployment, DeploymentStep
from opsbot.core.message import Message
from opsbot.core.model import Effect
from opsbot.core.subjects import subject_name
from opsbot.formatting import between, duration, plain_times, since, size, whose
from opsbot.messages import render
from opsbot.messages.deployments import deployment_status
from opsbot.messages.root_cause_line import kind_name
from opsbot.messages.windows import window_effects
from opsbot.services.port import LogLine, ServiceState

GOOD, BAD, ODD = "green", "red", "yellow"
_COLOUR = {
    **dict.fromkeys(("up", "healthy", "running", "live"), GOOD),
    **dict.fromkeys(("unstable", "down", "failed", "undone", "stuck", "error"), BAD),
    **dict.fromkeys(("degraded", "unknown", "warning", "starting", "stopping", "stopped", "retrying"), ODD),
    **dict.fromkeys(("skipped", "replaced", "aside"), ODD),
    "deploying": "cyan",
}
_WHOLE_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Screen:
    """How lines are shown: their colours, the time that ages are counted to, the width."""

    paint: Paint
    now: datetime
    columns: int


def colour_of(word: str) -> str:
    """The colour that goes with a state, a verdict, a phase or a level; "" for none."""
    return _COLOUR.get(word, "")


def stamp(at: datetime) -> str:
    """A time as it is shown: in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def said(value: Message | None) -> str:
    return plain(plain_times(render(value)))


def release_words(service: shapes.ServiceReply) -> str:
    release = service.release
    if release is not None:
        title = f" {plain(release.title)}" if release.title else ""
        return f"{release.commit[:SHORT]}{title}"
    return plain(service.live or "")


def uptime(state: ServiceState, now: datetime) -> str:
    return between(state.started_at, now) if state.started_at is not None and state.activity == "running" else "-"


def health_words(health: shapes.HealthReply) -> str:
    reasons = ", ".join(plain(reason.text) for reason in health.reasons)
    words = f"{plain(health.text)}: {reasons}" if reasons else plain(health.text)
    following = ", ".join(plain(coming.text) for coming in health.next)
    return f"{words}. Next: {following}" if following else words


def status(reply: shapes.StatusReply, screen: Screen) -> list[str]:
    """`status`: a line a service, and below it what is out of the ordinary."""
    paint, now, columns = screen.paint, screen.now, screen.columns
    lines = table(service_rows(reply.services, now), paint)
    below = [[f"  {paint(text, colour)}" for text, colour in notes(one, now, columns - 2)] for one in reply.services]
    shown = [lines[0], *(line for row, extra in zip(lines[1:], below, strict=True) for line in (row, *extra))]
    return shown if reply.alert_path is None else [*shown, _alert_path(reply.alert_path, paint, now, columns)]


def _alert_path(proof: shapes.DeliveryTestReply, paint: Paint, now: datetime, columns: int) -> str:
    proven = f"last proven {since(proof.proven_at, now)}" if proof.proven_at else "never proven"
    if not proof.failure:
        return fit(f"alert path {proven}", columns)
    return paint(fit(f"alert path {proven}; {since(proof.tried_at, now)}: {plain(proof.failure)}", columns), BAD)


def service_rows(services: Iterable[shapes.ServiceReply], now: datetime) -> list[list[Cell]]:
    """The names of the columns, and a row for each service."""
    return [
        [(name, "bold") for name in ("SERVICE", "STATE", "UP", "PID", "CPU", "MEMORY", "RELEASE")],
        *(
            [
                (plain(one.service), "bold"),
                (plain(one.health.text), colour_of(one.health.state)),
                (uptime(one.state, now), ""),
                (str(one.state.pid or "-"), ""),
                ("-" if one.cpu is None else f"{one.cpu:.1f} %", ""),
                ("-" if one.memory is None else size(one.memory), ""),
                (fit(release_words(one) or "-", 40), ""),
            ]
            for one in services
        ),
    ]


def notes(one: shapes.ServiceReply, now: datetime, columns: int = 120) -> Iterator[Cell]:
    """Why a service is not healthy, and what happens next: each on a line, with its colour."""
    yield from ((fit(text, columns), colour) for text, colour in _notes(one, now))


_DETAILED = frozenset({"check", "phase"})
"""Parameters of reasons that the lines about checks and deployments show with more detail."""


def _notes(one: shapes.ServiceReply, now: datetime) -> Iterator[Cell]:
    health = one.health
    for check in one.checks:
        if check.verdict == "down" or check.ok is False:
            yield check_words(check, now), BAD if check.verdict == "down" else ODD
    if health.state != "healthy":
        for reason in health.reasons:
            if not _DETAILED & reason.params.keys():
                yield _reason_words(reason, one, now), colour_of(health.state)
    if one.deploying is not None:
        yield deploying_words(one.deploying, now), "cyan"
    if one.discord_away is not None:
        yield f"Discord is away for {between(one.discord_away, now)}", ODD
    for coming in health.next:
        yield plain(coming.text), ODD
    if one.logins is not None and one.logins.starts * 5 >= one.logins.limit:
        yield f"started {one.logins.starts} times in 24 h of {one.logins.limit} logins", ODD
    source = one.source
    if source is not None and source.failing_since:
        yield f"no news from the source for {between(source.failing_since, now)}: {said(source.failure)}", ODD


def _reason_words(reason: shapes.StatementReply, one: shapes.ServiceReply, now: datetime) -> str:
    number = reason.params.get("incident")
    # Not since when it is in this state: that of a deployment, for one, is younger than the incident.
    length = f" for {between(one.incident.opened_at, now)}" if one.incident is not None else ""
    incident = "" if number is None else f"incident {number}{length}: "
    return incident + plain(reason.text)


def check_words(check: shapes.CheckReply, now: datetime) -> str:
    verdict: str = check.verdict
    if verdict == "up" and check.ok is False:
        verdict = "fails now, not judged down yet"
    elif check.since and verdict != "unknown":
        verdict += f" for {between(check.since, now)}"
    seen = f": {plain(check.seen)}" if check.seen else ""
    return f"{plain(check.name)} {verdict}{seen}"


def health(reply: shapes.StatusReply, screen: Screen) -> list[str]:
    """`health`: a line a check, with what it just saw."""
    paint, now = screen.paint, screen.now
    lines = []
    for one in reply.services:
        state = one.health.state
        lines.append(f"{paint(plain(one.service), 'bold')}  {paint(health_words(one.health), colour_of(state))}")
        rows: list[list[Cell]] = []
        for check in one.checks:
            mark: Cell = ("ok", GOOD) if check.ok else ("-", ODD) if check.ok is None else ("FAIL", BAD)
            took = "" if check.took is None else duration(check.took)
            unjudged = "not judged while stopped" if state == "stopped" else "has not run yet"
            at = unjudged if check.at is None else since(check.at, now)
            rows.append([mark, (plain(check.name), ""), (plain(check.seen), mark[1]), (took, "dim"), (at, "dim")])
        lines += table(rows, paint, "  ") or [paint("  no checks are configured", "dim")]
    return lines


def log_line(line: LogLine, paint: Paint) -> str:
    text = plain(whose(line.part, manager=line.manager) + line.text)
    return f"{paint(stamp(line.at), 'dim')} {paint(text, colour_of(line.level))}"


def logs(reply: shapes.LogsReply, screen: Screen) -> list[str]:
    return [log_line(line, screen.paint) for line in reply.lines]


def audit(reply: shapes.AuditReply, screen: Screen) -> list[str]:
    rows: list[list[Cell]] = []
    for entry in reply.entries:
        who = plain(entry.actor_name or entry.actor_id)
        allowed = entry.effect is not Effect.REFUSED
        detail = f" {plain(entry.detail)}" if entry.detail else ""
        rows.append(
            [
                (stamp(entry.at), "dim"),
                (entry.origin, ""),
                (fit(who, 32), ""),
                (fit(f"{entry.action} {plain(entry.service)}{detail}", 60), "bold"),
                (plain(entry.result), "" if allowed else BAD),
            ]
        )
    return table(rows, screen.paint) or ["nothing has been asked of opsbot yet"]


def deployment_title(one: Deployment) -> str:
    if one.kind == "rollback" and one.release_to:
        target = f" to {plain(one.release_to)}"
    else:
        ref = plain(one.ref or "")
        short = ref[:SHORT] if _WHOLE_COMMIT.fullmatch(ref) else ref
        target = f" of {short}" if short else ""
    return f"deployment {one.id} of {plain(one.service)}: {one.kind}{target} by {plain(one.actor.name)}"


def commits_words(one: Deployment) -> str:
    """From which commit to which, and the newest one's title."""
    before, after = (one.commit_from or "")[:SHORT], (one.commit_to or "")[:SHORT]
    known = after or before or (one.release_to or "")
    words = f"{before} → {after}" if before and after else known
    title = plain(one.commits[0].title) if one.commits else ""
    return f"{words} {title}".strip()


def took(one: Deployment, now: datetime) -> str:
    return between(one.created_at, one.finished_at or now)


def deploying_words(one: Deployment, now: datetime) -> str:
    what = commits_words(one) or one.kind
    return f"deployment {one.id} {deployment_status(one)} for {between(one.updated_at, now)}: {what}"


def _step_mark(step: DeploymentStep) -> Cell:
    """Its sign and colour: succeeded, failed, interrupted (by the end of opsbot), or in progress."""
    if step.ok is None:
        return ("·", ODD) if step.ended_at else ("…", "cyan")
    return ("✓", GOOD) if step.ok else ("✗", BAD)


def _step_length(step: DeploymentStep, now: datetime) -> str:
    return between(step.started_at, step.ended_at or now)


def step_cells(step: DeploymentStep, now: datetime) -> list[Cell]:
    """One step of a deployment, beside others on a line."""
    mark, colour = _step_mark(step)
    return [(f" {mark} {said(step.name)} ", colour), (_step_length(step, now), "dim")]


def step_line(step: DeploymentStep, paint: Paint, now: datetime, columns: int) -> str:
    mark, colour = _step_mark(step)
    note = f"  {said(step.note)}" if step.note else ""
    words = fit(f"{_step_length(step, now):>9}  {said(step.name)}{note}", columns - 4)
    return f"  {paint(mark, colour)} {words}"


def outcome(one: Deployment, paint: Paint, now: datetime) -> list[str]:
    """How a deployment ended: one sentence; on a failure the last lines of the step that failed."""
    where = f" in {one.failed_in}" if one.failed_in and one.failed_in != "pending" else ""
    words = {
        "live": "live",
        "failed": f"failed{where}; nothing live was changed",
        "undone": f"failed{where}",
        "stuck": f"failed{where}",
        "skipped": "nothing to do" if one.ok else "skipped",
        "replaced": "superseded by",
    }.get(one.phase, deployment_status(one))
    between = " " if one.phase == "replaced" else ": "
    note = f"{between}{said(one.note)}" if one.note else ""
    line = f"deployment {one.id} of {plain(one.service)} after {took(one, now)}: {words}{note}"
    lines = [paint(line, colour_of(one.phase))]
    if not one.ok:
        failed = next((step for step in reversed(one.steps) if step.ok is False), None)
        if failed is not None:
            lines += [f"  | {plain(text)}" for text in failed.tail.splitlines()[-15:]]
            if failed.output:
                lines.append(paint(f"  all of it: {plain(failed.output)}", "dim"))
    return lines


def windows(reply: shapes.WindowsReply, screen: Screen) -> list[str]:
    now = screen.now
    lines = [
        f"now      {plain(one.window.name)}: for another {between(now, one.end)}, "
        f"until {stamp(one.end)} UTC; {window_effects(one.window, plain)}"
        for one in reply.maintenance.active
    ]
    lines += [
        f"in {between(now, one.begin)}   {plain(one.window.name)}: {stamp(one.begin)} to "
        f"{stamp(one.end)} UTC; {window_effects(one.window, plain)}"
        for one in reply.maintenance.coming
    ]
    return lines or ["no maintenance window is open, and none is to come"]


def history(reply: shapes.HistoryReply, screen: Screen) -> list[str]:
    paint, now, columns = screen.paint, screen.now, screen.columns
    rows: list[list[Cell]] = [
        [
            (f"#{one.id}", "bold"),
            (stamp(one.created_at), "dim"),
            (plain(one.service), ""),
            (one.kind, ""),
            (deployment_status(one), colour_of(one.phase)),
            (took(one, now), "dim"),
            (fit(plain(one.actor.name), 24), ""),
            (commits_words(one), ""),
        ]
        for one in reply.deployments
    ]
    lines = [paint("deployments", "bold")]
    margin = " " * 8
    for one, line in zip(reply.deployments, table(rows, paint, "  "), strict=True):
        lines.append(line)
        if one.note and not one.ok:
            lines += textwrap.wrap(said(one.note), max(columns, 40), initial_indent=margin, subsequent_indent=margin)
    if not rows:
        lines.append("  none yet")
    lines.append(paint("incidents", "bold"))
    for incident in reply.incidents:
        lines += incident_lines(incident, paint, now)
    if not reply.incidents:
        lines.append("  none")
    return lines


def incidents(reply: shapes.IncidentsReply, screen: Screen) -> list[str]:
    lines = [line for one in reply.incidents for line in incident_lines(one, screen.paint, screen.now)]
    return lines or ["  none"]


def why(reply: shapes.WhyReply, screen: Screen) -> list[str]:
    paint = screen.paint
    lines = [paint(plain(reply.line), "bold" if reply.known else ODD)]
    return lines + [
        f"  {paint(stamp(one.at), 'dim')}  {kind_name(one.kind):<10}{plain(one.text)}" for one in reply.events
    ]


def incident_lines(one: shapes.IncidentReply, paint: Paint, now: datetime) -> list[str]:
    """One incident: what, from when to when, what failed because of it, and what was done."""
    if one.closed_at:
        length = between(one.opened_at, one.closed_at)
        down = f", down for {duration(one.downtime)}" if one.downtime else ""
        ended = f"resolved after {length}{down}" + (f" ({said(one.ended_by)})" if one.ended_by else "")
        colour = ""
    else:
        flapping = f", flapping, {one.changes} changes" if one.flapping else ""
        ended, colour = f"open for {between(one.opened_at, now)}{flapping}", BAD
    subject = plain(subject_name(one.service))
    lines = [paint(f"  #{one.id}  {stamp(one.opened_at)}  {subject}  {said(one.cause)}  {ended}", colour)]
    for child in one.dependents:
        to = f" to {stamp(child.well_at)}" if child.well_at else ", still down"
        lines.append(f"        and {plain(child.service)}: {said(child.cause)}, {stamp(child.failed_at)}{to}")
    return lines + [f"        {stamp(deed.at)}  {plain(deed.text)}" for deed in one.deeds[-5:]]
