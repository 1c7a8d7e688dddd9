"""A systemd of its own for a test file: `opsbot install` writes under one name, which tests that share one cannot."""

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]
SCRIPTS = TOP / "tests" / "lab"
OPSBOT = Path(sys.executable).parent / "opsbot"
_SECONDS = 90


class Lab:
    """A laboratory that is up. What is written in it goes with it."""

    def __init__(self, name: str, *options: str) -> None:
        """Boot it."""
        self.name = name
        subprocess.run([SCRIPTS / "up", "-n", name, "-s", TOP, "-N", *options], check=True, timeout=_SECONDS)

    def down(self) -> None:
        """End it."""
        subprocess.run([SCRIPTS / "down", "-n", self.name], check=False, timeout=_SECONDS)

    def tries(self, *command: object, user: str = "", text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in there, whatever comes of it."""
        who = ["-u", user] if user else []
        words = [str(SCRIPTS / "run"), "-n", self.name, *who, *map(str, command)]
        return subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=_SECONDS)

    def does(self, *command: object, user: str = "", text: str = "") -> str:
        """What a command prints that has to succeed."""
        done = self.tries(*command, user=user, text=text)
        assert done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
        return done.stdout.strip()

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Write a file in there, as root."""
        self.does("install", "-D", "-m", mode, "/dev/stdin", path, text=text)

    def read(self, path: str) -> str:
        """A file in there, as root sees it."""
        return self.does("cat", path)


def missing() -> str:
    """Why no laboratory can be booted here; "" where one can."""
    if os.geteuid() != 0:
        return "a systemd of its own takes root"
    programs = ("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd")
    if not any(Path(each).exists() for each in programs) or not Path("/lib/systemd/systemd").exists():
        return "systemd, dbus and polkitd are missing"
    return ""
