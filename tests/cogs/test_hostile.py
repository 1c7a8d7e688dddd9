"""Text of others pings nobody, breaks nothing and fits: commit titles, authors, log lines, refs, names, reasons."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogs.cards import common, deployment_cards, history_cards, incident_cards, log_cards, rendered
from opsbot.core.access import Actor, Origin
from opsbot.core.deployment import Deployment, DeploymentKind, Phase, Quarantine
from opsbot.core.message import plain
from opsbot.core.model import AuditEntry, Evidence, Incident, Notification, NotificationKind
from opsbot.engine.cards import Around
from opsbot.services.port import LogLine
from opsbot.standin import limits
from opsbot.store import outbox
from tests.cogs.test_text import HOSTILE
from tests.cogs.world import START, World, commits, step, text_of
from tests.fixtures.waiting import passes

EVIL = "@everyone <@100000000000000010> <@&100000000000000011> ``` [x](https://e.example) **b** \x1b[31m\u202e"
TEXT = st.one_of(st.text(max_size=400), st.sampled_from([*HOSTILE, EVIL * 20, "`" * 3000, "<" * 5000, "\n" * 900]))


def check(shown: rendered.RenderedMessage) -> None:
    """As Discord would."""
    final = shown.within(str)
    embed = final.embed()
    payload = {"content": final.content, "embeds": [embed.to_dict()] if embed is not None else []}
    limits.check_message(payload, files=1 if final.file else 0)
    for text in (final.content, final.text):
        assert "<@" not in text
        assert "@everyone" not in _outside_code(text)
        assert "@here" not in _outside_code(text)
        assert text.count("```") % 2 == 0, "no code block is left open"


def _outside_code(text: str) -> str:
    return "".join(text.split("```")[::2])


@settings(max_examples=150, deadline=None)
@given(TEXT, TEXT, TEXT, st.sampled_from(list(Phase)), st.sampled_from(list(DeploymentKind)), st.integers(0, 40))
def test_any_deployment_makes_a_message_that_discord_takes(
    one: str, two: str, three: str, phase: Phase, kind: DeploymentKind, count: int
) -> None:
    deployment = Deployment(
        1,
        "api",
        kind,
        phase,
        Actor(Origin.DISCORD, "1", one),
        START,
        START + timedelta(seconds=9),
        ref=two,
        reason=plain(three),
        commit_from="a" * 40,
        commit_to="b" * 40,
        release_from="r1",
        release_to=one[:100],
        commits=commits(*[two] * count, author=three),
        commits_total=count + 3,
        steps=tuple(step(one, Phase.INSTALLING, ok=index < 9, tail=two + "\n" + three) for index in range(10)),
        failed_in=Phase.INSTALLING,
        note=plain(three),
    )
    around = Around("blue", "https://github.com/example/shop.git", blocked=Quarantine(None, START))
    check(deployment_cards.deployment_card(deployment, around))
    check(deployment_cards.outcome(Notification(1, "k", NotificationKind.OUTCOME, "api", START), deployment, around))


@settings(max_examples=100, deadline=None)
@given(TEXT, TEXT, st.booleans(), st.lists(TEXT, max_size=20))
def test_any_incident_makes_a_message_that_discord_takes(one: str, two: str, over: bool, lines: list[str]) -> None:
    evidence = Evidence(((one[:30], plain(two)), ("http", plain(one))), plain(two), tuple(lines))
    closed = START + timedelta(minutes=5) if over else None
    incident = Incident(1, "api", plain(one), START, evidence, closed_at=closed, resolution=plain(two))
    around = Around("blue")
    check(incident_cards.incident_card(incident, around))
    notice = Notification(1, "k", NotificationKind.CALL, "api", START, body={"why": two, "text": one, "level": "error"})
    check(incident_cards.call(notice, incident, around))
    check(incident_cards.recovered(notice, incident, around))
    check(common.word(notice, "blue"))


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, max_size=60), TEXT)
def test_any_log_and_any_audit_log_makes_a_message_that_discord_takes(lines: list[str], other: str) -> None:
    check(log_cards.logs("api", [LogLine(START, line) for line in lines]))
    check(
        history_cards.audit(
            [AuditEntry(1, START, "discord", other, line, "deploy", other, line, True, line) for line in lines]
        )
    )


@settings(max_examples=100, deadline=None)
@given(TEXT, st.lists(TEXT, max_size=30))
def test_any_notice_of_an_update_makes_a_message_that_discord_takes(text: str, titles: list[str]) -> None:
    rows = [{"id": "a" * 40, "title": title, "author": text, "at": 0} for title in titles]
    body: dict[str, object] = {"text": text, "commit": "a" * 40, "commits": rows, "total": 99, "why": "held"}
    notice = Notification(1, "k", NotificationKind.UPDATE, "api", START, body=body)
    check(common.update(notice, Around("blue", "https://github.com/example/shop.git")))


async def test_nobody_is_pinged_whatever_stands_in_commits_logs_names_and_reasons(world: World) -> None:
    state = world.standin.state
    state.bot.roles.clear()
    evil = f"@everyone @here <@{world.people['admin']}> <@&{world.standin.roles['admin']}>"
    world.manager.log["api"] = [LogLine(START, evil)]
    await world.engine.announce("api", plain(evil), level="error")
    opened = await world.incident(
        cause=evil, evidence=Evidence(((evil, plain(evil)),), plain(evil), (evil, "```" + evil))
    )
    value = await world.deployment(actor=Actor(Origin.DISCORD, "1", evil), ref="evil`" + evil)
    await world.change(
        value,
        phase=Phase.FAILED,
        failed_in=Phase.INSTALLING,
        note=plain(evil),
        commits=commits(evil, author=evil),
        commit_to="b" * 40,
        steps=(step(evil, Phase.INSTALLING, ok=False, tail=evil + "\n```\n" + evil),),
    )
    state.members[world.people["operator"]].nick = evil
    for command in ("restart", "hold", "resume", "silence"):
        options = {"reason": evil} if command != "restart" else {}
        response = await world.person("admin").run(command, service="api", **options)
        await response.final()
    await (await world.person("operator").run("restart", service="api")).final()
    await (await world.person("admin").run("logs", service="api")).final()
    await (await world.person("admin").run("restart", service=evil[:90])).final()
    await world.all_told()
    await passes(0.3)
    assert opened.id == 1
    pinged = [ping for ping in world.standin.store.pings if ping.users or ping.roles or ping.everyone]
    assert pinged == []
    assert all(not message["mentions"] and not message["mention_everyone"] for message in world.posted())
    assert len(world.posted()) >= 8


async def test_the_token_never_reaches_the_channel(world: World) -> None:
    token = world.standin.token
    world.manager.log["api"] = [LogLine(START, f"using token {token}")]
    await world.incident(evidence=Evidence((), None, (f"token={token}",)))
    body: dict[str, object] = {"text": f"leak {token}", "level": "error"}
    await world.store.write(outbox.put, "leak", NotificationKind.WORD, "api", world.now(), body=body)
    world.feed.publish("notice")
    await world.all_told()
    response = await world.person("operator").run("logs", service="api")
    shown = [text_of(await response.final()), *map(text_of, world.posted())]
    assert all("[redacted]" in text for text in shown)
    assert not any(token in text for text in shown)


@pytest.mark.parametrize("count", [1, 10, 11, 40])
def test_ten_commits_are_shown_and_the_rest_is_counted(count: int) -> None:
    lines = common.commit_lines(commits(*[f"title {n}" for n in range(count)]), count, "https://github.com/a/b")
    assert len(lines) == min(count, 10) + (count > 10)
    assert lines[0].startswith("[`0000000`](https://github.com/a/b/commit/")
    if count > 10:
        assert lines[-1] == f"+{count - 10} more"


def test_a_failed_deployment_says_what_where_why_and_what_is_next() -> None:
    deployment = Deployment(
        7,
        "api",
        DeploymentKind.DEPLOY,
        Phase.FAILED,
        Actor(Origin.POLL, "opsbot:poll", "opsbot"),
        START,
        START + timedelta(seconds=40),
        commit_from="a" * 40,
        commit_to="b" * 40,
        release_from="r1",
        release_to="r2",
        commits=commits("Break the install"),
        commits_total=1,
        failed_in=Phase.INSTALLING,
        note=plain("npm ci ended with 1"),
        steps=(
            step("fetch main", Phase.FETCHING),
            step("npm ci", Phase.INSTALLING, ok=False, seconds=31, tail="\n".join(f"line {n}" for n in range(30))),
        ),
        finished_at=START + timedelta(seconds=40),
    )
    shown = deployment_cards.deployment_card(
        deployment, Around("blue", "https://github.com/a/b", blocked=Quarantine(None, START))
    )
    for words in (
        "`aaaaaaa` → `bbbbbbb`",
        "on blue",
        "compare",
        "Break the install · Ada",
        "✓ fetch main 1.2 s",
        "✗ npm ci 31 s",
        "npm ci ended with 1",
        "failed after 31 s",
        "line 15\n",
        "line 29",
        "is blocked since it failed",
    ):
        assert words in shown.text, words
    assert "line 14\n" not in shown.text
    assert shown.content == "❌ api: installation of `bbbbbbb` failed (deployment 7); nothing live was changed."
    assert shown.footer == "blue · #d7"
