"""A host of its own: a real systemd on which opsbot is installed as docs/installing.md says, command by command."""

import os
import subprocess
from pathlib import Path

TOP = Path(__file__).parents[2]
SCRIPTS = TOP / "tests" / "lab"
_SECONDS = 300


class Host:
    """A laboratory that can be rebooted: what is written on it stays. It shares the network of this machine."""

    def __init__(self, name: str, disk: Path) -> None:
        """`disk`: a folder for what is written: a tmpfs is mounted there, for it must not lie where / lies."""
        self.name, self.disk = name, disk
        disk.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
        self.boot()

    def boot(self) -> None:
        """Start it."""
        command = [str(SCRIPTS / "up"), "-n", self.name, "-s", str(TOP), "-k", str(self.disk)]
        subprocess.run(command, check=True, timeout=_SECONDS)

    def power_off(self) -> None:
        """As if the plug were pulled."""
        subprocess.run([SCRIPTS / "down", "-n", self.name], check=False, timeout=_SECONDS)

    def remove(self) -> None:
        """End it, with all that was written."""
        self.power_off()
        subprocess.run(["umount", self.disk], check=False)

    def tries(self, *command: object, user: str = "", text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command on it, whatever comes of it."""
        who = ["-u", user] if user else []
        words = [str(SCRIPTS / "run"), "-n", self.name, "-t", str(_SECONDS), *who, *map(str, command)]
        return subprocess.run(words, input=text, capture_output=True, text=True, check=False)

    def does(self, *command: object, user: str = "", text: str = "") -> str:
        """What a command prints that has to succeed."""
        done = self.tries(*command, user=user, text=text)
        assert done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
        return done.stdout.strip()

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Write a file on it, as root."""
        self.does("install", "-D", "-m", mode, "/dev/stdin", path, text=text)

    def journal(self, unit: str) -> str:
        """The end of a unit's log, for a failure's message."""
        return self.tries("journalctl", "-q", "-n", "60", "-o", "cat", "-u", unit).stdout


def missing() -> str:
    """Why no host can be made here; "" where one can."""
    if os.geteuid() != 0:
        return "a systemd of its own takes root"
    for program in ("/lib/systemd/systemd", "/usr/bin/node", "/usr/bin/npm", "/usr/bin/python3"):
        if not Path(program).exists():
            return f"{program} is missing"
    return ""
