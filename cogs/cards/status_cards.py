"""How the services and the host stand, in lines and in messages: `/status`, `/health`. Pure."""

from collections.abc import Sequence

from cogs._style import shown
from cogs.cards.history_cards import deployment_line
from cogs.cards.rendered import DESCRIPTION, GREEN, RED, RenderedMessage
from cogs.cards.text import code, escape, fit, moment, told
from opsbot.core.deployment import Hold
from opsbot.core.gauge import in_about
from opsbot.core.health import CheckHealth, Verdict
from opsbot.core.model import DeliveryTest, Silence
from opsbot.engine.status import ServiceStatus
from opsbot.formatting import duration, size
from opsbot.host.figures import HostFigures
from opsbot.monitoring.leak_monitor import Growth, in_short
from opsbot.services.port import Activity, ServiceState

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


def _without(state: ServiceState) -> str:
    """The units that a person stopped, of a service whose others are to run."""
    stopped = [code(name) for name, part in state.parts if part.stopped_by_hand]
    return ", ".join(stopped) if len(stopped) < len(state.parts) else ""


def release_of(status: ServiceStatus) -> str:
    """The commit, or the release, that is live; "" where none is."""
    if status.release is not None:
        return code(status.release.commit[:10])
    return code(status.live.release) if status.live is not None else ""


def status_line(status: ServiceStatus) -> str:
    """One service on one line."""
    started = f"started {moment(status.state.started_at)}" if status.state.started_at and status.state.pid else ""
    parts = [release_of(status), started, _figures(status), *_notes(status)]
    return f"{sign(status)} **{escape(status.service)}** {in_words(status)} · " + " · ".join(p for p in parts if p)


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


def host_line(host: HostFigures, name: str) -> str:
    """The host on one line."""
    disks = " · ".join(
        f"{escape(str(disk.path), 40)} {size(disk.free)} free of {size(disk.total)}" for disk in host.disks
    )
    parts = ["" if host.cpu is None else f"CPU {host.cpu:.0f} %", disks]
    if host.memory_total is not None and host.memory_available is not None:
        parts.insert(1, f"memory {size(host.memory_total - host.memory_available)} of {size(host.memory_total)}")
    return f"🖥️ **{escape(name)}** · " + " · ".join(part for part in parts if part)


def proof_line(proof: DeliveryTest | None) -> str:
    """When it was last proven that alerts arrive, and what is wrong with it now."""
    if proof is None:
        return "📣 It has not been tried yet whether alerts arrive here."
    proven = "never proven" if proof.proven_at is None else f"last proven {moment(proof.proven_at)}"
    if not proof.failure:
        return f"📣 alert path {proven}"
    return f"⚠️ alert path {proven}; {moment(proof.tried_at)}: {escape(proof.failure, 300)}"


def overview(
    statuses: Sequence[ServiceStatus], host: HostFigures, name: str, proof: DeliveryTest | None = None
) -> RenderedMessage:
    """`/status`: a line a service and one for the host."""
    bad = [status for status in statuses if status.verdict is Verdict.DOWN or status.incident is not None]
    if bad:
        content = f"{len(bad)} of {len(statuses)} services not well: {', '.join(escape(s.service) for s in bad)}."
    else:
        content = f"{len(statuses)} services, no trouble known." if len(statuses) != 1 else "No trouble known."
    lines = [status_line(status).rstrip(" ·") for status in statuses]
    text = fit(lines, DESCRIPTION - 800) + f"\n{host_line(host, name)}\n{proof_line(proof)}"
    return RenderedMessage(content, "Status", text, RED if bad else GREEN)


def details(status: ServiceStatus, growth: Growth | None = None) -> RenderedMessage:
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
        lines.append(f"🔴 Trouble since {moment(status.incident.opened_at, 'f')}: {shown(status.incident.cause)}")
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
    return RenderedMessage(content, status.service, fit(lines, DESCRIPTION), RED if down else GREEN)


def growth_line(growth: Growth) -> str:
    """How the memory of a service is judged; empty where it is not known yet."""
    words = in_short(growth)
    if not words:
        return ""
    ahead, limit = growth.judgement.ahead, growth.limit
    if ahead is not None and limit is not None:
        words += f"; at this rate it reaches {limit.name} ({size(limit.size)}) {in_about(ahead)}"
    return f"Memory: {words}"


def hold_line(hold: Hold) -> str:
    """Why nothing is deployed."""
    if hold.waits:
        why = f" ({shown(hold.reason)})" if hold.reason else ""
        commit = code(hold.waits[:10])
        return f"⏸ Automatic deploys are paused until a commit newer than {commit} is pushed or /resume is used{why}"
    why = f": {shown(hold.reason)}" if hold.reason else ""
    return f"⏸ Deploys are paused by {escape(hold.actor, 60)} {moment(hold.at)}{why}"


def silence_line(silence: Silence) -> str:
    """Until when alerts are kept back."""
    why = f": {escape(silence.reason)}" if silence.reason else ""
    return f"🔕 Silenced by {escape(silence.actor, 60)} until {moment(silence.until, 'f')}{why}"


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
        since = moment(source.failing_since, "f")
        return f"⚠️ No answer from the repository since {since}: {shown(source.failure, 200)}"
    head = f" at {code(source.head[:10])}" if source.head else ""
    return f"Branch{head}, asked {moment(source.answered_at)}; {mode}"


def _check(name: str, health: CheckHealth) -> str:
    seen = f": {escape(health.last.seen, 120)}" if health.last is not None and health.last.seen else ""
    since = f" since {moment(health.since, 'f')}" if health.since is not None else ""
    unasked = health.last is not None and not health.last.known and health.verdict is not Verdict.DOWN
    verdict = Verdict.UNKNOWN if unasked else health.verdict
    if verdict is Verdict.UP and health.last is not None and not health.last.ok:
        return f"🟠 {escape(name)} fails now, not judged down yet{seen}"
    return f"{MARKS[verdict]} {escape(name)} {verdict}{'' if unasked else since}{seen}"


def health(statuses: Sequence[ServiceStatus]) -> RenderedMessage:
    """`/health`: what the checks just saw."""
    bad = [status for status in statuses if any(_fails(check) for _, check in status.checks)]
    lines = []
    for status in statuses:
        lines.append(f"**{escape(status.service)}** {in_words(status)}")
        lines += [f"　{_seen(name, check)}" for name, check in status.checks] or ["　no checks configured"]
    content = "Every check passes." if not bad else f"Checks fail on {', '.join(escape(s.service) for s in bad)}."
    return RenderedMessage(content, "Health", fit(lines, DESCRIPTION), RED if bad else GREEN)


def _fails(check: CheckHealth) -> bool:
    return check.last is not None and check.last.known and not check.last.ok


def _seen(name: str, check: CheckHealth) -> str:
    if check.last is None:
        return f"⚪ {escape(name)}: not looked at yet"
    sign = "⚪" if not check.last.known else "🟢" if check.last.ok else "🔴"
    return f"{sign} {escape(name)}: {escape(check.last.seen, 150)} ({duration(check.last.took)})"


def against_advice(against: str | None) -> str:
    """What a person who restarted a service by hand should know: why opsbot itself would not have."""
    return f"\n⚠️ opsbot itself would not have: {told(against, 300)}" if against else ""
