"""What one configuration changes of another, as a person is shown it."""

import tomli

from opsbot.config_file.differences import differences

BEFORE = """
[roles]
admin = [1, 2]
[services.api]
command = ["python", "a.py"]
environment = { WORD = "sesame", PORT = "1" }
[services.api.source]
poll = "5m"
auto = true
[[services.api.checks]]
kind = "tcp"
interval = "30s"
[[services.api.checks]]
kind = "http"
headers = { X-Key = "sesame" }
[services.old]
command = ["x"]
"""


def changed(*replaced: tuple[str, str]) -> list[str]:
    after = BEFORE
    for old, new in replaced:
        assert old in after
        after = after.replace(old, new)
    return differences(tomli.loads(BEFORE), tomli.loads(after))


def test_nothing() -> None:
    assert changed() == []
    assert changed(('command = ["python", "a.py"]', 'command = [  "python",\n"a.py"] # the same')) == []


def test_keys_are_named_as_opsbot_check_names_them_with_what_they_were_and_are() -> None:
    assert changed(('interval = "30s"', 'interval = "10s"')) == ["services.api.checks[1].interval: 30s -> 10s"]
    assert changed(("[1, 2]", "[1]")) == ["roles.admin: [1, 2] -> [1]"]
    assert changed(("auto = true\n", "")) == ["services.api.source.auto: removed, was true"]
    assert changed(("auto = true", "auto = true\nkeep = 3")) == ["services.api.source.keep: added, 3"]


def test_a_whole_table_is_one_line() -> None:
    assert changed(('[services.old]\ncommand = ["x"]', '[services.new]\ncommand = ["x"]')) == [
        "services.old: removed, was with command",
        "services.new: added, with command",
    ]


def test_a_check_put_before_the_others_changes_none_of_them() -> None:
    first = '[[services.api.checks]]\nkind = "tcp"'
    assert changed((first, f'[[services.api.checks]]\nkind = "process"\n{first}')) == [
        "services.api.checks[1]: added, with kind"
    ]


def test_values_of_variables_and_headers_are_nobodys_business() -> None:
    lines = changed(
        ('WORD = "sesame"', 'WORD = "open"'), ('PORT = "1"', 'PORT = "1", NEW = "mine"'), ("X-Key", "X-Other")
    )
    assert lines == [
        "services.api.environment.WORD: changed",
        "services.api.environment.NEW: added",
        "services.api.checks[2].headers.X-Key: removed",
        "services.api.checks[2].headers.X-Other: added",
    ]
    assert differences({}, tomli.loads(BEFORE)) == [
        "roles: added, with admin",
        "services: added, with api, old",
    ]


def test_long_values_are_cut() -> None:
    (line,) = changed(('"a.py"', '"' + "a" * 500 + '"'))
    assert len(line) < 250
