"""What is deployed runs as the service's own user: steps, checks, clean-ups, a look at a process; on a real systemd."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.waiting import until
from tests.systemd.errand_world import World, run


@pytest.fixture(scope="module")
def module_world() -> World:
    return World("errt-web")


@pytest.fixture
def world(module_world: World) -> Iterator[World]:
    yield module_world
    module_world.end()


async def test_steps_end_as_they_would_as_children(world: World) -> None:
    said = await world.opsbot(
        """
        async def story(errands, bus):
            sh = lambda script, **more: step(errands, "sh", "-c", script, **more)
            return {
                "well": await sh("id -un; id -gn; umask; pwd; echo done >&2", directory=DIRECTORY / "shared"),
                "fails": await sh("echo no such package; exit 7"),
                "killed": await sh("kill -9 $$"),
                "late": await sh("echo begun; sleep 77", seconds=1.5),
                "stubborn": await sh("trap '' TERM; echo begun; sleep 77; sleep 77", seconds=1.5),
                "silent": await sh("exec >/dev/null 2>&1; sleep 0.3"),
                "daemon": await sh("setsid -f sh -c 'echo $$; exec sleep 77'; sleep 0.2"),
                "daemon and fails": await sh("setsid -f sleep 77; exit 3"),
                "full": await sh("echo 'write: No space left on device'; exit 1"),
                "none": await step(errands, "no-such-tool"),
                "no script": await step(errands, "./no-script"),
                "not for running": await step(errands, "./plain", directory=DIRECTORY / "shared"),
                "odd": await step(errands, "./odd", directory=DIRECTORY / "shared"),
                "nowhere": await sh("true", directory=DIRECTORY / "nowhere"),
                "states": [await bus.get(f"opsbot-{slot}-{NAME}.service", "ActiveState") for slot in Slot],
            }

        shared = DIRECTORY / "shared"
        (shared / "plain").write_text("")
        (shared / "odd").write_bytes(b"\\x7fELF")
        (shared / "odd").chmod(0o750)
        main(story)
        """
    )
    well = {"ok": True, "text": "done", "lasting": False, "full": False}
    assert said["well"] == {**well, "tail": f"app\napp\n0007\n{world.directory}/shared\ndone"}
    assert said["fails"] == {
        "ok": False, "text": "exit status 7", "tail": "no such package", "lasting": True, "full": False,
    }  # fmt: skip
    assert said["killed"]["text"] == "killed by SIGKILL (out of memory, or by somebody)"
    assert not said["killed"]["lasting"]
    for name in ("late", "stubborn"):
        text = "not done after 1.5 s; killed with all its processes"
        assert said[name] == {"ok": False, "text": text, "tail": "begun", "lasting": False, "full": False}
    assert said["silent"] == {**well, "tail": ""}
    assert said["daemon"]["ok"]
    assert not Path(f"/proc/{said['daemon']['tail']}").exists()
    assert said["daemon and fails"]["text"] == "exit status 3"
    assert (said["full"]["full"], said["full"]["lasting"]) == (True, False)
    assert said["none"]["text"].startswith("command no-such-tool not found on PATH (")
    assert said["no script"]["text"] == "the release has no ./no-script"
    assert said["not for running"]["text"] == "./plain is not executable"
    assert said["odd"]["text"] == "./odd cannot be started: Exec format error"
    assert said["nowhere"]["text"] == "the release has no folder nowhere"
    assert all(said[name]["lasting"] for name in ("none", "no script", "odd", "nowhere"))
    assert said["states"] == ["inactive", "inactive"]
    assert list((world.directory / ".errands" / "step").iterdir()) == []


async def test_endless_output_is_cut_and_does_not_stop_the_step(world: World) -> None:
    said = await world.opsbot(
        """
        async def story(errands, bus):
            result = await step(errands, "sh", "-c", "yes $(printf %0200d 0) | head -c 50000000; echo; echo done")
            return {**result, "kept": (OUT / "1.log").stat().st_size}

        main(story)
        """
    )
    assert said["ok"], said["text"]
    assert said["tail"].endswith("\ndone")
    assert 0 <= said["kept"] - 10 * 1024 * 1024 < 200


async def test_a_step_has_a_home_to_write_in_and_none_of_opsbots_environment(world: World) -> None:
    said = await world.opsbot(
        """
        async def story(errands, bus):
            os.environ["OPSBOT_DISCORD_TOKEN"] = "secret"
            script = "env; touch $HOME/x /tmp/t; test -t 0 || echo none; nice; cat /proc/self/oom_score_adj"
            result = await step(errands, "sh", "-c", script, A="b")
            return {**result, "kept": (OUT / "1.log").read_text()}

        main(story)
        """
    )
    assert said["ok"], said
    assert "secret" not in said["kept"]
    lines = said["kept"].splitlines()
    assert {"A=b", "CI=true", "USER=app", f"HOME=/var/cache/opsbot-step-{world.name}"} <= set(lines)
    assert lines[-3:] == ["none", "10", "500"]


async def test_a_step_gets_at_nothing_that_is_opsbots(world: World) -> None:
    releases = world.directory / "releases"
    shutil.rmtree(releases, ignore_errors=True)
    sealed = releases / "20261124T120000Z-aaaaaaaaaa"
    sealed.mkdir(parents=True)
    (sealed / "server.js").write_text("the release before")
    run("chown", "-R", "opsbot:app", str(releases))
    run("chmod", "-R", "u=rwX,g=rX,o=", str(releases))
    (sealed / "node_modules").mkdir()
    shutil.chown(sealed / "node_modules", "app", "app")
    (world.directory / "current").unlink(missing_ok=True)
    (world.directory / "current").symlink_to(sealed)
    Path("/etc/opsbot").mkdir(exist_ok=True)
    Path("/etc/opsbot/token").write_text("the token")
    Path("/etc/opsbot/token").chmod(0o600)
    tries = {
        "token": "cat /etc/opsbot/token",
        "database": "cat /var/lib/opsbot/opsbot.sqlite3",
        "state": "ls /var/lib/opsbot",
        "socket": f"ls /run/opsbot-{world.name}",
        "current": "ln -sfn /tmp current && mv -T current current.x",
        "release": f"echo bad >> {sealed}/server.js",
        "into release": f"touch {sealed}/more",
        "its own in the live release": f"touch {sealed}/node_modules/more",
        "job": "echo {} > .errands/step/job.json",
        "job's folder": "touch .errands/step/more",
        "etc": "touch /etc/systemd/system/x.service",
        "start": f"systemctl --no-ask-password start {world.unit}",
        "transient": "systemd-run --no-ask-password true",
        "errand": f"systemctl --no-ask-password start opsbot-check-{world.name}",
        "home": "touch /home/opsbot/x",
        "git": "ls mirror.git",
    }
    Path(world.directory / "mirror.git").mkdir(exist_ok=True)
    said = await world.opsbot(
        f"""
        TRIES = {tries!r}

        async def story(errands, bus):
            Path("/var/lib/opsbot/opsbot.sqlite3").write_text("the database")
            Path("/run/opsbot-{world.name}/control.sock").write_text("")
            return {{name: (await step(errands, "sh", "-c", script)) for name, script in TRIES.items()}}

        main(story)
        """
    )
    assert {name for name, result in said.items() if result["ok"]} == set()
    assert not any("the token" in result["tail"] or "the database" in result["tail"] for result in said.values())
    assert (sealed / "server.js").read_text() == "the release before"
    assert (world.directory / "current").readlink() == sealed


async def test_an_errand_left_running_by_an_opsbot_that_was_killed_is_ended_by_the_next(world: World) -> None:
    await world.begin(
        """
        async def story(errands, bus):
            return await step(errands, "sh", "-c", f"exec >/dev/null 2>&1; echo $$ > {DIRECTORY}/shared/left; sleep 77")

        main(story)
        """
    )
    left = world.directory / "shared" / "left"
    left.unlink(missing_ok=True)
    await until(lambda: not (not left.exists() or not left.read_text()), 20)
    pid = left.read_text().strip()
    run("systemctl", "kill", "-s", "KILL", f"errt-opsbot-{world.name}")
    assert Path(f"/proc/{pid}").exists()
    said = await world.opsbot(
        """
        async def story(errands, bus):
            first = await errands.end_left()
            return {"first": first, "second": await errands.end_left(), "after": await step(errands, "true")}

        main(story)
        """
    )
    assert (said["first"], said["second"]) == (1, 0)
    assert said["after"]["ok"]
    assert not Path(f"/proc/{pid}").exists()


async def test_a_cancelled_step_leaves_nothing(world: World) -> None:
    said = await world.opsbot(
        """
        async def story(errands, bus):
            place = DIRECTORY / "shared" / "pid"
            place.unlink(missing_ok=True)
            task = asyncio.create_task(step(errands, "sh", "-c", f"echo $$ > {place}; sleep 77"))
            while not place.exists() or not place.read_text():
                await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            state = await bus.get(f"opsbot-step-{NAME}.service", "ActiveState")
            return {"cancelled": task.cancelled(), "state": state, "pid": place.read_text().strip()}

        main(story)
        """
    )
    assert said["cancelled"]
    assert said["state"] in {"inactive", "failed"}
    assert not Path(f"/proc/{said['pid']}").exists()


async def test_the_working_directory_of_the_services_process_is_seen(world: World) -> None:
    release = world.directory / "releases" / "20261124T130000Z-bbbbbbbbbb"
    release.mkdir(parents=True, exist_ok=True)
    run("chown", "-R", "opsbot:app", str(world.directory / "releases"))
    (world.directory / "current").unlink(missing_ok=True)
    (world.directory / "current").symlink_to(release)
    run("systemctl", "restart", world.unit)
    pid = run("systemctl", "show", "-P", "MainPID", world.unit)
    said = await world.opsbot(
        f"""
        async def story(errands, bus):
            found = await errands.cwd_of(NAME, {pid})
            return {{"found": str(found), "gone": str(await errands.cwd_of(NAME, 4194000)),
                    "init": str(await errands.cwd_of(NAME, 1))}}

        main(story)
        """
    )
    assert said["found"] == str(release), said
    assert said["gone"] == "None"
    assert said["init"] == "None"
