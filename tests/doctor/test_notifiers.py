"""Other ways to reach people, as the doctor looks at them; nothing is sent."""

from dataclasses import replace

import pytest

from opsbot.config import Alerts, Config, HeartbeatConfig, Notifier, Secret
from opsbot.doctor import Outcome
from tests.doctor.conftest import Doctor, failed, named

KEY = "s3cret-topic-of-the-phone"


async def test_addresses_are_read_and_tried_for_their_form(
    config: Config, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "GOOD": f"json://127.0.0.1/{KEY}",
        "ODD": f"no-such-thing://{KEY}",
        "BEAT": f"https://hc.example.org/{KEY}",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"OPSBOT_TEST_{name}", value)
    notifiers = {name: Notifier(name, Secret(env=f"OPSBOT_TEST_{name.upper()}")) for name in ("good", "odd", "none")}
    asked = replace(config, notifiers=notifiers, heartbeat=HeartbeatConfig(Secret(env="OPSBOT_TEST_BEAT")))
    report = await doctor(asked)
    assert named(report, "notifier good").seen == "the URL is valid; `opsbot notify good` sends a test"
    assert named(report, "heartbeat").seen == "the address of a switch at hc.example.org is readable"
    assert {found.name: found.seen.split(";")[0] for found in failed(report)} == {
        "notifier odd": "apprise does not accept the URL",
        "notifier none": "the environment variable OPSBOT_TEST_NONE is not set",
    }
    assert KEY not in str(report)
    mute = replace(notifiers["good"], told=())
    woken = replace(
        asked,
        alerts=Alerts(escalate_to=("good", "none")),
        notifiers={**notifiers, "mute": replace(mute, name="mute"), "good": mute},
    )
    report = await doctor(woken)
    assert named(report, "notifier good, escalated to").outcome is Outcome.OK
    assert named(report, "notifier none, escalated to").outcome is Outcome.FAILED
    assert named(report, "notifier mute").seen == "it receives no notifications and no escalations"
    monkeypatch.setenv("OPSBOT_TEST_BEAT", "hc.example.org")
    assert named(await doctor(asked), "heartbeat").seen == "the address is not an http(s) URL"
