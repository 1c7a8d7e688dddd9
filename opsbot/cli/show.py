"""What the daemon answered, as lines for people. Pure; all that comes from outside is made harmless here."""

import re
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from opsbot.cli.terminal import Cell, Paint, fit, plain, table
from opsbot.control.shapes import (
    Audit,
    CheckReply,
    DeploymentReply,
    History,
    IncidentReply,
    Incidents,
    LogReply,
    ProofReply,
    ServiceReply,
    StateReply,
    Status,
    StepReply,
    WhyReply,
    WindowReply,
    WindowsReply,
)
from opsbot.core.subjects import subject_name
from opsbot.formatting import duration, since, size, whose

GOOD, BAD, ODD = "green", "red", "yellow"
_COLOUR = {
    "up": GOOD,
    "down": BAD,
    "unknown": ODD,
    "running": GOOD,
    "failed": BAD,
    "live": GOOD,
    "undone": BAD,
    "stuck": BAD,
    "error": BAD,
    "warning": ODD,
}
_SHORT = 10
"""Digits of a commit that are shown."""
_WHOLE_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def colour_of(word: str) -> str:
    """The colour that goes with a state, a verdict, a phase or a level; "" for none."""
    return _COLOUR.get(
        word, ODD if word in {"starting", "stopping", "stopped", "retrying", "skipped", "replaced", "aside"} else ""
    )


def when(text: str) -> datetime:
    """A time as it was sent."""
    return datetime.fromisoformat(text)


def stamp(text: str) -> str:
    """A time as it is shown: in UTC, to the second."""
    return f"{when(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def ago(text: str, now: datetime) -> str:
    """How long ago a time was."""
    return since(when(text), now)


def age(text: str, now: datetime) -> str:
    """How long it has been since."""
    return duration(max(now - when(text), timedelta(0)))


def release_words(service: ServiceReply) -> str:
    """The live release: its commit and title."""
    release = service["release"]
    if release is not None:
        title = f" {plain(release['title'])}" if release["title"] else ""
        return f"{release['commit'][:_SHORT]}{title}"
    return plain(service["live"] or "")


def state_words(state: StateReply, now: datetime) -> str:
    """What the manager says, with how long it has been so."""
    words = state["activity"]
    if state["activity"] == "stopped" and state["stopped_by_hand"]:
        # Of several units some may run: then there is a process.
        words = "stopped in part, on purpose" if state["pid"] else "stopped on purpose"
    if state["started_at"] and state["activity"] == "running":
        words += f" for {age(state['started_at'], now)}"
    return words


def status(reply: Status, paint: Paint, now: datetime, columns: int) -> list[str]:
    """`status`: a line a service, and below it what is out of the ordinary."""
    head: list[Cell] = [(name, "bold") for name in ("SERVICE", "STATE", "HEALTH", "PID", "CPU", "MEMORY", "RELEASE")]
    rows = [head]
    rows += [_status_row(one, now) for one in reply["services"]]
    lines = table(rows, paint)
    below = [[f"  {paint(text, colour)}" for text, colour in notes(one, now, columns - 2)] for one in reply["services"]]
    shown = [lines[0], *(line for row, extra in zip(lines[1:], below, strict=True) for line in (row, *extra))]
    return shown if reply["alert_path"] is None else [*shown, _alert_path(reply["alert_path"], paint, now, columns)]


def _alert_path(proof: ProofReply, paint: Paint, now: datetime, columns: int) -> str:
    proven = f"last proven {ago(proof['proven_at'], now)}" if proof["proven_at"] else "never proven"
    if not proof["failure"]:
        return fit(f"alert path {proven}", columns)
    return paint(fit(f"alert path {proven}; {ago(proof['tried_at'], now)}: {plain(proof['failure'])}", columns), BAD)


def _status_row(one: ServiceReply, now: datetime) -> list[Cell]:
    return [
        (plain(one["service"]), "bold"),
        (state_words(one["state"], now), colour_of(one["state"]["activity"])),
        _health_cell(one),
        (str(one["state"]["pid"] or "-"), ""),
        ("-" if one["cpu"] is None else f"{one['cpu']:.1f} %", ""),
        ("-" if one["memory"] is None else size(one["memory"]), ""),
        (fit(release_words(one) or "-", 40), ""),
    ]


def _stopped(one: ServiceReply) -> bool:
    """Whether all of it stands still because somebody wanted that: its checks are not counted then, and say nothing."""
    return one["state"]["stopped_by_hand"] and one["state"]["activity"] == "stopped" and not one["state"]["pid"]


def _health_cell(one: ServiceReply) -> Cell:
    return ("-", "") if _stopped(one) else (one["verdict"], colour_of(one["verdict"]))


def notes(one: ServiceReply, now: datetime, columns: int = 120) -> Iterator[Cell]:
    """What is out of the ordinary about a service, each on a line with its colour."""
    stopped = _stopped(one)
    for check in one["checks"]:
        if not stopped and (check["verdict"] != "up" or check["ok"] is False):
            yield (
                fit(check_words(check, now), columns),
                colour_of(check["verdict"]) if check["verdict"] != "up" else ODD,
            )
    if one["state"]["exit"] and one["state"]["activity"] != "running" and not one["state"]["stopped_by_hand"]:
        yield fit(f"ended: {plain(one['state']['exit'])}", columns), BAD
    if one["incident"] is not None:
        incident = one["incident"]
        called = "; needs attention" if incident["called_at"] else ""
        called += f"; flapping, {incident['changes']} changes" if incident["flapping"] else ""
        text = f"incident {incident['id']} for {age(incident['opened_at'], now)}: {plain(incident['cause'])}{called}"
        yield fit(text, columns), BAD
    if one["because_of"]:
        yield fit(f"not well because of {plain(one['because_of'])}", columns), BAD
    if one["deploying"] is not None:
        yield fit(deploying_words(one["deploying"], now), columns), "cyan"
    if one["discord_away"] is not None:
        yield fit(f"Discord is away for {age(one['discord_away'], now)}", columns), ODD
    if one["waits"]:
        yield fit(f"waits: {plain(one['waits'])}", columns), ODD
    if one["logins"] is not None and one["logins"]["starts"] * 5 >= one["logins"]["limit"]:
        yield fit(f"started {one['logins']['starts']} times in 24 h of {one['logins']['limit']} logins", columns), ODD
    yield from _kept(one, now, columns)


def _kept(one: ServiceReply, now: datetime, columns: int) -> Iterator[Cell]:
    """What people, and the source, keep from happening."""
    if one["hold"] is not None:
        hold = one["hold"]
        reason = f": {plain(hold['reason'])}" if hold["reason"] else ""
        what = "waits for a newer commit since the rollback" if hold["waits"] else "held"
        yield fit(f"{what} by {plain(hold['actor'])} {ago(hold['at'], now)}{reason}", columns), ODD
    if one["silence"] is not None:
        silence = one["silence"]
        reason = f": {plain(silence['reason'])}" if silence["reason"] else ""
        left = duration(max(when(silence["until"]) - now, timedelta(0)))
        yield fit(f"silenced by {plain(silence['actor'])} for another {left}{reason}", columns), ODD
    source = one["source"]
    if source is not None and source["failing_since"]:
        text = f"no news from the source for {age(source['failing_since'], now)}: {plain(source['failure'])}"
        yield fit(text, columns), ODD


def check_words(check: CheckReply, now: datetime) -> str:
    """One check in a line."""
    verdict = check["verdict"]
    if verdict == "up" and check["ok"] is False:
        verdict = "fails now, not judged down yet"
    elif check["since"] and verdict != "unknown":
        verdict += f" for {age(check['since'], now)}"
    seen = f": {plain(check['seen'])}" if check["seen"] else ""
    return f"{plain(check['name'])} {verdict}{seen}"


def health(reply: Status, paint: Paint, now: datetime) -> list[str]:
    """`health`: a line a check, with what it just saw."""
    lines = []
    for one in reply["services"]:
        words = f"{one['verdict']}, {state_words(one['state'], now)}"
        lines.append(f"{paint(plain(one['service']), 'bold')}  {paint(words, GOOD if one['healthy'] else BAD)}")
        rows: list[list[Cell]] = []
        for check in one["checks"]:
            mark: Cell = ("ok", GOOD) if check["ok"] else ("-", ODD) if check["ok"] is None else ("FAIL", BAD)
            took = "" if check["took"] is None else duration(check["took"])
            at = "not looked at yet" if check["at"] is None else ago(check["at"], now)
            rows.append([mark, (plain(check["name"]), ""), (plain(check["seen"]), mark[1]), (took, "dim"), (at, "dim")])
        lines += table(rows, paint, "  ") or [paint("  no checks are configured", "dim")]
    return lines


def log_line(line: LogReply, paint: Paint) -> str:
    """One line a service wrote."""
    text = plain(whose(line["part"], manager=line["manager"]) + line["text"])
    return f"{paint(stamp(line['at']), 'dim')} {paint(text, colour_of(line['level']))}"


def audit(reply: Audit, paint: Paint) -> list[str]:
    """`audit`: a line an entry."""
    rows: list[list[Cell]] = []
    for entry in reply["entries"]:
        who = plain(entry["by"]["name"] or entry["by"]["id"])
        allowed = entry["allowed"] and not entry["result"].startswith("refused")
        detail = f" {plain(entry['detail'])}" if entry["detail"] else ""
        rows.append(
            [
                (stamp(entry["at"]), "dim"),
                (entry["by"]["origin"], ""),
                (fit(who, 32), ""),
                (fit(f"{entry['action']} {plain(entry['service'])}{detail}", 60), "bold"),
                (plain(entry["result"]), "" if allowed else BAD),
            ]
        )
    return table(rows, paint) or ["nothing has been asked of opsbot yet"]


def deployment_title(one: DeploymentReply) -> str:
    """What a deployment is, in a few words."""
    what = "rollback" if one["kind"] == "rollback" else "deploy"
    if one["kind"] == "rollback" and one["release_to"]:
        target = f" to {plain(one['release_to'])}"
    else:
        ref = plain(one["ref"] or "")
        short = ref[:_SHORT] if _WHOLE_COMMIT.fullmatch(ref) else ref
        target = f" of {short}" if short else ""
    return f"deployment {one['id']} of {plain(one['service'])}: {what}{target} by {plain(one['by']['name'])}"


def commits_words(one: DeploymentReply) -> str:
    """From which commit to which, and the newest one's title."""
    before, after = (one["commit_from"] or "")[:_SHORT], (one["commit_to"] or "")[:_SHORT]
    known = after or before or (one["release_to"] or "")
    words = f"{before} → {after}" if before and after else known
    title = plain(one["commits"][0]["title"]) if one["commits"] else ""
    return f"{words} {title}".strip()


def took(one: DeploymentReply, now: datetime) -> str:
    """How long a deployment took so far."""
    end = when(one["finished_at"]) if one["finished_at"] else now
    return duration(max(end - when(one["created_at"]), timedelta(0)))


def deploying_words(one: DeploymentReply, now: datetime) -> str:
    """A deployment in progress, in a line."""
    return f"deployment {one['id']} {one['status']} for {age(one['updated_at'], now)}: " + (
        commits_words(one) or one["kind"]
    )


def step_mark(step: StepReply) -> tuple[str, str]:
    """Its sign and colour: succeeded, failed, interrupted (by the end of opsbot), or in progress."""
    if step["ok"] is None:
        return ("·", ODD) if step["ended_at"] else ("…", "cyan")
    return ("✓", GOOD) if step["ok"] else ("✗", BAD)


def step_line(step: StepReply, paint: Paint, now: datetime, columns: int) -> str:
    """One step of a deployment."""
    mark, colour = step_mark(step)
    end = when(step["ended_at"]) if step["ended_at"] else now
    length = duration(max(end - when(step["started_at"]), timedelta(0)))
    note = f"  {plain(step['note'])}" if step["note"] else ""
    words = fit(f"{length:>9}  {plain(step['name'])}{note}", columns - 4)
    return f"  {paint(mark, colour)} {words}"


def outcome(one: DeploymentReply, paint: Paint, now: datetime) -> list[str]:
    """How a deployment ended: one sentence; on a failure the last lines of the step that failed."""
    where = f" in {one['failed_in']}" if one["failed_in"] and one["failed_in"] != "pending" else ""
    words = {
        "live": "live",
        "failed": f"failed{where}; nothing live was changed",
        "undone": f"failed{where}",
        "stuck": f"failed{where}",
        "skipped": "nothing to do" if one["ok"] else "skipped",
        "replaced": "superseded by",
    }.get(one["phase"], one["status"])
    between = " " if one["phase"] == "replaced" else ": "
    note = f"{between}{plain(one['note'])}" if one["note"] else ""
    line = f"deployment {one['id']} of {plain(one['service'])} after {took(one, now)}: {words}{note}"
    lines = [paint(line, colour_of(one["phase"]))]
    if not one["ok"]:
        failed = next((step for step in reversed(one["steps"]) if step["ok"] is False), None)
        if failed is not None:
            lines += [f"  | {plain(text)}" for text in failed["tail"].splitlines()[-15:]]
            if failed["output"]:
                lines.append(paint(f"  all of it: {plain(failed['output'])}", "dim"))
    return lines


def windows(reply: WindowsReply, now: datetime) -> list[str]:
    """`windows`: those that are open, then those to come."""
    lines = [
        f"now      {plain(one['name'])}: for another {duration(max(when(one['end']) - now, timedelta(0)))}, "
        f"until {stamp(one['end'])} UTC; {_does(one)}"
        for one in reply["active"]
    ]
    lines += [
        f"in {duration(max(when(one['begin']) - now, timedelta(0)))}   {plain(one['name'])}: {stamp(one['begin'])} to "
        f"{stamp(one['end'])} UTC; {_does(one)}"
        for one in reply["coming"]
    ]
    return lines or ["no maintenance window is open, and none is to come"]


def _does(one: WindowReply) -> str:
    words = {"allow": "", "hold": "automatic deploys wait", "only": "automatic deploys are for it only"}
    does = ("alerts wait" if one["mute"] else "", words[one["deploys"]], "" if one["recovery"] else "recovery waits")
    about = ", ".join(map(plain, one["services"])) or "everything"
    return f"{about}; {', '.join(filter(None, does)) or 'nothing is kept back'}"


def history(reply: History, paint: Paint, now: datetime, columns: int) -> list[str]:
    """`history`: deployments, then incidents."""
    rows: list[list[Cell]] = [
        [
            (f"#{one['id']}", "bold"),
            (stamp(one["created_at"]), "dim"),
            (plain(one["service"]), ""),
            (one["kind"], ""),
            (one["status"], colour_of(one["phase"])),
            (took(one, now), "dim"),
            (fit(plain(one["by"]["name"]), 24), ""),
            (commits_words(one), ""),
        ]
        for one in reply["deployments"]
    ]
    lines = [paint("deployments", "bold")]
    notes_of = {f"#{one['id']}": plain(one["note"]) for one in reply["deployments"] if one["note"] and not one["ok"]}
    for row, line in zip(rows, table(rows, paint, "  "), strict=True):
        lines.append(line)
        if row[0][0] in notes_of:
            margin = " " * 8
            wrapped = textwrap.wrap(
                notes_of[row[0][0]], max(columns, 40), initial_indent=margin, subsequent_indent=margin
            )
            lines += wrapped
    if not rows:
        lines.append("  none yet")
    lines.append(paint("incidents", "bold"))
    for incident in reply["incidents"]:
        lines += incident_lines(incident, paint, now)
    if not reply["incidents"]:
        lines.append("  none")
    return lines


def incidents(reply: Incidents, paint: Paint, now: datetime) -> list[str]:
    """`incidents`: each with what hangs below it."""
    lines = [line for one in reply["incidents"] for line in incident_lines(one, paint, now)]
    return lines or ["  none"]


def why(reply: WhyReply, paint: Paint) -> list[str]:
    """`why`: the line, and what it rests on."""
    lines = [paint(plain(reply["line"]), "bold" if reply["known"] else ODD)]
    return lines + [
        f"  {paint(stamp(one['at']), 'dim')}  {one['kind']:<8}{plain(one['text'])}" for one in reply["events"]
    ]


def incident_lines(one: IncidentReply, paint: Paint, now: datetime) -> list[str]:
    """One incident: what, from when to when, what failed because of it, and what was done."""
    if one["closed_at"]:
        length = duration(max(when(one["closed_at"]) - when(one["opened_at"]), timedelta(0)))
        ended = f"over after {length}" + (f" ({plain(one['ended_by'])})" if one["ended_by"] else "")
        colour = ""
    else:
        flapping = f", flapping, {one['changes']} changes" if one["flapping"] else ""
        ended, colour = f"open for {age(one['opened_at'], now)}{flapping}", BAD
    subject = plain(subject_name(one["service"]))
    lines = [paint(f"  #{one['id']}  {stamp(one['opened_at'])}  {subject}  {plain(one['cause'])}  {ended}", colour)]
    for child in one["dependents"]:
        to = f" to {stamp(child['well_at'])}" if child["well_at"] else ", still down"
        lines.append(f"        and {plain(child['service'])}: {plain(child['cause'])}, {stamp(child['failed_at'])}{to}")
    return lines + [f"        {stamp(deed['at'])}  {plain(deed['text'])}" for deed in one["deeds"][-5:]]
