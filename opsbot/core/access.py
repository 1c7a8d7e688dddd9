"""Ranks, and the least rank of each action."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Annotated, Self

from opsbot.core.keys import Format, Key


class Rank(IntEnum):
    """Ranks in order; each includes the ones below it."""

    NONE = 0
    VIEWER = 1
    OPERATOR = 2
    DEPLOYER = 3
    ADMIN = 4


class Action(StrEnum):
    """A request to opsbot: the name of the command, and the least rank for it."""

    least_rank: Rank

    def __new__(cls, name: str, least_rank: Rank = Rank.ADMIN) -> Self:
        """The default rank is for the type checker: `Action("status")` is a lookup."""
        action = str.__new__(cls, name)
        action._value_, action.least_rank = name, least_rank
        return action

    STATUS = "status", Rank.VIEWER
    HEALTH = "health", Rank.VIEWER
    HISTORY = "history", Rank.VIEWER
    WINDOWS = "windows", Rank.VIEWER
    INCIDENTS = "incidents", Rank.VIEWER
    WHY = "why", Rank.VIEWER
    LOGS = "logs", Rank.OPERATOR
    RESTART = "restart", Rank.OPERATOR
    SILENCE = "silence", Rank.OPERATOR
    ACK = "ack", Rank.OPERATOR
    DEPLOY = "deploy", Rank.DEPLOYER
    NOW = "now", Rank.DEPLOYER  # from a card's button or the host: a waiting deployment switches now
    ROLLBACK = "rollback", Rank.DEPLOYER
    HOLD = "hold", Rank.DEPLOYER
    RESUME = "resume", Rank.DEPLOYER
    AUDIT = "audit", Rank.ADMIN
    NOTIFY = "notify", Rank.ADMIN  # from the host only: `opsbot notify` tests a notifier other than Discord
    RELOAD = "reload", Rank.ADMIN  # from the host only: SIGHUP or `opsbot reload`


class Origin(StrEnum):
    """Where a request comes from."""

    DISCORD = "discord"
    CLI = "cli"
    POLL = "poll"
    WEBHOOK = "webhook"
    RECOVERY = "recovery"
    STARTUP = "startup"
    CLEANUP = "cleanup"


AUTOMATIC = frozenset({Origin.POLL, Origin.WEBHOOK})
"""Origins whose deploys a hold, a quarantine and the wait after a rollback delay."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a request.

    `id` is a Discord user id, `unix:NAME` for a local user, or the origin's own name for opsbot itself.
    `roles` are the ids (Discord role ids, `unix:@GROUP`) held at that moment.
    """

    origin: Origin
    id: str
    name: str
    roles: frozenset[str] = frozenset()
    owner: bool = False
    """True for root and the user the daemon runs as, on the control socket: always admin."""

    @property
    def automatic(self) -> bool:
        return self.origin in AUTOMATIC or self.origin in {Origin.RECOVERY, Origin.STARTUP, Origin.CLEANUP}


def itself(origin: Origin) -> Actor:
    """opsbot as the actor (a poll, a recovery)."""
    return Actor(origin, f"opsbot:{origin}", "opsbot", owner=True)


Holders = Annotated[frozenset[str], Key(Format.HOLDERS)]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Who may do what.

    Each rank may do all that the ranks before it may; who is in none is refused. Each is an array of role ids and user
    ids (as numbers, or in quotes), and for the command line `"unix:NAME"` for a local user and `"unix:@GROUP"` for a
    local group. root and the user the daemon runs as are always admins on the command line.
    """

    viewer: Holders = frozenset()
    """May look: `/status`, `/health`, `/history`, `/incidents`, `/why`."""
    operator: Holders = frozenset()
    """May also read logs, restart, silence and acknowledge: `/logs`, `/restart`, `/silence`."""
    deployer: Holders = frozenset()
    """May also change what runs: `/deploy`, `/rollback`, `/hold`, `/resume`."""
    admin: Holders = frozenset()
    """May do everything, `/audit` included. At least one is needed, or nobody could ever look at the audit log."""

    def of(self, actor: Actor) -> Rank:
        """The highest rank the actor holds; `Rank.NONE` when it holds none."""
        if actor.owner:
            return Rank.ADMIN
        held = actor.roles | {actor.id}
        named = (
            (Rank.ADMIN, self.admin),
            (Rank.DEPLOYER, self.deployer),
            (Rank.OPERATOR, self.operator),
            (Rank.VIEWER, self.viewer),
        )
        return next((rank for rank, ids in named if ids & held), Rank.NONE)

    def allow(self, actor: Actor, action: Action) -> bool:
        return self.of(actor) >= action.least_rank
