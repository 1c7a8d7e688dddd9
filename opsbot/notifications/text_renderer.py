"""What a notifier is told of a notice: plain text for a phone, an e-mail or a chat. Pure.

All that comes from outside is one line, without what does not print; mentions, which a chat may know, are broken up.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from opsbot.core.incident import IncidentEventKind, exit_of
from opsbot.core.message import Message, message
from opsbot.core.model import ADVICE, Incident, Notification, NotificationKind
from opsbot.core.subjects import is_host, subject_title
from opsbot.formatting import clip, duration, plain_times
from opsbot.messages import render
from opsbot.notifications.apprise_sender import OutgoingMessage

LATE = timedelta(minutes=2)
LOG_LINES = 5
EVENTS = 6
FEW = 8
"""So many services are named; more are counted."""
DIGEST_LINES = 20
STORM_NAMED, STORM_LINES = 5, 40
_ZWSP = "\u200b"
_MENTION = re.compile(r"(?<!\w)@(?=\w)|@(?=everyone|here|channel|all)|<(?=[!@#])", re.IGNORECASE)
"""The @ in the name of a unit (`app@1.service`) mentions nobody, and is left as it is: people copy it."""
_TYPES = {NotificationKind.INCIDENT: "failure", NotificationKind.CALL: "failure", NotificationKind.RECOVERED: "success"}


def plain(text: str, most: int = 300) -> str:
    """One harmless line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in plain_times(text)).split())
    return _MENTION.sub(lambda found: found[0] + _ZWSP, clip(line, most))


def text_of(value: Message | None, most: int = 300) -> str:
    return "" if value is None else plain(render(value), most)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _headline(notice: Notification, incident: Incident | None, why: str) -> str:
    service = plain(subject_title(notice.service), 80)
    cause = text_of(incident.cause, 150) if incident is not None else ""
    if why:
        return f"📣 {service}: nobody has acknowledged: {cause}"
    match notice.kind:
        case NotificationKind.RECOVERED:
            return f"🟢 {service} has recovered: {cause}"
        case NotificationKind.CALL:
            return f"🚨 {service} needs attention: {cause}"
    return f"🔴 {service} is DOWN: {cause}" if not is_host(notice.service) else f"🔴 {service}: {cause}"


def render_notification(
    notice: Notification, incident: Incident | None, host: str, now: datetime, *, why: str = "", again: bool
) -> OutgoingMessage:
    """One notice. why: what else than the configuration brought it about. again: it may have been sent before."""
    title = f"{'(again) ' if again else ''}[{plain(host, 60)}] {_headline(notice, incident, why)}"
    lines = [] if incident is None else _story(notice, incident)
    if now - notice.at >= LATE and not why:
        lines.append(f"This comes {duration(now - notice.at)} late.")
    return OutgoingMessage(title, "\n".join(lines) or title, "warning" if why else _TYPES.get(notice.kind, "info"))


def _story(notice: Notification, incident: Incident) -> list[str]:
    lines = [f"Since {_time(incident.opened_at)}."]
    if notice.kind is NotificationKind.RECOVERED:
        end = incident.closed_at or notice.at
        by = f": {text_of(incident.resolution)}" if incident.resolution is not None else ""
        down = duration(incident.downtime(end))
        return [f"From {_time(incident.opened_at)} to {_time(end)}, downtime {down}{by}."]
    if notice.said is not None:
        escalated = notice.kind is NotificationKind.CALL
        lines.append(text_of(message(IncidentEventKind.ESCALATED, why=notice.said) if escalated else notice.said))
    of_host = is_host(incident.service)
    for name, seen in incident.evidence.checks:
        label = "What can be done" if name == ADVICE else plain(name, 64) if of_host else f"Check {plain(name, 64)}"
        lines.append(f"{label}: {text_of(seen)}")
    below = [plain(one, 64) for one in incident.down_dependents]
    if below:
        named = ", ".join(below) if len(below) <= FEW else f"{len(below)} services"
        lines.append(f"Also down because of it: {named}")
    if incident.evidence.exit is not None and incident.evidence.exit != exit_of(incident.cause):
        lines.append(f"The process ended: {text_of(incident.evidence.exit)}")
    lines += [f"{_time(each.at)}: {text_of(each.message)}" for each in incident.events if each.listed][-EVENTS:]
    log = [plain(text) for text in incident.evidence.log[-LOG_LINES:]]
    return [*lines, *(["Who uses it:" if of_host else "The end of its log:", *log] if log else [])]


def digest(
    told: Sequence[tuple[Notification, Incident | None]], host: str, now: datetime, *, again: bool
) -> OutgoingMessage:
    """Many notices as one message: after a long absence nobody reads fifty."""
    first = min(notice.at for notice, _ in told)
    title = f"{'(again) ' if again else ''}[{plain(host, 60)}] {len(told)} messages since {_time(first)}, this one late"
    shown = told[-DIGEST_LINES:]
    lines = [f"{_time(notice.at)} {_headline(notice, incident, '')}" for notice, incident in shown]
    if len(told) > len(shown):
        lines.insert(0, f"{len(told) - len(shown)} before these are left out.")
    open_ = any(incident is not None and incident.closed_at is None for _, incident in told)
    lines.append(f"The oldest comes {duration(now - first)} late.")
    return OutgoingMessage(title, "\n".join(lines), "failure" if open_ else "info")


def storm(told: Sequence[tuple[Notification, Incident | None, str]], host: str, *, again: bool) -> OutgoingMessage:
    """Many services at once as one message: nobody reads a phone full of them. Each with what was said of it last.

    told: with each notice its incident, and why it is told where the configuration is not what brought it about.
    """
    last = {notice.service: (notice, incident, why) for notice, incident, why in told}
    unwell = {name: one for name, one in last.items() if one[1] is None or one[1].closed_at is None}
    taken = sum(bool(why) for _, _, why in unwell.values())
    names = ", ".join(plain(name, 40) for name in list(unwell or last)[:STORM_NAMED])
    more = f" and {len(unwell or last) - STORM_NAMED} more" if len(unwell or last) > STORM_NAMED else ""
    if not unwell:
        said = f"🟢 {len(last)} services have recovered: {names}{more}"
    elif taken == len(unwell) == len(last):
        said = f"📣 {taken} services are down, and nobody has acknowledged: {names}{more}"
    elif len(unwell) < len(last):
        still = "is" if len(unwell) == 1 else "are"
        said = f"🔴 of {len(last)} services that went down, {len(unwell)} still {still}: {names}{more}"
    else:
        said = f"🔴 {len(unwell)} services are down: {names}{more}"
    title = f"{'(again) ' if again else ''}[{plain(host, 60)}] {said}"
    shown = [*unwell.values(), *(one for name, one in last.items() if name not in unwell)]
    lines = ["Check first what they have in common: the host, the network, a deploy."] if unwell else []
    lines += [f"{_time(notice.at)} {_headline(notice, incident, why)}" for notice, incident, why in shown[:STORM_LINES]]
    if len(shown) > STORM_LINES:
        lines.append(f"{len(shown) - STORM_LINES} more are left out: `opsbot incidents` has them all.")
    return OutgoingMessage(title, "\n".join(lines), ("warning" if taken else "failure") if unwell else "success")


def trial(host: str, by: str) -> OutgoingMessage:
    """A message that only tries the way."""
    title = f"[{plain(host, 60)}] a test from opsbot"
    return OutgoingMessage(title, f"{plain(by, 60)} asked for this test. Alerts arrive the same way.")
