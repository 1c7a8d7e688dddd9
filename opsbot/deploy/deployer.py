"""Deployer: deploy and roll back, the story from top to bottom; what to do about one cut short.

    fetch → prepare → install → (wait) → switch → restart → verify → live, or back to the release before

`start` decides and claims; a task that belongs to the Deployer, not to who asked, does the rest. Each phase is in the
store before its work begins (`opsbot.deploy.course`), so that `settle`, in the next process, knows the most that can
have happened: before the switch nothing live has changed and the deployment has failed; one that waits to switch, and
from the switch on, it is taken up where it stands and finished, or undone.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

from opsbot.config import Config
from opsbot.core.access import Origin
from opsbot.core.deployment import (
    CHANGED,
    TAKEN_UP,
    Deployment,
    Facts,
    Kind,
    Phase,
    Refused,
    Release,
    Request,
    Why,
    decide,
    replaces,
)
from opsbot.deploy.course import Course, SetbackError, tried_again
from opsbot.deploy.occupants import end_marked
from opsbot.deploy.place import Place
from opsbot.deploy.places import make_places
from opsbot.deploy.releases import MARGIN, told
from opsbot.deploy.rolling import bring_up
from opsbot.deploy.settle import end_unknown, known, put_right, tidy
from opsbot.deploy.undo import undo
from opsbot.deploy.verify import Verifier
from opsbot.deploy.vetoes import Vetoes, first
from opsbot.deploy.waiting import GivenUp, Waits
from opsbot.feed import Feed
from opsbot.services.errands import Errands
from opsbot.services.port import ServiceManager
from opsbot.source.remote import RemoteError
from opsbot.source.repo import BadRefError, Repository, is_full_id, ref_problem
from opsbot.store import Store, ledger
from opsbot.store.ledger import StaleError

log = logging.getLogger(__name__)

RESTARTED = "opsbot was restarted meanwhile"
GIVING_UP = 30.0
"""Seconds in which one that waits comes to its end when another takes its place."""


class Deployer:
    """Deploys and rolls back. One installation at a time on the whole host: two would not fit its memory."""

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: Feed,
        managers: Mapping[str, ServiceManager],
        verifier: Verifier,
        clock: Callable[[], datetime],
        *,
        margin: int = MARGIN,
        again: float = 10.0,
        redact: Callable[[str], str] = str,
        errands: Errands | None = None,
        vetoes: Vetoes | None = None,
    ) -> None:
        """`managers` by service name; `margin`: bytes that stay free beside one more release.

        again: seconds until a deployment whose end could not be written down is taken up again. redact: takes
        known secrets out of what is written down. errands: runs what is deployed as the services' own users. vetoes:
        asked before a deploy begins by itself, and before any replaces what runs.
        """
        self.verifier = verifier
        self._errands = errands
        self._vetoes = vetoes or Vetoes()
        self._waits = Waits(self._vetoes, lambda: self._paused)
        self._again = again
        self._redact = redact
        self._config = config
        self._store = store
        self._feed = feed
        self._clock = clock
        self._mark = str(config.state.directory)
        self._places = make_places(config, store, managers, verifier, clock, margin, errands)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._courses: dict[str, Course] = {}
        self._after: set[asyncio.Task[None]] = set()
        self._callbacks: list[Callable[[Deployment], None]] = []
        self._closing = False
        self._paused = ""

    # What others call

    async def start(self, request: Request) -> Deployment | Refused:
        """Begin a deployment and return at once; it goes on by itself."""
        place = self._places.get(request.service)
        if refusal := self._not_at_all(request):
            return refusal
        if place is not None and not self.busy(request.service):
            await place.recognise()
        facts = await self._facts(request)
        waiting = self.waiting(request.service)
        if waiting is not None and place is not None:
            fetched = await self._named(request, place, facts.commit)
            if isinstance(fetched, Refused):
                return fetched
            facts = replace(facts, unfinished=None, commit=fetched)
        verdict = decide(request, facts)
        if isinstance(verdict, Refused):
            return verdict
        if request.actor.automatic and (words := await first(self._vetoes.deploys, request.service)):
            return Refused(Why.NOT_NOW, words)
        # A caller that is cancelled in between must not leave a claim behind that nobody works on.
        if waiting is not None and place is not None:
            target = verdict.release if request.kind is Kind.ROLLBACK else facts.commit
            doing = self._instead(request, waiting, place.source.branch, target, facts.live)
        else:
            doing = self._claim(request, facts.live, verdict.release)
        return await asyncio.shield(asyncio.create_task(doing))

    async def _named(self, request: Request, place: Place, commit: str | None) -> str | Refused | None:
        """The commit a person names, fetched: it may be the one that waits. What comes by itself names it in full."""
        if request.kind is Kind.ROLLBACK or commit is not None or request.actor.automatic:
            return commit
        try:
            return await place.repository.bring(request.ref)
        except BadRefError as error:
            return Refused(Why.BAD_REF, str(error))
        except RemoteError as error:
            return Refused(Why.NOT_READY, error.text)

    async def _instead(
        self, request: Request, waiting: Deployment, branch: str, target: str | None, live: Release | None
    ) -> Deployment | Refused:
        """Begin it in the place of one that waits."""
        busy = Refused(
            Why.BUSY,
            f"{request.service} is being deployed already: deployment {waiting.id} waits for a quiet moment. "
            f"Now on its card, or `opsbot now {request.service}`, ends the wait.",
            waiting.id,
        )
        if not replaces(request, target, waiting, branch):
            return busy
        who = f"which {branch} points to now" if request.actor.automatic else f"asked for by {request.actor.name}"
        what = f"a rollback to {target}" if request.kind is Kind.ROLLBACK else f"{target or '':.10}"
        task = self._tasks.get(request.service)
        if task is None or not self._waits.give_up(waiting.id, GivenUp(Phase.REPLACED, f"replaced by {what}, {who}")):
            return busy
        await asyncio.wait({task}, timeout=GIVING_UP)
        return await self._claim(request, live, target if request.kind is Kind.ROLLBACK else None)

    async def _claim(self, request: Request, live: Release | None, release: str | None) -> Deployment | Refused:
        claimed = await self._store.write(ledger.claim, request, self._clock(), live=live, release=release)
        if isinstance(claimed, int):
            return Refused(Why.BUSY, f"{request.service} is being deployed already (deployment {claimed})", claimed)
        self._feed.publish("deployment", claimed.id)
        self._feed.publish("notice")
        self._launch(claimed)
        return claimed

    def _not_at_all(self, request: Request) -> Refused | None:
        if self._closing:
            return Refused(Why.NOT_READY, "opsbot is being stopped; ask again in a moment")
        if self._paused:
            return Refused(Why.NOT_READY, self._paused)
        if request.kind is Kind.DEPLOY and request.ref is not None and (problem := ref_problem(request.ref)):
            return Refused(Why.BAD_REF, problem)
        return None

    async def wait(self, number: int) -> Deployment:
        """The deployment, once it has come to its end.

        Raises:
            LookupError: there is none of that number.
        """
        with self._feed.subscribe() as changes:
            while True:
                found = await self._store.read(ledger.deployment, number)
                if found is None:
                    raise LookupError(f"there is no deployment {number}")
                task = self._tasks.get(found.service)
                if task is not None and self._courses[found.service].value.id == number:
                    await asyncio.wait({task})
                elif found.finished:
                    return found
                else:
                    await changes.wait(1.0)

    def busy(self, service: str) -> bool:
        """Whether a deployment of this service is under way here. One that waits is not: what runs is looked after."""
        return service in self._tasks and self._courses[service].value.phase is not Phase.WAITING

    def waiting(self, service: str) -> Deployment | None:
        """The deployment of a service that waits here before its switch."""
        course = self._courses.get(service)
        return course.value if course is not None and course.value.phase is Phase.WAITING else None

    def withdraw(self, number: int, why: str) -> bool:
        """Have a deployment that waits not be done; False where it does not wait."""
        return self._waits.give_up(number, GivenUp(Phase.SKIPPED, why))

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
        while busy := [task for service, task in self._tasks.items() if self.busy(service)]:
            await asyncio.wait(busy)

    def repository(self, service: str) -> Repository:
        """A service's mirror, for who reads its history.

        Raises:
            KeyError: the service has no source.
        """
        return self._places[service].repository

    def on_finish(self, callback: Callable[[Deployment], None]) -> None:
        """Call this, on the event loop, when a deployment has come to its end. It must not block."""
        self._callbacks.append(callback)

    def forget_output(self, numbers: Iterable[int]) -> None:
        """Remove what the steps of these deployments printed. Blocks."""
        for number in numbers:
            shutil.rmtree(self._config.state.output / str(number), ignore_errors=True)

    async def close(self, grace: float = 5.0) -> None:
        """Stop. What has changed nothing yet ends as failed; a verification gets `grace` seconds to come to its end.

        One that does not is left unfinished, its release running, for the next process to take up; one that waits, too.
        """
        self._closing = True
        for service, task in self._tasks.items():
            if self._courses[service].value.phase not in CHANGED:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace)
        left = [*self._tasks.values(), *self._after]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def settle(self) -> tuple[int, ...]:
        """At the start of the daemon: take up or end what an earlier one left unfinished; the ids of those taken up.

        Only for the one process that holds the state directory. Those taken up go on by themselves (`wait`).
        """
        ended = await asyncio.to_thread(end_marked, self._mark)
        if ended:
            log.warning("ended %s processes that an earlier opsbot left behind", ended)
        if self._errands is not None and (ended := await self._errands.end_left()):
            log.warning("ended %s errands that an earlier opsbot left running", ended)
        unfinished = await self._store.read(ledger.unfinished)
        taken_up = [deployment.id for deployment in unfinished if await self._take_up(deployment)]
        for place in self._places.values():
            try:
                await put_right(place, busy=self.busy(place.name))
            except (OSError, RemoteError) as error:
                # One service whose folders cannot be worked in does not keep opsbot from the others.
                log.warning("the releases of %s could not be put right: %s", place.name, error)
        return tuple(taken_up)

    async def _take_up(self, deployment: Deployment) -> bool:
        place = self._places.get(deployment.service)
        if place is None:
            await self._store.write(end_unknown, deployment, self._clock())
            return False
        course = Course(deployment, place.service, self._store, self._feed, self._clock, self._redact)
        taken_up = deployment.phase in TAKEN_UP
        await course.cut(RESTARTED, failed=not taken_up)
        if taken_up:
            self._launch(course.value, resumed=True)
            return True
        await self._abandon(course, place, f"opsbot was restarted while {_doing(deployment.phase)}")
        return False

    # The task

    def _launch(self, claimed: Deployment, *, resumed: bool = False) -> None:
        place = self._places[claimed.service]
        course = Course(claimed, place.service, self._store, self._feed, self._clock, self._redact)
        self._courses[claimed.service] = course
        self._tasks[claimed.service] = asyncio.get_running_loop().create_task(
            self._run(course, place, resumed=resumed), name=f"deployment {claimed.id} of {claimed.service}"
        )

    async def _run(self, course: Course, place: Place, *, resumed: bool) -> None:
        try:
            while not await self._attempt(course, place, resumed=resumed):
                await asyncio.sleep(self._again)
                resumed = True
        except StaleError:
            log.exception("another process moved on deployment %s of %s", course.value.id, place.name)
        except asyncio.CancelledError:
            if course.value.phase not in TAKEN_UP and not course.value.finished:
                await self._abandon(course, place, f"opsbot was stopped while {_doing(course.value.phase)}")
            raise
        finally:
            if self._courses.get(place.name) is course:
                del self._tasks[place.name], self._courses[place.name]
            if course.value.finished:
                self._finished(course.value, place)

    async def _attempt(self, course: Course, place: Place, *, resumed: bool) -> bool:
        """Bring it to its end; False where even that could not be written down, and is to be tried again."""
        try:
            async with place.lock:
                if resumed and course.value.phase not in TAKEN_UP:
                    await self._abandon(course, place, "opsbot could not go on: its own state could not be written")
                else:
                    await self._go(course, place, resumed=resumed)
        except StaleError:
            raise
        except Exception:
            # The edge of a task nobody waits for: most likely the disk with the state directory is full.
            log.exception("deployment %s of %s could not be brought to its end", course.value.id, place.name)
            return False
        return True

    def _finished(self, deployment: Deployment, place: Place) -> None:
        for callback in self._callbacks:
            try:
                callback(deployment)
            except Exception:
                log.exception("what was to follow the end of deployment %s failed", deployment.id)
        if not self._closing:
            task = asyncio.get_running_loop().create_task(self._tidy(place), name=f"tidy {place.name}")
            self._after.add(task)
            task.add_done_callback(self._after.discard)

    async def _tidy(self, place: Place) -> None:
        try:
            await tidy(place)
        except Exception:
            # The edge of a task nobody waits for; the next deployment's tidying tries again.
            log.exception("tidying %s failed", place.name)

    async def _go(self, course: Course, place: Place, *, resumed: bool) -> None:
        try:
            if course.value.phase is Phase.UNDOING:
                await undo(course, place)
            elif resumed:
                await self._swing(course, place, resumed=True)
            elif course.value.kind is Kind.ROLLBACK:
                await self._return(course, place)
            else:
                await self._bring(course, place)
        except SetbackError as setback:
            await self._set_back(course, place, setback)
        except StaleError:
            raise
        except OSError as error:
            why = await asyncio.to_thread(told, error, place.source.directory)
            await self._set_back(course, place, SetbackError(str(why)))
        except Exception as error:
            log.exception("deployment %s of %s", course.value.id, place.name)
            if not course.value.finished:
                await self._set_back(course, place, SetbackError(f"{type(error).__name__}: {error}"))

    # The story

    async def _bring(self, course: Course, place: Place) -> None:
        """A deploy: its commit is fetched and a release made of it."""
        value = course.value
        await course.move(Phase.FETCHING)
        await place.recognise_locked()
        wanted = value.ref or place.source.branch
        async with course.step(f"fetch {wanted[:10] if is_full_id(wanted) else wanted}") as doing:
            commit = await self._fetch(place, value.ref)
            doing.note = commit[:10]
        request = Request(value.service, value.kind, value.actor, ref=commit)
        facts = replace(await self._facts(request), unfinished=None)
        verdict = decide(request, facts)
        if isinstance(verdict, Refused):
            await course.end(Phase.SKIPPED, verdict.text)
            return
        async with place.installing:
            release = await self._prepare(course, place, commit, facts.live)
        await self._store.write(ledger.add_release, place.name, release)
        await self._swing(course, place)

    async def _fetch(self, place: Place, ref: str | None) -> str:
        try:
            return await place.repository.bring(ref)
        except BadRefError as error:
            raise SetbackError(str(error)) from error
        except RemoteError as error:
            raise SetbackError(error.text) from error

    async def _prepare(self, course: Course, place: Place, commit: str, live: Release | None) -> Release:
        commits, total = await place.repository.commits_between(live.commit if live else None, commit)
        if live is not None and not await place.follows(commit, live.commit):
            text = f"{commit[:10]} does not follow from {live.commit[:10]}: it is older, or the history was rewritten"
            course.remarks.append(text)
        name = await asyncio.to_thread(place.releases.name, commit, self._clock())
        await course.move(
            Phase.PREPARING,
            commit_from=live.commit if live else None,
            release_from=live.name if live else None,
            commit_to=commit,
            release_to=name,
            commits=commits,
            commits_total=total,
        )
        await place.prepare(course, name, commit, live)
        await course.move(Phase.INSTALLING)
        await place.install(course, name, commit, live)
        shown = await place.repository.commit(commit)
        return Release(name, commit, self._clock(), good=False, title=shown.title if shown else "")

    async def _return(self, course: Course, place: Place) -> None:
        """A rollback: its release stands on disk already."""
        await place.recognise_locked()
        facts = await self._store.read(known, place.name)
        back = next((release for release in facts.releases if release.name == course.value.release_to), None)
        if back is None or not await asyncio.to_thread(place.releases.stands, back.name):
            raise SetbackError(f"the folder of release {course.value.release_to} is gone")
        live = facts.live
        await course.change(
            commit_to=back.commit,
            commit_from=live.commit if live else None,
            release_from=live.name if live else None,
        )
        await place.ready(course, back.name)
        await self._swing(course, place)

    async def _swing(self, course: Course, place: Place, *, resumed: bool = False) -> None:
        """Switch, restart, verify; where it was cut short, from the phase that it stands in."""
        name = course.value.release_to or ""
        if course.value.phase not in CHANGED:
            given_up = await self._waits.quiet(course, partial(self._objection, course.value))
            if given_up is not None:
                await course.end(given_up.phase, _sentence(given_up.why))
                await self._discard(course, place)
                return
            await course.move(Phase.SWITCHING)
        if course.value.phase is Phase.SWITCHING or await asyncio.to_thread(place.releases.live) != name:
            await place.lay(course, name)
            async with course.step(f"switch to {name}"):
                await place.switch(name)
        if course.value.phase is Phase.SWITCHING:
            await course.move(Phase.RESTARTING)
        state = await bring_up(course, place, name, resumed=resumed)
        if course.value.phase is Phase.RESTARTING:
            await course.move(Phase.VERIFYING)
        service = place.service
        await place.verify(course, state, name, soak=service.soak, within=service.verify_timeout)
        await self._live(course, place, name)

    async def _objection(self, value: Deployment) -> str:
        """Why one that waits may not be done any more: what would refuse it if it were asked for now."""
        request = Request(value.service, value.kind, value.actor, ref=value.commit_to, release=value.release_to)
        verdict = decide(request, replace(await self._facts(request), unfinished=None))
        return verdict.text if isinstance(verdict, Refused) else ""

    async def _live(self, course: Course, place: Place, name: str) -> None:
        value, note = course.value, "; ".join(course.remarks)
        hold = await self._store.read(ledger.hold, place.name)
        waits = hold.waits if hold else None
        if value.kind is Kind.ROLLBACK and not await place.follows(value.commit_to, value.commit_from):
            blamed = value.commit_from if value.actor.origin is Origin.RECOVERY else None
            wait = await place.wait_past(value, value.commit_from)
            left = value.release_from if value.release_from != name else None
            await course.end(Phase.LIVE, note, live=name, quarantined=blamed, hold=wait, left=left)
            return
        # An older commit than the one that is waited past, deployed by hand, does not end the wait.
        older = waits != value.commit_to and await place.follows(waits, value.commit_to)
        await course.end(Phase.LIVE, note, live=name, lift=not older)

    # When it goes wrong

    async def _set_back(self, course: Course, place: Place, setback: SetbackError) -> None:
        if course.value.phase is Phase.UNDOING:
            await course.end(Phase.STUCK, f"{course.value.note} Going back failed: {setback}. A human is needed.")
        elif course.value.phase in CHANGED:
            course.lasting, course.innocent = setback.lasting, setback.innocent
            await course.move(Phase.UNDOING, note=_sentence(str(setback)))
            await self._go(course, place, resumed=True)
        else:
            await self._discard(course, place)
            blamed = course.value.commit_to if setback.lasting else None
            again = "" if blamed else tried_again(course.value)
            await course.end(Phase.FAILED, _sentence(str(setback)) + again, quarantined=blamed)

    async def _abandon(self, course: Course, place: Place, why: str) -> None:
        """End one that has changed nothing live."""
        await self._discard(course, place)
        await course.cut(why, failed=True)
        await course.end(Phase.FAILED, _sentence(why) + tried_again(course.value))

    async def _discard(self, course: Course, place: Place) -> None:
        name = course.value.release_to
        if name is not None and course.value.kind is Kind.DEPLOY:
            await place.remove(name)

    async def _facts(self, request: Request) -> Facts:
        place = self._places.get(request.service)
        if place is None:
            return Facts(has_source=False)
        facts = await self._store.read(known, request.service)
        commit = request.ref if request.ref is not None and is_full_id(request.ref) else None
        waits = facts.hold.waits if facts.hold else None
        older = commit != waits and await place.follows(waits, commit)
        stopped = (await place.state()).stopped_by_hand
        return replace(facts, commit=commit, older_than_hold=older, stopped_by_hand=stopped)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _doing(phase: Phase) -> str:
    return "it was about to begin" if phase is Phase.PENDING else f"{phase} the new release"
