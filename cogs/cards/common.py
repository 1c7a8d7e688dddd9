"""What the cards of the ops channel share, and the plain notices beside them. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

import discord

from cogs.cards.links import commit_link
from cogs.cards.rendered import AMBER, BLUE, DESCRIPTION, RED, Button, RenderedMessage
from cogs.cards.style import to_markdown
from cogs.cards.text import code, escape, fence, fit, moment
from opsbot.core.deployment import SHORT, Commit
from opsbot.core.model import Notification
from opsbot.core.updates import UpdateReason
from opsbot.engine.cards import Around
from opsbot.formatting import duration

COMMITS = 10
TAIL = 15
"""Lines of a log or of a step's output."""
_LINES_ROOM = 3500
LEVELS = {"info": (BLUE, "ℹ️"), "warning": (AMBER, "⚠️"), "error": (RED, "❗")}


def mark(letter: str, number: int, host: str) -> str:
    """The footer: where it is from, and the mark by which the message is found again."""
    return f"{host} · #{letter}{number}"


def late(sent_after: float, why: str) -> str:
    """A line for a message that comes long after what it tells of; empty where it is in time."""
    minutes = round(sent_after / 60)
    if minutes < 1:
        return ""
    return f"\n-# sent {duration(60.0 * minutes)} late{f': {why}' if why else ''}"


def commit_lines(commits: Sequence[Commit], total: int, repository: str) -> list[str]:
    """A line a commit, linked where the forge is known."""
    lines = []
    for commit in commits[:COMMITS]:
        link = commit_link(repository, commit.id)
        name = f"[`{commit.short}`]({link})" if link else code(commit.short)
        lines.append(f"{name} {escape(commit.title, 72)} · {escape(commit.author, 30)}")
    more = max(total, len(commits)) - min(len(commits), COMMITS)
    return [*lines, f"+{more} more"] if more > 0 else lines


def join(blocks: Sequence[str], telling: Sequence[str] = ()) -> str:
    """Blocks one below the other. Those that tell most are kept whole; the others share what room is left, by lines."""
    left = DESCRIPTION - sum(len(block) + 2 for block in telling)
    kept = []
    for block in blocks:
        if not block:
            continue
        shown = block
        if block not in telling:
            shown = (
                block if len(block) + 2 <= left else ("" if block.endswith("```") else fit(block.splitlines(), left))
            )
            left -= len(shown) + 2
        if shown:
            kept.append(shown)
    return "\n\n".join(kept)


def word(notice: Notification, host: str) -> RenderedMessage:
    """A plain sentence; of a repository also since when."""
    body = notice.body
    level = str(body.get("level", "warning" if body.get("ok") is False else "info"))
    colour, sign = LEVELS.get(level, LEVELS["info"])
    since = body.get("since")
    at = datetime.fromtimestamp(float(since), UTC) if isinstance(since, int | float) else notice.at
    lines = body.get("lines")
    block = fence([str(each) for each in lines], _LINES_ROOM) + "\n" if isinstance(lines, list) else ""
    return RenderedMessage(
        f"{sign} {to_markdown(notice.said, 900)}",
        "",
        block + (f"{escape(notice.service)} · {moment(at, 'f')}" if notice.service else moment(at, "f")),
        colour,
        mark("n", notice.id, host),
    )


def update(notice: Notification, around: Around) -> RenderedMessage:
    """A commit that is not deployed automatically, with a button that deploys it."""
    body = notice.body
    commits = _commits(body.get("commits"))
    total = body.get("total")
    lines = commit_lines(commits, total if isinstance(total, int) else len(commits), around.repository)
    commit = str(body.get("commit", ""))
    buttons = (Button("deploy", "Deploy", notice.service, commit[:20], discord.ButtonStyle.primary),) if commit else ()
    sign, what = ("↩️", "a commit that was deployed before") if body.get("known") else ("🆕", "a new commit")
    return RenderedMessage(
        f"{sign} {to_markdown(notice.said, 900)}",
        f"{notice.service}: {what}" + (" awaits approval" if body.get("why") == UpdateReason.NEEDS_LOOK else ""),
        fit(lines, DESCRIPTION) or code(commit[:SHORT]),
        BLUE,
        mark("n", notice.id, around.host),
        buttons,
    )


def _commits(rows: object) -> list[Commit]:
    found = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            at = datetime.fromtimestamp(float(row.get("at", 0)), UTC)
            found.append(Commit(str(row.get("id", "")), str(row.get("title", "")), str(row.get("author", "")), at))
    return found
