"""Each repository, asked with the credentials of the configuration for the branch that is followed."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from opsbot.config import SecretMissingError, Service, Source
from opsbot.doctor.findings import Area, Finding, fail, warn, well
from opsbot.messages import render
from opsbot.source.heads import HeadProblem, Heads
from opsbot.source.remote import TRANSIENT, advice, scrub

LIMIT = timedelta(seconds=25)


async def look(service: Service) -> list[Finding]:
    """The repository of a service that has one."""
    source = service.source
    if source is None:
        return []
    asked = replace(source, timeout=min(source.timeout, LIMIT))
    async with Heads() as heads:
        answer = await heads.ask(asked)
    where = scrub(source.repository)
    hook = await asyncio.to_thread(_hook, service.name, source)
    if isinstance(answer, HeadProblem):
        known = advice(answer.kind)
        fix = render(known) if known is not None else ""
        if answer.kind in TRANSIENT:
            fix = f"Try: git ls-remote {where} {source.branch}"
        return [fail(Area.SOURCE, "repository", f"{where}: {render(answer.reason)}", fix, service.name), *hook]
    return [well(Area.SOURCE, "repository", f"{where}: {source.branch} is at {answer[:10]}", service.name), *hook]


def _hook(service: str, source: Source) -> list[Finding]:
    if source.hook_secret is None:
        return []
    try:
        source.hook_secret.read()
    except SecretMissingError as error:
        mend = "Put the secret of the forge's webhook there; until then its pushes are refused, and the poll finds them"
        return [warn(Area.SOURCE, "hook secret", str(error), mend, service)]
    return [well(Area.SOURCE, "hook secret", "can be read", service)]
