"""The configuration as frozen values: what `config.toml` says, after every key was checked.

Reading and checking the file is `opsbot.config_file`'s work; this module is what everything else imports. Durations are
`timedelta`, sizes are bytes, ids are strings where they are compared with Discord's, integers where they are sent.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from opsbot.core.access import Ranks
from opsbot.core.capabilities import Capabilities
from opsbot.core.flapping import FlapPolicy
from opsbot.core.health import CheckPolicy
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


@dataclass(frozen=True, slots=True)
class Discord:
    """`[discord]`: the guild and the channel opsbot lives in."""

    token: Secret
    guild_id: int
    ops_channel_id: int
    api_url: str | None = None
    board: bool = True
    """Whether a message in the ops channel shows how things stand."""


@dataclass(frozen=True, slots=True)
class StateConfig:
    """`[state]`: where opsbot keeps what it must remember."""

    directory: Path

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
    """`[http]`: the local endpoint; `listen` None turns it off."""

    host: str | None = "127.0.0.1"
    port: int = 9464


class Scope(StrEnum):
    """Whose systemd it is."""

    SYSTEM = "system"
    USER = "user"


@dataclass(frozen=True, slots=True)
class SystemdConfig:
    """`[systemd]`: which systemd keeps the units of services with `manager = "systemd"`."""

    scope: Scope = Scope.SYSTEM


@dataclass(frozen=True, slots=True)
class HostChecks:
    """`[host_checks]`: what is watched of the host itself. A threshold of 0, or "0s", turns its check off.

    disk, inodes, swap, pressure, steal, fds: percent, bad above. memory_available: percent, bad below. load: runnable
    processes a core, over five minutes.
    """

    interval: timedelta = timedelta(minutes=1)
    sustained: timedelta = timedelta(minutes=5)
    """How long a figure must be bad before it counts."""
    settled: timedelta = timedelta(minutes=5)
    """How long it must be well again before it is over."""
    disk: int = 90
    disk_ahead: timedelta = timedelta(hours=6)
    """A file system that is steadily filling counts as bad so long before it is full."""
    inodes: int = 90
    memory_available: int = 5
    swap: int = 0
    pressure: int = 0
    load: int = 0
    steal: int = 0
    fds: int = 0
    clock: timedelta = timedelta(0)
    """By how much the kernel says the clock may be wrong."""
    failed_units: bool = False
    certificate: timedelta = timedelta(days=14)
    """How long before it expires."""
    certificates: tuple[tuple[str, int], ...] = ()
    """Hosts and ports beside those of the https checks."""
    leak_within: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class InstallStep:
    """`[[services.X.install]]`: one command run in the new release before anything live changes."""

    run: tuple[str, ...]
    directory: str = "."
    when_changed: tuple[str, ...] = ()
    timeout: timedelta = timedelta(minutes=10)
    keep: tuple[str, ...] = ()
    """What the step makes, relative to `directory`: copied from the live release when the step is not run again.
    Empty: `node_modules` and `vendor`, those that are there. A `.venv` is copied only where it is named here."""


class Strategy(StrEnum):
    """How a deploy lays its files."""

    RELEASES = "releases"
    IN_PLACE = "in-place"


@dataclass(frozen=True, slots=True)
class Source:
    """`[services.X.source]`: the repository and how its releases are kept."""

    repository: str
    directory: Path
    branch: str = "main"
    strategy: Strategy = Strategy.RELEASES
    poll: timedelta = timedelta(minutes=5)
    auto: bool = True
    keep: int = 5
    shared: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    ask_when_changed: tuple[str, ...] = ()
    """Patterns like `ignore`: what touches one of these is deployed when a person says so, not by itself."""
    timeout: timedelta = timedelta(minutes=2)
    """For each git command that talks to the remote."""
    token: Secret | None = None
    """For an http(s) remote: sent as the password, by way of the environment, never on a command line."""
    username: str = "x-access-token"
    ssh_key: Path | None = None
    hook_secret: Secret | None = None
    """Shared with the forge, for its pushes."""


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
    """`[[services.X.checks]]`: one look at a service, again and again."""

    name: str
    kind: CheckKind
    interval: timedelta = timedelta(seconds=30)
    timeout: timedelta = timedelta(seconds=5)
    policy: CheckPolicy = field(default_factory=CheckPolicy)
    host: str = "127.0.0.1"
    port: int = 0
    url: str = ""
    method: str = "GET"
    status: tuple[tuple[int, int], ...] = ((200, 399),)
    """Accepted ranges, both ends included."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with the request."""
    body: str = ""
    """Sent with the request."""
    expect_headers: Mapping[str, str] = field(default_factory=dict)
    """Regular expressions that must be found in the answer's headers."""
    expect_body: str = ""
    """Regular expression that must be found in the first 64 KiB of the answer."""
    run: tuple[str, ...] = ()
    """`command`: exit status 0 is well. Run in the live release."""
    unit: str = ""
    """Which of the service's units it looks at; "" where it is about the service as a whole."""
    memory_max: int | None = None
    """`process`: bytes of resident memory the service's processes may take together; None sets no limit."""
    user: int = 0
    """`presence`: the user id of the bot that must be seen online."""


@dataclass(frozen=True, slots=True)
class Drain:
    """`[services.X.drain]`: what a deploy waits for before it replaces what runs, and for how long at most."""

    user: int = 0
    """The user id of the bot whose voice channel is looked at."""
    voice: bool = True
    limit: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Cleanup:
    """`[[services.X.cleanup]]`: files that are deleted when they are old."""

    paths: tuple[str, ...]
    """Patterns (`opsbot.core.globs`): absolute, or relative to `shared/` in the source's directory."""
    older_than: timedelta = timedelta(days=1)
    """Since they were last written to."""
    every: timedelta = timedelta(hours=1)


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
    """`[services.X]`: one service and all that is done for it."""

    name: str
    manager: ManagerKind
    units: tuple[str, ...] = ()
    """The systemd units that are this service, in the order in which they are restarted; one for most services."""
    command: tuple[str, ...] = ()
    working_directory: str = "."
    """Relative to the live release; without a source, an absolute path."""
    environment_file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = None
    install: tuple[InstallStep, ...] = ()
    checks: tuple[Check, ...] = ()
    soak: timedelta = timedelta(seconds=15)
    """How long every check must go on passing before a release counts as verified."""
    verify_timeout: timedelta = timedelta(minutes=2)
    """How long a new release may take to pass its checks at all."""
    startup_grace: timedelta = timedelta(seconds=30)
    """Failures this soon after a start do not count, until the first success."""
    stop_timeout: timedelta = timedelta(seconds=15)
    """From SIGTERM to SIGKILL."""
    depends_on: tuple[str, ...] = ()
    """Services it cannot be well without. What fails below one that fails is part of its incident."""
    recovery: RecoveryPolicy = field(default_factory=RecoveryPolicy)
    cleanup: tuple[Cleanup, ...] = ()
    log_keep: timedelta = timedelta(days=7)
    log_size: int = 50 * 1024 * 1024
    """Bytes of log kept at most, rotated files included."""
    leak: bool = True
    """Tell people, once a run, when its memory grows in the way of a leak."""
    discord_bot: bool = False
    """It logs in to Discord: its starts are counted, and Discord's outages are not held against it."""
    login_limit: int = 1000
    """Logins that Discord allows its token in 24 hours."""
    drain: Drain | None = None

    @property
    def unit(self) -> str:
        """The first of its systemd units, "" where opsbot itself supervises it."""
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
    """`[notifiers.NAME]`: another way to reach people, by a URL that the `apprise` package understands."""

    name: str
    url: Secret
    told: tuple[NotifiedKind, ...] = tuple(NotifiedKind)
    """`for` in the file."""
    services: tuple[str, ...] = ()
    """None named means all, and the host's own troubles."""


@dataclass(frozen=True, slots=True)
class HeartbeatConfig:
    """`[heartbeat]`: an outside dead-man's switch that is told that all is well, as long as it is."""

    url: Secret
    interval: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Alerts:
    """`[alerts]`: when what comes and goes counts as flapping, and how people are reminded of what goes on."""

    flap_changes: int = 6
    flap_window: timedelta = timedelta(minutes=10)
    flap_calm: timedelta = timedelta(minutes=5)
    dependents_grace: timedelta = timedelta(minutes=1)
    """From the end of a root's incident until what depends on it, and is still down, gets one of its own."""
    remind: tuple[timedelta, ...] = (timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2), timedelta(hours=4))
    """Before the first reminder, the second and so on; the last is repeated. None: no reminders."""
    escalate_after: timedelta = timedelta(minutes=15)
    escalate_role: int | None = None
    escalate_to: tuple[str, ...] = ()
    """Names of notifiers."""

    @property
    def flapping(self) -> FlapPolicy:
        """When something flaps."""
        return FlapPolicy(self.flap_changes, self.flap_window, self.flap_calm)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything `config.toml` says. `services` keeps the order of the file."""

    path: Path
    discord: Discord
    roles: Ranks
    state: StateConfig
    http: Http
    services: Mapping[str, Service]
    systemd: SystemdConfig = field(default_factory=SystemdConfig)
    host_checks: HostChecks = field(default_factory=HostChecks)
    windows: tuple[Window, ...] = ()
    notifiers: Mapping[str, Notifier] = field(default_factory=dict)
    heartbeat: HeartbeatConfig | None = None
    alerts: Alerts = field(default_factory=Alerts)
    host: str = ""
    """The name this host is called by in messages; its hostname where not given."""
    silence_max: timedelta = timedelta(days=7)
    audit_keep: timedelta = timedelta(days=365)
    history_keep: timedelta = timedelta(days=90)
    words: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)
    """The file as it was read, key by key: for telling what a later one changes."""
