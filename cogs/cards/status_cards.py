"""The status of services and the host in lines and in messages: `/status`, `/health`. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from cogs.cards.history_cards import deployment_line
from cogs.cards.rendered import AMBER, DESCRIPTION, GREEN, RED, RenderedMessage
from cogs.cards.style import to_markdown
from cogs.cards.text import code, escape, escape_keeping_times, fit, moment
from opsbot.core.deployment import SHORT, Hold
from opsbot.core.gauge import in_about
from opsbot.core.health import CheckHealth, Verdict
from opsbot.core.message import Message
from opsbot.core.model import DeliveryTest, Silence
from opsbot.core.status import HealthState, ServiceHealth
from opsbot.engine.status import ServiceStatus
from opsbot.formatting import duration, size
from opsbot.host.figures import HostFigures
from opsbot.monitoring.leak_monitor import Growth, in_short
from opsbot.services.port import Activity, ServiceState

MARKS = {Verdict.UP: "🟢", Verdict.DOWN: "🔴", Verdict.UNKNOWN: "⚪"}
SIGNS = {
    HealthState.HEALTHY: "🟢",
    HealthState.UNSTABLE: "🟠",
    HealthState.DEGRADED: "🟡",
    HealthState.DOWN: "🔴",
    HealthState.STARTING: "🔵",
    HealthState.DEPLOYING: "🔵",
    HealthState.STOPPED: "⏹️",
    HealthState.UNKNOWN: "⚪",
}
COLOURS = {HealthState.DOWN: RED, HealthState.UNSTABLE: AMBER, HealthState.DEGRADED: AMBER}
REASONS = 3
"""So many reasons are shown; more are counted."""
PROCESS = {
    Activity.STARTING: "starting",
    Activity.RUNNING: "running",
    Activity.STOPPING: "stopping",
    Activity.STOPPED: "not running",
    Activity.RETRYING: "exited, being restarted",
    Activity.FAILED: "exited",
}


def in_words(health: ServiceHealth) -> str:
    """The state of a service and why it is so: "down since <t:…>: check `http` is down: answered 500"."""
    since = f" since {moment(health.since, 'f')}" if health.since is not None and health.is_bad else ""
    reasons = reasons_of(health)
    return to_markdown(health.title) + since + (f": {reasons}" if reasons else "")


def reasons_of(health: ServiceHealth, most: int = 300) -> str:
    """Why it is in this state. most: characters of each text from outside."""
    reasons = [to_markdown(each, most) for each in health.reasons[:REASONS]]
    left = len(health.reasons) - REASONS
    return ", ".join(reasons) + (f" and {left} more" if left > 0 else "")


def sign(health: ServiceHealth) -> str:
    return SIGNS[health.state]


def counts(healths: Sequence[ServiceHealth]) -> str:
    """How many are in which state, the healthy ones first: "2 healthy, 1 stopped by a person"."""
    found = Counter((list(HealthState).index(health.state), to_markdown(health.title)) for health in healths)
    return ", ".join(f"{count} {title}" for (_, title), count in sorted(found.items()))


def bad_sentence(statuses: Sequence[ServiceStatus], few: int = 1000) -> str:
    """Which services are down or unstable, as a sentence; "" for none. few: so many are named."""
    parts = []
    for state in (HealthState.DOWN, HealthState.UNSTABLE):
        names = [escape(status.service, 60) for status in statuses if status.health.state is state]
        if names:
            count = f"{len(names)} of {len(statuses)} service{'s' * (len(statuses) != 1)} {state}"
            parts.append(f"{count}: {', '.join(names[:few])}{' and more' if len(names) > few else ''}.")
    return " ".join(parts)


def common_sign(statuses: Iterable[ServiceStatus]) -> str:
    """The dot of the gravest state; what is only stopped, starting or being deployed does not count beside others."""
    found = {status.health.state for status in statuses}
    grave = (HealthState.DOWN, HealthState.UNSTABLE, HealthState.DEGRADED, HealthState.UNKNOWN)
    state = next((state for state in grave if state in found), HealthState.HEALTHY)
    return SIGNS[HealthState.STOPPED if found == {HealthState.STOPPED} else state]


def good_sentence(statuses: Sequence[ServiceStatus]) -> str:
    """What can be said of services none of which is down or unstable."""
    found = counts([status.health for status in statuses])
    if all(status.health.state is HealthState.HEALTHY for status in statuses):
        return f"{len(statuses)} services, all healthy." if len(statuses) != 1 else "1 service, healthy."
    return f"{len(statuses)} services: {found}." if len(statuses) != 1 else f"1 service: {found.removeprefix('1 ')}."


def colour_of(healths: Iterable[ServiceHealth]) -> int:
    """The colour of a message about these: that of the gravest state."""
    found = {COLOURS.get(health.state, GREEN) for health in healths}
    return next((colour for colour in (RED, AMBER) if colour in found), GREEN)


def release_of(status: ServiceStatus) -> str:
    """The commit, or the release, that is live; "" where none is."""
    if status.release is not None:
        return code(status.release.commit[:SHORT])
    return code(status.live.release) if status.live is not None else ""


def status_line(status: ServiceStatus) -> str:
    started = f"started {moment(status.state.started_at)}" if status.state.started_at and status.state.pid else ""
    parts = [*_notes(status), release_of(status), started, _figures(status)]
    begin = f"{sign(status.health)} **{escape(status.service)}** {in_words(status.health)} · "
    return begin + " · ".join(part for part in parts if part)


def _figures(status: ServiceStatus) -> str:
    if status.figures is None:
        return ""
    tasks = "" if status.figures.tasks is None else f" · {status.figures.tasks} tasks"
    return f"CPU {status.figures.cpu:.0f} % · {size(status.figures.memory)}{tasks}"


def _notes(status: ServiceStatus) -> list[str]:
    notes = []
    if status.discord_away is not None:
        notes.append(f"Discord is away since {moment(status.discord_away, 't')}")
    notes += [to_markdown(each) for each in status.health.next]
    if status.source is not None and status.source.failing_since is not None:
        notes.append(f"no news from its repository since {moment(status.source.failing_since, 'f')}")
    return notes


def host_line(host: HostFigures, name: str) -> str:
    disks = " · ".join(
        f"{escape(str(disk.path), 40)} {size(disk.free)} free of {size(disk.total)}" for disk in host.disks
    )
    parts = ["" if host.cpu is None else f"CPU {host.cpu:.0f} %", disks]
    if host.memory_total is not None and host.memory_used is not None:
        parts.insert(1, f"memory {size(host.memory_used)} of {size(host.memory_total)}")
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
    content = f"{common_sign(statuses)} {bad_sentence(statuses) or good_sentence(statuses)}"
    lines = [status_line(status).rstrip(" ·") for status in statuses]
    text = fit(lines, DESCRIPTION - 800) + f"\n{host_line(host, name)}\n{proof_line(proof)}"
    return RenderedMessage(content, "Status", text, colour_of(status.health for status in statuses))


def details(status: ServiceStatus, growth: Growth | None = None) -> RenderedMessage:
    """`/status service`: everything known of one service. growth: how its memory is judged."""
    state, health = status.state, status.health
    lines = [f"{code(name)} {'process ' if part.pid else ''}{_process(part)}" for name, part in state.parts]
    if not lines and state.pid and state.started_at:
        lines.append(f"Process {_process(state)}")
    if state.exit:
        lines.append(f"Last run: {_text(state.exit, 200)}")
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
        lines.append(f"{sign(health)} Incident {status.incident.id} since {moment(status.incident.opened_at, 'f')}")
    lines += _of_bot(status)
    if status.hold is not None:
        lines.append(hold_line(status.hold))
    if status.silence is not None:
        lines.append(silence_line(status.silence))
    if status.source is not None:
        lines.append(_source(status))
    lines += [_check(name, health) for name, health in status.checks]
    following = [to_markdown(each) for each in health.next]
    content = f"{sign(health)} {escape(status.service)} is {in_words(health)}."
    content += f" Next: {', '.join(following)}." if following else ""
    return RenderedMessage(content, status.service, fit(lines, DESCRIPTION), colour_of([health]))


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
    if hold.waits:
        why = f" ({to_markdown(hold.reason)})" if hold.reason else ""
        commit = code(hold.waits[:SHORT])
        return f"⏸ Automatic deploys are paused until a commit newer than {commit} is pushed or /resume is used{why}"
    why = f": {to_markdown(hold.reason)}" if hold.reason else ""
    return f"⏸ Deploys are paused by {escape(hold.actor, 60)} {moment(hold.at)}{why}"


def silence_line(silence: Silence) -> str:
    why = f": {escape(silence.reason)}" if silence.reason else ""
    return f"🔕 Silenced by {escape(silence.actor, 60)} until {moment(silence.until, 'f')}{why}"


def _of_bot(status: ServiceStatus) -> list[str]:
    lines = []
    if status.discord_away is not None:
        lines.append(f"🌩️ Discord is away since {moment(status.discord_away, 'f')}")
    if status.waits:
        lines.append(f"⏳ Waits: {_text(status.waits)}")
    if status.logins is not None:
        lines.append(f"Started {status.logins[0]} times in 24 hours; Discord allows {status.logins[1]} logins")
    return lines


def _process(state: ServiceState) -> str:
    if state.pid and state.started_at:
        restarts = f"{state.restarts} restart{'s' * (state.restarts != 1)} by itself"
        return f"{state.pid}, started {moment(state.started_at)}, {restarts}"
    return "stopped by a person" if state.stopped_by_hand else PROCESS[state.activity]


def _source(status: ServiceStatus) -> str:
    source = status.source
    mode = "deployed by itself" if status.auto else "deployed on command only"
    if source is None or source.answered_at is None:
        return f"Repository not asked yet; {mode}"
    if source.failing_since is not None:
        since = moment(source.failing_since, "f")
        return f"⚠️ No answer from the repository since {since}: {to_markdown(source.failure, 200)}"
    head = f" at {code(source.head[:SHORT])}" if source.head else ""
    return f"Branch{head}, asked {moment(source.answered_at)}; {mode}"


def _check(name: str, health: CheckHealth) -> str:
    if health.last is None and health.verdict is Verdict.UP:
        return f"{MARKS[Verdict.UNKNOWN]} {escape(name)} has not run since the start"
    seen = f": {_text(health.last.seen, 120)}" if health.last is not None and _text(health.last.seen) else ""
    since = f" since {moment(health.since, 'f')}" if health.since is not None else ""
    unasked = health.last is not None and not health.last.known and health.verdict is not Verdict.DOWN
    verdict = Verdict.UNKNOWN if unasked else health.verdict
    if verdict is Verdict.UP and health.last is not None and not health.last.ok:
        return f"🟡 {escape(name)} fails now, not judged down yet{seen}"
    return f"{MARKS[verdict]} {escape(name)} {verdict}{'' if unasked else since}{seen}"


def health(statuses: Sequence[ServiceStatus]) -> RenderedMessage:
    """`/health`: the state of each service after its checks have just run, and what these saw."""
    lines = []
    for status in statuses:
        words = [in_words(status.health), *(to_markdown(each) for each in status.health.next)]
        lines.append(f"{sign(status.health)} **{escape(status.service)}** {' · '.join(words)}")
        stopped = status.health.state is HealthState.STOPPED
        lines += [f"　{_seen(name, check, stopped=stopped)}" for name, check in status.checks] or [
            "　no checks configured"
        ]
    content = f"{common_sign(statuses)} {bad_sentence(statuses) or good_sentence(statuses)}"
    return RenderedMessage(content, "Health", fit(lines, DESCRIPTION), colour_of(status.health for status in statuses))


def _seen(name: str, check: CheckHealth, *, stopped: bool) -> str:
    if check.last is None:
        return f"⚪ {escape(name)}: {'not judged while stopped' if stopped else 'has not run yet'}"
    sign = "⚪" if not check.last.known else "🟢" if check.last.ok else "🔴"
    return f"{sign} {escape(name)}: {_text(check.last.seen, 150)} ({duration(check.last.took)})"


def _text(text: str | Message, most: int = 300) -> str:
    """Text of earlier versions, or a message."""
    return escape_keeping_times(text, most) if isinstance(text, str) else to_markdown(text, most)


def against_advice(against: Message | None) -> str:
    """What a person who restarted a service by hand should know: why opsbot itself would not have."""
    return f"\n⚠️ opsbot itself would not have: {to_markdown(against)}" if against else ""
