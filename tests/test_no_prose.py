"""No code of opsbot compares, splits or searches a sentence to learn a fact: facts are codes and parameters.

The source is walked for that: for methods that look into a string, for regular expressions, and for comparisons with a
text, where they are used on an attribute that holds what is said (`incident.cause`, `deployment.note`).
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SENTENCES = frozenset(
    {"text", "note", "cause", "first_cause", "why", "void_why", "ended_by", "resolution", "seen", "exit", "said"}
    | {"failure", "result", "message", "last_deed", "words", "waits", "waiting", "helped"}
)
"""Attributes that hold what is said."""
NAMES = frozenset({"cause", "why", "reason", "deed", "sentence", "refusal", "resolution"})
"""Names of variables that do."""
LOOKS_INTO = frozenset(
    {"startswith", "endswith", "removeprefix", "removesuffix", "split", "rsplit", "partition", "rpartition"}
    | {"find", "rfind", "index", "count", "match", "fullmatch", "search", "findall", "finditer"}
)
FOREIGN = {
    "opsbot/core/journal_reasons.py": "what systemd wrote into the journal",
    "opsbot/cli/ask.py": "what a service wrote into its log, searched with `--grep`",
    "opsbot/source/remote.py": "what git and ssh wrote",
    "opsbot/services/systemd/unit.py": "systemd's own words (Result=), which are an enumeration",
}
"""What other programs wrote: their text is all there is to learn from."""
TO_BE_CONVERTED = {
    ("opsbot/daemon/watchdog.py", "reason"),
}
"""Not data yet; nothing is to be added here."""


def _sources() -> list[Path]:
    return sorted([*ROOT.glob("opsbot/**/*.py"), *ROOT.glob("cogs/**/*.py")])


RENDERERS = frozenset({"str", "render", "to_markdown"})


def _sentence(node: ast.expr) -> str:
    """The name of what is said, where this is it."""
    if isinstance(node, ast.Attribute) and node.attr in SENTENCES:
        return node.attr
    if isinstance(node, ast.Name) and node.id in NAMES:
        return node.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RENDERERS:
        return next((found for each in node.args if (found := _sentence(each))), "")
    return ""


def _is_text(node: ast.expr) -> bool:
    """Whether it is a text that a sentence is compared with. The empty one says only that there is none."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value != ""
    if isinstance(node, ast.Tuple | ast.Set | ast.List):
        return any(_is_text(each) for each in node.elts)
    return isinstance(node, ast.JoinedStr)


def _uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each use of a sentence as a fact: the line, and the name of what is said."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOOKS_INTO:
            for each in (node.func.value, *node.args):
                if found := _sentence(each):
                    yield node.lineno, found
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if any(map(_is_text, sides)):
                yield from ((node.lineno, found) for each in sides if (found := _sentence(each)))


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_is_read_to_learn_a_fact(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if name in FOREIGN:
        return
    found = [(line, what) for line, what in _uses(ast.parse(path.read_text())) if (name, what) not in TO_BE_CONVERTED]
    assert found == [], f"{name}: compare a code, not a sentence"


@pytest.mark.parametrize(
    "code",
    [
        "deed.text.startswith('restart ')",
        "RESTART.match(deed.text)",
        "incident.cause == 'check http'",
        "'by turns' in incident.cause",
        "deployment.note.endswith(back_on(deployment))",
        "re.split('[:(]', self.cause)",
        "render(incident.cause).partition(':')",
        "x.why in ('a', 'b')",
        "reason.partition(' (for ')",
    ],
)
def test_such_use_is_found(code: str) -> None:
    assert list(_uses(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["incident.cause.code == Cause.DIED", "step.why == ''", "other.cause == incident.cause"]
)
def test_other_use_is_not(code: str) -> None:
    assert not list(_uses(ast.parse(code)))
