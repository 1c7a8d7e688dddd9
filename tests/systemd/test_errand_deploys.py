"""Whole deploys as user opsbot, of a service that runs as `app`: who owns what, what is taken over, what is pruned."""

import asyncio
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.sample import Remote
from tests.systemd.errand_world import World, run


@pytest.fixture
def world() -> Iterator[World]:
    world = World("errt-app")
    yield world
    world.end()


DEPLOY = """
from datetime import UTC, datetime
from opsbot.core.access import Actor, Origin, Ranks
from opsbot.core.deployment import Deployment, DeploymentKind, DeploymentRequest
from opsbot.deploy.deployer import Deployer
from opsbot.deploy.verify import Verifier
from opsbot.messages import render
from opsbot.runtime.change_notifier import ChangeNotifier
from opsbot.probes import Prober
from opsbot.services.systemd.manager import Systemd
from opsbot.store import Store, ledger


source = Source(REMOTE, DIRECTORY, keep=2, shared=("data", "deep/er"))
steps = (
    InstallStep(("sh", "install.sh"), when_changed=("package.json",), keep=("node_modules", "web/.venv")),
    InstallStep(("sh", "build.sh"), directory="web"),
)
second, minute = timedelta(seconds=1), timedelta(minutes=1)
check = Check("self", CheckKind.COMMAND, run=("./check.sh",), interval=second, timeout=minute)
SERVICE = replace(
    SERVICE, source=source, install=steps, checks=(check,), soak=second / 10, environment={"COLOUR": "blue"},
    verify_timeout=minute,
)
STATE = Path("/var/lib/opsbot/state") / NAME
CONFIG = Config(Path("/x"), Discord(Secret(env="X"), 1, 2), Ranks(), StateConfig(STATE), Http(None), {NAME: SERVICE})


def clock():
    return datetime.now(UTC)


def deploying(story):
    async def told(_, __):
        bus = SystemdBus()
        errands = UnitErrands(bus, {NAME: SERVICE})
        manager = Systemd({NAME: SERVICE}, STATE, clock, bus=bus, prove=errands.cwd_of)
        STATE.mkdir(parents=True, exist_ok=True)
        async with Store(CONFIG.state.database) as store:
            prober = Prober(clock=clock, errands=errands)
            managers = {NAME: manager}
            await manager.open()
            deployer = Deployer(
                CONFIG, store, ChangeNotifier(), managers, Verifier(prober, managers, clock), clock, margin=0,
                run_as=errands,
            )
            await deployer.settle()
            try:
                return await story(deployer, errands)
            finally:
                await asyncio.gather(*deployer._after)
                await deployer.close()
                prober.close()
                await manager.close()

    main(told)


async def deploy(deployer):
    begun = await deployer.start(DeploymentRequest(NAME, DeploymentKind.DEPLOY, Actor(Origin.CLI, "1", "ada")))
    assert isinstance(begun, Deployment), begun
    ended = await deployer.wait(begun.id)
    await asyncio.gather(*deployer._after)
    steps = [[render(step.name), step.ok, render(step.note), step.tail] for step in ended.steps]
    return {"phase": ended.phase, "note": render(ended.note), "release": ended.release_to, "steps": steps}
"""

FILES = {
    "package.json": '{"a": 1}\n',
    "install.sh": """\
set -e
id -un
mkdir -p node_modules/left-pad web/.venv/bin
date +%s%N > node_modules/stamp
echo x > node_modules/left-pad/x
chmod -R a-w,g-rwx node_modules/left-pad
echo "home = x" > web/.venv/pyvenv.cfg
echo "#!$(pwd)/web/.venv/bin/python" > web/.venv/bin/tool
echo more >> generated.txt
""",
    "web/build.sh": "echo $COLOUR > built.txt; id -un\n",
    "generated.txt": "from the commit\n",
    "check.sh": "#!/bin/sh\necho I am $(id -un) in $(pwd)\n",
    "data/first": "the commit's own\n",
}


def publish(remote: Remote, bare: Path) -> None:
    shutil.rmtree(bare, ignore_errors=True)
    shutil.copytree(remote.bare, bare)
    run("chown", "-R", "opsbot:", str(bare))


def deploying(bare: Path) -> str:
    """The program that deploys once, as opsbot."""
    return f"""
        REMOTE = {str(bare)!r}
        {textwrap.indent(DEPLOY, " " * 8).strip()}

        async def story(deployer, errands):
            return await deploy(deployer)

        deploying(story)
        """


@pytest.mark.timeout(300)
async def test_whole_deploys(world: World) -> None:
    remote = Remote(Path("/tmp/errt-remote"))
    remote.commit({**FILES, "version": "1"}, executable=["check.sh"])
    bare = Path("/srv/errt-remote.git")
    publish(remote, bare)
    shared = world.directory / "shared"
    story = deploying(bare)
    first = await world.opsbot(story, 120)
    assert first["phase"] == "live", first
    release = world.directory / "releases" / first["release"]
    assert (world.directory / "current").resolve() == release

    def about(path: Path) -> tuple[str, str, int]:
        return path.owner(), path.group(), path.stat().st_mode & 0o7777

    assert about(release) == ("opsbot", "app", 0o750)
    assert about(release / "check.sh") == ("opsbot", "app", 0o750)
    assert about(release / "package.json") == ("opsbot", "app", 0o640)
    assert about(release / "web")[0::2] == ("opsbot", 0o750)
    assert (release / "node_modules" / "stamp").owner() == "app"
    assert (release / "web" / "built.txt").read_text() == "blue\n"
    assert (release / "generated.txt").read_text() == "from the commit\nmore\n"
    assert (shared / "data" / "first").read_text() == "the commit's own\n"
    assert about(shared / "deep" / "er") == ("opsbot", "app", 0o2770)
    assert about(shared / "data") == ("opsbot", "app", 0o2770)
    assert (release / "deep" / "er").resolve() == shared / "deep" / "er"
    verify = next(step for step in first["steps"] if step[0].startswith("verify"))
    assert verify[1], verify

    seen = [first["release"]]
    inhabitant = await asyncio.create_subprocess_exec(
        "setpriv", "--reuid=app", "--regid=app", "--clear-groups", "sleep", "600", cwd=release
    )
    for version in ("2", "3", "4", "5"):
        if version == "5":
            kept = {path.name for path in (world.directory / "releases").iterdir()} - {".about"}
            assert kept == {seen[0], *seen[-2:]}, "a process of `app` works in the first one"
            inhabitant.kill()
            await inhabitant.wait()
        remote.commit({"version": version})
        publish(remote, bare)
        more = await world.opsbot(story, 120)
        assert more["phase"] == "live", (world.scratch / "out").read_text()
        assert "left behind" not in more["note"], more
        names = [step[2] for step in more["steps"] if step[0].startswith("sh install.sh")]
        assert "reused node_modules, web/.venv" in names[0], more
        seen.append(more["release"])
    newest = world.directory / "releases" / seen[-1]
    assert (newest / "node_modules" / "stamp").exists()
    assert (newest / "node_modules" / "stamp").owner() == "app"
    assert (newest / "web" / ".venv" / "bin" / "tool").read_text() == f"#!{newest}/web/.venv/bin/python\n"
    kept = {path.name for path in (world.directory / "releases").iterdir()} - {".about"}
    assert kept == set(seen[-2:]), "what is older is gone, what `app` owns in it too"


@pytest.mark.timeout(300)
async def test_an_opsbot_killed_in_the_middle_of_a_step_leaves_nothing_to_the_next() -> None:
    world = World("errt-cut")
    remote = Remote(Path("/tmp/errt-cut"))
    install = "mkdir -m 700 node_modules; touch node_modules/x; echo $$ > shared-pid; exec sleep 77 > /dev/null 2>&1\n"
    remote.commit({**FILES, "install.sh": install}, executable=["check.sh"])
    bare = Path("/srv/errt-cut.git")
    publish(remote, bare)
    releases = world.directory / "releases"
    try:
        await world.begin(deploying(bare))
        async with asyncio.timeout(60):
            while not (found := [path for path in releases.glob("2*/shared-pid") if path.read_text()]):
                await asyncio.sleep(0.1)  # between two looks
        pid = found[0].read_text().strip()
        run("systemctl", "kill", "-s", "KILL", f"errt-opsbot-{world.name}")
        assert Path(f"/proc/{pid}").exists()
        remote.commit({"install.sh": FILES["install.sh"]})
        publish(remote, bare)
        said = await world.opsbot(deploying(bare), 120)
        assert said["phase"] == "live", said
        assert not Path(f"/proc/{pid}").exists()
        assert {path.name for path in releases.iterdir()} - {".about"} == {said["release"]}
    finally:
        world.end()
