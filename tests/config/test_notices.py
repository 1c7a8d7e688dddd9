"""What is said of windows, notifiers and the heartbeat that are wrong; and what right ones become."""

from datetime import UTC, date, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from opsbot.config import NotifiedKind, Secret
from opsbot.config_file import check, load
from opsbot.core.windows import Weekday, Window, WindowDeploys
from tests.config.test_problems import SERVICE

WINDOW = '[[windows]]\nname = "w"\nstart = "02:00"\nduration = "2h"\n'
NO_DAYS = 'is missing, and so is date; name the days of the week it begins on, for example days = ["sat", "sun"]'
NO_ZONE = (
    'is not a time zone this host knows; write an IANA name like "Europe/Berlin", and where such a name is refused, '
    "install the host's tzdata"
)
NO_URL = 'is missing, and so is url_file; name where the secret is, for example url_env = "OPSBOT_{}_URL"'
SEEN = (
    "a password in an address is written into the file; name it by url_env or url_file instead, and replace the "
    "secret: it has been seen"
)


def problems(folder: Path, text: str) -> list[str]:
    """Each without its line and file."""
    file = folder / "config.toml"
    file.write_text(SERVICE + text)
    return [f"{problem.key}: {problem.text}" for problem in check(file)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WINDOW, f"windows[1].days: {NO_DAYS}"),
        (
            WINDOW + 'days = ["sat"]\ndate = "2026-12-24"\n',
            "windows[1].date: is given beside days; keep one of the two",
        ),
        (
            WINDOW.replace("2h", "47h") + 'days = ["sat", "sun"]\n',
            'windows[1].duration: leaves no time between two of them: it would never end; write at most "23h"',
        ),
        (
            WINDOW.replace("2h", "24h") + 'days = ["sun", "mon"]\n',
            'windows[1].duration: leaves no time between two of them: it would never end; write at most "23h"',
        ),
        (
            WINDOW + 'days = ["sat"]\n' + WINDOW + 'days = ["sun"]\n',
            "windows[2].name: is the name of window 1 too; give each its own",
        ),
        (
            WINDOW + 'days = ["sat"]\nservices = ["bat"]\n',
            'windows[1].services[1]: "bat" is not a service; did you mean bot?',
        ),
        (
            WINDOW.replace("02:00", "24:00") + 'days = ["sat"]\n',
            'windows[1].start: "24:00" is not a time of day; write it like "02:00" or "23:30"',
        ),
        (
            WINDOW + 'days = ["sat"]\ntimezone = "Europe/Bärlin"\n',
            f'windows[1].timezone: "Europe/Bärlin" {NO_ZONE}',
        ),
        (WINDOW + 'date = "2026-02-30"\n', 'windows[1].date: "2026-02-30" is not in the calendar'),
        (WINDOW + 'date = "24.12.2026"\n', 'windows[1].date: "24.12.2026" is not a date; write it like "2026-12-24"'),
        (
            "[notifiers.phone]\n",
            f"notifiers.phone.url_env: {NO_URL.format('NTFY')}",
        ),
        (
            '[notifiers.phone]\nurl = "json://ann:hunter2@example.org"\n',
            f"notifiers.phone.url: {SEEN}",
        ),
        (
            '[notifiers.phone]\nurl_env = "A"\nservices = ["x"]\n',
            'notifiers.phone.services[1]: "x" is not a service; there are bot',
        ),
        ('[heartbeat]\ninterval = "1m"\n', f"heartbeat.url_env: {NO_URL.format('HEARTBEAT')}"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(tmp_path: Path, text: str, said: str) -> None:
    assert said in problems(tmp_path, text)
    assert "hunter2" not in "".join(problems(tmp_path, text))


@pytest.mark.parametrize("zone", ["../../etc/passwd", "/etc/localtime", "Europe", "", "x" * 500])
def test_no_path_is_taken_for_a_time_zone(tmp_path: Path, zone: str) -> None:
    assert problems(tmp_path, WINDOW + f'days = ["sat"]\ntimezone = "{zone}"\n')


def test_right_ones_become_values(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    text = WINDOW + 'days = ["sat"]\n'
    text += '[[windows]]\nname = "once"\nstart = 23:30:00\nduration = "6d"\ndate = 2026-12-24\n'
    text += 'timezone = "Europe/Berlin"\nservices = ["bot"]\nmute = false\ndeploys = "only"\nrecovery = false\n'
    text += '[notifiers.phone]\nurl_env = "A"\nfor = ["call"]\n[notifiers.mail]\nurl_file = "mail"\n'
    file.write_text(SERVICE + text + '[heartbeat]\nurl_env = "B"\n')
    config = load(file)
    assert config.windows == (
        Window("w", time(2), timedelta(hours=2), UTC, (Weekday.SAT,)),
        Window(
            "once",
            time(23, 30),
            timedelta(days=6),
            ZoneInfo("Europe/Berlin"),
            date=date(2026, 12, 24),
            services=("bot",),
            mute=False,
            deploys=WindowDeploys.ONLY,
            recovery=False,
        ),
    )
    phone, mail = config.notifiers.values()
    assert (phone.name, phone.url, phone.told) == ("phone", Secret(env="A"), (NotifiedKind.CALL,))
    assert (mail.url, mail.told) == (Secret(file=Path("mail")), tuple(NotifiedKind))
    assert config.heartbeat is not None
    assert config.heartbeat.interval == timedelta(minutes=1)
