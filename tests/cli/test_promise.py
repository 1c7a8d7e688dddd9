"""The JSON of the control API and of `--json` is a promise to scripts: nothing that was ever answered goes away."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cli.recorded import FILE, answers, printed

PROSE = {"text", "line", "waits", "failure"}
"""Sentences for people: that there is one is promised, its words are not."""


def broken(promised: Any, answer: Any, where: str = "", key: str = "") -> Iterator[str]:
    """Each difference but for what was added."""
    if isinstance(promised, dict) and isinstance(answer, dict):
        for name, one in promised.items():
            if name not in answer:
                yield f"{where}.{name} is gone"
            else:
                yield from broken(one, answer[name], f"{where}.{name}", name)
    elif isinstance(promised, list) and isinstance(answer, list):
        if len(promised) != len(answer):
            yield f"{where} has {len(answer)} instead of {len(promised)}"
        for number, (one, other) in enumerate(zip(promised, answer, strict=False)):
            yield from broken(one, other, f"{where}[{number}]", key)
    elif key in PROSE and promised and answer:
        if type(promised) is not type(answer):
            yield f"{where} is {type(answer).__name__} instead of {type(promised).__name__}"
    elif promised != answer:
        yield f"{where} is {answer!r} instead of {promised!r}"


async def test_every_endpoint_answers_what_it_always_has(tmp_path: Path) -> None:
    promised = {asked: one for asked, one in json.loads(FILE.read_text()).items() if "opsbot" not in asked}
    assert not list(broken(promised, await answers(tmp_path)))


async def test_every_verb_prints_what_it_always_has_as_json(tmp_path: Path) -> None:
    promised = {asked: one for asked, one in json.loads(FILE.read_text()).items() if "opsbot" in asked}
    assert not list(broken(promised, await printed(tmp_path)))


def test_what_is_added_keeps_the_promise_and_what_goes_or_changes_breaks_it() -> None:
    assert not list(broken({"a": [1]}, {"a": [1], "b": 2}))
    assert list(broken({"a": [{"b": 1}]}, {"a": [{}]})) == [".a[0].b is gone"]
    assert list(broken({"a": 1}, {"a": "1"})) == [".a is '1' instead of 1"]
