"""The laboratory is what the other tests here take it for."""

import subprocess
from pathlib import Path


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_systemd_is_the_first_process() -> None:
    assert Path("/proc/1/comm").read_text().strip() == "systemd"


def test_units_can_be_started_and_their_log_read() -> None:
    unit = Path("/etc/systemd/system/lab-hello.service")
    unit.write_text("[Service]\nType=oneshot\nExecStart=/bin/echo hello from here\n")
    output("systemctl", "daemon-reload")
    output("systemctl", "start", "lab-hello")
    output("journalctl", "--sync")
    assert "hello from here" in output("journalctl", "-u", "lab-hello", "-o", "cat")
