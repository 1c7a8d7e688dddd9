"""What the control socket answers, and what `--json` prints: these dataclasses, and those of the domain, as JSON.

The JSON is a promise to scripts: keys are added, never renamed or taken away (`tests/recordings/control_api.json` holds
it). Sizes are bytes. All text may be untrusted; whoever shows it escapes it. `daemon` is false where no daemon
answered, and the store was read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from opsbot.control.codec import Codec, JsonForm
from opsbot.core.access import Actor
from opsbot.core.deployment import Deployment, Hold, Refused, Release
from opsbot.core.health import Verdict
from opsbot.core.message import Message
from opsbot.core.model import Acknowledgement, AuditEntry, Dependent, Evidence, Silence, SourceState
from opsbot.core.status import HealthState, StoppedBy
from opsbot.core.windows import Maintenance, Span
from opsbot.formatting import plain_times
from opsbot.host.figures import HostFigures
from opsbot.messages import render
from opsbot.messages.deployments import deployment_status
from opsbot.services.port import LogLine, ServiceState


@dataclass(slots=True, eq=False)
class CheckReply:
    """One check: its verdict and since when, and what the last look saw."""

    name: str
    verdict: Verdict
    since: datetime | None
    ok: bool | None
    seen: str
    at: datetime | None
    took: float | None
    streak: int


@dataclass(slots=True, eq=False)
class StatementReply:
    """A statement as data, and as English text. See `opsbot.core.message` for the form of `params`."""

    code: str
    params: Mapping[str, Any]
    text: str


@dataclass(slots=True, eq=False)
class HealthReply:
    """The state of a service.

    `text`: the state in words ("stopped by a person"). `since`: null where not known. `by`: who stopped it, null in
    other states and while it is being stopped. `reasons`: the main one first. `next`: what happens next.
    """

    state: HealthState
    text: str
    since: datetime | None
    by: StoppedBy | None
    reasons: Sequence[StatementReply]
    next: Sequence[StatementReply]


@dataclass(slots=True, eq=False)
class IncidentEventReply:
    """One event of an incident."""

    at: datetime
    text: str


@dataclass(slots=True, eq=False)
class IncidentReply:
    """One incident. `cause`: the current one, after the end the last. `downtime`: for how long its subject was down.

    `checks` and `consequences`: name and what was seen, the root-most first. `ended_by`: the resolution, "" while it is
    open. `changes`: how often it changed, for what flaps.
    """

    id: int
    service: str
    cause: Message
    opened_at: datetime
    closed_at: datetime | None
    called_at: datetime | None
    ended_by: Message | None
    downtime: timedelta
    evidence: Evidence
    deeds: Sequence[IncidentEventReply]
    deployment: int | None
    dependents: Sequence[Dependent]
    part_of: int | None
    flapping: bool
    flapping_since: datetime | None
    changes: int


@dataclass(slots=True, eq=False)
class LoginsReply:
    """The login budget of a Discord bot: its starts in the last 24 hours, and how many logins Discord allows."""

    starts: int
    limit: int


@dataclass(slots=True, eq=False)
class ServiceReply:
    """The status of one service. `health` is its state, from which `healthy` (for exit codes) and `verdict` (up, down
    or unknown, for readers of earlier versions) follow.

    `cpu` is percent of one core, `memory` bytes; both null where no process is known. `tasks` counts the processes and
    threads of its unit, null where it has none. `because_of`: the service in whose incident this one is listed as not
    well; "" where it is in none. `waits`: what its recovery or its deployment waits for. `discord_away`: since when
    Discord is away, null while it is not, and for what is no bot.
    """

    service: str
    health: HealthReply
    healthy: bool
    verdict: Verdict
    state: ServiceState
    cpu: float | None
    memory: int | None
    tasks: int | None
    checks: Sequence[CheckReply]
    live: str | None
    live_since: datetime | None
    release: Release | None
    deploying: Deployment | None
    last_deployment: Deployment | None
    hold: Hold | None
    silence: Silence | None
    incident: IncidentReply | None
    source: SourceState | None
    auto: bool
    because_of: str
    waits: str
    logins: LoginsReply | None
    discord_away: datetime | None


@dataclass(slots=True, eq=False)
class DeliveryTestReply:
    """Whether alerts arrive: the last test, the last successful one, and what is wrong, or ""."""

    tried_at: datetime
    proven_at: datetime | None
    failure: str


@dataclass(slots=True, eq=False)
class StatusReply:
    """`status` and `health`. `alert_path` is null where it is not known."""

    services: Sequence[ServiceReply]
    alert_path: DeliveryTestReply | None = None
    daemon: bool = True

    @property
    def healthy(self) -> bool:
        return all(one.healthy for one in self.services)


@dataclass(slots=True, eq=False)
class IncidentsReply:
    """`incidents`: newest first."""

    incidents: Sequence[IncidentReply]
    daemon: bool = True


@dataclass(slots=True, eq=False)
class HistoryReply:
    """`history`: newest first."""

    deployments: Sequence[Deployment]
    incidents: Sequence[IncidentReply]
    daemon: bool = True


@dataclass(slots=True, eq=False)
class WhyEvent:
    """One thing that happened, and what kind of thing it was."""

    at: datetime
    kind: str
    text: str


@dataclass(slots=True, eq=False)
class WhyReply:
    """`why`: the one line, what it rests on (oldest first), and whether it is known at all."""

    service: str
    known: bool
    line: str
    events: Sequence[WhyEvent]
    daemon: bool = True


@dataclass(slots=True, eq=False)
class LogsReply:
    """`logs`: oldest first."""

    service: str
    lines: Sequence[LogLine]
    daemon: bool = True


@dataclass(slots=True, eq=False)
class AuditReply:
    """`audit`: newest first."""

    entries: Sequence[AuditEntry]
    daemon: bool = True


@dataclass(slots=True, eq=False)
class WindowsReply:
    """The windows that are open, and the next three."""

    maintenance: Maintenance
    daemon: bool = True


@dataclass(slots=True, eq=False)
class Restarted:
    """`restart`: the state of the service after it.

    verified: whether its checks passed and it stayed alive, null where nobody waited for that; seen: what was seen.
    """

    service: str
    state: ServiceState
    verified: bool | None = None
    seen: Message | None = None


@dataclass(slots=True, eq=False)
class UpdateReply:
    """Result of asking the remote: `outcome` is `deploying`, `no-news`, `later`, `waiting`, `noted` or `failed`."""

    service: str
    outcome: str
    text: Message
    head: str | None
    deployment: Deployment | None


@dataclass(slots=True, eq=False)
class Held:
    """`hold`."""

    service: str
    hold: Hold


@dataclass(slots=True, eq=False)
class ResumeReply:
    """`resume`: whether there was a hold or a silence; the commits that may be deployed automatically again."""

    service: str
    was_held: bool
    unblocked: Sequence[str] = ()


@dataclass(slots=True, eq=False)
class AcknowledgementReply:
    """An acknowledgement. `void_at`: when the incident got worse and ended it."""

    service: str
    value: Acknowledgement


@dataclass(slots=True, eq=False)
class NotifyReply:
    """Result of testing a notifier. `doubt`: it may have arrived all the same."""

    notifier: str
    ok: bool
    failure: str
    doubt: bool


@dataclass(slots=True, eq=False)
class ReloadRequested:
    """The number of a request to reload: `ReloadReply.answered` reaches it once it was handled."""

    wish: int


@dataclass(slots=True, eq=False)
class ReloadReply:
    """Result of a reload. `asked`: number of requests so far. `answered`: the last it answers, 0 if none."""

    asked: int
    answered: int = 0
    ok: bool = True
    text: str = ""
    lines: Sequence[str] = ()


@dataclass(slots=True, eq=False)
class PingReply:
    """Who answers."""

    version: str
    pid: int
    since: datetime
    state_directory: str


@dataclass(slots=True, eq=False)
class NotificationReply:
    """One notification about an incident. `told_at` is null until it is sent to the channel."""

    id: int
    kind: str
    service: str
    at: datetime
    text: str
    told_at: datetime | None


@dataclass(slots=True, eq=False)
class HostReply:
    """The host. Memory in bytes, `cpu` in percent of all cores, load over 1, 5, 15 minutes; null where not known."""

    name: str
    figures: HostFigures


@dataclass(slots=True, eq=False)
class GatewayReply:
    """The connection to Discord. `latency` in seconds, null where not known; `waiting`: notifications not sent yet."""

    connected: bool
    since: datetime | None = None
    latency: float | None = None
    waiting: int = 0


@dataclass(slots=True, eq=False)
class Snapshot:
    """All that the dashboard shows. `gateway` is null without a daemon, and while it has no bot."""

    at: datetime
    daemon: PingReply | None
    host: HostReply
    services: Sequence[ServiceReply]
    deployments: Sequence[Deployment]
    alerts: Sequence[NotificationReply]
    gateway: GatewayReply | None

    @property
    def healthy(self) -> bool:
        return all(one.healthy for one in self.services)


def _form(
    *, hidden: str = "", inlined: str = "", added: dict[str, Callable[[Any], object]] | None = None, **keys: str
) -> JsonForm:
    return JsonForm(frozenset(hidden.split()), keys, frozenset(inlined.split()), added or {})


def _outcome(deployment: Deployment) -> str:
    """Its note, and the deployment that waits on since this one failed."""
    note, waits = plain_times(render(deployment.note)), deployment.let_go_on
    return f"{note} Deployment {waits} waits on.".lstrip() if waits else note


def _by(entry: AuditEntry) -> dict[str, str]:
    return {"origin": entry.origin, "id": entry.actor_id, "name": entry.actor_name}


_codec = Codec(
    {
        Actor: _form(hidden="roles owner"),
        AcknowledgementReply: _form(inlined="value"),
        AuditEntry: _form(added={"by": _by}),
        Deployment: _form(
            actor="by",
            hidden="revision",
            added={
                "finished": attrgetter("finished"),
                "ok": attrgetter("ok"),
                "note": _outcome,
                "status": deployment_status,
            },
        ),
        HostReply: _form(inlined="figures"),
        IncidentReply: _form(inlined="evidence"),
        Refused: _form(message="text"),
        ServiceState: _form(hidden="run release revivable parts groups"),
        Snapshot: _form(added={"healthy": attrgetter("healthy")}),
        SourceState: _form(hidden="told"),
        Span: _form(inlined="window"),
        StatusReply: _form(added={"healthy": attrgetter("healthy")}),
        WindowsReply: _form(inlined="maintenance"),
    }
)
encode = _codec.encode
decode = _codec.decode
