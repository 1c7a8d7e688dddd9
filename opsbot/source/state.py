"""What the poll reads and writes in one transaction."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from opsbot.config import Source
from opsbot.core.deploy_codes import UpdateCode
from opsbot.core.deployment import Commit, Deployment, Hold, Quarantine
from opsbot.core.message import Message, Param, encode, message
from opsbot.core.model import NotificationKind, SourceState
from opsbot.core.updates import UpdateReason
from opsbot.source.remote import TRANSIENT, RemoteError, scrub
from opsbot.store import incident_repository, ledger, outbox

HISTORY = 30
"""How many past deployments a decision considers."""
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a service's source and deployments; live: a commit."""

    state: SourceState
    live: str | None
    hold: Hold | None
    quarantined: Mapping[str, Quarantine]
    deployments: tuple[Deployment, ...]
    unfinished: Deployment | None


def gather(db: sqlite3.Connection, service: str) -> Known:
    """All of it, at one moment."""
    live = ledger.live_release(db, service)
    unfinished = ledger.unfinished(db, service)
    return Known(
        incident_repository.source(db, service),
        live.commit if live else None,
        ledger.hold(db, service),
        ledger.quarantined(db, service),
        tuple(ledger.deployments(db, service, HISTORY)),
        unfinished[0] if unfinished else None,
    )


def _report(db: sqlite3.Connection, state: SourceState, key: str, now: datetime, said: Message, **body: object) -> bool:
    body["text"] = encode(said)
    return outbox.put(db, key, NotificationKind.SOURCE, state.service, now, body=body)


def _said(code: UpdateCode, service: str, source: Source, **params: Param) -> Message:
    return message(code, service=service, source=scrub(source.repository), branch=source.branch, **params)


def failed(
    db: sqlite3.Connection, state: SourceState, source: Source, problem: RemoteError, now: datetime
) -> SourceState:
    """The source did not answer: store since when; report it once if it lasts."""
    again = state.failing_since is not None
    since = state.failing_since or now
    grave = again or problem.kind not in TRANSIENT  # one poll may meet a blip; two in a row have met no blip
    after = replace(state, asked_at=now, failing_since=since, failure=problem.message, told=state.told or grave)
    incident_repository.save_source(db, after)
    if after.told and not state.told:
        said = _said(UpdateCode.SOURCE_FAILED, state.service, source, since=state.answered_at, problem=problem.message)
        details = {"ok": False, "since": (state.answered_at or since).timestamp(), "kind": str(problem.kind)}
        _report(db, state, f"source:{state.service}:{since.timestamp():.0f}", now, said, **details)
    return after


def answered(db: sqlite3.Connection, state: SourceState, source: Source, now: datetime) -> SourceState:
    """A source that had failed answers: report it, if the failure was reported."""
    since = state.failing_since or now
    after = replace(state, failing_since=None, failure=None, told=False)
    incident_repository.save_source(db, after)
    if state.told:
        said = _said(UpdateCode.SOURCE_ANSWERS, state.service, source, after=now - since)
        key = f"source-ok:{state.service}:{since.timestamp():.0f}"
        _report(db, state, key, now, said, ok=True, since=since.timestamp())
    return after


def rewritten(db: sqlite3.Connection, state: SourceState, source: Source, old: str, now: datetime) -> bool:
    """Report that the branch was set to a commit that is no successor."""
    head = state.head or ""
    said = _said(UpdateCode.REWRITTEN, state.service, source, commit=head, before=old)
    key = f"source-rewritten:{state.service}:{old}:{head}"
    return _report(db, state, key, now, said, ok=True, kind="rewritten", old=old, commit=head)


def note_update(
    db: sqlite3.Connection,
    state: SourceState,
    head: str,
    because: UpdateReason,
    said: Message,
    commits: Sequence[Commit],
    total: int,
    now: datetime,
) -> bool:
    """Report, once for this commit and reason, that it is there and not deployed."""
    incident_repository.save_source(db, replace(state, noted=head))
    body: dict[str, object] = {
        "text": encode(said),
        "commit": head,
        "commits": [
            {"id": each.id, "title": each.title, "author": each.author, "at": each.at.timestamp()}
            for each in commits[:SHOWN]
        ],
        "total": total,
        "why": str(because),
        "known": said.code == UpdateCode.KNOWN_COMMIT,
    }
    return outbox.put(
        db, f"update:{state.service}:{head}:{because}", NotificationKind.UPDATE, state.service, now, body=body
    )
