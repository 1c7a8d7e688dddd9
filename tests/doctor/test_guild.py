"""Discord's side, against the stand-in: what is wrong there is named, with where to click."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from opsbot.config import Check, CheckKind, Config, Secret
from opsbot.core.access import Ranks
from opsbot.doctor import Outcome
from opsbot.standin import PermissionBit, Standin
from tests.doctor.conftest import Doctor, failed, named


async def test_all_is_well(config: Config, doctor: Doctor) -> None:
    report = await doctor(config)
    assert failed(report) == []
    assert report.healthy
    assert named(report, "permissions").seen == "all 8 in #ops"
    assert named(report, "token").seen == "accepted; the bot is opsbot"
    assert named(report, "roles").outcome is Outcome.OK
    assert named(report, "clock").outcome is Outcome.OK
    assert named(report, "slash commands").seen == "none registered yet"


async def test_a_token_that_is_not_there_stops_what_needs_it(config: Config, doctor: Doctor) -> None:
    away = replace(config, discord=replace(config.discord, token=Secret("OPSBOT_NO_SUCH_TOKEN")))
    report = await doctor(away)
    (token,) = failed(report)
    assert token.name == "token"
    assert "OPSBOT_NO_SUCH_TOKEN" in token.seen
    assert token.fix.startswith("export OPSBOT_NO_SUCH_TOKEN=")
    assert named(report, "guild").outcome is Outcome.SKIPPED
    assert named(report, "guild").seen == "needs the token first"
    assert named(report, "Discord's API").outcome is Outcome.OK


async def test_a_bad_token(config: Config, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSBOT_DOCTOR_TOKEN", "another-token")
    report = await doctor(config)
    (token,) = failed(report)
    assert (token.name, token.seen) == ("token", "Discord refuses it")
    assert "Reset Token" in token.fix
    assert "another-token" not in str(report)


async def test_a_guild_the_bot_is_not_in(config: Config, doctor: Doctor) -> None:
    report = await doctor(replace(config, discord=replace(config.discord, guild_id=100000000000000099)))
    (guild,) = failed(report)
    assert guild.name == "guild"
    assert "client_id=100000000000000010" in guild.fix
    assert named(report, "ops channel").outcome is Outcome.SKIPPED


async def test_a_channel_that_was_deleted(config: Config, doctor: Doctor, standin: Standin) -> None:
    standin.remove_channel(standin.ops_channel_id)
    report = await doctor(config)
    (channel,) = failed(report)
    assert channel.name == "ops channel"
    assert "deleted" in channel.seen
    assert named(report, "permissions").seen == "needs the ops channel first"
    assert named(report, "roles").outcome is Outcome.OK


async def test_a_channel_that_is_none_for_text(config: Config, doctor: Doctor) -> None:
    category = replace(config, discord=replace(config.discord, ops_channel_id=100000000000000003))
    assert [(f.name, f.seen) for f in failed(await doctor(category))] == [
        ("ops channel", "#Operations is not a text channel")
    ]


MISSING: Mapping[int, list[str]] = {
    PermissionBit.VIEW_CHANNEL: [
        *("View Channel", "Send Messages", "Embed Links", "Attach Files", "Read Message History"),
    ],
    PermissionBit.SEND_MESSAGES: ["Send Messages", "Embed Links", "Attach Files"],
    PermissionBit.EMBED_LINKS: ["Embed Links"],
    PermissionBit.READ_MESSAGE_HISTORY: ["Read Message History"],
    PermissionBit.CREATE_PUBLIC_THREADS: [],
    PermissionBit.PIN_MESSAGES: [],
}


@pytest.mark.parametrize("denied", MISSING)
async def test_each_permission_that_an_overwrite_takes_is_named(
    config: Config, doctor: Doctor, standin: Standin, denied: int
) -> None:
    standin.set_permissions(standin.bot_user_id, standin.ops_channel_id, deny=denied)
    report = await doctor(config)
    assert [one.name for one in failed(report)] == [f"permission {name}" for name in MISSING[denied]]
    assert all("#ops, Edit Channel, Permissions" in one.fix for one in failed(report))
    if denied == PermissionBit.CREATE_PUBLIC_THREADS:
        assert named(report, "permission Create Public Threads").outcome is Outcome.WARNING
    if denied == PermissionBit.PIN_MESSAGES:
        assert named(report, "permission Pin Messages").outcome is Outcome.WARNING
        without = await doctor(replace(config, discord=replace(config.discord, board=False)))
        assert named(without, "permissions").seen == "all 7 in #ops", "only the board is pinned"


async def test_what_everyone_is_denied_the_bots_role_may_be_given_back(
    config: Config, doctor: Doctor, standin: Standin
) -> None:
    standin.set_permissions(standin.guild_id, standin.ops_channel_id, deny=PermissionBit.VIEW_CHANNEL)
    assert [one.name for one in failed(await doctor(config))][:1] == ["permission View Channel"]
    role = int(standin.state.bot.roles[0])
    standin.set_permissions(role, standin.ops_channel_id, allow=PermissionBit.VIEW_CHANNEL)
    assert failed(await doctor(config)) == []


async def test_a_role_that_is_gone(config: Config, doctor: Doctor) -> None:
    ranks = Ranks(operator=frozenset({"100000000000000777"}), admin=config.roles.admin)
    report = await doctor(replace(config, roles=ranks))
    assert [(one.name, one.seen) for one in failed(report)] == [
        ("roles", "100000000000000777 in roles.operator is not a role or member of the server")
    ]


async def test_nobody_has_a_rank(config: Config, doctor: Doctor) -> None:
    report = await doctor(replace(config, roles=Ranks()))
    assert named(report, "roles").outcome is Outcome.WARNING


async def test_everyone_has_a_rank(config: Config, doctor: Doctor, standin: Standin) -> None:
    report = await doctor(replace(config, roles=Ranks(admin=frozenset({str(standin.guild_id)}))))
    assert named(report, "roles").seen == "roles.admin names @everyone: all members have it"


async def test_the_scope_for_commands_is_missing(config: Config, doctor: Doctor, standin: Standin) -> None:
    standin.faults.answer("GET", "/commands$", status=403, body={"message": "Missing Access", "code": 50001})
    (found,) = failed(await doctor(config))
    assert found.name == "slash commands"
    assert "applications.commands" in found.fix


async def test_the_clock_is_wrong(config: Config, doctor: Doctor, standin: Standin) -> None:
    date = format_datetime(datetime.now(UTC) - timedelta(minutes=3), usegmt=True)
    standin.faults.answer("GET", "/gateway$", status=200, body={"url": "x"}, headers={"Date": date})
    clock = named(await doctor(config), "clock")
    assert clock.outcome is Outcome.WARNING
    assert "ahead of Discord's time" in clock.seen
    assert clock.fix == "timedatectl set-ntp true"


async def test_discord_is_away(config: Config, doctor: Doctor) -> None:
    nobody = replace(config, discord=replace(config.discord, api_url="http://127.0.0.1:9/api/v10"))
    report = await doctor(nobody)
    (api,) = failed(report)
    assert api.name == "Discord's API"
    assert "onnect" in api.seen
    assert named(report, "token").outcome is Outcome.SKIPPED


async def test_few_log_ins_are_left(config: Config, doctor: Doctor, standin: Standin) -> None:
    body = {"url": "x", "session_start_limit": {"total": 1000, "remaining": 7}}
    standin.faults.answer("GET", "/gateway/bot$", status=200, body=body)
    token = named(await doctor(config), "token")
    assert (token.outcome, token.seen.rpartition("; ")[2]) == (
        Outcome.WARNING,
        "7 of 1000 logins left today",
    )


def asks_for_presence(config: Config) -> Config:
    name, service = next(iter(config.services.items()))
    checks = (Check("seen", CheckKind.PRESENCE, user=100000000000000020),)
    return replace(config, services={**config.services, name: replace(service, checks=checks)})


async def test_a_presence_check_without_the_intent(config: Config, doctor: Doctor) -> None:
    found = named(await doctor(asks_for_presence(config)), "presence intent")
    assert found.outcome is Outcome.FAILED
    assert "Presence Intent" in found.fix


async def test_a_presence_check_with_the_intent(config: Config, doctor: Doctor, standin: Standin) -> None:
    standin.faults.answer("GET", "/applications/@me$", status=200, body={"id": "1", "flags": 1 << 13}, times=9)
    assert named(await doctor(asks_for_presence(config)), "presence intent").outcome is Outcome.OK


def escalating(config: Config, role: int) -> Config:
    return replace(config, alerts=replace(config.alerts, escalate_role=role))


async def test_the_role_to_escalate_to_is_there_and_can_be_pinged(
    config: Config, doctor: Doctor, standin: Standin
) -> None:
    open_to_all = escalating(config, standin.add_role("on-call", mentionable=True))
    assert named(await doctor(open_to_all), "escalation role").seen == "on-call can be mentioned by everybody"
    closed = escalating(config, standin.add_role("night-shift"))
    everyone = PermissionBit.MENTION_EVERYONE
    standin.set_permissions(standin.guild_id, standin.ops_channel_id, deny=everyone)
    (found,) = failed(await doctor(closed))
    assert (found.name, found.seen) == ("escalation role", "night-shift would not be pinged: it is not mentionable")
    assert "Server Settings, Roles, night-shift: Allow anyone to @mention this role" in found.fix
    standin.set_permissions(int(standin.state.bot.roles[0]), standin.ops_channel_id, allow=everyone)
    seen = named(await doctor(closed), "escalation role").seen
    assert seen == "night-shift can be mentioned by the bot in #ops"
    standin.set_permissions(standin.bot_user_id, standin.ops_channel_id, deny=everyone)
    assert [one.name for one in failed(await doctor(closed))] == ["escalation role"]
    (gone,) = failed(await doctor(escalating(config, 100000000000000777)))
    assert gone.seen == "the server has no role 100000000000000777 (alerts.escalate_role)"
    (every,) = failed(await doctor(escalating(config, standin.guild_id)))
    assert "@everyone" in every.seen
    assert standin.messages(standin.ops_channel_id) == [], "nobody was pinged to find out"
