"""Many services at once: a notifier is told in one message, as Discord is."""

from opsbot.core.storm import MANY
from opsbot.store import deliveries
from tests.notifications.test_notifiers import Stage, stage

__all__ = ["stage"]


async def test_many_alarms_many_ends_and_many_escalations_are_one_message_each(stage: Stage) -> None:
    count = MANY + 4
    incidents = [await stage.trouble(f"s{number:02}") for number in range(count)]
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles == [], "it waits a moment for others"
    stage.clock.pass_by(6)
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles == ["[blue] 🔴 14 services are down: s00, s01, s02, s03, s04 and 9 more"]
    message = stage.phone.got[0]["message"]
    assert message.startswith("Check first what they have in common")
    assert "🔴 s13 is DOWN: check http: answered 500" in message

    stage.clock.pass_by(600)
    for incident in incidents:
        await stage.store.write(deliveries.escalation(["phone"]), incident.id, stage.clock())
    stage.clock.pass_by(6)
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles[1:] == [
        "[blue] 📣 14 services are down, and nobody has acknowledged: s00, s01, s02, s03, s04 and 9 more"
    ]

    stage.clock.pass_by(600)
    for number in range(count):
        await stage.over(f"s{number:02}")
    stage.clock.pass_by(6)
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles[2:] == ["[blue] 🟢 14 services have recovered: s00, s01, s02, s03, s04 and 9 more"]
    assert stage.phone.got[2]["type"] == "success"


async def test_the_first_few_come_one_by_one_and_so_does_a_straggler(stage: Stage) -> None:
    for number in range(MANY):
        await stage.trouble(f"s{number:02}")
    assert await stage.notifiers.round("phone")
    assert len(stage.phone.titles) == MANY
    for number in range(MANY, MANY + 4):
        await stage.trouble(f"s{number:02}")
    stage.clock.pass_by(6)
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles[MANY:] == ["[blue] 🔴 4 services are down: s10, s11, s12, s13"]
    await stage.trouble("straggler")
    stage.clock.pass_by(6)
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles[MANY + 1 :] == ["[blue] 🔴 straggler is DOWN: check http: answered 500"]


async def test_a_storm_that_was_over_before_the_notifier_took_anything_says_how_each_stands(stage: Stage) -> None:
    for number in range(MANY + 1):
        await stage.trouble(f"s{number:02}")
    for number in range(MANY):
        await stage.over(f"s{number:02}")
    stage.clock.pass_by(6)
    assert await stage.notifiers.round("phone")
    assert stage.phone.titles == ["[blue] 🔴 of 11 services that went down, 1 still is: s10"]
    assert stage.phone.got[0]["message"].count("has recovered") == MANY
