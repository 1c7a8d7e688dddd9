"""How everything stands, as one message: a line a service, then the host and the open windows. Pure.

What is not well comes first. Where Discord's 4096 characters are too few for all of it, what is well is named only;
then what is not is told without its cause; and at last the rest is counted. Times age by themselves in the client, so
that their passing needs no edit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from cogs._style import shown
from cogs.cards.rendered import AMBER, DESCRIPTION, GREEN, RED, RenderedMessage
from cogs.cards.status_cards import in_words, release_of, sign
from cogs.cards.text import clip, escape, moment, told
from cogs.cards.window_cards import open_line
from opsbot.core.gauge import Gauge
from opsbot.core.health import Verdict
from opsbot.core.model import Incident
from opsbot.core.subjects import HOST, is_host, subject_name, subject_title
from opsbot.engine.status import Overview, ServiceStatus

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
    """What is well is named only."""
    NAMES = 2
    """Nor is it told any more what is wrong."""


class ServiceRank(IntEnum):
    """In which order they stand."""

    TROUBLE = 0
    CONSEQUENCE = 1
    """Not well because of another."""
    NOTED = 2
    """Well, or not known, and something is to be said of it."""
    WELL = 3


@dataclass(frozen=True, slots=True)
class Look:
    """How it is shown. link: to a message. figures: those of the host, as `steady` gives them. now: for the footer."""

    host: str
    link: Callable[[int], str]
    figures: Mapping[str, int]


def steady(gauges: Sequence[Gauge], before: Mapping[str, int]) -> dict[str, int]:
    """The host's figures in whole percent; each as it was before, unless it has moved by a step."""
    shown = {}
    for gauge in gauges:
        step = next((step for begin, step in STEPS.items() if gauge.subject.startswith(begin)), None)
        if step is None:
            continue
        value, was = round(gauge.value), before.get(gauge.subject)
        shown[gauge.subject] = was if was is not None and abs(was - value) < step else value
    return shown


def board(seen: Overview, look: Look, changed: datetime) -> RenderedMessage:
    """The message. changed: when what it says last changed."""
    bad = [status for status in sorted(seen.services, key=_rank) if _unwell(status)]
    below = "\n".join(_below(seen, look, changed))
    text = _services(seen, look, DESCRIPTION - len(below)) + "\n" + below
    flapping = all(status.incident is not None and status.incident.flaps.flapping for status in bad)
    colour = GREEN if not bad and not seen.host else AMBER if flapping and not seen.host else RED
    return RenderedMessage(_sentence(seen, bad), "How things stand", text.strip(), colour, f"{look.host} {MARK}")


def _sentence(seen: Overview, bad: Sequence[ServiceStatus]) -> str:
    count = len(seen.services)
    names = [escape(status.service, 60) for status in bad]
    also = [escape(subject_name(incident.service), 60) for incident in seen.host]
    if not bad and not also:
        return f"🟢 {count} services, no trouble known." if count != 1 else "🟢 No trouble known."
    shown = ", ".join([*names[:FEW], *also[:FEW]]) + (" and more" if len(names) > FEW or len(also) > FEW else "")
    how_many = f"{len(bad)} of {count} service{'s' * (count != 1)} not well" if bad else "Not well"
    return f"🔴 {how_many}: {shown}."


def _unwell(status: ServiceStatus) -> bool:
    return status.verdict is Verdict.DOWN or status.incident is not None


def _rank(status: ServiceStatus) -> ServiceRank:
    if _unwell(status):
        return ServiceRank.CONSEQUENCE if status.because_of else ServiceRank.TROUBLE
    noted = status.deploying or status.hold or status.silence or status.waits or status.state.stopped_by_hand
    return ServiceRank.NOTED if noted or status.verdict is not Verdict.UP else ServiceRank.WELL


# Services


def _services(seen: Overview, look: Look, room: int) -> str:
    ordered = sorted(seen.services, key=_rank)
    for detail in Detail:
        text = "\n".join(_lines(seen, ordered, look, detail))
        if len(text) <= room:
            return text
    return _cut(list(_lines(seen, ordered, look, Detail.NAMES)), ordered, room)


def _lines(seen: Overview, ordered: Sequence[ServiceStatus], look: Look, detail: Detail) -> Iterable[str]:
    well = [status for status in ordered if _rank(status) is ServiceRank.WELL and detail > Detail.ALL]
    for status in ordered:
        if status not in well:
            yield _line(seen, status, look, detail)
    if well:
        yield f"🟢 {' · '.join(escape(status.service, 60) for status in well)}"


def _cut(lines: Sequence[str], ordered: Sequence[ServiceStatus], room: int) -> str:
    """As many lines as fit; the rest is counted."""
    kept: list[str] = []
    left = room - len("… and 1000 more, 1000 of them not well")
    for line in lines:
        if len(line) + 1 > left:
            break
        left -= len(line) + 1
        kept.append(line)
    missing = ordered[len(kept) :]
    bad = sum(_unwell(status) for status in missing)
    return "\n".join([*kept, f"… and {len(missing)} more, {bad or 'none'} of them not well"])


def _line(seen: Overview, status: ServiceStatus, look: Look, detail: Detail) -> str:
    flapping = status.incident is not None and status.incident.flaps.flapping
    begin = f"{'🟠' if flapping else '🔴' if _unwell(status) else sign(status)} **{escape(status.service, 60)}**"
    trouble = _trouble(seen, status, look, detail)
    if detail is Detail.NAMES:
        return f"{begin} {trouble}" if trouble else begin
    return " · ".join(part for part in (f"{begin} {trouble or _calm(status)}".rstrip(), *_notes(status)) if part)


def _calm(status: ServiceStatus) -> str:
    if status.deploying is not None:
        return "is being deployed"
    said = in_words(status)
    return "" if said == "is well" else said


def _trouble(seen: Overview, status: ServiceStatus, look: Look, detail: Detail) -> str:
    if status.incident is not None:
        return _of_incident(seen, status.incident, look, detail)
    if status.because_of:
        since = _since(seen, status)
        return f"not well{f' since {moment(since)}' if since else ''}, because of {escape(status.because_of, 60)}"
    return in_words(status) if status.verdict is Verdict.DOWN else ""


def _since(seen: Overview, status: ServiceStatus) -> datetime | None:
    """Since when a service is not well that is listed in another's incident."""
    root = next((one.incident for one in seen.services if one.service == status.because_of), None)
    found = [one for one in root.dependents if one.service == status.service and one.well_at is None] if root else []
    return found[-1].failed_at if found else None


def _of_incident(seen: Overview, incident: Incident, look: Look, detail: Detail) -> str:
    state = "flapping " if incident.flaps.flapping else "" if is_host(incident.service) else "down "
    how = f"{state}since {moment(incident.opened_at)}"
    if detail is Detail.NAMES:
        return how
    parts = [f"{how}: {shown(incident.cause, CAUSE)}"]
    if incident.called_at is not None:
        parts.append("🚨 needs attention")
    taken = seen.taken.get(incident.id)
    if taken is not None:
        parts.append(f"👀 {escape(taken.actor, 40)} has it")
    card = seen.cards.get(incident.id)
    if card is not None and detail is Detail.ALL:
        parts.append(f"[incident {incident.id}]({look.link(card)})")
    return " · ".join(parts)


def _notes(status: ServiceStatus) -> list[str]:
    notes = []
    if status.live is not None:
        notes.append(f"{release_of(status)} live {moment(status.live.since)}")
    elif status.state.started_at is not None and status.state.pid:
        notes.append(f"started {moment(status.state.started_at)}")
    if status.waits:
        notes.append(f"⏳ {told(status.waits, 120)}")
    if status.discord_away is not None:
        notes.append(f"🌩️ Discord is away since {moment(status.discord_away)}")
    if status.hold is not None:
        who = f"held by {escape(status.hold.actor, 40)}"
        why = "automatic deploys wait since a rollback" if status.hold.waits else who
        notes.append(f"⏸ {why} {moment(status.hold.at)}")
    if status.silence is not None:
        notes.append(f"🔕 silenced until {moment(status.silence.until, 'f')}")
    return notes


# What stands below


def _below(seen: Overview, look: Look, changed: datetime) -> Iterable[str]:
    yield ""
    for incident in seen.host:
        yield f"🔴 **{escape(subject_title(incident.service), 60)}** {_of_incident(seen, incident, look, Detail.ALL)}"
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
