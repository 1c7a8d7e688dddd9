"""Deployer: deploy and roll back, the story from top to bottom; what to do about one cut short.

    fetch → prepare → install → switch → restart → verify → live, or back to the release before

`start` decides and claims; a task that belongs to the Deployer, not to who asked, does the rest. Each phase is in the
store before its work begins (`opsbot.course`), so that `settle`, in the next process, knows the most that can have
happened: before the switch nothing live has changed and the deployment has failed; from the switch on it is taken up
where it stands and finished, or undone.
"""

import asyncio
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from opsbot.config import Config, Service, Source, Strategy
from opsbot.core.access import Origin
from opsbot.core.deployment import (
    CHANGED,
    Deployment,
    Facts,
    Hold,
    Kind,
    Phase,
    Refused,
    Release,
    Request,
    Why,
    advance,
    decide,
    previous_good,
)
from opsbot.core.model import Live, NoticeKind
from opsbot.course import Course, SetbackError
from opsbot.feed import Feed
from opsbot.occupants import end_marked
from opsbot.prepare import Preparation
from opsbot.releases import MARGIN, ReleaseError, Releases
from opsbot.remote import RemoteError
from opsbot.repo import BadRefError, Repository, ref_problem
from opsbot.services.port import Activity, LogQuery, ManagerError, ServiceManager, ServiceState
from opsbot.store import Store, ledger, outbox
from opsbot.store.ledger import StaleError
from opsbot.verify import Judgement, Verifier

log = logging.getLogger(__name__)

UNDO_WITHIN = timedelta(seconds=60)
"""How long a release that was good before may take to pass its checks again."""
OLDER_TRIED = 2
"""Good releases that are tried, besides the one before, when that one is not well either."""
FULL_ID = (40, 64)
LOG_LINES = 15
RESTARTED = "opsbot was restarted meanwhile"


@dataclass(frozen=True, slots=True)
class Place:
    """What belongs to one service that is deployed."""

    service: Service
    source: Source
    repository: Repository
    releases: Releases
    preparation: Preparation
    tidying: asyncio.Lock


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
    ) -> None:
        """`managers` by service name; `margin`: bytes that stay free beside one more release."""
        self._config = config
        self._store = store
        self._feed = feed
        self._managers = managers
        self._verifier = verifier
        self._clock = clock
        self._mark = str(config.state.directory)
        self._places = {
            service.name: self._place(service, service.source, margin)
            for service in config.services.values()
            if service.source is not None
        }
        self._installing = asyncio.Semaphore(1)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._courses: dict[str, Course] = {}
        self._after: set[asyncio.Task[None]] = set()
        self._callbacks: list[Callable[[Deployment], None]] = []
        self._closing = False

    def _place(self, service: Service, source: Source, margin: int) -> Place:
        repository = Repository(source, self._mark)
        releases = Releases(source, margin)
        preparation = Preparation(repository, releases, self._config.state.output, self._mark)
        return Place(service, source, repository, releases, preparation, asyncio.Lock())

    # What others call

    async def start(self, request: Request) -> Deployment | Refused:
        """Begin a deployment and return at once; it goes on by itself."""
        place = self._places.get(request.service)
        if refusal := self._not_at_all(request, place):
            return refusal
        facts = await self._facts(request)
        verdict = decide(request, facts)
        if isinstance(verdict, Refused):
            return verdict
        claimed = await self._store.write(
            ledger.claim, request, self._clock(), live=facts.live, release=verdict.release
        )
        if isinstance(claimed, int):
            return Refused(Why.BUSY, f"{request.service} is being deployed already (deployment {claimed})", claimed)
        self._feed.publish("deployment", claimed.id)
        self._feed.publish("notice")
        self._launch(claimed)
        return claimed

    def _not_at_all(self, request: Request, place: Place | None) -> Refused | None:
        if self._closing:
            return Refused(Why.NOT_READY, "opsbot is being stopped; ask again in a moment")
        if place is not None and place.source.strategy is not Strategy.RELEASES:
            text = f'{request.service}: strategy = "{place.source.strategy}" cannot be deployed by this version'
            return Refused(Why.NOT_READY, f'{text}; use strategy = "releases"')
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
        """Whether a deployment of this service is under way here."""
        return service in self._tasks

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

    async def close(self, grace: float = 10.0) -> None:
        """Stop. What has changed nothing yet ends as failed; a verification gets `grace` seconds to come to its end.

        One that does not is left unfinished, its release running, for the next process to take up.
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

    # The task

    def _launch(self, claimed: Deployment, *, resumed: bool = False) -> None:
        place = self._places[claimed.service]
        course = Course(claimed, place.service, self._store, self._feed, self._clock)
        self._courses[claimed.service] = course
        task = asyncio.get_running_loop().create_task(
            self._run(course, place, resumed=resumed), name=f"deployment {claimed.id} of {claimed.service}"
        )
        self._tasks[claimed.service] = task

    async def _run(self, course: Course, place: Place, *, resumed: bool) -> None:
        try:
            async with place.tidying:
                await self._go(course, place, resumed=resumed)
        except StaleError:
            log.exception("another process moved on deployment %s of %s", course.value.id, place.service.name)
        except asyncio.CancelledError:
            if course.value.phase not in CHANGED and not course.value.finished:
                await self._abandon(course, place, f"opsbot was stopped while {_doing(course.value.phase)}")
            raise
        except Exception:
            # The edge of a task nobody waits for: most likely the store's own disk is full.
            log.exception("deployment %s of %s could not be brought to its end", course.value.id, place.service.name)
        finally:
            del self._tasks[place.service.name], self._courses[place.service.name]
            if course.value.finished:
                self._finished(course.value, place)

    def _finished(self, deployment: Deployment, place: Place) -> None:
        for callback in self._callbacks:
            callback(deployment)
        if not self._closing:
            task = asyncio.get_running_loop().create_task(self._tidy(place), name=f"tidy {place.service.name}")
            self._after.add(task)
            task.add_done_callback(self._after.discard)

    async def _go(self, course: Course, place: Place, *, resumed: bool) -> None:
        try:
            if course.value.phase is Phase.UNDOING:
                await self._undo(course, place)
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
        except Exception as error:
            log.exception("deployment %s of %s", course.value.id, place.service.name)
            if course.value.phase is Phase.UNDOING:
                await course.end(Phase.STUCK, f"{course.value.note} Going back failed: {error}")
            elif not course.value.finished:
                await self._set_back(course, place, SetbackError(f"{type(error).__name__}: {error}"))

    # The story

    async def _bring(self, course: Course, place: Place) -> None:
        value = course.value
        await course.move(Phase.FETCHING)
        async with course.step(f"fetch {value.ref or place.source.branch}") as doing:
            commit = await self._fetch(place, value.ref)
            doing.note = commit[:10]
        facts = await self._facts(_request(value, commit))
        verdict = decide(_request(value, commit), replace(facts, unfinished=None))
        if isinstance(verdict, Refused):
            await course.end(Phase.SKIPPED, verdict.text)
            return
        live = facts.live
        commits, total = await place.repository.commits_between(live.commit if live else None, commit)
        if live is not None and not await place.repository.is_ancestor(live.commit, commit):
            course.remarks.append(
                f"{commit[:10]} does not follow from {live.commit[:10]}: an older one, or history was rewritten"
            )
        async with self._installing:
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
            await place.preparation.export(course, name, commit, live)
            await course.move(Phase.INSTALLING)
            await place.preparation.install(course, name, commit, live)
        title = commits[0].title if commits else ""
        await self._store.write(
            ledger.add_release, place.service.name, Release(name, commit, self._clock(), good=False, title=title)
        )
        await self._swing(course, place)

    async def _fetch(self, place: Place, ref: str | None) -> str:
        try:
            return await place.repository.bring(ref)
        except BadRefError as error:
            raise SetbackError(str(error)) from error
        except RemoteError as error:
            raise SetbackError(error.text) from error

    async def _return(self, course: Course, place: Place) -> None:
        """A rollback: its release stands on disk already."""
        known = await self._store.read(ledger.releases, place.service.name)
        back = next((release for release in known if release.name == course.value.release_to), None)
        if back is None or not await asyncio.to_thread(place.releases.stands, back.name):
            raise SetbackError(f"the folder of release {course.value.release_to} is gone")
        await course.change(commit_to=back.commit)
        await self._swing(course, place)

    async def _swing(self, course: Course, place: Place, *, resumed: bool = False) -> None:
        """Switch, restart, verify; where it was cut short, from the phase that it stands in."""
        name = course.value.release_to or ""
        if course.value.phase not in CHANGED:
            await course.move(Phase.SWITCHING)
        if course.value.phase is Phase.SWITCHING or await asyncio.to_thread(place.releases.live) != name:
            async with course.step(f"switch to {name}"):
                await self._switch(place, name)
        if course.value.phase is Phase.SWITCHING:
            await course.move(Phase.RESTARTING)
        state = await self._state(place)
        if not resumed or not await asyncio.to_thread(_runs, state, place, name):
            async with course.step("restart") as doing:
                state = await self._restart(place)
                doing.note = f"pid {state.pid}" if state.pid else ""
        if course.value.phase is Phase.RESTARTING:
            await course.move(Phase.VERIFYING)
        service = place.service
        await self._verify(course, place, state, name, soak=service.soak, within=service.verify_timeout)
        await self._live(course, place, name)

    async def _switch(self, place: Place, name: str) -> None:
        try:
            await asyncio.to_thread(place.releases.switch, name)
        except ReleaseError as error:
            raise SetbackError(str(error)) from error

    async def _restart(self, place: Place) -> ServiceState:
        try:
            return await self._managers[place.service.name].restart(place.service.name)
        except ManagerError as error:
            raise SetbackError(f"it did not start: {error}", tail=await self._last_words(place)) from error

    async def _state(self, place: Place) -> ServiceState:
        try:
            return await self._managers[place.service.name].state(place.service.name)
        except ManagerError as error:
            return ServiceState(Activity.FAILED, exit=str(error))

    async def _verify(
        self, course: Course, place: Place, state: ServiceState, name: str, *, soak: timedelta, within: timedelta
    ) -> None:
        async with course.step("verify" if soak else f"look at {name}") as doing:

            async def report(text: str) -> None:
                await course.say(doing, text)

            judged: Judgement = await self._verifier.verify(
                place.service, state, place.releases.path(name), soak=soak, within=within, report=report
            )
            if not judged.ok:
                raise SetbackError(judged.text, lasting=True, tail=await self._last_words(place))
            doing.note = judged.text

    async def _last_words(self, place: Place) -> str:
        """The last lines the service wrote."""
        name = place.service.name
        try:
            lines = await self._managers[name].logs(name, LogQuery(lines=LOG_LINES, this_run=True))
            lines = lines or await self._managers[name].logs(name, LogQuery(lines=LOG_LINES))
        except ManagerError:
            return ""
        return "\n".join(line.text[:500] for line in lines)

    async def _live(self, course: Course, place: Place, name: str) -> None:
        value = course.value
        hold = await self._store.read(ledger.hold, place.service.name)
        waits = hold.waits if hold else None
        back = value.kind is Kind.ROLLBACK and not await self._follows(place, value.commit_to, value.commit_from)
        note = "; ".join(course.remarks)
        if not back:
            # An older commit than the one that is waited past, deployed by hand, does not end the wait.
            older = waits not in {None, value.commit_to} and await self._follows(place, waits, value.commit_to)
            await course.end(Phase.LIVE, note, live=name, lift=not older)
            return
        blamed = value.commit_from if value.actor.origin is Origin.RECOVERY else None
        await course.end(
            Phase.LIVE, note, live=name, quarantined=blamed, hold=await self._wait_past(place, value, value.commit_from)
        )

    async def _follows(self, place: Place, new: str | None, old: str | None) -> bool:
        return new is not None and old is not None and await place.repository.is_ancestor(old, new)

    async def _wait_past(self, place: Place, value: Deployment, commit: str | None) -> Hold | None:
        """The wait after a rollback: past the newest commit that was rolled back from, after several in a row too."""
        if commit is None:
            return None
        known = await self._store.read(ledger.hold, place.service.name)
        waits = commit
        if known is not None and known.waits is not None and not await self._follows(place, commit, known.waits):
            waits = known.waits
        what = "rolled back" if value.kind is Kind.ROLLBACK else "undone"
        return Hold(place.service.name, value.actor.name, f"{what}: deployment {value.id}", self._clock(), waits=waits)

    # When it goes wrong

    async def _set_back(self, course: Course, place: Place, setback: SetbackError) -> None:
        if course.value.phase in CHANGED:
            if course.value.phase is not Phase.UNDOING:
                await course.move(Phase.UNDOING, note=str(setback))
            await self._undo(course, place)
            return
        blamed = course.value.commit_to if setback.lasting else None
        await self._discard(course, place)
        again = "" if blamed or not course.value.actor.automatic else " It is tried again later."
        await course.end(Phase.FAILED, str(setback) + again, quarantined=blamed)

    async def _abandon(self, course: Course, place: Place, why: str) -> None:
        """End one that has changed nothing live."""
        await self._discard(course, place)
        await course.cut(why)
        await course.end(Phase.FAILED, why)

    async def _discard(self, course: Course, place: Place) -> None:
        name = course.value.release_to
        if name is not None and course.value.kind is Kind.DEPLOY:
            await self._remove(place, name)

    async def _remove(self, place: Place, name: str) -> None:
        try:
            await asyncio.to_thread(place.releases.discard, name)
            await self._store.write(ledger.forget_release, place.service.name, name)
            await place.repository.forget(name)
        except (ReleaseError, RemoteError, OSError) as error:
            log.warning("release %s of %s was not removed: %s", name, place.service.name, error)

    async def _undo(self, course: Course, place: Place) -> None:
        value = course.value
        # The commit is to blame when it was started and was not well; not when the link could not be put in its place.
        blamed = value.commit_to if value.failed_in in {Phase.RESTARTING, Phase.VERIFYING} else None
        hold = await self._wait_past(place, value, blamed) if value.kind is Kind.DEPLOY else None
        candidates = await self._ways_back(value, place)
        for name in candidates:
            if await self._back_to(course, place, name):
                note = f"{value.note} Back on {name}."
                other = name if name != value.release_from else None
                await course.end(Phase.UNDONE, note, live=other, quarantined=blamed, hold=hold)
                return
        if value.release_from is None and not candidates:
            await self._stop(course, place)
            note = f"{value.note} There was no release before: the service is stopped."
            await course.end(Phase.UNDONE, note, quarantined=blamed, hold=hold)
            return
        if candidates:
            # Not well, but the one that was live before: better than the one that was just tried last.
            with suppress(SetbackError):
                await self._switch(place, candidates[0])
                await self._restart(place)
        tried = ", ".join(candidates) or "none is left"
        note = f"{value.note} No release before is well either (tried: {tried}). A human is needed."
        await course.end(Phase.STUCK, note, quarantined=blamed, hold=hold)

    async def _ways_back(self, value: Deployment, place: Place) -> list[str]:
        """The releases to go back to: the one before, then older good ones; those that stand."""
        known = await self._store.read(ledger.releases, place.service.name)
        bad = await self._store.read(ledger.quarantined, place.service.name)
        before = [value.release_from] if value.release_from else []
        good = [r.name for r in known if r.good and r.commit not in bad and r.name not in {*before, value.release_to}]
        names = [*before, *good[:OLDER_TRIED]]
        return await asyncio.to_thread(lambda: [name for name in names if place.releases.stands(name)])

    async def _back_to(self, course: Course, place: Place, name: str) -> bool:
        try:
            async with course.step(f"back to {name}") as doing:
                await self._switch(place, name)
                state = await self._state(place)
                if not await asyncio.to_thread(_runs, state, place, name):
                    state = await self._restart(place)
                doing.note = f"pid {state.pid}" if state.pid else ""
            within = min(place.service.verify_timeout, UNDO_WITHIN)
            await self._verify(course, place, state, name, soak=timedelta(0), within=within)
        except SetbackError as setback:
            log.warning("going back to %s of %s: %s", name, place.service.name, setback)
            return False
        return True

    async def _stop(self, course: Course, place: Place) -> None:
        async with course.step("stop the service"):
            try:
                await self._managers[place.service.name].stop(place.service.name)
                await asyncio.to_thread(place.releases.take_away)
            except (ManagerError, ReleaseError) as error:
                raise SetbackError(f"it could not be stopped: {error}") from error

    # What is known, and what is cleaned up

    async def _facts(self, request: Request) -> Facts:
        facts = await self._store.read(_known, request.service)
        place = self._places.get(request.service)
        if place is None:
            return Facts(has_source=False)
        commit = request.ref if request.ref is not None and len(request.ref) in FULL_ID else None
        waits = facts.hold.waits if facts.hold else None
        older = commit != waits and await self._follows(place, waits, commit)
        return replace(facts, commit=commit, older_than_hold=older)

    async def _tidy(self, place: Place) -> None:
        """Remove the releases nobody needs."""
        async with place.tidying:
            try:
                facts = await self._store.read(_known, place.service.name)
                live = facts.live.name if facts.live else None
                fallback = previous_good(facts.releases, live, facts.quarantined)
                good = [release.name for release in facts.releases if release.good]
                spared = [name for name in (live, fallback.name if fallback else None) if name]
                known = [release.name for release in facts.releases]
                for name in await asyncio.to_thread(place.releases.surplus, good, spared, known):
                    await self._remove(place, name)
                await place.repository.tidy()
            except (RemoteError, OSError) as error:
                log.warning("tidying %s: %s", place.service.name, error)

    async def settle(self) -> tuple[int, ...]:
        """At the start of the daemon: take up or end what an earlier process left unfinished; the ids of those taken up.

        Only for the one process that holds the state directory. Those taken up go on by themselves (`wait`).
        """
        ended = await asyncio.to_thread(end_marked, self._mark)
        if ended:
            log.warning("ended %s processes that an earlier opsbot left behind", ended)
        taken_up = []
        for deployment in await self._store.read(ledger.unfinished):
            if await self._take_up(deployment):
                taken_up.append(deployment.id)
        for place in self._places.values():
            await self._put_right(place)
        return tuple(taken_up)

    async def _take_up(self, deployment: Deployment) -> bool:
        place = self._places.get(deployment.service)
        if place is None:
            await self._store.write(_end_unknown, deployment, self._clock())
            return False
        course = Course(deployment, place.service, self._store, self._feed, self._clock)
        await course.cut(RESTARTED)
        if deployment.phase in CHANGED:
            self._launch(course.value, resumed=True)
            return True
        await self._abandon(course, place, f"opsbot was restarted while {_doing(deployment.phase)}")
        return False

    async def _put_right(self, place: Place) -> None:
        """Make the folders and the ledger say the same."""
        name = place.service.name
        facts = await self._store.read(_known, name)
        await asyncio.to_thread(place.releases.sweep_links)
        if not facts.releases and facts.live is None:
            # A state directory that is new to these folders knows nothing: it must not clear them away.
            await self._adopt(place)
            return
        for leftover in await asyncio.to_thread(place.releases.leftovers, [r.name for r in facts.releases]):
            await self._remove(place, leftover)
        for release in facts.releases:
            live = facts.live is not None and release.name == facts.live.name
            if not live and not await asyncio.to_thread(place.releases.stands, release.name):
                await self._store.write(ledger.forget_release, name, release.name)
        if facts.live is not None and not self.busy(name):
            await self._point(place, facts.live.name)

    async def _point(self, place: Place, live: str) -> None:
        pointed = await asyncio.to_thread(place.releases.live)
        if pointed == live:
            return
        try:
            await self._switch(place, live)
            level, text = "warning", f"`current` pointed to {pointed or 'nothing'}; it points to {live} again"
        except SetbackError as setback:
            level, text = "error", f"`current` points to {pointed or 'nothing'} and not to {live}: {setback}"
        log.warning("%s: %s", place.service.name, text)
        now = self._clock()
        body: dict[str, object] = {"text": f"{place.service.name}: {text}", "level": level}
        key = f"link:{place.service.name}:{live}:{now:%Y%m%d}"
        await self._store.write(outbox.put, key, NoticeKind.WORD, place.service.name, now, body=body)

    async def _adopt(self, place: Place) -> None:
        """Take the release that `current` points to for the live one: it was deployed by an opsbot with another state."""
        name = await asyncio.to_thread(place.releases.live)
        if name is None or not await asyncio.to_thread(place.releases.stands, name):
            return
        commit = await place.repository.commit(name.split("-")[1])
        if commit is None:
            return
        log.warning("%s: took over release %s, which this state directory did not know", place.service.name, name)
        release = Release(name, commit.id, self._clock(), good=True, title=commit.title)
        await self._store.write(ledger.add_release, place.service.name, release)
        await self._store.write(ledger.set_live, Live(place.service.name, name, self._clock(), None))


def _known(db: sqlite3.Connection, service: str) -> Facts:
    """What the store knows, at one moment."""
    live = ledger.live(db, service)
    releases = ledger.releases(db, service)
    unfinished = ledger.unfinished(db, service)
    return Facts(
        has_source=True,
        unfinished=unfinished[0].id if unfinished else None,
        hold=ledger.hold(db, service),
        live=next((release for release in releases if live is not None and release.name == live.release), None),
        releases=releases,
        quarantined=frozenset(ledger.quarantined(db, service)),
    )


def _end_unknown(db: sqlite3.Connection, deployment: Deployment, now: datetime) -> None:
    """End a deployment of a service that is not configured any more."""
    note = f"{deployment.service} is not configured any more"
    changed = deployment.phase in CHANGED
    if changed and deployment.phase is not Phase.UNDOING:
        deployment = ledger.save(db, advance(deployment, Phase.UNDOING, now, note))
    ledger.save(db, advance(deployment, Phase.STUCK if changed else Phase.FAILED, now, note))


def _request(value: Deployment, commit: str) -> Request:
    return Request(value.service, value.kind, value.actor, ref=commit)


def _runs(state: ServiceState, place: Place, name: str) -> bool:
    """Whether the service's process was started in this release, and runs. Blocks."""
    return state.activity is Activity.RUNNING and state.release == place.releases.path(name).resolve()


def _doing(phase: Phase) -> str:
    return "it was about to begin" if phase is Phase.PENDING else f"{phase} the new release"
