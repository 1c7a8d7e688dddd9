"""A service that is out to lead opsbot astray; and what is not there, or not allowed."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.errand_world import World, run


@pytest.fixture(scope="module")
def module_world() -> World:
    return World("errt-foe")


@pytest.fixture
def world(module_world: World) -> Iterator[World]:
    shutil.rmtree(module_world.directory / ".errands", ignore_errors=True)
    yield module_world
    module_world.end()


def as_app(script: str, check: bool = True) -> str:
    return run("setpriv", "--reuid=app", "--regid=app", "--clear-groups", "sh", "-c", script, check=check)


STEP = """
async def story(errands, bus):
    return await step(errands, "sh", "-c", "echo ran as intended")

main(story)
"""


async def test_a_folder_for_errands_that_the_service_can_write_to_leads_nowhere(world: World) -> None:
    errands = world.directory / ".errands"
    errands.mkdir()
    shutil.chown(errands, "opsbot", "app")
    errands.chmod(0o2770)  # more than opsbot asks for
    secret = world.scratch / "secret"
    secret.mkdir(exist_ok=True)
    (secret / "job.json").write_text("keep me")
    shutil.chown(secret, "opsbot")
    step = f"{errands}/step"
    for plant in (
        f"ln -s {secret} {step}",
        f"mkdir {step} && ln -s {secret}/job.json {step}/job.json && mkfifo -m 666 {step}/output",
    ):
        as_app(plant)
        said = await world.opsbot(STEP)
        assert not said["ok"]
        assert not said["lasting"]
        assert "step" in said["text"]
        assert (secret / "job.json").read_text() == "keep me"
        as_app(f"rm -rf {errands}/step")
    assert (await world.opsbot(STEP))["tail"] == "ran as intended"
    about = (errands / "step").stat()
    assert about.st_mode & 0o7777 == 0o2750
    assert as_app(f"touch {errands}/step/x; rm -f {errands}/step/job.json; ls {errands}/step", check=False) == ""


async def test_links_planted_in_shared_are_not_followed(world: World) -> None:
    secret = world.scratch / "elsewhere"
    secret.mkdir(exist_ok=True)
    shutil.chown(secret, "opsbot")
    shared = world.directory / "shared"
    as_app(f"ln -sfn {secret} {shared}/led; mkdir -m 2770 -p {shared}/real; ln -sfn {secret} {shared}/real/last")
    said = await world.opsbot(
        """
        from opsbot.deploy.releases import ReleaseError, Releases

        async def story(errands, bus):
            told = {}
            for number, wanted in enumerate(["led/in", "real/last/in", "real/fine", "real/last"]):
                releases = Releases(Source("unused", DIRECTORY, shared=(wanted,)), margin=0)
                name = f"20261124T12000{number}Z-aaaaaaaaaa"
                try:
                    releases.begin(name, closed=True)
                    told[wanted] = [render(remark) for remark in releases.share(name, guarded=True)]
                except ReleaseError as error:
                    told[wanted] = render(error.message)
                releases.discard(name, guarded=True)
            return told

        (DIRECTORY / "releases").mkdir(exist_ok=True)
        main(story)
        """
    )
    assert said["led/in"] == f"led/in cannot be shared: {shared}/led is a link, or no folder; put a folder there"
    assert "real/last is a link" in said["real/last/in"]
    assert said["real/fine"] == ["shared/real/fine was created, an empty folder"]
    assert said["real/last"] == []
    assert list(secret.iterdir()) == []
    assert as_app(f"touch {shared}/real/fine/x && echo yes") == "yes"


async def test_a_release_that_is_swapped_for_links_while_it_is_taken_away_leads_nowhere(world: World) -> None:
    precious = world.scratch / "precious"
    precious.mkdir(exist_ok=True)
    (precious / "file").write_text("x")
    run("chown", "-R", "opsbot", str(precious))
    said = await world.opsbot(
        f"""
        from opsbot.deploy.releases import Releases

        async def story(errands, bus):
            releases = Releases(Source("unused", DIRECTORY), margin=0)
            name = "20261124T140000Z-aaaaaaaaaa"
            folder = releases.begin(name, closed=True)
            os.umask(7)
            (folder / "src").mkdir()
            releases.let_in(name)
            script = "mkdir -p a/b src; ln -s {precious} a/link; ln -s {precious}/file file; ln -s {precious} a/b/c"
            planted = await step(errands, "sh", "-c", script + "; mv src a/; ln -s {precious} src", directory=folder)
            assert planted["ok"], planted
            releases.seal(name)
            mode = os.stat("{precious}/file").st_mode & 0o777
            releases.discard(name, guarded=True)
            return {{"mode": mode, "left": folder.exists()}}

        main(story)
        """
    )
    assert said == {"mode": 0o644, "left": False}
    assert (precious / "file").read_text() == "x"


async def test_checks_are_run_as_the_service_and_cut_at_their_time(world: World) -> None:
    said = await world.opsbot(
        """
        from opsbot.messages import render
        from opsbot.probes import Prober
        from opsbot.services.port import Activity, ServiceState

        async def story(errands, bus):
            prober = Prober(errands=errands)
            told = {}
            for name, script, seconds in (
                ("well", "echo as $(id -un)", 20), ("ill", "echo bad >&2; exit 3", 20),
                ("late", "trap '' TERM; sleep 77", 1),
            ):
                check = Check(name, CheckKind.COMMAND, run=("sh", "-c", script), timeout=timedelta(seconds=seconds))
                result = await prober.probe(SERVICE, check, ServiceState(Activity.RUNNING))
                told[name] = [result.ok, render(result.seen)]
            check = Check("none", CheckKind.COMMAND, run=("./none",))
            told["none"] = render((await prober.probe(SERVICE, check, ServiceState(Activity.RUNNING))).seen)
            told["state"] = await bus.get(f"opsbot-check-{NAME}.service", "ActiveState")
            return told

        release = DIRECTORY / "releases" / "20261124T150000Z-aaaaaaaaaa"
        release.mkdir(parents=True, exist_ok=True)
        if not (DIRECTORY / "current").is_symlink():
            (DIRECTORY / "current").symlink_to(release)
        main(story)
        """
    )
    assert said["well"] == [True, "exit 0: as app"]
    assert said["ill"] == [False, "exit 3: bad"]
    assert said["late"][0] is False
    assert "1 s" in said["late"][1]
    assert said["none"] == "the release has no ./none"
    assert said["state"] in {"inactive", "failed"}


async def test_old_files_are_swept_by_their_owner(world: World) -> None:
    shared = world.directory / "shared"
    as_app(f"mkdir -m 700 -p {shared}/temp; touch {shared}/temp/new")
    as_app(f"touch -d '3 days ago' {shared}/temp/old {shared}/temp/busy")
    secret = world.scratch / "kept"
    secret.mkdir(exist_ok=True)
    secret.chmod(0o777)
    (secret / "old").write_text("x")
    old = time.time() - 3 * 86400
    os.utime(secret / "old", (old, old))
    as_app(f"ln -sfn {secret} {shared}/temp2")
    holder = await asyncio.create_subprocess_exec(
        "setpriv", "--reuid=app", "--regid=app", "--clear-groups", "sh", "-c", f"exec 9<{shared}/temp/busy; sleep 60"
    )
    try:
        said = await world.opsbot(
            """
            from opsbot.core.globs import glob
            from opsbot.cleanup.as_service_user import clean_as_service_user

            async def story(errands, bus):
                patterns = [glob(f"{DIRECTORY}/shared/{name}") for name in ("temp/*", "temp2/*", "none/*")]
                swept = await clean_as_service_user(
                    errands, SERVICE, patterns, before=time.time() - 86400, most=10, keep_out={(1, 2)}
                )
                problems = [[pattern, deed, problem.why] for (pattern, deed), problem in swept.problems.items()]
                return {"files": swept.files, "busy": swept.in_use, "problems": problems}

            main(story)
            """
        )
    finally:
        holder.kill()
        await holder.wait()
    assert said["files"] == 1
    assert said["busy"] == 1
    assert said["problems"] == [[f"{shared}/temp2/*", "look", "it is a symbolic link or not a folder"]]
    assert sorted(path.name for path in (shared / "temp").iterdir()) == ["busy", "new"]
    assert (secret / "old").exists()


async def test_what_is_missing_or_forbidden_is_said_with_its_mend(world: World) -> None:
    story = """
        from opsbot.messages import describe

        async def story(errands, bus):
            told = {}
            for name, units in (("web", ("errt-foe.service",)), ("root", ("errt-root.service",)),
                                ("two", ("errt-foe.service", "errt-other.service")), ("none", ("errt-none.service",)),
                                ("dynamic", ("errt-dynamic.service",)), ("own", ("errt-own.service",))):
                service = replace(SERVICE, units=units)
                try:
                    told[name] = (await steps_of(service, errands, DIRECTORY, "")).abroad
                except ErrandError as error:
                    told[name] = describe(error)
            told["step"] = await step(errands, "true")
            nowhere = replace(SERVICE, name="errt-nowhere")
            told["no unit"] = (await step(errands, "true", service=nowhere))["text"]
            return told

        main(story)
        """
    units = Path("/etc/systemd/system")
    (units / "errt-root.service").write_text("[Service]\nExecStart=/bin/true\n")
    (units / "errt-other.service").write_text("[Service]\nUser=nobody\nExecStart=/bin/true\n")
    (units / "errt-own.service").write_text("[Service]\nUser=opsbot\nExecStart=/bin/true\n")
    (units / "errt-dynamic.service").write_text("[Service]\nDynamicUser=yes\nExecStart=/bin/true\n")
    rule = Path(f"/etc/polkit-1/rules.d/10-{world.name}.rules")
    kept = rule.read_text()
    rule.write_text("")
    run("systemctl", "daemon-reload")
    try:
        world.until_ruled(allowed=False)
        said = await world.opsbot(story)
    finally:
        rule.write_text(kept)
        world.until_ruled(allowed=True)
    assert said["web"] is True
    assert said["own"] is False
    assert said["root"].startswith("errt-root.service runs as root: whoever may push would be root")
    assert said["two"] == "errt-foe.service and errt-other.service run as different users: make it one (User=, Group=)"
    assert said["none"].startswith("errt-none.service cannot be used: systemd says not-found")
    assert "DynamicUser=" in said["dynamic"]
    assert said["step"]["text"].startswith("polkit does not let opsbot start opsbot-step-errt-foe.service")
    assert said["step"]["text"].endswith("run `opsbot install` as root")
    assert not said["step"]["lasting"]
    assert "opsbot-step-errt-nowhere.service" in said["no unit"]
    assert said["no unit"].endswith("does not exist: run `opsbot install` as root")


async def test_opsbots_user_can_start_its_errands_and_nothing_else(world: World) -> None:
    others = ["errt-else.service", "opsbot-step-errt-else.service"]
    for unit in others:
        Path(f"/etc/systemd/system/{unit}").write_text("[Service]\nExecStart=/bin/true\n")
    run("systemctl", "daemon-reload")
    said = await world.opsbot(
        """
        async def story(errands, bus):
            told = {}
            for unit in ("errt-else.service", "opsbot-step-errt-else.service", NAME + ".service"):
                try:
                    told[unit] = await bus.job(Verb.START, unit, within=timedelta(seconds=20))
                except BusError as error:
                    told[unit] = error.denied
            try:
                await bus.call("StartTransientUnit", "ssa(sv)a(sa(sv))", ["x.service", "fail", [], []])
            except BusError as error:
                told["transient"] = error.denied
            return told

        main(story)
        """
    )
    assert said == {**dict.fromkeys(others, True), "errt-foe.service": "done", "transient": True}


async def test_a_unit_that_cannot_be_set_up_is_not_the_commits_fault(world: World) -> None:
    unit = Path(f"/etc/systemd/system/opsbot-step-{world.name}.service")
    kept = unit.read_text()
    unit.write_text(kept.replace("\nPrivateTmp=", "\nReadWritePaths=/srv/is/not/there\nPrivateTmp="))
    run("systemctl", "daemon-reload")
    try:
        said = await world.opsbot(STEP)
        assert said["text"].startswith(f"opsbot-step-{world.name}.service could not begin: systemd could not set it up")
        assert "status 226" in said["text"]
        assert not said["lasting"]
        unit.write_text(kept.replace("User=app", "User=nobody"))
        run("systemctl", "daemon-reload")
        assert "runs as another user than errt-foe.service" in (await world.opsbot(STEP))["text"]
    finally:
        unit.write_text(kept)
        run("systemctl", "daemon-reload")
