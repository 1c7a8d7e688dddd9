"""One message for many: what came and went while nobody could be told, and alarms that come all at once."""

from datetime import timedelta

from cogs.delivery.channel import OpsChannel
from opsbot.core.model import Notification, NotificationKind
from opsbot.core.storm import StormVerdict
from opsbot.engine import Engine
from opsbot.store import digests, storms

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


async def held_back(engine: Engine) -> frozenset[int]:
    """Put alarms that come all at once into a storm; the incidents of which nothing is said yet: more may come."""
    store, now = engine.store, engine.clock()
    if await store.read(storms.passing, now):
        await store.write(storms.release, now)
        await store.write(storms.gather, now)
    verdict, alarms = await store.read(storms.assess, now)
    return frozenset(alarm.incident for alarm in alarms) if verdict is StormVerdict.HOLD else frozenset()


async def told_and_over(engine: Engine, notice: Notification) -> bool:
    """Whether this is the card of an incident that a storm has told and that is over: it needs none any more."""
    if notice.kind is not NotificationKind.INCIDENT or notice.storm is None or notice.tries or notice.body.get("anew"):
        return False
    incident = await engine.look.incident(notice.subject or 0)
    return incident is not None and incident.closed_at is not None
