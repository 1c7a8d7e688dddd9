"""The keys of a service: `[services.NAME]` and the tables in it."""

import re

from opsbot import config
from opsbot.config_file import cleanups, kinds, names, places
from opsbot.config_file.kinds import DAY, HOUR, MINUTE, NO_TIME, SECOND
from opsbot.config_file.schema import Form, Key, Table, secret_keys
from opsbot.core.health import KEEP, Policy
from opsbot.core.recovery import Ladder

MILLISECOND = SECOND / 1000
SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

SOURCE = Table(
    "source",
    "The git repository the service is deployed from. Without it opsbot watches and restarts the service, and "
    "deploys nothing.",
    (
        Key(
            "repository",
            places.repository(),
            "Where git fetches from: `https://…`, `ssh://…`, `user@host:path`, or an absolute path on this machine. "
            "No user name or password in it.",
            required=True,
        ),
        Key("branch", names.branch(), "The branch that is deployed."),
        Key(
            "directory",
            places.directory("/srv/voice-meeting-bot"),
            "The folder of this service: `releases/`, `current` and `shared/` live here; with `in-place`, the checkout "
            "itself. Each service needs its own.",
            required=True,
        ),
        Key(
            "strategy",
            kinds.choice(config.Strategy),
            '`"releases"`: each deploy gets a folder of its own and `current` is switched to it at once, so '
            'nothing live changes until all is ready. `"in-place"`: an existing checkout, cloned by you, is updated '
            "where it lies: looked at first (what is changed or in the way is named, nothing touched), then checked "
            "out, never merged, and installed there. What git does not track is left alone. While it is installed the "
            "live service runs in changed files: prefer releases.",
        ),
        Key(
            "poll",
            kinds.duration(5 * SECOND, 7 * DAY, "5m"),
            "How often the branch is looked at. Five minutes is what the old cron job did; a webhook makes it instant.",
        ),
        Key(
            "auto",
            kinds.boolean(),
            "Deploy what arrives on the branch. `false`: announce it, and deploy on command only.",
        ),
        Key(
            "keep",
            kinds.integer(2, 100, 5, "a number of releases"),
            "Releases kept on disk: the live one, the one to fall back on, and a few more to go back to.",
        ),
        Key(
            "shared",
            kinds.listed(places.inside("the release", "node-bot/.env"), "an array of paths", '["node-bot/.env"]'),
            "Files and folders that outlive releases: kept in `shared/`, linked into each release. Not needed with "
            "`in-place`, where they stay in the checkout.",
        ),
        Key(
            "ignore",
            kinds.listed(kinds.text("a pattern", '"docs/**"', most=500), "an array of patterns", '["docs/**", "*.md"]'),
            "Commits that touch only files matching these patterns are noted, not deployed.",
        ),
        Key(
            "ask_when_changed",
            kinds.listed(
                kinds.text("a pattern", '"node-bot/package-lock.json"', most=500),
                "an array of patterns",
                '["node-bot/package.json", "node-bot/package-lock.json"]',
            ),
            "What touches a file matching one of these, patterns like those of `ignore`, is announced and deployed "
            "when a person says so: changed dependencies deserve a human look, native modules above all.",
        ),
        Key(
            "timeout",
            kinds.duration(SECOND, HOUR, "2m"),
            "For each git command that talks to the remote. Two minutes fetch a large repository over a slow line.",
        ),
        *secret_keys(
            "token",
            "the password or access token for an http(s) repository",
            "VOICE_MEETING_GIT_TOKEN",
            "/etc/opsbot/git-token",
            optional="no token is sent: enough for a public repository",
        ),
        Key(
            "username",
            kinds.text("a user name", '"x-access-token"', most=200),
            "Sent with the token. GitHub takes the default, GitLab wants `oauth2` or the deploy token's own user name.",
        ),
        Key(
            "ssh_key",
            places.absolute_path("/etc/opsbot/deploy-key"),
            "The private key file for an ssh repository.",
            unset="ssh's own configuration decides",
        ),
        *secret_keys(
            "hook_secret",
            "the secret shared with the forge, for its pushes",
            "VOICE_MEETING_HOOK_SECRET",
            "/etc/opsbot/hook-secret",
            optional="pushes for this service are refused",
        ),
    ),
    of=(config.Source,),
)

INSTALL = Table(
    "install",
    "Commands run one after the other in the new release, before anything live changes. One that fails, fails the "
    "deploy.",
    (
        Key(
            "run",
            kinds.command('["npm", "ci", "--omit=dev"]'),
            "The command and its arguments. No shell is involved.",
            required=True,
        ),
        Key("directory", places.inside("the release", "node-bot"), "Where it runs, relative to the release."),
        Key(
            "when_changed",
            kinds.listed(
                places.inside("the release", "node-bot/package-lock.json"),
                "an array of paths",
                '["node-bot/package-lock.json"]',
            ),
            "Files, relative to the release. Where none of them changed since the live release, the step's result "
            "is copied from there and the command is not run. Empty: it always runs.",
        ),
        Key(
            "timeout",
            kinds.duration(SECOND, 6 * HOUR, "10m"),
            "The step and all it started are killed after this. Ten minutes let native modules compile on a small "
            "machine.",
        ),
        Key(
            "keep",
            kinds.listed(
                places.inside("the step's directory", "node_modules"), "an array of paths", '["node_modules"]'
            ),
            "What the command makes, relative to `directory`: this is what is copied when it is not run again. "
            "Empty: `node_modules` and `vendor`, those that are there. A `.venv` only where it is named here. Where "
            "none of it is there, the command runs all the same, and the card says so.",
        ),
    ),
    form=Form.ARRAY,
    of=(config.InstallStep,),
)

_PROCESS, _TCP, _HTTP, _UNIT, _COMMAND, _PRESENCE = config.CheckKind

CHECKS = Table(
    "checks",
    "How the service is watched. Without any, there is one `process` check, or one `unit` check for a systemd service.",
    (
        Key(
            "kind",
            kinds.choice(config.CheckKind),
            '`"process"`: it runs. `"tcp"`: a port accepts connections. `"http"`: an address answers as it should. '
            '`"unit"`: systemd calls the unit active. `"command"`: a command ends with status 0. `"presence"`: the '
            "service's bot is seen online in the server; needs the Presence Intent of opsbot's own application, and "
            "catches a bot that is up and deaf. A late sign: who is killed stays online for some minutes.",
            required=True,
        ),
        Key(
            "name",
            kinds.text("a short name", '"health"', most=64),
            "What it is called in messages; unique within the service.",
            unset="its kind, with a number from the second one on",
        ),
        Key(
            "interval",
            kinds.duration(100 * MILLISECOND, DAY, "30s"),
            "From one look to the next.",
        ),
        Key(
            "timeout",
            kinds.duration(10 * MILLISECOND, 5 * MINUTE, "5s"),
            "A look that takes longer has failed. No longer than `interval`; where `interval` is shorter than the "
            "default, the interval.",
        ),
        Key(
            "fall",
            kinds.integer(1, 1000, 3),
            "Failures in a row before it counts as down. Three forgive a hiccup; with `presence` the default is 10, "
            "since a bot that loses its connection may take minutes to come back by itself.",
        ),
        Key(
            "of",
            kinds.integer(2, KEEP, 5),
            "`fall` failures among the last so many looks count as down as well, though none of them in a row: with "
            "`fall = 3` and `of = 5`, three of the last five. For what fails now and then, and is not well.",
            unset="only failures in a row count",
        ),
        Key("rise", kinds.integer(1, 1000, 2), "Successes in a row before it counts as up again."),
        Key("host", places.host(), "The host to connect to.", only=(_TCP,)),
        Key("port", places.port(), "The port to connect to.", unset='required with `kind = "tcp"`', only=(_TCP,)),
        Key(
            "url",
            places.http_url("http://127.0.0.1:3003/health"),
            "The address to ask.",
            unset='required with `kind = "http"`',
            only=(_HTTP,),
        ),
        Key(
            "method",
            kinds.text("an HTTP method", '"GET"', most=20),
            "The default changes nothing in the service; a POST may.",
            only=(_HTTP,),
        ),
        Key("status", places.statuses(), 'Accepted answers: `200`, `"200-399"`, or an array of such.', only=(_HTTP,)),
        Key(
            "headers",
            kinds.table_of(
                kinds.text("a header's value", '"text/plain"', most=8000),
                "a table of headers",
                '{ Accept = "application/json" }',
                re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}"),
                "the name of a header",
            ),
            "Sent with the request. None that is a secret.",
            only=(_HTTP,),
        ),
        Key("body", kinds.anything(), "Sent with the request.", only=(_HTTP,)),
        Key(
            "expect_headers",
            kinds.table_of(
                kinds.pattern(),
                "a table of headers and regular expressions",
                '{ Content-Type = "json" }',
                re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}"),
                "the name of a header",
            ),
            "Regular expressions that must be found in the answer's headers.",
            only=(_HTTP,),
        ),
        Key(
            "expect_body",
            kinds.pattern(),
            "A regular expression that must be found in the first 64 KiB of the answer.",
            only=(_HTTP,),
        ),
        Key(
            "run",
            kinds.command('["node", "check.js"]'),
            "The command and its arguments, run in the live release. Exit status 0 is well.",
            unset='required with `kind = "command"`',
            only=(_COMMAND,),
        ),
        Key(
            "unit",
            names.unit(),
            "Which one of the service's `units` it looks at; in a deploy it must pass before the next unit is "
            "restarted.",
            unset="the service as a whole",
        ),
        Key(
            "memory_max",
            kinds.size(1 << 20, 1 << 50, "512MiB"),
            "The memory (resident) that the service's processes may take together; more is a failure, so that a "
            "leak is found and recovered like any other trouble.",
            unset="no limit",
            only=(_PROCESS,),
        ),
        Key(
            "user",
            names.snowflake("the user id of the service's bot"),
            "The user id of the bot that must be seen online. Right-click the bot in the member list > Copy User ID.",
            unset='required with `kind = "presence"`',
            only=(_PRESENCE,),
        ),
    ),
    form=Form.ARRAY,
    of=(config.Check, Policy),
)

RECOVERY = Table(
    "recovery",
    "What is done when the service is down: restart, restart again with growing delay, roll back if the trouble "
    "began with a release, then stop and call for a human.",
    (
        Key("restart", kinds.boolean(), "Restart it. `false`: tell people, and touch nothing."),
        Key("attempts", kinds.integer(1, 100, 3), "Restarts within one trouble before the next rung."),
        Key(
            "backoff",
            kinds.duration(NO_TIME, HOUR, "10s"),
            "Wait before the second restart; doubled for each further one.",
        ),
        Key(
            "backoff_max",
            kinds.duration(NO_TIME, DAY, "5m"),
            "The longest such wait; never shorter than `backoff`.",
        ),
        Key(
            "budget",
            kinds.integer(1, 1000, 10),
            "Restarts within `window`, over all troubles, systemd's own among them: a service that comes back for a "
            "minute between its falls is a loop too. Once they are spent a human is called.",
        ),
        Key("window", kinds.duration(SECOND, 7 * DAY, "1h"), "The time `budget` is counted over."),
        Key(
            "roll_back",
            kinds.boolean(),
            "Go back to the release before, where restarts did not help and the release is to blame.",
        ),
        Key(
            "blame",
            kinds.duration(NO_TIME, 7 * DAY, "30m"),
            "A trouble that begins this soon after a release went live is the release's.",
        ),
    ),
    of=(Ladder,),
)

CLEANUP = Table(
    "cleanup",
    "Files that are deleted when they are old: what the service leaves behind. Only regular files, never through a "
    "symbolic link, never one that a process has open.",
    (
        Key(
            "paths",
            cleanups.patterns(),
            "Which files: absolute, or relative to `shared/` in the source's `directory`. `*` stays within a folder "
            "and matches no leading dot, `**` stands for any number of folders. At least two folders are written out "
            "before any wildcard, none of the system's.",
            required=True,
        ),
        Key(
            "older_than",
            kinds.duration(MINUTE, 3650 * DAY, "1d"),
            "Deleted is what was last written to longer ago than this.",
        ),
        Key(
            "every",
            kinds.duration(MINUTE, 7 * DAY, "1h"),
            "How often they are looked for. At most 10 000 go at a time.",
        ),
    ),
    form=Form.ARRAY,
    of=(config.Cleanup,),
)

DRAIN = Table(
    "drain",
    "What a deploy waits for, once all is prepared, before it replaces a release that runs and is well. The card says "
    "what it waits for, and has a button that ends the wait. An undo waits for nothing, nor does the recovery of a "
    "service that is not well; that of one which only takes too much memory does.",
    (
        Key(
            "voice",
            kinds.boolean(),
            "Wait while the bot sits in a voice channel with people: a restart would throw it out of their meeting.",
        ),
        Key(
            "user",
            names.snowflake("the user id of the service's bot"),
            "The user id of the service's bot. Right-click the bot in the member list > Copy User ID.",
            required=True,
        ),
        Key(
            "limit",
            kinds.duration(MINUTE, DAY, "30m"),
            "The longest wait; then the release is replaced all the same. Half an hour sees most meetings out, and "
            "keeps a fix from waiting for a bot that somebody forgot in a channel.",
        ),
    ),
    of=(config.Drain,),
)

SERVICE = Table(
    "services",
    "One service and all that is done for it. Its name is made of small letters, digits, `.`, `_` and `-`.",
    (
        Key(
            "manager",
            kinds.choice(config.ManagerKind),
            'Who keeps it running. `"systemd"`: the unit in `unit`. `"process"`: opsbot itself starts and '
            "supervises `command`.",
            required=True,
        ),
        Key(
            "unit",
            names.unit(),
            'The systemd unit; only with `manager = "systemd"`.',
            unset='required with `manager = "systemd"`, or `units`',
        ),
        Key(
            "units",
            kinds.listed(names.unit(), "an array of unit names", '["app@1.service", "app@2.service"]'),
            "Several units that are one service, instances of a template for one: a deploy restarts them one after the "
            "other in this order, each verified before the next.",
            unset="the one in `unit`",
        ),
        Key(
            "command",
            kinds.command('["node", "index.js"]'),
            'The command and its arguments, run in the live release; only with `manager = "process"`.',
            unset='required with `manager = "process"`',
        ),
        Key(
            "working_directory",
            kinds.text("a folder", '"node-bot"', most=4000),
            "Where the command runs, relative to the live release; an absolute path where there is no source.",
        ),
        Key(
            "environment_file",
            places.absolute_path("/etc/voice-meeting-bot.env"),
            "A file of `NAME=value` lines for the command: the place for its secrets.",
            unset="none",
        ),
        Key(
            "environment",
            kinds.table_of(
                kinds.anything(),
                "a table of names and texts",
                '{ NODE_ENV = "production" }',
                re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
                "the name of an environment variable",
            ),
            "Environment variables for the command that are no secrets.",
        ),
        Key(
            "depends_on",
            kinds.listed(
                kinds.text("the name of a service", '"postgres"', most=64), "an array of services", '["postgres"]'
            ),
            "Services of this file that it cannot be well without. What fails because one of them fails is listed in "
            "that one's incident, is not restarted meanwhile, and is not told separately.",
        ),
        Key(
            "soak",
            kinds.duration(NO_TIME, HOUR, "15s"),
            "How long every check must go on passing before a release counts as verified. The old system looked "
            "once after five seconds, and called a bot that died after seven a success.",
        ),
        Key(
            "verify_timeout",
            kinds.duration(SECOND, HOUR, "2m"),
            "How long a new release may take to pass its checks at all; then it is undone.",
        ),
        Key(
            "startup_grace",
            kinds.duration(NO_TIME, HOUR, "30s"),
            "Failures this soon after a start do not count, until the first success.",
        ),
        Key(
            "stop_timeout",
            kinds.duration(100 * MILLISECOND, 10 * MINUTE, "15s"),
            "From SIGTERM to SIGKILL. Long enough to leave a voice channel and write out a recording.",
        ),
        Key(
            "log_keep",
            kinds.duration(HOUR, 365 * DAY, "7d"),
            "How long the output of a supervised service is kept.",
        ),
        Key(
            "log_size",
            kinds.size(64 << 10, 1 << 40, "50MiB"),
            "How much of that output is kept at most, rotated files included.",
        ),
        Key(
            "leak",
            kinds.boolean(),
            "Tell people, once a run, when its memory grows steadily towards its limit (`memory_max`, the unit's "
            "`MemoryMax=`, else the host's memory). On, since it never restarts anything, and says nothing about a "
            "cache, a step or a sawtooth.",
        ),
        Key(
            "discord_bot",
            kinds.boolean(),
            "It logs in to Discord. Its starts are counted: from a fifth of `login_limit` on opsbot's restarts keep "
            "a growing distance, at the half they stop and a human is called. While Discord is away it is not "
            "restarted for what the outage explains.",
        ),
        Key(
            "login_limit",
            kinds.integer(10, 1_000_000, 1000, "a number of logins"),
            "Logins that Discord allows this bot's token in 24 hours before it resets the token. 1000 is what Discord "
            "allows a bot; less where others log in with the same token.",
        ),
    ),
    (SOURCE, INSTALL, CHECKS, RECOVERY, CLEANUP, DRAIN),
    form=Form.NAMED,
    of=(config.Service,),
    required=True,
)
