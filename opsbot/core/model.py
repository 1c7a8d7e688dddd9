"""Values shared by the store, the engine and the front ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from opsbot.core.flapping import Flaps
from opsbot.core.incident import IncidentEvent, IncidentEventKind, first_cause
from opsbot.core.message import Message, decode, plain
from opsbot.core.recovery import RecoveryState


class NotificationKind(StrEnum):
    """The kind of a notification in the outbox."""

    DEPLOYMENT = "deployment"  # a card: one deployment, edited as it goes. `subject` is the deployment's id
    OUTCOME = "outcome"  # a deployment failed: a new message, since edits notify nobody. `subject` is its id
    INCIDENT = "incident"  # a card: one incident, from alert to resolution. `subject` is the incident's id
    RECOVERED = "recovered"  # an incident is resolved. `subject` is the incident's id
    CALL = "call"  # automatic recovery gave up: needs attention. `subject` is the incident's id
    TIMELINE = "timeline"  # a short line in an incident's thread. `subject` is the incident's id; `body`: text, sign
    REMINDER = "reminder"
    """An incident is still open and nobody has acknowledged it. `subject` is its id; `body`: count, why."""
    ESCALATION = "escalation"
    """Nobody acknowledged an incident in time: a role is pinged. `subject` is its id; `body`: role."""
    DIGEST = "digest"
    """One message about everything during a long outage. `body`: members, the ids of its notifications."""
    STORM = "storm"  # a card: many services went down at once (`opsbot.core.storm`)
    SOURCE = "source"  # a repository cannot be reached, or can again. `body`: text, ok
    UPDATE = "update"  # a new commit that is not deployed automatically. `body`: text, commit, commits, why
    WORD = "word"
    """A plain notification. `body`: text (a message; a sentence in rows of earlier versions), level (info, warning,
    error), lines shown below it, chart, revision."""


WAKING_KINDS = (
    NotificationKind.INCIDENT,
    NotificationKind.RECOVERED,
    NotificationKind.CALL,
    NotificationKind.REMINDER,
    NotificationKind.ESCALATION,
)
"""Kinds that wait while their service is silenced."""
INCIDENT_KINDS = (*WAKING_KINDS, NotificationKind.TIMELINE)


@dataclass(frozen=True, slots=True)
class Notification:
    """One row of the outbox. `body` is JSON-able; its strings may be untrusted."""

    id: int
    key: str
    kind: NotificationKind
    service: str
    at: datetime
    subject: int | None = None
    body: dict[str, object] = field(default_factory=dict)
    tried_at: datetime | None = None
    tries: int = 0
    told_at: datetime | None = None
    channel_id: int | None = None
    message_id: int | None = None
    shown: int = -1
    dropped: bool = False
    digest: int | None = None
    """The digest that contains it, instead of a separate message."""
    storm: int | None = None
    """The storm that contains it; it may get a separate card later."""

    @property
    def said(self) -> Message | None:
        """Its text besides the subject: an event, a sentence, a reason."""
        found = next((each for name in ("event", "text", "why") if (each := self.body.get(name))), None)
        if isinstance(found, dict):
            return decode(found)
        return plain(str(found)) if found is not None else None


ADVICE = "the mend"
"""The name of the entry with the remediation in the evidence of an incident of the host."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of an incident at its newest failure. Its texts may be untrusted.

    checks: each failing check's name and what it saw, the root-most first. consequences: likewise, those that hang
    below one of `checks` (`opsbot.core.dependencies`) and fail because of it. exit: how the process ended, if it did.
    log: the last lines that the failing run wrote.
    """

    checks: tuple[tuple[str, Message], ...] = ()
    exit: Message | None = None
    log: tuple[str, ...] = ()
    consequences: tuple[tuple[str, Message], ...] = ()


@dataclass(frozen=True, slots=True)
class Dependent:
    """A service that is down in another's incident. `cause`: what was seen."""

    service: str
    cause: Message
    failed_at: datetime
    well_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident of one subject, from its first failure to its resolution.

    `service` is its subject: a service's name, or `host:WHAT` (`opsbot.core.subjects`).
    """

    id: int
    service: str
    cause: Message
    """The current cause; after the end, the last one. The first cause is in the first event."""
    opened_at: datetime
    evidence: Evidence
    events: tuple[IncidentEvent, ...] = ()
    deployment: int | None = None
    """The last deployment before it began."""
    called_at: datetime | None = None
    closed_at: datetime | None = None
    resolution: Message | None = None
    revision: int = 0
    part_of: int | None = None
    """The incident it was merged into."""
    dependents: tuple[Dependent, ...] = ()
    flaps: Flaps = field(default_factory=Flaps)
    """While it flaps, and after it did: how often it changed."""
    recovery: RecoveryState = field(default_factory=RecoveryState)
    """What was tried, by whom."""
    down_since: datetime | None = None
    """Since when its subject is down; None while it is not, as between the failures of what flaps."""
    down_for: timedelta = timedelta(0)
    """How long it was down before that, in this incident."""

    @property
    def later_events(self) -> tuple[IncidentEvent, ...]:
        """The events after it was opened that a card lists."""
        return tuple(each for each in self.events if each.listed and each.kind != IncidentEventKind.OPENED)

    @property
    def down_dependents(self) -> tuple[str, ...]:
        """The services that are down because of it."""
        return tuple(each.service for each in self.dependents if each.well_at is None)

    @property
    def first_cause(self) -> Message:
        return first_cause(self.events) or self.cause

    def downtime(self, now: datetime) -> timedelta:
        """For how long its subject was down until `now`."""
        current = timedelta(0) if self.down_since is None else max(now - self.down_since, timedelta(0))
        return self.down_for + current


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody takes care of an incident: no reminders, no escalation.

    void_at: when it got worse, from when on it does not count; void_why: the event that made it worse.
    """

    incident: int
    actor: str
    reason: str
    at: datetime
    void_at: datetime | None = None
    void_why: Message | None = None


@dataclass(frozen=True, slots=True)
class Storm:
    """A storm at one moment.

    taken: acknowledgements of its open incidents by incident id.
    """

    incidents: tuple[Incident, ...]
    taken: Mapping[int, Acknowledgement]
    revision: int

    @property
    def unacknowledged(self) -> tuple[Incident, ...]:
        """Its open incidents without an acknowledgement."""
        return tuple(one for one in self.incidents if one.closed_at is None and one.id not in self.taken)


@dataclass(frozen=True, slots=True)
class DeliveryTest:
    """The last test of alert delivery. proven_at: the last success."""

    channel: int
    tried_at: datetime
    proven_at: datetime | None = None
    failure: str = ""
    probe: int | None = None
    """The message that was posted for it and may still be there."""


@dataclass(frozen=True, slots=True)
class Board:
    """The status board of one channel.

    tried_at: when it was first tried to be posted; with message None it is in doubt whether it was. changed_at: when
    what it shows last changed. edited_at: when it was last posted or edited. shown: a digest of what it shows.
    """

    channel: int
    tried_at: datetime
    changed_at: datetime
    edited_at: datetime
    message: int | None = None
    pinned: bool = False
    """It was pinned once and is not pinned again, as somebody may have unpinned it."""
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """No alerts of a service until then."""

    service: str
    actor: str
    reason: str
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Live:
    """The release a service is meant to run."""

    service: str
    release: str
    since: datetime
    deployment: int | None


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a service's remote.

    `head` is the last commit its branch was seen at; `noted` the last commit that was announced and not deployed.
    """

    service: str
    head: str | None = None
    asked_at: datetime | None = None
    answered_at: datetime | None = None
    failing_since: datetime | None = None
    failure: Message | None = None
    told: bool = False
    noted: str | None = None


class Effect(StrEnum):
    """Whether what was asked for was done."""

    DONE = "done"
    REFUSED = "refused"
    NONE = "none"  # allowed, and nothing was to be done, or a confirmation was asked for


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, when, from where, allowed or refused, and what came of it."""

    id: int
    at: datetime
    origin: str
    actor_id: str
    actor_name: str
    action: str
    service: str
    detail: str
    allowed: bool
    result: str
    effect: Effect = Effect.DONE
