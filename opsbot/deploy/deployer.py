"""Deployer: deploys and rolls back. What others may ask of it.

`start` decides and claims; a task (`opsbot.deploy.under_way`) does the rest, which stands in `opsbot.deploy.story`.
`settle` takes up what an earlier opsbot left unfinished, as `opsbot.deploy.interrupted` says.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from opsbot.config import Config
from opsbot.core.deployment import (
    CHANGED,
    Deployment,
    DeploymentKind,
    DeploymentRequest,
    RefusalReason,
    Refused,
    Release,
    decide,
    replaces,
)
from opsbot.core.inhibitors import Inhibitors, first_reason
from opsbot.deploy.asking import gather, named
from opsbot.deploy.course import Course
from opsbot.deploy.interrupted import end_left_behind, end_unknown, goes_on
from opsbot.deploy.place import Place
from opsbot.deploy.places import make_places
from opsbot.deploy.releases import MARGIN
from opsbot.deploy.under_way import UnderWay
from opsbot.deploy.upkeep import put_right
from opsbot.deploy.verify import Verifier
from opsbot.deploy.waiting import GivenUp, Successor, Waits
from opsbot.messages import render
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.services.errands import Errands
from opsbot.services.port import ServiceManager
from opsbot.source.remote import RemoteError
from opsbot.source.repo import Repository, ref_problem
from opsbot.store import Store, ledger

log = logging.getLogger(__name__)

STOPPING = "opsbot is being stopped; ask again in a moment"


class Deployer:
    """Deploys and rolls back. One installation at a time on the whole host: two would not fit its memory."""

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: ChangeNotifier,
        managers: Mapping[str, ServiceManager],
        verifier: Verifier,
        clock: Callable[[], datetime],
        *,
        margin: int = MARGIN,
        again: float = 10.0,
        redact: Callable[[str], str] = str,
        errands: Errands | None = None,
        vetoes: Inhibitors | None = None,
    ) -> None:
        """`managers` by service name; `margin`: bytes that stay free beside one more release.

        again: seconds until a deployment whose end could not be written down is taken up again. redact: takes
        known secrets out of what is written down. errands: runs what is deployed as the services' own users. vetoes:
        asked before a deploy begins by itself, and before any replaces what runs.
        """
        self.verifier = verifier
        self._errands = errands
        self._vetoes = vetoes or Inhibitors()
        self._waits = Waits(self._vetoes, lambda: self._paused)
        self._under_way = UnderWay(store, feed, self._waits, self._course, again)
        self._redact = redact
        self._config = config
        self._store = store
        self._feed = feed
        self._clock = clock
        self._places = make_places(config, store, managers, verifier, clock, margin, errands)
        self._paused = ""

    # What others call

    async def start(self, request: DeploymentRequest) -> Deployment | Refused:
        """Begin a deployment and return at once; it goes on by itself."""
        place = self._places.get(request.service)
        if refusal := self._not_at_all(request):
            return refusal
        if place is not None and not self.busy(request.service):
            await place.recognise()
        facts = await gather(place, request)
        waiting = self.waiting(request.service)
        if waiting is not None and place is not None:
            fetched = await named(place, request, facts.commit)
            if isinstance(fetched, Refused):
                return fetched
            facts = replace(facts, unfinished=None, commit=fetched)
        verdict = decide(request, facts)
        if isinstance(verdict, Refused):
            return verdict
        if request.actor.automatic and (why := await first_reason(self._vetoes.deploys, request.service)):
            return Refused(RefusalReason.NOT_NOW, render(why))
        # A caller that is cancelled in between must not leave a claim behind that nobody works on.
        if waiting is not None and place is not None:
            target = verdict.release if request.kind is DeploymentKind.ROLLBACK else facts.commit
            doing = self._instead(request, waiting, place.source.branch, target, facts.live)
        else:
            doing = self._claim(request, facts.live, verdict.release)
        return await asyncio.shield(asyncio.create_task(doing))

    async def _instead(
        self, request: DeploymentRequest, waiting: Deployment, branch: str, target: str | None, live: Release | None
    ) -> Deployment | Refused:
        """Begin it in the place of one that waits, which stands aside until this one is ready."""
        busy = Refused(
            RefusalReason.BUSY,
            f"{request.service} is being deployed already: deployment {waiting.id} waits for a quiet moment. "
            f"Now on its card, or `opsbot now {request.service}`, ends the wait.",
            waiting.id,
        )
        if not replaces(request, target, waiting, branch):
            return busy
        who = f"which {branch} points to now" if request.actor.automatic else f"asked for by {request.actor.name}"
        what = f"a rollback to {target}" if request.kind is DeploymentKind.ROLLBACK else f"{target or '':.10}"
        release = target if request.kind is DeploymentKind.ROLLBACK else None
        words = f"{what}, {who}"

        async def claim(value: Deployment) -> Deployment | Refused:
            return await self._claim(request, live, release, instead_of=replace(value, note=words))

        successor = Successor(words, claim)
        if not self._waits.make_way(waiting.id, successor):
            return busy
        return await successor.begun or Refused(RefusalReason.NOT_READY, STOPPING)

    async def _claim(
        self,
        request: DeploymentRequest,
        live: Release | None,
        release: str | None,
        instead_of: Deployment | None = None,
    ) -> Deployment | Refused:
        claimed = await self._store.write(
            ledger.claim, request, self._clock(), live=live, release=release, instead_of=instead_of
        )
        if isinstance(claimed, int):
            return Refused(
                RefusalReason.BUSY, f"{request.service} is being deployed already (deployment {claimed})", claimed
            )
        if instead_of is not None:
            self._feed.publish("deployment", instead_of.id)
        self._feed.publish("deployment", claimed.id)
        self._feed.publish("notice")
        self._under_way.launch(claimed, self._places[claimed.service])
        return claimed

    def _not_at_all(self, request: DeploymentRequest) -> Refused | None:
        if self._under_way.closing:
            return Refused(RefusalReason.NOT_READY, STOPPING)
        if self._paused:
            return Refused(RefusalReason.NOT_READY, self._paused)
        if request.kind is DeploymentKind.DEPLOY and request.ref is not None and (problem := ref_problem(request.ref)):
            return Refused(RefusalReason.BAD_REF, problem)
        return None

    async def wait(self, number: int) -> Deployment:
        """The deployment, once it has come to its end.

        Raises:
            LookupError: there is none of that number.
        """
        return await self._under_way.wait(number)

    def busy(self, service: str) -> bool:
        """Whether a deployment of this service is under way here. One that waits is not: what runs is looked after."""
        return self._under_way.busy(service)

    def waiting(self, service: str) -> Deployment | None:
        """The deployment of a service that waits here before its switch."""
        return self._under_way.waiting(service)

    def withdraw(self, number: int, why: str) -> bool:
        """Have a deployment that waits not be done; False where it does not wait."""
        return self._waits.give_up(number, GivenUp(why))

    def hurry(self, number: int, by: str) -> bool:
        """End the wait of a deployment before its switch; False where it does not wait."""
        return self._waits.hurry(number, by)

    def pause(self, why: str) -> None:
        """Begin no more deployments until `unpause`; `why` is said to who asks. Those under way go on."""
        self._paused = why

    def unpause(self) -> None:
        """Begin deployments again."""
        self._paused = ""

    async def idle(self) -> None:
        """Wait until no deployment is under way."""
        await self._under_way.idle()

    def repository(self, service: str) -> Repository:
        """A service's mirror, for who reads its history.

        Raises:
            KeyError: the service has no source.
        """
        return self._places[service].repository

    def on_finish(self, callback: Callable[[Deployment], None]) -> None:
        """Call this, on the event loop, when a deployment has come to its end. It must not block."""
        self._under_way.listen(callback)

    def forget_output(self, numbers: Iterable[int]) -> None:
        """Remove what the steps of these deployments printed. Blocks."""
        for number in numbers:
            shutil.rmtree(self._config.state.output / str(number), ignore_errors=True)

    async def close(self, grace: float = 5.0) -> None:
        """Stop. What has changed nothing yet ends as failed; a verification gets `grace` seconds to come to its end.

        One that does not is left unfinished, its release running, for the next process to take up; one that waits, too.
        """
        await self._under_way.close(grace)

    async def settle(self) -> tuple[int, ...]:
        """At the start of the daemon: take up or end what an earlier one left unfinished; the ids of those taken up.

        Only for the one process that holds the state directory. Those taken up go on by themselves (`wait`).
        """
        await end_left_behind(str(self._config.state.directory), self._errands)
        going = await self._going_on([])
        # What stood aside for one that was ended just now waits again.
        going += await self._going_on([each.id for each in going])
        # Their folders are put right before any of them goes on: one that waited may switch in that very moment.
        changing = {each.service for each in going if each.phase in CHANGED}
        for place in self._places.values():
            try:
                await put_right(place, busy=place.name in changing)
            except (OSError, RemoteError) as error:
                # One service whose folders cannot be worked in does not keep opsbot from the others.
                log.warning("the releases of %s could not be put right: %s", place.name, error)
        for each in going:
            self._under_way.launch(each, self._places[each.service], resumed=True)
        return tuple(each.id for each in going)

    async def _going_on(self, known: Sequence[int]) -> list[Deployment]:
        """Those of the unfinished deployments, but for the known ones, that go on; the others are ended here."""
        going = []
        for deployment in await self._store.read(ledger.unfinished):
            place = self._places.get(deployment.service)
            if deployment.id in known:
                continue
            if place is None:
                await self._store.write(end_unknown, deployment, self._clock())
                continue
            course = self._course(deployment, place)
            if await goes_on(course, place):
                going.append(course.value)
        return going

    def _course(self, value: Deployment, place: Place) -> Course:
        return Course(value, place.service, self._store, self._feed, self._clock, self._redact)
