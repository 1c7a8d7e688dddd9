"""Install steps: their limits, their output, their environment."""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from opsbot.deploy.steps import StepResult, environment, run_step
from tests.fixtures.said import said
from tests.fixtures.waiting import until


async def run(tmp_path: Path, *command: str, seconds: float = 10, most: int = 10_000_000) -> StepResult:
    return await run_step(
        command,
        directory=tmp_path,
        env=environment({"HOME": str(tmp_path)}),
        timeout=timedelta(seconds=seconds),
        output=tmp_path / "out" / "1.log",
        most=most,
    )


async def test_output_is_kept_whole_and_its_last_lines_are_clean(tmp_path: Path) -> None:
    script = "import sys\nfor i in range(30): print(f'\\x1b[31mline {i}\\x1b[0m\\r')\n"
    script += "print('no end', end='', file=sys.stderr); sys.exit(3)"
    result = await run(tmp_path, sys.executable, "-u", "-c", script)
    assert not result.ok
    assert result.lasting
    assert said(result.ending) == "exit status 3"
    assert result.tail.splitlines() == [f"line {i}" for i in range(16, 30)] + ["no end"]
    assert (tmp_path / "out/1.log").read_bytes().count(b"\x1b[31mline") == 30


async def test_endless_output_is_cut_and_does_not_stop_the_step(tmp_path: Path) -> None:
    result = await run(tmp_path, "sh", "-c", "yes | head -c 3000000; echo done", most=1000)
    assert result.ok
    kept = (tmp_path / "out/1.log").read_text()
    assert len(kept) < 1200
    assert kept.endswith("[opsbot keeps the first 1000 B of a step's output]\n")


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
async def test_a_step_over_its_time_dies_with_all_its_children(tmp_path: Path, trap: str) -> None:
    script = f"{trap}sleep 7777 & echo $!; sleep 7777"
    result = await run(tmp_path, "sh", "-c", script, seconds=0.3)
    assert not result.ok
    assert not result.lasting
    assert said(result.ending) == "not done after 300 ms; killed with all its processes"
    assert await gone_soon(int(result.tail.split()[0]))


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def gone_soon(pid: int) -> bool:
    """Whether it is gone: what was killed goes once it is its turn on the processor."""
    for _ in range(200):
        if await asyncio.to_thread(gone, pid):
            return True
        await asyncio.sleep(0.05)  # between two looks
    return False


async def test_what_a_step_leaves_in_the_background_goes_with_it(tmp_path: Path) -> None:
    result = await run(tmp_path, "sh", "-c", "sleep 77 & echo $!")
    assert result.ok
    assert await gone_soon(int(result.tail))


@pytest.mark.parametrize("end", ["", "; sleep 77"])
async def test_a_child_in_a_session_of_its_own_goes_with_the_step(tmp_path: Path, end: str) -> None:
    child = "setsid -f sh -c 'echo $$ > pid; exec sleep 77'; while ! [ -s pid ]; do sleep 0.05; done"
    result = await run(tmp_path, "sh", "-c", child + end, seconds=5)
    assert result.ok is not bool(end)
    assert await gone_soon(int((tmp_path / "pid").read_text()))


async def test_a_cancelled_step_leaves_nothing(tmp_path: Path) -> None:
    task = asyncio.create_task(run(tmp_path, "sh", "-c", "echo $$ > pid; sleep 77"))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(int((tmp_path / "pid").read_text()))


async def test_a_step_gets_none_of_opsbots_secrets_and_no_terminal(tmp_path: Path) -> None:
    os.environ["OPSBOT_DISCORD_TOKEN"] = "secret"
    try:
        result = await run(
            tmp_path,
            "sh",
            "-c",
            "env; test -t 0 || echo no terminal; while [ $(cat /proc/self/oom_score_adj) = 0 ]; do sleep 0.05; done; "
            "nice; cat /proc/self/oom_score_adj",
        )
    finally:
        del os.environ["OPSBOT_DISCORD_TOKEN"]
    kept = (tmp_path / "out/1.log").read_text()
    assert result.ok
    assert "secret" not in kept
    assert "CI=true" in kept
    assert "no terminal" in kept
    assert kept.splitlines()[-2:] == ["10", "500"]


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("no-such-tool", "command no-such-tool not found on PATH"),
        ("./no-script", "the release has no ./no-script"),
        ("./plain", "./plain is not executable"),
        ("./odd", "cannot be started: Exec format error"),
    ],
)
async def test_what_cannot_be_started_is_said_in_words(tmp_path: Path, command: str, text: str) -> None:
    (tmp_path / "plain").write_text("")
    (tmp_path / "odd").write_bytes(b"\x7fELF")
    (tmp_path / "odd").chmod(0o755)
    result = await run(tmp_path, command)
    assert not result.ok
    assert text in said(result.ending)


async def test_a_step_that_runs_out_of_space_is_not_the_commits_fault(tmp_path: Path) -> None:
    result = await run(tmp_path, "sh", "-c", "echo 'write: No space left on device'; exit 1")
    assert result.no_space
    assert not result.lasting


async def test_a_step_killed_from_outside_is_not_the_commits_fault(tmp_path: Path) -> None:
    result = await run(tmp_path, "sh", "-c", "kill -9 $$")
    assert said(result.ending) == "killed by SIGKILL (out of memory, or by somebody)"
    assert not result.lasting
