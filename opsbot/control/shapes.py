"""The shapes of what the control socket answers, and of what `--json` prints.

They are a promise to scripts: keys are added, never renamed or taken away. Times are ISO 8601 in UTC, lengths of time
are seconds, sizes are bytes. All text may be untrusted; whoever shows it escapes it.
"""

from typing import TypedDict


class By(TypedDict):
    """Who did it: the origin (`cli`, `discord`, `poll`...), the id, the name."""

    origin: str
    id: str
    name: str


class CheckReply(TypedDict):
    """One check: its verdict and since when, and what the last look saw."""

    name: str
    verdict: str
    since: str | None
    ok: bool | None
    seen: str
    at: str | None
    took: float | None
    streak: int


class CommitReply(TypedDict):
    """One commit."""

    id: str
    title: str
    author: str
    at: str


class ReleaseReply(TypedDict):
    """A kept release."""

    name: str
    commit: str
    title: str
    at: str
    good: bool


class StepReply(TypedDict):
    """One thing a deployment did. `ok` is null while it runs; `tail` is the end of what it printed."""

    name: str
    phase: str
    started_at: str
    ended_at: str | None
    ok: bool | None
    note: str
    tail: str
    output: str


class DeploymentReply(TypedDict):
    """One deployment. `ok` is null until it is finished; then whether the service runs what was requested.

    status: the phase in words; "live" is the one whose release is live now, earlier ones "succeeded".
    """

    id: int
    service: str
    kind: str
    phase: str
    by: By
    created_at: str
    updated_at: str
    finished_at: str | None
    live_at: str | None
    finished: bool
    ok: bool | None
    ref: str | None
    reason: str
    commit_from: str | None
    commit_to: str | None
    release_from: str | None
    release_to: str | None
    commits: list[CommitReply]
    commits_total: int
    steps: list[StepReply]
    failed_in: str | None
    note: str
    status: str


class UpdateReply(TypedDict):
    """What came of asking the remote: `outcome` is `deploying`, `no-news`, `later`, `waiting`, `noted` or `failed`."""

    service: str
    outcome: str
    text: str
    head: str | None
    deployment: DeploymentReply | None


class HoldReply(TypedDict):
    """A hold; `waits` is the commit rolled back from, where a rollback caused it."""

    actor: str
    reason: str
    at: str
    waits: str | None


class SilenceReply(TypedDict):
    """A silence."""

    service: str
    actor: str
    reason: str
    at: str
    until: str


class AcknowledgementReply(TypedDict):
    """Who has taken an incident. `void_at`: when it got worse, from when on it does not count."""

    service: str
    incident: int
    actor: str
    reason: str
    at: str
    void_at: str | None


class DeedReply(TypedDict):
    """Something done about an incident."""

    at: str
    text: str


class DependentReply(TypedDict):
    """A service that was not well because of an incident; `well_at` is null while it is not."""

    service: str
    cause: str
    failed_at: str
    well_at: str | None


class IncidentReply(TypedDict):
    """One trouble of one subject: `service` is a service's name, or `host:WHAT`.

    `consequences`: checks that fail because one of `checks` does. `part_of`: the incident it was folded into.
    `flapping`: whether it flaps now; `changes`: how often it changed while it did.
    """

    id: int
    service: str
    cause: str
    opened_at: str
    closed_at: str | None
    called_at: str | None
    ended_by: str
    checks: list[tuple[str, str]]
    exit: str
    log: list[str]
    deeds: list[DeedReply]
    deployment: int | None
    consequences: list[tuple[str, str]]
    dependents: list[DependentReply]
    part_of: int | None
    flapping: bool
    changes: int


class SourceReply(TypedDict):
    """What is known of the remote."""

    head: str | None
    asked_at: str | None
    answered_at: str | None
    failing_since: str | None
    failure: str


class WindowReply(TypedDict):
    """One occurrence of a maintenance window. No `services` means all."""

    name: str
    services: list[str]
    begin: str
    end: str
    timezone: str
    mute: bool
    deploys: str
    recovery: bool


class NotifyReply(TypedDict):
    """What came of trying a notifier. `doubt`: it may have arrived all the same."""

    notifier: str
    ok: bool
    failure: str
    doubt: bool


class WindowsReply(TypedDict):
    """The windows that are open, and the next three."""

    daemon: bool
    active: list[WindowReply]
    coming: list[WindowReply]


class StateReply(TypedDict):
    """What the manager says of the service."""

    activity: str
    pid: int | None
    started_at: str | None
    restarts: int
    exit: str
    stopped_by_hand: bool


class LoginsReply(TypedDict):
    """The login budget of a Discord bot: its starts in the last 24 hours, and how many logins Discord allows."""

    starts: int
    limit: int


class ServiceReply(TypedDict):
    """How one service stands. `healthy`: it runs (or is starting) and no check holds it for down.

    `cpu` is percent of one core, `memory` bytes; both null where no process is known. `tasks` counts the processes and
    threads of its unit, null where it has none. `waits`: what its recovery or its deployment waits for. `discord_away`:
    since when Discord is away, null while it is not, and for what is no bot.
    """

    service: str
    healthy: bool
    verdict: str
    state: StateReply
    cpu: float | None
    memory: int | None
    tasks: int | None
    checks: list[CheckReply]
    live: str | None
    live_since: str | None
    release: ReleaseReply | None
    deploying: DeploymentReply | None
    last_deployment: DeploymentReply | None
    hold: HoldReply | None
    silence: SilenceReply | None
    incident: IncidentReply | None
    source: SourceReply | None
    auto: bool
    because_of: str
    """The service in whose incident this one is listed as not well; "" where it is in none."""
    waits: str
    logins: LoginsReply | None
    discord_away: str | None


class LogReply(TypedDict):
    """One line a service wrote. `part`: which of its units; `manager`: its manager said it of the service."""

    at: str
    level: str
    text: str
    run: str
    part: str
    manager: bool


class AuditReply(TypedDict):
    """One entry of the audit log."""

    id: int
    at: str
    by: By
    action: str
    service: str
    detail: str
    allowed: bool
    result: str


class NoticeReply(TypedDict):
    """One notice about trouble. `told_at` is null while the channel has not been told."""

    id: int
    kind: str
    service: str
    at: str
    text: str
    told_at: str | None


class DiskReply(TypedDict):
    """One file system."""

    path: str
    total: int
    used: int
    free: int


class HostReply(TypedDict):
    """The host: `cpu` in percent of all cores (null where not told), memory in bytes, load over 1, 5, 15 minutes."""

    name: str
    cpu: float | None
    cores: int
    memory_total: int | None
    memory_available: int | None
    swap_total: int | None
    swap_used: int | None
    load: list[float]
    disks: list[DiskReply]
    uptime: float | None


class GatewayReply(TypedDict):
    """The connection to Discord. `latency` in seconds; `waiting`: notices not yet told."""

    connected: bool
    since: str | None
    latency: float | None
    waiting: int


class ProofReply(TypedDict):
    """Whether alerts arrive: when that was last tried, when it last went well, and what is wrong, or ""."""

    tried_at: str
    proven_at: str | None
    failure: str


class Status(TypedDict):
    """`status` and `health`. `daemon` false: read from the store because no daemon answered.

    `alert_path` is null where it is not known.
    """

    daemon: bool
    healthy: bool
    services: list[ServiceReply]
    alert_path: ProofReply | None


class History(TypedDict):
    """`history`: newest first."""

    daemon: bool
    deployments: list[DeploymentReply]
    incidents: list[IncidentReply]


class Incidents(TypedDict):
    """`incidents`: newest first."""

    daemon: bool
    incidents: list[IncidentReply]


class WhyEvent(TypedDict):
    """One thing that happened, and what kind of thing it was."""

    at: str
    kind: str
    text: str


class WhyReply(TypedDict):
    """`why`: the one line, what it rests on (oldest first), and whether it is known at all."""

    daemon: bool
    service: str
    known: bool
    line: str
    events: list[WhyEvent]


class Logs(TypedDict):
    """`logs`: oldest first."""

    daemon: bool
    service: str
    lines: list[LogReply]


class Audit(TypedDict):
    """`audit`: newest first."""

    daemon: bool
    entries: list[AuditReply]


class Ping(TypedDict):
    """Who answers."""

    version: str
    pid: int
    since: str
    state_directory: str


class ReloadReply(TypedDict):
    """What came of a reload. `asked`: how many wishes there were. `answered`: the last it answers, 0 where none was."""

    asked: int
    answered: int
    ok: bool
    text: str
    lines: list[str]


class Snapshot(TypedDict):
    """All that the dashboard shows. `gateway` is null without a daemon, and while it has no bot."""

    at: str
    daemon: Ping | None
    host: HostReply
    healthy: bool
    services: list[ServiceReply]
    deployments: list[DeploymentReply]
    alerts: list[NoticeReply]
    gateway: GatewayReply | None
