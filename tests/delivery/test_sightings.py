"""Complaint: a bot is alive and deaf, and nobody is told. And: a restart throws a bot out of a meeting.

The real client on the stand-in: presences and voice states of another bot, through cuts, new sessions and refusals.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.bot.link import Link
from opsbot.config import Check, CheckKind, Config, Drain
from opsbot.core.deployment import Phase, advance
from opsbot.core.health import ProbeCode, Verdict
from opsbot.core.message import message, plain
from opsbot.messages import render
from opsbot.monitoring.presence_cache import PresenceCache
from opsbot.standin.state import Intent
from opsbot.store import ledger
from tests.cogs.world import World, buttons_of, open_world, text_of

BOT = 100000000000000105  # the first member after the five of the world


def with_bot(config: Config) -> Config:
    service = config.services["api"]
    checks = (Check("seen", CheckKind.PRESENCE, timedelta(seconds=30), user=BOT),)
    api = replace(service, checks=checks, drain=Drain(BOT), discord_bot=True)
    return replace(config, services={**config.services, "api": api})


def presence_cache(world: World) -> PresenceCache:
    assert world.engine.statuses.discord_bots is not None
    assert world.engine.statuses.discord_bots.presence_cache is not None
    return world.engine.statuses.discord_bots.presence_cache


def bot_in(world: World) -> None:
    assert world.standin.add_bot("recorder") == BOT


async def test_a_bots_presence_is_seen_from_the_first_session_and_as_it_changes(tmp_path: Path) -> None:
    async with open_world(tmp_path, changed=with_bot, privileged_intents=Intent.PRESENCES) as world:
        bot_in(world)
        world.standin.set_presence(BOT, "online")
        assert presence_cache(world).seen(BOT)[0] is None
        await world.start()
        await world.until(lambda: presence_cache(world).seen(BOT)[0] is True)
        world.standin.set_presence(BOT, "offline")
        await world.until(lambda: presence_cache(world).seen(BOT)[0] is False)
        world.standin.set_presence(BOT, "dnd")
        await world.until(lambda: presence_cache(world).seen(BOT) == (True, message(ProbeCode.ONLINE, status="dnd")))


@pytest.mark.parametrize("resumable", [True, False])
async def test_what_changed_while_opsbot_was_cut_off_is_known_afterwards(tmp_path: Path, resumable: bool) -> None:
    async with open_world(tmp_path, changed=with_bot, privileged_intents=Intent.PRESENCES) as world:
        bot_in(world)
        world.standin.set_presence(BOT, "online")
        await world.start()
        await world.until(lambda: presence_cache(world).seen(BOT)[0] is True)
        world.standin.faults.refuse_gateway(0.6)
        world.standin.faults.drop_gateway(resumable=resumable)
        await world.until(lambda: presence_cache(world).seen(BOT)[0] is None)
        world.standin.set_presence(BOT, "offline")
        await world.until(lambda: presence_cache(world).seen(BOT)[0] is False)


async def test_without_the_intent_opsbot_says_so_and_goes_on(tmp_path: Path) -> None:
    async with open_world(tmp_path, changed=with_bot) as world:
        bot_in(world)
        await world.start()
        await world.until(lambda: world.link is Link.CONNECTED)
        assert "Developer Portal" in world.states[-1].problem
        assert "Presence Intent" in world.states[-1].problem
        online, words = presence_cache(world).seen(BOT)
        assert online is None
        assert render(words).startswith("unknown: the Presence Intent is not enabled")
        await world.engine.watcher.look(["api"])
        ((_, health),) = (await world.engine.statuses.of(["api"]))[0].checks
        assert health.verdict is Verdict.UNKNOWN
        response = await world.person("viewer").run("status", service="api")
        assert "unknown: the Presence Intent" in text_of(await response.final())
        # Once refused, it is not asked for again with each new session.
        world.standin.faults.drop_gateway(resumable=False)
        await world.until(lambda: world.standin.gateway.starts >= 2)
        await world.until(lambda: world.link is Link.CONNECTED)


async def test_no_intent_is_asked_for_that_nothing_needs(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.start()
        assert [session.intents for session in world.standin.gateway.sessions.values()] == [Intent.GUILDS]
        assert world.engine.statuses.discord_bots is None


async def test_the_people_beside_a_bot_are_counted_and_bots_are_not(tmp_path: Path) -> None:
    async with open_world(tmp_path, changed=with_bot, privileged_intents=Intent.PRESENCES) as world:
        bot_in(world)
        other = world.standin.add_bot("music")
        room = world.standin.add_voice_channel("meeting")
        for one in (BOT, other, world.people["viewer"]):
            world.standin.set_voice(one, room)
        await world.start()
        await world.until(lambda: presence_cache(world).company(BOT) is not None)
        company = presence_cache(world).company(BOT)
        assert company is not None
        assert (company.channel, company.people) == ("meeting", 1)
        world.standin.set_voice(world.people["admin"], room)
        await world.until(lambda: (presence_cache(world).company(BOT) or company).people == 2)
        for rank in ("viewer", "admin"):
            world.standin.set_voice(world.people[rank], None)
        await world.until(lambda: presence_cache(world).company(BOT) is None)


async def test_an_outage_of_discord_is_seen_and_ends(tmp_path: Path) -> None:
    async with open_world(tmp_path, changed=with_bot, privileged_intents=Intent.PRESENCES) as world:
        await world.start()
        assert world.engine.statuses.discord_bots is not None
        outage_detector = world.engine.statuses.discord_bots.outage_detector
        await world.until(lambda: world.link is Link.CONNECTED)
        world.standin.faults.away()
        await world.until(lambda: outage_detector._rest_fails and not outage_detector._up)
        world.parts.shift = timedelta(seconds=11)
        await outage_detector.tick()
        assert outage_detector.away is not None
        (status,) = await world.engine.statuses.of(["api"])
        assert status.discord_away == outage_detector.away
        world.standin.faults.back()
        await world.until(lambda: outage_detector._up)
        world.parts.shift += timedelta(seconds=11)
        await outage_detector.tick()
        assert outage_detector.away is None


async def test_the_card_of_one_that_waits_has_a_button_that_ends_the_wait(tmp_path: Path) -> None:
    async with open_world(tmp_path, changed=with_bot, privileged_intents=Intent.PRESENCES) as world:
        await world.start()
        value = await world.deployment(phase=Phase.WAITING)
        message = await world.standin.wait_for_message(lambda m: "#d1" in text_of(m) and "Now" in buttons_of(m))
        refused = await world.person("operator").click(message, "Now")
        assert "may not use now" in text_of(await refused.final())
        pressed = await world.person("deployer").click(message, "Now")
        # Nothing works on this one: it was only written down.
        assert f"Deployment {value.id} of api is not waiting any more" in text_of(await pressed.final())
        words = "0123456, which main points to now"
        aside = await world.store.write(ledger.save, advance(value, Phase.ASIDE, world.now(), plain(words)))
        world.feed.publish("deployment", value.id)
        await world.until(lambda: f"waits; {words} supersedes it once that is ready" in card_of(world))
        assert "Now" not in buttons_of(world.posted()[-1])
        ended = advance(aside, Phase.REPLACED, world.now(), plain(words))
        await world.store.write(ledger.save, ended)
        world.feed.publish("deployment", value.id)
        await world.until(lambda: "was superseded by 0123456, which main points to now." in card_of(world))
        assert world.posted()[-1]["id"] == message["id"], "an edit: nobody is woken for it"
        assert "Now" not in buttons_of(world.posted()[-1])


def card_of(world: World) -> str:
    return str(world.posted()[-1]["content"])
