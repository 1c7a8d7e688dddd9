"""Imports without docstrings, and modules that are forgotten: both leave what runs as it was."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from opsbot.bare_imports import bare, without_docstrings
from opsbot.runtime.memory import unload

LONG = "A sentence that is long enough to be worth being left out of memory, and it goes on and on."
SOURCE = f'''
"""{LONG} module"""
KEPT = "{LONG} constant"

class Shape:
    """{LONG} class"""

    name = "{LONG} attribute"

    def area(self):
        """{LONG} method"""
        def inner():
            """{LONG} inner"""
            return 3
        return inner()

def says():
    return "{LONG} said"

def twice():
    """{LONG} used"""
    return "{LONG} used"

def short():
    """Short."""
    return 1

async def later():
    """{LONG} coroutine"""
    return 4
'''


def test_docstrings_go_and_everything_else_stays() -> None:
    space: dict[str, Any] = {"__name__": "shapes"}
    exec(bare(compile(SOURCE, "shapes.py", "exec")), space)  # noqa: S102 - the text stands above
    shape = space["Shape"]
    assert space["__doc__"] == shape.__doc__ == " "
    assert shape.area.__doc__ == space["later"].__doc__ == " "
    assert shape().area() == 3
    assert shape.name == f"{LONG} attribute"
    assert space["KEPT"] == f"{LONG} constant"
    assert space["says"]() == f"{LONG} said"
    assert space["twice"]() == f"{LONG} used"
    assert space["short"].__doc__ == "Short."


def test_only_named_packages_and_only_within(tmp_path: Path) -> None:
    for name in ("bared", "whole"):
        (tmp_path / name).mkdir()
        for module in ("__init__", "a", "b"):
            (tmp_path / name / f"{module}.py").write_text(f'"""{LONG}"""\n')
    sys.path.insert(0, str(tmp_path))
    try:
        with without_docstrings(but={"whole"}):
            import bared.a  # type: ignore[import-not-found]  # noqa: PLC0415
            import whole.a  # type: ignore[import-not-found]  # noqa: PLC0415
        import bared.b  # type: ignore[import-not-found]  # noqa: PLC0415

        assert bared.a.__doc__ == " "
        assert whole.a.__doc__ == bared.b.__doc__ == LONG
    finally:
        sys.path.remove(str(tmp_path))
        unload("bared", "whole")
    assert not [name for name in sys.modules if name.startswith(("bared", "whole"))]


def test_the_daemon_keeps_no_reader_of_configurations_and_no_docstrings_of_discord() -> None:
    said = subprocess.run(
        [sys.executable, "-c", DAEMON, str(Path(__file__).parents[2])],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert said == "alive 0 0\n"


DAEMON = """
import gc, sys, types
sys.path.insert(0, sys.argv[1])
from opsbot.bare_imports import without_docstrings
from opsbot.cli import _parsed, own
from opsbot.runtime.memory import unload
from opsbot.config_file import load
del load
args = _parsed(["run", "-c", "config.toml"])
assert str(args.config) == "config.toml"
unload(*own._STARTING)
with without_docstrings(own._DESCRIBED):
    import discord.ext.commands
left = [one for one in gc.get_objects() if isinstance(one, types.FunctionType)
        and str(one.__module__).startswith(own._STARTING)]
long = [one for one in vars(discord.Client).values()
        if isinstance(one, types.FunctionType) and len(one.__doc__ or "") > 200]
print("alive", len(left), len(long))
"""
