"""Environment files are read as systemd reads them."""

import pytest

from opsbot.services.environment import parse


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("# a=1\n; b=2\n\n   \nC=3", {"C": "3"}),
        ("A=  two words  ", {"A": "two words"}),
        ("A=", {"A": ""}),
        ("  A =1", {"A": "1"}),
        ("A='single $x \\n \"'", {"A": 'single $x \\n "'}),
        ('A="double \\"q\\" \\$ \\` \\\\ \\n"', {"A": 'double "q" $ ` \\ \\n'}),
        ('A="two\nlines"', {"A": "two\nlines"}),
        ("A='two\nlines'", {"A": "two\nlines"}),
        ("A=one\\\ntwo", {"A": "onetwo"}),
        ("A=a\\ b\\\\", {"A": "a b\\"}),
        ('A="a b" ', {"A": "a b"}),
        ("A=$HOME ${B}", {"A": "$HOME ${B}"}),
        ("A=x # no comment", {"A": "x # no comment"}),
        ("nonsense\nA=1", {"A": "1"}),
        ("1A=1\nA-B=2\nC=3", {"C": "3"}),
        ("A=1\nA=2", {"A": "2"}),
        ("URL=https://x/?a=b&c=d", {"URL": "https://x/?a=b&c=d"}),
        ('A="unclosed', {"A": "unclosed"}),
        ("A=ü", {"A": "ü"}),
        ("A=it's fine", {"A": "it's fine"}),
        ("A='one' \"two\"", {"A": "onetwo"}),
        ("A='one'three", {"A": "onethree"}),
        ("", {}),
    ],
)
def test_an_environment_file_gives_its_variables(text: str, variables: dict[str, str]) -> None:
    assert parse(text) == variables
