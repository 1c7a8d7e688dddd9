"""What comes and goes is one state of its own, and one message (the complaint: 402 mails of one host)."""

import signal
from datetime import timedelta
from pathlib import Path

from opsbot.config import Alerts, Check, CheckKind
from opsbot.core import exits
from opsbot.core.health import CheckPolicy
from opsbot.core.incident import IncidentCause
from opsbot.core.message import Message, message, plain
from opsbot.core.recovery import RecoveryPolicy
from opsbot.services.port import Activity, Happening, ServiceState
from opsbot.store import outbox
from tests.fixtures.said import done, said, told
from tests.watch.herd import Herd, open_herd, service

ABORTED = exits.by_signal(signal.SIGABRT)


async def down_and_up(herd: Herd, times: int, name: str = "api") -> None:
    """Down for 16 s, well for 16 s."""
    for _ in range(times):
        herd.fails(name)
        await herd.run(16)
        herd.mends(name)
        await herd.run(16)


async def test_at_six_changes_one_message_stands_for_all_that_follow(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        await herd.run(10)
        began = herd.clock()
        await down_and_up(herd, 12)
        told = [each for each in await herd.told() if not each.startswith("call")]
        assert told == ["incident api", "recovered api"] * 2 + ["incident api", "incident api"]
        flapping = await herd.incident("api")
        assert flapping.flaps.flapping
        assert flapping.flaps.count >= 22
        assert herd.seconds(flapping.opened_at, began) < 6, "since the first of the changes"


async def test_what_goes_wrong_otherwise_meanwhile_is_told_once(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        await herd.run(10)
        await down_and_up(herd, 4)
        incident = await herd.incident("api")
        for _ in range(2):
            await herd.watcher.incident_manager.trouble(
                "api", message(IncidentCause.PROCESS_DIED, exit=exits.of_status(3 << 8)), herd.clock()
            )
            await herd.run(16)
        lines = [told(notice) for notice in await herd.store.read(outbox.lines, incident.id)]
        assert [line for line in lines if "died" in line] == ["process died (exit 3)"]
        assert (await herd.incident("api")).id == incident.id


async def test_it_is_over_once_it_is_calm_and_that_is_told_once(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        await herd.run(10)
        await down_and_up(herd, 5)
        assert (await herd.incident("api")).flaps.flapping
        before = len(await herd.told())
        await herd.run(310)
        assert (await herd.told())[before:] == ["recovered api"]
        over = await herd.latest("api")
        assert said(over.resolution) == "no change for 5 m"
        assert (over.flaps.flapping, over.flaps.count) == (False, 10)
        await down_and_up(herd, 1)
        assert (await herd.told())[before + 1 :] == ["incident api", "call api", "recovered api"], "as ever from here"


async def test_what_stays_down_does_not_flap_any_more(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        await herd.run(10)
        await down_and_up(herd, 5)
        herd.fails("api")
        await herd.run(320)
        incident = await herd.incident("api")
        assert not incident.flaps.flapping
        assert done(incident)[-1] == "down for 5 m without a change: no longer flapping, after 11 changes"
        herd.mends("api")
        await herd.run(16)
        assert (await herd.told())[-1] == "recovered api"


async def test_alternation_that_no_streak_finds_is_flapping(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        await herd.run(10)

        def by_turns(second: int) -> None:
            (herd.fails if second // 5 % 2 else herd.mends)("api")

        await herd.run(300, by_turns)
        assert await herd.told() == ["incident api"]
        incident = await herd.incident("api")
        assert incident.flaps.flapping
        assert said(incident.cause) == "HTTP check passes and fails by turns: no answer"
        before = incident.flaps.count
        await herd.run(100, by_turns)
        assert (await herd.incident("api")).flaps.count > before
        assert await herd.told() == ["incident api"]
        herd.mends()
        await herd.run(320)
        assert await herd.told() == ["incident api", "recovered api"]


async def test_blips_raise_nothing(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        await herd.run(10)

        def blip(second: int) -> None:
            (herd.fails if second % 60 < 5 else herd.mends)("api")

        await herd.run(1800, blip)
        assert await herd.told() == []


async def test_three_of_the_last_five_alarm_without_three_in_a_row(tmp_path: Path) -> None:
    check = Check("http", CheckKind.HTTP, timedelta(seconds=5), policy=CheckPolicy(fall=3, rise=2, of=5))
    async with open_herd(tmp_path, [service("api", checks=(check,))]) as herd:
        await herd.run(10)

        def by_turns(second: int) -> None:
            (herd.fails if second // 5 % 2 == 0 else herd.mends)("api")

        await herd.run(26, by_turns)
        assert (await herd.told())[0] == "incident api"
        assert said((await herd.incident("api")).cause) == "HTTP check: no answer (3 of 5 failed)"


async def test_flapping_goes_on_over_a_restart_of_opsbot(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        await herd.run(10)
        await down_and_up(herd, 4)
        before = await herd.told()
        await herd.again()
        await down_and_up(herd, 4)
        assert await herd.told() == before
        assert (await herd.incident("api")).flaps.count >= 12


async def test_changes_before_a_restart_of_opsbot_count(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        await herd.run(10)
        await down_and_up(herd, 2)
        await herd.again()
        await down_and_up(herd, 1)
        assert (await herd.incident("api")).flaps.flapping


async def test_what_is_stopped_by_hand_does_not_flap_on(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")]) as herd:
        await herd.run(10)
        await down_and_up(herd, 4)
        herd.shepherd.happens("api", Happening.STOPPED, ServiceState(Activity.STOPPED, stopped_by_hand=True))
        await herd.settle()
        assert said((await herd.latest("api")).resolution) == "stopped from outside opsbot"


async def test_how_many_changes_it_takes_is_configured(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api")], Alerts(flap_changes=3)) as herd:
        await herd.run(10)
        await down_and_up(herd, 1)
        herd.fails("api")
        await herd.run(16)
        assert (await herd.incident("api")).flaps.flapping
        told = [each for each in await herd.told() if not each.startswith("call")]
        assert told == ["incident api", "recovered api", "incident api"]


async def dies_and_is_started(herd: Herd, times: int, every: int) -> None:
    """Its manager starts it again each time, and it runs until the next death."""
    for number in range(times):
        herd.shepherd.happens("api", Happening.DIED, ServiceState(Activity.RETRYING, exit=ABORTED))
        await herd.settle()
        running = ServiceState(
            Activity.RUNNING, pid=number, run=str(number), started_at=herd.clock(), restarts=number + 1
        )
        herd.shepherd.happens("api", Happening.STARTED, running)
        await herd.run(every)


async def test_a_human_is_called_once_for_what_its_manager_starts_again_for_ever(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api", recovery=RecoveryPolicy(budget=10))]) as herd:
        await herd.run(10)
        await dies_and_is_started(herd, 9, 30)
        assert (await herd.incident("api")).flaps.flapping
        assert "call api" not in await herd.told(), "its budget is not spent yet"
        await dies_and_is_started(herd, 20, 30)
        assert (await herd.told()).count("call api") == 1
        deeds = done(await herd.incident("api"))
        assert "automatic recovery gave up: 10 crashes within 1 h" in deeds
        assert herd.shepherd.restarts == [], "opsbot adds none of its own"


async def test_after_a_person_took_a_hand_in_it_they_are_called_again_if_that_did_not_help(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api", recovery=RecoveryPolicy(budget=10))]) as herd:
        await herd.run(10)
        await dies_and_is_started(herd, 12, 30)
        herd.watcher.touched("api", "@anna")
        await herd.settle()
        await dies_and_is_started(herd, 2, 30)
        assert (await herd.told()).count("call api") == 2


async def test_nobody_is_called_for_one_that_dies_because_discord_is_away(tmp_path: Path) -> None:
    async with open_herd(tmp_path, [service("api", recovery=RecoveryPolicy(budget=10))]) as herd:

        async def away(name: str) -> Message | None:
            return plain(f"Discord is away from {name}")

        herd.vetoes.last_steps.append(away)
        await herd.run(10)
        await dies_and_is_started(herd, 15, 30)
        assert "call api" not in await herd.told()
        herd.vetoes.last_steps.remove(away)
        await dies_and_is_started(herd, 1, 30)
        assert (await herd.told()).count("call api") == 1
