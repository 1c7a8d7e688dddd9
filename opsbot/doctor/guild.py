"""Check Discord as the bot: API, token, guild, permissions, roles, commands."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from opsbot.config import CheckKind, Config, SecretMissingError
from opsbot.core.discord_permissions import (
    ADMINISTRATOR,
    MENTION_EVERYONE,
    NEEDED,
    OPTIONAL,
    Overwrite,
    Permission,
    held_in_channel,
    title,
)
from opsbot.doctor.discord_api import Api, ApiAnswer, UnreachableError
from opsbot.doctor.findings import Area, Finding, Subject
from opsbot.formatting import duration

SLOW_SECONDS = 2.0
OFF_SECONDS = 5.0
FEW_STARTS = 50
TEXT, NEWS = 0, 5
"""Channel types that accept messages (Discord's documentation, "Channel Types")."""
NAMES = ("Discord's API", "clock", "token", "guild", "ops channel", "permissions", "roles", "slash commands")
PRESENCE_FLAGS = 1 << 12 | 1 << 13
"""GATEWAY_PRESENCE, and its variant for bots in few servers (Discord's documentation, "Application Flags")."""
_PORTAL = "https://discord.com/developers/applications"
_UNKNOWN_CHANNEL = 10003
_DISCORD = Subject(Area.DISCORD)


Invite = Callable[[str], str]
"""Builds the invitation link for an application id."""


async def examine(config: Config, invite: Invite) -> list[Finding]:
    token, missing = await _token(config)
    examined = _Guild(config, invite)
    async with Api(config.discord.api_url, token) as api:
        try:
            await examined.reach(api)
            if missing is not None:
                examined.found.append(missing)
            elif await examined.log_in(api) and await examined.enter(api):
                await examined.examine_guild(api)
        except UnreachableError as error:
            name = next((one for one in NAMES if one not in examined.names), NAMES[-1])
            examined.found.append(_DISCORD.fail(name, str(error), error.fix))
    examined.skip_the_rest()
    return examined.found


async def _token(config: Config) -> tuple[str | None, Finding | None]:
    try:
        return await asyncio.to_thread(config.discord.token.read), None
    except SecretMissingError as error:
        secret = config.discord.token
        place = secret.file
        if place is not None and not place.is_absolute():
            place = config.path.absolute().parent / place  # a systemd credential, loaded from there by `opsbot install`
        fix = (
            f"export {secret.env}=... here; for the daemon EnvironmentFile= in its unit ({_PORTAL}, Bot, Reset Token)"
            if secret.env is not None
            else f"Put the token (from {_PORTAL}, Bot, Reset Token) into {place}"
            + (", readable for this user" if place == secret.file else ", mode 0600; systemd passes it on")
        )
        return None, _DISCORD.fail("token", str(error), fix)


class _Guild:
    """State that one request passes to the next."""

    def __init__(self, config: Config, invite: Invite) -> None:
        self.config = config
        self.found: list[Finding] = []
        self._invite = invite
        self._bot = ""
        self._guild: Mapping[str, Any] = {}
        self._held: int | None = None

    @property
    def names(self) -> set[str]:
        return {finding.name for finding in self.found}

    def skip_the_rest(self) -> None:
        failed = next((finding.name for finding in self.found if finding.outcome == "failed"), "an answer")
        known, needed = self.names, failed if failed[0].isupper() else f"the {failed}"
        self.found += [_DISCORD.skip(name, f"needs {needed} first") for name in NAMES if name not in known]

    def _pass(self, name: str, seen: str) -> bool:
        self.found.append(_DISCORD.passed(name, seen))
        return True

    def _warn(self, name: str, seen: str, fix: str) -> bool:
        self.found.append(_DISCORD.warn(name, seen, fix))
        return True

    def _fail(self, name: str, seen: str, fix: str) -> bool:
        self.found.append(_DISCORD.fail(name, seen, fix))
        return False

    async def reach(self, api: Api) -> None:
        """Check the API without logging in, and the clock."""
        answer = await api.get("/gateway")
        text = f"{api.url} answers in {duration(answer.seconds)}"
        if not answer.fine:
            self._warn("Discord's API", f"{text}, with {answer.text}", "See https://discordstatus.com")
        elif answer.seconds > SLOW_SECONDS:
            self._warn("Discord's API", text, "Check this host's network and https://discordstatus.com")
        else:
            self._pass("Discord's API", text)
        if answer.ahead is None:
            self.found.append(_DISCORD.skip("clock", "the server sends no time"))
        elif abs(answer.ahead) > OFF_SECONDS:
            way = "ahead of" if answer.ahead > 0 else "behind"
            text = f"this host is {duration(abs(answer.ahead))} {way} Discord's time"
            self._warn("clock", text, "timedatectl set-ntp true")
        else:
            self._pass("clock", "agrees with Discord's")

    async def log_in(self, api: Api) -> bool:
        """Check the token and how many sessions may still be started today."""
        answer = await api.get("/users/@me")
        if answer.status == 401:  # noqa: PLR2004 - HTTP's Unauthorized
            fix = f"{_PORTAL}: the application, Bot, Reset Token; put the new one where the configuration reads it"
            return self._fail("token", "Discord refuses it", fix)
        if not answer.fine:
            return self._fail("token", answer.text, "See https://discordstatus.com, then run it again")
        self._bot = str(answer.body["id"])
        text = f"accepted; the bot is {answer.body.get('username', self._bot)}"
        starts = await api.get("/gateway/bot")
        limit = starts.body.get("session_start_limit", {}) if starts.fine and isinstance(starts.body, dict) else {}
        left = limit.get("remaining")
        if isinstance(left, int) and left < FEW_STARTS:
            text += f"; {left} of {limit.get('total')} logins left today"
            fix = "Find what starts a bot with this token again and again: journalctl -u opsbot"
            return self._warn("token", text, fix)
        return self._pass("token", text)

    async def enter(self, api: Api) -> bool:
        """Check that the bot is a member of the guild."""
        guild = self.config.discord.guild_id
        answer = await api.get(f"/guilds/{guild}")
        if not answer.fine:
            fix = f"Open {self._invite(await self._application(api))}, or correct discord.guild_id"
            return self._fail("guild", f"the bot is not in guild {guild} ({answer.text})", fix)
        self._guild = answer.body
        return self._pass("guild", str(answer.body.get("name", guild)))

    async def examine_guild(self, api: Api) -> None:
        """Check the channel, permissions, roles and commands."""
        channel = await self._channel(api)
        if channel is not None:
            await self._permissions(api, channel)
        self._escalation_role(str((channel or {}).get("name", "the ops channel")))
        await self._roles(api)
        await self._commands(api)
        await self._presence(api)

    async def _channel(self, api: Api) -> Mapping[str, Any] | None:
        guild, wanted = self.config.discord.guild_id, str(self.config.discord.ops_channel_id)
        answer = await api.get(f"/guilds/{guild}/channels")
        channels = answer.body if answer.fine and isinstance(answer.body, list) else []
        found = next((one for one in channels if str(one.get("id")) == wanted), None)
        copy = (
            "Settings, Advanced, Developer Mode; then right-click the channel, Copy Channel ID: discord.ops_channel_id"
        )
        if found is None:
            alone = await api.get(f"/channels/{wanted}")
            if alone.fine and str(alone.body.get("guild_id")) != str(guild):
                seen = f"channel {wanted} is in another server"
            elif alone.fine:
                seen = f"{wanted} is a thread, not a channel"
            elif alone.code == _UNKNOWN_CHANNEL or answer.fine:
                seen = f"channel {wanted} does not exist; it may have been deleted"
            else:
                seen = alone.text
        elif found.get("type") not in {TEXT, NEWS}:
            seen = f"#{found.get('name', wanted)} is not a text channel"
        else:
            self._pass("ops channel", f"#{found.get('name', wanted)}")
            return dict(found)
        self._fail("ops channel", seen, copy)
        return None

    async def _permissions(self, api: Api, channel: Mapping[str, Any]) -> None:
        guild = str(self.config.discord.guild_id)
        member = await api.get(f"/guilds/{guild}/members/{self._bot}")
        if not member.fine:
            self._fail("permissions", f"the bot's own membership: {member.text}", "Run it again")
            return
        self._held = held_in_channel(
            guild,
            self._bot,
            {str(role) for role in member.body.get("roles", ())},
            [(str(role["id"]), int(role["permissions"])) for role in self._guild.get("roles", ())],
            [
                Overwrite(str(one["id"]), int(one.get("allow", 0)), int(one.get("deny", 0)))
                for one in channel.get("permission_overwrites", ())
            ],
        )
        held = NEEDED if self._held & ADMINISTRATOR else Permission(self._held & NEEDED)
        name = channel.get("name")
        wanted = NEEDED if self.config.discord.board else NEEDED & ~Permission.PIN_MESSAGES
        for permission in wanted & ~held:
            fix = f"#{name}, Edit Channel, Permissions: add the bot's role and allow {title(permission)}"
            put = self._warn if permission in OPTIONAL else self._fail
            put(f"permission {title(permission)}", f"the bot lacks it in #{name}", fix)
        if not wanted & ~held:
            self._pass("permissions", f"all {len(list(wanted))} in #{name}")
        elif held:
            self._pass("permissions", f"also granted: {', '.join(title(one) for one in held)}")

    async def _roles(self, api: Api) -> None:
        ranks = self.config.roles
        named = {
            rank: sorted(one for one in getattr(ranks, rank) if not one.startswith("unix:"))
            for rank in ("viewer", "operator", "deployer", "admin")
        }
        roles = {str(role["id"]): str(role.get("name", "")) for role in self._guild.get("roles", ())}
        others = {one for ids in named.values() for one in ids if one not in roles}
        known = {one: await api.get(f"/guilds/{self._guild['id']}/members/{one}") for one in sorted(others)}
        gone = [(rank, one) for rank, ids in named.items() for one in ids if one in known and not known[one].fine]
        for rank, one in gone:
            fix = f"Remove it from roles.{rank}, or copy the role's id in Server Settings, Roles"
            self._fail("roles", f"{one} in roles.{rank} is not a role or member of the server", fix)
        everyone = [rank for rank, ids in named.items() if str(self._guild["id"]) in ids]
        for rank in everyone:
            self._warn("roles", f"roles.{rank} names @everyone: all members have it", f"Name a role in roles.{rank}")
        if not any(getattr(ranks, rank) for rank in named):
            self._warn("roles", "nobody has a rank, so every command is refused", "Add role ids to [roles]")
        elif not gone and not everyone:
            counted = sum(len(ids) for ids in named.values())
            self._pass("roles", f"{counted - len(others)} roles and {len(others)} members, all of them found")

    def _escalation_role(self, channel: str) -> None:
        """Check that the role exists and that the bot may ping it; nobody is pinged."""
        role = self.config.alerts.escalate_role
        copy = "Server Settings, Roles: right-click the role, Copy Role ID; then alerts.escalate_role"
        found = next((one for one in self._guild.get("roles", ()) if str(one.get("id")) == str(role)), None)
        if role is None:
            return
        if role == self.config.discord.guild_id:
            seen = "alerts.escalate_role is the id of @everyone, which Discord does not ping as a role"
            self._fail("escalation role", seen, copy)
        elif found is None:
            self._fail("escalation role", f"the server has no role {role} (alerts.escalate_role)", copy)
        elif found.get("mentionable"):
            self._pass("escalation role", f"{found.get('name', role)} can be mentioned by everybody")
        elif self._held is not None and self._held & (MENTION_EVERYONE | ADMINISTRATOR):
            self._pass("escalation role", f"{found.get('name', role)} can be mentioned by the bot in #{channel}")
        else:
            name = found.get("name", role)
            fix = (
                f"Server Settings, Roles, {name}: Allow anyone to @mention this role; or #{channel}, Edit Channel, "
                "Permissions: allow the bot's role to Mention @everyone, @here and All Roles"
            )
            self._fail("escalation role", f"{name} would not be pinged: it is not mentionable", fix)

    async def _commands(self, api: Api) -> None:
        own = await self._application(api)
        answer: ApiAnswer = await api.get(f"/applications/{own}/guilds/{self.config.discord.guild_id}/commands")
        if not answer.fine:
            fix = f"Open {self._invite(own)}"
            self._fail("slash commands", f"the scope applications.commands is missing ({answer.text})", fix)
        elif not answer.body:
            self._warn("slash commands", "none registered yet", "Start opsbot, which registers them when it connects")
        else:
            self._pass("slash commands", f"{len(answer.body)} registered")

    async def _presence(self, api: Api) -> None:
        """Check the presence intent, the only privileged one, if a check needs it."""
        checks = [check for service in self.config.services.values() for check in service.checks]
        if not any(check.kind is CheckKind.PRESENCE for check in checks):
            return
        application = await api.get("/applications/@me")
        flags = application.body.get("flags") if application.fine else None
        if not isinstance(flags, int):
            self.found.append(_DISCORD.skip("presence intent", "Discord does not report which intents are enabled"))
        elif flags & PRESENCE_FLAGS:
            self._pass("presence intent", "enabled")
        else:
            seen = 'disabled, so checks with kind = "presence" cannot run'
            fix = f"{_PORTAL}: the application, Bot, Presence Intent; then restart opsbot"
            self._fail("presence intent", seen, fix)

    async def _application(self, api: Api) -> str:
        application = await api.get("/applications/@me")
        return str(application.body["id"]) if application.fine else self._bot
