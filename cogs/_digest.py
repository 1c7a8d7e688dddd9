"""One message for what came and went while nobody could be told."""

from datetime import timedelta

from cogs._channel import OpsChannel
from opsbot.engine import Engine
from opsbot.store import digests

MANY = 10
"""So many old notices at the most are told one by one."""
OLD = timedelta(minutes=5)


async def gather(engine: Engine, channel: OpsChannel) -> None:
    """Where many old notices wait and Discord answers, put those that are over into a digest.

    Only then: what comes to its end during the outage is to be in the one digest, too.

    Raises:
        AwayError, ClosedError: Discord does not answer, or the channel is closed.
    """
    now = engine.clock()
    if await engine.store.read(digests.spooled, now - OLD, now) <= MANY:
        return
    await channel.reach()
    now = engine.clock()  # Discord may have let us wait
    await engine.store.write(digests.gather, now - OLD, now)
