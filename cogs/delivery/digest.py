"""Combine messages: a digest after an outage, and alert storms."""

from datetime import timedelta

from cogs.delivery.channel import OpsChannel
from opsbot.core.model import Notification, NotificationKind
from opsbot.core.storm import StormVerdict
from opsbot.engine import Engine
from opsbot.store import digests, storms

MANY = 10
"""Maximum number of old notifications that are sent individually."""
OLD = timedelta(minutes=5)


async def gather(engine: Engine, channel: OpsChannel) -> None:
    """Combine old concluded notifications into a digest once Discord answers.

    Not earlier, so that the digest includes everything that ends during the outage.

    Raises:
        AwayError, ClosedError: Discord does not answer, or the channel is closed.
    """
    now = engine.clock()
    if await engine.store.read(digests.spooled, now - OLD, now) <= MANY:
        return
    await channel.reach()
    now = engine.clock()  # the request may have taken a while
    await engine.store.write(digests.gather, now - OLD, now)


async def settling_incidents(engine: Engine) -> frozenset[int]:
    """Combine simultaneous alerts into a storm.

    Returns the incidents that wait for more.
    """
    store, now = engine.store, engine.clock()
    if await store.read(storms.passing, now):
        await store.write(storms.release, now)
        await store.write(storms.gather, now)
    verdict, alarms = await store.read(storms.assess, now)
    return frozenset(alarm.incident for alarm in alarms) if verdict is StormVerdict.HOLD else frozenset()


async def is_announced_and_resolved(engine: Engine, notice: Notification) -> bool:
    """Whether this is the card of a resolved incident that a storm announced.

    It needs no card.
    """
    if notice.kind is not NotificationKind.INCIDENT or notice.storm is None or notice.tries or notice.body.get("anew"):
        return False
    incident = await engine.look.incident(notice.subject or 0)
    return incident is not None and incident.closed_at is not None
