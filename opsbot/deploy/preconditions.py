"""Whether a deployment may begin, and one that waits may still be done: gathers the facts that `decide` needs."""

from dataclasses import replace

from opsbot.core.deployment import (
    Deployment,
    DeploymentFacts,
    DeploymentKind,
    DeploymentRequest,
    RefusalReason,
    Refused,
    decide,
)
from opsbot.core.message import Message
from opsbot.deploy.target import DeployTarget
from opsbot.source.remote import RemoteError
from opsbot.source.repo import BadRefError, is_full_id


async def gather(target: DeployTarget | None, request: DeploymentRequest) -> DeploymentFacts:
    """The facts a request is decided by; `target` None: the service has no source."""
    if target is None:
        return DeploymentFacts(has_source=False)
    facts = await target.known()
    commit = request.ref if request.ref is not None and is_full_id(request.ref) else None
    waits = facts.hold.waits if facts.hold else None
    older = commit != waits and await target.follows(waits, commit)
    stopped = (await target.state()).stopped_by_hand
    return replace(facts, commit=commit, older_than_hold=older, stopped_by_hand=stopped)


async def named(target: DeployTarget, request: DeploymentRequest, commit: str | None) -> str | Refused | None:
    """The commit a person names, fetched: it may be the one that waits. An automatic request names it in full."""
    if request.kind is DeploymentKind.ROLLBACK or commit is not None or request.actor.automatic:
        return commit
    try:
        return await target.repository.bring(request.ref)
    except BadRefError as error:
        return Refused(RefusalReason.BAD_REF, error.message)
    except RemoteError as error:
        return Refused(RefusalReason.NOT_READY, error.message)


async def objection(target: DeployTarget, value: Deployment) -> Message | None:
    """Why a deployment that waits may not be done any more: what would refuse it if it were requested now."""
    request = DeploymentRequest(value.service, value.kind, value.actor, ref=value.commit_to, release=value.release_to)
    verdict = decide(request, replace(await gather(target, request), unfinished=None))
    return verdict.message if isinstance(verdict, Refused) else None
