"""What the daemon does not load: each is memory on a small host."""

import subprocess
import sys
from pathlib import Path

LEAN = """
import os, sys
from opsbot.runtime.memory import give_back, lean_imports
with lean_imports():
    import opsbot.daemon.app
give_back()
assert "FROZENLIST_NO_EXTENSIONS" not in os.environ
assert "libstdc++" not in open("/proc/self/maps").read()
assert not {"multiprocessing.context", "concurrent.futures.process"} & set(sys.modules)
assert not {"opsbot.control.routes", "opsbot.control.shapes"} & set(sys.modules), "loaded at the first connection"
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(1) as pool:
    assert pool.submit(abs, -1).result() == 1
"""
WIRED = """
import sys
from pathlib import Path
from opsbot.config_file import load
from opsbot.core.inhibitors import Inhibitors
from opsbot.daemon.wiring import _managers
from opsbot.runtime.ticks import utc_now
_managers(load(Path(sys.argv[1])), utc_now, Inhibitors())
print(*sorted({"dbus_fast", "opsbot.services.supervisor"} & set(sys.modules)))
"""
UNLOADED = """
import gc, types
from opsbot.cli import _parsed, own
from opsbot.runtime.memory import unload
from opsbot.config_file import load
del load
args = _parsed(["run", "-c", "config.toml"])
assert str(args.config) == "config.toml"
unload(*own._STARTING)
print(len([one for one in gc.get_objects() if isinstance(one, types.FunctionType)
           and str(one.__module__).startswith(own._STARTING)]))
"""
STARTED = """
import sys
import opsbot.cli.ask, opsbot.cli.parser
unneeded = {"ssl", "email", "http.client", "aiohttp", "asyncio", "opsbot.messages.incidents"}
print(*sorted(unneeded & set(sys.modules)))
"""
CONFIG = """
[discord]
token_env = "NONE"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
[roles]
admin = [100000000000000003]
[state]
directory = "{folder}"
[services.web]
"""


def said(program: str, *args: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_daemon_comes_without_libstdcxx_and_pools_of_processes_and_leaves_no_switch_behind() -> None:
    said(LEAN)


def test_a_verb_that_calls_the_daemon_loads_little() -> None:
    assert said(STARTED) == ""


def test_a_host_loads_only_the_managers_that_it_uses(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    text = CONFIG.format(folder=tmp_path)
    file.write_text(text + 'manager = "systemd"\nunit = "web.service"\n')
    assert said(WIRED, str(file)) == "dbus_fast"
    file.write_text(text + 'manager = "process"\ncommand = ["sleep", "1"]\nworking_directory = "/"\n')
    assert said(WIRED, str(file)) == "opsbot.services.supervisor"


def test_the_daemon_keeps_no_reader_of_configurations_and_of_arguments() -> None:
    assert said(UNLOADED) == "0"
