"""Each repository, asked with the credentials of the configuration for the branch that is followed."""

from dataclasses import replace
from datetime import timedelta

from opsbot.config import Service
from opsbot.doctor.findings import Area, Finding, fail, well
from opsbot.source.heads import HeadProblem, Heads
from opsbot.source.remote import TRANSIENT, mend, scrub

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
    if isinstance(answer, HeadProblem):
        advice = mend(answer.kind)
        text = answer.text.removesuffix(advice).rstrip(". ")
        if answer.kind in TRANSIENT:
            advice = f"Try: git ls-remote {where} {source.branch}"
        return [fail(Area.SOURCE, "repository", f"{where}: {text}", advice, service.name)]
    return [well(Area.SOURCE, "repository", f"{where}: {source.branch} is at {answer[:10]}", service.name)]
