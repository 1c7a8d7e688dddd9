"""Every key of `config.toml`: its kind, its default, what it means. Reading, checking and the reference go by this."""

from pathlib import Path

from opsbot import config
from opsbot.config_file import kinds, names, places
from opsbot.config_file.host_keys import HOST_CHECKS
from opsbot.config_file.kinds import DAY, HOUR, MINUTE, NO_TIME
from opsbot.config_file.notice_keys import HEARTBEAT, NOTIFIERS, WINDOWS
from opsbot.config_file.schema import Key, Table, secret_keys
from opsbot.config_file.service_keys import SERVICE
from opsbot.core.access import Ranks

DISCORD = Table(
    "discord",
    "The Discord server and the channel opsbot lives in.",
    (
        *secret_keys("token", "the bot's token", "OPSBOT_DISCORD_TOKEN", "/etc/opsbot/discord-token"),
        Key(
            "guild_id",
            names.snowflake("the id of your Discord server"),
            "The server's id. In Discord: Settings > Advanced > Developer Mode on, then right-click the server > "
            "Copy Server ID.",
            required=True,
        ),
        Key(
            "ops_channel_id",
            names.snowflake("the id of the ops channel"),
            "The channel where deploys and alerts are posted. Right-click the channel > Copy Channel ID.",
            required=True,
        ),
        Key(
            "board",
            kinds.boolean(),
            "One message in the ops channel, pinned where opsbot may pin, that shows how every service and the host "
            "stand. On by default: it is posted once, wakes nobody, and is edited at most once a minute, when "
            "something has changed. `false` takes it away.",
        ),
        Key(
            "api_url",
            places.http_url("http://127.0.0.1:8765/api/v10"),
            "Another server that speaks Discord's API, such as the stand-in of `opsbot demo`.",
            unset="Discord itself",
        ),
    ),
    of=(config.Discord,),
    required=True,
)

_RANKS = {
    "viewer": "May look: `/status`, `/health`, `/history`, `/incidents`, `/why`.",
    "operator": "May also read logs, restart, silence and acknowledge: `/logs`, `/restart`, `/silence`.",
    "deployer": "May also change what runs: `/deploy`, `/rollback`, `/hold`, `/resume`.",
    "admin": "May do everything, `/audit` included. At least one is needed, or nobody could ever look at the audit "
    "log.",
}

ROLES = Table(
    "roles",
    "Who may do what. Each rank may do all that the ranks before it may; who is in none is refused. Each is an "
    'array of role ids and user ids (as numbers, or in quotes), and for the command line `"unix:NAME"` for a local '
    'user and `"unix:@GROUP"` for a local group. root and the user the daemon runs as are always admins on the '
    "command line.",
    tuple(Key(rank, names.holders(), doc) for rank, doc in _RANKS.items()),
    of=(Ranks,),
    required=True,
)

STATE = Table(
    "state",
    "Where opsbot keeps what it must remember.",
    (
        Key(
            "directory",
            places.directory("/var/lib/opsbot"),
            "The database, the output of build steps, the logs of supervised services, and the control socket "
            "where systemd gives no runtime directory. The default is what `StateDirectory=opsbot` of the systemd "
            "unit makes.",
            default=Path("/var/lib/opsbot"),
        ),
    ),
    of=(config.StateConfig,),
)

HTTP = Table(
    "http",
    "The local HTTP endpoint: `/healthz`, `/readyz`, `/metrics`, and `/hooks/github`, `/hooks/gitlab`, `/hooks/gitea`.",
    (
        Key(
            "listen",
            places.listen(),
            'The address and port to listen on, or `"off"`. Only this machine can reach the default; a forge\'s pushes '
            "come in through a reverse proxy in front of it.",
            default=(config.Http().host, config.Http().port),
        ),
    ),
)

SYSTEMD = Table(
    "systemd",
    'Which systemd keeps the units of services with `manager = "systemd"`.',
    (
        Key(
            "scope",
            kinds.choice(config.Scope),
            '`"system"`: the host\'s own; a polkit rule lets opsbot manage exactly the configured units '
            '(`opsbot install`). `"user"`: that of the user opsbot runs as, with lingering; needs no right at all, but '
            "opsbot and the services then share one user.",
        ),
    ),
    of=(config.SystemdConfig,),
)

ALERTS = Table(
    "alerts",
    "How trouble is told: one message for one cause; and what happens while nobody has acknowledged it.",
    (
        Key(
            "flap_changes",
            kinds.integer(3, 1000, 6),
            "Openings and closings of trouble within `flap_window` that make it flapping: one message, edited as it "
            "goes on, instead of one for each. Six are three times down within ten minutes.",
        ),
        Key("flap_window", kinds.duration(MINUTE, DAY, "10m"), "The time `flap_changes` is counted over."),
        Key(
            "flap_calm",
            kinds.duration(MINUTE, DAY, "5m"),
            "What flaps counts as well, or as down, once nothing has changed for this long.",
        ),
        Key(
            "dependents_grace",
            kinds.duration(NO_TIME, HOUR, "1m"),
            "How long what depends on a service (`depends_on`) may stay down after that one is well again, before it "
            "gets an incident of its own. A minute lets it connect anew.",
        ),
        Key(
            "remind",
            kinds.listed(
                kinds.duration(MINUTE, 30 * DAY, "30m"), "an array of durations from 1m to 30d", '["30m", "1h", "4h"]'
            ),
            "How long after the alarm the first reminder comes, then the second and so on; the last is repeated. `[]` "
            "turns reminders off. The distances grow: what half an hour of people has not mended is not mended by a "
            "message every half hour, but it must not be forgotten either.",
        ),
        Key(
            "escalate_after",
            kinds.duration(MINUTE, 7 * DAY, "15m"),
            "How long an incident may go unacknowledged before it is escalated, once. A quarter of an hour leaves time "
            "to wake up and to look, and recovery has mostly ended by then.",
        ),
        Key(
            "escalate_role",
            names.snowflake("the id of a role"),
            "The role that is pinged then, the only ping opsbot ever makes. The role must be mentionable, or the bot "
            "have the permission Mention Everyone. Right-click the role > Copy Role ID.",
            unset="nobody is pinged",
        ),
        Key(
            "escalate_to",
            kinds.listed(
                kinds.text("the name of a notifier", '"phone"', most=64), "an array of names", '["phone"]', once=True
            ),
            "Notifiers (`[notifiers.NAME]`) that are told then, beside the channel.",
        ),
    ),
    of=(config.Alerts,),
)

LIMITS = Table(
    "limits",
    "How long things last at most.",
    (
        Key(
            "silence_max",
            kinds.duration(MINUTE, 365 * DAY, "7d"),
            "The longest silence someone may ask for. A week spans a holiday; longer ones are forgotten.",
        ),
        Key(
            "audit_keep",
            kinds.duration(DAY, 3650 * DAY, "365d"),
            "How long the audit log is kept. A year answers most questions that are asked of one.",
        ),
        Key(
            "history_keep",
            kinds.duration(DAY, 3650 * DAY, "90d"),
            "How long ended deployments and incidents are kept, their output with them. Live releases and what a "
            "rollback needs are kept regardless.",
        ),
    ),
    of=(config.Config,),
)

ROOT = Table(
    "",
    "Keys that stand before the first table.",
    (
        Key(
            "host",
            kinds.text("a name for this host", '"bot-1"', most=64),
            "What this host is called in messages.",
            unset="its hostname",
        ),
    ),
    (DISCORD, ROLES, STATE, HTTP, SYSTEMD, ALERTS, LIMITS, HOST_CHECKS, WINDOWS, NOTIFIERS, HEARTBEAT, SERVICE),
    of=(config.Config,),
)
