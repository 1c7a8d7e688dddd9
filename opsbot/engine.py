"""Engine: everything a front end may ask. A slash command, a button, the command line and a hook make the same calls.

Each call says who asks, is checked against the ranks, is written into the audit log, and answers with a value: what was
asked for, or a `Refused` with the reason. `open_engine` in `opsbot.wiring` puts the parts together.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from opsbot.config import Config
from opsbot.core.access import Action, Actor, Origin, Rank
from opsbot.core.deployment import Deployment, Hold, Kind, Refused, Release, Request, Why
from opsbot.core.model import (
    Acknowledgement,
    AuditEntry,
    Incident,
    Notice,
    Proof,
    Silence,
)
from opsbot.core.subjects import is_host
from opsbot.core.windows import Maintenance, maintenance
from opsbot.deploy.deployer import Deployer
from opsbot.deploy.rolling import restart_in_turn
from opsbot.feed import Feed
from opsbot.gauges.drift import Drift
from opsbot.services.log_levels import at_least
from opsbot.services.port import LogLine, LogQuery, ManagerError, ServiceManager, ServiceState
from opsbot.source.poll import Outcome, Polled, Poller
from opsbot.standing import ServiceStatus, Standings
from opsbot.store import Store, acks, audit, channel_state, ledger, outbox, storms, watchbook
from opsbot.watch import Watcher
from opsbot.watch.vetoes import Vetoes
from opsbot.words import duration

if TYPE_CHECKING:
    from opsbot.chart import Memory
    from opsbot.core.account import Account
    from opsbot.notify.courier import Sent
    from opsbot.notify.notifiers import Notifiers
    from opsbot.watch.leaks import Growth

T = TypeVar("T")

SILENCE = timedelta(hours=1)
"""How long a silence lasts when nothing is said."""


class Engine:
    """What every front end may call."""

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
    ) -> None:
        """Take the parts; `opsbot.wiring` makes them."""
        self.config = config
        self.store = store
        self.feed = feed
        self.managers = managers
        self.deployer = deployer
        self.watcher = watcher
        self.clock = clock
        self._redact = redact
        self.standings = Standings(config, store, managers, watcher, clock)
        """How all of it stands, for those who may see it; likewise the wiring's to complete."""
        self.poller: Poller | None = None
        """Asks the remotes; set by the wiring, which makes it after the engine's other parts."""
        self.growth: Mapping[str, Growth] = {}
        """How the memory of each service was last judged. This and what follows is the wiring's, too."""
        self.drift = Drift()
        """How this host's clock stands to Discord's."""
        self.certificates: Mapping[str, datetime] = {}
        """When the certificate of each server expires that is watched."""
        self.notifiers: Notifiers | None = None
        """Those beside Discord; likewise."""
        self.vetoes = Vetoes()
        """What recovery and deploys ask before they act; set by the wiring, as what follows."""

    # Who may do what

    def rank(self, actor: Actor) -> Rank:
        """The actor's rank."""
        return self.config.roles.of(actor)

    def services(self, actor: Actor, action: Action = Action.STATUS) -> list[str]:
        """The services an actor may name for this action; none for who lacks the rank (for autocompletion)."""
        return list(self.config.services) if self.config.roles.allow(actor, action) else []

    async def admit(self, actor: Actor, action: Action, service: str | None = None, detail: str = "") -> Refused | None:
        """Why this may not be asked, or None. A refusal for lack of rank is written into the audit log."""
        if not self.config.roles.allow(actor, action):
            refusal = Refused(Why.NO_RANK, f"You may not use {action}. Ask an admin of opsbot for a role that may.")
            await self._record(actor, action, service, detail, refusal)
            return refusal
        if service is not None and service not in self.config.services:
            from difflib import get_close_matches  # noqa: PLC0415 - seldom asked, and it takes room

            near = get_close_matches(service, self.config.services, 1)
            hint = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(self.config.services)}."
            refusal = Refused(Why.UNKNOWN_SERVICE, f"There is no service {service[:64]!r}.{hint}")
            await self._record(actor, action, service[:64], detail, refusal)
            return refusal
        return None

    async def _record(self, actor: Actor, action: Action, service: str | None, detail: str, result: object) -> None:
        refused = isinstance(result, Refused)
        await self.store.write(
            audit.record,
            actor,
            action,
            service or "",
            self.clock(),
            allowed=not (isinstance(result, Refused) and result.why is Why.NO_RANK),
            detail=detail[:500],
            result=f"refused: {result.text}" if isinstance(result, Refused) and refused else str(result),
        )

    async def note(self, actor: Actor, action: Action, service: str, detail: str, result: str) -> None:
        """Write down what was asked and came to nothing before it reached a part of the engine (a stale button)."""
        await self._record(actor, action, service, detail, result)

    # Looking

    async def status(self, actor: Actor, service: str | None = None) -> list[ServiceStatus] | Refused:
        """How the services stand, from what is known now."""
        refusal = await self.admit(actor, Action.STATUS, service)
        if refusal:
            return refusal
        await self._record(actor, Action.STATUS, service, "", "shown")
        return await self.standings.of([service] if service else list(self.config.services))

    async def health(self, actor: Actor, service: str | None = None) -> list[ServiceStatus] | Refused:
        """Run the checks now, and how the services stand after them."""
        refusal = await self.admit(actor, Action.HEALTH, service)
        if refusal:
            return refusal
        names = [service] if service else list(self.config.services)
        await self.watcher.look(names)
        await self._record(actor, Action.HEALTH, service, "", "checked")
        return await self.standings.of(names)

    async def memory(self, service: str, span: timedelta = timedelta(hours=24)) -> "Memory | None":
        """What is to be drawn of a service's memory; None where too little is known. For who was shown its status."""
        now = self.clock()
        from opsbot.watch.memory_story import memory_of  # noqa: PLC0415 - seldom drawn, and it takes room

        return await memory_of(self.store, service, now - span, now, self.growth.get(service))

    async def kept_memory(self, notice: Notice) -> "Memory | None":
        """What is to be drawn beside a notice; None where it has no chart."""
        kept = notice.body.get("chart")
        from opsbot.watch.memory_story import drawn_again  # noqa: PLC0415 - seldom drawn, and it takes room

        return await drawn_again(self.store, notice.service, kept) if isinstance(kept, dict) and kept else None

    async def maintenance(self, actor: Actor) -> Maintenance | Refused:
        """The maintenance windows that are open, and the next three."""
        refusal = await self.admit(actor, Action.WINDOWS)
        if refusal:
            return refusal
        await self._record(actor, Action.WINDOWS, None, "", "shown")
        return maintenance(self.config.windows, self.clock())

    async def history(
        self, actor: Actor, service: str | None = None, limit: int = 20
    ) -> tuple[list[Deployment], list[Incident]] | Refused:
        """The latest deployments and incidents, newest first."""
        refusal = await self.admit(actor, Action.HISTORY, service)
        if refusal:
            return refusal
        await self._record(actor, Action.HISTORY, service, "", "shown")
        return (
            await self.store.read(ledger.deployments, service, limit),
            await self.store.read(watchbook.incidents, service, limit),
        )

    async def incidents(
        self, actor: Actor, service: str | None = None, limit: int = 20, *, still_open: bool = False
    ) -> list[Incident] | Refused:
        """The latest incidents, newest first; `still_open`: only those that are not over."""
        # What is of the host has incidents, too, and is no service: it is asked for by its subject.
        known = service is not None and is_host(service)
        refusal = await self.admit(actor, Action.INCIDENTS, None if known else service)
        if refusal:
            return refusal
        await self._record(actor, Action.INCIDENTS, service, "open" if still_open else "", "shown")
        return await self.store.read(watchbook.incidents, service, limit, still_open=still_open)

    async def why(self, actor: Actor, service: str) -> "Account | Refused":
        """Why a service stands as it does: one causal line, and what it rests on."""
        refusal = await self.admit(actor, Action.WHY, service)
        if refusal:
            return refusal
        from opsbot.core.account import account  # noqa: PLC0415 - seldom asked, and it takes room
        from opsbot.watch.inquiry import facts  # noqa: PLC0415

        found = account(await facts(self.store, self.managers[service], service, self.clock(), self._redact))
        await self._record(actor, Action.WHY, service, "", "shown")
        return found

    async def logs(self, actor: Actor, service: str, query: LogQuery) -> list[LogLine] | Refused:
        """Lines a service wrote, oldest first."""
        refusal = await self.admit(actor, Action.LOGS, service, detail=_asked(query))
        if refusal:
            return refusal
        try:
            lines = await self.managers[service].logs(service, query)
        except ManagerError as error:
            failure = Refused(Why.BAD_INPUT, str(error))
            await self._record(actor, Action.LOGS, service, _asked(query), failure)
            return failure
        await self._record(actor, Action.LOGS, service, _asked(query), f"{len(lines)} lines")
        return [replace(line, text=self._redact(line.text)) for line in lines]

    async def follow(self, actor: Actor, service: str) -> AsyncIterator[LogLine] | Refused:
        """Lines as a service writes them, until the iterator is closed."""
        refusal = await self.admit(actor, Action.LOGS, service, detail="follow")
        if refusal:
            return refusal
        await self._record(actor, Action.LOGS, service, "follow", "following")
        return self._clean(self.managers[service].follow(service))

    async def tail(self, actor: Actor, service: str, query: LogQuery) -> AsyncIterator[LogLine] | Refused:
        """The last lines that fit, then those that follow, until the iterator is closed; what both have comes once.

        Those that follow are sifted by level alone: a hostile pattern would take hours.
        """
        following = await self.follow(actor, service)
        if isinstance(following, Refused):
            return following
        before = await self.logs(actor, service, query)
        if isinstance(before, Refused):
            return before
        return _joined(before, following, query.level)

    async def _clean(self, lines: AsyncIterator[LogLine]) -> AsyncIterator[LogLine]:
        async with aclosing(lines):  # type: ignore[type-var]
            async for line in lines:
                yield replace(line, text=self._redact(line.text))

    async def audit(
        self, actor: Actor, service: str | None = None, member: str | None = None, limit: int = 50
    ) -> list[AuditEntry] | Refused:
        """The audit log, newest first. `member`: only what this id did."""
        refusal = await self.admit(actor, Action.AUDIT, service)
        if refusal:
            return refusal
        await self._record(actor, Action.AUDIT, service, member or "", "shown")
        return await self.store.read(audit.entries, service, member, limit)

    async def releases(self, actor: Actor, service: str) -> list[Release]:
        """The kept releases but the live one, newest first; none for who may not roll back (for autocompletion)."""
        if not self.config.roles.allow(actor, Action.ROLLBACK) or service not in self.config.services:
            return []
        live = await self.store.read(ledger.live, service)
        return [r for r in await self.store.read(ledger.releases, service) if live is None or r.name != live.release]

    async def deployment(self, number: int) -> Deployment | None:
        """One deployment, for its card."""
        return await self.store.read(ledger.deployment, number)

    async def incident(self, number: int) -> Incident | None:
        """One incident, for its card."""
        return await self.store.read(watchbook.incident, number)

    async def proof(self) -> Proof | None:
        """When it was last proven that alerts arrive; None where it was never tried."""
        return await self.store.read(channel_state.proof, self.config.discord.ops_channel_id)

    async def alerts(self, limit: int = 10) -> list[Notice]:
        """The latest notices about trouble, newest first, for the dashboard."""
        return await self.store.read(outbox.recent, limit)

    # Doing

    async def deploy(
        self, actor: Actor, service: str, ref: str | None = None, reason: str = ""
    ) -> Deployment | Refused:
        """Begin a deployment; it goes on by itself, its card and `history` tell how."""
        return await self._start(Action.DEPLOY, Request(service, Kind.DEPLOY, actor, ref=ref or None, reason=reason))

    async def rollback(
        self, actor: Actor, service: str, release: str | None = None, reason: str = ""
    ) -> Deployment | Refused:
        """Begin to return to a kept release; None: the previous good one."""
        return await self._start(
            Action.ROLLBACK, Request(service, Kind.ROLLBACK, actor, release=release or None, reason=reason)
        )

    async def update(self, actor: Actor, service: str) -> Polled | Refused:
        """Ask the remote now, and begin to deploy what is new; with `auto` off too, as somebody asked for it.

        Holds, the wait after a rollback and the quarantine are kept: they are for people as well as for the poll here.
        """
        refusal = await self.admit(actor, Action.DEPLOY, service, "update")
        if refusal:
            return refusal
        source = self.config.services[service].source
        if self.poller is None or source is None:
            lacking = Refused(Why.NO_SOURCE, f"{service} has no source to update from: add [services.{service}.source]")
            await self._record(actor, Action.DEPLOY, service, "update", lacking)
            return lacking
        polled = await self.poller.poll(service, actor.origin, actor)
        quarantined = await self.store.read(ledger.quarantined, service)
        if polled.outcome is Outcome.NO_NEWS and polled.head in quarantined:
            words = f"{polled.head[:10]} failed before and is quarantined; a deploy by hand may try it again"
            polled = Polled(Outcome.WAITING, words, polled.head)
        hold = await self.store.read(ledger.hold, service)
        if polled.outcome is Outcome.NO_NEWS and hold is not None and polled.head == hold.waits:
            words = "it was rolled back; updates wait for a newer commit, or for resume"
            polled = Polled(Outcome.WAITING, words, polled.head)
        by_hand = polled.outcome is Outcome.NOTED and not source.auto and hold is None
        if by_hand and polled.head not in quarantined:
            begun = await self.deploy(actor, service, polled.head, "update")
            if isinstance(begun, Refused):
                return begun
            words = f"{(polled.head or '')[:10]} is being deployed"
            polled = Polled(Outcome.DEPLOYING, words, polled.head, begun.id)
        await self._record(actor, Action.DEPLOY, service, "update", polled.text)
        return polled

    async def _start(self, action: Action, request: Request) -> Deployment | Refused:
        detail = request.ref or request.release or ""
        refusal = await self.admit(request.actor, action, request.service, detail)
        if refusal:
            return refusal
        begun = await self.deployer.start(request)
        await self._record(
            request.actor,
            action,
            request.service,
            detail,
            begun if isinstance(begun, Refused) else f"deployment {begun.id}",
        )
        return begun

    async def now(self, actor: Actor, service: str, number: int | None = None) -> Deployment | Refused:
        """End what a deployment waits for before it replaces what runs; it goes on by itself.

        number: the one that was looked at; refused where that one does not wait. None: the service's that waits.
        """
        detail = "" if number is None else str(number)
        refusal = await self.admit(actor, Action.NOW, service, detail)
        if refusal:
            return refusal
        found = self.deployer.waiting(service)
        if found is None or number not in {None, found.id} or not self.deployer.hurry(found.id, actor.name):
            refusal = Refused(Why.NOT_WAITING, await self._not_waiting(service, number))
            await self._record(actor, Action.NOW, service, detail, refusal)
            return refusal
        await self._record(actor, Action.NOW, service, detail, f"deployment {found.id} waits no longer")
        return found

    async def _not_waiting(self, service: str, number: int | None) -> str:
        if number is not None:
            return f"Deployment {number} of {service} does not wait any more."
        if kept := self.watcher.waits(service):
            return f"No deployment of {service} waits, but its recovery does ({kept}): restart does it now."
        return f"No deployment of {service} waits for anything."

    async def advice(self, service: str) -> str | None:
        """What speaks against a restart of the service at this moment, for a person who asks for one; None: nothing."""
        return await self.vetoes.advice(service) if service in self.config.services else None

    async def restart(self, actor: Actor, service: str) -> ServiceState | Refused:
        """Restart a service now, and forget what recovery counted against it. What speaks against it is advice only.

        Several units are restarted one after the other: the next one when the one before is well again.
        """
        refusal = await self.admit(actor, Action.RESTART, service)
        if refusal:
            return refusal
        if self.deployer.busy(service):
            busy = Refused(Why.BUSY, f"{service} is being deployed; it is restarted by that.")
            await self._record(actor, Action.RESTART, service, "", busy)
            return busy
        against = await self.advice(service)
        self.watcher.touched(service, f"restarted by {actor.name}{f', against advice: {against}' if against else ''}")
        try:
            with self.watcher.in_hand(service):
                state = await self._restart(service)
        except ManagerError as error:
            failure = Refused(Why.NOT_READY, f"{service} did not restart: {error}")
            await self._record(actor, Action.RESTART, service, "", failure)
            return failure
        await self._record(actor, Action.RESTART, service, "", f"running, pid {state.pid}")
        return state

    async def _restart(self, service: str) -> ServiceState:
        manager = self.managers[service]
        if not manager.parts(service):
            return await manager.restart(service)
        return await restart_in_turn(manager, self.deployer.verifier, self.config.services[service])

    async def silence(
        self, actor: Actor, service: str, length: timedelta | None = None, reason: str = ""
    ) -> Silence | Refused:
        """No alerts of a service for so long (an hour where nothing is said, never longer than the configured most)."""
        refusal = await self.admit(actor, Action.SILENCE, service, reason)
        if refusal:
            return refusal
        now = self.clock()
        wanted = SILENCE if length is None else length
        most = self.config.silence_max
        if not timedelta(0) < wanted <= most:
            bad = Refused(Why.BAD_INPUT, f"A silence lasts up to {duration(most)}; {duration(wanted)} is not possible.")
            await self._record(actor, Action.SILENCE, service, reason, bad)
            return bad
        silence = Silence(service, actor.name, reason[:300], now, now + wanted)
        await self.store.write(watchbook.put_silence, silence)
        await self._record(actor, Action.SILENCE, service, reason, f"until {silence.until:%Y-%m-%d %H:%M} UTC")
        self.feed.publish("service")
        self.feed.publish("incident")
        return silence

    async def acknowledge(
        self, actor: Actor, service: str | None, reason: str, incident: int | None = None
    ) -> Acknowledgement | Refused:
        """Take an open incident upon oneself: no reminders and no escalation until it is over or gets worse.

        incident: the one that was looked at; refused where that one is over by now. None: the service's open one.
        """
        refusal = await self.admit(actor, Action.ACK, service, reason)
        if refusal:
            return refusal
        now = self.clock()
        opened = await self._to_acknowledge(service, incident)
        if not reason.strip():
            opened = Refused(Why.BAD_INPUT, "An acknowledgement needs a reason: what are you going to do about it?")
        if isinstance(opened, Incident):
            value = Acknowledgement(opened.id, actor.name, self._redact(reason.strip())[:300], now)
            if await self.store.write(acks.acknowledge, value):
                self.feed.publish("incident", opened.id)
                self.feed.publish("notice")
                await self._record(actor, Action.ACK, opened.service, reason, f"incident {opened.id}")
                return value
            opened = Refused(Why.NO_INCIDENT, f"{opened.service} is well again: there is nothing to acknowledge.")
        await self._record(actor, Action.ACK, service, reason, opened)
        return opened

    async def acknowledge_storm(self, actor: Actor, number: int, reason: str) -> int | Refused:
        """Take all of a storm that is open and that nobody has taken; how many incidents these are.

        number: the storm's notice.
        """
        refusal = await self.admit(actor, Action.ACK, None, reason)
        if refusal:
            return refusal
        if not reason.strip():
            refused = Refused(Why.BAD_INPUT, "An acknowledgement needs a reason: what are you going to do about it?")
            await self._record(actor, Action.ACK, None, reason, refused)
            return refused
        why = self._redact(reason.strip())[:300]
        taken = await self.store.write(storms.acknowledge, number, actor.name, why, self.clock())
        for incident in taken:
            self.feed.publish("incident", incident.id)
            await self._record(actor, Action.ACK, incident.service, reason, f"incident {incident.id}")
        if not taken:
            refused = Refused(Why.NO_INCIDENT, "Nothing of it is open and not taken: there is nothing to acknowledge.")
            await self._record(actor, Action.ACK, None, reason, refused)
            return refused
        self.feed.publish("notice")
        return len(taken)

    async def storm(self, number: int) -> storms.Seen:
        """How a storm stands; number: its notice. Without incidents where it is not remembered any more."""
        return await self.store.read(storms.seen, number)

    async def _to_acknowledge(self, service: str | None, number: int | None) -> Incident | Refused:
        if number is not None:
            found = await self.store.read(watchbook.incident, number)
        else:
            found = (await self.store.read(watchbook.open_incidents)).get(service or "")
        if found is None or found.closed_at is not None:
            name = found.service if found is not None else service or "It"
            return Refused(Why.NO_INCIDENT, f"{name} has no open incident: there is nothing to acknowledge.")
        return found

    async def hold(self, actor: Actor, service: str, reason: str = "") -> Hold | Refused:
        """No deploys until resumed."""
        refusal = await self.admit(actor, Action.HOLD, service, reason)
        if refusal:
            return refusal
        hold = Hold(service, actor.name, reason[:300], self.clock())
        await self.store.write(ledger.put_hold, hold)
        await self._record(actor, Action.HOLD, service, reason, "held")
        self.feed.publish("service")
        return hold

    async def resume(self, actor: Actor, service: str, reason: str = "") -> bool | Refused:
        """End the hold, the wait after a rollback and the silence of a service; whether there was any."""
        refusal = await self.admit(actor, Action.RESUME, service, reason)
        if refusal:
            return refusal
        held = await self.store.write(ledger.lift_hold, service)
        silenced = await self.store.write(watchbook.lift_silence, service, self.clock())
        await self.watcher.resumed(service, actor.name)
        await self._record(actor, Action.RESUME, service, reason, "resumed" if held or silenced else "nothing was held")
        self.feed.publish("service")
        if held and self.poller is not None:
            self.poller.wake(service, Origin.POLL)
        return held or silenced

    async def notify(self, actor: Actor, name: str) -> "Sent | Refused":
        """Try a notifier with a message that says it is a test; what came of it."""
        refusal = await self.admit(actor, Action.NOTIFY, detail=name)
        if refusal:
            return refusal
        if self.notifiers is None or name not in self.config.notifiers:
            there = (
                f"There are: {', '.join(self.config.notifiers)}." if self.config.notifiers else "None is configured."
            )
            unknown = Refused(Why.BAD_INPUT, f"There is no notifier {name[:64]!r}. {there}")
            await self._record(actor, Action.NOTIFY, None, name, unknown)
            return unknown
        sent = await self.notifiers.trial(name, actor.name)
        await self._record(actor, Action.NOTIFY, None, name, "taken" if sent.ok else f"not taken: {sent.failure}")
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


async def _joined(
    before: list[LogLine], following: AsyncIterator[LogLine], level: str | None
) -> AsyncIterator[LogLine]:
    seen = Counter(before)
    last = before[-1].at if before else None
    async with aclosing(following):  # type: ignore[type-var]
        for line in before:
            yield line
        async for line in following:
            if last is not None and line.at <= last and seen[line] > 0:
                seen[line] -= 1
            elif level is None or at_least(line.level, level):
                yield line


def _asked(query: LogQuery) -> str:
    """A question for log lines, as the audit log keeps it."""
    words = [f"{query.lines} lines"]
    if query.since is not None:
        words.append(f"since {query.since:%Y-%m-%d %H:%M} UTC")
    if query.level is not None:
        words.append(f"level {query.level}")
    if query.grep is not None:
        words.append(f"matching {query.grep!r}")
    if query.this_run:
        words.append("this run")
    return ", ".join(words)
