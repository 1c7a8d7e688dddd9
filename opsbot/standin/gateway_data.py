"""The large objects the gateway sends: READY, GUILD_CREATE, a chunk of members."""

from opsbot.standin.errors import Json
from opsbot.standin.guild import OBJECTS, iso
from opsbot.standin.state import APPLICATION_ID, BOT_USER_ID, GUILD_ID, Intent, StandinState


def ready(state: StandinState, session_id: str, url: str, application_flags: int) -> Json:
    """Build the READY event that follows IDENTIFY."""
    return OBJECTS["ready"] | {
        "user": state.bot.user() | {"verified": True, "mfa_enabled": False, "email": None},
        "guilds": [{"id": str(GUILD_ID), "unavailable": True}],
        "session_id": session_id,
        "resume_gateway_url": url,
        "application": {"id": str(APPLICATION_ID), "flags": application_flags},
    }


def guild_create(state: StandinState, intents: int) -> Json:
    """Build GUILD_CREATE (Discord's documentation, "Guild Create").

    Without the members intent only the bot and who sits in a voice channel are in it; archived threads never.
    """
    seated = [m for m in state.members.values() if m.voice is not None]
    everyone = list(state.members.values()) if intents & Intent.MEMBERS else [state.bot, *seated]
    online = [m for m in state.members.values() if m.status != "offline"]
    threads = [
        c.json(GUILD_ID, me=BOT_USER_ID)
        for c in state.channels.values()
        if c.is_thread and not c.archived and state.may(state.bot, c)
    ]
    return (
        state.guild_json()
        | OBJECTS["guild_create"]
        | {
            "joined_at": iso(state.bot.joined_at),
            "member_count": len(state.members),
            "voice_states": [state.voice_state(m) for m in seated] if intents & Intent.VOICE_STATES else [],
            "members": [member.json() for member in everyone],
            "channels": [c.json(GUILD_ID) for c in state.channels.values() if not c.is_thread],
            "threads": threads,
            "presences": [state.presence(m) for m in online] if intents & Intent.PRESENCES else [],
        }
    )


def members_chunk(state: StandinState, intents: int, wanted: Json) -> Json | None:
    """The answer to op 8; None for all members without the members intent."""
    user_ids = wanted.get("user_ids")
    given = user_ids if isinstance(user_ids, list) else [user_ids]
    ids = {int(str(i)) for i in given if str(i).isdecimal()} if user_ids else None
    query = str(wanted.get("query") or "").lower()
    if ids is None and not query and not intents & Intent.MEMBERS:
        return None
    members = [m for m in state.members.values() if (m.id in ids if ids is not None else m.username.startswith(query))]
    chunk: Json = {
        "guild_id": str(GUILD_ID),
        "members": [m.json() for m in members],
        "chunk_index": 0,
        "chunk_count": 1,
        "not_found": [str(i) for i in (ids or set()) - {m.id for m in members}],
    }
    if wanted.get("nonce"):
        chunk["nonce"] = wanted["nonce"]
    if wanted.get("presences") and intents & Intent.PRESENCES:
        chunk["presences"] = [state.presence(m) for m in members if m.status != "offline"]
    return chunk
