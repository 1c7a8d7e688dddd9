"""The text of unit files: what counts, and where it stands."""

from hypothesis import given
from hypothesis import strategies as st

from opsbot.units.finding import LintFacts
from opsbot.units.lint import lint_unit
from opsbot.units.path_rules import paths_of
from opsbot.units.unit_file import UnitText, parse, program, seconds, split

FRAGMENT = """\
# comment
[Unit]
Wants=a.target
; another
[Service]
ExecStart=/bin/one \\
  # between
  --two \\

ExecStart=
ExecStart = /bin/three
Environment=A=1 \\
   B="2 3"
User=app
novalue
"""
DROP_IN = "[Unit]\nWants=\nAfter=b.target\n[Service]\nUser=\nUser=web\n"


def test_later_files_override_and_an_empty_assignment_resets() -> None:
    unit = parse("x.service", [UnitText("/f", FRAGMENT), UnitText("/d/10.conf", DROP_IN)])
    user = unit.last("Service", "User")
    assert user is not None
    assert (user.value, user.path, user.line) == ("web", "/d/10.conf", 6)
    assert [(s.value, s.line) for s in unit.every("Service", "ExecStart")] == [("/bin/three", 11)]
    assert [word for word, _ in unit.items("Service", "Environment")] == ["A=1", "B=2 3"]


def test_dependencies_are_not_reset() -> None:
    unit = parse("x.service", [UnitText("/f", FRAGMENT), UnitText("/d/10.conf", DROP_IN)])
    assert [word for word, _ in unit.items("Unit", "Wants")] == ["a.target"]


def test_a_value_over_several_lines_stands_in_its_first() -> None:
    unit = parse("x.service", [UnitText("/f", FRAGMENT)])
    first = next(s for s in unit.settings if s.key == "ExecStart")
    assert (first.line, first.value.split()) == (6, ["/bin/one", "--two"])


def test_a_value_last_set_to_nothing_is_not_set() -> None:
    assert parse("x", [UnitText("/f", "[Service]\nUser=a\nUser=\n")]).last("Service", "User") is None


def test_time_spans() -> None:
    told = {"5": 5, "5s": 5, "2min 200ms": 120.2, "1h30min": 5400, "0": 0, "1M": 2629800, "infinity": float("inf")}
    assert {text: seconds(text) for text in told} == told
    assert [seconds(text) for text in ("", "soon", "5 parsecs", "-1")] == [None] * 4


def test_commands_and_words() -> None:
    assert program("-+!/bin/a 'b c'") == ["/bin/a", "b c"]
    assert split('"open and never closed') == ['"open', "and", "never", "closed"]


LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            ["[Service]", "[Unit]", "ExecStart=", "User=app", "WatchdogSec=3 \\", "# x", "; y\\", "a=\\\\"]
        ),
    ),
    max_size=20,
)


@given(LINES)
def test_any_text_can_be_read_and_each_line_number_is_true(lines: list[str]) -> None:
    text = "\n".join(lines)
    unit = parse("x.service", [UnitText("/f", text)])
    for setting in unit.settings:
        assert text.split("\n")[setting.line - 1].strip().startswith(setting.key[:1])
    paths_of(unit)
    for trap in lint_unit(unit, LintFacts(source="/srv/x", memory=1)):
        assert 1 <= trap.line <= max(text.count("\n") + 1, 1)


@given(st.text(max_size=40))
def test_any_value_can_be_read(value: str) -> None:
    seconds(value)
    split(value)
    program(value)
