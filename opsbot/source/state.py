"""What the poll reads and writes in one transaction: the state of a source, with the notice that follows from it."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from opsbot.config import Source
from opsbot.core.deployment import Commit, Deployment, Hold
from opsbot.core.model import NotificationKind, SourceState
from opsbot.core.updates import UpdateReason
from opsbot.formatting import discord_time, duration
from opsbot.source.heads import HeadProblem
from opsbot.source.remote import TRANSIENT, scrub
from opsbot.store import incident_repository, ledger, outbox

HISTORY = 30
"""How many past deployments a decision looks at."""
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of one service's source and deployments. `live` is a commit."""

    state: SourceState
    live: str | None
    hold: Hold | None
    quarantined: Mapping[str, str]
    deployments: tuple[Deployment, ...]
    unfinished: Deployment | None


def gather(db: sqlite3.Connection, service: str) -> Known:
    """All of it, at one moment."""
    live = ledger.live(db, service)
    kept = ledger.releases(db, service) if live is not None else ()
    unfinished = ledger.unfinished(db, service)
    return Known(
        incident_repository.source(db, service),
        next((release.commit for release in kept if live is not None and release.name == live.release), None),
        ledger.hold(db, service),
        ledger.quarantined(db, service),
        tuple(ledger.deployments(db, service, HISTORY)),
        unfinished[0] if unfinished else None,
    )


def _where(source: Source) -> str:
    return f"{scrub(source.repository)} ({source.branch})"


def failed(
    db: sqlite3.Connection, state: SourceState, source: Source, problem: HeadProblem, now: datetime
) -> SourceState:
    """The source did not answer: remember since when, and tell it once, when it is more than a blip."""
    again = state.failing_since is not None
    since = state.failing_since or now
    grave = again or problem.kind not in TRANSIENT  # one poll may meet a blip; two in a row have met no blip
    after = replace(state, asked_at=now, failing_since=since, failure=problem.text, told=state.told or grave)
    incident_repository.save_source(db, after)
    if after.told and not state.told:
        last = f"since {discord_time(state.answered_at)}" if state.answered_at else "yet"
        body: dict[str, object] = {
            "text": f"{state.service}: no news from {_where(source)} {last}: {problem.text}",
            "ok": False,
            "since": (state.answered_at or since).timestamp(),
            "kind": str(problem.kind),
        }
        key = f"source:{state.service}:{since.timestamp():.0f}"
        outbox.put(db, key, NotificationKind.SOURCE, state.service, now, body=body)
    return after


def answered(db: sqlite3.Connection, state: SourceState, source: Source, now: datetime) -> SourceState:
    """A source that had failed answers: tell it, where the failure was told."""
    since = state.failing_since or now
    after = replace(state, failing_since=None, failure="", told=False)
    incident_repository.save_source(db, after)
    if state.told:
        body: dict[str, object] = {
            "text": f"{state.service}: news from {_where(source)} again, after {duration(now - since)}",
            "ok": True,
            "since": since.timestamp(),
        }
        key = f"source-ok:{state.service}:{since.timestamp():.0f}"
        outbox.put(db, key, NotificationKind.SOURCE, state.service, now, body=body)
    return after


def rewritten(db: sqlite3.Connection, state: SourceState, source: Source, old: str, now: datetime) -> bool:
    """Tell that the branch was set to a commit that does not follow from where it was."""
    head = state.head or ""
    text = (
        f"{state.service}: the history of {_where(source)} was rewritten: {head[:10]} does not follow from {old[:10]}. "
        "opsbot goes by what the branch says now."
    )
    body: dict[str, object] = {"text": text, "ok": True, "kind": "rewritten", "old": old, "commit": head}
    key = f"source-rewritten:{state.service}:{old}:{head}"
    return outbox.put(db, key, NotificationKind.SOURCE, state.service, now, body=body)


def note_update(
    db: sqlite3.Connection,
    state: SourceState,
    head: str,
    because: UpdateReason,
    text: str,
    commits: Sequence[Commit],
    total: int,
    now: datetime,
) -> bool:
    """Tell, once for this commit and reason, that it is there and not deployed."""
    incident_repository.save_source(db, replace(state, noted=head))
    body: dict[str, object] = {
        "text": text,
        "commit": head,
        "commits": [
            {"id": each.id, "title": each.title, "author": each.author, "at": each.at.timestamp()}
            for each in commits[:SHOWN]
        ],
        "total": total,
        "why": str(because),
    }
    return outbox.put(
        db, f"update:{state.service}:{head}:{because}", NotificationKind.UPDATE, state.service, now, body=body
    )
