"""The configuration as frozen values, and the declaration of every key of `config.toml`.

Each key is declared here once, as a field (`opsbot.core.keys` says how); those of windows, ranks, recovery and check
policies are fields of the values in `opsbot.core`. Reading and checking the file is `opsbot.config_file`'s work; this
module is what everything else imports. Durations are `timedelta`, sizes are bytes, ids are strings where they are
compared with Discord's, integers where they are sent.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from opsbot.core.access import Ranks
from opsbot.core.capabilities import Capabilities
from opsbot.core.flapping import FlapPolicy
from opsbot.core.health import CheckPolicy
from opsbot.core.keys import (
    DAY,
    HOUR,
    MILLISECOND,
    MINUTE,
    NO_TIME,
    NOT_IN_FILE,
    SECOND,
    Format,
    Key,
    Reload,
    ServiceName,
)
from opsbot.core.recovery import RecoveryPolicy
from opsbot.core.windows import Window


class SecretMissingError(Exception):
    """A secret that the configuration names cannot be read; the text names where it should be."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is kept: an environment variable, or a file. The value is never kept in here, nor printed."""

    env: str | None = None
    file: Path | None = None

    def read(self) -> str:
        """The secret itself.

        A relative file is looked for in `$CREDENTIALS_DIRECTORY` (systemd.exec(5), LoadCredential=).

        Raises:
            SecretMissingError: the variable is not set, or the file cannot be read or is empty.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "").strip()
            if not value:
                msg = f"the environment variable {self.env} is not set"
                raise SecretMissingError(msg)
            return value
        if self.file is None:
            msg = "no place is named for this secret"
            raise SecretMissingError(msg)
        path = self.file
        if not path.is_absolute() and "CREDENTIALS_DIRECTORY" in os.environ:
            path = Path(os.environ["CREDENTIALS_DIRECTORY"]) / path
        try:
            value = path.read_text().strip()
        except OSError as error:
            msg = f"the file {path} cannot be read: {error.strerror}"
            raise SecretMissingError(msg) from error
        if not value:
            msg = f"the file {path} is empty"
            raise SecretMissingError(msg)
        return value


UnitName = Annotated[str, Key(Format.UNIT)]
FilePattern = Annotated[str, Key(what="a pattern", example="docs/**", most=500)]
PathInRelease = Annotated[str, Key(Format.INSIDE, what="the release", example="node-bot/package-lock.json")]
PathInStep = Annotated[str, Key(Format.INSIDE, what="the step's directory", example="node_modules")]
NotifierName = Annotated[str, Key(what="the name of a notifier", example="phone", most=64)]
HeaderValue = Annotated[str, Key(what="a header's value", example="text/plain", most=8000)]
Regex = Annotated[str, Key(Format.REGEX)]
AnyText = Annotated[str, Key(Format.ANY_TEXT)]
Reminder = Annotated[timedelta, Key(least=MINUTE, most=30 * DAY, example="30m")]
TlsServer = Annotated[tuple[str, int], Key(Format.TLS_SERVER)]
Percentage = Annotated[int, Key(least=0, most=99, what="a percentage, or 0 for off,", example="90")]


@dataclass(frozen=True, slots=True)
class Discord:
    """The Discord server and the channel opsbot lives in."""

    token: Annotated[Secret, Key(example="discord-token")]
    """The bot's token."""
    guild_id: Annotated[int, Key(Format.SNOWFLAKE, what="the id of your Discord server")]
    """The server's id. In Discord: Settings > Advanced > Developer Mode on, then right-click the server > Copy Server
    ID."""
    ops_channel_id: Annotated[int, Key(Format.SNOWFLAKE, what="the id of the ops channel")]
    """The channel where deploys and alerts are posted. Right-click the channel > Copy Channel ID."""
    api_url: Annotated[
        str | None, Key(Format.HTTP_URL, example="http://127.0.0.1:8765/api/v10", unset="Discord itself")
    ] = None
    """Another server that speaks Discord's API, such as the stand-in of `opsbot demo`."""
    board: bool = True
    """A status board: one message in the ops channel, pinned where opsbot may pin, that shows the state of every
    service and of the host. It is posted once, notifies nobody, and is edited at most once a minute, when something has
    changed. `false` removes it."""


@dataclass(frozen=True, slots=True)
class StateConfig:
    """Where opsbot keeps what it must remember."""

    directory: Annotated[Path, Key(Format.FOLDER, example="/var/lib/opsbot", reload=Reload.NEVER)] = Path(
        "/var/lib/opsbot"
    )
    """The database, the output of build steps, the logs of supervised services, and the control socket where systemd
    gives no runtime directory. The default is what `StateDirectory=opsbot` of the systemd unit creates."""

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.directory / "opsbot.sqlite3"

    @property
    def socket(self) -> Path:
        """The control socket: in `$RUNTIME_DIRECTORY` (systemd.exec(5)), else in the state directory."""
        runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
        return Path(runtime or self.directory) / "control.sock"

    @property
    def output(self) -> Path:
        """Where the output of build steps is kept, a folder a deployment."""
        return self.directory / "deployments"

    @property
    def services(self) -> Path:
        """Where the supervisor keeps its run records and the services' logs."""
        return self.directory / "services"


@dataclass(frozen=True, slots=True)
class Http:
    """The local HTTP endpoint: `/healthz`, `/readyz`, `/metrics`, and `/hooks/github`, `/hooks/gitlab`, `/hooks/gitea`.

    `host` None turns it off.
    """

    host: Annotated[str | None, NOT_IN_FILE] = "127.0.0.1"
    port: Annotated[int, NOT_IN_FILE] = 9464

    @property
    def listen(self) -> Annotated[tuple[str | None, int], Key(Format.LISTEN)]:
        """The address and port to listen on, or `"off"`. Only this machine can reach the default; pushes from a forge
        come in through a reverse proxy in front of it.
        """
        return self.host, self.port


class Scope(StrEnum):
    """Whose systemd it is."""

    SYSTEM = "system"
    USER = "user"


@dataclass(frozen=True, slots=True)
class SystemdConfig:
    """Which systemd keeps the units of services with `manager = "systemd"`."""

    scope: Scope = Scope.SYSTEM
    """`"system"`: the host's own; a polkit rule lets opsbot manage exactly the configured units (`opsbot install`).
    `"user"`: that of the user opsbot runs as, with lingering; needs no privileges, but opsbot and the services then
    share one user."""


@dataclass(frozen=True, slots=True)
class HostChecks:
    """What opsbot monitors on the host itself.

    On by default: what takes services down and can be predicted (full disks, no memory left, expiring certificates).
    The rest is on where you set it. An alert needs a figure that stays bad, and resolves only when it stays good by a
    margin: five percentage points, or a fifth of a smaller threshold.
    """

    interval: Annotated[timedelta, Key(least=10 * SECOND, most=10 * MINUTE)] = timedelta(minutes=1)
    """How often the host and each service are measured. One sample a minute takes 24 bytes per figure and shows every
    leak."""
    sustained: Annotated[timedelta, Key(least=NO_TIME, most=DAY)] = timedelta(minutes=5)
    """How long a figure must be bad before an alert is sent. A build or a backup may fill memory for a minute."""
    settled: Annotated[timedelta, Key(least=NO_TIME, most=DAY)] = timedelta(minutes=5)
    """How long the figure must be good again, by the margin, before the alert resolves."""
    disk: Percentage = 90
    """Percent of a file system in use, of those that hold the state, the services and `/`. At 90 there is mostly time
    left to act. 0 turns it off, the forecast as well."""
    disk_ahead: Annotated[timedelta, Key(least=NO_TIME, most=7 * DAY)] = timedelta(hours=6)
    """A file system that fills steadily causes an alert this long before it is full, however empty it is now. Six
    hours leave time to act the same day. `0s` turns the forecast off."""
    inodes: Percentage = 90
    """Percent of a file system's inodes in use: many small files fill it too. 0 turns it off."""
    memory_available: Percentage = 5
    """Percent of memory that is still available, caches counted as such; below it the kernel soon kills something. 0
    turns it off."""
    swap: Percentage = 0
    """Percent of swap in use. Off: much of what lies there may never be needed again. 0 turns it off; try 80."""
    pressure: Percentage = 0
    """Percent of the last minute in which some task waited for memory (`/proc/pressure/memory`, where the kernel has
    it). Off: it is the best sign of a thrashing host, but not every kernel reports it. 0 turns it off; try 20."""
    load: Annotated[int, Key(least=0, most=1000, what="a number of processes, or 0 for off,", example="4")] = 0
    """Runnable processes per core, over five minutes. Off: a busy host that answers needs no alert. 0 turns it off; try
    4."""
    steal: Percentage = 0
    """Percent of CPU time that the hypervisor gives to other guests. Off: nothing can be done about it on the host. 0
    turns it off; try 20."""
    fds: Percentage = 0
    """Percent of the open files that the host, or opsbot itself, may have. Off: hosts seldom have a limit. 0 turns it
    off; try 80."""
    clock: Annotated[timedelta, Key(least=NO_TIME, most=HOUR, example="5s")] = timedelta(0)
    """By how much the clock may be wrong: by the `Date` of Discord's answers, and by the kernel's estimate
    (adjtimex(2); without a time service that grows to 16 s within hours; the hardened unit may not ask). Off:
    containers and many small hosts have their clock kept from outside. `0s` turns it off; try `5s`."""
    failed_units: bool = False
    """Alert on failed systemd units, whoever they belong to. Off: most hosts have one that nobody misses."""
    certificate: Annotated[timedelta, Key(least=NO_TIME, most=365 * DAY)] = timedelta(days=14)
    """How long before a certificate expires an alert is sent. Renewal usually happens 30 days before: at 14 it has
    failed for two weeks. `0s` turns it off."""
    certificates: Annotated[
        tuple[TlsServer, ...],
        Key(what="an array of hosts", example='["example.org", "mail.example.org:465"]', once=True),
    ] = ()
    """Servers whose certificates are checked, beside those of the `https` checks. A host, or host:port."""
    leak_within: Annotated[timedelta, Key(least=HOUR, most=14 * DAY)] = timedelta(days=7)
    """A memory leak of a service is reported when its memory will be used up within this time. Later than a week, a
    deploy mostly comes first."""


@dataclass(frozen=True, slots=True)
class InstallStep:
    """Commands run one after the other in the new release, before anything live changes.

    One that fails, fails the deploy.
    """

    run: Annotated[tuple[str, ...], Key(Format.COMMAND, example='["npm", "ci", "--omit=dev"]')]
    """The command and its arguments. No shell is involved."""
    directory: Annotated[str, Key(Format.INSIDE, what="the release", example="node-bot")] = "."
    """Where it runs, relative to the release."""
    when_changed: Annotated[tuple[PathInRelease, ...], Key(what="an array of paths", once=True)] = ()
    """Files, relative to the release. If none of them changed since the live release, the step's result is copied from
    there and the command is not run. Empty: it always runs."""
    timeout: Annotated[timedelta, Key(least=SECOND, most=6 * HOUR)] = timedelta(minutes=10)
    """The step and every process it started are killed after this. Ten minutes let native modules compile on a small
    machine."""
    keep: Annotated[tuple[PathInStep, ...], Key(what="an array of paths", once=True)] = ()
    """What the command creates, relative to `directory`: this is what is copied when it is not run again. Empty:
    `node_modules` and `vendor`, those that exist. A `.venv` only where it is named here. If none of it exists, the
    command runs all the same, and the card says so."""


class Strategy(StrEnum):
    """How a deploy lays its files."""

    RELEASES = "releases"
    IN_PLACE = "in-place"


@dataclass(frozen=True, slots=True)
class Source:
    """The git repository the service is deployed from.

    Without it opsbot monitors and restarts the service, and deploys nothing.
    """

    repository: Annotated[str, Key(Format.REPOSITORY)]
    """Where git fetches from: `https://…`, `ssh://…`, `user@host:path`, or an absolute path on this machine. No user
    name or password in it."""
    directory: Annotated[Path, Key(Format.FOLDER, example="/srv/voice-meeting-bot", reload=Reload.AT_NEXT_START)]
    """The folder of this service: `releases/`, `current` and `shared/` live here; with `in-place`, the checkout itself.
    Each service needs its own."""
    branch: Annotated[str, Key(Format.BRANCH)] = "main"
    """The branch that is deployed."""
    strategy: Annotated[Strategy, Key(reload=Reload.AT_NEXT_START)] = Strategy.RELEASES
    """`"releases"`: each deploy gets a folder of its own and `current` is switched to it at once, so nothing live
    changes until all is ready. `"in-place"`: an existing checkout, cloned by you, is updated where it is: inspected
    first (changed files and files in the way are named, nothing is touched), then checked out, never merged, and
    installed there. Untracked files are left alone. During the install the live service runs in changed files: prefer
    releases."""
    poll: Annotated[timedelta, Key(least=5 * SECOND, most=7 * DAY)] = timedelta(minutes=5)
    """How often the branch is polled. Five minutes is what the old cron job did; a webhook makes it instant."""
    auto: bool = True
    """Deploy what arrives on the branch. `false`: announce it, and deploy on command only."""
    keep: Annotated[int, Key(least=2, most=100, what="a number of releases")] = 5
    """Releases kept on disk: the live one, the one to fall back on, and a few more to go back to."""
    shared: Annotated[
        tuple[Annotated[str, Key(Format.INSIDE, what="the release", example="node-bot/.env")], ...],
        Key(what="an array of paths"),
    ] = ()
    """Files and folders that outlive releases: kept in `shared/`, linked into each release. Not needed with `in-place`,
    where they stay in the checkout."""
    ignore: Annotated[
        tuple[FilePattern, ...], Key(what="an array of patterns", example='["docs/**", "*.md"]', once=True)
    ] = ()
    """Commits that touch only files matching these patterns are noted, not deployed."""
    ask_when_changed: Annotated[
        tuple[FilePattern, ...],
        Key(
            what="an array of patterns",
            example='["node-bot/package.json", "node-bot/package-lock.json"]',
            once=True,
        ),
    ] = ()
    """A commit that touches a file matching one of these, patterns like those of `ignore`, is announced and deployed
    when a person approves it: changed dependencies deserve a human look, native modules above all."""
    timeout: Annotated[timedelta, Key(least=SECOND, most=HOUR)] = timedelta(minutes=2)
    """For each git command that contacts the remote. Two minutes fetch a large repository over a slow line."""
    token: Annotated[
        Secret | None, Key(example="git-token", unset="no token is sent: enough for a public repository")
    ] = None
    """The password or access token for an http(s) repository."""
    username: Annotated[str, Key(what="a user name", most=200)] = "x-access-token"
    """Sent with the token. GitHub takes the default, GitLab wants `oauth2` or the deploy token's own user name."""
    ssh_key: Annotated[Path | None, Key(example="/etc/opsbot/deploy-key", unset="ssh's own configuration decides")] = (
        None
    )
    """The private key file for an ssh repository."""
    hook_secret: Annotated[Secret | None, Key(example="hook-secret", unset="pushes for this service are refused")] = (
        None
    )
    """The secret shared with the forge, for its pushes."""


class CheckKind(StrEnum):
    """What a check looks at."""

    PROCESS = "process"
    TCP = "tcp"
    HTTP = "http"
    UNIT = "unit"
    COMMAND = "command"
    PRESENCE = "presence"


@dataclass(frozen=True, slots=True)
class Check:
    """How the service is monitored.

    Without any, there is one `process` check, or one `unit` check for a systemd service.
    """

    name: Annotated[
        str,
        Key(
            what="a short name",
            example="health",
            most=64,
            unset="its kind, with a number from the second one on",
        ),
    ]
    """What it is called in messages; unique within the service."""
    kind: CheckKind
    """`"process"`: it runs. `"tcp"`: a port accepts connections. `"http"`: an address answers as it should. `"unit"`:
    systemd reports the unit as active. `"command"`: a command exits with status 0. `"presence"`: the service's bot is
    seen online in the server; needs the Presence Intent of opsbot's own application, and catches a bot that runs but no
    longer responds. A late sign: a killed bot stays online for some minutes."""
    interval: Annotated[timedelta, Key(least=100 * MILLISECOND, most=DAY)] = timedelta(seconds=30)
    """From one run of the check to the next."""
    timeout: Annotated[timedelta, Key(least=10 * MILLISECOND, most=5 * MINUTE)] = timedelta(seconds=5)
    """A run that takes longer has failed. No longer than `interval`; where `interval` is shorter than the default, the
    interval."""
    policy: Annotated[CheckPolicy, Key(inline=True)] = field(default_factory=CheckPolicy)
    host: Annotated[str, Key(Format.HOST, only=CheckKind.TCP)] = "127.0.0.1"
    """The host to connect to."""
    port: Annotated[int, Key(least=1, most=65_535, what="a port", example="3003", only=CheckKind.TCP, needed=True)] = 0
    """The port to connect to."""
    url: Annotated[
        str, Key(Format.HTTP_URL, example="http://127.0.0.1:3003/health", only=CheckKind.HTTP, needed=True)
    ] = ""
    """The address to ask."""
    method: Annotated[str, Key(what="an HTTP method", most=20, only=CheckKind.HTTP)] = "GET"
    """The default changes nothing in the service; a POST may."""
    status: Annotated[tuple[tuple[int, int], ...], Key(Format.STATUSES, only=CheckKind.HTTP)] = ((200, 399),)
    """Accepted answers: `200`, `"200-399"`, or an array of such."""
    headers: Annotated[
        Mapping[str, HeaderValue],
        Key(
            Format.HEADERS,
            what="a table of headers",
            example='{ Accept = "application/json" }',
            only=CheckKind.HTTP,
            private=True,
        ),
    ] = field(default_factory=dict)
    """Sent with the request. None that is a secret."""
    body: Annotated[str, Key(Format.ANY_TEXT, only=CheckKind.HTTP, private=True)] = ""
    """Sent with the request."""
    expect_headers: Annotated[
        Mapping[str, Regex],
        Key(
            Format.HEADERS,
            what="a table of headers and regular expressions",
            example='{ Content-Type = "json" }',
            only=CheckKind.HTTP,
            private=True,
        ),
    ] = field(default_factory=dict)
    """Regular expressions that must be found in the answer's headers."""
    expect_body: Annotated[str, Key(Format.REGEX, only=CheckKind.HTTP)] = ""
    """A regular expression that must be found in the first 64 KiB of the answer."""
    run: Annotated[
        tuple[str, ...], Key(Format.COMMAND, example='["node", "check.js"]', only=CheckKind.COMMAND, needed=True)
    ] = ()
    """The command and its arguments, run in the live release. Exit status 0 means healthy."""
    unit: Annotated[str, Key(Format.UNIT, unset="the service as a whole")] = ""
    """Which one of the service's `units` it checks; in a deploy it must pass before the next unit is restarted."""
    memory_max: Annotated[
        int | None,
        Key(Format.SIZE, least=1 << 20, most=1 << 50, example="512MiB", unset="no limit", only=CheckKind.PROCESS),
    ] = None
    """The resident memory that the service's processes may take together; more is a failure, so a leak is found and
    recovered like any other fault."""
    user: Annotated[
        int,
        Key(Format.SNOWFLAKE, what="the user id of the service's bot", only=CheckKind.PRESENCE, needed=True),
    ] = 0
    """The user id of the bot that must be seen online. Right-click the bot in the member list > Copy User ID."""


@dataclass(frozen=True, slots=True)
class Drain:
    """What a deploy waits for, once all is prepared, before it replaces a healthy running release.

    The card says what it waits for, and has a button that ends the wait. A rollback waits for nothing, nor does the
    recovery of a service that is down; that of one which only takes too much memory does.
    """

    user: Annotated[int, Key(Format.SNOWFLAKE, what="the user id of the service's bot")]
    """The user id of the service's bot. Right-click the bot in the member list > Copy User ID."""
    voice: bool = True
    """Wait while the bot sits in a voice channel with people: a restart would throw it out of their meeting."""
    limit: Annotated[timedelta, Key(least=MINUTE, most=DAY)] = timedelta(minutes=30)
    """The longest wait; then the release is replaced all the same. Half an hour sees most meetings out, and keeps a fix
    from waiting for a bot that somebody forgot in a channel."""


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Files that are deleted when they are old: what the service leaves behind.

    Only regular files, never through a symbolic link, never one that a process has open.
    """

    paths: Annotated[tuple[str, ...], Key(Format.GLOBS)]
    """Which files: absolute, or relative to `shared/` in the source's `directory`. `*` stays within a folder and
    matches no leading dot, `**` stands for any number of folders. At least two folders are written out before any
    wildcard, none of the system's."""
    older_than: Annotated[timedelta, Key(least=MINUTE, most=3650 * DAY)] = timedelta(days=1)
    """Files last modified longer ago than this are deleted."""
    every: Annotated[timedelta, Key(least=MINUTE, most=7 * DAY)] = timedelta(hours=1)
    """How often opsbot looks for them. At most 10 000 are deleted at a time."""


class ManagerKind(StrEnum):
    """Who keeps the service running."""

    SYSTEMD = "systemd"
    PROCESS = "process"

    @property
    def capabilities(self) -> Capabilities:
        """What it does and does not do: ask this rather than which manager it is."""
        return _CAPABILITIES[self]


_CAPABILITIES = {
    ManagerKind.SYSTEMD: Capabilities(has_units=True, runs_children=False, asks_before_restarts=False),
    ManagerKind.PROCESS: Capabilities(has_units=False, runs_children=True, asks_before_restarts=True),
}


@dataclass(frozen=True, slots=True)
class Service:
    """One service and all that is done for it.

    Its name is made of small letters, digits, `.`, `_` and `-`.
    """

    name: Annotated[str, NOT_IN_FILE]
    manager: ManagerKind
    """Who keeps it running. `"systemd"`: the unit in `unit`. `"process"`: opsbot itself starts and supervises
    `command`."""
    units: Annotated[
        tuple[UnitName, ...],
        Key(
            what="an array of unit names",
            example='["app@1.service", "app@2.service"]',
            unset="the one in `unit`",
            least=1,
            once=True,
        ),
    ] = ()
    """Several units that are one service, such as instances of a template: a deploy restarts them one after the other
    in this order, each verified before the next."""
    command: Annotated[
        tuple[str, ...],
        Key(
            Format.COMMAND,
            example='["node", "index.js"]',
            unset='required with `manager = "process"`',
            reload=Reload.AT_NEXT_START,
        ),
    ] = ()
    """The command and its arguments, run in the live release; only with `manager = "process"`."""
    working_directory: Annotated[
        str, Key(what="a folder", example="node-bot", most=4000, reload=Reload.AT_NEXT_START)
    ] = "."
    """Where the command runs, relative to the live release; an absolute path where there is no source."""
    environment_file: Annotated[
        Path | None, Key(example="/etc/voice-meeting-bot.env", unset="none", reload=Reload.AT_NEXT_START)
    ] = None
    """A file of `NAME=value` lines for the command: the place for its secrets."""
    environment: Annotated[
        Mapping[str, AnyText],
        Key(
            Format.VARIABLES,
            what="a table of names and texts",
            example='{ NODE_ENV = "production" }',
            private=True,
            reload=Reload.AT_NEXT_START,
        ),
    ] = field(default_factory=dict)
    """Environment variables for the command that are no secrets."""
    depends_on: Annotated[
        tuple[Annotated[str, Key(what="the name of a service", example="postgres", most=64)], ...],
        Key(what="an array of services", once=True),
    ] = ()
    """Services of this file that it needs. What fails because one of them fails is listed in that one's incident, is
    not restarted meanwhile, and gets no alert of its own."""
    source: Source | None = None
    install: tuple[InstallStep, ...] = ()
    checks: tuple[Check, ...] = ()
    soak: Annotated[timedelta, Key(least=NO_TIME, most=HOUR)] = timedelta(seconds=15)
    """How long every check must keep passing before a release counts as verified. The old system looked once after five
    seconds, and called a bot that died after seven a success."""
    verify_timeout: Annotated[timedelta, Key(least=SECOND, most=HOUR)] = timedelta(minutes=2)
    """How long a new release may take to pass its checks at all; then it is rolled back."""
    startup_grace: Annotated[timedelta, Key(least=NO_TIME, most=HOUR)] = timedelta(seconds=30)
    """Failures this soon after a start do not count, until the first success."""
    stop_timeout: Annotated[timedelta, Key(least=100 * MILLISECOND, most=10 * MINUTE)] = timedelta(seconds=15)
    """From SIGTERM to SIGKILL. Long enough to leave a voice channel and write out a recording."""
    recovery: RecoveryPolicy = field(default_factory=RecoveryPolicy)
    cleanup: tuple[Cleanup, ...] = ()
    log_keep: Annotated[timedelta, Key(least=HOUR, most=365 * DAY)] = timedelta(days=7)
    """How long the output of a supervised service is kept."""
    log_size: Annotated[int, Key(Format.SIZE, least=64 << 10, most=1 << 40)] = 50 * 1024 * 1024
    """How much of that output is kept at most, rotated files included."""
    leak: bool = True
    """Alert, once per run, when its memory grows steadily towards its limit (`memory_max`, the unit's `MemoryMax=`,
    else the host's memory). On, since it never restarts anything, and ignores caches, steps and sawtooth patterns."""
    discord_bot: bool = False
    """It logs in to Discord. Its starts are counted: from a fifth of `login_limit` on, opsbot's restarts keep a growing
    distance; at half of it they stop and the incident is escalated. During a Discord outage it is not restarted for
    what the outage explains."""
    login_limit: Annotated[int, Key(least=10, most=1_000_000, what="a number of logins")] = 1000
    """Logins that Discord allows this bot's token in 24 hours before it resets the token. 1000 is what Discord allows a
    bot; less where others log in with the same token."""
    drain: Drain | None = None

    @property
    def unit(self) -> Annotated[str, Key(Format.UNIT, unset='required with `manager = "systemd"`, or `units`')]:
        """The systemd unit; only with `manager = "systemd"`."""
        return self.units[0] if self.units else ""

    @property
    def root(self) -> Path | None:
        """The folder the service is started from: `current`, its live release; or its checkout."""
        if self.source is None:
            return None
        in_place = self.source.strategy is Strategy.IN_PLACE
        return self.source.directory if in_place else self.source.directory / "current"

    @property
    def run_directory(self) -> Path:
        """Where its command runs, the `current` link not yet resolved."""
        return (self.root or Path("/")) / self.working_directory


class NotifiedKind(StrEnum):
    """What a notifier beside Discord may be told of."""

    INCIDENT = "incident"
    CALL = "call"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class Notifier:
    """Other ways to reach people: Slack, e-mail, ntfy, Telegram and whatever else the `apprise` package supports.

    Install it with `pip install 'opsbot[notify]'`; the URLs are in apprise's own documentation. Messages are plain
    text, in order, each once; if opsbot was killed in between, one may be repeated and says so.
    """

    name: Annotated[str, NOT_IN_FILE]
    url: Annotated[Secret, Key(example="ntfy-url")]
    """The notifier's URL."""
    told: Annotated[
        tuple[NotifiedKind, ...], Key(name="for", what="an array of events", example='["incident", "call"]', once=True)
    ] = tuple(NotifiedKind)
    """What is sent to it: `"incident"` (an alert), `"call"` (automatic recovery gave up), `"recovered"`. Empty: only
    what is escalated to it."""
    services: Annotated[tuple[ServiceName, ...], Key(what="an array of services", once=True)] = ()
    """Only about these. Empty: about all, and the host."""


@dataclass(frozen=True, slots=True)
class HeartbeatConfig:
    """An external dead man's switch, such as healthchecks.io: it alerts when it hears nothing.

    opsbot requests `URL/start` at startup, `URL` while opsbot itself is healthy and can reach people, and `URL/fail`
    with the reason when not. An outage of Discord is a failure after an hour; at once if an alert has waited for it for
    ten minutes and no notifier has taken it either. A shorter outage is Discord's own, and nobody has missed anything
    by it. A service that is down is no failure of opsbot's: people were notified.
    """

    url: Annotated[Secret, Key(example="heartbeat-url")]
    """The address to request."""
    interval: Annotated[timedelta, Key(least=5 * SECOND, most=12 * HOUR)] = timedelta(minutes=1)
    """From one request to the next. A minute detects a failure soon and costs nothing; give the switch a grace of a
    few."""


@dataclass(frozen=True, slots=True)
class Alerts:
    """How alerts are grouped, one message for one cause, and what happens while nobody has acknowledged an incident."""

    flap_changes: Annotated[int, Key(least=3, most=1000)] = 6
    """Openings and resolutions of incidents within `flap_window` that count as flapping: one message, edited as it goes
    on, instead of one for each. Six are three times down within ten minutes."""
    flap_window: Annotated[timedelta, Key(least=MINUTE, most=DAY)] = timedelta(minutes=10)
    """The time `flap_changes` is counted over."""
    flap_calm: Annotated[timedelta, Key(least=MINUTE, most=DAY)] = timedelta(minutes=5)
    """A flapping service counts as healthy, or as down, once nothing has changed for this long."""
    dependents_grace: Annotated[timedelta, Key(least=NO_TIME, most=HOUR)] = timedelta(minutes=1)
    """How long a service that depends on another (`depends_on`) may stay down after that one has recovered, before it
    gets an incident of its own. A minute lets it reconnect."""
    remind: Annotated[
        tuple[Reminder, ...], Key(what="an array of durations from 1m to 30d", example='["30m", "1h", "4h"]')
    ] = (timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2), timedelta(hours=4))
    """How long after the alert the first reminder comes, then the second and so on; the last is repeated. `[]` turns
    reminders off. The intervals grow: what people have not fixed in half an hour is not fixed by a message every half
    hour, but it must not be forgotten either."""
    escalate_after: Annotated[timedelta, Key(least=MINUTE, most=7 * DAY)] = timedelta(minutes=15)
    """How long an incident may go unacknowledged before it is escalated, once. A quarter of an hour leaves time to wake
    up and to look, and recovery has mostly ended by then."""
    escalate_role: Annotated[int | None, Key(Format.SNOWFLAKE, what="the id of a role", unset="nobody is pinged")] = (
        None
    )
    """The role that is pinged on escalation, the only ping opsbot ever makes. The role must be mentionable, or the bot
    have the permission Mention Everyone. Right-click the role > Copy Role ID."""
    escalate_to: Annotated[tuple[NotifierName, ...], Key(what="an array of names", once=True)] = ()
    """Notifiers (`[notifiers.NAME]`) that get an escalation, beside the channel."""

    @property
    def flapping(self) -> FlapPolicy:
        """When something flaps."""
        return FlapPolicy(self.flap_changes, self.flap_window, self.flap_calm)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things last at most."""

    silence_max: Annotated[timedelta, Key(least=MINUTE, most=365 * DAY)] = timedelta(days=7)
    """The longest silence someone may ask for. A week spans a holiday; longer ones are forgotten."""
    audit_keep: Annotated[timedelta, Key(least=DAY, most=3650 * DAY)] = timedelta(days=365)
    """How long the audit log is kept. A year answers most questions that are asked of one."""
    history_keep: Annotated[timedelta, Key(least=DAY, most=3650 * DAY)] = timedelta(days=90)
    """How long ended deployments and incidents are kept, their output with them. Live releases and what a rollback
    needs are kept regardless."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything `config.toml` says. `services` keeps the order of the file."""

    path: Annotated[Path, NOT_IN_FILE]
    discord: Annotated[Discord, Key(required=True)]
    roles: Annotated[Ranks, Key(required=True)]
    state: StateConfig
    http: Http
    services: Annotated[Mapping[str, Service], Key(required=True)]
    systemd: SystemdConfig = field(default_factory=SystemdConfig)
    host_checks: HostChecks = field(default_factory=HostChecks)
    windows: tuple[Window, ...] = ()
    notifiers: Mapping[str, Notifier] = field(default_factory=dict)
    heartbeat: HeartbeatConfig | None = None
    alerts: Alerts = field(default_factory=Alerts)
    host: Annotated[str, Key(what="a name for this host", example="bot-1", most=64, unset="its hostname")] = ""
    """What this host is called in messages."""
    limits: Limits = field(default_factory=Limits)
    words: Annotated[Mapping[str, object], NOT_IN_FILE] = field(default_factory=dict, repr=False, compare=False)
    """The file as it was read, key by key: for telling what a later one changes."""
