import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogs.cards.links import commit_link, compare_link
from cogs.cards.log_cards import logs
from cogs.cards.status_cards import _check
from cogs.cards.text import ZWSP, clean, code, escape, fence, fit
from opsbot.cli.show import check_words
from opsbot.control.replies import check_reply
from opsbot.core.health import CheckHealth, ProbeCode, ProbeResult, Verdict
from opsbot.core.message import message
from opsbot.notifications.text_renderer import plain
from opsbot.services.port import LogLine

SHA = "a" * 40
HOSTILE = (
    "<@100000000000000001>",
    "<@&100000000000000002>",
    "@everyone",
    "@here",
    "<#100000000000000003>",
    "<t:0:R>",
    "</deploy:1>",
    "<:smile:1>",
    "[click](https://evil.example)",
    "**bold** __under__ ~~gone~~ ||spoiler||",
    "```\nfence\n```",
    "`tick",
    "# heading",
    "> quote",
    "-# small",
    "- item",
    "1. item",
    "https://evil.example",
    "\x1b[31mred\x1b[0m",
    "\u202eexe.txt",
    "zero\u200bwidth",
    "back\\",
)


@given(st.text())
def test_escaped_text_holds_nothing_that_discord_reads_as_syntax(text: str) -> None:
    shown = escape(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_~|`\[\]<>]", shown)
    assert "<@" not in shown
    assert "@everyone" not in shown
    assert "@here" not in shown
    assert "://" not in shown
    assert "\n" not in shown
    assert not re.match(r"[#>+-]|\d+[.)]", shown)


@pytest.mark.parametrize(
    "text", ["@everyone", "a@everyone", "@here", "x@HERE", "<@1>", "<@&1>", "<@!1>", "\\@everyone"]
)
def test_what_could_ping_is_broken_up_wherever_it_stands(text: str) -> None:
    for shown in (escape(text), code(text), fence([text], 100)):
        assert not re.search(r"@everyone|@here|<@", shown, re.IGNORECASE)


@pytest.mark.parametrize("unit", ["app@1.service", "getty@tty1.service", "user@1000.service", "a@b@c.service"])
def test_the_name_of_a_unit_can_be_copied_as_it_stands(unit: str) -> None:
    assert escape(f"there is no unit {unit}") == f"there is no unit {unit}"
    assert code(unit) == f"`{unit}`"
    assert fence([unit], 100) == f"```\n{unit}\n```"
    assert plain(f"there is no unit {unit}") == f"there is no unit {unit}"


@given(st.text(), st.integers(10, 400))
def test_a_code_block_is_never_left_by_what_stands_in_it(text: str, most: int) -> None:
    shown = fence(text.splitlines(), most)
    assert len(shown) <= most
    assert shown == "" or (shown.startswith("```\n") and shown.endswith("\n```") and "``" not in shown[4:-4])


@given(st.text())
def test_inline_code_holds_no_tick(text: str) -> None:
    assert code(text)[1:-1].count("`") == 0


@pytest.mark.parametrize("text", HOSTILE)
def test_cleaning_leaves_only_what_prints(text: str) -> None:
    assert clean(text).isprintable()
    assert ZWSP not in clean(text)


def test_ansi_colours_titles_and_links_are_gone() -> None:
    assert clean("\x1b[1;31mred\x1b[0m \x1b]0;title\x07x \x1b]8;;https://e.example\x1b\\y\x1b]8;;\x1b\\") == "red x y"


def test_piled_up_accents_are_cut() -> None:
    assert len(clean("e" + "\u0301" * 50)) == 3


def test_lines_that_do_not_fit_are_left_out_whole() -> None:
    assert fit(["a" * 10, "b" * 10, "c" * 10], 26) == "a" * 10 + "\n" + "b" * 10 + "\n…"


@pytest.mark.parametrize(
    ("repository", "link"),
    [
        ("https://github.com/example/shop.git", f"https://github.com/example/shop/commit/{SHA}"),
        ("https://user:secret@github.com/example/shop", f"https://github.com/example/shop/commit/{SHA}"),
        ("git@github.com:example/shop.git", f"https://github.com/example/shop/commit/{SHA}"),
        ("ssh://git@gitlab.example.org:2222/a/b/c.git", f"https://gitlab.example.org/a/b/c/-/commit/{SHA}"),
        ("https://codeberg.org/a/b.git", f"https://codeberg.org/a/b/commit/{SHA}"),
        ("https://gitea.example.org:3000/a/b", f"https://gitea.example.org:3000/a/b/commit/{SHA}"),
        ("https://bitbucket.org/a/b", f"https://bitbucket.org/a/b/commits/{SHA}"),
        ("https://example.org/a/b", None),
        ("/srv/git/shop.git", None),
        ("file:///srv/github/shop.git", None),
        ("https://github.com/example/sh)op", None),
    ],
)
def test_commits_are_linked_where_the_forge_is_known(repository: str, link: str | None) -> None:
    assert commit_link(repository, SHA) == link


def test_two_commits_are_compared_where_the_forge_can() -> None:
    assert compare_link("https://github.com/a/b", SHA, "b" * 40) == f"https://github.com/a/b/compare/{SHA}...{'b' * 40}"
    assert compare_link("https://bitbucket.org/a/b", SHA, "b" * 40) is None


def test_a_check_that_fails_now_is_not_shown_as_up() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    health = CheckHealth(Verdict.UP, at, last=ProbeResult(ok=False, seen=message(ProbeCode.CONNECTION_REFUSED), at=at))
    assert _check("http", health) == "🟡 http fails now, not judged down yet: connection refused"
    assert check_words(check_reply("http", health), at) == "http fails now, not judged down yet: connection refused"


def test_the_times_of_log_lines_say_whose_clock_they_are_by() -> None:
    shown = logs("api", [LogLine(datetime(2026, 3, 1, 14, 5, tzinfo=UTC), "hello")])
    assert shown.content.startswith(
        "api: 1 line, <t:1772373900:T> to <t:1772373900:T>; below in UTC.\n```\n14:05:00 hello"
    )
