"""Makes the folders and the ledger say the same: after a deployment, and at the start of the daemon."""

import asyncio
import logging
from collections.abc import Mapping

from opsbot.config import Strategy
from opsbot.core.deployment import Release, previous_good
from opsbot.core.model import Live, NotificationKind
from opsbot.deploy.course import SetbackError
from opsbot.deploy.place import Place
from opsbot.store import ledger, outbox

log = logging.getLogger(__name__)


async def tidy(place: Place) -> None:
    """Remove the releases nobody needs, and pack the mirror."""
    async with place.lock:
        facts = await place.known()
        live = facts.live.name if facts.live else None
        fallback = previous_good(facts.releases, live, facts.quarantined)
        good = [release.name for release in facts.releases if release.good]
        prepared = await place.store.read(ledger.prepared, place.name)
        spared = [name for name in (live, fallback.name if fallback else None, *prepared) if name]
        names = [release.name for release in facts.releases]
        surplus = await asyncio.to_thread(place.releases.surplus, good, spared, names)
        for name in await place.preparation.unoccupied(surplus):
            await place.remove(name)
        await place.repository.tidy()


async def put_right(place: Place, *, busy: bool) -> None:
    """Clear away what a killed process left, and have `current` point to what is live.

    busy: a deployment has been taken up, which sees to `current` itself.
    """
    if place.source.strategy is Strategy.IN_PLACE:
        await place.recognise()
        return
    facts = await place.known()
    await asyncio.to_thread(place.releases.sweep_links)
    if not facts.releases and facts.live is None and not busy:
        # A state directory that is new to these folders knows nothing: it must not clear them away.
        await _adopt(place)
        return
    names = {release.name: release for release in facts.releases}
    for leftover in await asyncio.to_thread(place.releases.leftovers, names):
        await place.remove(leftover)
    await _forget_gone(place, names, facts.live)
    if facts.live is not None and not busy:
        await _point(place, facts.live.name)


async def _forget_gone(place: Place, names: Mapping[str, Release], live: Release | None) -> None:
    for name in names:
        if (live is None or name != live.name) and not await asyncio.to_thread(place.releases.stands, name):
            await place.store.write(ledger.forget_release, place.name, name)


async def _point(place: Place, live: str) -> None:
    pointed = await asyncio.to_thread(place.releases.live)
    if pointed == live:
        return
    try:
        await place.switch(live)
        level, text = "warning", f"`current` pointed to {pointed or 'nothing'}; it points to {live} again"
    except SetbackError as setback:
        level, text = "error", f"`current` points to {pointed or 'nothing'} and not to {live}: {setback}"
    log.warning("%s: %s", place.name, text)
    now = place.clock()
    body: dict[str, object] = {"text": f"{place.name}: {text}", "level": level}
    key = f"link:{place.name}:{live}:{now:%Y%m%d}"
    await place.store.write(outbox.put, key, NotificationKind.WORD, place.name, now, body=body)


async def _adopt(place: Place) -> None:
    """Take the release that `current` points to for the live one: it was deployed by an opsbot with another state."""
    name = await asyncio.to_thread(place.releases.live)
    if name is None or not await asyncio.to_thread(place.releases.stands, name):
        return
    commit = await place.repository.commit(name.split("-")[1])
    if commit is None:
        return
    log.warning("%s: took over release %s, which this state directory did not know", place.name, name)
    release = Release(name, commit.id, place.clock(), good=True, title=commit.title)
    await place.store.write(ledger.add_release, place.name, release)
    await place.store.write(ledger.set_live, Live(place.name, name, place.clock(), None))
