"""Check the notifiers and the heartbeat: each URL is readable and valid.

Nothing is sent.
"""

import asyncio
from collections.abc import Collection

from yarl import URL

from opsbot.config import Config, HeartbeatConfig, Notifier, SecretMissingError
from opsbot.doctor.findings import Area, Finding, Subject
from opsbot.notifications.apprise_child import MISSING
from opsbot.notifications.apprise_sender import understood

_NOTICES = Subject(Area.NOTICES)


async def examine(config: Config) -> list[Finding]:
    looks = [_notifier(each, config.alerts.escalate_to) for each in config.notifiers.values()]
    found = list(await asyncio.gather(*looks))
    if config.heartbeat is not None:
        found.append(await asyncio.to_thread(_heartbeat, config.heartbeat))
    return found


async def _notifier(notifier: Notifier, escalated_to: Collection[str]) -> Finding:
    escalated = notifier.name in escalated_to
    name = f"notifier {notifier.name}" + (", escalated to" if escalated else "")
    if not escalated and not notifier.told:
        fix = f'Name it in alerts.escalate_to, or subscribe it: [notifiers.{notifier.name}] for = ["call"]'
        return _NOTICES.warn(name, "it receives no notifications and no escalations", fix)
    try:
        url = await asyncio.to_thread(notifier.url.read)
    except SecretMissingError as error:
        return _NOTICES.fail(name, str(error), "Put the notifier's URL there")
    answer = await understood(url)
    if answer.ok:
        return _NOTICES.passed(name, f"the URL is valid; `opsbot notify {notifier.name}` sends a test")
    if answer.failure == MISSING:
        return _NOTICES.fail(name, "apprise is not installed", "pip install 'opsbot[notify]'")
    return _NOTICES.fail(name, answer.failure, "See apprise's documentation for the URL of this service")


def _heartbeat(heartbeat: HeartbeatConfig) -> Finding:
    try:
        url = URL(heartbeat.url.read())
    except SecretMissingError as error:
        return _NOTICES.fail("heartbeat", str(error), "Put the address of the dead-man's switch there")
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        fix = "Use the URL that the switch shows, beginning with https://"
        return _NOTICES.fail("heartbeat", "the address is not an http(s) URL", fix)
    return _NOTICES.passed("heartbeat", f"the address of a switch at {url.host} is readable")
