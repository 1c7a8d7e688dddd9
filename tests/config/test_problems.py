import re
from pathlib import Path

import pytest

from opsbot.config import Alerts
from opsbot.config_file import ConfigError, check, load

DISCORD = """\
[discord]
token_env = "T"
guild_id = 100000000000000001
ops_channel_id = 100000000000000002
"""
ROLES = """\
[roles]
admin = [100000000000000003]
"""
HEAD = DISCORD + ROLES
BOT = """\
[services.bot]
manager = "process"
command = ["node"]
"""
SERVICE = HEAD + BOT
SOURCE = """\
[services.bot.source]
repository = "https://example.org/bot.git"
directory = "/srv/bot"
"""
IDS = "guild_id = 100000000000000001\nops_channel_id = 100000000000000002\n"
GITHUB = "ghp_" + "a1B2" * 9
DISCORD_TOKEN = "MTAwMDAwMDAwMDAwMDAwMDAw" + ".Gabcde." + "abcdefghijklmnopqrstuvwxyz0123456789"


def problems(folder: Path, text: str) -> list[str]:
    file = folder / "config.toml"
    file.write_text(text)
    return [str(problem).removeprefix(f"{file}:") for problem in check(file)]


DISCORD_CASES = [
    (
        ('token = "hunter2"\nguild_id = 100000000000000001\nops_channel_id = 100000000000000002\n'),
        [
            (
                "2: discord.token: a secret is written into the file; name it by token_env or token_file "
                "instead, and replace the secret: it has been seen"
            )
        ],
    ),
    (
        (f'token_env = "{DISCORD_TOKEN}"\nguild_id = 100000000000000001\nops_channel_id = 100000000000000002\n'),
        [
            (
                "2: discord.token_env: a Discord bot token is written into the file; name it by "
                "token_env or token_file instead, and replace the secret: it has been seen"
            )
        ],
    ),
    (
        ('token_env = "hunter2 is it"\nguild_id = 100000000000000001\nops_channel_id = 100000000000000002\n'),
        [
            (
                "2: discord.token_env: is not the name of an environment variable; write the name, not "
                'the value, as "OPSBOT_DISCORD_TOKEN"'
            )
        ],
    ),
    (
        ('token_env = "T"\ntoken_file = "/t"\nguild_id = 100000000000000001\nops_channel_id = 100000000000000002\n'),
        ["3: discord.token_file: is given beside token_env; keep one of the two"],
    ),
    (
        ("guild_id = 100000000000000001\nops_channel_id = 100000000000000002\n"),
        [
            (
                "1: discord.token_env: is missing, and so is token_file; name where the secret is, for "
                'example token_env = "OPSBOT_DISCORD_TOKEN"'
            )
        ],
    ),
    (
        ('token_file = "secrets/token"\nguild_id = 100000000000000001\nops_channel_id = 100000000000000002\n'),
        [
            (
                "2: discord.token_file: is neither an absolute path nor the name of a systemd "
                'credential; for example "/etc/opsbot/discord-token"'
            )
        ],
    ),
    (
        ('token_env = "T"\nguild_id = "100000000000000001"\nops_channel_id = 12\n'),
        [
            "3: discord.guild_id: found the id in quotes; drop the quotes: 100000000000000001",
            (
                "4: discord.ops_channel_id: 12 is not a Discord id; ids have 17 to 19 digits (Discord: "
                "Settings > Advanced > Developer Mode, then right-click > Copy ID)"
            ),
        ],
    ),
    (
        ('token_env = "T"\nguild_id = true\nops_channel_id = "ops"\n'),
        [
            (
                "3: discord.guild_id: found the boolean true; expected the id of your Discord server "
                "without quotes, for example 100000000000000001"
            ),
            (
                '4: discord.ops_channel_id: found the string "ops"; expected the id of the ops channel '
                "without quotes, for example 100000000000000001"
            ),
        ],
    ),
    (
        'token_env = "T"\n',
        [
            (
                "1: discord.guild_id: is missing; expected the id of your Discord server without quotes, "
                "for example guild_id = 100000000000000001"
            ),
            (
                "1: discord.ops_channel_id: is missing; expected the id of the ops channel without "
                "quotes, for example ops_channel_id = 100000000000000001"
            ),
        ],
    ),
    (
        (
            'token_env = "T"\n'
            'api_url = "127.0.0.1:80"\n'
            "guild_id = 100000000000000001\n"
            "ops_channel_id = 100000000000000002\n"
        ),
        [
            (
                '3: discord.api_url: "127.0.0.1:80" does not begin with http:// or https://; for example '
                '"http://127.0.0.1:8765/api/v10"'
            )
        ],
    ),
    (
        (
            'token_env = "T"\n'
            'api_url = "http://me:pw@127.0.0.1/"\n'
            "guild_id = 100000000000000001\n"
            "ops_channel_id = 100000000000000002\n"
        ),
        [
            (
                "3: discord.api_url: a password in an address is written into the file; leave it out of "
                "the address, and replace the secret: it has been seen"
            )
        ],
    ),
    (
        ('token_env = "T"\nguild-id = 1\nguild_id = 100000000000000001\nops_channel_id = 100000000000000002\n'),
        ["3: discord.guild-id: is not a known key; did you mean guild_id?"],
    ),
    (
        ('token_env = ["T"]\nguild_id = 100000000000000001\nops_channel_id = 100000000000000002\n'),
        [
            (
                "2: discord.token_env: is not the name of an environment variable; write the name, not "
                'the value, as "OPSBOT_DISCORD_TOKEN"'
            )
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), DISCORD_CASES)
def test_what_is_wrong_with_discord_is_said(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, "[discord]\n" + text + ROLES + BOT) == expected


WHOLE_CASES = [
    (
        "",
        [
            "1: discord: is missing; add [discord]: The Discord server and the channel opsbot lives in",
            "1: roles: is missing; add [roles]: Who may do what",
            "1: services: is missing; add [services.NAME]: One service and all that is done for it",
        ],
    ),
    (
        ('discord = 1\nroles = []\nservices = "x"\n'),
        [
            "1: discord: found the number 1; expected a table, beginning with [discord]",
            "2: roles: found an empty array; expected a table, beginning with [roles]",
            '3: services: found the string "x"; expected a table, beginning with [services.NAME]',
        ],
    ),
    (
        'token_env = "T"\n' + DISCORD + ROLES + BOT,
        ["1: token_env: does not belong here; it belongs in [discord] or [services.NAME.source]"],
    ),
    ('host = ""\n' + DISCORD + ROLES + BOT, ['1: host: is empty; expected a name for this host, for example "bot-1"']),
    (
        'host = "a\\nb"\n' + DISCORD + ROLES + BOT,
        ["1: host: holds a line break or a control character; expected a name for this host on one line"],
    ),
    (
        DISCORD + ("[roles]\nviewr = []\nadmin = []\n") + BOT,
        [
            "6: roles.viewr: is not a known key; did you mean viewer?",
            (
                "7: roles.admin: names nobody; name at least one role or user id, for example admin = "
                "[100000000000000003]"
            ),
        ],
    ),
    (
        DISCORD
        + ('[roles]\nviewer = ["me", 12, "unix:", "unix:@adm", "100000000000000003", 1.5]\nadmin = "unix:root"\n')
        + BOT,
        [
            (
                '6: roles.viewer[1]: found the string "me"; expected the id of a role or user, for '
                'example 100000000000000003, or a local "unix:NAME" or "unix:@GROUP"'
            ),
            "6: roles.viewer[2]: 12 is not a Discord id; ids of roles and users have 17 to 19 digits",
            (
                '6: roles.viewer[3]: found the string "unix:"; expected the id of a role or user, for '
                'example 100000000000000003, or a local "unix:NAME" or "unix:@GROUP"'
            ),
            (
                "6: roles.viewer[6]: found the number 1.5; expected the id of a role or user, for "
                'example 100000000000000003, or a local "unix:NAME" or "unix:@GROUP"'
            ),
            (
                '7: roles.admin: found the string "unix:root"; expected an array of role and user ids, '
                "for example [100000000000000003]"
            ),
        ],
    ),
    (
        DISCORD + ("[roles]\nviewer = [100000000000000001]\nadmin = [100000000000000001]\n") + BOT,
        ["7: roles.admin: names the server's own id, which stands for everyone in it; name a role or a user"],
    ),
    (DISCORD + ("[roles]\nadmin = [1]\nadmin = [2]\n"), ["7: roles.admin: is defined twice; keep one of them"]),
    (DISCORD + ("[roles]\nadmin = [1\n"), ["7: column 1: not TOML: unclosed array"]),
    (DISCORD + "[discord]\n", ["5: discord: is defined twice; keep one of them"]),
    (HEAD + "[services]\n", ["7: services: holds no service; add [services.NAME]"]),
    (
        HEAD
        + (
            "[services.Bot]\n"
            'manager = "process"\n'
            'command = ["node"]\n'
            '[services.""]\n'
            'manager = "systemd"\n'
            'unit = "x.service"\n'
        ),
        [
            (
                "7: services.Bot: is not a name for a service; 1 to 64 small letters, digits, '.', '_' "
                "and '-', beginning with a letter or digit, for example voice-meeting-bot"
            ),
            (
                "10: services.\"\": is not a name for a service; 1 to 64 small letters, digits, '.', '_' "
                "and '-', beginning with a letter or digit, for example voice-meeting-bot"
            ),
        ],
    ),
    (
        HEAD + ("[services]\nbot = 1\n"),
        ["8: services.bot: found the number 1; expected a table, beginning with [services.NAME]"],
    ),
    (
        HEAD + ('[[services.bot]]\nmanager = "process"\n'),
        ["7: services.bot: found an array; expected a table, beginning with [services.NAME]"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), WHOLE_CASES)
def test_what_is_wrong_with_the_file_and_the_ranks_is_said(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, text) == expected


REST_CASES = [
    (
        ('[state]\ndirectory = "state"\n'),
        ['11: state.directory: "state" is not an absolute path; begin with /, for example "/var/lib/opsbot"'],
    ),
    (
        ('[state]\ndirectory = "~/state"\n'),
        [
            (
                '11: state.directory: "~/state" is not an absolute path; ~ is not expanded; begin with '
                '/, for example "/var/lib/opsbot"'
            )
        ],
    ),
    (
        ('[state]\ndirectory = "/"\n'),
        [
            (
                "11: state.directory: is the root of the file system; give it a folder of its own, for "
                'example "/var/lib/opsbot"'
            )
        ],
    ),
    (
        ('[state]\ndirectory = "/var/../etc"\n'),
        ['11: state.directory: "/var/../etc" goes through ".."; write the path without it'],
    ),
    (
        (
            "[state]\ndirectory = "
            '"/ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"\n'
        ),
        [
            (
                "11: state.directory: is too long by 2: the path of the control socket in it may have "
                '107 bytes; choose a shorter one, for example "/var/lib/opsbot"'
            )
        ],
    ),
    (
        (
            "[state]\ndirectory = "
            '"/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"\n'
        ),
        [
            (
                "11: state.directory: is too long by 1: the path of the control socket in it may have "
                '107 bytes; choose a shorter one, for example "/var/lib/opsbot"'
            )
        ],
    ),
    (
        ("[http]\nlisten = 9464\n"),
        ['11: http.listen: found the number 9464; write the address too, for example "127.0.0.1:9464"'],
    ),
    (("[http]\nlisten = false\n"), ['11: http.listen: found the boolean false; write "off" to turn it off']),
    (
        ('[http]\nlisten = ":9464"\n'),
        ['11: http.listen: ":9464" is not HOST:PORT; for example "127.0.0.1:9464", "[::1]:9464", or "off"'],
    ),
    (
        ('[http]\nlisten = "::1:9464"\n'),
        ['11: http.listen: "::1:9464" is not HOST:PORT; for example "127.0.0.1:9464", "[::1]:9464", or "off"'],
    ),
    (
        ('[http]\nlisten = "127.0.0.1:70000"\n'),
        ["11: http.listen: port 70000 is out of range; expected 1 to 65535 (0 takes any free one)"],
    ),
    (
        ('[limits]\nsilence_max = 7\naudit_keep = "1h"\nhistory_keep = "90 days"\n'),
        [
            '11: limits.silence_max: found the number 7 without a unit; write the unit, for example "7s"',
            ('12: limits.audit_keep: "1h" is out of range; expected a duration from 1d to 3650d, for example "365d"'),
            (
                '13: limits.history_keep: "90 days" is not a duration; write it like "90s", "5m", '
                '"1h30m", "7d" or "500ms"'
            ),
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), REST_CASES)
def test_what_is_wrong_with_the_state_the_endpoint_and_the_limits_is_said(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    assert problems(tmp_path, SERVICE + text) == expected


SERVICE_CASES = [
    (
        "",
        [
            (
                '7: services.bot.manager: is missing; expected one of "systemd", "process", for example '
                'manager = "systemd"'
            )
        ],
    ),
    (
        'manager = "proces"\n',
        [
            (
                '8: services.bot.manager: "proces" is not known; did you mean "process"?; expected one '
                'of "systemd", "process"'
            )
        ],
    ),
    (
        'manager = "process"\n',
        [
            (
                '7: services.bot.command: is missing; manager = "process" runs it, for example command = '
                '["node", "index.js"]'
            )
        ],
    ),
    (
        'manager = "systemd"\n',
        [
            (
                '7: services.bot.unit: is missing; manager = "systemd" needs it, for example unit = '
                '"voice-meeting-discord-bot.service"'
            )
        ],
    ),
    (
        ('manager = "process"\nunit = "bot.service"\n'),
        [
            (
                '7: services.bot.command: is missing; manager = "process" runs it, for example command = '
                '["node", "index.js"]'
            ),
            ('9: services.bot.unit: means nothing with manager = "process"; remove it, or write manager = "systemd"'),
        ],
    ),
    (
        ('manager = "process"\nunit = "bot.service"\ncommand = ["node"]\n'),
        [('9: services.bot.unit: means nothing with manager = "process"; remove it, or write manager = "systemd"')],
    ),
    (
        (
            'manager = "systemd"\n'
            'unit = "bot.service"\n'
            'command = ["node"]\n'
            'log_keep = "1d"\n'
            'log_size = "1MiB"\n'
            'stop_timeout = "1s"\n'
        ),
        [
            (
                '10: services.bot.command: means nothing with manager = "systemd", where the unit says '
                'what runs; remove it, or write manager = "process"'
            ),
            (
                '11: services.bot.log_keep: means nothing with manager = "systemd"; remove it, and set '
                "it in the unit or in journald.conf"
            ),
            (
                '12: services.bot.log_size: means nothing with manager = "systemd"; remove it, and set '
                "it in the unit or in journald.conf"
            ),
            (
                '13: services.bot.stop_timeout: means nothing with manager = "systemd"; remove it, and '
                "set it in the unit or in journald.conf"
            ),
        ],
    ),
    (('manager = "systemd"\nunit = "bot"\n'), ['9: services.bot.unit: "bot" has no ending; write "bot.service"']),
    (
        ('manager = "systemd"\nunit = "../x.service"\n'),
        [
            (
                '9: services.bot.unit: "../x.service" is not a service unit; for example '
                '"voice-meeting-discord-bot.service"'
            )
        ],
    ),
    (
        ('manager = "process"\ncommand = "node index.js"\n'),
        [
            (
                "9: services.bot.command: found one string; no shell is involved: write each argument by "
                'itself: ["node", "index.js"]'
            )
        ],
    ),
    (
        ('manager = "process"\ncommand = []\n'),
        [
            (
                "9: services.bot.command: is empty; expected an array of a command and its arguments, "
                'for example ["node", "index.js"]'
            )
        ],
    ),
    (
        ('manager = "process"\ncommand = ["", 3]\n'),
        ['9: services.bot.command[2]: found the number 3; expected a text, for example "text"'],
    ),
    (
        ('manager = "process"\ncommand = ["node"]\nworking_directory = "node-bot"\n'),
        [
            (
                "10: services.bot.working_directory: is relative, and there is no source it could be "
                'relative to; write an absolute path, for example "/srv/voice-meeting-bot"'
            )
        ],
    ),
    (
        (
            'manager = "process"\n'
            'command = ["node"]\n'
            'environment_file = "env"\n'
            'environment = { "A B" = "1", N = 1, API_TOKEN = "x" }\n'
        ),
        [
            (
                '10: services.bot.environment_file: "env" is not an absolute path; begin with /, for '
                'example "/etc/voice-meeting-bot.env"'
            ),
            (
                '11: services.bot.environment."A B": is not the name of an environment variable; for '
                'example { NODE_ENV = "production" }'
            ),
            (
                "11: services.bot.environment.API_TOKEN: a secret is written into the file; put it into "
                "a file named by environment_file instead, and replace the secret: it has been seen"
            ),
            '11: services.bot.environment.N: found the number 1; expected a text, for example "text"',
        ],
    ),
    (
        (
            'manager = "process"\n'
            'command = ["node"]\n'
            'soak = "-1s"\n'
            'verify_timeout = "0s"\n'
            'startup_grace = "2h"\n'
            "stop_timeout = 10\n"
            'log_keep = "1m"\n'
            'log_size = "1KiB"\n'
        ),
        [
            '10: services.bot.soak: "-1s" is not a duration; write it like "90s", "5m", "1h30m", "7d" or "500ms"',
            (
                '11: services.bot.verify_timeout: "0s" is out of range; expected a duration from 1s to '
                '1h, for example "2m"'
            ),
            (
                '12: services.bot.startup_grace: "2h" is out of range; expected a duration from 0s to '
                '1h, for example "30s"'
            ),
            ('13: services.bot.stop_timeout: found the number 10 without a unit; write the unit, for example "10s"'),
            ('14: services.bot.log_keep: "1m" is out of range; expected a duration from 1h to 365d, for example "7d"'),
            (
                '15: services.bot.log_size: "1KiB" is out of range; expected a size from 64KiB to 1TiB, '
                'for example "50MiB"'
            ),
        ],
    ),
    (
        ('manager = "process"\ncommand = ["node"]\nlog_size = 50\n'),
        ['10: services.bot.log_size: found the number 50 without a unit; write the unit, for example "50MiB"'],
    ),
    (
        ('manager = "process"\ncommand = ["node"]\nlog_size = "50 megs"\n'),
        ['10: services.bot.log_size: "50 megs" is not a size; write it like "512KiB", "50MiB" or "2GiB"'],
    ),
    (
        ('manager = "process"\ncommand = ["node"]\nlogin_limit = 500\n'),
        ["10: services.bot.login_limit: means nothing without discord_bot = true; add that, or remove it"],
    ),
    (
        ('manager = "process"\ncommand = ["node"]\n[services.bot.drain]\nlimit = "10s"\n'),
        [
            (
                "10: services.bot.drain.user: is missing; expected the user id of the service's bot without quotes, "
                "for example user = 100000000000000001"
            ),
            (
                '11: services.bot.drain.limit: "10s" is out of range; expected a duration from 1m to 1d, for '
                'example "30m"'
            ),
        ],
    ),
    (
        ('manager = "process"\ncommand = ["node"]\npoll = "5m"\nfall = 3\n'),
        [
            "10: services.bot.poll: does not belong here; it belongs in [services.NAME.source]",
            "11: services.bot.fall: does not belong here; it belongs in [[services.NAME.checks]]",
        ],
    ),
    (
        ('manager = "process"\ncommand = ["node"]\nfrobnicate = 1\n'),
        [
            (
                "10: services.bot.frobnicate: is not a known key; known here are manager, unit, units, command, "
                "working_directory, environment_file, environment, depends_on, soak, verify_timeout, startup_grace, "
                "stop_timeout, log_keep, log_size, leak, discord_bot, login_limit, source, install, checks, recovery, "
                "cleanup, drain"
            )
        ],
    ),
    (
        (
            'manager = "process"\n'
            'command = ["node"]\n'
            'recovery = { attempts = 0, budget = true, backoff = "10m", backoff_max = "5m", restart = "yes" }\n'
        ),
        [
            (
                "10: services.bot.recovery.attempts: 0 is out of range; expected a whole number from 1 "
                "to 100, for example 3"
            ),
            ('10: services.bot.recovery.backoff_max: is shorter than backoff; write at least "10m", or leave it out'),
            (
                "10: services.bot.recovery.budget: found the boolean true; expected a whole number from "
                "1 to 1000, for example 10"
            ),
            '10: services.bot.recovery.restart: found the string "yes"; expected true or false, for example true',
        ],
    ),
    (
        ('manager = "process"\ncommand = ["node"]\n[[services.bot.install]]\nrun = ["npm", "ci"]\n'),
        [
            (
                "10: services.bot.install: has nothing to install without a source; add "
                "[services.bot.source], or remove it"
            )
        ],
    ),
    (
        ('manager = "process"\ncommand = ["node"]\n[services.bot.checks]\nkind = "process"\n[[services.bot.source]]\n'),
        [
            (
                "10: services.bot.checks: found a table; there may be several: write "
                "[[services.bot.checks]] in double brackets"
            ),
            (
                "12: services.bot.source: found an array of tables; there is only one: write "
                "[services.bot.source] in single brackets"
            ),
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), SERVICE_CASES)
def test_what_is_wrong_with_a_service_is_said(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, HEAD + "[services.bot]\n" + text) == expected


SOURCE_CASES = [
    (
        "",
        [
            (
                "10: services.bot.source.directory: is missing; expected an absolute path, for example "
                'directory = "/srv/voice-meeting-bot"'
            ),
            (
                "10: services.bot.source.repository: is missing; expected the address of a git "
                'repository, for example repository = "https://github.com/example/voice-meeting-bot.git"'
            ),
        ],
    ),
    (
        (
            'repository = "https://example.org/b.git"\n'
            'directory = "srv"\n'
            'branch = "refs/heads/main"\n'
            'strategy = "inplace"\n'
            'poll = "1s"\n'
            'auto = "yes"\n'
            "keep = 1\n"
            'timeout = "0s"\n'
        ),
        [
            (
                '12: services.bot.source.directory: "srv" is not an absolute path; begin with /, for '
                'example "/srv/voice-meeting-bot"'
            ),
            '13: services.bot.source.branch: "refs/heads/main" is more than the branch; write "main"',
            (
                '14: services.bot.source.strategy: "inplace" is not known; did you mean "in-place"?; '
                'expected one of "releases", "in-place"'
            ),
            ('15: services.bot.source.poll: "1s" is out of range; expected a duration from 5s to 7d, for example "5m"'),
            '16: services.bot.source.auto: found the string "yes"; expected true or false, for example true',
            (
                "17: services.bot.source.keep: 1 is out of range; expected a number of releases from 2 "
                "to 100, for example 5"
            ),
            (
                '18: services.bot.source.timeout: "0s" is out of range; expected a duration from 1s to '
                '1h, for example "2m"'
            ),
        ],
    ),
    (
        ('repository = "https://me:pw@example.org/b.git"\ndirectory = "/srv/b"\n'),
        [
            (
                "11: services.bot.source.repository: a password in an address is written into the file; "
                "name it by token_env or token_file instead, and replace the secret: it has been seen"
            )
        ],
    ),
    (
        ('repository = "https://me@example.org/b.git"\ndirectory = "/srv/b"\n'),
        [
            (
                "11: services.bot.source.repository: holds a user name or a password; leave it out, "
                "write the name as username, and name the secret by token_env or token_file"
            )
        ],
    ),
    (
        (f'repository = "https://{GITHUB}@github.com/b.git"\ndirectory = "/srv/b"\n'),
        [
            (
                "11: services.bot.source.repository: a GitHub token is written into the file; name it by "
                "token_env or token_file instead, and replace the secret: it has been seen"
            )
        ],
    ),
    (
        ('repository = "bot.git"\ndirectory = "/srv/b"\n'),
        [
            (
                '11: services.bot.source.repository: "bot.git" is not the address of a git repository; '
                'for example "https://github.com/example/voice-meeting-bot.git", '
                '"git@github.com:example/bot.git" or an absolute path'
            )
        ],
    ),
    (
        ('repository = "ext::sh -c true"\ndirectory = "/srv/b"\n'),
        [
            (
                '11: services.bot.source.repository: "ext::sh -c true" runs a command of its own; '
                "expected the address of a git repository, for example "
                '"https://github.com/example/voice-meeting-bot.git"'
            )
        ],
    ),
    (
        ('repository = "--upload-pack=x"\ndirectory = "/srv/b"\n'),
        [
            (
                '11: services.bot.source.repository: "--upload-pack=x" is not the address of a git '
                'repository; for example "https://github.com/example/voice-meeting-bot.git", '
                '"git@github.com:example/bot.git" or an absolute path'
            )
        ],
    ),
    (
        ('repository = "git@example.org:b.git"\ndirectory = "/srv/b"\ntoken_env = "T"\nusername = "x"\n'),
        [
            (
                "13: services.bot.source.token_env: is only sent to an http(s) repository; remove it, or "
                "write the repository's https address"
            ),
            (
                "14: services.bot.source.username: is only sent to an http(s) repository; remove it, or "
                "write the repository's https address"
            ),
        ],
    ),
    (
        (
            'repository = "https://example.org/b.git"\n'
            'directory = "/srv/b"\n'
            'ssh_key = "/k"\n'
            'token_env = "T"\n'
            'token_file = "t"\n'
            'hook_secret_env = "H"\n'
            'hook_secret_file = "h"\n'
        ),
        [
            (
                "13: services.bot.source.ssh_key: is only used with an ssh repository; remove it, or "
                "write the repository as git@host:path"
            ),
            "15: services.bot.source.token_file: is given beside token_env; keep one of the two",
            "17: services.bot.source.hook_secret_file: is given beside hook_secret_env; keep one of the two",
        ],
    ),
    (
        ('repository = "/srv/b.git"\ndirectory = "/srv/b"\nhook_secret = "hunter2"\nssh_key = "id_rsa"\n'),
        [
            (
                "13: services.bot.source.hook_secret: a secret is written into the file; name it by "
                "hook_secret_env or hook_secret_file instead, and replace the secret: it has been seen"
            ),
            (
                '14: services.bot.source.ssh_key: "id_rsa" is not an absolute path; begin with /, for '
                'example "/etc/opsbot/deploy-key"'
            ),
            (
                "14: services.bot.source.ssh_key: is only used with an ssh repository; remove it, or "
                "write the repository as git@host:path"
            ),
        ],
    ),
    (
        ('repository = "/srv/b.git"\ndirectory = "/srv/b"\nbranch = "a..b"\n'),
        ['13: services.bot.source.branch: "a..b" is not the name of a branch; for example "main"'],
    ),
    (
        ('repository = "/srv/b.git"\ndirectory = "/srv/b"\nshared = ["/etc", "../x", "a/../b", "", "~/x"]\n'),
        [
            (
                '13: services.bot.source.shared[1]: "/etc" is outside the release; write it relative to '
                'the release, for example "node-bot/.env"'
            ),
            (
                '13: services.bot.source.shared[2]: "../x" leaves the release through ".."; write a path '
                'inside it, as "node-bot/.env"'
            ),
            (
                '13: services.bot.source.shared[3]: "a/../b" leaves the release through ".."; write a '
                'path inside it, as "node-bot/.env"'
            ),
            (
                "13: services.bot.source.shared[4]: is empty; expected a path inside the release, for "
                'example "node-bot/.env"'
            ),
            (
                '13: services.bot.source.shared[5]: "~/x" is outside the release; write it relative to '
                'the release, for example "node-bot/.env"'
            ),
        ],
    ),
    (
        ('repository = "/srv/b.git"\ndirectory = "/srv/b"\nshared = ["data/x",\n  "data", "./data/", "."]\n'),
        [
            ('13: services.bot.source.shared[1]: "data/x" lies inside "data", which is shared too; keep one of them'),
            '14: services.bot.source.shared[3]: "data" is named twice; keep one of them',
            (
                "14: services.bot.source.shared[4]: is the whole release; name what is to be kept, for "
                'example "node-bot/data"'
            ),
        ],
    ),
    (
        ('repository = "/srv/b.git"\ndirectory = "/srv/b"\nshared = "data"\nignore = [1, ""]\n'),
        [
            (
                '13: services.bot.source.shared: found the string "data"; expected an array of paths, '
                'for example ["node-bot/.env"]'
            ),
            '14: services.bot.source.ignore[1]: found the number 1; expected a pattern, for example "docs/**"',
            '14: services.bot.source.ignore[2]: is empty; expected a pattern, for example "docs/**"',
        ],
    ),
    (
        ('repository = "/srv/b.git"\ndirectory = "/srv/b"\n[services.bot]\n'),
        ["13: services.bot: is defined twice; keep one of them"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), SOURCE_CASES)
def test_what_is_wrong_with_a_source_is_said(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, SERVICE + "[services.bot.source]\n" + text) == expected


MORE_CASES = [
    (
        (
            "[[services.bot.install]]\n"
            'directory = "/srv"\n'
            'when_changed = ["../package.json"]\n'
            'timeout = "0s"\n'
            'keep = ["/x"]\n'
        ),
        [
            (
                "13: services.bot.install[1].run: is missing; expected an array of a command and its "
                'arguments, for example run = ["npm", "ci", "--omit=dev"]'
            ),
            (
                '14: services.bot.install[1].directory: "/srv" is outside the release; write it relative '
                'to the release, for example "node-bot"'
            ),
            (
                '15: services.bot.install[1].when_changed[1]: "../package.json" leaves the release '
                'through ".."; write a path inside it, as "node-bot/package-lock.json"'
            ),
            (
                '16: services.bot.install[1].timeout: "0s" is out of range; expected a duration from 1s '
                'to 6h, for example "10m"'
            ),
            (
                '17: services.bot.install[1].keep[1]: "/x" is outside the step\'s directory; write it '
                'relative to the step\'s directory, for example "node_modules"'
            ),
        ],
    ),
    (
        ('[[services.bot.install]]\nrun = "npm ci && npm test"\n'),
        [
            (
                "14: services.bot.install[1].run: found one string; no shell is involved: write each "
                'argument by itself: ["npm", "ci", "&&", "npm", "test"]'
            )
        ],
    ),
    (
        (
            "[services.api]\n"
            'manager = "systemd"\n'
            'unit = "a.service"\n'
            'working_directory = "/x"\n'
            "[services.api.source]\n"
            'repository = "/r"\n'
            'directory = "/srv/bot"\n'
            "[services.web]\n"
            'manager = "systemd"\n'
            'unit = "a.service"\n'
            "[services.web.source]\n"
            'repository = "/r"\n'
            'directory = "/srv/bot/web"\n'
        ),
        [
            (
                "16: services.api.working_directory: is outside the release; write it relative to the "
                'release, for example "node-bot"'
            ),
            "19: services.api.source.directory: is the directory of services.bot too; each service needs its own",
            "22: services.web.unit: is the unit of services.api too; each service needs its own",
            (
                "25: services.web.source.directory: overlaps with the directory of services.api, "
                "/srv/bot; neither may lie inside the other"
            ),
            (
                "25: services.web.source.directory: overlaps with the directory of services.bot, "
                "/srv/bot; neither may lie inside the other"
            ),
        ],
    ),
    (
        ('[state]\ndirectory = "/srv/bot/state"\n'),
        [
            (
                "12: services.bot.source.directory: holds opsbot's own state.directory, /srv/bot/state; "
                "give the service a folder of its own"
            )
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), MORE_CASES)
def test_what_is_wrong_with_steps_and_between_services_is_said(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, SERVICE + SOURCE + text) == expected


CHECK_CASES = [
    (
        'kind = "presence"\n',
        [
            (
                '10: services.bot.checks[1].user: is missing; kind = "presence" needs it, for example user = '
                "100000000000000001"
            )
        ],
    ),
    (
        'kind = "tcp"\nport = 80\nuser = 100000000000000001\n',
        [
            '13: services.bot.checks[1].user: means nothing for kind = "tcp"; remove it, or write kind = "presence"',
        ],
    ),
    (
        "",
        [
            (
                '10: services.bot.checks[1].kind: is missing; expected one of "process", "tcp", "http", '
                '"unit", "command", "presence", for example kind = "process"'
            )
        ],
    ),
    (
        'kind = "https"\n',
        [
            (
                '11: services.bot.checks[1].kind: "https" is not known; did you mean "http"?; expected '
                'one of "process", "tcp", "http", "unit", "command", "presence"'
            )
        ],
    ),
    (
        (
            'kind = "http"\n'
            "[[services.bot.checks]]\n"
            'kind = "tcp"\n'
            "[[services.bot.checks]]\n"
            'kind = "command"\n'
            "[[services.bot.checks]]\n"
            'kind = "unit"\n'
        ),
        [
            (
                '10: services.bot.checks[1].url: is missing; kind = "http" needs it, for example url = '
                '"http://127.0.0.1:3003/health"'
            ),
            '12: services.bot.checks[2].port: is missing; kind = "tcp" needs it, for example port = 3003',
            (
                '14: services.bot.checks[3].run: is missing; kind = "command" needs it, for example run '
                '= ["node", "check.js"]'
            ),
            (
                '17: services.bot.checks[4].kind: "unit" asks systemd, and this service has manager = '
                '"process"; write kind = "process"'
            ),
        ],
    ),
    (
        ('kind = "http"\nurl = "127.0.0.1:3003/health"\n'),
        [
            (
                '12: services.bot.checks[1].url: "127.0.0.1:3003/health" does not begin with http:// or '
                'https://; for example "http://127.0.0.1:3003/health"'
            )
        ],
    ),
    (
        ('kind = "http"\nurl = "ftp://127.0.0.1/health"\n'),
        [
            (
                '12: services.bot.checks[1].url: "ftp://127.0.0.1/health" does not begin with http:// or '
                'https://; for example "http://127.0.0.1:3003/health"'
            )
        ],
    ),
    (
        ('kind = "http"\nurl = "http:///health"\n'),
        [
            (
                '12: services.bot.checks[1].url: "http:///health" is not an address; for example '
                '"http://127.0.0.1:3003/health"'
            )
        ],
    ),
    (
        ('kind = "http"\nurl = "http://127.0.0.1:99999/"\n'),
        [
            (
                "12: services.bot.checks[1].url: is not an address (Port out of range 0-65535); for "
                'example "http://127.0.0.1:3003/health"'
            )
        ],
    ),
    (
        ('kind = "http"\nurl = "http://me@127.0.0.1/"\n'),
        [
            (
                "12: services.bot.checks[1].url: holds a user name or a password; leave it out, for "
                'example "http://127.0.0.1:3003/health"'
            )
        ],
    ),
    (
        ('kind = "tcp"\nport = 0\nhost = "a b"\nurl = "http://x/"\n'),
        [
            ("12: services.bot.checks[1].port: 0 is out of range; expected a port from 1 to 65535, for example 3003"),
            (
                '13: services.bot.checks[1].host: "a b" is not a host; expected a name or an IP address, '
                'for example "127.0.0.1"'
            ),
            '14: services.bot.checks[1].url: means nothing for kind = "tcp"; remove it, or write kind = "http"',
        ],
    ),
    (
        ('kind = "tcp"\nport = "3003"\ninterval = "0s"\ntimeout = "10m"\nfall = 0\nrise = 1.5\n'),
        [
            (
                '12: services.bot.checks[1].port: found the string "3003"; expected a port from 1 to '
                "65535, for example 3003"
            ),
            (
                '13: services.bot.checks[1].interval: "0s" is out of range; expected a duration from '
                '100ms to 1d, for example "30s"'
            ),
            (
                '14: services.bot.checks[1].timeout: "10m" is out of range; expected a duration from '
                '10ms to 5m, for example "5s"'
            ),
            (
                "15: services.bot.checks[1].fall: 0 is out of range; expected a whole number from 1 to "
                "1000, for example 3"
            ),
            (
                "16: services.bot.checks[1].rise: found the number 1.5; expected a whole number from 1 "
                "to 1000, for example 2"
            ),
        ],
    ),
    (
        (
            'kind = "process"\n'
            'interval = "2s"\n'
            'timeout = "3s"\n'
            "[[services.bot.checks]]\n"
            'kind = "process"\n'
            'timeout = "1m"\n'
        ),
        [
            (
                '13: services.bot.checks[1].timeout: is longer than the interval; write at most "2s", or '
                "a longer interval"
            ),
            (
                '16: services.bot.checks[2].timeout: is longer than the interval; write at most "30s", '
                "or a longer interval"
            ),
        ],
    ),
    (
        ('kind = "process"\nname = "a"\n[[services.bot.checks]]\nkind = "process"\nname = "a"\n'),
        ["15: services.bot.checks[2].name: is the name of check 1 too; give each its own"],
    ),
    (
        ('kind = "http"\nurl = "http://x/"\nstatus = "2xx"\nmethod = 1\nexpect_body = "("\nbody = 2\n'),
        [
            (
                '13: services.bot.checks[1].status: found the string "2xx"; expected HTTP statuses, for '
                'example 200, "200-399" or [200, 204]'
            ),
            '14: services.bot.checks[1].method: found the number 1; expected an HTTP method, for example "GET"',
            (
                '15: services.bot.checks[1].expect_body: "(" is not a regular expression (missing ), '
                'unterminated subpattern at position 0); for example "ok", or "\\\\(ok\\\\)"'
            ),
            '16: services.bot.checks[1].body: found the number 2; expected a text, for example "text"',
        ],
    ),
    (
        (
            'kind = "http"\n'
            'url = "http://x/"\n'
            'status = [200, "399-200", true]\n'
            'headers = { Authorization = "Bearer hunter2", "a b" = "1" }\n'
            'expect_headers = { x = "[" }\n'
        ),
        [
            '13: services.bot.checks[1].status[2]: "399-200" runs backwards; write "200-399"',
            (
                "13: services.bot.checks[1].status[3]: found the boolean true; expected HTTP statuses, "
                'for example 200, "200-399" or [200, 204]'
            ),
            (
                '14: services.bot.checks[1].headers."a b": is not the name of a header; for example { '
                'Accept = "application/json" }'
            ),
            (
                "14: services.bot.checks[1].headers.Authorization: a secret is written into the file; a "
                "check cannot send secrets; ask an address that needs none, or use a command check, and "
                "replace the secret: it has been seen"
            ),
            (
                '15: services.bot.checks[1].expect_headers.x: "[" is not a regular expression '
                '(unterminated character set at position 0); for example "ok", or "\\\\(ok\\\\)"'
            ),
        ],
    ),
    (
        ('kind = "command"\nrun = "node check.js"\nstatus = 200\n'),
        [
            (
                "12: services.bot.checks[1].run: found one string; no shell is involved: write each "
                'argument by itself: ["node", "check.js"]'
            ),
            (
                '13: services.bot.checks[1].status: means nothing for kind = "command"; remove it, or '
                'write kind = "http"'
            ),
        ],
    ),
    (
        (f'kind = "process"\n# {GITHUB}\nname = """\n{GITHUB}"""\n'),
        [
            (
                "12: a GitHub token is written into the file; name it by token_env or token_file "
                "instead, and replace the secret: it has been seen"
            ),
            (
                "13: services.bot.checks[1].name: a GitHub token is written into the file; name it by "
                "token_env or token_file instead, and replace the secret: it has been seen"
            ),
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), CHECK_CASES)
def test_what_is_wrong_with_checks_is_said(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, SERVICE + "[[services.bot.checks]]\n" + text) == expected


BAD = (
    f"# {GITHUB}\n"
    'password = "hunter2"\n'
    "[discord]\n"
    f'token_env = "{DISCORD_TOKEN}"\n'
    'guild_id = "100000000000000001"\n'
    "[role]\n"
    "[services.Bot]\n"
    'manager = "proces"\n'
    "[services.Bot.source]\n"
    'repository = "https://me:hunter2@example.org/x"\n'
    'pol = "5m"\n'
    "[[services.Bot.checks]]\n"
    'kind = "tcp"\n'
    "port = 70000\n"
)


def test_one_run_shows_every_problem_in_the_order_of_the_lines(tmp_path: Path) -> None:
    places = [problem.split(": ")[:2] for problem in problems(tmp_path, BAD)]
    assert places == [
        [
            "1",
            (
                "a GitHub token is written into the file; name it by token_env or token_file instead, and replace the "
                "secret"
            ),
        ],
        ["1", "roles"],
        ["2", "password"],
        ["3", "discord.ops_channel_id"],
        ["4", "discord.token_env"],
        ["5", "discord.guild_id"],
        ["6", "role"],
        ["7", "services.Bot"],
        ["8", "services.Bot.manager"],
        ["9", "services.Bot.source.directory"],
        ["10", "services.Bot.source.repository"],
        ["11", "services.Bot.source.pol"],
        ["14", "services.Bot.checks[1].port"],
    ]


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    texts = [
        BAD,
        BAD + "[",
        HEAD + f'[services.bot]\nmanager = "{GITHUB}"\ncommand = "{DISCORD_TOKEN} x"\n{GITHUB} = 1\n',
        HEAD + f'[services."{DISCORD_TOKEN}"]\nmanager = "process"\n',
        SERVICE + f'environment = {{ DB_PASSWORD = "hunter2", "{GITHUB}" = "x" }}\n',
        HEAD + f"{GITHUB} = 1\n{GITHUB} = 2\n",
        f'[discord]\ntoken_env = "https://me:hunter2@x"\ntoken_file = "hunter2/"\napi_url = "http://me:hunter2@x"\n{IDS}',
    ]
    for text in texts:
        said = "\n".join(problems(tmp_path, text))
        assert said
        assert not re.search(f"hunter2|{re.escape(GITHUB)}|{re.escape(DISCORD_TOKEN)}", said), said


@pytest.mark.parametrize(
    "secret",
    [
        GITHUB,
        DISCORD_TOKEN,
        "github_pat_" + "a1B2_" * 8,
        "glpat-" + "a1B2" * 5,
        "xoxb-" + "1234567890-abcdef",
        "AKIA" + "ABCDEFGH12345678",
        "npm_" + "a1B2" * 9,
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "https://discord.com/api/webhooks/1000000000000/" + "a1B2" * 8,
        "postgres://app:hunter2@127.0.0.1/db",
    ],
)
@pytest.mark.parametrize(
    "place", ['host = "{}"\n', "# {}\n", 'host = """\n\n{}"""\n', 'host = ["{}"]\n', "host = {}\n"]
)
def test_what_looks_like_a_secret_is_found_wherever_it_stands(tmp_path: Path, secret: str, place: str) -> None:
    found = problems(tmp_path, place.format(secret) + SERVICE)
    assert any("is written into the file" in problem for problem in found)
    assert not any(secret in problem for problem in found)


@pytest.mark.parametrize(
    "line",
    [
        (
            'environment = { TOKEN_URL = "https://example.org/token", KEY_COUNT = "5", COMMIT = '
            '"0123456789abcdef0123456789abcdef01234567" }'
        ),
        'environment = { MODULE = "app.settings.production_configuration_of_the_service" }',
        'environment = { BASE = "http://127.0.0.1:8000/a@b" }',
        'environment_file = "/etc/secrets/token.env"',
    ],
)
def test_what_only_sounds_like_a_secret_is_left_alone(tmp_path: Path, line: str) -> None:
    assert problems(tmp_path, SERVICE + line + "\n") == []


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    assert [str(problem) for problem in check(absent)] == [
        f"{absent}: cannot be read: No such file or directory; `opsbot init` writes one"
    ]
    assert [str(problem) for problem in check(tmp_path)] == [f"{tmp_path}: cannot be read: Is a directory"]


def test_a_number_beyond_all_bounds_is_one_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, f"host = {'9' * 5000}\n") == [
        " cannot be read as TOML: Exceeds the limit (4300 digits) for integer string conversion"
    ]


def test_a_file_that_is_no_text_is_one_problem_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b'host = "x"\nname = "\xff"\n')
    assert [str(problem) for problem in check(file)] == [f"{file}:2: is not UTF-8 text; save the file as UTF-8"]


def test_loading_a_bad_file_raises_with_all_its_problems(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(BAD)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.problems == check(file)
    assert str(caught.value).splitlines() == [str(problem) for problem in check(file)]


def three(*needs: str) -> str:
    """Three services; what each depends on, as TOML."""
    names = ("postgres", "api", "web")
    return HEAD + "".join(
        f'[services.{name}]\nmanager = "process"\ncommand = ["x"]\nworking_directory = "/srv"\ndepends_on = {each}\n'
        for name, each in zip(names, needs, strict=True)
    )


DEPENDENCY_CASES = [
    (three("[]", '["postgres"]', '["api", "postgres"]'), []),
    (
        three("[]", '["postgress"]', "[]"),
        ['16: services.api.depends_on[1]: "postgress" is no service of this file; did you mean postgres?'],
    ),
    (
        three("[]", '["postgres", "postgres"]', "[]"),
        ['16: services.api.depends_on[2]: "postgres" is named twice; keep one of them'],
    ),
    (
        three('["postgres"]', "[]", "[]"),
        ["11: services.postgres.depends_on[1]: is the service itself; leave out one of these dependencies"],
    ),
    (
        three('["web"]', '["postgres"]', '["api"]'),
        [
            (
                "11: services.postgres.depends_on[1]: leads back to it: postgres → web → api → postgres; leave out "
                "one of these dependencies"
            )
        ],
    ),
    (three("[]", '"postgres"', "[]"), None),
]


@pytest.mark.parametrize(("text", "expected"), DEPENDENCY_CASES)
def test_what_is_wrong_with_dependencies_is_said_with_its_line(
    tmp_path: Path, text: str, expected: list[str] | None
) -> None:
    found = problems(tmp_path, text)
    if expected is None:
        assert len(found) == 1
        assert found[0].startswith("16: services.api.depends_on: ")
    else:
        assert found == expected


def test_what_stands_twice_in_a_list_is_said_with_its_place(tmp_path: Path) -> None:
    text = HEAD.replace(
        "admin = [100000000000000003]", 'admin = [100000000000000003, 100000000000000004, "100000000000000003"]'
    )
    text += '[[windows]]\nname = "w"\nstart = "02:00"\nduration = "1h"\ndays = ["sat", "sun", "sat"]\n'
    text += 'services = ["bot", "bot"]\n' + BOT
    text += '[[services.bot.checks]]\nkind = "http"\nurl = "http://127.0.0.1:3000/"\nstatus = [200, 204, 200]\n'
    found = [line.partition(": ")[2] for line in problems(tmp_path, text)]
    assert found == [
        'roles.admin[3]: "100000000000000003" is named twice; keep one of them',
        'windows[1].days[3]: "sat" is named twice; keep one of them',
        'windows[1].services[2]: "bot" is named twice; keep one of them',
        "services.bot.checks[1].status[3]: 200 is named twice; keep one of them",
    ]


def test_an_argument_may_stand_twice_in_a_command(tmp_path: Path) -> None:
    text = HEAD + '[services.bot]\nmanager = "process"\ncommand = ["run", "-v", "-v"]\n'
    assert problems(tmp_path, text) == []


def test_n_of_m_is_read_and_what_cannot_be_is_said(tmp_path: Path) -> None:
    text = SERVICE + '[[services.bot.checks]]\nkind = "process"\nfall = 3\nof = {}\n'
    assert problems(tmp_path, text.format(5)) == []
    policy = load(tmp_path / "config.toml").services["bot"].checks[0].policy
    assert (policy.fall, policy.of) == (3, 5)
    assert problems(tmp_path, text.format(2)) == [
        "13: services.bot.checks[1].of: is less than fall, which is 3; so many looks cannot fail that often: write more"
    ]


def test_alerts_are_read(tmp_path: Path) -> None:
    assert problems(tmp_path, HEAD + '[alerts]\nflap_changes = 4\nflap_calm = "2m"\n' + BOT) == []
    alerts = load(tmp_path / "config.toml").alerts
    assert (alerts.flapping.changes, alerts.flapping.calm.total_seconds()) == (4, 120)
    assert load_default(tmp_path).flap_changes == 6


def load_default(folder: Path) -> Alerts:
    (folder / "config.toml").write_text(SERVICE)
    return load(folder / "config.toml").alerts
