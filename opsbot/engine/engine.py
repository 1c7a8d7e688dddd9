"""Engine: everything a front end may ask. A slash command, a button, the command line and a hook make the same calls.

Each call says who asks, is checked against the ranks, is written into the audit log, and answers with a value: what was
asked for, or a `Refused` with the reason. `open_engine` in `opsbot.wiring` puts the parts together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from opsbot.config import Config
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import Refused, Why
from opsbot.deploy.deployer import Deployer
from opsbot.engine.acknowledgements import Acknowledgements
from opsbot.engine.door import Door
from opsbot.engine.logs import Logs
from opsbot.engine.looking import Looking
from opsbot.engine.releases import Releases
from opsbot.engine.services import Services
from opsbot.feed import Feed
from opsbot.gauges.drift import Drift
from opsbot.services.port import ServiceManager
from opsbot.source.poll import Poller
from opsbot.standing import Standings
from opsbot.store import Store, outbox
from opsbot.watch import Watcher
from opsbot.watch.vetoes import Vetoes

if TYPE_CHECKING:
    from opsbot.core.gauge import Gauge
    from opsbot.notify.courier import Sent
    from opsbot.notify.notifiers import Notifiers
    from opsbot.watch.aware import Aware
    from opsbot.watch.leaks import Growth


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured beside the services' checks; each is kept true by who measures it."""

    growth: Mapping[str, "Growth"] = field(default_factory=dict)
    """How the memory of each service was last judged."""
    gauges: "Callable[[], Sequence[Gauge]]" = tuple
    """The figures of the host that are watched, as last measured."""
    certificates: Mapping[str, datetime] = field(default_factory=dict)
    """When the certificate of each server expires that is watched."""
    drift: Drift = field(default_factory=Drift)
    """How this host's clock stands to Discord's."""


class Engine:
    """What every front end may call, by its parts."""

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: Feed,
        managers: Mapping[str, ServiceManager],
        deployer: Deployer,
        watcher: Watcher,
        clock: Callable[[], datetime],
        redact: Callable[[str], str] = str,
        *,
        poller: Poller | None = None,
        vetoes: Vetoes | None = None,
        aware: "Aware | None" = None,
        notifiers: "Notifiers | None" = None,
        measured: Measured | None = None,
    ) -> None:
        """poller: asks the remotes. vetoes: what recovery and deploys ask before they act.

        aware: what goes by Discord, None where no service is a Discord bot. notifiers: those beside Discord, if any.
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
        self.measured = measured or Measured()
        self.door = Door(config, store, clock)
        self.standings = Standings(config, store, managers, watcher, clock, self.measured.gauges, aware)
        """How all of it stands, for those who may see it."""
        self.look = Looking(
            self.door, config, store, managers, watcher, self.standings, clock, redact, self.measured.growth
        )
        self.logs = Logs(self.door, managers, redact)
        self.releases = Releases(self.door, config, store, deployer, watcher, poller)
        self.services = Services(self.door, config, store, feed, managers, deployer, watcher, clock, poller, vetoes)
        self.acknowledgements = Acknowledgements(self.door, store, feed, clock, redact)

    async def notify(self, actor: Actor, name: str) -> "Sent | Refused":
        """Try a notifier with a message that says it is a test; what came of it."""
        refusal = await self.door.admit(actor, Action.NOTIFY, detail=name)
        if refusal:
            return refusal
        if self.notifiers is None or name not in self.config.notifiers:
            there = (
                f"There are: {', '.join(self.config.notifiers)}." if self.config.notifiers else "None is configured."
            )
            words = f"There is no notifier {name[:64]!r}. {there}"
            return await self.door.refuse(actor, Action.NOTIFY, None, name, Why.BAD_INPUT, words)
        sent = await self.notifiers.trial(name, actor.name)
        await self.door.note(actor, Action.NOTIFY, None, name, "taken" if sent.ok else f"not taken: {sent.failure}")
        return sent

    async def tell(
        self,
        service: str,
        text: str,
        *,
        level: str = "info",
        key: str | None = None,
        lines: Sequence[str] = (),
        stands_for: Sequence[str] = (),
    ) -> None:
        """Put a plain sentence into the ops channel, once a key.

        lines: shown below it, each as it is. stands_for: keys of what is told with it, and not by itself any more.
        """
        now = self.clock()
        name = key or f"word:{now.timestamp()}"
        body: dict[str, object] = {"text": text, "level": level}
        if lines:
            body["lines"] = list(lines)
        await self.store.write(outbox.put_for, name, service, stands_for, now, body=body)
        self.feed.publish("notice")
