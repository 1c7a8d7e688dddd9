"""Discord resets the token of a bot that logs in a thousand times in a day: opsbot, who restarts it, stops before."""

from datetime import timedelta

from opsbot.core.identify import Mark
from opsbot.store import discord
from tests.cogs.world import text_of
from tests.scenarios.test_deaf import Watched, watched

__all__ = ["watched"]


async def spend(watched: Watched, starts: int) -> None:
    """So many starts of the service in the last hours; the last is the run that is under way."""
    world = watched.world
    run = (await world.manager.state("api")).run or ""
    at = world.now() - timedelta(hours=2)
    await world.store.write(discord.saw_runs, "api", {"": Mark("long-ago", starts - 2)}, at - timedelta(hours=1))
    await world.store.write(discord.saw_runs, "api", {"": Mark(run, 0)}, at)


async def test_half_of_the_logins_used_nothing_is_restarted_and_a_human_is_called_who_reads_why(
    watched: Watched,
) -> None:
    world = watched.world
    await spend(watched, 502)
    await watched.appears("offline")
    await watched.run(300)
    assert world.manager.restarts == []
    card, call = map(text_of, world.posted())
    assert "A human is needed" in card
    assert "opsbot does not start it any more, for half of its logins are spent: 501 starts in 24 hours" in card
    assert "nothing by itself, until somebody restarts, rolls back or resumes it" in card
    assert call.startswith("🚨 A human is needed for api: opsbot does not start it any more")
    assert "Discord allows 1000 logins, then it resets the bot's token" in call
