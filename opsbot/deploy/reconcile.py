"""Reconciles release folders with the store, after deployments and at startup."""

import asyncio
import logging
from collections.abc import Mapping

from opsbot.config import Strategy
from opsbot.core.deploy_codes import UpdateCode
from opsbot.core.deployment import Release, commit_in, previous_good
from opsbot.core.message import message
from opsbot.deploy.releases import ReleaseError
from opsbot.deploy.target import DeployTarget
from opsbot.messages import render
from opsbot.store import ledger, outbox

log = logging.getLogger(__name__)


async def tidy(target: DeployTarget) -> None:
    """Remove the releases nobody needs, and pack the mirror."""
    async with target.lock:
        facts = await target.known()
        live = facts.live.name if facts.live else None
        fallback = previous_good(facts.releases, live, facts.quarantined)
        good = [release.name for release in facts.releases if release.good]
        prepared = await target.store.read(ledger.prepared, target.name)
        spared = [name for name in (live, fallback.name if fallback else None, *prepared) if name]
        names = [release.name for release in facts.releases]
        surplus = await asyncio.to_thread(target.releases.surplus, good, spared, names)
        for name in await target.strategy.unoccupied(surplus):
            await target.remove(name)
        await target.repository.tidy()


async def put_right(target: DeployTarget, *, busy: bool) -> None:
    """Reconcile folders and `current` with the store. busy: a deployment continues."""
    if target.source.strategy is Strategy.IN_PLACE:
        await target.recognise()
        return
    facts = await target.known()
    await asyncio.to_thread(target.releases.sweep_links)
    if not facts.releases and facts.live is None and not busy:
        # A state directory that is new to these folders knows nothing: it must not clear them away.
        await _adopt(target)
        return
    names = {release.name: release for release in facts.releases}
    for leftover in await asyncio.to_thread(target.releases.leftovers, names):
        await target.remove(leftover)
    await _forget_gone(target, names, facts.live)
    if facts.live is not None and not busy:
        await _point(target, facts.live.name)


async def _forget_gone(target: DeployTarget, names: Mapping[str, Release], live: Release | None) -> None:
    for name in names:
        if (live is None or name != live.name) and not await asyncio.to_thread(target.releases.stands, name):
            await target.store.write(ledger.forget_release, target.name, name)


async def _point(target: DeployTarget, live: str) -> None:
    pointed = await asyncio.to_thread(target.releases.live)
    if pointed == live:
        return
    try:
        await target.switch(live)
        level, said = "warning", message(UpdateCode.LINK_RESTORED, service=target.name, pointed=pointed, release=live)
    except ReleaseError as error:
        params = {"service": target.name, "pointed": pointed, "release": live, "error": error.message}
        said = message(UpdateCode.LINK_WRONG, **params)
        level = "error"
    log.warning("%s", render(said))
    now = target.clock()
    key = f"link:{target.name}:{live}:{now:%Y%m%d}"
    await target.store.write(outbox.put_notice, key, target.name, said, now, level)


async def _adopt(target: DeployTarget) -> None:
    """Take over the live release of an opsbot with another state directory."""
    name = await asyncio.to_thread(target.releases.live)
    if name is None or not await asyncio.to_thread(target.releases.stands, name):
        return
    commit = await target.repository.commit(commit_in(name))
    if commit is None:
        return
    log.warning("%s: took over release %s, which this state directory did not know", target.name, name)
    release = Release(name, commit.id, target.clock(), good=True, title=commit.title)
    await target.store.write(ledger.take_over, target.name, release, release.at)
