"""What the channel sees of the host's troubles and of a leak."""

from datetime import timedelta

import pytest

from opsbot.core.leak import judge
from opsbot.core.message import plain
from opsbot.core.model import ADVICE, Evidence, NotificationKind
from opsbot.monitoring.leak_monitor import Growth, MemoryLimit
from opsbot.monitoring.memory_chart import charted
from opsbot.store import outbox, samples
from opsbot.store.samples import Figure, Sample
from tests.cogs.world import World, buttons_of, text_of

MIB = 1 << 20
MEND = "Delete what is not needed. The journal shrinks with `journalctl --vacuum-size=200M`."


async def test_the_card_of_a_full_disk_has_its_mend_and_who_uses_it_and_nothing_to_restart(world: World) -> None:
    evidence = Evidence(
        (("disk /", plain("91 % used, 8.1 GiB free")), ("the mend", plain(MEND))), None, ("12 GiB  /srv/api/releases",)
    )
    await world.incident(
        "host:disk:/", "/ is full in about 9 hours (7 hours to 12 hours) at this rate", evidence=evidence
    )
    await world.all_told()
    (card,) = [message for message in world.posted() if "full in about 9 hours" in message["content"]]
    shown = text_of(card)
    assert "91 % used, 8.1 GiB free" in shown
    assert "vacuum-size=200M" in shown
    assert "Who uses it" in shown
    assert "12 GiB  /srv/api/releases" in shown
    assert "restarts first" not in shown
    assert "Last deploy" not in shown
    assert not {"Restart", "Roll back", "Logs"} & set(buttons_of(card))
    await world.recover("host:disk:/", "well again: 50 % used")
    await world.all_told()
    await world.until(
        lambda: any("The host's disk / needed attention for" in message["content"] for message in world.posted())
    )
    thread = world.standin.messages(int(card["id"]))
    assert any("resolved after" in message["content"] for message in thread)


def growth_of(world: World, points: list[tuple[float, float]]) -> Growth:
    limit = MemoryLimit(400.0 * MIB, "the limit of its process check")
    begun = world.now() - timedelta(hours=26)
    return Growth(judge(points, begun.timestamp(), limit.size), begun, limit)


async def leak(world: World) -> Growth:
    """A day of samples that rise; how they are judged."""
    points = []
    for minute in range(0, 26 * 60, 5):
        at = world.now() - timedelta(minutes=26 * 60 - minute)
        value = (80 + minute / 60 * 10) * MIB
        points.append((at.timestamp(), value))
        await world.store.write(samples.put, at, [Sample("api", Figure.MEMORY, value)])
    return growth_of(world, points)


async def test_a_leak_is_a_sentence_with_a_chart_beside_it(world: World) -> None:
    growth = await leak(world)
    body: dict[str, object] = {
        "text": "api grows like a leak",
        "level": "warning",
        "chart": charted(growth, world.now()),
    }
    await world.store.write(outbox.put, "leak:api:1", NotificationKind.WORD, "api", world.now(), body=body)
    world.feed.publish("notice")
    await world.all_told()
    (message,) = [each for each in world.posted() if "grows like a leak" in each["content"]]
    (attachment,) = message["attachments"]
    assert attachment["filename"] == "memory.png"
    assert attachment["content_type"] == "image/png"
    assert 3000 < attachment["size"] < 60_000


async def test_status_of_a_service_says_how_its_memory_grows_and_draws_it(world: World) -> None:
    growth = await leak(world)
    world.parts.growth["api"] = growth
    answer = await (await world.person("viewer").run("status", service="api")).final()
    shown = text_of(answer)
    assert "Memory: grows 10.0 MiB an hour; at this rate it reaches the limit of its process check" in shown
    assert [each["filename"] for each in answer["attachments"]] == ["memory.png"]
    calm = await (await world.person("viewer").run("status", service="worker")).final()
    assert calm["attachments"] == []


@pytest.mark.real_time  # the Date of answers is of this host
async def test_discords_answers_tell_how_the_clock_stands(world: World) -> None:
    await world.until(lambda: world.engine.measured.drift.seconds(world.now()) is not None)
    assert world.engine.measured.drift.seconds(world.now()) == 0.0
    world.parts.shift = timedelta(seconds=30)
    await (await world.person("viewer").run("status")).final()
    await world.until(lambda: (world.engine.measured.drift.seconds(world.now()) or 0) > 25)


async def test_a_trouble_of_the_host_is_told_in_words_with_what_can_be_done(world: World) -> None:
    seen = (
        ("disk /", plain("93 % used")),
        (ADVICE, plain("Old releases go with a smaller `keep`, the rest with [[cleanup]].")),
    )
    await world.incident("host:disk:/", "/ is 93 % full", evidence=Evidence(seen))
    card = await world.standin.wait_for_message(lambda message: "#i1" in text_of(message) and "thread" in message)
    text = text_of(card)
    assert card["content"].startswith("🔴 The host's disk /: / is 93 % full since <t:")
    assert card["embeds"][0]["title"] == "The host's disk / needs attention"
    assert "• disk /: 93 % used" in text
    assert "**What can be done:** Old releases go with a smaller `keep`, the rest with \\[\\[cleanup\\]\\]." in text
    assert card["thread"]["name"] == "The host's disk /: / is 93 % full"
    assert "host:disk" not in text
