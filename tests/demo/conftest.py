"""`opsbot demo` as a newcomer starts it, and a Chromium that looks at its page."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect

expect.set_options(timeout=20_000)  # on a machine that is busy with other things
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
START_SECONDS = 60
STOP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo: its process, the address it printed, and the folder that holds its own folder."""

    process: subprocess.Popen[str]
    url: str
    folder: Path

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C, as a terminal sends it: to the whole group. Its exit status."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        return self.process.wait(STOP_SECONDS)


def begin(folder: Path, *args: str) -> Demo:
    """Start a demo whose temporary files are in `folder`, and wait for its address."""
    if shutil.which("git") is None:
        pytest.skip("no git on this machine")
    process = subprocess.Popen(
        [sys.executable, "-m", "opsbot", "demo", "--port", "0", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    seen = []
    until = time.monotonic() + START_SECONDS
    for line in process.stdout:
        seen.append(line)
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return Demo(process, found[0], folder)
        assert time.monotonic() < until, "".join(seen)
    raise AssertionError(f"the demo ended with {process.wait()}: {''.join(seen)}")


def processes(folder: Path) -> dict[int, str]:
    """Every process that works in this folder or was started for it, by its pid."""
    found = {}
    needle = os.fsencode(folder)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    continue
                if needle in command or os.fsencode((entry / "cwd").readlink()).startswith(needle):
                    found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for all tests of a module."""
    started = begin(tmp_path_factory.mktemp("a demo's folder"))
    try:
        yield started
    finally:
        started.stop()
        if started.process.stdout is not None:
            started.process.stdout.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(demo: Demo) -> AsyncIterator[Page]:
    """The demo's page; an error in its console fails the tests."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-US", timezone_id="UTC")
        page.set_default_timeout(20_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(demo.url)
        await page.get_by_test_id("composer").wait_for()
        yield page
        await browser.close()
        assert errors == []


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a short path: the control socket's may have 107 bytes, and pytest's own folders are deep."""
    with tempfile.TemporaryDirectory(prefix="demo-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
