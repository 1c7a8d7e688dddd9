"""The keys of a service: `[services.NAME]`. Those of its tables: `deploy_keys`, `watch_keys`, and `cleanup` here."""

import re

from opsbot import config
from opsbot.config_file import cleanups, kinds, names, places
from opsbot.config_file.deploy_keys import DRAIN, INSTALL, SOURCE
from opsbot.config_file.kinds import DAY, HOUR, MILLISECOND, MINUTE, NO_TIME, SECOND
from opsbot.config_file.schema import Form, Key, Table
from opsbot.config_file.watch_keys import CHECKS, RECOVERY

SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

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
