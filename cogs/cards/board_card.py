"""The status board as one message: a line for each service, then the host and the open windows. Pure.

Services that are down come first. Where Discord's 4096 characters are too few, healthy services are only named; then
the others are shown without their reasons; at last the rest is counted. Times age by themselves in the client, so
that their passing needs no edit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from cogs.cards.rendered import DESCRIPTION, RED, RenderedMessage
from cogs.cards.status_cards import bad_sentence, colour_of, common_sign, good_sentence, reasons_of, release_of, sign
from cogs.cards.style import to_markdown
from cogs.cards.text import escape, moment
from cogs.cards.window_cards import open_line
from opsbot.core.gauge import Gauge
from opsbot.core.message import Message
from opsbot.core.model import Incident
from opsbot.core.status import HealthState, ServiceHealth, StatusCode, as_message
from opsbot.core.subjects import HOST, subject_name, subject_title
from opsbot.engine.status import Overview, ServiceStatus
from opsbot.formatting import clip

MARK = "· #board"
FEW = 8
"""So many services are named in the sentence; more are counted."""
CAUSE = 100
STEPS = {f"{HOST}disk:": 5, f"{HOST}memory": 10}
"""Points of percentage by which a figure has to move before another is shown: the board is no dial."""


class Detail(IntEnum):
    """How much is said of each, from all to least."""

    ALL = 0
    BAD = 1
    """Healthy services are only named."""
    NAMES = 2
    """The others are shown without reasons."""


class ServiceRank(IntEnum):
    """In which order services are listed."""

    BAD = 0
    CONSEQUENCE = 1
    """Down because of another."""
    NOTED = 2
    """Not healthy, or something is expected to happen."""
    HEALTHY = 3


@dataclass(frozen=True, slots=True)
class Look:
    """How it is shown. link: to a message. figures: those of the host, as `steady` gives them. now: for the footer."""

    host: str
    link: Callable[[int], str]
    figures: Mapping[str, int]


def steady(gauges: Sequence[Gauge], before: Mapping[str, int]) -> dict[str, int]:
    """The host's figures in whole percent; each as it was before, unless it has moved by a step."""
    steadied = {}
    for gauge in gauges:
        step = next((step for begin, step in STEPS.items() if gauge.subject.startswith(begin)), None)
        if step is None:
            continue
        value, was = round(gauge.value), before.get(gauge.subject)
        steadied[gauge.subject] = was if was is not None and abs(was - value) < step else value
    return steadied


def board(seen: Overview, look: Look, changed: datetime) -> RenderedMessage:
    """The message. changed: when what it says last changed."""
    below = "\n".join(_below(seen, look, changed))
    text = _services(seen, look, DESCRIPTION - len(below)) + "\n" + below
    colour = RED if seen.host else colour_of(status.health for status in seen.services)
    return RenderedMessage(_sentence(seen), "Status board", text.strip(), colour, f"{look.host} {MARK}")


def _sentence(seen: Overview) -> str:
    ordered = sorted(seen.services, key=_rank)
    bad = bad_sentence(ordered, FEW)
    also = [escape(subject_name(incident.service), 60) for incident in seen.host]
    if not bad and not also:
        return f"{common_sign(ordered)} {good_sentence(ordered)}"
    more = " and more" if len(also) > FEW else ""
    host = f"Incident open for {', '.join(also[:FEW])}{more}." if also else ""
    return f"{'🔴' if host else common_sign(ordered)} {' '.join(filter(None, (bad, host)))}"


def _rank(status: ServiceStatus) -> ServiceRank:
    if status.health.is_bad:
        return ServiceRank.CONSEQUENCE if status.because_of else ServiceRank.BAD
    noted = status.health.next or status.deploying is not None
    return ServiceRank.NOTED if noted or status.health.state is not HealthState.HEALTHY else ServiceRank.HEALTHY


# Services


def _services(seen: Overview, look: Look, room: int) -> str:
    ordered = sorted(seen.services, key=_rank)
    for detail in Detail:
        text = "\n".join(_lines(seen, ordered, look, detail))
        if len(text) <= room:
            return text
    return _cut(list(_lines(seen, ordered, look, Detail.NAMES)), ordered, room)


def _lines(seen: Overview, ordered: Sequence[ServiceStatus], look: Look, detail: Detail) -> Iterable[str]:
    healthy = [status for status in ordered if _rank(status) is ServiceRank.HEALTHY and detail > Detail.ALL]
    for status in ordered:
        if status not in healthy:
            yield _line(seen, status, look, detail)
    if healthy:
        yield f"🟢 {' · '.join(escape(status.service, 60) for status in healthy)}"


def _cut(lines: Sequence[str], ordered: Sequence[ServiceStatus], room: int) -> str:
    """As many lines as fit; the rest is counted."""
    kept: list[str] = []
    left = room - len("… and 1000 more, 1000 of them down or unstable")
    for line in lines:
        if len(line) + 1 > left:
            break
        left -= len(line) + 1
        kept.append(line)
    missing = ordered[len(kept) :]
    bad = sum(status.health.is_bad for status in missing)
    return "\n".join([*kept, f"… and {len(missing)} more, {bad or 'none'} of them down or unstable"])


def _line(seen: Overview, status: ServiceStatus, look: Look, detail: Detail) -> str:
    health = status.health
    begin = f"{sign(health)} **{escape(status.service, 60)}**"
    if health.state is HealthState.HEALTHY:
        parts = [begin]
    elif detail is Detail.NAMES:
        return f"{begin} {_since(health)}"
    else:
        reasons = reasons_of(health, CAUSE)
        parts = [f"{begin} {_since(health)}" + (f": {reasons}" if reasons else "")]
    if status.incident is not None and health.is_bad:
        parts += _of_incident(seen, status.incident, look, detail)
    return " · ".join([*parts, *(_notes(status) if detail is not Detail.NAMES else ())])


def _since(health: ServiceHealth) -> str:
    return to_markdown(health.title) + (f" since {moment(health.since)}" if health.since is not None else "")


def _of_incident(seen: Overview, incident: Incident, look: Look, detail: Detail) -> Iterable[str]:
    if incident.called_at is not None:
        yield "🚨 needs attention"
    taken = seen.taken.get(incident.id)
    if taken is not None:
        yield f"👀 acknowledged by {escape(taken.actor, 40)}"
    card = seen.cards.get(incident.id)
    if card is not None and detail is Detail.ALL:
        yield f"[incident {incident.id}]({look.link(card)})"


def _notes(status: ServiceStatus) -> list[str]:
    notes = [_next(each) for each in status.health.next if each.code not in _ELSEWHERE]
    if status.live is not None:
        notes.append(f"{release_of(status)} live {moment(status.live.since)}")
    elif status.state.started_at is not None and status.state.pid:
        notes.append(f"started {moment(status.state.started_at)}")
    if status.discord_away is not None:
        notes.append(f"🌩️ Discord is away since {moment(status.discord_away)}")
    return notes


_ELSEWHERE = frozenset({StatusCode.NEEDS_ATTENTION, StatusCode.RECOVERING, StatusCode.RECOVERS_WITH})
"""What the line of an incident shows already, or what goes without saying."""
_MARKS = {
    StatusCode.WAITING: "⏳ ",
    StatusCode.DEPLOYMENT_WAITING: "⏳ ",
    StatusCode.DEPLOYS_PAUSED: "⏸ ",
    StatusCode.DEPLOYS_PAUSED_BY_ROLLBACK: "⏸ ",
    StatusCode.SILENCED: "🔕 ",
}


def _next(message: Message) -> str:
    return _MARKS.get(StatusCode(message.code), "") + to_markdown(message)


# What stands below


def _below(seen: Overview, look: Look, changed: datetime) -> Iterable[str]:
    yield ""
    for incident in seen.host:
        begin = f"🔴 **{escape(subject_title(incident.service), 60)}** incident open since {moment(incident.opened_at)}"
        cause = to_markdown(as_message(incident.cause), CAUSE)
        yield " · ".join([f"{begin}: {cause}", *_of_incident(seen, incident, look, Detail.ALL)])
    yield clip(_host(look), 300)
    yield from (open_line(span) for span in seen.open[:5])
    yield f"-# last change {moment(changed)}"


def _host(look: Look) -> str:
    parts = [
        f"{value} % of the memory available" if subject == f"{HOST}memory" else f"{_path(subject)} {value} % used"
        for subject, value in look.figures.items()
    ]
    return " · ".join([f"🖥️ **{escape(look.host, 60)}**", *parts])


def _path(subject: str) -> str:
    return escape(subject.removeprefix(f"{HOST}disk:"), 40)
