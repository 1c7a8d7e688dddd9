"""Values to messages: what a message says, kept within Discord's limits. Pure; nothing here talks to Discord.

Limits (Discord's documentation, "Embed limits", "Create Message"): content 2000, embed title 256, description 4096,
footer 2048, all texts of a message's embeds together 6000. Every text of somebody else's goes through `cogs._text`.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import discord

from cogs._text import clip, code, escape, fence, fit, log_line, moment, told
from opsbot.core.deployment import Deployment, Hold, Kind, Phase, Refused
from opsbot.core.gauge import in_about
from opsbot.core.health import CheckHealth, Verdict
from opsbot.core.model import AuditEntry, Incident, Proof, Silence
from opsbot.core.subjects import words
from opsbot.host import HostFigures
from opsbot.services.port import Activity, LogLine, ServiceState
from opsbot.standing import ServiceStatus
from opsbot.watch.leaks import Growth, in_short
from opsbot.words import duration, size, whose

if TYPE_CHECKING:
    from opsbot.core.account import Account

CONTENT = 2000
DESCRIPTION = 4000
LINE = 400
"""A longer line is clipped in a code block."""
TAIL_LINE = 200
"""Shorter, so that a screen full of them fits into one message."""
GREEN, RED, AMBER, BLUE, GREY = 0x2ECC71, 0xE74C3C, 0xF39C12, 0x3498DB, 0x95A5A6


@dataclass(frozen=True, slots=True)
class Button:
    """A button: what it asks for, and of what. `service` and `ident` travel in its custom id."""

    action: str
    label: str
    service: str
    ident: str
    style: discord.ButtonStyle = discord.ButtonStyle.secondary


@dataclass(frozen=True, slots=True)
class Shown:
    """One message. `content` says in one sentence what the embed shows; title, text and footer make the embed.

    footer: names the host and marks the message (`#d12`), so that it can be found again.
    """

    content: str
    title: str = ""
    text: str = ""
    colour: int = GREY
    footer: str = ""
    buttons: tuple[Button, ...] = ()
    file: tuple[str, bytes] | None = None

    def embed(self) -> discord.Embed | None:
        """The embed, where there is any."""
        if not (self.title or self.text):
            return None
        embed = discord.Embed(
            title=clip(self.title, 256) or None, description=clip(self.text, 4096) or None, colour=self.colour
        )
        if self.footer:
            embed.set_footer(text=clip(self.footer, 200))
        return embed

    def attachment(self) -> discord.File | None:
        """The file; a new object for each try, since a try consumes it."""
        return None if self.file is None else discord.File(io.BytesIO(self.file[1]), self.file[0])

    def digest(self) -> str:
        """Equal for messages that look the same."""
        return hashlib.sha256(repr(self).encode("utf-8", "replace")).hexdigest()

    def within(self, redact: Callable[[str], str]) -> "Shown":
        """The same within Discord's limits and without known secrets: the last thing done to every message."""
        return replace(
            self,
            content=clip(redact(self.content), CONTENT),
            title=redact(self.title),
            text=redact(self.text),
            footer=redact(self.footer),
            file=self.file and (self.file[0], _redacted(self.file, redact)),
        )

    def plainly(self) -> "Shown":
        """Only its sentence: for when Discord refuses the rest."""
        return Shown(clip(self.content, 500) + (f"\n-# {self.footer}" if self.footer else ""))


def _redacted(file: tuple[str, bytes], redact: Callable[[str], str]) -> bytes:
    name, data = file
    # A picture is no text: taken for one, it would be broken.
    return data if name.endswith(".png") else redact(data.decode("utf-8", "replace")).encode()


def say(text: str) -> Shown:
    """A sentence of opsbot's own."""
    return Shown(text)


def refusal(refused: Refused) -> Shown:
    """Why not. Its text may repeat what was typed."""
    return Shown(f"✋ {escape(refused.text, 900)}")


def against_advice(against: str | None) -> str:
    """What a person who restarted a service by hand should know: why opsbot itself would not have."""
    return f"\n⚠️ opsbot itself would not have: {told(against, 300)}" if against else ""


MARKS = {Verdict.UP: "🟢", Verdict.DOWN: "🔴", Verdict.UNKNOWN: "⚪"}
ACTIVITY = {
    Activity.STARTING: "is starting",
    Activity.RUNNING: "runs",
    Activity.STOPPING: "is stopping",
    Activity.STOPPED: "is stopped",
    Activity.RETRYING: "died and is started again",
    Activity.FAILED: "has died",
}


def in_words(status: ServiceStatus) -> str:
    """How a service stands: "is well", "has died"."""
    without = _without(status.state)
    if status.state.stopped_by_hand and not without:
        return "was stopped on purpose"
    if status.deploying is not None:
        return f"is being deployed ({status.deploying.phase})"
    if without:
        well = status.incident is None and status.verdict is not Verdict.DOWN
        return f"{'runs' if well else 'is not well, and runs'} without {without}, stopped on purpose"
    if status.incident is not None or status.verdict is Verdict.DOWN:
        return "is not well" if status.state.activity is Activity.RUNNING else ACTIVITY[status.state.activity]
    if status.state.activity is Activity.RUNNING and status.verdict is Verdict.UP:
        return "is well"
    return ACTIVITY[status.state.activity]


def _without(state: ServiceState) -> str:
    """The units that a person stopped, of a service whose others are to run."""
    stopped = [code(name) for name, part in state.parts if part.stopped_by_hand]
    return ", ".join(stopped) if len(stopped) < len(state.parts) else ""


def sign(status: ServiceStatus) -> str:
    """The same as a coloured dot."""
    if status.deploying is not None:
        return "🔵"
    if _without(status.state):
        return MARKS[status.verdict]
    if status.state.stopped_by_hand:
        return "⏹️"
    if status.state.activity in {Activity.FAILED, Activity.STOPPED, Activity.RETRYING}:
        return "🔴" if status.live is not None or status.state.activity is not Activity.STOPPED else "⚪"
    return MARKS[status.verdict]


def release_of(status: ServiceStatus) -> str:
    """The commit, or the release, that is live; "" where none is."""
    if status.release is not None:
        return code(status.release.commit[:10])
    return code(status.live.release) if status.live is not None else ""


def _figures(status: ServiceStatus) -> str:
    if status.figures is None:
        return ""
    tasks = "" if status.figures.tasks is None else f" · {status.figures.tasks} tasks"
    return f"CPU {status.figures.cpu:.0f} % · {size(status.figures.memory)}{tasks}"


def _notes(status: ServiceStatus) -> list[str]:
    notes = []
    if status.incident is not None:
        how = "flapping" if status.incident.flaps.flapping else "down"
        notes.append(f"{how} since {moment(status.incident.opened_at, 'f')}")
    if status.because_of:
        notes.append(f"not well because of {escape(status.because_of, 60)}")
    if status.discord_away is not None:
        notes.append(f"Discord is away since {moment(status.discord_away, 't')}")
    if status.waits:
        notes.append(f"waits: {told(status.waits, 160)}")
    if status.hold is not None:
        notes.append("waits after a rollback" if status.hold.waits else "held")
    if status.silence is not None:
        notes.append(f"silenced until {moment(status.silence.until, 't')}")
    if status.source is not None and status.source.failing_since is not None:
        notes.append(f"no news from its repository since {moment(status.source.failing_since, 'f')}")
    return notes


def status_line(status: ServiceStatus) -> str:
    """One service on one line."""
    started = f"started {moment(status.state.started_at)}" if status.state.started_at and status.state.pid else ""
    parts = [release_of(status), started, _figures(status), *_notes(status)]
    return f"{sign(status)} **{escape(status.service)}** {in_words(status)} · " + " · ".join(p for p in parts if p)


def host_line(host: HostFigures, name: str) -> str:
    """The host on one line."""
    disks = " · ".join(
        f"{escape(str(disk.path), 40)} {size(disk.free)} free of {size(disk.total)}" for disk in host.disks
    )
    parts = ["" if host.cpu is None else f"CPU {host.cpu:.0f} %", disks]
    if host.memory_total is not None and host.memory_available is not None:
        parts.insert(1, f"memory {size(host.memory_total - host.memory_available)} of {size(host.memory_total)}")
    return f"🖥️ **{escape(name)}** · " + " · ".join(part for part in parts if part)


def proof_line(proof: Proof | None) -> str:
    """When it was last proven that alerts arrive, and what is wrong with it now."""
    if proof is None:
        return "📣 It has not been tried yet whether alerts arrive here."
    proven = "never proven" if proof.proven_at is None else f"last proven {moment(proof.proven_at)}"
    if not proof.failure:
        return f"📣 alert path {proven}"
    return f"⚠️ alert path {proven}; {moment(proof.tried_at)}: {escape(proof.failure, 300)}"


def overview(statuses: Sequence[ServiceStatus], host: HostFigures, name: str, proof: Proof | None = None) -> Shown:
    """`/status`: a line a service and one for the host."""
    bad = [status for status in statuses if status.verdict is Verdict.DOWN or status.incident is not None]
    if bad:
        content = f"{len(bad)} of {len(statuses)} services not well: {', '.join(escape(s.service) for s in bad)}."
    else:
        content = f"{len(statuses)} services, no trouble known." if len(statuses) != 1 else "No trouble known."
    lines = [status_line(status).rstrip(" ·") for status in statuses]
    text = fit(lines, DESCRIPTION - 800) + f"\n{host_line(host, name)}\n{proof_line(proof)}"
    return Shown(content, "Status", text, RED if bad else GREEN)


def _check(name: str, health: CheckHealth) -> str:
    seen = f": {escape(health.last.seen, 120)}" if health.last is not None and health.last.seen else ""
    since = f" since {moment(health.since, 'f')}" if health.since is not None else ""
    unasked = health.last is not None and not health.last.known and health.verdict is not Verdict.DOWN
    verdict = Verdict.UNKNOWN if unasked else health.verdict
    if verdict is Verdict.UP and health.last is not None and not health.last.ok:
        return f"🟠 {escape(name)} fails now, not judged down yet{seen}"
    return f"{MARKS[verdict]} {escape(name)} {verdict}{'' if unasked else since}{seen}"


def hold_line(hold: Hold) -> str:
    """Why nothing is deployed."""
    if hold.waits:
        why = f" ({escape(hold.reason)})" if hold.reason else ""
        return f"⏸ Automatic deploys wait for a commit newer than {code(hold.waits[:10])}, or for /resume{why}"
    why = f": {escape(hold.reason)}" if hold.reason else ""
    return f"⏸ Held by {escape(hold.actor, 60)} {moment(hold.at)}{why}"


def silence_line(silence: Silence) -> str:
    """Until when alerts are kept back."""
    why = f": {escape(silence.reason)}" if silence.reason else ""
    return f"🔕 Silenced by {escape(silence.actor, 60)} until {moment(silence.until, 'f')}{why}"


def growth_line(growth: Growth) -> str:
    """How the memory of a service is judged; empty where it is not known yet."""
    words = in_short(growth)
    if not words:
        return ""
    ahead, limit = growth.judgement.ahead, growth.limit
    if ahead is not None and limit is not None:
        words += f"; at this rate it reaches {limit.name} ({size(limit.size)}) {in_about(ahead)}"
    return f"Memory: {words}"


def details(status: ServiceStatus, growth: Growth | None = None) -> Shown:
    """`/status service`: everything known of one service. growth: how its memory is judged."""
    state = status.state
    lines = [f"{code(name)} {'process ' if part.pid else ''}{_process(part)}" for name, part in state.parts]
    if not lines and state.pid and state.started_at:
        lines.append(f"Process {_process(state)}")
    if state.exit:
        lines.append(f"Last run: {escape(state.exit, 200)}")
    if status.figures is not None:
        lines.append(_figures(status))
    if growth is not None and (line := growth_line(growth)):
        lines.append(line)
    if status.live is not None:
        title = f" {escape(status.release.title, 80)}" if status.release is not None else ""
        lines.append(f"Release {code(status.live.release)}{title}, live {moment(status.live.since)}")
    if status.deploying is not None:
        lines.append(f"Deployment {status.deploying.id} is {status.deploying.phase}")
    elif status.last_deployment is not None:
        lines.append(deployment_line(status.last_deployment))
    if status.incident is not None:
        lines.append(f"🔴 Trouble since {moment(status.incident.opened_at, 'f')}: {escape(status.incident.cause)}")
    lines += _of_bot(status)
    if status.hold is not None:
        lines.append(hold_line(status.hold))
    if status.silence is not None:
        lines.append(silence_line(status.silence))
    if status.source is not None:
        lines.append(_source(status))
    lines += [_check(name, health) for name, health in status.checks]
    down = status.verdict is Verdict.DOWN or status.incident is not None
    content = f"{escape(status.service)} {in_words(status)}."
    return Shown(content, status.service, fit(lines, DESCRIPTION), RED if down else GREEN)


def _of_bot(status: ServiceStatus) -> list[str]:
    """What a Discord bot waits for, and how its login budget stands."""
    lines = []
    if status.discord_away is not None:
        lines.append(f"🌩️ Discord is away since {moment(status.discord_away, 'f')}")
    if status.waits:
        lines.append(f"⏳ Waits: {told(status.waits)}")
    if status.logins is not None:
        lines.append(f"Started {status.logins[0]} times in 24 hours; Discord allows {status.logins[1]} logins")
    return lines


def _process(state: ServiceState) -> str:
    if state.pid and state.started_at:
        restarts = f"{state.restarts} restart{'s' * (state.restarts != 1)} by itself"
        return f"{state.pid}, started {moment(state.started_at)}, {restarts}"
    return "was stopped on purpose" if state.stopped_by_hand else ACTIVITY[state.activity]


def _source(status: ServiceStatus) -> str:
    source = status.source
    mode = "deployed by itself" if status.auto else "deployed on command only"
    if source is None or source.answered_at is None:
        return f"Repository not asked yet; {mode}"
    if source.failing_since is not None:
        return f"⚠️ No news from the repository since {moment(source.failing_since, 'f')}: {escape(source.failure, 200)}"
    head = f" at {code(source.head[:10])}" if source.head else ""
    return f"Branch{head}, asked {moment(source.answered_at)}; {mode}"


def health(statuses: Sequence[ServiceStatus]) -> Shown:
    """`/health`: what the checks just saw."""
    bad = [status for status in statuses if any(_fails(check) for _, check in status.checks)]
    lines = []
    for status in statuses:
        lines.append(f"**{escape(status.service)}** {in_words(status)}")
        lines += [f"　{_seen(name, check)}" for name, check in status.checks] or ["　no checks configured"]
    content = "Every check passes." if not bad else f"Checks fail on {', '.join(escape(s.service) for s in bad)}."
    return Shown(content, "Health", fit(lines, DESCRIPTION), RED if bad else GREEN)


def _fails(check: CheckHealth) -> bool:
    return check.last is not None and check.last.known and not check.last.ok


def _seen(name: str, check: CheckHealth) -> str:
    if check.last is None:
        return f"⚪ {escape(name)}: not looked at yet"
    sign = "⚪" if not check.last.known else "🟢" if check.last.ok else "🔴"
    return f"{sign} {escape(name)}: {escape(check.last.seen, 150)} ({duration(check.last.took)})"


OUTCOME = {
    Phase.LIVE: "✅",
    Phase.FAILED: "❌",
    Phase.UNDONE: "↩️",
    Phase.STUCK: "🚨",
    Phase.SKIPPED: "⏭️",
    Phase.REPLACED: "⏭️",
    Phase.ASIDE: "⏸️",
}


def deployment_line(deployment: Deployment) -> str:
    """One deployment on one line."""
    what = "deploy" if deployment.kind is Kind.DEPLOY else "rollback"
    to = deployment.commit_to or deployment.release_to or deployment.ref or ""
    to = to[:10] if deployment.commit_to else to
    note = f": {escape(deployment.note, 80)}" if deployment.note and deployment.phase is not Phase.LIVE else ""
    mark = OUTCOME.get(deployment.phase, "🔵")
    return (
        f"{mark} {what} {deployment.id}{f' {code(to, 40)}' if to else ''} {deployment.phase} "
        f"{moment(deployment.updated_at)} by {escape(deployment.actor.name, 40)}{note}"
    )


def incident_line(incident: Incident) -> str:
    """One incident on one line."""
    also = f" (and {len(incident.dependents)} because of it)" if incident.dependents else ""
    if incident.closed_at is None:
        sign, how = ("🟠", f"flapping, {incident.flaps.count} changes, ") if incident.flaps.flapping else ("🔴", "")
        since = moment(incident.opened_at, "f")
        return f"{sign} incident {incident.id} {how}since {since}: {escape(incident.cause, 100)}{also}"
    lasted = duration(incident.closed_at - incident.opened_at)
    ended = f", {escape(incident.ended_by, 60)}" if incident.ended_by else ""
    sign = "↪️" if incident.part_of is not None else "🟢"
    cause = escape(incident.cause, 80)
    return f"{sign} incident {incident.id} {moment(incident.opened_at)} for {lasted}: {cause}{also}{ended}"


def incidents(found: Sequence[Incident], service: str | None, *, still_open: bool) -> Shown:
    """`/incidents`: newest first."""
    of = f" of {escape(service)}" if service else ""
    if not found:
        return Shown(f"No incident{of} is open." if still_open else f"No incident{of} is known.")
    lines = [f"**{escape(words(each.service), 100)}** {incident_line(each)}" for each in found]
    count = sum(each.closed_at is None for each in found)
    content = f"{count} open of the last {len(found)} incidents{of}." if not still_open else f"{count} open{of}."
    return Shown(content, "Incidents", fit(lines, DESCRIPTION), RED if count else GREEN)


def _piece(text: str) -> str:
    """A piece of a line, escaped; the spaces at its ends stand between it and its neighbours."""
    return " " * text.startswith(" ") + told(text, 600) + " " * text.endswith(" ")


def why(service: str, account: "Account") -> Shown:
    """`/why`: the line, and below it what it rests on."""
    line, day = "", None
    for part in account.parts:
        if isinstance(part, datetime):
            line += (f"{moment(part, 'D')} " if part.date() != day else "") + moment(part, "T")
            day = part.date()
        else:
            line += _piece(part)
    rests_on = [f"{moment(one.at, 'f')} {one.kind}: {told(one.text, 160)}" for one in account.events]
    title = f"Why: {service}" if rests_on else ""
    return Shown(line, title, fit(reversed(rests_on), DESCRIPTION), BLUE if account.known else GREY)


def history(deployments: Sequence[Deployment], incidents: Sequence[Incident], service: str | None) -> Shown:
    """`/history`: deployments and incidents, newest first."""
    both = [(d.updated_at, d.service, deployment_line(d)) for d in deployments]
    both += [(i.closed_at or i.opened_at, i.service, incident_line(i)) for i in incidents]
    lines = [
        line if service else f"**{escape(name)}** {line}"
        for _, name, line in sorted(both, key=lambda e: e[0], reverse=True)
    ]
    of = f" of {escape(service)}" if service else ""
    if not lines:
        return Shown(f"Nothing has happened yet{f' to {escape(service)}' if service else ''}.")
    content = f"The last {len(deployments)} deployments and {len(incidents)} incidents{of}."
    return Shown(content, f"History{f' of {service}' if service else ''}", fit(lines, DESCRIPTION), BLUE)


def audit(entries: Sequence[AuditEntry]) -> Shown:
    """`/audit`: who did what, newest first."""
    if not entries:
        return Shown("The audit log has no such entry.")
    return Shown(
        f"The last {len(entries)} entries of the audit log.", "Audit", fit(map(_audited, entries), DESCRIPTION), BLUE
    )


def _audited(entry: AuditEntry) -> str:
    # Allowed by rank, and yet refused: by another deploy, a hold, or because it cannot be.
    refused = "✋" if entry.result.startswith("refused") else "✅"
    mark = refused if entry.allowed else "⛔"
    of = f" {escape(entry.service, 40)}" if entry.service else ""
    detail = f" {escape(entry.detail, 60)}" if entry.detail else ""
    who = f"{escape(entry.actor_name, 40)} ({escape(entry.actor_id, 30)}, {entry.origin})"
    return f"{mark} {moment(entry.at)} {who}: {escape(entry.action, 20)}{of}{detail} → {escape(entry.result, 80)}"


def logs(service: str, lines: Sequence[LogLine]) -> Shown:
    """`/logs`: a code block where it fits, else a file."""
    if not lines:
        return Shown(f"{escape(service)}: no line fits.")
    count = "1 line" if len(lines) == 1 else f"{len(lines)} lines"
    content = f"{escape(service)}: {count}, {moment(lines[0].at, 'T')} to {moment(lines[-1].at, 'T')}"
    written = [_timed(line, 2000) for line in lines]
    block = fence(written, CONTENT - len(content) - 40)
    if block.count("\n") == len(written) + 1 and max(map(len, written)) <= LINE:
        return Shown(f"{content}; below in UTC.\n{block}")
    dated = "\n".join(f"{line.at.isoformat(timespec='milliseconds')} {_said(line, 8000)}" for line in lines)
    return Shown(f"{content}.", file=(f"{service}.log.txt", dated.encode()))


def _said(line: LogLine, most: int) -> str:
    return log_line(whose(line.part, manager=line.manager) + line.text, most)


def _timed(line: LogLine, most: int) -> str:
    return f"{line.at:%H:%M:%S} {_said(line, most)}"


def tail(service: str, lines: Sequence[LogLine], heading: str, stop: str | None) -> Shown:
    """A live tail: its last lines as a code block under a heading of opsbot's own.

    stop: the number of a tail that goes on, None for one that has ended.
    """
    content = f"📜 **{escape(service)}** (times in UTC) {heading}"
    block = fence([_timed(line, TAIL_LINE) for line in lines], CONTENT - len(content) - 20)
    buttons = () if stop is None else (Button("stop", "Stop", service, stop),)
    return Shown(f"{content}\n{block or '-# No line yet.'}", buttons=buttons)
