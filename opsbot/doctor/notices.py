"""Ways to reach people beside Discord: that each address is there and understood. Nothing is sent."""

import asyncio
from collections.abc import Collection

from yarl import URL

from opsbot.config import Config, HeartbeatConfig, Notifier, SecretMissingError
from opsbot.doctor.findings import Area, Finding, fail, warn, well
from opsbot.notifications.apprise_child import MISSING
from opsbot.notifications.apprise_sender import understood


async def look(config: Config) -> list[Finding]:
    """Every notifier and the heartbeat."""
    looks = [_notifier(each, config.alerts.escalate_to) for each in config.notifiers.values()]
    found = list(await asyncio.gather(*looks))
    if config.heartbeat is not None:
        found.append(await asyncio.to_thread(_heartbeat, config.heartbeat))
    return found


async def _notifier(notifier: Notifier, escalated_to: Collection[str]) -> Finding:
    escalated = notifier.name in escalated_to
    name = f"notifier {notifier.name}" + (", escalated to" if escalated else "")
    if not escalated and not notifier.told:
        mend = f'Name it in alerts.escalate_to, or give it something: [notifiers.{notifier.name}] for = ["call"]'
        return warn(Area.NOTICES, name, "it is told nothing, and nothing is escalated to it", mend)
    try:
        url = await asyncio.to_thread(notifier.url.read)
    except SecretMissingError as error:
        return fail(Area.NOTICES, name, str(error), "Put the notifier's URL there")
    answer = await understood(url)
    if answer.ok:
        return well(Area.NOTICES, name, f"the URL is understood; `opsbot notify {notifier.name}` tries it")
    if answer.failure == MISSING:
        return fail(Area.NOTICES, name, "apprise is not installed", "pip install 'opsbot[notify]'")
    return fail(Area.NOTICES, name, answer.failure, "See apprise's documentation for the URL of this service")


def _heartbeat(heartbeat: HeartbeatConfig) -> Finding:
    try:
        url = URL(heartbeat.url.read())
    except SecretMissingError as error:
        return fail(Area.NOTICES, "heartbeat", str(error), "Put the address of the dead-man's switch there")
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        mend = "Give the address that the switch shows, beginning with https://"
        return fail(Area.NOTICES, "heartbeat", "the address is no http(s) URL", mend)
    return well(Area.NOTICES, "heartbeat", f"the address of a switch at {url.host} can be read")
