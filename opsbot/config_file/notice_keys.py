"""The keys of `[[windows]]`, `[notifiers.NAME]` and `[heartbeat]`."""

from datetime import timedelta

from opsbot import config
from opsbot.config_file import kinds, times
from opsbot.config_file.kinds import DAY, HOUR, MINUTE, SECOND
from opsbot.config_file.schema import Form, Key, Table, secret_keys
from opsbot.core.windows import Weekday, Window, WindowDeploys

_SERVICES = kinds.listed(
    kinds.text("the name of a service", '"api"', most=64), "an array of services", '["api"]', once=True
)

WINDOWS = Table(
    "windows",
    "Maintenance windows: times at which nobody is woken, or nothing is deployed, or recovery leaves things alone. "
    "`/windows` shows the next ones.",
    (
        Key(
            "name",
            kinds.text("a short name", '"backup"', most=64),
            "What it is called in messages; each has its own.",
            required=True,
        ),
        Key(
            "services",
            _SERVICES,
            "What it is about. Empty: every service, and the host's own troubles.",
        ),
        Key(
            "start",
            times.time_of_day(),
            "When it begins, on a clock in `timezone`. A time that a change to summer time skips is taken as that much "
            "after the change; of a time that comes twice, the first counts.",
            required=True,
        ),
        Key(
            "duration",
            kinds.duration(MINUTE, 6 * DAY + 23 * HOUR, "2h"),
            "How long it lasts, over midnight too; two hours are two hours also when the clocks change.",
            required=True,
        ),
        Key(
            "timezone",
            times.zone(),
            "Whose clock `start` is on, by its IANA name. The default is the same on every host; name your own to have "
            "the window follow summer time.",
        ),
        Key(
            "days",
            kinds.listed(kinds.choice(Weekday), "an array of weekdays", '["sat", "sun"]', least=1, once=True),
            "The days of the week on which it begins.",
            default=(),
            unset="`date` must be given",
        ),
        Key(
            "date",
            times.calendar_day(),
            "The one day on which it begins.",
            unset="`days` must be given",
        ),
        Key(
            "mute",
            kinds.boolean(),
            "Alerts wait as under a silence. What came and went is one line at the end; what is still wrong then is "
            "told then. On by default: that is what most windows are for.",
        ),
        Key(
            "deploys",
            kinds.choice(WindowDeploys),
            'What automatic deploys do. `"allow"`: nothing special. `"hold"`: they wait for the end. `"only"`: they '
            "wait for a window. Who deploys by hand may at any time; a deploy under way is finished.",
        ),
        Key(
            "recovery",
            kinds.boolean(),
            "`false`: nothing is restarted or rolled back by itself while it lasts, for work by hand. On by default: a "
            "service that falls over in a quiet night should stand in the morning.",
        ),
    ),
    form=Form.ARRAY,
    of=(Window,),
)

NOTIFIERS = Table(
    "notifiers",
    "Other ways to reach people: Slack, e-mail, ntfy, Telegram and whatever else the `apprise` package has a URL for "
    "(`pip install 'opsbot[notify]'`; the URLs are in apprise's own documentation). Messages are plain text, in order, "
    "each once; where opsbot was killed in between, one may come again and says so.",
    (
        *secret_keys("url", "the notifier's URL", "OPSBOT_NTFY_URL", "/etc/opsbot/ntfy-url"),
        Key(
            "for",
            kinds.listed(kinds.choice(config.NotifiedKind), "an array of events", '["incident", "call"]', once=True),
            'What it is told: `"incident"` (an alarm), `"call"` (recovery gave up and calls for a human), '
            '`"recovered"`. Empty: only what is escalated to it.',
            default=config.Notifier.__dataclass_fields__["told"].default,
        ),
        Key("services", _SERVICES, "Only about these. Empty: about all, and the host."),
    ),
    form=Form.NAMED,
    of=(config.Notifier,),
)

HEARTBEAT = Table(
    "heartbeat",
    "An outside dead-man's switch, such as healthchecks.io: it alarms when it hears nothing. `URL/start` is asked for "
    "at the start, `URL` while all is well with opsbot itself and it can reach people, `URL/fail` with the reason when "
    "not. Discord being away is a failure after an hour; at once an alarm has waited for it for ten minutes and no "
    "notifier has taken it either. A shorter absence is Discord's own, and nobody has missed anything by it. That a "
    "service is down is no failure of opsbot's: people were told.",
    (
        *secret_keys("url", "the address to ask", "OPSBOT_HEARTBEAT_URL", "/etc/opsbot/heartbeat-url"),
        Key(
            "interval",
            kinds.duration(5 * SECOND, timedelta(hours=12), "1m"),
            "From one to the next. A minute finds trouble soon and costs nothing; give the switch a grace of a few.",
        ),
    ),
    of=(config.HeartbeatConfig,),
)
