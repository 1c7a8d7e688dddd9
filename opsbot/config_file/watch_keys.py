"""The keys of how a service is watched, and what is done when it is down."""

import re

from opsbot import config
from opsbot.config_file import kinds, names, places
from opsbot.config_file.kinds import DAY, HOUR, MILLISECOND, MINUTE, NO_TIME, SECOND
from opsbot.config_file.schema import Form, Key, Table
from opsbot.core.health import KEEP, CheckPolicy
from opsbot.core.recovery import RecoveryPolicy

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
    of=(config.Check, CheckPolicy),
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
            "minute between its falls is a loop too. Once they are spent no rung restarts it any more.",
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
    of=(RecoveryPolicy,),
)
