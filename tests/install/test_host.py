"""`opsbot install` on a real host: what opsbot may do afterwards, and what nobody may do who should not."""

import re

import pytest

from opsbot.install import texts
from tests.install.conftest import APP, CONFIG
from tests.install.lab import OPSBOT, TOP, Lab

FILES = (
    "/etc/systemd/system/opsbot.service",
    "/etc/polkit-1/rules.d/50-opsbot.rules",
    "/etc/sysusers.d/opsbot.conf",
    "/etc/tmpfiles.d/opsbot.conf",
    "/etc/systemd/system/opsbot-step-inst.service",
    "/etc/systemd/system/opsbot-check-inst.service",
)
INSTALL = (OPSBOT, "install", "-c", "/etc/opsbot/config.toml")
BUS = "org.freedesktop.systemd1"
# What stands in for the daemon: everything but the program is the unit as it was written.
PROBE = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
StandardOutput=truncate:/run/probe.out
StandardError=inherit
ExecStart=
ExecStart=/bin/bash /run/probe.sh
"""
# Counts what it is asked by SIGHUP; the reload is that of the unit as it was written.
HEARS = """\
[Service]
Type=exec
Restart=no
WatchdogSec=0
ExecStart=
ExecStart=/bin/bash -c 'trap "echo heard >>/var/lib/opsbot/heard" HUP; while :; do /bin/sleep 0.05; done'
"""
ERRAND = """\
[Service]
StandardOutput=truncate:/run/probe.out
StandardError=inherit
ExecStart=
ExecStart=/bin/bash /run/probe.sh
"""


def inside(host: Lab, unit: str, script: str) -> list[str]:
    """What a script says that runs as a unit's program, in its sandbox."""
    dropin = f"/etc/systemd/system/{unit}.d/probe.conf"
    host.write(dropin, PROBE if unit == "opsbot.service" else ERRAND)
    host.write("/run/probe.sh", script, "0755")
    host.does("systemctl", "daemon-reload")
    try:
        done = host.tries("systemctl", "start", unit)
        assert done.returncode == 0, host.tries("journalctl", "-u", unit, "-n", "20").stdout
        return host.read("/run/probe.out").splitlines()
    finally:
        host.does("rm", "-r", f"/etc/systemd/system/{unit}.d")
        host.does("systemctl", "daemon-reload")


def asks(*commands: str) -> str:
    """A script that says of each command whether it was allowed, and why not."""
    return "\n".join(f"said=$({each} 2>&1) && echo yes || echo no $said" for each in commands)


def test_a_dry_run_shows_the_files_and_changes_nothing(bare: Lab) -> None:
    before = bare.does("find", "/etc", "/srv", "/var/lib", "-newer", "/etc/opsbot/config.toml")
    said = bare.does(*INSTALL, "--dry-run", user="app")
    assert re.findall(r"^==> (.*)$", said, re.MULTILINE) == list(FILES)
    assert bare.does("find", "/etc", "/srv", "/var/lib", "-newer", "/etc/opsbot/config.toml") == before
    assert bare.tries("id", "opsbot").returncode != 0


def test_who_is_not_root_is_told_what_to_type(bare: Lab) -> None:
    done = bare.tries(*INSTALL, user="app")
    assert done.returncode == 2
    assert f"sudo {OPSBOT} install -c /etc/opsbot/config.toml" in done.stderr


def test_without_a_terminal_nothing_is_written_unasked(bare: Lab) -> None:
    done = bare.tries(*INSTALL)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert bare.tries("test", "-e", FILES[0]).returncode != 0


def test_systemd_has_nothing_to_say_against_the_units(host: Lab) -> None:
    units = [name for name in FILES if name.endswith(".service")]
    done = host.tries("systemd-analyze", "verify", *units)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_configuration_fails_the_reload_of_the_unit_and_is_handed_on_like_a_right_one(host: Lab) -> None:
    seen = "PrivateTmp=no\n" if TOP.is_relative_to("/tmp") else ""
    host.write("/etc/systemd/system/opsbot.service.d/probe.conf", HEARS + seen)
    host.does("systemctl", "daemon-reload")
    try:
        host.does("systemctl", "start", "opsbot")
        pid = host.does("systemctl", "show", "-p", "MainPID", "--value", "opsbot")
        host.write("/etc/opsbot/config.toml", CONFIG.replace("guild_id", "gild_id"))
        done = host.tries("systemctl", "reload", "opsbot")
        assert (done.returncode, "failed" in done.stderr) == (1, True), done
        assert (
            "/etc/opsbot/config.toml:3: discord.gild_id" in host.tries("journalctl", "-u", "opsbot", "-n", "20").stdout
        )
        hears = ("timeout", "60", "bash", "-c", "until test -s /var/lib/opsbot/heard; do sleep 0.05; done")
        host.does(*hears)
        host.does("rm", "/var/lib/opsbot/heard")
        host.write("/etc/opsbot/config.toml", CONFIG)
        host.does("systemctl", "reload", "opsbot")
        host.does(*hears)
        assert host.does("systemctl", "show", "-p", "MainPID", "--value", "opsbot") == pid
    finally:
        host.write("/etc/opsbot/config.toml", CONFIG)
        host.does("systemctl", "stop", "opsbot")
        host.does("rm", "-r", "/etc/systemd/system/opsbot.service.d")
        host.does("rm", "-f", "/var/lib/opsbot/heard")
        host.does("systemctl", "daemon-reload")


def test_the_files_of_the_project_are_right_as_they_stand(host: Lab) -> None:
    host.does("mkdir", "-p", "/opt/opsbot/.venv/bin")
    host.does("ln", "-sf", OPSBOT, OPSBOT.parent / "python", "/opt/opsbot/.venv/bin/")
    units = sorted(path.name for path in texts.folder().glob("*.service"))
    assert len(units) == 5
    for name in units:
        scope = "--user" if "user" in name else "--system"
        done = host.tries("env", "XDG_RUNTIME_DIR=/run", "systemd-analyze", scope, "verify", texts.folder() / name)
        assert (done.returncode, done.stderr) == (0, ""), name


def test_the_example_unit_runs_node_and_lets_it_write_to_its_data_only(host: Lab) -> None:
    if host.tries("test", "-x", "/usr/bin/node").returncode != 0:
        pytest.skip("node is missing")
    unit, top = "voice-meeting-discord-bot.service", "/srv/voice-meeting-bot"
    host.does("useradd", "--system", "--user-group", "voice-meeting-bot")
    host.does("install", "-m", "0644", texts.folder() / unit, "/etc/systemd/system/")
    host.write("/etc/voice-meeting-bot.env", "SECRET=s3cret\n", "0600")
    for line in (texts.folder() / "opsbot.tmpfiles.conf").read_text().splitlines():
        if top in line:
            host.does("systemd-tmpfiles", "--create", "-", text=line + "\n")
    program = """
        const fs = require("fs");
        const tries = (path) => { try { fs.writeFileSync(path, "x"); return "written"; } catch (e) { return e.code; } };
        const said = [process.env.SECRET, tries("index.js"), tries("../../../shared/data"), tries("/var/tmp/x")];
        fs.writeFileSync("/srv/voice-meeting-bot/shared/said", said.join(" "));
        setInterval(() => {}, 1000);
    """
    host.does("install", "-d", "-o", "opsbot", "-g", "voice-meeting-bot", f"{top}/releases/r1/node-bot")
    host.write(f"{top}/releases/r1/node-bot/index.js", program)
    host.does("ln", "-s", "releases/r1", f"{top}/current")
    host.does("systemctl", "daemon-reload")
    host.does("systemctl", "start", unit)
    try:
        said = host.does(
            "bash", "-c", f"for i in $(seq 100); do cat {top}/shared/said 2>/dev/null && break; sleep 0.1; done"
        )
        assert said.split() == ["s3cret", "EROFS", "written", "written"]
        assert host.does("systemctl", "show", "-p", "NRestarts,ActiveState", "--value", unit).split() == ["0", "active"]
    finally:
        host.does("systemctl", "stop", unit)
        host.does("rm", f"/etc/systemd/system/{unit}")
        host.does("systemctl", "daemon-reload")


def test_the_daemon_is_closed_well(host: Lab) -> None:
    said = host.does("systemd-analyze", "security", "--no-pager", "opsbot.service").splitlines()[-1]
    level = float(re.findall(r": (\d+\.\d)", said)[0])
    assert level <= 2.0, said


def test_a_second_run_has_nothing_to_do(host: Lab) -> None:
    before = host.does("stat", "-c", "%n %i %Y %a %U %G", *FILES, "/srv/inst", "/srv/inst/shared")
    said = host.does(*INSTALL)
    assert "Nothing to do" in said
    assert host.does("stat", "-c", "%n %i %Y %a %U %G", *FILES, "/srv/inst", "/srv/inst/shared") == before


def test_it_starts_nothing_and_says_what_to_type_next(host: Lab) -> None:
    assert host.tries("systemctl", "is-active", "opsbot").stdout.strip() == "inactive"
    assert host.tries("systemctl", "is-enabled", "opsbot").stdout.strip() == "disabled"
    said = host.does(*INSTALL)
    assert "  systemctl enable --now opsbot\n" in said
    assert f"  runuser -u opsbot -- {OPSBOT} doctor -c /etc/opsbot/config.toml" in said


@pytest.mark.parametrize("where", ["shell", "unit"])
def test_opsbot_may_steer_its_units_and_no_other(host: Lab, where: str) -> None:
    questions = [
        "systemctl restart inst-app.service",
        "systemctl stop inst-app.service",
        "systemctl start inst-app.service",
        "systemctl reset-failed inst-app.service",
        "systemctl restart inst-other.service",
        "systemctl stop inst-other.service",
        "systemctl kill inst-app.service",
        "systemctl set-property --runtime inst-app.service MemoryMax=1G",
        "systemctl enable inst-app.service",
        "systemctl mask inst-app.service",
        "systemctl daemon-reload",
        "systemd-run --wait id",
        "systemd-run --unit=inst-app.service id",
        "systemctl restart opsbot-step-inst.service",
        f"busctl call {BUS} /org/freedesktop/systemd1 {BUS}.Manager RestartUnit ss inst-app.service replace",
    ]
    if where == "unit":
        answers = inside(host, "opsbot.service", asks(*questions))
    else:
        answers = host.does("bash", "-c", asks(*questions), user="opsbot").splitlines()
    assert [answer.split()[0] for answer in answers] == ["yes"] * 4 + ["no"] * 10 + ["yes"], answers
    for refused in answers[4:14]:
        assert "Access denied" in refused or "Permission denied" in refused, refused
    assert host.does("systemctl", "is-active", "inst-other.service") == "active"


def test_opsbot_needs_no_sudo_and_could_not_use_it(host: Lab) -> None:
    (said,) = inside(host, "opsbot.service", "grep NoNewPrivs /proc/self/status")
    assert said.split() == ["NoNewPrivs:", "1"]
    assert "sudo" not in host.read(FILES[0])


@pytest.mark.parametrize("where", ["shell", "unit"])
def test_opsbot_can_write_no_unit_and_no_drop_in(host: Lab, where: str) -> None:
    script = "\n".join(
        f"(: > {path}) 2>/dev/null && echo written || echo refused"
        for path in (
            "/etc/systemd/system/inst-app.service",
            "/etc/systemd/system/opsbot-step-inst.service",
            "/etc/systemd/system/new.service",
            "/run/systemd/system/new.service",
            "/run/systemd/transient/new.service",
            "/etc/polkit-1/rules.d/10-mine.rules",
            "/etc/opsbot/config.toml",
            "/srv/inst/releases/may-be-written",
        )
    )
    script += "\nrm /srv/inst/releases/may-be-written"
    script += "\nmkdir /etc/systemd/system/inst-app.service.d 2>/dev/null && echo written || echo refused"
    done = inside(host, "opsbot.service", script) if where == "unit" else host.does("bash", "-c", script, user="opsbot")
    answers = done if isinstance(done, list) else done.splitlines()
    assert answers == ["refused"] * 7 + ["written", "refused"]


def test_opsbot_has_its_token_its_configuration_its_state_and_the_journal(host: Lab) -> None:
    script = """
        cat $CREDENTIALS_DIRECTORY/discord-token
        head -c 9 /etc/opsbot/config.toml; echo
        echo x > $STATE_DIRECTORY/x && stat -c '%a %U %G' $STATE_DIRECTORY && rm $STATE_DIRECTORY/x
        stat -c '%a %U' /run/opsbot
        journalctl -q -u inst-app -n 1 -o cat | wc -l
        ls /proc/1/stat
        mkdir /srv/inst/releases/r1 && stat -c '%a %U %G' /srv/inst/releases/r1 && chmod 2770 /srv/inst/releases/r1
        stat -c '%a' /srv/inst/releases/r1
        chgrp app /srv/inst/releases/r1 && rmdir /srv/inst/releases/r1 && echo gone
        git -C /tmp init -q x && echo git
    """
    assert inside(host, "opsbot.service", script) == [
        "the-token-of-the-bot",
        "[discord]",
        "750 opsbot opsbot",
        "755 opsbot",
        "1",
        "/proc/1/stat",
        "2750 opsbot app",
        "2770",
        "gone",
        "git",
    ]


CLOSED = """
    id -un; id -gn
    for path in /etc/opsbot/discord-token /etc/opsbot/config.toml /var/lib/opsbot/opsbot.sqlite3; do
      cat $path >/dev/null 2>&1 && echo read || echo closed
    done
    ls /var/lib/opsbot >/dev/null 2>&1 && echo read || echo closed
    ls /etc/opsbot >/dev/null 2>&1 && echo read || echo closed
    ls /run/credentials/opsbot.service >/dev/null 2>&1 && echo read || echo closed
    ln -sfn /tmp /srv/inst/current 2>/dev/null && echo switched || echo refused
    rm -rf /srv/inst/releases/r1 2>/dev/null; ls /srv/inst/releases
    echo x > /srv/inst/shared/x && echo shared
    for unit in inst-app.service opsbot-step-inst.service inst-other.service; do
      systemctl --no-ask-password restart $unit 2>/dev/null && echo restarted || echo refused
    done
"""
SHUT = ["app", "app", *["closed"] * 6, "refused", "r1", "shared", *["refused"] * 3]


@pytest.fixture(scope="module")
def lived_in(host: Lab) -> Lab:
    """opsbot has run: there is a database, a control socket that listens, a release."""
    host.does("install", "-d", "-m", "0750", "-o", "opsbot", "-g", "opsbot", "/var/lib/opsbot")
    host.does("install", "-m", "0640", "-o", "opsbot", "-g", "opsbot", "/dev/null", "/var/lib/opsbot/opsbot.sqlite3")
    host.does("install", "-d", "-m", "0755", "-o", "opsbot", "-g", "opsbot", "/run/opsbot")
    host.does("touch", "/run/opsbot/control.sock")
    host.does(
        "bash", "-c", "umask 027; mkdir /srv/inst/releases/r1; echo code > /srv/inst/releases/r1/x", user="opsbot"
    )
    return host


def test_the_services_user_reads_no_secret_and_cannot_switch_its_release(lived_in: Lab) -> None:
    assert lived_in.does("bash", "-c", CLOSED, user="app").splitlines() == SHUT
    assert lived_in.does("cat", "/srv/inst/releases/r1/x", user="app") == "code"


@pytest.mark.parametrize("kind", ["step", "check"])
def test_an_errand_reads_no_secret_and_does_not_see_the_control_socket(lived_in: Lab, kind: str) -> None:
    script = CLOSED + "ls /run/opsbot/control.sock 2>/dev/null && echo seen || echo hidden\n"
    script += "systemd-run --no-ask-password id 2>/dev/null && echo ran || echo refused\n"
    script += "(echo x > /etc/x) 2>/dev/null && echo written || echo refused\n"
    script += "echo x > /srv/inst/.errands/x && rm /srv/inst/.errands/x && echo errands\n"
    assert inside(lived_in, f"opsbot-{kind}-inst.service", script) == [*SHUT, "hidden", "refused", "refused", "errands"]


def test_a_step_has_a_home_to_keep_what_it_fetched(lived_in: Lab) -> None:
    said = inside(
        lived_in, "opsbot-step-inst.service", "echo x > $HOME/kept && stat -c '%a %U' $HOME; echo $HOME; nice"
    )
    assert said == ["700 app", "/var/cache/opsbot-step-inst", "10"]


def test_node_and_native_builds_work_in_a_step(lived_in: Lab) -> None:
    if lived_in.tries("test", "-x", "/usr/bin/node").returncode != 0:
        pytest.skip("node is missing")
    script = """
        cd /srv/inst/shared && node -e 'for (let i = 0; i < 1e6; i++); console.log(6 * 7)'
        mkdir -p a/b && cp -a a c && echo copied
    """
    assert inside(lived_in, "opsbot-step-inst.service", script) == ["42", "copied"]


def test_opsbots_own_user_starts_and_stops_an_errand_and_it_runs_as_the_services_user(lived_in: Lab) -> None:
    dropin = "/etc/systemd/system/opsbot-step-inst.service.d/probe.conf"
    lived_in.write(dropin, "[Service]\nExecStart=\nExecStart=/bin/sleep 300\n")
    lived_in.does("systemctl", "daemon-reload")
    try:
        lived_in.does("systemctl", "start", "--no-block", "opsbot-step-inst.service", user="opsbot")
        pid = lived_in.does("systemctl", "show", "-p", "MainPID", "--value", "opsbot-step-inst.service")
        # Just forked, it is root's still, until systemd has made it what the unit says and the program begins.
        waiting = (
            f"for i in $(seq 300); do grep -qx sleep /proc/{pid}/comm && break; sleep 0.1; done; stat -c %U /proc/{pid}"
        )
        assert lived_in.does("bash", "-c", waiting) == "app"
        lived_in.does("systemctl", "stop", "opsbot-step-inst.service", user="opsbot")
        assert lived_in.tries("test", "-e", f"/proc/{pid}").returncode != 0
    finally:
        lived_in.does("rm", "-r", "/etc/systemd/system/opsbot-step-inst.service.d")
        lived_in.does("systemctl", "daemon-reload")


def test_the_daemon_itself_runs_in_its_unit_and_restarts_what_it_may(lived_in: Lab) -> None:
    lived_in.does("rm", "-r", "/run/opsbot")
    if TOP.is_relative_to("/tmp"):
        lived_in.write("/etc/systemd/system/opsbot.service.d/place.conf", "[Service]\nPrivateTmp=no\n")
        lived_in.does("systemctl", "daemon-reload")
    lived_in.does("systemctl", "start", "opsbot.service")
    try:
        before = lived_in.does("systemctl", "show", "-p", "InvocationID", "inst-app.service")
        assert "inst restarted" in lived_in.does(OPSBOT, "restart", "inst")
        assert lived_in.does("systemctl", "show", "-p", "InvocationID", "inst-app.service") != before
        assert "unit" in lived_in.tries(OPSBOT, "health").stdout
        said = lived_in.tries("runuser", "-u", "opsbot", "--", OPSBOT, "doctor", "-c", "/etc/opsbot/config.toml").stdout
        assert re.search(r"ok +inst, polkit: inst-app.service", said), said
        assert re.search(r"ok +inst, journal: inst-app.service", said), said
        assert re.search(r"ok +inst, /srv/inst +is writable and readable by group app", said), said
        # Somebody without a rank, who may not even look into /etc/opsbot, is heard and refused.
        done = lived_in.tries(OPSBOT, "restart", "inst", user="app")
        assert done.returncode == 4, done.stderr
    finally:
        lived_in.does("rm", "-rf", "/etc/systemd/system/opsbot.service.d")
        lived_in.does("systemctl", "stop", "opsbot.service")
    assert lived_in.does("systemctl", "is-active", "inst-app.service") == "active"


def test_a_changed_configuration_is_shown_as_a_diff_and_what_is_needed_no_more_goes(host: Lab) -> None:
    second = (
        CONFIG.split("[services.inst]")[1].replace("services.inst", "services.more").replace("/srv/inst", "/srv/more")
    )
    more = CONFIG + "[services.more]" + second.replace("inst-app", "more-app")
    host.write("/etc/systemd/system/more-app.service", APP)
    host.does("systemctl", "daemon-reload")
    host.write("/etc/opsbot/config.toml", more)
    try:
        said = host.does(*INSTALL, "--yes")
        assert '-    var services = ["inst-app.service"];' in said
        assert '+    var services = ["inst-app.service", "more-app.service"];' in said
        assert re.search(r"^new +/etc/systemd/system/opsbot-step-more.service$", said, re.MULTILINE)
        assert host.does("stat", "-c", "%a %U %G", "/srv/more") == "2750 opsbot app"
        host.does("systemctl", "restart", "more-app.service", user="opsbot")
    finally:
        host.write("/etc/opsbot/config.toml", CONFIG)
        said = host.does(*INSTALL, "--yes")
    assert re.search(r"^no longer needed +/etc/systemd/system/opsbot-step-more.service$", said, re.MULTILINE)
    assert host.tries("test", "-e", "/etc/systemd/system/opsbot-step-more.service").returncode != 0
    assert host.tries("systemctl", "restart", "more-app.service", user="opsbot").returncode != 0
    assert host.does("stat", "-c", "%a %U %G", "/etc/opsbot/config.toml") == "640 root opsbot"


CHILD = (
    CONFIG.split("[services.inst]", maxsplit=1)[0]
    + """
[services.child]
manager = "process"
command = ["sleep", "4711"]
working_directory = "/srv"
"""
)


def test_a_service_of_opsbots_own_lives_on_while_opsbot_is_restarted(host: Lab) -> None:
    host.write("/etc/opsbot/config.toml", CHILD)
    try:
        said = host.does(*INSTALL, "--yes")
        assert re.search(rf"^no longer needed +{FILES[1]}$", said, re.MULTILINE)
        host.does("systemctl", "restart", "opsbot.service")
        waiting = "for i in $(seq 300); do pgrep -xf 'sleep 4711' && break; sleep 0.1; done"
        pid = host.does("bash", "-c", waiting)
        assert pid
        host.does("systemctl", "restart", "opsbot.service")
        assert host.does("pgrep", "-xf", "sleep 4711") == pid
    finally:
        host.does("systemctl", "stop", "opsbot.service")
        host.does("pkill", "-xf", "sleep 4711")
        host.write("/etc/opsbot/config.toml", CONFIG)
        host.does(*INSTALL, "--yes")


def test_a_file_edited_by_hand_is_kept_and_shown(host: Lab) -> None:
    before = host.read(FILES[0])
    host.does("sed", "-i", "s/^MemoryMax=.*/MemoryMax=1G/", FILES[0])
    done = host.tries(*INSTALL, "--yes")
    assert done.returncode == 1
    assert "-MemoryMax=1G" in done.stdout
    assert f"Kept with manual edits: {FILES[0]}" in done.stdout
    assert "MemoryMax=1G" in host.read(FILES[0])
    # On a terminal it is asked about.
    typed = f"script -qec '{OPSBOT} install -c /etc/opsbot/config.toml' /dev/null"
    said = host.does("bash", "-c", f"(sleep 1; echo yes) | {typed}")
    assert "Discard these edits? (yes or no)" in said
    assert host.read(FILES[0]) + "\n" == before + "\n"


def test_a_file_of_somebody_elses_is_never_touched_and_nothing_else_is_written(host: Lab) -> None:
    host.does("mv", FILES[2], "/root/away")
    host.write(FILES[2], "u opsbot - mine\n")
    host.does("touch", "-d", "2020-01-01", FILES[2])
    done = host.tries(*INSTALL, "--yes")
    assert done.returncode == 1
    assert f"{FILES[2]} exists and was not written by `opsbot install`; move it away first" in done.stderr
    assert host.read(FILES[2]) == "u opsbot - mine"
    host.does("mv", "/root/away", FILES[2])


def test_uninstall_leaves_no_trace_of_what_install_wrote(lived_in: Lab) -> None:
    lived_in.write("/etc/systemd/system/opsbot-mine.service", "[Service]\nExecStart=/bin/true\n")
    invocation = lived_in.does("systemctl", "show", "-p", "InvocationID", "inst-app.service")
    said = lived_in.does(OPSBOT, "uninstall", "--yes")
    for path in FILES:
        assert lived_in.tries("test", "-e", path).returncode != 0, path
        assert re.search(rf"^goes +{re.escape(path)}$", said, re.MULTILINE)
    assert lived_in.does("find", "/etc", "-name", "*opsbot*") == "/etc/systemd/system/opsbot-mine.service\n/etc/opsbot"
    assert "/var/lib/opsbot: opsbot's state; --purge removes it" in said
    assert lived_in.does("systemctl", "show", "-p", "InvocationID", "inst-app.service") == invocation
    assert lived_in.tries("systemctl", "restart", "inst-app.service", user="opsbot").returncode != 0
    assert "Nothing to do" in lived_in.does(OPSBOT, "uninstall", "--yes")


def test_uninstall_needs_no_configuration_that_is_right(lived_in: Lab) -> None:
    lived_in.does(*INSTALL, "--yes")
    lived_in.write("/etc/opsbot/broken.toml", "[discord]\nguild_id = 'none'\n[servces]\n")
    said = lived_in.does(OPSBOT, "uninstall", "-c", "/etc/opsbot/broken.toml", "--yes")
    lived_in.does("rm", "/etc/opsbot/broken.toml")
    first, *_ = said.splitlines()
    assert first.startswith("The configuration is invalid; using the installed files instead: /etc/opsbot/broken.toml:")
    assert first.endswith("more mistakes)")
    for path in FILES:
        assert lived_in.tries("test", "-e", path).returncode != 0, path
    assert "/var/lib/opsbot: opsbot's state; --purge removes it" in said


def test_purge_takes_its_memory_and_its_user_too(lived_in: Lab) -> None:
    lived_in.does(*INSTALL, "--yes")
    said = lived_in.does(OPSBOT, "uninstall", "--yes", "--purge")
    assert "the user opsbot" in said
    assert lived_in.tries("id", "opsbot").returncode != 0
    for path in ("/var/lib/opsbot", "/var/cache/opsbot-step-inst"):
        assert lived_in.tries("test", "-e", path).returncode != 0, path
    assert lived_in.does("cat", "/srv/inst/releases/r1/x", user="app") == "code"


def test_purge_is_not_too_late_after_an_uninstall(lived_in: Lab) -> None:
    lived_in.does(*INSTALL, "--yes")
    lived_in.does("install", "-d", "-o", "opsbot", "-g", "opsbot", "/var/lib/opsbot")
    lived_in.does("touch", "/var/lib/opsbot/opsbot.sqlite3")
    assert "--purge removes it" in lived_in.does(OPSBOT, "uninstall", "--yes")
    said = lived_in.does(OPSBOT, "uninstall", "--yes", "--purge")
    assert "Removed, with /var/lib/opsbot" in said
    assert "the user opsbot" in said
    assert lived_in.tries("id", "opsbot").returncode != 0
    assert "Nothing to do" in lived_in.does(OPSBOT, "uninstall", "--yes", "--purge")
