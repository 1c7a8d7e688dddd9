"""Texts of the reasons why opsbot does not act now."""

from collections.abc import Mapping

from opsbot.core.inhibitors import InhibitorCode
from opsbot.core.message import Param
from opsbot.messages.text import Text


def _spent(params: Mapping[str, Param]) -> str:
    own = ", {by_manager} of them by the service manager itself" if params.get("by_manager") else ""
    return (
        "opsbot does not start it any more, because half of its logins are spent: "
        f"{{starts}} starts in 24 hours{own}; Discord allows {{limit}} logins, then it resets the bot's token"
    )


def _in_voice(params: Mapping[str, Param]) -> str:
    where = "#{channel}" if params.get("channel") else "a voice channel"
    return f"in {where} with {{people}} {{people:plural|person|people}}, at the latest {{until:R}}"


TEXTS: Mapping[str, Text] = {
    InhibitorCode.DISCORD_AWAY: "Discord is away since {since:t}",
    InhibitorCode.DISCORD_BACK: "Discord is back since {since:t}; it has until {until:R} to recover by itself",
    InhibitorCode.DISCORD_DOUBTED: (
        "opsbot lost its connection to Discord, too, at {since:t}; within a minute it knows whether Discord is away"
    ),
    InhibitorCode.START_SPACED: "Discord is away since {since:t}; it is started again {due:R}",
    InhibitorCode.RELEASE_UNVERIFIABLE: "Discord is away since {since:t}, so a new release cannot be verified",
    InhibitorCode.LOGINS_SPENT: _spent,
    InhibitorCode.LOGINS_LOW: "its logins run low ({starts} of {limit} in 24 hours); it may be started {due:R}",
    InhibitorCode.WINDOW: "the maintenance window {window} lasts until {until}",
    InhibitorCode.WINDOW_HOLDS_DEPLOYS: ("automatic deploys wait: the maintenance window {window} lasts until {until}"),
    InhibitorCode.DEPLOYS_IN_WINDOW_ONLY: "automatic deploys wait for the window {window}, which begins {begins}",
    InhibitorCode.NO_WINDOW_FOR_DEPLOYS: (
        "automatic deploys are for the window {windows} only, which does not come again"
    ),
    InhibitorCode.VOICE_UNKNOWN: "it is not known yet whether it is in a voice channel",
    InhibitorCode.IN_VOICE: _in_voice,
}
