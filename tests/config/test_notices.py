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


def problems(folder: Path, text: str) -> list[str]:
    """Each without its line and file."""
    file = folder / "config.toml"
    file.write_text(SERVICE + text)
    return [f"{problem.key}: {problem.text}" for problem in check(file)]


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
