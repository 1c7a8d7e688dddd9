"""Check that each repository and branch is readable with its credentials."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from opsbot.config import SecretMissingError, Service, Source
from opsbot.core.deployment import SHORT
from opsbot.doctor.findings import Finding, Subject
from opsbot.messages import render
from opsbot.source.heads import Heads
from opsbot.source.remote import TRANSIENT, RemoteError, advice, scrub

LIMIT = timedelta(seconds=25)


async def examine(service: Service, about: Subject) -> list[Finding]:
    source = service.source
    if source is None:
        return []
    asked = replace(source, timeout=min(source.timeout, LIMIT))
    async with Heads() as heads:
        answer = await heads.ask(asked)
    where = scrub(source.repository)
    hook = await asyncio.to_thread(_hook, about, source)
    if isinstance(answer, RemoteError):
        known = advice(answer.kind)
        fix = render(known) if known is not None else ""
        if answer.kind in TRANSIENT:
            fix = f"Try: git ls-remote {where} {source.branch}"
        return [about.fail("repository", f"{where}: {render(answer.reason)}", fix), *hook]
    return [about.passed("repository", f"{where}: {source.branch} is at {answer[:SHORT]}"), *hook]


def _hook(about: Subject, source: Source) -> list[Finding]:
    if source.hook_secret is None:
        return []
    try:
        source.hook_secret.read()
    except SecretMissingError as error:
        fix = "Put the secret of the forge's webhook there; until then its pushes are rejected"
        return [about.warn("hook secret", str(error), fix)]
    return [about.passed("hook secret", "is readable")]
