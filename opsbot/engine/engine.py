"""Engine: everything a front end may ask. A slash command, a button, the command line and a hook make the same calls.

Each call says who asks, is checked against the ranks, is written into the audit log, and answers with a value: what was
asked for, or a `Refused` with the reason. `open_engine` in `opsbot.daemon.wiring` puts the parts together.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from opsbot.config import Config
from opsbot.core.access import Action, Actor
from opsbot.core.deploy_codes import RefusalCode
from opsbot.core.deployment import RefusalReason, Refused
from opsbot.core.inhibitors import Inhibitors
from opsbot.core.message import Message, encode, message
from opsbot.deploy.deployer import Deployer
from opsbot.deploy.poll import Poller
from opsbot.engine.acknowledgements import Acknowledgements
from opsbot.engine.authorization import Authorization
from opsbot.engine.board import BoardRecords
from opsbot.engine.cards import CardQueries
from opsbot.engine.logs import LogQueries
from opsbot.engine.outbox import Outbox
from opsbot.engine.queries import Queries
from opsbot.engine.releases import ReleaseActions
from opsbot.engine.services import ServiceActions
from opsbot.engine.status import StatusReader
from opsbot.host.clock_skew import ClockSkew
from opsbot.host.processes import ServiceMeter
from opsbot.monitoring import ServiceMonitor
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.port import ServiceManager
from opsbot.store import Store, outbox

if TYPE_CHECKING:
    from opsbot.core.gauge import Gauge
    from opsbot.monitoring.discord_bots import DiscordBots
    from opsbot.monitoring.leak_monitor import Growth
    from opsbot.notifications.apprise_sender import SendResult
    from opsbot.notifications.notifiers import Notifiers


@dataclass(frozen=True, slots=True)
class Measurements:
    """What is measured beside the services' checks; each is kept true by who measures it."""

    growth: Mapping[str, "Growth"] = field(default_factory=dict)
    """How the memory of each service was last judged."""
    gauges: "Callable[[], Sequence[Gauge]]" = tuple
    """The figures of the host that are watched, as last measured."""
    certificates: Mapping[str, datetime] = field(default_factory=dict)
    """When the certificate of each server expires that is watched."""
    drift: ClockSkew = field(default_factory=ClockSkew)
    """The difference between this host's clock and Discord's."""
    meter: ServiceMeter = field(default_factory=ServiceMeter)
    """Measures the services' processes."""


class Engine:
    """What every front end may call, by its parts."""

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: ChangeNotifier,
        managers: Mapping[str, ServiceManager],
        deployer: Deployer,
        watcher: ServiceMonitor,
        clock: Callable[[], datetime],
        redact: Callable[[str], str] = str,
        *,
        poller: Poller | None = None,
        inhibitors: Inhibitors | None = None,
        discord_bots: "DiscordBots | None" = None,
        notifiers: "Notifiers | None" = None,
        measured: Measurements | None = None,
    ) -> None:
        """poller: asks the remotes. inhibitors: what recovery and deploys ask before they act.

        discord_bots: None where no service is one. notifiers: those beside Discord, if any.
        """
        self.config = config
        self.store = store
        self.feed = feed
        self.managers = managers
        self.deployer = deployer
        self.watcher = watcher
        self.clock = clock
        self.poller = poller
        self.notifiers = notifiers
        self.measured = measured or Measurements()
        self.access = Authorization(config, store, clock)
        self.statuses = StatusReader(
            config, store, managers, watcher, clock, self.measured.gauges, discord_bots, self.measured.meter
        )
        """The status of services and host."""
        self.queries = Queries(
            self.access, config, store, managers, watcher, self.statuses, clock, redact, self.measured.growth
        )
        self.logs = LogQueries(self.access, managers, redact)
        self.releases = ReleaseActions(self.access, config, store, deployer, watcher, poller)
        self.services = ServiceActions(
            self.access, config, store, feed, managers, deployer, watcher, clock, poller, inhibitors
        )
        self.host = config.host or socket.gethostname()
        """This host's name in messages."""
        self.cards = CardQueries(config, store, clock, self.host)
        self.outbox = Outbox(store, feed, clock, config.discord.ops_channel_id)
        self.board = BoardRecords(store, clock)
        self.acknowledgements = Acknowledgements(self.access, store, feed, clock, redact)

    async def notify(self, actor: Actor, name: str) -> "SendResult | Refused":
        """Try a notifier with a message that says it is a test; what came of it."""
        refusal = await self.access.admit(actor, Action.NOTIFY, detail=name)
        if refusal:
            return refusal
        if self.notifiers is None or name not in self.config.notifiers:
            known = tuple(self.config.notifiers)
            words = message(RefusalCode.UNKNOWN_NOTIFIER, notifier=name[:64], known=known)
            return await self.access.refuse(actor, Action.NOTIFY, None, name, RefusalReason.BAD_INPUT, words)
        sent = await self.notifiers.trial(name, actor.name)
        await self.access.note(actor, Action.NOTIFY, None, name, "taken" if sent.ok else f"not taken: {sent.failure}")
        return sent

    async def announce(
        self,
        service: str,
        said: Message,
        *,
        level: str = "info",
        key: str | None = None,
        lines: Sequence[str] = (),
        stands_for: Sequence[str] = (),
    ) -> None:
        """Post a plain notification in the ops channel, once per key.

        lines: shown below it, each as it is. stands_for: keys of other notifications that it replaces.
        """
        now = self.clock()
        name = key or f"word:{now.timestamp()}"
        body: dict[str, object] = {"text": encode(said), "level": level}
        if lines:
            body["lines"] = list(lines)
        await self.store.write(outbox.put_for, name, service, stands_for, now, body=body)
        self.feed.publish("notice")
